/* cmd_bench.c - measures every proven backend with a model of the user. */
#include "cli/cli.h"
#include "model/model.h"
#include "session/session.h"

enum { BENCH_MODEL = CLI_REQUEST_NEXT, BENCH_APPLY, BENCH_PLOT };
enum { BENCH_CONTEXT = 8192, BENCH_SHORT = 64, BENCH_ANSWER = 64, BENCH_SPARE = 64 };
/* A model that reads less for a token may be read from caches, which are faster than memory. */
#define BENCH_LIMIT_LEAST (UINT64_C(256) << 20)

static const struct cli_option bench_options[] = {
    CLI_REQUEST_OPTIONS,
    {"model", "MODEL", "measure with this model (default: the built-in canary)"},
    {"apply", NULL, "let --policy fastest go by these figures"},
    {"plot", "FILE.svg", "also draw answering over context depth; measures at five depths"},
    {NULL, NULL, NULL},
};

/* One choice of the plan: its figures, or why there are none. */
struct bench_item {
    const char *fingerprint, *package, *device, *reason; /* device and reason may be NULL */
    enum plan_backend backend;
    int code;                                                  /* GFXB_E_OK: measured */
    struct engine_bench_figures figures[ENGINE_BENCH_PROMPTS]; /* the shortest prompt first */
    double bandwidth;      /* bytes a second that it reads from memory; 0 unknown */
    const char *unlimited; /* why it is; NULL it is known */
};

struct bench {
    struct cli *cli;
    struct bench_item *item; /* owned; its texts are kept by cli */
    size_t n, n_measured;
    size_t n_prompts;                 /* figures of each */
    const struct bench_item *fastest; /* NULL: nothing was measured */
    bool proof_failed, missed;        /* just now: a proof; a measurement of what is proven */
    bool applied;
    const char *plot; /* file; NULL none */
};

/* The model, and the context to measure with: at most what it was trained for. */
static void bench_find_model(struct cli *cli, const char *name)
{
    struct gguf gguf;
    cli_check(cli, engine_model_find(cli_models(cli), name ? name : ENGINE_CANARY, &cli->model,
                                     &cli->err));
    cli_check(cli, gguf_read(cli->model.path, &gguf, &cli->err));
    cli_request_model(cli, &cli->model);
    cli->request.mmproj = NULL;
    cli->request.context =
        gguf.context && gguf.context < BENCH_CONTEXT ? (uint32_t)gguf.context : BENCH_CONTEXT;
    if (cli->model.origin == MODEL_BUILTIN) /* the engine that proves itself is measured */
        cli->request.model = NULL;
    gguf_done(&gguf);
}

/* The figures behind the longest prompt. */
static const struct engine_bench_figures *bench_last(const struct bench *b,
                                                     const struct bench_item *item)
{
    return &item->figures[b->n_prompts - 1];
}

/* Tokens a second at most, for each has to be read from memory; 0 unknown. */
static double bench_limit(const struct bench *b, const struct bench_item *item,
                          const struct engine_bench_figures *f)
{
    const struct model_use *use = b->cli->session.use;
    return item->bandwidth > 0 && use
               ? item->bandwidth /
                     (double)model_use_token_bytes(use, f->prompt_tokens + f->answer_tokens / 2)
               : 0;
}

/* How much of that it reaches; 0 unknown. */
static double bench_share(const struct bench *b, const struct bench_item *item,
                          const struct engine_bench_figures *f)
{
    double limit = bench_limit(b, item, f);
    return limit > 0 ? f->tokens_per_second / limit : 0;
}

static bool bench_has(const struct bench *b, const char *fingerprint)
{
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->item[i].fingerprint, fingerprint) == 0)
            return true;
    }
    return false;
}

/* A new item at the end. */
static struct bench_item *bench_add(struct bench *b, const struct plan_choice *c)
{
    b->item = xreallocarray(b->item, b->n + 1, sizeof(*b->item));
    b->item[b->n] = (struct bench_item){.fingerprint = cli_keep(b->cli, xstrdup(c->fingerprint)),
                                        .package = cli_keep(b->cli, xstrdup(c->package)),
                                        .backend = c->backend};
    return &b->item[b->n++];
}

/* Why there are no figures of it, at once for people; in the JSON they stand too. */
static void bench_add_failure(struct bench *b, const struct plan_choice *c, int code,
                              const char *what, const char *reason)
{
    struct bench_item *item = bench_add(b, c);
    item->code = code;
    item->reason = cli_keep(b->cli, xstrdup(reason));
    text_print(stderr, TEXT_BAD "%s" TEXT_END " with %s %s (%s): %s", plan_backend_name(c->backend),
               c->package, what, gfxb_code_name(code), reason);
}

