/* cmd_list.c - the models that are here, or that could be pulled. */
#include "cli/request.h"

enum { LIST_AVAILABLE };

static const struct cli_option list_options[] = {
    {"available", NULL, "the short list of models that can be pulled by name"},
    {NULL, NULL, NULL},
};

static const char *list_from(const struct model *m)
{
    static const char *const names[MODEL_ORIGINS] = {
        [MODEL_BUILTIN] = "built in",      [MODEL_HUB] = "Hugging Face cache",
        [MODEL_OLLAMA] = "Ollama's store", [MODEL_LMSTUDIO] = "LM Studio",
        [MODEL_LLAMACPP] = "llama.cpp",    [MODEL_LEMONADE] = "Lemonade",
        [MODEL_LOCAL] = "imported",
    };
    /* A store of our own in Ollama's layout. */
    return m->ours && m->origin == MODEL_OLLAMA ? "Ollama registry" : names[m->origin];
}

static void list_text(const struct model_list *list)
{
    int widest = 4;
    for (size_t i = 0; i < list->n; i++) {
        int n = (int)strlen(list->item[i].name);
        widest = n > widest ? n : widest;
    }
    if (list->n)
        printf("%-*s  %10s  %-10s  %s\n", widest, "NAME", "SIZE", "TASK", "FROM");
    for (size_t i = 0; i < list->n; i++) {
        const struct model *m = &list->item[i];
        char size[32];
        report_bytes_text(m->bytes, size, sizeof(size));
        printf("%-*s  %10s  %-10s  %s%s\n", widest, m->name, size, model_task_name(m->task),
               list_from(m),
               m->ours || m->origin == MODEL_BUILTIN ? "" : " (not pulled by gfxbridge)");
    }
}

static int list_here(struct cli *cli, struct gfxb_error *err)
{
    struct cli_models models;
    struct model_list list;
    cli_models_init(cli, &models);
    int result = 0;
    engine_model_list_new(&models.env, &list);
    cli_models_done(&models);
    if (cli->json) {
        json_t *array = json_array();
        for (size_t i = 0; i < list.n; i++)
            json_array_append_new(array, report_json_model(&list.item[i]));
        result = cli_print_json(json_pack("{s:o}", "models", array), err);
    } else {
        list_text(&list);
        if (list.n <= 1 && !cli->quiet)
            fputs("no other model is here yet: gfxbridge list --available names some to pull\n",
                  stderr);
    }
    model_list_done(&list);
    return result;
}

static int list_available(const struct cli *cli, struct gfxb_error *err)
{
    const struct model_knowns *all = model_knowns();
    json_t *models = cli->json ? json_array() : NULL;
    for (size_t i = 0; i < all->n; i++) {
        const struct model_known *row = &all->item[i];
        char size[32];
        if (models) {
            json_array_append_new(models, report_json_known(row));
            continue;
        }
        report_bytes_text(row->bytes, size, sizeof(size));
        printf("%-44.*s  %10s  %-10s  %.*s\n", STR_ARG(row->name), size, model_task_name(row->task),
               STR_ARG(row->labels));
    }
    return models ? cli_print_json(json_pack("{s:o}", "models", models), err) : 0;
}

static int list_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    return args->value[LIST_AVAILABLE] ? list_available(cli, err) : list_here(cli, err);
}

const struct cli_command cli_command_list = {
    .name = "list",
    .words = "",
    .summary = "the models on this computer, and whose they are",
    .about = "Looks into the Hugging Face cache, Ollama's store, the folders of LM Studio, "
             "llama.cpp and Lemonade, and at what was imported or pulled. Everything is used where "
             "it is. Only what is complete is listed.",
    .options = list_options,
    .run = list_run,
};
