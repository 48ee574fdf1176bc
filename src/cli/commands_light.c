/*
 * commands_light.c - the table of gfxbridge itself, which is linked with few libraries so that it
 * starts in a millisecond: commands that only read. Every other word, --help and what is no command
 * at all go on to the program named here, with the same words.
 */
#include "cli/program.h"

static const struct cli_command *const light_commands[] = {
    &cli_command_capture, &cli_command_detect, &cli_command_explain,
    &cli_command_plan,    &cli_command_table,  NULL,
};

static const struct cli_command *const no_commands[] = {NULL};

const struct cli_program cli_program = {
    .commands = light_commands,
    .hidden = no_commands,
    .next = "gfxbridge-full",
};
