/* cmd_import.c - takes a GGUF file of the user into the models. */
#include "cli/cli.h"

enum { IMPORT_NAME, IMPORT_MMPROJ };

static const struct cli_option import_options[] = {
    {"name", "NAME", "what to call it (default: the file's name)"},
    {"mmproj", "FILE", "the projector that goes with it"},
    {NULL, NULL, NULL},
};

static int import_run(struct cli *cli, const struct cli_args *args)
{
    struct model *model = &cli->model;
    cli_catch_signals();
    cli_need_data_dir(cli);
    cli_check(cli, model_import(cli_models(cli), args->word[0], args->value[IMPORT_MMPROJ],
                                args->value[IMPORT_NAME], model, &cli->err));
    if (cli->json)
        cli_print_json(cli, json_pack("{s:o}", "model", report_json_model(model)));
    else if (!cli->quiet)
        fprintf(stderr, "%s is here: gfxbridge run %s \"...\"\n", model->name, model->name);
    return CLI_DONE;
}

const struct cli_command cli_command_import = {
    .name = "import",
    .words = "FILE",
    .summary = "take a GGUF file in under a name",
    .about =
        "Checks the header, then links the file (with all parts of a split model) into "
        "gfxbridge's store; where it lies on another file system it is copied. The file itself "
        "stays where it is. A file can also be run by its path without this.",
    .options = import_options,
    .run = import_run,
};
