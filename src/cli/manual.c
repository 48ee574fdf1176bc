/* manual.c - prints gfxbridge(1) from the tables of commands and options that also make --help. */
#include "cli/cli.h"
#include "cli/text.h"

/* Text as roff: a leading dot or quote would be a request, a backslash an escape, '-' a hyphen. */
static void manual_text(const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        line_start = *text == '\n';
    }
}

static void manual_options(const struct cli_option *options)
{
    for (; options && options->name; options++) {
        fputs(".TP\n\\fB\\-\\-", stdout);
        manual_text(options->name);
        fputs("\\fR", stdout);
        if (options->value) {
            fputs(" \\fI", stdout);
            manual_text(options->value);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        manual_text(options->help);
        putchar('\n');
    }
}

/* A line is a paragraph; one with a mark an entry of a list. */
static void manual_about(const char *about)
{
    struct str rest = str_from(about), line;
    while (str_cut(&rest, '\n', &line)) {
        const char *mark = line.n ? memchr(line.p, TEXT_HANG[0], line.n) : NULL;
        char *CLEAN_FREE label =
            mark ? str_dup(str_trim((struct str){line.p, (size_t)(mark - line.p)})) : NULL;
        if (label) {
            line.n -= (size_t)(mark + 1 - line.p);
            line.p = mark + 1;
            fputs(".TP\n\\fB", stdout);
            manual_text(label);
            fputs("\\fR\n", stdout);
        } else {
            fputs(".PP\n", stdout);
        }
        char *CLEAN_FREE text = str_dup(line);
        manual_text(text ? text : "");
        putchar('\n');
    }
}

static void manual_command(const struct cli_command *command)
{
    printf(".SS \"");
    manual_text(command->name);
    if (command->words[0])
        putchar(' ');
    manual_text(command->words);
    fputs("\"\n", stdout);
    manual_about(command->about);
    manual_options(command->options);
}

static const struct manual_variable {
    const char *name, *meaning;
} manual_variables[] = {
    {"GFXBRIDGE_DATA_DIR", "where packages and proofs are kept; --data-dir comes before it"},
    {"GFXBRIDGE_MIRROR", "base URL that stands for every host: https://HOST/PATH is fetched as "
                         "MIRROR/HOST/PATH; https, http or file"},
    {"GFXBRIDGE_CA_FILE", "PEM file of trusted certificates instead of the system's"},
    {"GFXBRIDGE_GITHUB", "base URL instead of https://github.com for release files"},
    {"GFXBRIDGE_GITHUB_API", "base URL instead of https://api.github.com"},
    {"GFXBRIDGE_THEROCK", "base URL of the directory that holds TheRock's archives"},
    {"GITHUB_TOKEN, GH_TOKEN", "the first that is set is sent to GitHub's API, and to it alone"},
    {"http_proxy, https_proxy, all_proxy, no_proxy, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
     "the way to the outside; as libcurl and apt read them"},
    {"HOME", "where the usual places are, without the XDG variables; the user database's when "
             "unset"},
    {"XDG_DATA_HOME", "packages and proofs in its gfxbridge, instead of ~/.local/share/gfxbridge"},
    {"XDG_CONFIG_HOME", "tables gfxbridge/NAME.tsv in it (instead of in ~/.config) replace the "
                        "built-in ones"},
    {"XDG_RUNTIME_DIR", "sockets of running engines in its gfxbridge; in run of the data directory "
                        "when it is unset, gone or another user's"},
    {"TMPDIR", "where inspect puts large archives aside, instead of /var/tmp"},
    {"HSA_OVERRIDE_GFX_VERSION", "doctor warns of it; it is not passed on to engines"},
};

static void manual_environment(void)
{
    fputs(".SH ENVIRONMENT\n", stdout);
    for (size_t i = 0; i < sizeof(manual_variables) / sizeof(manual_variables[0]); i++) {
        fputs(".TP\n\\fB", stdout);
        manual_text(manual_variables[i].name);
        fputs("\\fR\n", stdout);
        manual_text(manual_variables[i].meaning);
        putchar('\n');
    }
}

int main(void)
{
    printf(".TH GFXBRIDGE 1 \"\" \"gfxbridge %s\" \"User Commands\"\n", GFXB_VERSION);
    fputs(".SH NAME\ngfxbridge \\- from a Radeon to an answered prompt, on the path that this "
          "computer really supports\n"
          ".SH SYNOPSIS\n\\fBgfxbridge\\fR [\\fIOPTION\\fR...] \\fICOMMAND\\fR [\\fIWORD\\fR...]\n"
          ".SH DESCRIPTION\ngfxbridge finds the graphics cards of this computer and their gfx "
          "targets, picks an engine package that holds code for them, proves on this computer "
          "that it computes correctly there, and answers prompts with it: ROCm where it is truly "
          "supported, then Vulkan, the CPU last. Every path that was not taken has a reason.\n"
          ".SH OPTIONS\n",
          stdout);
    manual_options(cli_global_options());
    fputs(".SH COMMANDS\n", stdout);
    for (const struct cli_command *const *c = cli_commands(); *c; c++)
        manual_command(*c);
    fputs(".SH \"EXIT STATUS\"\n0 done; 1 failed, with one sentence on standard error; 2 usage; 3 "
          "nothing usable found; 4 a proof failed and no fall\\-back was left; 130 interrupted.\n",
          stdout);
    manual_environment();
    fputs(".SH FILES\n.TP\n\\fI~/.local/share/gfxbridge\\fR\npackages, proofs, the canary model\n",
          stdout);
    return ferror(stdout) ? 1 : 0;
}
