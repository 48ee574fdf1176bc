/* cmd_list.c - the models that are here, or that could be pulled. */
#include "cli/cli.h"

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
        int n = (int)strlen(model_shown(&list->item[i]));
        widest = n > widest ? n : widest;
    }
    if (list->n)
        printf("%-*s  %10s  %-10s  %s\n", widest, "NAME", "SIZE", "TASK", "FROM");
    for (size_t i = 0; i < list->n; i++) {
        const struct model *m = &list->item[i];
        if (m->alias) {
            printf("%-*s  %10s  %-10s  stands for %s\n", widest, m->alias, "",
                   model_task_name(m->task), m->name);
            continue;
        }
        printf("%-*s  %10s  %-10s  %s%s\n", widest, m->name, report_known_bytes(m->bytes).text,
               model_task_name(m->task), list_from(m),
               m->ours || m->origin == MODEL_BUILTIN ? "" : " (not pulled by gfxbridge)");
    }
}

/* models NULL: as text. */
static void list_here(struct cli *cli, json_t *models)
{
    struct model_list list;
    engine_model_list_new(cli_models(cli), &list);
    for (size_t i = 0; models && i < list.n; i++)
        json_array_append_new(models, report_json_model(&list.item[i]));
    if (!models)
        list_text(&list);
    if (!models && list.n <= 1 && !cli->quiet)
        fputs("no other model is here yet: gfxbridge list --available names some to pull\n",
              stderr);
    model_list_done(&list);
}

static void list_available(json_t *models)
{
    const struct model_knowns *all = model_knowns();
    for (size_t i = 0; i < all->n; i++) {
        const struct model_known *row = &all->item[i];
        if (models)
            json_array_append_new(models, report_json_known(row));
        else
            printf("%-44.*s  %10s  %-10s  %.*s\n", STR_ARG(row->name),
                   report_known_bytes(row->bytes).text, model_task_name(row->task),
                   STR_ARG(row->labels));
    }
}

static int list_run(struct cli *cli, const struct cli_args *args)
{
    json_t *models = cli->json ? json_array() : NULL;
    if (args->value[LIST_AVAILABLE])
        list_available(models);
    else
        list_here(cli, models);
    if (models)
        cli_print_json(cli, json_pack("{s:o}", "models", models));
    return CLI_DONE;
}

const struct cli_command cli_command_list = {
    .name = "list",
    .summary = "the models on this computer, and whose they are",
    .about = "Looks into the Hugging Face cache, Ollama's store, the folders of LM Studio, "
             "llama.cpp and Lemonade, and at what was imported or pulled. Everything is used where "
             "it is. Only what is complete is listed.",
    .options = list_options,
    .run = list_run,
};
