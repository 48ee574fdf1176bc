/* cmd_pull.c - brings a model here, with its progress for a person, a log file or a program. */
#include "cli/cli.h"

enum { PULL_PROGRESS, PULL_FORCE };

static const struct cli_option pull_options[] = {
    {"progress", "text|json", "json: one object a line on stdout, for programs"},
    {"force", NULL, "also what cannot run on this computer"},
    {NULL, NULL, NULL},
};

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
    if (line) {
        json_object_update(line, more);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
    }
    json_decref(line);
    json_decref(more);
}

static json_t *progress_json(const struct model_progress *at)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:o}", "file",
                     report_json_text(at->file), "sha256", report_json_text(at->sha256),
                     "file_index", (json_int_t)at->index + 1, "files", (json_int_t)at->n,
                     "file_bytes", (json_int_t)at->at.bytes, "file_total",
                     report_json_bytes(at->at.total), "bytes", (json_int_t)at->bytes, "total",
                     report_json_bytes(at->total), "bytes_per_second",
                     report_json_bytes(at->at.bytes_per_second), "remaining_seconds",
                     report_json_number(at->remaining_seconds));
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
        progress_event(p, "progress", progress_json(at));
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

/* ---- the command ---- */

/* Bring one model here and tell of it, or why not. models: where it is told instead; NULL none. */
static int pull_one(struct cli *cli, const char *name, bool json, json_t *models)
{
    struct progress progress = {.cli = cli, .model = name, .json = json};
    struct model_env *env = cli_models(cli);
    struct model model;
    env->progress = progress_show;
    env->context = &progress;
    if (json)
        progress_event(&progress, "start", NULL);
    int result = engine_model_pull(env, name, &model, &cli->err);
    if (progress.drawn)
        fputc('\n', stderr);
    if (result < 0 && json)
        progress_event(&progress, "error",
                       json_pack("{s:s?, s:s}", "code", gfxb_code_name(cli->err.code), "message",
                                 cli->err.text));
    else if (result < 0)
        fprintf(stderr, "gfxbridge: %s\n", cli->err.text);
    else if (json)
        progress_event(&progress, "done", json_pack("{s:o}", "result", report_json_model(&model)));
    else if (models)
        json_array_append_new(models, report_json_model(&model));
    else if (!cli->quiet)
        fprintf(stderr, "%s is here: gfxbridge run %s \"...\"\n", model.name, model.name);
    if (result >= 0)
        model_done(&model);
    return result;
}

/* What ends all of them: the user's request, a full disk, no network. */
static bool pull_is_hopeless(int result)
{
    return result == -GFXB_E_INTERRUPTED || result == -GFXB_E_DISK_FULL ||
           result == -GFXB_E_OFFLINE;
}

static int pull_run(struct cli *cli, const struct cli_args *args)
{
    const char *how = args->value[PULL_PROGRESS];
    bool json = how && strcmp(how, "json") == 0;
    int worst = 0;
    if (how && !json && strcmp(how, "text") != 0)
        cli_die(cli, GFXB_E_USAGE, "--progress is text or json, not '%s'", how);
    cli_catch_signals();
    cli_models(cli)->machine = args->value[PULL_FORCE] ? NULL : cli_machine(cli);
    json_t *models = cli->json && !json ? json_array() : NULL;
    for (size_t i = 0; i < args->n_words && !pull_is_hopeless(worst); i++) {
        int result = pull_one(cli, args->word[i], json, models);
        worst = result < 0 ? result : worst;
    }
    if (models)
        cli_print_json(cli, json_pack("{s:o}", "models", models));
    return worst == -GFXB_E_INTERRUPTED ? CLI_INTERRUPTED : worst < 0 ? CLI_FAILED : CLI_DONE;
}

const struct cli_command cli_command_pull = {
    .name = "pull",
    .words = "MODEL...",
    .summary = "bring models here, or find that they are here",
    .about = "MODEL is a name of `list --available`, org/repo[:QUANT] or org/repo/file.gguf of the "
             "Hugging Face hub (hf.co/... too), a name[:tag] or user/name of the Ollama registry, "
             "the address of a page of one of them, or a URL with its digest "
             "(https://host/file.gguf#sha256=HEX). What a broken-off pull brought is "
             "not fetched again. Models of the hub go into its usual cache, where other programs "
             "find them. What cannot run on this computer is refused before the first byte.",
    .options = pull_options,
    .run = pull_run,
};
