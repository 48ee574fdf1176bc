#include "engine/http.h"
#include "engine/running.h"
#include "engine/sse.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define CHAT_TEXT_MAX    (16u << 20)
#define CHAT_REFUSAL_MAX 65536 /* bytes of an error body that are read */
#define CHAT_END_MS      1000  /* for an engine that was cut off to be seen as ended */

/* One answer on its way. */
struct chat_progress {
    const struct engine_chat *chat;
    struct sse sse;
    struct buf text;
    struct buf raw; /* the beginning of the body, for an answer that is no stream */
    struct engine_reply reply;
    int64_t start, last; /* ms; last: of the latest piece, 0 before the first */
    bool finished;       /* the engine said that the answer is whole */
    bool sent_done;
    char refusal[400]; /* an error in the stream */
};

static int chat_give(struct chat_progress *p, const json_t *content, bool thinking)
{
    if (!json_is_string(content) || json_string_length(content) == 0)
        return 0;
    struct str piece = {json_string_value(content), json_string_length(content)};
    int64_t now = child_now_ms();
    if (!p->last)
        p->reply.first_token_ms = (double)(now - p->start);
    p->last = now;
    if (!thinking)
        buf_add_str(&p->text, piece);
    if (!buf_ok(&p->text))
        return -EFBIG;
    int code = p->chat->on_text ? p->chat->on_text(p->chat->context, piece, thinking) : 0;
    return code < 0 ? -ECANCELED : 0;
}

static void chat_note_probabilities(struct chat_progress *p, const json_t *choice)
{
    const json_t *tokens = json_object_get(json_object_get(choice, "logprobs"), "content");
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *logarithm = json_object_get(json_array_get(tokens, i), "logprob");
        if (!json_is_number(logarithm))
            continue;
        double probability = exp(json_number_value(logarithm));
        if (p->reply.least_probability < 0.0 || probability < p->reply.least_probability)
            p->reply.least_probability = probability;
    }
}

static void chat_note_count(const json_t *object, const char *name, unsigned *ret_count)
{
    const json_t *value = json_object_get(object, name);
    json_int_t count = json_is_integer(value) ? json_integer_value(value) : -1;
    if (count >= 0 && count <= UINT32_MAX)
        *ret_count = (unsigned)count;
}

static void chat_note_rate(const json_t *object, const char *name, double *ret_rate)
{
    const json_t *value = json_object_get(object, name);
    double rate = json_is_number(value) ? json_number_value(value) : 0.0;
    if (rate > 0.0 && isfinite(rate))
        *ret_rate = rate;
}

static void chat_note_refusal(struct chat_progress *p, const json_t *error)
{
    const char *message = json_string_value(json_object_get(error, "message"));
    if (!message)
        message = json_string_value(error);
    snprintf(p->refusal, sizeof(p->refusal), "%s", message ? message : "an error without words");
}

static int chat_take_chunk(struct chat_progress *p, const json_t *chunk)
{
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    chat_note_probabilities(p, choice);
    chat_note_count(json_object_get(chunk, "usage"), "completion_tokens", &p->reply.tokens);
    chat_note_count(json_object_get(chunk, "usage"), "prompt_tokens", &p->reply.prompt_tokens);
    chat_note_rate(json_object_get(chunk, "timings"), "predicted_per_second",
                   &p->reply.tokens_per_second);
    chat_note_rate(json_object_get(chunk, "timings"), "prompt_per_second",
                   &p->reply.prompt_per_second);
    if (finish) {
        p->finished = true;
        p->reply.cut = strcmp(finish, "length") == 0;
    }
    int code = chat_give(p, json_object_get(delta, "reasoning_content"), true);
    return code < 0 ? code : chat_give(p, json_object_get(delta, "content"), false);
}

