/* cmd_bench.c - measures every proven backend with a model of the user. */
#include "cli/request.h"
#include "model/model.h"
#include "session/session.h"

#include <errno.h>

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
    char *fingerprint, *package, *device, *reason; /* owned; device and reason may be NULL */
    enum plan_backend backend;
    int code; /* GFXB_E_OK: measured */
    struct engine_bench figures;
};

struct bench {
    struct cli *cli;
    struct session_request request;
    struct model model;
    struct bench_item *item;
    size_t n, n_measured;
    const struct bench_item *fastest; /* NULL: nothing was measured */
    bool proof_failed, missed;        /* just now: a proof; a measurement of what is proven */
    bool applied;
};

static void bench_done(struct bench *b)
{
    for (size_t i = 0; i < b->n; i++) {
        free(b->item[i].fingerprint);
        free(b->item[i].package);
        free(b->item[i].device);
        free(b->item[i].reason);
    }
    free(b->item);
    model_done(&b->model);
}

/* The model, and the context to measure with: at most what it was trained for. */
static int bench_find_model(struct bench *b, const char *name, struct gfxb_error *err)
{
    struct gguf gguf;
    int result = cli_find_model(b->cli, name ? name : ENGINE_CANARY, &b->model, err);
    if (result == 0)
        result = gguf_read(b->model.path, &gguf, err);
    if (result < 0)
        return result;
    bool shorter = gguf.context && gguf.context < BENCH_CONTEXT;
    b->request.context = shorter ? gguf.context : BENCH_CONTEXT;
    gguf_done(&gguf);
    b->request.known = model_known_find(str_from(b->model.name));
    if (b->model.origin != MODEL_BUILTIN) /* the engine that proves itself is measured */
        b->request.model = b->model.path;
    return 0;
}

static const struct bench_item *bench_find(const struct bench *b, const char *fingerprint)
{
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->item[i].fingerprint, fingerprint) == 0)
            return &b->item[i];
    }
    return NULL;
}

/* A new item at the end. */
static struct bench_item *bench_add(struct bench *b, const struct plan_choice *c)
{
    b->item = xreallocarray(b->item, b->n + 1, sizeof(*b->item));
    b->item[b->n] = (struct bench_item){.fingerprint = xstrdup(c->fingerprint),
                                        .package = xstrdup(c->package),
                                        .backend = c->backend};
    return &b->item[b->n++];
}

/* Why there are no figures of it, at once for people; in the JSON they stand too. */
static void bench_add_failure(struct bench *b, const struct plan_choice *c, int code,
                              const char *what, const char *reason)
{
    struct bench_item *item = bench_add(b, c);
    item->code = code;
    item->reason = xstrdup(reason);
    text_print(stderr, TEXT_BAD "%s" TEXT_END " with %s %s (%s): %s", plan_backend_name(c->backend),
               c->package, what, gfxb_code_name(code), reason);
}

/* Prove what is installed and not proven yet. */
static int bench_prove(struct bench *b, struct gfxb_error *err)
{
    struct session session = {0};
    int result = session_plan(&b->request, &session, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < session.plan->n_choices && result == 0; i++) {
        const struct plan_choice *c = &session.plan->choice[i];
        struct engine_proof proof;
        if (!c->installed || c->state != PLAN_USABLE)
            continue;
        result = session_prove(&b->request, &session, i, &proof, err);
        if (result < 0)
            break;
        if (!proof.passed)
            bench_add_failure(b, c, proof.code, "failed its proof", proof.sentence);
        b->proof_failed |= !proof.passed;
        engine_proof_done(&proof);
    }
    session_done(&session);
    return result;
}

static int bench_measure(const struct bench *b, struct session *session, size_t i,
                         struct engine_bench *ret_figures, char **ret_device,
                         struct gfxb_error *err)
{
    const struct plan_choice *c = &session->plan->choice[i];
    unsigned context = c->context ? c->context : b->request.context;
    unsigned room = context > 2 * (BENCH_ANSWER + BENCH_SPARE)
                        ? context - BENCH_ANSWER - BENCH_SPARE
                        : context / 2;
    struct engine_bench_spec spec = {.brief_tokens = room < BENCH_SHORT ? room : BENCH_SHORT,
                                     .full_tokens = room,
                                     .answer_tokens = BENCH_ANSWER,
                                     .cancel = &cli_cancelled,
                                     .log = b->request.log};
    char device[256];
    log_at(b->request.log, LOG_INFO, "measuring %s with %s", plan_backend_name(c->backend),
           c->package);
    int result = session_start_proven(&b->request, session, i, err);
    if (result == 0)
        result = engine_bench(session->engine, &spec, ret_figures, err);
    engine_placement_text(&session->placement, device, sizeof(device));
    session_stop_engine(session);
    if (result < 0)
        return result;
    *ret_device = xstrdup(device);
    return 0;
}

/* A failure is told and left out; only an interruption and this computer's own end the rest. */
static int bench_take(struct bench *b, struct session *session, size_t i, struct gfxb_error *err)
{
    const struct plan_choice *c = &session->plan->choice[i];
    struct engine_bench figures;
    struct gfxb_error why = {.code = 0};
    char *device = NULL;
    int result = bench_measure(b, session, i, &figures, &device, &why);
    if (result == -GFXB_E_INTERRUPTED)
        return error_set(err, why.code, "%s", why.text);
    if (result < 0) {
        b->missed = true;
        bench_add_failure(b, c, -result, "could not be measured", why.text);
        return 0;
    }
    struct bench_item *item = bench_add(b, c);
    item->device = device;
    item->figures = figures;
    b->n_measured++;
    b->missed |= figures.full.tokens_per_second <= 0.0;
    return 0;
}

