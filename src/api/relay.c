/* relay.c - a request goes to the engine that the pool gives it, and the engine's answer to the
 * client, through the filter of its dialect. */
#include "api/serve.h"

#include <errno.h>

enum {
    RELAY_WHOLE_MAX = 1 << 20,    /* an answer of known length up to this is held until it is whole:
                                     it can be asked for again when its engine is lost */
    RELAY_OUT_MAX = 32 << 20,     /* bytes that a filter may make of what it is given at once */
    RELAY_REFUSAL_MAX = 65536,    /* bytes of an engine's refusal */
    RELAY_INLINE_MAX = 256 << 10, /* a larger body is changed on a thread */
    RELAY_STEP_MAX = 64 << 20,    /* bytes of an answer that the client does not see */
    RELAY_STREAM_GAP_MS = 300000, /* between two pieces; the engine sends a comment each second */
    RELAY_WHOLE_GAP_MS = 3600000, /* an answer without streaming shows nothing until it is there */
};

enum relay_kind {
    RELAY_STREAMED, /* passed on as it comes */
    RELAY_WHOLE,    /* held until it is whole */
    RELAY_REFUSED,  /* not 2xx: held */
    RELAY_STEP,     /* to a question of the filter's own: held */
};

/* The body, or the probe, on its way to another form. */
struct relay_folding {
    struct relay *r; /* NULL: the client has left */
    bool (*fold)(struct buf *body, unsigned attempt);
    unsigned attempt;
    bool folded; /* there was one */
    struct buf body;
};

struct relay {
    struct http_exchange *x;
    struct serve_relay ask;
    char *model;    /* owned: the name that the pool is asked for */
    json_t *stored; /* its options */
    struct pool_waiter waiter;
    const struct engine_kind *engine; /* that it is under way in */
    struct http_call *call;
    enum relay_kind kind;
    int status;
    char *sent_type;               /* owned: of the request's body; NULL JSON */
    char *type;                    /* owned: the engine's; NULL none */
    const char *shown_type;        /* the client's */
    bool began;                    /* bytes of the answer are on their way to the client */
    struct buf held;               /* of a whole answer, or a refusal */
    bool probing;                  /* the probe is asked, not the body */
    struct relay_folding *folding; /* under way; NULL none */
    unsigned folds;                /* other forms of it that were tried */
    enum engine_call asked; /* what the engine is asked now: ask.call, or a step of the filter */
    struct buf step;        /* the filter's question, or its form of the body */
    struct dialect_error why_not; /* the model cannot answer it */
    struct dialect_tail tail;
    double first_seconds; /* until the first piece; 0 none yet */
};

static void relay_free(struct relay *r)
{
    if (r->ask.ops)
        r->ask.ops->free(r->ask.filter);
    buf_done(&r->ask.body);
    buf_done(&r->ask.probe);
    buf_done(&r->held);
    buf_done(&r->step);
    json_decref(r->stored);
    free(r->model);
    free(r->type);
    free(r->sent_type);
    free(r);
}

/* Since the request was whole. */
static double relay_seconds(const struct relay *r)
{
    return (double)(loop_now(serve_of(r->x)->loop) - http_request(r->x)->at) / 1000;
}

/* ---- the answer goes to the client ---- */

/* Bytes of the engine become the client's, which may be in *out. last: nothing comes behind them.
 */
static int relay_convert(struct relay *r, struct str *bytes, bool last, struct buf *out,
                         struct gfxb_error *err)
{
    const struct serve_filter_ops *ops = r->ask.ops;
    if (!ops)
        return 0;
    int result = bytes->n ? ops->feed(r->ask.filter, *bytes, out, err) : 0;
    if (result == 0 && last)
        result = ops->end(r->ask.filter, out, err);
    if (result == 0 && out->failed)
        result = error_set(err, ENOMEM, "the engine's answer does not fit into memory");
    *bytes = buf_view(out);
    return result;
}

static void relay_count(struct relay *r)
{
    struct pool_timings t = {0};
    struct pool_counters *counters[] = {pool_counters(&r->waiter),
                                        pool_totals(serve_of(r->x)->pool)};
    dialect_tail_end(&r->tail, r->engine->figures, &t);
    for (size_t i = 0; i < 2; i++) {
        struct pool_counters *c = counters[i];
        if (i == 0) /* the connection counts the others */
            c->requests[r->status / 100]++;
        c->prompt_tokens += t.prompt_tokens;
        c->cached_tokens += t.cached_tokens;
        c->tokens += t.tokens;
        c->first_token_seconds = r->first_seconds;
        c->seconds += relay_seconds(r);
        c->replays += r->waiter.attempts > 1;
        if (t.tokens)
            c->last = t;
    }
}

