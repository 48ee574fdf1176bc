/* options.c - options and words of a command line, and the help that lists them. */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>

/* Options that every command takes. The order is that of enum cli_global. */
static const struct cli_option cli_globals[] = {
    {"sysroot", "DIR|FILE.machine", "read a captured machine instead of this computer"},
    {"os", "linux|windows", "answer from that system's rows (tables only)"},
    {"json", NULL, "one JSON object on stdout"},
    {"quiet", NULL, "no progress"},
    {"verbose", NULL, "say every step"},
    {"data-dir", "DIR", "where packages and proofs are kept"},
    {"no-network", NULL, "use only what is on this computer"},
    {"help", NULL, "this help"},
    {"version", NULL, "the version"},
    {NULL, NULL, NULL},
};

const struct cli_option *cli_global_options(void)
{
    return cli_globals;
}

enum cli_global {
    GLOBAL_SYSROOT,
    GLOBAL_OS,
    GLOBAL_JSON,
    GLOBAL_QUIET,
    GLOBAL_VERBOSE,
    GLOBAL_DATA_DIR,
    GLOBAL_NO_NETWORK,
    GLOBAL_HELP,
    GLOBAL_VERSION,
    GLOBALS,
};

/* getopt_long's numbers: above every character. */
enum { OPTION_GLOBAL = 1000, OPTION_OWN = 2000, OPTIONS_ALL = GLOBALS + CLI_OPTIONS_MAX + 1 };

static size_t cli_add_options(const struct cli_option *options, int base, struct option *longs,
                              size_t n)
{
    for (int i = 0; options && options[i].name; i++) {
        longs[n++] = (struct option){
            options[i].name, options[i].value ? required_argument : no_argument, NULL, base + i};
    }
    longs[n] = (struct option){0};
    return n;
}

static int cli_set_os(struct cli *cli, const char *value, struct gfxb_error *err)
{
    if (strcmp(value, "linux") == 0)
        cli->os = GFX_LINUX;
    else if (strcmp(value, "windows") == 0)
        cli->os = GFX_WINDOWS;
    else
        return error_set(err, GFXB_E_USAGE, "--os is linux or windows, not '%s'", value);
    return 0;
}

static int cli_set_global(struct cli *cli, enum cli_global option, const char *value,
                          struct gfxb_error *err)
{
    switch (option) {
    case GLOBAL_SYSROOT:
        cli->sysroot = value;
        return 0;
    case GLOBAL_OS:
        return cli_set_os(cli, value, err);
    case GLOBAL_JSON:
        cli->json = true;
        return 0;
    case GLOBAL_QUIET:
        cli->quiet = true;
        return 0;
    case GLOBAL_VERBOSE:
        cli->verbose = true;
        return 0;
    case GLOBAL_DATA_DIR:
        if (!value[0])
            return error_set(err, GFXB_E_USAGE, "--data-dir needs the name of a directory");
        free(cli->data_dir);
        cli->data_dir = xstrdup(value);
        cli->data_dir_given = true;
        return 0;
    case GLOBAL_NO_NETWORK:
        cli->no_network = true;
        return 0;
    default:
        return 0;
    }
}

static int cli_bad_option(char **argv, int character, struct gfxb_error *err)
{
    const char *word = argv[optind - 1];
    if (character == ':')
        return error_set(err, GFXB_E_USAGE, "the option %s needs a value", word);
    return error_set(err, GFXB_E_USAGE, "no such option: %s; see gfxbridge --help", word);
}

/* What getopt_long has found; own is NULL in front of the command. */
static int cli_take_option(struct cli *cli, char **argv, int c, const char **own, bool *ret_help,
                           bool *ret_version, struct gfxb_error *err)
{
    if (c == 'h' || c == OPTION_GLOBAL + GLOBAL_HELP)
        *ret_help = true;
    else if (c == OPTION_GLOBAL + GLOBAL_VERSION)
        *ret_version = true;
    else if (c >= OPTION_OWN)
        own[c - OPTION_OWN] = optarg ? optarg : "";
    else if (c >= OPTION_GLOBAL)
        return cli_set_global(cli, (enum cli_global)(c - OPTION_GLOBAL), optarg, err);
    else
        return cli_bad_option(argv, c, err);
    return 0;
}

