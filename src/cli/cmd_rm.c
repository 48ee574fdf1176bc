/* cmd_rm.c - removes what we wrote of a model. */
#include "cli/cli.h"

static int rm_run(struct cli *cli, const struct cli_args *args)
{
    uint64_t freed = 0, bytes = 0;
    cli_catch_signals();
    for (size_t i = 0; i < args->n_words; i++, freed += bytes)
        cli_check(cli, engine_model_remove(cli_models(cli), args->word[i], &bytes, &cli->err));
    if (cli->json)
        cli_print_json(cli, json_pack("{s:I}", "freed_bytes", (json_int_t)freed));
    else if (!cli->quiet)
        fprintf(stderr, "removed; %s are free again\n", report_bytes(freed).text);
    return CLI_DONE;
}

const struct cli_command cli_command_rm = {
    .name = "rm",
    .words = "MODEL...",
    .summary = "delete models that gfxbridge pulled or imported",
    .about = "Deletes what pull or import wrote of a model, also of one that was never finished, "
             "and nothing that another model here needs too. What other programs put there stays: "
             "the error says which program removes it.",
    .run = rm_run,
};