/* The engine, or the filter, has failed and nobody else is asked. */
static void relay_fail(struct relay *r, int status, const struct gfxb_error *why)
{
    struct http_exchange *x = r->x;
    struct buf CLEAN_BUF out = BUF_INIT(65536);
    struct dialect_error error;
    dialect_error_from(why, &error); /* the code that clients know */
    r->status = status;
    if (!r->began) {
        http_fail(x, status, error.code, NULL, "%s", why->text);
        relay_free(r);
        return;
    }
    enum dialect dialect = dialect_of_path(http_request(x)->path);
    if (r->ask.ops && r->ask.ops->fail)
        r->ask.ops->fail(r->ask.filter, dialect, why, &out);
    else
        dialect_error_event(dialect, r->ask.ops ? r->ask.stream : http_sends_events(x), why, &out);
    http_send(x, buf_view(&out));
    if (out.n)
        http_end(x);
    else
        http_cut(x);
    relay_free(r);
}

/* Another attempt, as if nothing had been: nothing of the answer has gone out. */
static void relay_again(struct relay *r, enum pool_outcome outcome)
{
    if (r->ask.ops)
        r->ask.ops->reset(r->ask.filter);
    buf_clear(&r->held);
    buf_done(&r->step);
    r->asked = r->ask.call;
    r->tail = (struct dialect_tail){0};
    pool_again(&r->waiter, outcome);
}

static void relay_hang_up(struct relay *r)
{
    if (r->call)
        http_call_cancel(r->call);
    r->call = NULL;
}

/* Bytes that are no answer are the engine's doing; that there is no memory for them, or that they
 * are too many for us, says nothing of it. */
static void relay_fail_answer(struct relay *r, const struct gfxb_error *why)
{
    bool engine = why->code == EPROTO;
    relay_hang_up(r);
    if (engine && !r->began) {
        relay_again(r, POOL_BROKEN);
        return;
    }
    pool_done(&r->waiter, engine ? POOL_BROKEN : POOL_CANCELLED);
    relay_fail(r, why->code == ENOMEM ? 503 : 502, why);
}

static void relay_tell_refusal(struct relay *r)
{
    struct buf CLEAN_BUF out = BUF_INIT(2 * RELAY_REFUSAL_MAX);
    struct dialect_error error;
    dialect_error_of_engine(r->engine, pool_model_of(&r->waiter), r->status, buf_view(&r->held),
                            &error);
    dialect_error_body(dialect_of_path(http_request(r->x)->path), &error, &out);
    http_reply(r->x, error.status, "application/json", buf_view(&out), NULL);
}

/* The end of it, which is all of it when nothing has gone out yet. */
static int relay_tell_end(struct relay *r, struct gfxb_error *err)
{
    struct buf CLEAN_BUF out = BUF_INIT(RELAY_OUT_MAX);
    struct str bytes = r->began ? STR_NONE : buf_view(&r->held);
    int result = relay_convert(r, &bytes, true, &out, err);
    if (result < 0)
        return result;
    if (r->began) {
        http_send(r->x, bytes);
        http_end(r->x);
    } else {
        r->first_seconds = relay_seconds(r);
        http_reply(r->x, r->status, r->shown_type, bytes, NULL);
    }
    return 0;
}

/* ---- the engine's answer ---- */

static void relay_on_head(void *owner, const struct http_answer *head)
{
    struct relay *r = owner;
    bool ok = head->status >= 200 && head->status < 300;
    bool known = head->framing == HTTP_LENGTH && head->length <= RELAY_WHOLE_MAX;
    r->status = head->status;
    free(r->type);
    r->type = head->type.n ? xstr_dup(head->type) : NULL;
    r->shown_type = r->type ? r->type : "application/octet-stream";
    bool step = r->asked != r->ask.call;
    if (ok && r->ask.ops && !step)
        r->shown_type = r->ask.ops->head(r->ask.filter, r->engine);
    r->kind = !ok                   ? RELAY_REFUSED
              : step                ? RELAY_STEP
              : known || r->probing ? RELAY_WHOLE
                                    : RELAY_STREAMED;
    http_drop_headers(r->x);
    http_add_header(r->x, "x-gfxbridge-backend", r->waiter.endpoint->backend);
    http_add_header(r->x, "x-gfxbridge-device", r->waiter.endpoint->device);
}