/* Prove what is installed and not proven yet. */
static void bench_prove(struct bench *b)
{
    struct cli *cli = b->cli;
    const struct plan *plan = cli_plan(cli);
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        struct engine_proof proof;
        if (!c->installed || c->state != PLAN_USABLE)
            continue;
        cli_check(cli, session_prove(&cli->request, &cli->session, i, &proof, &cli->err));
        if (!proof.passed)
            bench_add_failure(b, c, proof.code, "failed its proof", proof.sentence);
        b->proof_failed |= !proof.passed;
        engine_proof_done(&proof);
    }
}

/* Tokens of the prompts; how many there are. */
static size_t bench_prompts(unsigned context, bool plot, unsigned ret_prompt[ENGINE_BENCH_PROMPTS])
{
    static const unsigned parts[] = {8, 4, 2};
    unsigned room = context > 2 * (BENCH_ANSWER + BENCH_SPARE)
                        ? context - BENCH_ANSWER - BENCH_SPARE
                        : context / 2;
    size_t n = 0;
    ret_prompt[n++] = room < BENCH_SHORT ? room : BENCH_SHORT;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && plot; i++)
        ret_prompt[n++] = room / parts[i];
    ret_prompt[n++] = room;
    return n;
}

/* How fast the choice reads memory, where that bounds what it answers with this model. */
static void bench_measure_limit(struct bench *b, size_t i, struct bench_item *item)
{
    struct cli *cli = b->cli;
    struct session *session = &cli->session;
    const struct plan_choice *c = &session->plan->choice[i];
    if (!session->use || model_use_token_bytes(session->use, 0) < BENCH_LIMIT_LEAST) {
        item->unlimited = "the model is so small that caches may hold it";
        return;
    }
    if (c->backend != PLAN_CPU && c->gpu_layers <= c->layers) {
        item->unlimited = "a part of the model is on the CPU";
        return;
    }
    log_at(&cli->log, LOG_INFO, "measuring how fast %s reads memory",
           plan_backend_name(c->backend));
    cli_check(cli, session_bandwidth(&cli->request, session, i, &item->bandwidth, &cli->err));
    if (item->bandwidth <= 0)
        item->unlimited = cli_keep(cli, xstrdup(cli->err.text));
}

/* A failure is told and left out; only an interruption and this computer's own end the rest. */
static void bench_measure(struct bench *b, size_t i)
{
    struct cli *cli = b->cli;
    struct session *session = &cli->session;
    const struct plan_choice *c = &session->plan->choice[i];
    unsigned prompt[ENGINE_BENCH_PROMPTS];
    b->n_prompts =
        bench_prompts(c->context ? c->context : cli->request.context, b->plot != NULL, prompt);
    struct engine_bench_spec spec = {.prompt = prompt,
                                     .n_prompts = b->n_prompts,
                                     .answer_tokens = BENCH_ANSWER,
                                     .cancel = &cli_cancelled,
                                     .log = &cli->log};
    struct engine_bench_figures figures[ENGINE_BENCH_PROMPTS];
    char device[256];
    log_at(&cli->log, LOG_INFO, "measuring %s with %s", plan_backend_name(c->backend), c->package);
    int result = session_start_proven(&cli->request, session, i, &cli->err);
    if (result == 0)
        result = engine_bench(session->engine, &spec, figures, &cli->err);
    engine_placement_text(&session->placement, device, sizeof(device));
    session_stop_engine(session);
    if (result == -GFXB_E_INTERRUPTED)
        cli_fail(cli);
    b->missed |= result < 0 || figures[b->n_prompts - 1].tokens_per_second <= 0.0;
    if (result < 0) {
        bench_add_failure(b, c, -result, "could not be measured", cli->err.text);
        return;
    }
    struct bench_item *item = bench_add(b, c);
    item->device = cli_keep(cli, xstrdup(device));
    memcpy(item->figures, figures, b->n_prompts * sizeof(figures[0]));
    b->n_measured++;
    bench_measure_limit(b, i, item);
}

static void bench_all(struct bench *b)
{
    const struct plan *plan = cli_plan(b->cli);
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (c->state == PLAN_PROVEN)
            bench_measure(b, i);
        else if (c->installed && c->code != GFXB_E_POLICY && !bench_has(b, c->fingerprint))
            bench_add_failure(b, c, c->code, "is left out", c->reason);
    }
    if (b->n == 0)
        cli_die(b->cli, GFXB_E_NO_PACKAGE,
                "nothing is installed here that could be measured: gfxbridge backends install "
                "%.*s:cpu brings the first",
                STR_ARG(gfx_engine_default()));
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        if (item->code != GFXB_E_OK)
            continue;
        double speed = bench_last(b, item)->tokens_per_second;
        if (speed > 0.0 && (!b->fastest || speed > bench_last(b, b->fastest)->tokens_per_second))
            b->fastest = item;
    }
}

