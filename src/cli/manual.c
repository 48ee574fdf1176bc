/* manual.c - manual NAME prints gfxbridge(1), or gfxbridge-COMMAND(1), from the tables of commands
 * and options that also make --help. */
#include "cli/cli.h"

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
            mark ? xstr_dup(str_trim((struct str){line.p, (size_t)(mark - line.p)})) : NULL;
        if (label) {
            line.n -= (size_t)(mark + 1 - line.p);
            line.p = mark + 1;
            fputs(".TP\n\\fB", stdout);
            manual_text(label);
            fputs("\\fR\n", stdout);
        } else {
            fputs(".PP\n", stdout);
        }
        char *CLEAN_FREE text = xstr_dup(line);
        manual_text(text ? text : "");
        putchar('\n');
    }
}

static void manual_synopsis(const struct cli_command *command)
{
    fputs("\\fBgfxbridge ", stdout);
    manual_text(command->name);
    fputs("\\fR [\\fIOPTION\\fR...] ", stdout);
    manual_text(command->words);
    putchar('\n');
}

static void manual_head(const char *name, const char *summary)
{
    fputs(".TH ", stdout);
    for (const char *c = name; *c; c++)
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf(" 1 \"\" \"gfxbridge %s\" \"User Commands\"\n.SH NAME\n", GFXB_VERSION);
    manual_text(name);
    fputs(" \\- ", stdout);
    manual_text(summary);
    fputs("\n.SH SYNOPSIS\n", stdout);
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
    {"GFXBRIDGE_OLLAMA_REGISTRY", "base URL instead of the Ollama registry's"},
    {"HF_TOKEN, HF_TOKEN_PATH", "the token for the Hugging Face hub, or the file that holds it "
                                "instead of token in HF_HOME; sent to the hub alone"},
    {"HF_ENDPOINT", "base URL of the Hugging Face hub"},
    {"HF_HUB_OFFLINE", "1: models are not fetched"},
    {"HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME",
     "the hub's cache: the first two name it, hub in HF_HOME, huggingface/hub in XDG_CACHE_HOME"},
    {"OLLAMA_MODELS, LLAMA_CACHE", "where Ollama's and llama.cpp's models are"},
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

static void manual_exit_status(void)
{
    fputs(".SH \"EXIT STATUS\"\n0 done; 1 failed, with one sentence on standard error; 2 usage; 3 "
          "nothing usable found; 4 a proof failed and no fall\\-back was left; 130 interrupted.\n",
          stdout);
}

/* gfxbridge-COMMAND(1) */
static void manual_of_command(const char *page, const struct cli_command *command)
{
    manual_head(page, command->summary);
    manual_synopsis(command);
    fputs(".SH DESCRIPTION\n", stdout);
    manual_about(command->about);
    if (command->options && command->options->name)
        fputs(".SH OPTIONS\n", stdout);
    manual_options(command->options);
    fputs(".PP\nThe options of every command are in gfxbridge(1).\n", stdout);
    manual_exit_status();
    fputs(".SH \"SEE ALSO\"\ngfxbridge(1)\n", stdout);
}

/* gfxbridge(1) */
static void manual_of_program(const char *page)
{
    manual_head(page, "from a Radeon to an answered prompt, on the path that this computer really "
                      "supports");
    fputs("\\fBgfxbridge\\fR [\\fIOPTION\\fR...] \\fICOMMAND\\fR [\\fIWORD\\fR...]\n"
          ".SH DESCRIPTION\ngfxbridge finds the graphics cards of this computer and their gfx "
          "targets, picks an engine package that holds code for them, proves on this computer "
          "that it computes correctly there, and answers prompts with it: ROCm where it is truly "
          "supported, then Vulkan, the CPU last. Every path that was not taken has a reason.\n"
          ".SH OPTIONS\n",
          stdout);
    manual_options(cli_globals);
    fputs(".SH COMMANDS\nEach has a page of its own, gfxbridge\\-COMMAND(1).\n", stdout);
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        fputs(".TP\n", stdout);
        manual_synopsis(*c);
        manual_text((*c)->summary);
        putchar('\n');
    }
    manual_exit_status();
    manual_environment();
    fputs(".SH FILES\n.TP\n\\fI~/.local/share/gfxbridge\\fR\npackages, proofs, the canary model\n",
          stdout);
}

int main(int argc, char **argv)
{
    static const char prefix[] = "gfxbridge-";
    const char *page = argc > 1 ? argv[1] : "gfxbridge";
    bool own = strncmp(page, prefix, sizeof(prefix) - 1) == 0;
    const struct cli_command *command = own ? cli_find_command(page + sizeof(prefix) - 1) : NULL;
    if (own && !command) {
        fprintf(stderr, "manual: no such command: %s\n", page);
        return 1;
    }
    if (command)
        manual_of_command(page, command);
    else
        manual_of_program(page);
    return ferror(stdout) ? 1 : 0;
}