/* Comments keep a connection alive while the engine thinks; the answer has not begun by them. */
static bool relay_is_comment(const struct relay *r, struct str bytes)
{
    return !r->began && bytes.p && bytes.n && bytes.p[0] == ':' && r->type &&
           str_starts(str_from(r->type), STR("text/event-stream")) &&
           !memmem(bytes.p, bytes.n, "data", 4) && !memmem(bytes.p, bytes.n, "event", 5);
}

static void relay_stream(struct relay *r, struct str bytes)
{
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF out = BUF_INIT(RELAY_OUT_MAX);
    int result = relay_convert(r, &bytes, false, &out, &err);
    if (result == 0 && !r->began && bytes.n) {
        r->began = true;
        r->first_seconds = relay_seconds(r);
        http_begin(r->x, r->shown_type);
    }
    if (r->began)
        http_send(r->x, bytes);
    if (result < 0)
        relay_fail_answer(r, &err);
    else if (http_pending(r->x) > HTTP_HIGH_WATER)
        http_call_pause(r->call, true);
}

static void relay_on_body(void *owner, struct str bytes)
{
    struct relay *r = owner;
    if (relay_is_comment(r, bytes))
        return;
    dialect_tail_feed(&r->tail, bytes);
    if (r->kind == RELAY_STREAMED) {
        relay_stream(r, bytes);
        return;
    }
    size_t most = r->kind == RELAY_REFUSED              ? RELAY_REFUSAL_MAX
                  : r->kind == RELAY_STEP || r->probing ? RELAY_STEP_MAX
                                                        : RELAY_WHOLE_MAX;
    if (r->held.n + bytes.n > most)
        bytes.n = most - r->held.n;
    buf_add_str(&r->held, bytes);
}

static void relay_call(struct relay *r);

static void relay_conclude(struct relay *r);

static struct buf *relay_body(struct relay *r)
{
    return r->probing ? &r->ask.probe : &r->ask.body;
}

static void relay_fold_on_thread(void *context)
{
    struct relay_folding *f = context;
    f->folded = f->fold(&f->body, f->attempt);
}

static void relay_on_folded(void *context)
{
    struct relay_folding *f = context;
    struct relay *r = f->r;
    bool folded = f->folded;
    if (r) {
        r->folding = NULL;
        *relay_body(r) = f->body;
    } else {
        buf_done(&f->body);
    }
    free(f);
    if (r && folded)
        relay_call(r);
    else if (r)
        relay_conclude(r);
}

/* The template of the model refused the messages: they are asked in another form. */
static bool relay_fold(struct relay *r)
{
    const char *const *fault = r->engine->template_faults;
    if (r->kind != RELAY_REFUSED || !r->ask.fold)
        return false;
    while (*fault && !str_has(buf_view(&r->held), str_from(*fault)))
        fault++;
    if (!*fault)
        return false;
    struct buf *body = relay_body(r);
    struct relay_folding *f = xcalloc(1, sizeof(*f));
    *f = (struct relay_folding){.r = r, .fold = r->ask.fold, .attempt = r->folds++, .body = *body};
    *body = BUF_INIT(0);
    r->folding = f;
    if (f->body.n > RELAY_INLINE_MAX &&
        work_run(serve_of(r->x)->work, relay_fold_on_thread, relay_on_folded, f) == 0)
        return true;
    relay_fold_on_thread(f);
    relay_on_folded(f);
    return true;
}

/* The answer to the probe calls no tool: now the body is asked. */
static bool relay_go_on(struct relay *r)
{
    if (!r->probing || r->kind == RELAY_REFUSED ||
        str_has(buf_view(&r->held), STR("\"finish_reason\":\"tool_calls\"")))
        return false;
    r->probing = false;
    r->folds = 0;
    relay_call(r);
    return true;
}

/* The filter asks something else first. */
static bool relay_step(struct relay *r)
{
    struct buf body = BUF_INIT(SIZE_MAX / 2);
    bool refused = r->kind == RELAY_REFUSED;
    if (!r->ask.ops || !r->ask.ops->step || (!refused && r->kind != RELAY_STEP) ||
        !r->ask.ops->step(r->ask.filter, r->engine, refused, buf_view(&r->held), &r->asked,
                          &body)) {
        buf_done(&body);
        return false;
    }
    buf_done(&r->step);
    r->step = body;
    relay_call(r);
    return true;
}

/* The engine has answered, and the request has no other form. */
static void relay_conclude(struct relay *r)
{
    struct gfxb_error err = {0};
    int result = 0;
    if (relay_go_on(r) || relay_step(r))
        return;
    if (r->kind == RELAY_REFUSED)
        relay_tell_refusal(r);
    else if (r->kind == RELAY_STEP)
        result = error_set(&err, EPROTO, "the engine's answer is not what was asked for");
    else
        result = relay_tell_end(r, &err);
    if (result < 0) {
        relay_fail_answer(r, &err);
        return;
    }
    relay_count(r);
    pool_done(&r->waiter, r->kind == RELAY_REFUSED ? POOL_DECLINED : POOL_OK);
    relay_free(r);
}

