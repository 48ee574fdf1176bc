#include "cli/places.h"
#include "cli/text.h"
#include "cli/wish.h"
#include "model/model.h"

#include <errno.h>

enum { BENCH_MODEL = CLI_WISH_NEXT, BENCH_APPLY };
enum { BENCH_CONTEXT = 8192, BENCH_SHORT = 64, BENCH_ANSWER = 64, BENCH_SPARE = 64 };

static const struct cli_option bench_options[] = {
    CLI_WISH_OPTIONS,
    {"model", "MODEL", "measure with this model (default: the built-in canary)"},
    {"apply", NULL, "let --policy fastest go by these figures"},
    {NULL, NULL, NULL},
};

/* One backend's figures. */
struct bench_result {
    char *fingerprint, *package; /* owned */
    enum plan_backend backend;
    struct engine_bench brief, full; /* a short prompt; one that fills the context */
};

struct bench {
    struct cli *cli;
    struct path_request request;
    char *model;      /* owned: its file */
    const char *name; /* as the user calls it; lent */
    struct bench_result *result;
    size_t n, fastest;
};

static void bench_done(struct bench *b)
{
    for (size_t i = 0; i < b->n; i++) {
        free(b->result[i].fingerprint);
        free(b->result[i].package);
    }
    free(b->result);
    free(b->model);
}

/* The file, and the context to measure with: at most what the model was trained for. */
static int bench_find_model(struct bench *b, const char *name, struct gfxb_error *err)
{
    struct gguf gguf;
    struct model model = {.name = NULL};
    int result = name ? cli_find_model(b->cli, name, &model, err)
                      : engine_canary_path(b->request.data_dir, &b->model, err);
    if (result == 0 && name) {
        b->model = strdup(model.path);
        result = b->model ? 0 : error_set(err, ENOMEM, "out of memory");
    }
    model_done(&model);
    if (result == 0)
        result = gguf_read(b->model, &gguf, err);
    if (result < 0)
        return result;
    bool shorter = gguf.context && gguf.context < BENCH_CONTEXT;
    b->request.context = shorter ? gguf.context : BENCH_CONTEXT;
    b->name = name ? name : "the canary";
    gguf_done(&gguf);
    return 0;
}

/* Prove what is installed and not proven; a failed proof is the plan's to tell. */
static int bench_prove(const struct bench *b, struct gfxb_error *err)
{
    struct path path = {0};
    int result = path_plan(&b->request, &path, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < path.plan->n_choices && result == 0; i++) {
        const struct plan_choice *c = &path.plan->choice[i];
        struct engine_proof proof;
        if (!c->installed || c->state == PLAN_PROVEN || c->state == PLAN_REJECTED)
            continue;
        result = path_prove(&b->request, &path, i, &proof, err);
        if (result == 0)
            engine_proof_done(&proof);
    }
    path_plan_done(&path);
    return result;
}

static int bench_measure(const struct bench *b, struct path *path, size_t i, struct bench_result *r,
                         struct gfxb_error *err)
{
    unsigned context = b->request.context;
    unsigned room = context > 2 * (BENCH_ANSWER + BENCH_SPARE)
                        ? context - BENCH_ANSWER - BENCH_SPARE
                        : context / 2;
    struct engine_bench_spec spec = {.prompt_tokens = room < BENCH_SHORT ? room : BENCH_SHORT,
                                     .answer_tokens = BENCH_ANSWER,
                                     .cancel = &cli_cancelled};
    log_at(b->request.log, LOG_INFO, "measuring %s", plan_backend_name(r->backend));
    int result = path_start_proven(&b->request, path, i, b->model, err);
    if (result == 0)
        result = engine_bench(path->engine, &spec, &r->brief, err);
    spec.prompt_tokens = room;
    if (result == 0)
        result = engine_bench(path->engine, &spec, &r->full, err);
    path_stop_engine(path);
    return result;
}

/* One that cannot run this model is told and left out; only an interruption ends the rest. */
static int bench_all(struct bench *b, struct path *path, struct gfxb_error *err)
{
    int last = 0;
    b->result = calloc(path->plan->n_choices + 1, sizeof(*b->result));
    if (!b->result)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < path->plan->n_choices; i++) {
        const struct plan_choice *c = &path->plan->choice[i];
        if (c->state != PLAN_PROVEN)
            continue;
        struct bench_result *r = &b->result[b->n];
        r->backend = c->backend;
        int result = bench_measure(b, path, i, r, err);
        if (result == -GFXB_E_INTERRUPTED || result == -ENOMEM)
            return result;
        if (result < 0) {
            log_at(b->request.log, LOG_INFO, "%s could not be measured: %s",
                   plan_backend_name(c->backend), err->text);
            last = result;
            continue;
        }
        r->fingerprint = strdup(c->fingerprint);
        r->package = strdup(c->package);
        b->n++;
        if (!r->fingerprint || !r->package)
            return error_set(err, ENOMEM, "out of memory");
        if (r->full.tokens_per_second > b->result[b->fastest].full.tokens_per_second)
            b->fastest = b->n - 1;
    }
    if (b->n == 0 && last == 0)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "nothing is proven here that could be measured: gfxbridge backends "
                         "install llamacpp:cpu brings the first");
    return b->n ? 0 : last;
}

