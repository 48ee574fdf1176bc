/* cmd_rm.c - removes what we wrote of a model. */
#include "cli/request.h"

static int rm_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct cli_models models;
    uint64_t freed = 0;
    int result = 0;
    cli_catch_signals();
    cli_models_init(cli, &models);
    for (size_t i = 0; result == 0 && i < args->n_words; i++) {
        uint64_t bytes = 0;
        result = engine_model_remove(&models.env, args->word[i], &bytes, err);
        freed += bytes;
    }
    cli_models_done(&models);
    if (result < 0)
        return result;
    char size[32];
    report_bytes_text(freed, size, sizeof(size));
    if (cli->json)
        return cli_print_json(json_pack("{s:I}", "freed_bytes", (json_int_t)freed), err);
    if (!cli->quiet)
        fprintf(stderr, "removed; %s are free again\n", freed ? size : "0 B");
    return 0;
}

const struct cli_command cli_command_rm = {
    .name = "rm",
    .words = "MODEL...",
    .min_words = 1,
    .max_words = SIZE_MAX,
    .summary = "delete models that gfxbridge pulled or imported",
    .about = "Deletes what pull or import wrote of a model, also of one that was never finished, "
             "and nothing that another model here needs too. What other programs put there stays: "
             "the error says which program removes it.",
    .run = rm_run,
};