int cli_parse_global(struct cli *cli, int argc, char **argv, int *ret_next, bool *ret_help,
                     bool *ret_version, struct gfxb_error *err)
{
    struct option longs[OPTIONS_ALL];
    cli_add_options(cli_globals, OPTION_GLOBAL, longs, 0);
    opterr = 0;
    optind = 1;
    int c, result = 0;
    while (result == 0 && (c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1)
        result = cli_take_option(cli, argv, c, NULL, ret_help, ret_version, err);
    *ret_next = optind;
    return result;
}

int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
              struct cli_args *ret_args, bool *ret_help, struct gfxb_error *err)
{
    struct option longs[OPTIONS_ALL];
    size_t n = cli_add_options(cli_globals, OPTION_GLOBAL, longs, 0);
    cli_add_options(command->options, OPTION_OWN, longs, n);
    struct cli_args args = {0};
    optind = 0; /* glibc: start anew, with the permutation that a leading '+' had switched off */
    int c, result = 0;
    bool version = false; /* counts in front of a command alone */
    while (result == 0 && (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1)
        result = cli_take_option(cli, argv, c, args.value, ret_help, &version, err);
    if (result < 0)
        return result;
    if (!*ret_help && cli->sysroot && command->live)
        return error_set(err, GFXB_E_USAGE,
                         "%s works on this computer only: a captured machine runs nothing",
                         command->name);
    if (!*ret_help && cli->os != GFX_LINUX && !command->any_os)
        return error_set(err, GFXB_E_USAGE,
                         "%s is about this computer: --os windows is for explain, plan and table",
                         command->name);
    args.word = (const char *const *)(argv + optind);
    args.n_words = (size_t)(argc - optind);
    if (!*ret_help && args.n_words < command->min_words)
        return error_set(err, GFXB_E_USAGE, "%s needs %s; see gfxbridge %s --help", command->name,
                         command->words, command->name);
    if (!*ret_help && args.n_words > command->max_words)
        return error_set(err, GFXB_E_USAGE, "%s does not take '%s'; see gfxbridge %s --help",
                         command->name, args.word[command->max_words], command->name);
    *ret_args = args;
    return 0;
}

/* Help is wrapped also where it goes to a pager. */
static size_t cli_help_width(FILE *out)
{
    enum { HELP_PIPED = 80 };
    size_t width = text_width(out);
    return width ? width : HELP_PIPED;
}

static void cli_option_help(const struct cli_option *options, FILE *out)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        text_wrap(out, cli_help_width(out), "  %-28s " TEXT_HANG "%s", left, options->help);
    }
}

void cli_help(FILE *out)
{
    size_t width = cli_help_width(out);
    text_wrap(out, width,
              "gfxbridge: from a Radeon to an answered prompt, on the path that this computer "
              "really supports\n\nUsage: gfxbridge [OPTION...] COMMAND [WORD...]\n\nCommands:");
    for (const struct cli_command *const *c = cli_commands(); *c; c++)
        text_wrap(out, width, "  %-10s " TEXT_HANG "%s", (*c)->name, (*c)->summary);
    text_wrap(out, width, "\nOptions of every command:");
    cli_option_help(cli_globals, out);
    text_wrap(out, width,
              "\ngfxbridge COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 usage, 3 "
              "nothing usable found, 4 a proof failed and no fall-back was left, 130 interrupted.");
}

void cli_command_help(const struct cli_command *command, FILE *out)
{
    size_t width = cli_help_width(out);
    text_wrap(out, width, "Usage: gfxbridge %s%s%s [OPTION...]\n\n%s", command->name,
              command->words[0] ? " " : "", command->words, command->about);
    if (command->options && command->options->name) {
        text_wrap(out, width, "\nOptions:");
        cli_option_help(command->options, out);
    }
    text_wrap(out, width, "\nOptions of every command:");
    cli_option_help(cli_globals, out);
}