static void relay_on_end(void *owner)
{
    struct relay *r = owner;
    r->call = NULL;
    if (!relay_fold(r))
        relay_conclude(r);
}

static void relay_on_broken(void *owner, int code, bool local)
{
    struct relay *r = owner;
    bool silent = code == -ETIMEDOUT;
    struct gfxb_error err;
    r->call = NULL;
    if (!local && !silent && !r->began) {
        relay_again(r, code == -ECONNREFUSED ? POOL_REFUSED : POOL_BROKEN);
        return;
    }
    const struct gfxb_error *lost = pool_lost(&r->waiter);
    if (local) /* the engine is not at fault, and runs on */
        error_set(&err, -code, "the server cannot reach its engine: %s; try again in a moment",
                  error_errno_text(-code));
    else if (lost)
        error_set(&err, lost->code, "%s; it is being replaced, ask again", lost->text);
    else
        error_set(&err, silent ? GFXB_E_ENGINE_HANG : GFXB_E_ENGINE_CRASH,
                  "the engine %s while it answered; ask again",
                  silent ? "was silent for too long" : "was lost");
    pool_done(&r->waiter, local || silent ? POOL_CANCELLED : POOL_BROKEN);
    relay_fail(r, local ? 503 : silent ? 504 : 502, &err);
}

static const struct http_call_ops relay_call_ops = {
    relay_on_head,
    relay_on_body,
    relay_on_end,
    relay_on_broken,
};

static void relay_call(struct relay *r)
{
    struct http_call_request request = {
        .path = r->engine->path[r->asked],
        .body = buf_view(r->step.n ? &r->step : relay_body(r)),
        .type = r->sent_type,
        .gap_ms = r->ask.stream ? RELAY_STREAM_GAP_MS : RELAY_WHOLE_GAP_MS,
        .ops = &relay_call_ops,
        .owner = r,
    };
    buf_clear(&r->held);
    r->tail = (struct dialect_tail){0};
    r->call = http_call_start(r->waiter.endpoint->http, &request);
}

/* ---- the pool's and the client's news ---- */

/* It was only to be loaded; why not, else NULL. */
static void relay_loaded(struct relay *r, const struct gfxb_error *why)
{
    struct http_exchange *x = r->x;
    void (*loaded)(struct http_exchange *, const struct gfxb_error *) = r->ask.loaded;
    http_set_worker(x, NULL, NULL);
    relay_free(r);
    loaded(x, why);
}

static void relay_ready(struct pool_waiter *waiter)
{
    struct relay *r = container_of(waiter, struct relay, waiter);
    if (waiter->load_only) {
        relay_loaded(r, NULL);
        return;
    }
    r->engine = waiter->endpoint->kind;
    if (!r->engine->path[r->ask.call]) {
        struct gfxb_error err;
        error_set(&err, ENOTSUP, "the engine of this model does not answer such requests");
        pool_done(waiter, POOL_CANCELLED);
        relay_fail(r, 501, &err);
        return;
    }
    r->probing = r->ask.probe.n > 0;
    relay_call(r);
}

/* What a model answers, by its task. */
static bool relay_takes(struct pool_waiter *waiter, const struct pool_found *model)
{
    enum {
        WRITES = 1 << MODEL_CHAT | 1 << MODEL_COMPLETION,
        EMBEDS = 1 << MODEL_EMBEDDING,
        RANKS = 1 << MODEL_RERANKING
    };
    static const struct {
        const char *name;
        unsigned tasks;
    } calls[ENGINE_CALLS] = {
        [ENGINE_CALL_CHAT] = {"chat", WRITES},
        [ENGINE_CALL_COMPLETIONS] = {"completions", WRITES},
        [ENGINE_CALL_EMBEDDINGS] = {"embeddings", EMBEDS},
        [ENGINE_CALL_RERANK] = {"reranking", RANKS},
        [ENGINE_CALL_COUNT_TOKENS] = {"chat", WRITES},
        [ENGINE_CALL_TEMPLATE] = {"chat", WRITES},
        [ENGINE_CALL_INFILL] = {"completions", WRITES},
        [ENGINE_CALL_COMPLETION] = {"completions", WRITES},
        [ENGINE_CALL_TRANSCRIPTIONS] = {"transcriptions", WRITES},
    };
    struct relay *r = container_of(waiter, struct relay, waiter);
    enum engine_call call = r->ask.call;
    if (calls[call].tasks && !(calls[call].tasks & 1u << model->task))
        dialect_fail_at(&r->why_not, "model", "%s does not support %s: it is %s %s model",
                        model->name, calls[call].name, model->task == MODEL_EMBEDDING ? "an" : "a",
                        model_task_name(model->task));
    else if (call == ENGINE_CALL_TRANSCRIPTIONS && !model->hears)
        dialect_fail_at(&r->why_not, "model", "%s does not support transcriptions: it cannot hear",
                        model->name);
    else if (r->ask.tools && !model->calls)
        dialect_fail_at(&r->why_not, "tools",
                        "%s does not support tools: its chat template has no place for them",
                        model->name);
    else if (model->width && r->ask.dimensions > model->width)
        dialect_fail_at(&r->why_not, "dimensions", "'dimensions' must be at most %u with %s",
                        model->width, model->name);
    return r->why_not.status == 0;
}

