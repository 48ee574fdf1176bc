/* commands.c - the table of commands. */
#include "cli/cli.h"

/* Keep alphabetical: this is the order of --help, the manual and the completions. */
const struct cli_command *const cli_commands[] = {
    &cli_command_alias,      &cli_command_backends, &cli_command_bench,  &cli_command_capture,
    &cli_command_contribute, &cli_command_demo,     &cli_command_detect, &cli_command_doctor,
    &cli_command_env,        &cli_command_explain,  &cli_command_import, &cli_command_inspect,
    &cli_command_launch,     &cli_command_list,     &cli_command_load,   &cli_command_logs,
    &cli_command_node,       &cli_command_plan,     &cli_command_pull,   &cli_command_rm,
    &cli_command_run,        &cli_command_serve,    &cli_command_show,   &cli_command_status,
    &cli_command_stop,       &cli_command_storage,  &cli_command_table,  &cli_command_tune,
    &cli_command_unload,     &cli_command_update,   &cli_command_verify, NULL,
};

const struct cli_command *cli_find_command(const char *name)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i];
    }
    /* For programs, not in --help. */
    return strcmp(cli_command_complete.name, name) == 0 ? &cli_command_complete : NULL;
}