/* All that is proven, or nothing: a part would be ranked beside figures of other work. */
static void bench_apply(struct bench *b)
{
    struct cli *cli = b->cli;
    if (b->missed || !b->fastest) {
        text_print(stderr, "nothing is applied: not all that is proven here was measured");
        return;
    }
    struct engine_proofs_speed *CLEAN_FREE speed = xcalloc(b->n, sizeof(*speed));
    char *CLEAN_FREE with = xasprintf("%s, %u tokens", cli->model.name, cli->request.context);
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        if (item->code == GFXB_E_OK)
            speed[n++] = (struct engine_proofs_speed){item->fingerprint,
                                                      bench_last(b, item)->tokens_per_second};
    }
    cli_check(cli, engine_proofs_set_bench(cli->request.data_dir, speed, n, with, &cli_cancelled,
                                           &cli->err));
    b->applied = true;
}

/* ---- words ---- */

static json_t *bench_json_speed(double tokens_per_second)
{
    return tokens_per_second > 0.0 ? json_real(tokens_per_second) : json_null();
}

static json_t *bench_json_figures(const struct bench *b, const struct bench_item *item, size_t i)
{
    const struct engine_bench_figures *f = &item->figures[i];
    return json_pack("{s:i, s:i, s:o, s:o, s:i, s:o, s:o}", "prompt_tokens", (int)f->prompt_tokens,
                     "answer_tokens", (int)f->answer_tokens, "prompt_per_second",
                     bench_json_speed(f->prompt_per_second), "tokens_per_second",
                     bench_json_speed(f->tokens_per_second), "runs", (int)f->runs,
                     "limit_tokens_per_second", bench_json_speed(bench_limit(b, item, f)),
                     "share_of_limit", bench_json_speed(bench_share(b, item, f)));
}

static json_t *bench_json_item(const struct bench *b, const struct bench_item *item)
{
    json_t *object = json_pack("{s:s, s:o, s:o}", "backend", plan_backend_name(item->backend),
                               "package", report_json_text(item->package), "fingerprint",
                               report_json_text(item->fingerprint));
    if (item->code != GFXB_E_OK) {
        json_object_set_new(object, "code", json_string(gfxb_code_name(item->code)));
        json_object_set_new(object, "reason", report_json_text(item->reason));
        return object;
    }
    json_t *depths = json_array();
    for (size_t i = 0; i < b->n_prompts; i++)
        json_array_append_new(depths, bench_json_figures(b, item, i));
    json_object_update_new(
        object, json_pack("{s:o, s:O, s:O, s:o, s:o, s:o}", "device",
                          report_json_text(item->device), "short", json_array_get(depths, 0),
                          "long", json_array_get(depths, b->n_prompts - 1), "depths", depths,
                          "bandwidth_bytes_per_second", bench_json_speed(item->bandwidth),
                          "bandwidth_unknown",
                          item->unlimited ? report_json_text(item->unlimited) : json_null()));
    return object;
}

static json_t *bench_json(const struct bench *b)
{
    json_t *results = json_array(), *failed = json_array();
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        json_array_append_new(item->code == GFXB_E_OK ? results : failed, bench_json_item(b, item));
    }
    return json_pack("{s:s?, s:o, s:i, s:b, s:o, s:o}", "fastest",
                     b->fastest ? plan_backend_name(b->fastest->backend) : NULL, "model",
                     report_json_text(b->cli->model.name), "context", (int)b->cli->request.context,
                     "applied", (int)b->applied, "results", results, "failed", failed);
}

/* In a column of 14; size: of ret_text. */
static const char *bench_speed_text(double tokens_per_second, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%.1f", tokens_per_second);
    return tokens_per_second > 0.0 ? ret_text : "not measured";
}

static void bench_print_item(const struct bench *b, const struct bench_item *item)
{
    char reading[32], answering[32], share[32];
    for (size_t i = 0; i < b->n_prompts; i++) {
        const struct engine_bench_figures *f = &item->figures[i];
        double reached = bench_share(b, item, f);
        snprintf(share, sizeof(share), "%.0f %%", 100 * reached);
        printf("%-16s %8u %14s %14s %9s  %s\n", plan_backend_name(item->backend), f->prompt_tokens,
               bench_speed_text(f->prompt_per_second, reading, sizeof(reading)),
               bench_speed_text(f->tokens_per_second, answering, sizeof(answering)),
               reached > 0 ? share : "unknown", item->device);
    }
}