static int bench_all(struct bench *b, struct session *session, struct gfxb_error *err)
{
    int result = 0;
    for (size_t i = 0; i < session->plan->n_choices && result == 0; i++) {
        const struct plan_choice *c = &session->plan->choice[i];
        if (c->state == PLAN_PROVEN)
            result = bench_take(b, session, i, err);
        else if (c->installed && c->code != GFXB_E_POLICY && !bench_find(b, c->fingerprint))
            bench_add_failure(b, c, c->code, "is left out", c->reason);
    }
    if (result == 0 && b->n == 0)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "nothing is installed here that could be measured: gfxbridge backends "
                         "install %.*s:cpu brings the first",
                         STR_ARG(gfx_engine_default()));
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        double speed = item->figures.full.tokens_per_second;
        if (speed > 0.0 && (!b->fastest || speed > b->fastest->figures.full.tokens_per_second))
            b->fastest = item;
    }
    return result;
}

/* All that is proven, or nothing: a part would be ranked beside figures of other work. */
static int bench_apply(struct bench *b, struct gfxb_error *err)
{
    if (b->missed || !b->fastest) {
        text_print(stderr, "nothing is applied: not all that is proven here was measured");
        return 0;
    }
    struct engine_proofs_speed *CLEAN_FREE speed = xcalloc(b->n, sizeof(*speed));
    char *CLEAN_FREE with = xasprintf("%s, %u tokens", b->model.name, b->request.context);
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        if (item->code == GFXB_E_OK)
            speed[n++] = (struct engine_proofs_speed){item->fingerprint,
                                                      item->figures.full.tokens_per_second};
    }
    int result =
        engine_proofs_set_bench(b->request.data_dir, speed, n, with, b->request.cancel, err);
    b->applied = result == 0;
    return result;
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
    if (item->code != GFXB_E_OK) {
        json_object_set_new(object, "code", json_string(gfxb_code_name(item->code)));
        json_object_set_new(object, "reason", report_json_text(item->reason));
        return object;
    }
    json_object_set_new(object, "device", report_json_text(item->device));
    json_object_set_new(object, "short", bench_json_figures(&item->figures.brief));
    json_object_set_new(object, "long", bench_json_figures(&item->figures.full));
    return object;
}

static int bench_print_json(const struct bench *b, struct gfxb_error *err)
{
    json_t *results = json_array(), *failed = json_array();
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_item *item = &b->item[i];
        json_array_append_new(item->code == GFXB_E_OK ? results : failed, bench_json_item(item));
    }
    const char *fastest = b->fastest ? plan_backend_name(b->fastest->backend) : NULL;
    return cli_print_json(json_pack("{s:s?, s:o, s:i, s:b, s:o, s:o}", "fastest", fastest, "model",
                                    report_json_text(b->model.name), "context",
                                    (int)b->request.context, "applied", (int)b->applied, "results",
                                    results, "failed", failed),
                          err);
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

static int bench_print(const struct bench *b, struct gfxb_error *err)
{
    if (b->cli->json)
        return bench_print_json(b, err);
    if (b->fastest)
        text_print(stdout, "fastest: %s with %s, %.1f tokens/s with %s%s",
                   plan_backend_name(b->fastest->backend), b->fastest->package,
                   b->fastest->figures.full.tokens_per_second, b->model.name,
                   b->applied ? "; --policy fastest goes by these figures now" : "");
    if (b->n_measured)
        printf("%-16s %8s %14s %14s  %s\n", "tokens/s", "prompt", "reading", "answering", "on");
    for (size_t i = 0; i < b->n; i++) {
        if (b->item[i].code == GFXB_E_OK)
            bench_print_item(&b->item[i]);
    }
    if (b->n_measured && b->request.context < BENCH_CONTEXT)
        text_print(stdout, "The long prompt is bounded by the model's own context of %u tokens.",
                   b->request.context);
    return CLI_DONE;
}

static int bench_work(struct bench *b, const struct cli_args *args, struct gfxb_error *err)
{
    struct session session = {0};
    b->request.request.no_network = true;
    int result = bench_find_model(b, args->value[BENCH_MODEL], err);
    if (result == 0)
        result = bench_prove(b, err);
    if (result == 0)
        result = session_plan(&b->request, &session, err);
    if (result == 0)
        result = bench_all(b, &session, err);
    session_done(&session);
    if (result == 0 && args->value[BENCH_APPLY])
        result = bench_apply(b, err);
    if (result == 0)
        result = bench_print(b, err);
    if (result != CLI_DONE)
        return result;
    return b->proof_failed ? CLI_PROOF_FAILED : b->missed || !b->fastest ? CLI_FAILED : CLI_DONE;
}

static int bench_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct bench b = {.cli = cli};
    bool narrowed = args->value[CLI_REQUEST_BACKEND] || args->value[CLI_REQUEST_POLICY] ||
                    args->value[CLI_REQUEST_GPU];
    if (args->value[BENCH_APPLY] && narrowed)
        return error_set(err, GFXB_E_USAGE,
                         "--apply compares all that is proven here: leave --backend, --policy and "
                         "--gpu out");
    cli_catch_signals();
    int result = cli_session_request(cli, args, &b.request, err);
    if (result == 0)
        result = bench_work(&b, args, err);
    bench_done(&b);
    return result;
}

const struct cli_command cli_command_bench = {
    .name = "bench",
    .words = "",
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
             "proven could not be measured; what was measured is shown all the same.",
    .options = bench_options,
    .live = true,
    .run = bench_run,
};
