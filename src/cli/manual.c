/* manual.c - manual NAME prints gfxbridge(1), or gfxbridge-COMMAND(1), from the tables of commands
 * and options that also make --help. */
#include "cli/cli.h"

#include <stdarg.h>

#define MANUAL_BOLD   TEXT_STRONG
#define MANUAL_ITALIC TEXT_FAINT
#define MANUAL_ROMAN  TEXT_END

/* A line of text as roff, where a leading dot or quote would be a request, a backslash an escape
 * and '-' a hyphen. The marks above change the face. */
static void manual_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void manual_line(const char *format, ...)
{
    static const char special[] = "\\-" MANUAL_BOLD MANUAL_ITALIC MANUAL_ROMAN;
    static const char *const escapes[] = {"\\e", "\\-", "\\fB", "\\fI", "\\fR"};
    char *CLEAN_FREE text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        xalloc_die();
    va_end(arguments);
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (const char *c = text; *c; c++) {
        const char *found = strchr(special, *c);
        fputs(found ? escapes[found - special] : (char[]){*c, '\0'}, stdout);
    }
    putchar('\n');
}

static void manual_options(const struct cli_option *options)
{
    for (; options && options->name; options++) {
        puts(".TP");
        manual_line(MANUAL_BOLD "--%s" MANUAL_ROMAN "%s%s%s", options->name,
                    options->value ? " " MANUAL_ITALIC : "", options->value ? options->value : "",
                    options->value ? MANUAL_ROMAN : "");
        manual_line("%s", options->help);
    }
}

/* A line is a paragraph; one with a mark an entry of a list. */
static void manual_about(const char *about)
{
    struct str rest = str_from(about), line;
    while (str_cut(&rest, '\n', &line)) {
        struct str text = line, label;
        str_cut(&text, TEXT_HANG[0], &label);
        bool entry = label.n < line.n;
        puts(entry ? ".TP" : ".PP");
        if (entry)
            manual_line(MANUAL_BOLD "%.*s" MANUAL_ROMAN, STR_ARG(str_trim(label)));
        manual_line("%.*s", STR_ARG(entry ? text : line));
    }
}

static void manual_synopsis(const struct cli_command *command)
{
    manual_line(MANUAL_BOLD "gfxbridge %s" MANUAL_ROMAN " [" MANUAL_ITALIC "OPTION" MANUAL_ROMAN
                            "...] %s",
                command->name, command->words ? command->words : "");
}

static void manual_head(const char *name, const char *summary)
{
    fputs(".TH ", stdout);
    for (const char *c = name; *c; c++)
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf(" 1 \"\" \"gfxbridge %s\" \"User Commands\"\n.SH NAME\n", GFXB_VERSION);
    manual_line("%s - %s", name, summary);
    puts(".SH SYNOPSIS");
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
    puts(".SH ENVIRONMENT");
    for (size_t i = 0; i < sizeof(manual_variables) / sizeof(manual_variables[0]); i++) {
        puts(".TP");
        manual_line(MANUAL_BOLD "%s" MANUAL_ROMAN, manual_variables[i].name);
        manual_line("%s", manual_variables[i].meaning);
    }
}

static void manual_exit_status(void)
{
    puts(".SH \"EXIT STATUS\"");
    manual_line("0 done; 1 failed, with one sentence on standard error; 2 usage; 3 nothing usable "
                "found; 4 a proof failed and no fall-back was left; 130 interrupted.");
}

/* gfxbridge-COMMAND(1) */
static void manual_of_command(const char *page, const struct cli_command *command)
{
    manual_head(page, command->summary);
    manual_synopsis(command);
    puts(".SH DESCRIPTION");
    manual_about(command->about);
    if (command->options)
        puts(".SH OPTIONS");
    manual_options(command->options);
    puts(".PP\nThe options of every command are in gfxbridge(1).");
    manual_exit_status();
    puts(".SH \"SEE ALSO\"\ngfxbridge(1)");
}

/* gfxbridge(1) */
static void manual_of_program(const char *page)
{
    manual_head(page, "from a Radeon to an answered prompt, on the path that this computer really "
                      "supports");
    manual_line(MANUAL_BOLD "gfxbridge" MANUAL_ROMAN " [" MANUAL_ITALIC "OPTION" MANUAL_ROMAN
                            "...] " MANUAL_ITALIC "COMMAND" MANUAL_ROMAN " [" MANUAL_ITALIC
                            "WORD" MANUAL_ROMAN "...]");
    puts(".SH DESCRIPTION");
    manual_line("gfxbridge finds the graphics cards of this computer and their gfx targets, picks "
                "an engine package that holds code for them, proves on this computer that it "
                "computes correctly there, and answers prompts with it: ROCm where it is truly "
                "supported, then Vulkan, the CPU last. Every path that was not taken has a "
                "reason.");
    puts(".SH OPTIONS");
    manual_options(cli_globals);
    puts(".SH COMMANDS");
    manual_line("Each has a page of its own, gfxbridge-COMMAND(1).");
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        puts(".TP");
        manual_synopsis(*c);
        manual_line("%s", (*c)->summary);
    }
    manual_exit_status();
    manual_environment();
    puts(".SH FILES\n.TP\n\\fI~/.local/share/gfxbridge\\fR\npackages, proofs, the canary model");
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
