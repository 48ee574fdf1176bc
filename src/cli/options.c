/* options.c - options and words of a command line, and the help that lists them. */
#include "cli/cli.h"

#include <getopt.h>

/* The order is that of enum cli_global. */
const struct cli_option cli_globals[] = {
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

static void cli_set_global(struct cli *cli, enum cli_global option, const char *value)
{
    bool *const flags[GLOBALS] = {
        [GLOBAL_JSON] = &cli->json,       [GLOBAL_QUIET] = &cli->quiet,
        [GLOBAL_VERBOSE] = &cli->verbose, [GLOBAL_NO_NETWORK] = &cli->no_network,
        [GLOBAL_HELP] = &cli->help,       [GLOBAL_VERSION] = &cli->version,
    };
    if (flags[option]) {
        *flags[option] = true;
    } else if (option == GLOBAL_SYSROOT) {
        cli->sysroot = value;
    } else if (option == GLOBAL_DATA_DIR) {
        if (!value[0])
            cli_die(cli, GFXB_E_USAGE, "--data-dir needs the name of a directory");
        cli->data_dir = value;
        cli->data_dir_given = true;
    } else {
        cli->os = strcmp(value, "windows") == 0 ? GFX_WINDOWS : GFX_LINUX;
        if (cli->os == GFX_LINUX && strcmp(value, "linux") != 0)
            cli_die(cli, GFXB_E_USAGE, "--os is linux or windows, not '%s'", value);
    }
}

/* -1: there is none of this name. */
static int cli_find_option(const struct cli_option *options, const char *name)
{
    for (int i = 0; options && options[i].name; i++) {
        if (strcmp(options[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* Is it a negative number, such as the exit code of a Windows program? It is a word, no option. */
static bool cli_is_negative(const char *text)
{
    return text[0] == '-' && text[1] && !text[1 + strspn(text + 1, "0123456789")];
}

/* getopt takes words with a blank before them for what they are. */
static void cli_hide_negatives(struct cli *cli, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (cli_is_negative(argv[i]))
            argv[i] = (char *)(uintptr_t)cli_keep(cli, xasprintf(" %s", argv[i]));
    }
}

static void cli_show_negatives(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        argv[i] += argv[i][0] == ' ' && cli_is_negative(argv[i] + 1);
}

/* Sets what cli and, for options of the command's own, value say; optind is at the first word. */
static void cli_read_options(struct cli *cli, int argc, char **argv, const char *characters,
                             const struct cli_option *own, const char **value)
{
    struct option longs[OPTIONS_ALL];
    int c;
    cli_add_options(own, OPTION_OWN, longs, cli_add_options(cli_globals, OPTION_GLOBAL, longs, 0));
    opterr = 0;
    optind =
        0; /* glibc: reset the parser, because the order of arguments counts differently here */
    while ((c = getopt_long(argc, argv, characters, longs, NULL)) != -1) {
        if (c >= OPTION_OWN)
            value[c - OPTION_OWN] = optarg ? optarg : "";
        else if (c >= OPTION_GLOBAL)
            cli_set_global(cli, (enum cli_global)(c - OPTION_GLOBAL), optarg);
        else if (c == 'h')
            cli->help = true;
        else if (c == 'f' && cli_find_option(own, "follow") >= 0)
            value[cli_find_option(own, "follow")] = "";
        else if (c == ':')
            cli_die(cli, GFXB_E_USAGE, "the option %s needs a value", argv[optind - 1]);
        else
            cli_die(cli, GFXB_E_USAGE, "no such option: %s; see gfxbridge --help",
                    argv[optind - 1]);
    }
}

/* How many words "MODEL [PROMPT...]" stands for. */
static void cli_count_words(struct str words, size_t *ret_least, size_t *ret_most)
{
    struct str word;
    *ret_least = *ret_most = 0;
    while (str_word(&words, &word)) {
        *ret_least += word.p[0] != '[';
        *ret_most = str_has(word, STR("...")) ? SIZE_MAX : *ret_most + 1;
    }
}

/* Does the command take these options and this number of words? */
static void cli_check_words(struct cli *cli, const struct cli_command *command,
                            const struct cli_args *args)
{
    size_t least, most;
    cli_count_words(str_from(command->words), &least, &most);
    if (cli->sysroot && command->live)
        cli_die(cli, GFXB_E_USAGE,
                "%s works on this computer only: a captured machine runs nothing", command->name);
    if (cli->os != GFX_LINUX && !command->any_os)
        cli_die(cli, GFXB_E_USAGE,
                "%s is about this computer: --os windows is for explain, plan and table",
                command->name);
    if (args->n_words < least)
        cli_die(cli, GFXB_E_USAGE, "%s needs %s; see gfxbridge %s --help", command->name,
                command->words, command->name);
    if (args->n_words > most)
        cli_die(cli, GFXB_E_USAGE, "%s does not take '%s'; see gfxbridge %s --help", command->name,
                args->word[most], command->name);
}

unsigned cli_number(struct cli *cli, const char *option, const char *value, unsigned least,
                    unsigned most)
{
    uint64_t number;
    if (str_to_u64(str_from(value), 10, &number) < 0 || number < least || number > most)
        cli_die(cli, GFXB_E_USAGE, "%s is a number from %u to %u, not '%s'", option, least, most,
                value);
    return (unsigned)number;
}

/* Help is wrapped also where it goes to a pager. */
#define HELP(...) text_wrap(stdout, help_width(), __VA_ARGS__)

static size_t help_width(void)
{
    size_t width = text_width(stdout);
    return width ? width : 80;
}

static void cli_option_help(const struct cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        HELP("  %-28s " TEXT_HANG "%s", left, options->help);
    }
}

static void cli_help(void)
{
    HELP("gfxbridge: from a Radeon to an answered prompt, on the path that this computer really "
         "supports\n\nUsage: gfxbridge [OPTION...] [COMMAND [WORD...]]\n\nWithout a command it "
         "shows this computer in a few lines.\n\nCommands:");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        HELP("  %-10s " TEXT_HANG "%s", (*c)->name, (*c)->summary);
    HELP("\nOptions of every command:");
    cli_option_help(cli_globals);
    HELP("\ngfxbridge COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 usage, 3 nothing "
         "usable found, 4 a proof failed and no fall-back was left, 130 interrupted.");
}

static void cli_command_help(const struct cli_command *command)
{
    HELP("Usage: gfxbridge %s%s%s [OPTION...]\n\n%s", command->name, command->words ? " " : "",
         command->words ? command->words : "", command->about);
    if (command->options) {
        HELP("\nOptions:");
        cli_option_help(command->options);
    }
    HELP("\nOptions of every command:");
    cli_option_help(cli_globals);
}

const struct cli_command *cli_parse(struct cli *cli, int argc, char **argv,
                                    struct cli_args *ret_args)
{
    *ret_args = (struct cli_args){.n_words = 0};
    cli_read_options(cli, argc, argv, "+:h", NULL, NULL);
    if (cli->version) {
        printf("gfxbridge %s\n", GFXB_VERSION);
        cli_exit(cli, CLI_DONE);
    }
    if (cli->help) {
        cli_help();
        cli_exit(cli, CLI_DONE);
    }
    argc -= optind;
    argv += optind;
    if (argc == 0) {
        cli_check_words(cli, &cli_command_overview, ret_args);
        return &cli_command_overview;
    }
    const struct cli_command *command = cli_find_command(argv[0]);
    if (!command)
        cli_die(cli, GFXB_E_USAGE, "no such command: '%s'; see gfxbridge --help", argv[0]);
    cli_hide_negatives(cli, argc, argv);
    cli_read_options(cli, argc, argv, ":hf", command->options, ret_args->value);
    cli_show_negatives(argc, argv);
    if (cli->help) {
        cli_command_help(command);
        cli_exit(cli, CLI_DONE);
    }
    ret_args->word = (const char *const *)(argv + optind);
    ret_args->n_words = (size_t)(argc - optind);
    cli_check_words(cli, command, ret_args);
    return command;
}