static int chat_take_event(void *context, struct str field, struct str value)
{
    struct chat_progress *p = context;
    if (str_is(value, "[DONE]")) {
        p->sent_done = true;
        return 0;
    }
    json_t *chunk = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(chunk)) {
        json_decref(chunk);
        return -EPROTO;
    }
    const json_t *error = json_object_get(chunk, "error");
    int code = 0;
    if (error || str_is(field, "error")) {
        chat_note_refusal(p, error ? error : chunk);
        code = -EREMOTEIO;
    } else {
        code = chat_take_chunk(p, chunk);
    }
    json_decref(chunk);
    return code;
}

static int chat_on_bytes(void *context, struct str bytes)
{
    struct chat_progress *p = context;
    size_t room = CHAT_REFUSAL_MAX - p->raw.n;
    buf_add(&p->raw, bytes.p, bytes.n < room ? bytes.n : room);
    return sse_feed(&p->sse, bytes);
}

static int64_t chat_until(void *context)
{
    const struct chat_progress *p = context;
    int64_t until = p->chat->whole_ms > 0 ? p->start + p->chat->whole_ms : 0;
    int64_t piece = 0;
    if (!p->last && p->chat->first_ms > 0)
        piece = p->start + p->chat->first_ms;
    else if (p->last && p->chat->gap_ms > 0)
        piece = p->last + p->chat->gap_ms;
    return piece && (!until || piece < until) ? piece : until;
}

/* The messages of the request; a new reference, NULL when they are none. */
static json_t *chat_messages(const struct engine_chat *chat)
{
    if (chat->prompt)
        return json_pack("[{s:s, s:s}]", "role", "user", "content", chat->prompt);
    json_t *messages = json_loads(chat->messages ? chat->messages : "", 0, NULL);
    if (!json_is_array(messages)) {
        json_decref(messages);
        return NULL;
    }
    return messages;
}

/* The request as text, to be freed; NULL with *err filled. */
static char *chat_request(const struct engine_chat *chat, struct gfxb_error *err)
{
    json_t *messages = chat_messages(chat);
    if (!messages) {
        error_set(err, EINVAL, "%s",
                  chat->prompt ? "the prompt is not UTF-8 text"
                               : "the messages are not a JSON array");
        return NULL;
    }
    json_t *request = json_pack("{s:o, s:b, s:{s:b}}", "messages", messages, "stream", 1,
                                "stream_options", "include_usage", 1);
    bool ok = request != NULL;
    if (ok && chat->max_tokens)
        ok = json_object_set_new(request, "max_tokens", json_integer(chat->max_tokens)) == 0;
    if (ok && chat->temperature >= 0.0)
        ok = json_object_set_new(request, "temperature", json_real(chat->temperature)) == 0;
    if (ok && chat->fixed)
        ok = json_object_set_new(request, "cache_prompt", json_false()) == 0 &&
             json_object_set_new(request, "seed", json_integer(1)) == 0;
    if (ok && chat->probabilities)
        ok = json_object_set_new(request, "logprobs", json_true()) == 0 &&
             json_object_set_new(request, "top_logprobs", json_integer(1)) == 0;
    char *text = ok ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text)
        error_set(err, ENOMEM, "out of memory");
    return text;
}

static int chat_refused(struct chat_progress *p, long status, struct gfxb_error *err)
{
    if (!p->refusal[0]) {
        json_t *body = json_loadb(buf_text(&p->raw), p->raw.n, 0, NULL);
        chat_note_refusal(p, json_object_get(body, "error"));
        json_decref(body);
    }
    return error_set(err, EREMOTEIO, "the engine refused the request%s: %s",
                     status == 503 ? " for now" : "", p->refusal);
}

