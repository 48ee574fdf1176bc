/* chat.c - one streamed answer of a running engine. */
#include "engine/engine_private.h"

#include "http/http.h"

#include <errno.h>
#include <stdio.h>

#define CHAT_TEXT_MAX    (16u << 20)
#define CHAT_REFUSAL_MAX 65536 /* bytes of an error body that are read */
#define CHAT_GAP_FIRSTS  4     /* times the first piece took that a later one may take at least */

/* One answer on its way. */
struct chat_progress {
    const struct engine_chat *chat;
    struct sse sse;
    struct buf text;
    struct buf raw; /* the beginning of the body, for an answer that is no stream */
    struct engine_reply reply;
    int64_t start, last; /* ms; last: of the latest piece, 0 before the first */
    int64_t sign;        /* of its life: a piece, or that it is healthy */
    struct engine *engine;
    bool told;     /* that it takes long */
    bool finished; /* the engine said that the answer is whole */
    bool sent_done;
    int stopped;       /* what on_text said; negative: it wants no more */
    char refusal[400]; /* an error in the stream */
};

static int chat_give(struct chat_progress *p, struct str piece, bool thinking)
{
    int64_t now = clock_now_ms();
    if (piece.n == 0)
        return 0;
    if (!p->last)
        p->reply.first_token_ms = (double)(now - p->start);
    p->last = p->sign = now;
    p->reply.thought |= thinking;
    if (!thinking)
        buf_add_str(&p->text, piece);
    if (!buf_ok(&p->text))
        return -EFBIG;
    p->stopped = p->chat->on_text ? p->chat->on_text(p->chat->context, piece, thinking) : 0;
    return p->stopped < 0 ? -ECANCELED : 0;
}

static int chat_take_chunk(struct chat_progress *p, const struct engine_chunk *chunk)
{
    struct engine_reply *reply = &p->reply;
    if (chunk->refusal[0]) {
        memcpy(p->refusal, chunk->refusal, sizeof(p->refusal));
        return -EREMOTEIO;
    }
    if (chunk->least_probability >= 0.0 &&
        (reply->least_probability < 0.0 || chunk->least_probability < reply->least_probability))
        reply->least_probability = chunk->least_probability;
    if (chunk->tokens >= 0)
        reply->tokens = (unsigned)chunk->tokens;
    if (chunk->prompt_tokens >= 0)
        reply->prompt_tokens = (unsigned)chunk->prompt_tokens;
    if (chunk->tokens_per_second > 0.0)
        reply->tokens_per_second = chunk->tokens_per_second;
    if (chunk->prompt_per_second > 0.0)
        reply->prompt_per_second = chunk->prompt_per_second;
    p->finished |= chunk->finished;
    reply->cut |= chunk->cut;
    int code = chat_give(p, chunk->thinking, true);
    return code < 0 ? code : chat_give(p, chunk->text, false);
}

static int chat_take_event(void *context, struct str field, struct str value)
{
    struct chat_progress *p = context;
    struct engine_chunk chunk;
    int code = p->engine->kind->read_chunk(field, value, &chunk);
    if (code > 0)
        p->sent_done = true;
    if (code != 0)
        return code < 0 ? code : 0;
    code = chat_take_chunk(p, &chunk);
    json_decref(chunk.json);
    return code;
}

static int chat_on_bytes(void *context, struct str bytes)
{
    struct chat_progress *p = context;
    size_t room = CHAT_REFUSAL_MAX - p->raw.n;
    buf_add(&p->raw, bytes.p, bytes.n < room ? bytes.n : room);
    return sse_feed(&p->sse, bytes);
}

/* The earlier of two times, of which 0 is none. */
static int64_t chat_sooner(int64_t a, int64_t b)
{
    return a && (!b || a < b) ? a : b;
}

/* When it has been silent for too long; 0 never. */
static int64_t chat_silence(struct chat_progress *p)
{
    int ms = p->chat->silence_ms;
    if (ms <= 0)
        return 0;
    if (clock_now_ms() - p->sign >= ms && engine_is_healthy(p->engine, ms, p->chat->cancel))
        p->sign = clock_now_ms();
    return p->sign + ms;
}