static void relay_failed(struct pool_waiter *waiter, const struct gfxb_error *why)
{
    struct relay *r = container_of(waiter, struct relay, waiter);
    struct dialect_error error;
    if (waiter->load_only) {
        relay_loaded(r, why);
        return;
    }
    if (r->why_not.status) {
        dialect_reply_error(r->x, &r->why_not);
        relay_free(r);
        return;
    }
    dialect_error_from(why, &error);
    relay_fail(r, error.status, why);
}

static void relay_cancel(void *worker)
{
    struct relay *r = worker;
    if (r->folding)
        r->folding->r = NULL;
    relay_hang_up(r);
    pool_leave(&r->waiter);
    relay_free(r);
}

static void relay_writable(void *worker)
{
    struct relay *r = worker;
    if (r->call)
        http_call_pause(r->call, false);
}

static const struct http_worker_ops relay_worker_ops = {relay_cancel, relay_writable};

/* ---- stored options: of a large request on a thread ---- */

static void relay_fill(void *context)
{
    struct relay *r = context;
    serve_options_apply(r->stored, r->ask.call, &r->ask.body);
    if (r->ask.probe.n)
        serve_options_apply(r->stored, r->ask.call, &r->ask.probe);
}

static void relay_filled(void *context)
{
    struct relay *r = context;
    if (!r->x) {
        relay_free(r);
        return;
    }
    http_set_worker(r->x, &relay_worker_ops, r);
    pool_wait(serve_of(r->x)->pool, str_from(r->model), &r->ask.options, &r->waiter);
}

static void relay_fill_cancel(void *worker)
{
    struct relay *r = worker;
    r->x = NULL; /* its thread is at work */
}

static const struct http_worker_ops relay_fill_ops = {.cancel = relay_fill_cancel};

/* The model of requests without one, by the name whose options they get: that of the default while
 * its model is the one. */
static char *relay_default(struct serve *s)
{
    char *CLEAN_FREE model = NULL;
    struct str name = pool_default(s->pool);
    json_decref(serve_options_now(s, s->default_model, &model));
    return model_name_same(str_from(model), name) ? xstrdup(s->default_model) : xstr_dup(name);
}

void serve_relay(struct http_exchange *x, const struct serve_relay *relay)
{
    struct serve *s = serve_of(x);
    struct relay *r = xcalloc(1, sizeof(*r));
    *r = (struct relay){.x = x,
                        .ask = *relay,
                        .asked = relay->call,
                        .sent_type = xstrdup_or_null(relay->type),
                        .held = BUF_INIT(RELAY_STEP_MAX + 1),
                        .waiter = {.load_only = relay->loaded != NULL,
                                   .takes = relay->loaded ? NULL : relay_takes,
                                   .ready = relay_ready,
                                   .failed = relay_failed}};
    http_set_worker(x, &relay_worker_ops, r);
    if (r->ask.body.failed || r->ask.probe.failed) {
        struct gfxb_error err;
        error_set(&err, ENOMEM, "the request does not fit into memory");
        relay_fail(r, 413, &err);
        return;
    }
    char *CLEAN_FREE name = relay->model.n ? xstr_dup(relay->model) : relay_default(s);
    r->stored = serve_options_now(s, name, &r->model);
    serve_options_pool(r->stored, &r->ask.options);
    if (json_object_size(r->stored) && r->ask.body.n > RELAY_INLINE_MAX) {
        http_set_worker(x, &relay_fill_ops, r);
        if (work_run(s->work, relay_fill, relay_filled, r) == 0)
            return;
    }
    relay_fill(r);
    relay_filled(r);
}
