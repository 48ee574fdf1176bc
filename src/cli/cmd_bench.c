/* cmd_bench.c - measures every proven backend with a model of the user. */
#include "cli/cli.h"
#include "model/model.h"
#include "session/session.h"

enum { BENCH_MODEL = CLI_REQUEST_NEXT, BENCH_APPLY };
enum { BENCH_CONTEXT = 8192, BENCH_SHORT = 64, BENCH_ANSWER = 64, BENCH_SPARE = 64 };

static const struct cli_option bench_options[] = {
    CLI_REQUEST_OPTIONS,
    {"model", "MODEL", "measure with this model (default: the built-in canary)"},
    {"apply", NULL, "let --policy fastest go by these figures"},
    {NULL, NULL, NULL},
};

/* One choice of the plan: its figures, or why there are none. */
struct bench_item {
    const char *fingerprint, *package, *device, *reason; /* device and reason may be NULL */
    enum plan_backend backend;
    int code; /* GFXB_E_OK: measured */
    struct engine_bench figures;
};

struct bench {
    struct cli *cli;
    struct bench_item *item; /* owned; its texts are kept by cli */
    size_t n, n_measured;
    const struct bench_item *fastest; /* NULL: nothing was measured */
    bool proof_failed, missed;        /* just now: a proof; a measurement of what is proven */
    bool applied;
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

/* A failure is told and left out; only an interruption and this computer's own end the rest. */
static void bench_measure(struct bench *b, size_t i)
{
    struct cli *cli = b->cli;
    struct session *session = &cli->session;
    const struct plan_choice *c = &session->plan->choice[i];
    unsigned context = c->context ? c->context : cli->request.context;
    unsigned room = context > 2 * (BENCH_ANSWER + BENCH_SPARE)
                        ? context - BENCH_ANSWER - BENCH_SPARE
                        : context / 2;
    struct engine_bench_spec spec = {.brief_tokens = room < BENCH_SHORT ? room : BENCH_SHORT,
                                     .full_tokens = room,
                                     .answer_tokens = BENCH_ANSWER,
                                     .cancel = &cli_cancelled,
                                     .log = &cli->log};
    struct engine_bench figures;
    char device[256];
    log_at(&cli->log, LOG_INFO, "measuring %s with %s", plan_backend_name(c->backend), c->package);
    int result = session_start_proven(&cli->request, session, i, &cli->err);
    if (result == 0)
        result = engine_bench(session->engine, &spec, &figures, &cli->err);
    engine_placement_text(&session->placement, device, sizeof(device));
    session_stop_engine(session);
    if (result == -GFXB_E_INTERRUPTED)
        cli_fail(cli);
    b->missed |= result < 0 || figures.full.tokens_per_second <= 0.0;
    if (result < 0) {
        bench_add_failure(b, c, -result, "could not be measured", cli->err.text);
        return;
    }
    struct bench_item *item = bench_add(b, c);
    item->device = cli_keep(cli, xstrdup(device));
    item->figures = figures;
    b->n_measured++;
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
        double speed = item->figures.full.tokens_per_second;
        if (speed > 0.0 && (!b->fastest || speed > b->fastest->figures.full.tokens_per_second))
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
                                                      item->figures.full.tokens_per_second};
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

static json_t *bench_json_figures(const struct engine_bench_figures *f)
{
    return json_pack("{s:i, s:i, s:o, s:o, s:i}", "prompt_tokens", (int)f->prompt_tokens,
                     "answer_tokens", (int)f->answer_tokens, "prompt_per_second",
                     bench_json_speed(f->prompt_per_second), "tokens_per_second",
                     bench_json_speed(f->tokens_per_second), "runs", (int)f->runs);
}

static json_t *bench_json_item(const struct bench_item *item)
{
    json_t *object = json_pack("{s:s, s:o, s:o}", "backend", plan_backend_name(item->backend),
                               "package", report_json_text(item->package), "fingerprint",
                               report_json_text(item->fingerprint));
    json_object_update_new(object, item->code == GFXB_E_OK
                                       ? json_pack("{s:o, s:o, s:o}", "device",
                                                   report_json_text(item->device), "short",
                                                   bench_json_figures(&item->figures.brief), "long",
                                                   bench_json_figures(&item->figures.full))
                                       : json_pack("{s:s, s:o}", "code", gfxb_code_name(item->code),
                                                   "reason", report_json_text(item->reason)));
    return object;
}

static json_t *bench_json(const struct bench *b)
{
    json_t *results = json_array(), *failed = json_array();
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        json_array_append_new(item->code == GFXB_E_OK ? results : failed, bench_json_item(item));
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

static void bench_print_item(const struct bench_item *item)
{
    const struct engine_bench_figures *f[] = {&item->figures.brief, &item->figures.full};
    char reading[32], answering[32];
    for (size_t k = 0; k < sizeof(f) / sizeof(f[0]); k++)
        printf("%-16s %8u %14s %14s  %s\n", plan_backend_name(item->backend), f[k]->prompt_tokens,
               bench_speed_text(f[k]->prompt_per_second, reading, sizeof(reading)),
               bench_speed_text(f[k]->tokens_per_second, answering, sizeof(answering)),
               item->device);
}

static void bench_print(const struct bench *b)
{
    if (b->fastest)
        text_print(stdout, "fastest: %s with %s, %.1f tokens/s with %s%s",
                   plan_backend_name(b->fastest->backend), b->fastest->package,
                   b->fastest->figures.full.tokens_per_second, b->cli->model.name,
                   b->applied ? "; --policy fastest goes by these figures now" : "");
    if (b->n_measured)
        printf("%-16s %8s %14s %14s  %s\n", "tokens/s", "prompt", "reading", "answering", "on");
    for (size_t i = 0; i < b->n; i++) {
        if (b->item[i].code == GFXB_E_OK)
            bench_print_item(&b->item[i]);
    }
    if (b->n_measured && b->cli->request.context < BENCH_CONTEXT)
        text_print(stdout, "The long prompt is bounded by the model's own context of %u tokens.",
                   b->cli->request.context);
}

static int bench_run(struct cli *cli, const struct cli_args *args)
{
    struct bench b = {.cli = cli};
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
             "clock.\n"
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