static int64_t chat_until(void *context)
{
    struct chat_progress *p = context;
    if (!p->last && !p->told && clock_now_ms() - p->start >= INSTANCE_PATIENCE_MS) {
        log_at(p->chat->log, LOG_INFO, "still waiting for the first word: %s",
               p->engine->backend == PLAN_CPU ? "the prompt is being read"
                                              : instance_reason(p->engine->backend));
        p->told = true;
    }
    int64_t silence = chat_silence(p);
    int64_t piece = 0, least = (int64_t)(CHAT_GAP_FIRSTS * p->reply.first_token_ms);
    if (!p->last && p->chat->first_ms > 0)
        piece = p->start + p->chat->first_ms;
    else if (p->last && p->chat->gap_ms > 0)
        piece = p->last + (p->chat->gap_ms > least ? p->chat->gap_ms : least);
    return chat_sooner(silence, piece);
}

static int chat_refused(struct chat_progress *p, int status, struct gfxb_error *err)
{
    p->engine->kind->read_refusal(buf_view(&p->raw), p->refusal, sizeof(p->refusal));
    return error_set(err, EREMOTEIO, "the engine refused the request%s: %s",
                     status == 503 ? " for now" : "", p->refusal);
}

static int chat_timed_out(const struct chat_progress *p, struct gfxb_error *err)
{
    double waited = (double)(clock_now_ms() - p->start) / 1000.0;
    if (!p->last)
        return error_set(err, GFXB_E_ENGINE_HANG, "the engine gave no first token within %.1f s",
                         waited);
    return error_set(err, GFXB_E_ENGINE_HANG,
                     "the engine stopped in the middle of an answer: %zu bytes of text, then "
                     "nothing more; given up after %.1f s",
                     p->text.n, waited);
}

/* The caller's function wants no more. A signal that breaks off its writing is no fault of it. */
static int chat_stopped(const struct chat_progress *p, struct gfxb_error *err)
{
    int code = -p->stopped;
    if (code == GFXB_E_INTERRUPTED || (p->chat->cancel && *p->chat->cancel))
        return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    return error_set(err, code, "cannot write the answer: %s",
                     code < GFXB_E_GFX_UNKNOWN ? error_errno_text(code) : gfxb_code_name(code));
}

static int chat_failed(struct engine *engine, struct chat_progress *p, int code,
                       struct gfxb_error *err)
{
    switch (-code) {
    case ETIMEDOUT:
        return chat_timed_out(p, err);
    case ECANCELED:
        return chat_stopped(p, err);
    case EREMOTEIO: /* it had taken the request: what it says now is its own failure */
        return error_set(err, EPROTO, "the engine failed in the middle of an answer: %s",
                         p->refusal);
    case EFBIG:
        return error_set(err, EFBIG, "the engine's answer does not end: more than %zu bytes",
                         p->text.max);
    default:
        return instance_ask_failed(engine, code, p->last != 0, err);
    }
}

static int chat_ask(struct engine *engine, struct chat_progress *p, const char *body,
                    struct gfxb_error *err)
{
    struct http_ask request = {
        .socket = engine->rundir.socket,
        .path = engine->kind->path[ENGINE_CALL_CHAT],
        .key = engine->key,
        .body = str_from(body),
        .pid = (int)engine->child.pid,
        .pidfd = engine->child.pidfd,
        .cancel = p->chat->cancel,
        .on_bytes = chat_on_bytes,
        .until = chat_until,
        .context = p,
    };
    int status = 0;
    p->start = p->sign = clock_now_ms();
    int code = http_ask(&request, &status);
    if (code < 0)
        return chat_failed(engine, p, code, err);
    if (status != 200)
        return chat_refused(p, status, err);
    if (!p->finished && !p->sent_done)
        return instance_cut_off(engine, p->last != 0, err);
    return 0;
}

int engine_chat(struct engine *engine, const struct engine_chat *chat,
                struct engine_reply *ret_reply, struct gfxb_error *err)
{
    struct chat_progress p = {
        .chat = chat,
        .engine = engine,
        .text = BUF_INIT(chat->max_text ? chat->max_text : CHAT_TEXT_MAX),
        .raw = BUF_INIT(CHAT_REFUSAL_MAX),
        .reply = {.least_probability = -1.0},
    };
    int code = engine_check(engine, err);
    if (code < 0)
        return code;
    char *CLEAN_FREE body = engine->kind->chat_request(chat, err);
    if (!body)
        return -EINVAL;
    sse_init(&p.sse, chat_take_event, &p);
    code = chat_ask(engine, &p, body, err);
    sse_done(&p.sse);
    buf_done(&p.raw);
    p.reply.n = p.text.n;
    if (code == 0) {
        p.reply.text = xbuf_take(&p.text);
        *ret_reply = p.reply;
    }
    buf_done(&p.text);
    return code;
}

void engine_reply_done(struct engine_reply *reply)
{
    free(reply->text);
    *reply = (struct engine_reply){.text = NULL};
}
