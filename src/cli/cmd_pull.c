/* cmd_pull.c - brings a model here, with its progress for a person, a log file or a program. */
#include "cli/request.h"

struct progress {
    const struct cli *cli;
    const char *model; /* as the user said it */
    bool json;         /* one object a line on stdout, for a program */
    bool drawn;        /* a terminal's line is unfinished */
    int64_t shown;     /* when the last line was written, in ms */
    size_t file;       /* whose line it was */
};

/* ---- progress ---- */

#define PROGRESS_LOG_MS  5000 /* between two lines of one file in a log */
#define PROGRESS_JSON_MS 250

/* A line for programs: {"schema": 1, "event": EVENT, "model": ..., ...}; takes more over. */
static void progress_event(const struct progress *p, const char *event, json_t *more)
{
    json_t *line = json_pack("{s:i, s:s, s:s}", "schema", 1, "event", event, "model", p->model);
    if (line && more)
        json_object_update(line, more);
    if (line) {
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
    }
    json_decref(line);
    json_decref(more);
}

static json_t *progress_seconds(int64_t seconds)
{
    return seconds < 0 ? json_null() : json_integer(seconds);
}

static void progress_json(const struct progress *p, const struct model_progress *at)
{
    json_t *more = json_object();
    json_object_set_new(more, "file", report_json_text(at->file));
    json_object_set_new(more, "sha256", report_json_text(at->sha256));
    json_object_set_new(more, "file_index", json_integer((json_int_t)at->index + 1));
    json_object_set_new(more, "files", json_integer((json_int_t)at->n));
    json_object_set_new(more, "file_bytes", json_integer((json_int_t)at->at.bytes));
    json_object_set_new(more, "file_total", report_json_bytes(at->at.total));
    json_object_set_new(more, "bytes", json_integer((json_int_t)at->bytes));
    json_object_set_new(more, "total", report_json_bytes(at->total));
    json_object_set_new(more, "bytes_per_second", report_json_bytes(at->at.bytes_per_second));
    json_object_set_new(more, "remaining_seconds", progress_seconds(at->remaining_seconds));
    progress_event(p, "progress", more);
}

static void progress_show(void *context, const struct model_progress *at)
{
    struct progress *p = context;
    bool is_whole = at->at.total && at->at.bytes >= at->at.total;
    int64_t now = clock_now_ms();
    bool is_terminal = !p->json && isatty(STDERR_FILENO);
    int64_t pause = is_terminal ? 0 : p->json ? PROGRESS_JSON_MS : PROGRESS_LOG_MS;
    if (!is_whole && at->index == p->file && now - p->shown < pause)
        return;
    if (p->cli->quiet && !p->json)
        return;
    if (is_whole && at->index < p->file)
        return; /* said already */
    p->shown = now;
    p->file = is_whole ? at->index + 1 : at->index;
    if (p->json) {
        progress_json(p, at);
        return;
    }
    if (is_terminal)
        fputs("\r\033[K", stderr);
    if (at->n > 1)
        fprintf(stderr, "[%zu/%zu] ", at->index + 1, at->n);
    cli_progress_line(at->file, &at->at, at->remaining_seconds);
    p->drawn = is_terminal && !is_whole;
    if (!p->drawn)
        fputc('\n', stderr);
}

static void progress_end(struct progress *p)
{
    if (p->drawn)
        fputc('\n', stderr);
    p->drawn = false;
}

/* ---- the command ---- */

enum { PULL_PROGRESS, PULL_FORCE };

static const struct cli_option pull_options[] = {
    {"progress", "text|json", "json: one object a line on stdout, for programs"},
    {"force", NULL, "also what cannot run on this computer"},
    {NULL, NULL, NULL},
};

static void pull_say_error(struct progress *p, const struct gfxb_error *err)
{
    const char *code = gfxb_code_name(err->code);
    if (p->json)
        progress_event(p, "error", json_pack("{s:s?, s:s}", "code", code, "message", err->text));
    else
        fprintf(stderr, "gfxbridge: %s\n", err->text);
}

static void pull_say_done(const struct cli *cli, struct progress *p, const struct model *model,
                          json_t *models)
{
    if (p->json)
        progress_event(p, "done", json_pack("{s:o}", "result", report_json_model(model)));
    else if (models)
        json_array_append_new(models, report_json_model(model));
    else if (!cli->quiet)
        fprintf(stderr, "%s is here: gfxbridge run %s \"...\"\n", model->name, model->name);
}

static int pull_one(struct cli *cli, struct model_env *env, const char *name, bool json,
                    json_t *models, struct gfxb_error *err)
{
    struct progress progress = {.cli = cli, .model = name, .json = json};
    struct model model;
    env->progress = progress_show;
    env->context = &progress;
    if (json)
        progress_event(&progress, "start", NULL);
    int result = engine_model_pull(env, name, &model, err);
    progress_end(&progress);
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
    struct cli_models models;
    if (how && !json && strcmp(how, "text") != 0)
        return error_set(err, GFXB_E_USAGE, "--progress is text or json, not '%s'", how);
    cli_catch_signals();
    int result = 0;
    cli_models_init(cli, &models);
    if (!args->value[PULL_FORCE])
        result = cli_machine(cli, &models.env.machine, err);
    if (result == 0)
        result = pull_all(cli, &models.env, args, json, err);
    cli_models_done(&models);
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