/* What the last column means, for one of the results. */
static void bench_print_limit(const struct bench *b, const struct bench_item *item)
{
    const struct engine_bench_figures *f = &item->figures[0];
    const char *name = plan_backend_name(item->backend);
    if (item->unlimited)
        text_print(stdout, "The limit of %s is unknown: %s.", name, item->unlimited);
    else
        text_print(stdout,
                   "%s reaches %.0f %% of what this device can do: %.1f GB are read for each "
                   "token, and memory gives %.1f GB/s (measured), so %.1f tokens/s are the limit.",
                   name, 100 * bench_share(b, item, f),
                   item->bandwidth / bench_limit(b, item, f) / 1e9, item->bandwidth / 1e9,
                   bench_limit(b, item, f));
}

static void bench_print(const struct bench *b)
{
    if (b->fastest)
        text_print(stdout, "fastest: %s with %s, %.1f tokens/s with %s%s",
                   plan_backend_name(b->fastest->backend), b->fastest->package,
                   bench_last(b, b->fastest)->tokens_per_second, b->cli->model.name,
                   b->applied ? "; --policy fastest goes by these figures now" : "");
    if (b->n_measured)
        printf("%-16s %8s %14s %14s %9s  %s\n", "tokens/s", "prompt", "reading", "answering",
               "of limit", "on");
    for (size_t i = 0; i < b->n; i++) {
        if (b->item[i].code == GFXB_E_OK)
            bench_print_item(b, &b->item[i]);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->item[i].code == GFXB_E_OK)
            bench_print_limit(b, &b->item[i]);
    }
    if (b->n_measured && b->cli->request.context < BENCH_CONTEXT)
        text_print(stdout, "The long prompt is bounded by the model's own context of %u tokens.",
                   b->cli->request.context);
}

static void bench_draw(struct bench *b)
{
    struct cli *cli = b->cli;
    struct plot_line *CLEAN_FREE line = xcalloc(b->n, sizeof(*line));
    char *CLEAN_FREE title = xasprintf("%s on this computer", cli->model.name);
    struct buf CLEAN_BUF svg = BUF_INIT(1 << 20);
    struct plot plot = {.title = title,
                        .x_name = "tokens of context",
                        .y_name = "tokens/s",
                        .limit_name = "dashed: limit of the memory",
                        .line = line};
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        struct plot_line *l = &line[plot.n_lines];
        if (item->code != GFXB_E_OK)
            continue;
        plot.n_lines++;
        l->name = plan_backend_name(item->backend);
        for (l->n = 0; l->n < b->n_prompts; l->n++) {
            const struct engine_bench_figures *f = &item->figures[l->n];
            l->x[l->n] = f->prompt_tokens;
            l->y[l->n] = f->tokens_per_second;
            l->limit[l->n] = bench_limit(b, item, f);
        }
    }
    plot_print(&plot, &svg);
    cli_check(cli, fs_write(b->plot, svg.p, svg.n, 0644, &cli->err));
}

static int bench_run(struct cli *cli, const struct cli_args *args)
{
    struct bench b = {.cli = cli, .plot = args->value[BENCH_PLOT]};
    bool narrowed = args->value[CLI_REQUEST_BACKEND] || args->value[CLI_REQUEST_POLICY] ||
                    args->value[CLI_REQUEST_GPU];
    if (args->value[BENCH_APPLY] && narrowed)
        cli_die(cli, GFXB_E_USAGE,
                "--apply compares all that is proven here: leave --backend, --policy and --gpu "
                "out");
    cli_catch_signals();
    cli_read_request(cli, args)->request.no_network = true;
    bench_find_model(cli, args->value[BENCH_MODEL]);
    bench_prove(&b);
    bench_all(&b);
    if (args->value[BENCH_APPLY])
        bench_apply(&b);
    if (b.plot)
        bench_draw(&b);
    if (cli->json)
        cli_print_json(cli, bench_json(&b));
    else
        bench_print(&b);
    bool incomplete = b.missed || !b.fastest;
    free(b.item);
    return b.proof_failed ? CLI_PROOF_FAILED : incomplete ? CLI_FAILED : CLI_DONE;
}

const struct cli_command cli_command_bench = {
    .name = "bench",
    .summary = "tokens/s of every proven backend",
    .about = "Proves what is installed and not yet proven, without the network, then measures "
             "reading and answering on every proven backend: after a warm-up the median of up to "
             "three runs, with a prompt of 64 tokens and with one that fills a context of 8192, or "
             "the model's own where that is shorter. All figures are the engine's counts and "
             "clock. Beside them stands how much of the device's limit that is: bytes that a token "
             "reads, over bytes a second that memory was measured to give.\n"
             "With --apply the answering speed behind the long prompt is stored with every proof, "
             "all or none, and the policy fastest ranks by it as long as everything that is proven "
             "has such a figure of the same model. It belongs to the proof: a new kernel, driver, "
             "package or GPU ends it.\n"
             "The exit code is 4 when a proof failed on the way, and 1 when something that is "
             "proven could not be measured; what was measured is still shown.",
    .options = bench_options,
    .live = true,
    .run = bench_run,
};