/* It was cut off: the engine's end is the cause, when it has ended. */
static int chat_cut_off(struct engine *engine, const struct chat_progress *p,
                        struct gfxb_error *err)
{
    struct gfxb_error why = {.code = 0};
    int64_t until = child_now_ms() + CHAT_END_MS;
    int code = 0;
    while (code == 0 && child_now_ms() < until) {
        if (!engine->ended && child_wait(&engine->child, 20, &engine->status) != 0)
            engine->ended = true;
        code = engine_check(engine, &why);
    }
    if (code == 0)
        return error_set(err, EPROTO, "the engine closed the connection %s",
                         p->last ? "in the middle of an answer" : "without an answer");
    return error_set(err, why.code, "%s%s", why.text,
                     p->last ? " (in the middle of an answer)" : "");
}

static int chat_timed_out(const struct chat_progress *p, struct gfxb_error *err)
{
    double waited = (double)(child_now_ms() - p->start) / 1000.0;
    if (!p->last)
        return error_set(err, GFXB_E_ENGINE_HANG, "the engine gave no first token within %.1f s",
                         waited);
    return error_set(err, GFXB_E_ENGINE_HANG,
                     "the engine stopped in the middle of an answer: %zu bytes of text, then "
                     "nothing more; given up after %.1f s",
                     p->text.n, waited);
}

static int chat_failed(struct engine *engine, struct chat_progress *p, int code,
                       struct gfxb_error *err)
{
    switch (-code) {
    case ETIMEDOUT:
        return chat_timed_out(p, err);
    case EINTR:
    case ECANCELED:
        return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    case EREMOTEIO:
        return chat_refused(p, 200, err);
    case EFBIG:
        return error_set(err, EFBIG, "the engine's answer does not end: more than %zu bytes",
                         p->text.max);
    case ENOMEM:
        return error_set(err, ENOMEM, "out of memory");
    case ECONNREFUSED:
    case ECONNRESET:
        return chat_cut_off(engine, p, err);
    default:
        return error_set(err, EPROTO, "the engine's answer is not what a llama-server sends");
    }
}

static int chat_ask(struct engine *engine, struct chat_progress *p, const char *body,
                    struct gfxb_error *err)
{
    struct http_request request = {
        .socket = engine->rundir.socket,
        .path = "/v1/chat/completions",
        .key = engine->key,
        .body = body,
        .body_n = strlen(body),
        .pidfd = engine->child.pidfd,
        .cancel = p->chat->cancel,
        .on_bytes = chat_on_bytes,
        .until = chat_until,
        .context = p,
    };
    long status = 0;
    p->start = child_now_ms();
    int code = http_ask(&request, &status);
    if (code < 0)
        return chat_failed(engine, p, code, err);
    if (status != 200)
        return chat_refused(p, status, err);
    if (!p->finished && !p->sent_done)
        return chat_cut_off(engine, p, err);
    p->reply.whole_ms = (double)(child_now_ms() - p->start);
    return 0;
}

int engine_chat(struct engine *engine, const struct engine_chat *chat,
                struct engine_reply *ret_reply, struct gfxb_error *err)
{
    struct chat_progress p = {
        .chat = chat,
        .text = BUF_INIT(chat->max_text ? chat->max_text : CHAT_TEXT_MAX),
        .raw = BUF_INIT(CHAT_REFUSAL_MAX),
        .reply = {.least_probability = -1.0},
    };
    int code = engine_check(engine, err);
    if (code < 0)
        return code;
    char *CLEAN_FREE body = chat_request(chat, err);
    if (!body)
        return err ? -err->code : -EINVAL;
    sse_init(&p.sse, chat_take_event, &p);
    code = chat_ask(engine, &p, body, err);
    sse_done(&p.sse);
    buf_done(&p.raw);
    buf_add(&p.text, "", 0); /* an empty answer is text too */
    p.reply.n = p.text.n;
    p.reply.text = code == 0 ? buf_take(&p.text) : NULL;
    buf_done(&p.text);
    if (code == 0 && !p.reply.text)
        return error_set(err, ENOMEM, "out of memory");
    if (code == 0)
        *ret_reply = p.reply;
    return code;
}

void engine_reply_done(struct engine_reply *reply)
{
    free(reply->text);
    *reply = (struct engine_reply){.text = NULL};
}