static int bench_apply(const struct bench *b, struct gfxb_error *err)
{
    int result = 0;
    for (size_t i = 0; i < b->n && result == 0; i++)
        result = engine_proofs_set_bench(b->request.data_dir, b->result[i].fingerprint,
                                         b->result[i].full.tokens_per_second, err);
    return result;
}

static json_t *bench_json_figures(const struct engine_bench *f)
{
    return json_pack("{s:i, s:f, s:f}", "prompt_tokens", (int)f->prompt_tokens, "prompt_per_second",
                     f->prompt_per_second, "tokens_per_second", f->tokens_per_second);
}

static int bench_print_json(const struct bench *b, bool applied, struct gfxb_error *err)
{
    json_t *results = json_array();
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_result *r = &b->result[i];
        json_array_append_new(results, json_pack("{s:s, s:o, s:o, s:o, s:o}", "backend",
                                                 plan_backend_name(r->backend), "package",
                                                 report_json_text(r->package), "fingerprint",
                                                 report_json_text(r->fingerprint), "short",
                                                 bench_json_figures(&r->brief), "long",
                                                 bench_json_figures(&r->full)));
    }
    return cli_print_json(json_pack("{s:s, s:o, s:i, s:b, s:o}", "fastest",
                                    plan_backend_name(b->result[b->fastest].backend), "model",
                                    report_json_text(b->name), "context", (int)b->request.context,
                                    "applied", (int)applied, "results", results),
                          err);
}

static int bench_print(const struct bench *b, bool applied, struct gfxb_error *err)
{
    if (b->cli->json)
        return bench_print_json(b, applied, err);
    const struct bench_result *best = &b->result[b->fastest];
    text_print(stdout, "fastest: %s with %s, %.1f tokens/s with %s%s",
               plan_backend_name(best->backend), best->package, best->full.tokens_per_second,
               b->name, applied ? "; --policy fastest goes by this now" : "");
    printf("%-16s %8s %12s %12s\n", "tokens/s", "prompt", "reading", "answering");
    for (size_t i = 0; i < b->n; i++) {
        const struct engine_bench *f[] = {&b->result[i].brief, &b->result[i].full};
        for (size_t k = 0; k < 2; k++)
            printf("%-16s %8u %12.1f %12.1f\n", plan_backend_name(b->result[i].backend),
                   f[k]->prompt_tokens, f[k]->prompt_per_second, f[k]->tokens_per_second);
    }
    if (b->request.context < BENCH_CONTEXT)
        text_print(stdout, "The long prompt is bounded by the model's own context of %u tokens.",
                   b->request.context);
    return CLI_DONE;
}

static int bench_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    bool apply = args->value[BENCH_APPLY] != NULL;
    struct bench b = {.cli = cli};
    struct path path = {0};
    if (cli->sysroot)
        return error_set(err, GFXB_E_USAGE,
                         "bench works on this computer only: a captured machine runs nothing");
    cli_catch_signals();
    int result = cli_path_request(cli, args, &b.request, err);
    if (result < 0)
        return result;
    b.request.wish.no_network = true;
    result = bench_find_model(&b, args->value[BENCH_MODEL], err);
    if (result == 0)
        result = bench_prove(&b, err);
    if (result == 0)
        result = path_plan(&b.request, &path, err);
    if (result == 0)
        result = bench_all(&b, &path, err);
    path_plan_done(&path);
    if (result == 0 && apply)
        result = bench_apply(&b, err);
    if (result == 0)
        result = bench_print(&b, apply, err);
    bench_done(&b);
    return result;
}

const struct cli_command cli_command_bench = {
    .name = "bench",
    .words = "",
    .summary = "tokens/s of every proven backend",
    .about = "Proves what is installed and not yet proven, without the network, then measures "
             "reading and answering on every proven backend: after a warm-up the median of three "
             "runs, with a short prompt and with one of 8192 tokens, or of the model's own context "
             "where that is shorter. With --apply the answering speed with the long prompt is "
             "what the policy fastest ranks by, until the backend is proven again or changes.",
    .options = bench_options,
    .run = bench_run,
};
