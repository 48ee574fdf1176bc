#include "cli/directories.h"
#include "cli/progress.h"

enum { PULL_PROGRESS, PULL_FORCE };

static const struct cli_option pull_options[] = {
    {"progress", "text|json", "json: one object a line on stdout, for programs"},
    {"force", NULL, "also what cannot run on this computer"},
    {NULL, NULL, NULL},
};

static void pull_say_error(struct cli_progress *p, const struct gfxb_error *err)
{
    const char *code = gfxb_code_name(err->code);
    if (p->json)
        cli_progress_event(p, "error",
                           json_pack("{s:s?, s:s}", "code", code, "message", err->text));
    else
        fprintf(stderr, "gfxbridge: %s\n", err->text);
}

static void pull_say_done(const struct cli *cli, struct cli_progress *p, const struct model *model,
                          json_t *models)
{
    if (p->json)
        cli_progress_event(p, "done", json_pack("{s:o}", "result", report_json_model(model)));
    else if (models)
        json_array_append_new(models, report_json_model(model));
    else if (!cli->quiet)
        fprintf(stderr, "%s is here: gfxbridge run %s \"...\"\n", model->name, model->name);
}

static int pull_one(struct cli *cli, struct model_env *env, const char *name, bool json,
                    json_t *models, struct gfxb_error *err)
{
    struct cli_progress progress = {.cli = cli, .model = name, .json = json};
    struct model model;
    env->progress = cli_progress_show;
    env->context = &progress;
    if (json)
        cli_progress_event(&progress, "start", NULL);
    int result = engine_model_pull(env, name, &model, err);
    cli_progress_end(&progress);
    if (result < 0) {
        pull_say_error(&progress, err);
        return result;
    }
    pull_say_done(cli, &progress, &model, models);
    model_done(&model);
    return 0;
}

/* What ends all of them: the user's request, a full disk, no network. */
static bool pull_is_hopeless(int result)
{
    return result == -GFXB_E_INTERRUPTED || result == -GFXB_E_DISK_FULL ||
           result == -GFXB_E_OFFLINE;
}

static int pull_all(struct cli *cli, struct model_env *env, const struct cli_args *args, bool json,
                    struct gfxb_error *err)
{
    json_t *models = cli->json && !json ? json_array() : NULL;
    int worst = 0;
    for (size_t i = 0; i < args->n_words && !pull_is_hopeless(worst); i++) {
        int result = pull_one(cli, env, args->word[i], json, models, err);
        if (result < 0)
            worst = result;
    }
    if (worst == -GFXB_E_INTERRUPTED)
        worst = CLI_INTERRUPTED;
    else if (worst < 0)
        worst = CLI_FAILED; /* its sentence is out already */
    if (!models)
        return worst;
    int result = cli_print_json(json_pack("{s:o}", "models", models), err);
    return result < 0 ? result : worst;
}

static int pull_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const char *how = args->value[PULL_PROGRESS];
    bool json = how && strcmp(how, "json") == 0;
    struct cli_places places;
    if (how && !json && strcmp(how, "text") != 0)
        return error_set(err, GFXB_E_USAGE, "--progress is text or json, not '%s'", how);
    cli_catch_signals();
    int result = cli_places_new(cli, &places, err);
    if (result < 0)
        return result;
    if (!args->value[PULL_FORCE])
        result = cli_machine(cli, &places.env.machine, err);
    if (result == 0)
        result = pull_all(cli, &places.env, args, json, err);
    cli_places_done(&places);
    return result;
}

const struct cli_command cli_command_pull = {
    .name = "pull",
    .words = "MODEL...",
    .min_words = 1,
    .max_words = SIZE_MAX,
    .summary = "bring models here, or find that they are here",
    .about = "MODEL is a name of `list --available`, org/repo[:QUANT] or org/repo/file.gguf of the "
             "Hugging Face hub (hf.co/... too), a name[:tag] of the Ollama library, or a URL with "
             "its digest, https://host/file.gguf#sha256=HEX. What a broken-off pull brought is "
             "not fetched again. Models of the hub go into its usual cache, where other programs "
             "find them. What cannot run on this computer is refused before the first byte.",
    .options = pull_options,
    .run = pull_run,
};
