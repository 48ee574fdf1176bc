/* bench.c - how fast a running engine is. */
#include "engine/engine_private.h"
#include "http/http.h"

#include <errno.h>

#define BENCH_RUNS      3
#define BENCH_BUDGET_MS 60000
/* More than the 512 tokens that the engine computes at once: a driver compiles shaders for whole
 * batches and for what is left over. */
#define BENCH_WARM      600
#define BENCH_WARM_MS   1800000 /* the largest models on a CPU; shaders that are compiled */
#define BENCH_LEAST_MS  120000
#define BENCH_PATIENCE  20 /* times what the warm-up lets expect, before it is taken for a hang */
#define BENCH_TELL_MS   5000
#define BENCH_REPLY_MAX (4u << 20)

struct bench_job {
    struct engine *engine;
    const struct engine_bench_spec *spec;
    json_t *ids;      /* owned: of some words, in this model */
    unsigned longest; /* tokens of the longest prompt */
    unsigned warm;    /* tokens of the warm-up's prompt */
    int64_t warm_ms;  /* that reading it took, the last time */
    int64_t answer_ms;
};

struct bench_answer {
    struct buf body;
    int64_t until;
};

static int bench_on_bytes(void *context, struct str bytes)
{
    struct bench_answer *a = context;
    buf_add_str(&a->body, bytes);
    return buf_ok(&a->body) ? 0 : -EFBIG;
}

static int64_t bench_until(void *context)
{
    const struct bench_answer *a = context;
    return a->until;
}

int engine_ask(struct engine *engine, const char *path, const char *body, int64_t deadline_ms,
               const atomic_int *cancel, struct buf *ret_body, struct gfxb_error *err)
{
    struct bench_answer answer = {BUF_INIT(BENCH_REPLY_MAX), clock_now_ms() + deadline_ms};
    struct http_ask request = {
        .socket = engine_socket(engine),
        .path = path,
        .key = engine_key(engine),
        .body = body ? str_from(body) : STR_NONE,
        .pid = (int)engine_pid(engine),
        .pidfd = engine_pidfd(engine),
        .cancel = cancel,
        .on_bytes = bench_on_bytes,
        .until = bench_until,
        .context = &answer,
    };
    int status = 0;
    int code = http_ask(&request, &status);
    if (code == -ETIMEDOUT)
        error_set(err, GFXB_E_ENGINE_HANG, "the engine gave no answer within %lld s",
                  (long long)(deadline_ms / 1000));
    if (code < 0) {
        code = code == -ETIMEDOUT ? -GFXB_E_ENGINE_HANG
                                  : instance_ask_failed(engine, code, false, err);
    } else if (status != 200) {
        char words[400];
        engine->kind->read_refusal(buf_view(&answer.body), words, sizeof(words));
        code = error_set(err, EREMOTEIO, "the engine refused the request: %s", words);
    }
    if (code < 0)
        buf_done(&answer.body);
    else
        *ret_body = answer.body;
    return code;
}

int engine_post(struct engine *engine, enum engine_call call, const char *body, int64_t deadline_ms,
                const atomic_int *cancel, struct buf *ret_body, struct gfxb_error *err)
{
    return engine_ask(engine, engine->kind->path[call], body, deadline_ms, cancel, ret_body, err);
}

static int bench_learn_ids(struct bench_job *job, struct gfxb_error *err)
{
    struct buf CLEAN_BUF body = BUF_INIT(0);
    const struct engine_kind *kind = job->engine->kind;
    int code = engine_post(job->engine, ENGINE_CALL_TOKENIZE, kind->words_request, BENCH_LEAST_MS,
                           job->spec->cancel, &body, err);
    if (code == 0 && kind->read_ids(buf_view(&body), &job->ids) < 0)
        code = error_set(err, EPROTO, "the engine does not say what tokens words are");
    return code;
}

static int bench_ask(const struct bench_job *job, unsigned prompt, int64_t deadline_ms,
                     struct engine_timings *ret_timings, struct gfxb_error *err)
{
    const struct engine_kind *kind = job->engine->kind;
    char *CLEAN_FREE request = kind->timed_request(job->ids, prompt, job->spec->answer_tokens);
    struct buf CLEAN_BUF body = BUF_INIT(0);
    int code = engine_post(job->engine, ENGINE_CALL_COMPLETION, request, deadline_ms,
                           job->spec->cancel, &body, err);
    if (code == 0 && kind->read_timings(buf_view(&body), ret_timings) < 0)
        code = error_set(err, EPROTO, "the engine's answer makes no sense");
    return code;
}

