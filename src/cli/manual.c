/* manual.c - prints gfxbridge(1) from the tables of commands and options that also make --help. */
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

static void manual_command(const struct cli_command *command)
{
    printf(".SS \"");
    manual_text(command->name);
    if (command->words[0])
        putchar(' ');
    manual_text(command->words);
    fputs("\"\n.nf\n", stdout);
    manual_text(command->about);
    fputs("\n.fi\n", stdout);
    manual_options(command->options);
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
          "nothing usable found; 4 a proof failed and no fall\\-back was left; 130 interrupted.\n"
          ".SH ENVIRONMENT\n.TP\n\\fBGFXBRIDGE_DATA_DIR\\fR\nwhere packages and proofs are kept\n"
          ".TP\n\\fBXDG_DATA_HOME\\fR, \\fBXDG_CONFIG_HOME\\fR, \\fBXDG_RUNTIME_DIR\\fR\n"
          "the usual places; tables in \\fI$XDG_CONFIG_HOME/gfxbridge/NAME.tsv\\fR replace the "
          "built\\-in ones\n"
          ".SH FILES\n.TP\n\\fI~/.local/share/gfxbridge\\fR\npackages, proofs, the canary model\n",
          stdout);
    return ferror(stdout) ? 1 : 0;
}
