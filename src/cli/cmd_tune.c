/* cmd_tune.c - the engine's fastest settings for a model on this computer. */
#include "cli/cli.h"

#include <math.h>

enum { TUNE_MINUTES = CLI_REQUEST_NEXT, TUNE_WORK, TUNE_APPLY, TUNE_RESET };
enum { TUNE_MINUTES_USUAL = 15, TUNE_MINUTES_MOST = 24 * 60 };

static const struct cli_option tune_options[] = {
    CLI_REQUEST_OPTIONS,
    {"minutes", "N", "measure for about this long at most (default 15)"},
    {"for", "chat|agents|batch", "the work to be fast at (default chat)"},
    {"apply", NULL, "use what is found from now on"},
    {"reset", NULL, "forget what was found for this model"},
    {NULL, NULL, NULL},
};

/* One line on a terminal, written over itself. */
static void tune_progress(void *context, const char *what, double done, int64_t left_ms)
{
    const struct cli *cli = context;
    const long long seconds = (long long)(left_ms + 999) / 1000;
    if (cli->quiet || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[Ktune: %2.0f %%, about %lld:%02lld left: %.100s", 100.0 * done,
            seconds / 60, seconds % 60, what);
    fflush(stderr);
}

static void tune_progress_end(const struct cli *cli)
{
    if (!cli->quiet && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- words ---- */

static double tune_number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static void tune_print_figures(const char *when, const json_t *figures)
{
    const json_t *start = json_object_get(figures, "start"), *depth;
    size_t i;
    json_array_foreach(json_object_get(figures, "depths"), i, depth)
        printf("%-8s %8.0f %12.1f %12.1f %10.0f ms\n", when, tune_number(depth, "prompt_tokens"),
               tune_number(depth, "prompt_per_second"), tune_number(depth, "tokens_per_second"),
               tune_number(depth, "first_token_ms"));
    if (!figures)
        return;
    printf("%-8s memory: %.0f MiB", when, tune_number(figures, "host_bytes") / (1 << 20));
    if (tune_number(figures, "gpu_mib") > 0.0)
        printf(" and %.0f MiB on the GPU", tune_number(figures, "gpu_mib"));
    printf("; starts in %.1f s", tune_number(start, "warm_ms") / 1000.0);
    if (tune_number(start, "cold_ms") > 0.0)
        printf(", from the disk in %.1f s (reading the file alone: %.1f s)",
               tune_number(start, "cold_ms") / 1000.0, tune_number(start, "read_ms") / 1000.0);
    printf("\n");
}

/* "-ub 256 -t 4" */
static void tune_settings_text(const json_t *result, struct buf *ret)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(result, "settings"), i, one)
        buf_addf(ret, "%s%s", i ? " " : "", json_string_value(one));
    if (!ret->n)
        buf_add_text(ret, "the engine's own settings");
}

static void tune_print(const json_t *result, const char *model, bool applied)
{
    const json_t *check = json_object_get(result, "check");
    const char *backend = cli_json_text(result, "backend"), *work = cli_json_text(result, "for");
    struct buf CLEAN_BUF settings = BUF_INIT(4096);
    double gain = tune_number(result, "gain"), start = tune_number(result, "start_gain");
    tune_settings_text(result, &settings);
    if (!json_is_true(json_object_get(result, "better")))
        text_print(stdout,
                   TEXT_STRONG "The engine's own settings stay" TEXT_END
                               ": nothing was faster for %s with %s by more than the noise.",
                   work, model);
    else
        text_print(stdout, TEXT_STRONG "%s with %s" TEXT_END, backend, buf_text(&settings));
    if (gain > 1.0)
        text_print(stdout, "%.1f %% faster for %s than the engine's own settings (± %.1f %%)",
                   100.0 * (gain - 1.0), work, 100.0 * tune_number(result, "spread"));
    if (start > 1.0)
        text_print(stdout, "starts %.1f times as fast", start);
    if (json_object_get(result, "before"))
        printf("%-8s %8s %12s %12s %13s\n", "tokens/s", "prompt", "reading", "answering",
               "first token");
    tune_print_figures("before", json_object_get(result, "before"));
    tune_print_figures("after", json_object_get(result, "after"));
    if (json_is_true(json_object_get(result, "better")))
        text_print(stdout,
                   "checked: the canary's answers to the byte; the first tokens of %.0f prompts of "
                   "this model, log-probabilities at most %.2f apart (%.2f allowed)",
                   tune_number(check, "prompts"), tune_number(check, "greatest"),
                   tune_number(check, "allowed"));
    if (json_is_true(json_object_get(result, "better")))
        text_print(stdout,
                   applied ? "run, chat, bench and serve use it from now on; gfxbridge tune %s "
                             "--reset forgets it."
                           : "Not used yet: gfxbridge tune %s --apply uses it.",
                   model);
}

static void tune_show(struct cli *cli, json_t *result, const char *model, bool applied,
                      bool interrupted)
{
    json_object_update_new(result, json_pack("{s:o, s:b, s:b}", "model", report_json_text(model),
                                             "applied", applied, "interrupted", interrupted));
    json_object_del(result, "state");
    json_object_del(result, "time");
    if (cli->json)
        cli_print_json(cli, json_incref(result));
    else
        tune_print(result, model, applied);
}

static int tune_reset(struct cli *cli, const char *model)
{
    unsigned n = 0;
    cli_check(cli, session_tune_reset(&cli->request, &n, &cli->err));
    if (cli->json)
        cli_print_json(
            cli, json_pack("{s:o, s:i}", "model", report_json_text(model), "removed", (int)n));
    else
        text_print(stdout,
                   n ? "%s starts with the engine's own settings again."
                     : "Nothing is stored for %s.",
                   model);
    return CLI_DONE;
}

static int tune_run(struct cli *cli, const struct cli_args *args)
{
    const char *minutes = args->value[TUNE_MINUTES], *work = args->value[TUNE_WORK];
    const char *name = args->word[0];
    int for_number = tune_for_from_name(work ? work : "chat");
    json_t *result = NULL;
    if (for_number < 0)
        cli_die(cli, GFXB_E_USAGE, "no such work: '%s'; they are chat, agents and batch", work);
    if (args->value[TUNE_RESET] && (args->value[TUNE_APPLY] || work || minutes))
        cli_die(cli, GFXB_E_USAGE, "--reset measures nothing: leave the other options out");
    unsigned n =
        minutes ? cli_number(cli, "minutes", minutes, 1, TUNE_MINUTES_MOST) : TUNE_MINUTES_USUAL;
    cli_catch_signals();
    cli_read_request(cli, args);
    cli_check(cli, engine_model_find(cli_models(cli), name, &cli->model, &cli->err));
    cli_request_model(cli, &cli->model);
    if (cli->model.origin == MODEL_BUILTIN)
        cli->request.model = NULL;
    if (args->value[TUNE_RESET])
        return tune_reset(cli, name);
    cli_request_served(cli);
    cli_request_options(cli, name);
    struct session_tune tune = {.work = (enum tune_for)for_number,
                                .budget_ms = (int64_t)n * 60000,
                                .apply = args->value[TUNE_APPLY] != NULL,
                                .progress = tune_progress,
                                .context = cli};
    int code = session_tune(&cli->request, &tune, &cli->session, &result, &cli->err);
    tune_progress_end(cli);
    bool better = json_is_true(json_object_get(result, "better"));
    bool applied = tune.apply && better && (code == 0 || code == -GFXB_E_INTERRUPTED);
    cli->answer = result;
    if (result && (code == 0 || applied))
        tune_show(cli, result, name, applied, code < 0);
    if (code < 0)
        cli_check_bring_up(cli, code);
    return CLI_DONE;
}

const struct cli_command cli_command_tune = {
    .name = "tune",
    .words = "MODEL",
    .summary = "measure the engine's fastest settings for a model here",
    .about =
        "Measures the engine's settings on this computer with this model: flash attention, batch "
        "sizes, cache types, threads, layers on the GPU, how the file is read, and the backend "
        "itself where several are proven. Short measurements come first; the faster half of the "
        "settings is measured longer. Settings win only when they are faster than the engine's own "
        "by more than the noise, and when the canary answers to the byte and the model's own first "
        "tokens stay as they are.\n"
        "With --apply the winner is stored for this model on this computer: run, chat, bench and "
        "serve use it. What a recipe or an option says stays above it. --reset forgets it.\n"
        "Interrupted, it goes on from there when it is called again within a day; with --apply "
        "what has won by then is kept. Nothing else should compute meanwhile.\n"
        "The exit code is 0 too when the engine's own settings stay.",
    .options = tune_options,
    .live = true,
    .run = tune_run,
};