/* What a prompt of this length takes with its answer, as the warm-up lets expect. */
static int64_t bench_expected_ms(const struct bench_job *job, unsigned prompt)
{
    int64_t reading = prompt > job->warm ? job->warm_ms * prompt / job->warm : job->warm_ms;
    return reading + job->answer_ms;
}

static int bench_warm_once(struct bench_job *job, struct gfxb_error *err)
{
    struct engine_timings t;
    int64_t start = clock_now_ms();
    int code = bench_ask(job, job->warm, BENCH_WARM_MS, &t, err);
    int64_t ms = clock_now_ms() - start;
    if (code < 0)
        return code;
    double answer_ms = t.tokens_per_second > 0.0 ? t.tokens * 1000.0 / t.tokens_per_second : 0.0;
    job->answer_ms = answer_ms < (double)ms ? (int64_t)answer_ms : ms;
    job->warm_ms = ms - job->answer_ms;
    return 0;
}

/* The first time a driver compiles its shaders, which says nothing about any other prompt: where it
 * lets expect that the longest one takes long, it is asked again. */
static int bench_warm_up(struct bench_job *job, struct gfxb_error *err)
{
    job->warm = job->longest < BENCH_WARM ? job->longest : BENCH_WARM;
    int code = bench_warm_once(job, err);
    if (code == 0 && bench_expected_ms(job, job->longest) > BENCH_TELL_MS)
        code = bench_warm_once(job, err);
    int64_t expected = code == 0 ? bench_expected_ms(job, job->longest) : 0;
    if (expected > BENCH_TELL_MS)
        log_at(job->spec->log, LOG_INFO, "a prompt of %u tokens takes about %lld s here",
               job->longest, (long long)(expected / 1000));
    return code;
}

static int bench_compare(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

double bench_median(double *value, size_t n)
{
    if (n == 0)
        return 0.0;
    qsort(value, n, sizeof(*value), bench_compare);
    return (value[(n - 1) / 2] + value[n / 2]) / 2.0;
}

static int bench_measure(const struct bench_job *job, unsigned prompt,
                         struct engine_bench_figures *ret_figures, struct gfxb_error *err)
{
    struct engine_bench_figures f = {.runs = 0};
    double reading[BENCH_RUNS], answering[BENCH_RUNS];
    size_t n_reading = 0, n_answering = 0;
    int64_t start = clock_now_ms();
    int64_t deadline = BENCH_LEAST_MS + BENCH_PATIENCE * bench_expected_ms(job, prompt);
    while (f.runs < BENCH_RUNS && (f.runs == 0 || clock_now_ms() - start < BENCH_BUDGET_MS)) {
        struct engine_timings t;
        int code = bench_ask(job, prompt, deadline, &t, err);
        if (code < 0)
            return code;
        f.runs++;
        f.prompt_tokens = t.prompt_tokens;
        f.answer_tokens = t.tokens;
        if (t.prompt_per_second > 0.0)
            reading[n_reading++] = t.prompt_per_second;
        if (t.tokens_per_second > 0.0)
            answering[n_answering++] = t.tokens_per_second;
    }
    f.prompt_per_second = bench_median(reading, n_reading);
    f.tokens_per_second = bench_median(answering, n_answering);
    *ret_figures = f;
    return 0;
}

int engine_bench(struct engine *engine, const struct engine_bench_spec *spec,
                 struct engine_bench_figures ret_figures[], struct gfxb_error *err)
{
    struct bench_job job = {.engine = engine, .spec = spec};
    struct engine_bench_figures figures[ENGINE_BENCH_PROMPTS];
    int code = engine_check(engine, err);
    for (size_t i = 0; code == 0 && i < spec->n_prompts; i++) {
        job.longest = spec->prompt[i] > job.longest ? spec->prompt[i] : job.longest;
        if (spec->prompt[i] == 0)
            code = error_set(err, EINVAL, "a prompt needs tokens");
    }
    if (code == 0)
        code = bench_learn_ids(&job, err);
    if (code == 0)
        code = bench_warm_up(&job, err);
    for (size_t i = 0; code == 0 && i < spec->n_prompts; i++)
        code = bench_measure(&job, spec->prompt[i], &figures[i], err);
    json_decref(job.ids);
    if (code == 0)
        memcpy(ret_figures, figures, spec->n_prompts * sizeof(figures[0]));
    return code;
}
