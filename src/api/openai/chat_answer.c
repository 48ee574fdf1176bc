/* chat_answer.c - an answer as OpenAI's chat completion, where the engine's own does not keep the
 * contract: one object, or its chunks. */
#include "api/openai/openai.h"

#include <errno.h>
#include <time.h>

struct chat_writer {
    char id[40];
    int64_t began; /* s since 1970 */
    unsigned n;    /* choices */
    bool stream, usage, logprobs;
};

/* The members that all objects have. */
static json_t *completion_json(const struct chat_writer *w, const struct chat_answer *a,
                               json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", w->id, "object",
                     w->stream ? "chat.completion.chunk" : "chat.completion", "created",
                     (json_int_t)w->began, "model", a->model, "choices", choices);
}

static json_t *completion_usage(const struct chat_answer *a)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)a->prompt_tokens,
                     "completion_tokens", (json_int_t)a->tokens, "total_tokens",
                     (json_int_t)(a->prompt_tokens + a->tokens), "prompt_tokens_details",
                     "cached_tokens", (json_int_t)a->cached_tokens);
}

static json_t *completion_logprobs(const struct chat_writer *w, json_t *logprobs)
{
    return w->logprobs && logprobs ? json_pack("{s:O, s:n}", "content", logprobs, "refusal")
                                   : json_null();
}

/* NULL: not yet. */
static json_t *completion_finish(const struct chat_writer *w, const char *finish)
{
    return finish[0] ? json_string(finish) : json_null();
}

/* ---- chunks ---- */

/* delta is taken over. */
static int chunk_put(const struct chat_writer *w, const struct chat_answer *a, unsigned choice,
                     json_t *delta, json_t *logprobs, const char *finish, struct buf *out)
{
    if (!delta)
        return -ENOMEM;
    json_t *one =
        json_pack("{s:i, s:o, s:o, s:o}", "index", (int)choice, "delta", delta, "logprobs",
                  completion_logprobs(w, logprobs), "finish_reason", completion_finish(w, finish));
    json_t *chunk = completion_json(w, a, json_pack("[o]", one));
    if (w->usage)
        json_object_set_new(chunk, "usage", json_null());
    return chat_put_event(out, NULL, chunk);
}

static const char *writer_type(struct chat_writer *w)
{
    return w->stream ? "text/event-stream" : DIALECT_JSON_TYPE;
}

static int writer_begin(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    int code = 0;
    for (unsigned i = 0; i < w->n && code == 0; i++)
        code = chunk_put(w, a, i, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL,
                         "", out);
    return code;
}

/* The number of a call among those of its choice. */
static int call_index(const struct chat_answer *a, const struct chat_block *b)
{
    int n = 0;
    for (const struct chat_block *other = a->block; other < b; other++)
        n += other->kind == CHAT_CALL && other->choice == b->choice;
    return n;
}

static json_t *call_json(const struct chat_block *b, json_t *arguments)
{
    return json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", b->id, "type", "function", "function",
                     "name", b->name, "arguments", arguments);
}

static int writer_open(struct chat_writer *w, const struct chat_answer *a,
                       const struct chat_block *b, struct buf *out)
{
    if (b->kind != CHAT_CALL)
        return 0;
    json_t *call = call_json(b, json_string(""));
    json_object_set_new(call, "index", json_integer(call_index(a, b)));
    return chunk_put(w, a, b->choice, json_pack("{s:[o]}", "tool_calls", call), NULL, "", out);
}

static int writer_piece(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct str text, json_t *logprobs,
                        struct buf *out)
{
    json_t *words = chat_string(text);
    json_t *delta =
        b->kind == CHAT_CALL
            ? json_pack("{s:[{s:i, s:{s:o}}]}", "tool_calls", "index", call_index(a, b), "function",
                        "arguments", words)
            : json_pack("{s:o}", b->kind == CHAT_TEXT ? "content" : "reasoning_content", words);
    return chunk_put(w, a, b->choice, delta, logprobs, "", out);
}

/* ---- the whole ---- */

static json_t *whole_message(const struct chat_writer *w, const struct chat_answer *a,
                             unsigned choice, json_t **ret_logprobs)
{
    struct buf CLEAN_BUF text = BUF_INIT(SIZE_MAX / 2), CLEAN_BUF thinking = BUF_INIT(SIZE_MAX / 2);
    json_t *calls = json_array();
    for (const struct chat_block *b = a->block; b < a->block + a->n; b++) {
        if (b->choice != choice)
            continue;
        if (b->kind == CHAT_CALL)
            json_array_append_new(calls, call_json(b, chat_string(buf_view(&b->text))));
        else
            buf_add_str(b->kind == CHAT_TEXT ? &text : &thinking, buf_view(&b->text));
        if (b->logprobs)
            json_array_extend(*ret_logprobs, b->logprobs);
    }
    json_t *message = json_pack(
        "{s:s, s:o, s:n}", "role", "assistant", "content",
        text.n || !json_array_size(calls) ? chat_string(buf_view(&text)) : json_null(), "refusal");
    if (thinking.n)
        json_object_set_new(message, "reasoning_content", chat_string(buf_view(&thinking)));
    if (json_array_size(calls))
        json_object_set(message, "tool_calls", calls);
    json_decref(calls);
    return message;
}

static int whole_put(const struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    json_t *choices = json_array();
    for (unsigned i = 0; i < w->n; i++) {
        json_t *logprobs = json_array();
        json_t *message = whole_message(w, a, i, &logprobs);
        if (!message) {
            json_decref(choices);
            choices = NULL;
        }
        json_array_append_new(choices,
                              json_pack("{s:i, s:o, s:o, s:o}", "index", (int)i, "message", message,
                                        "logprobs", completion_logprobs(w, logprobs),
                                        "finish_reason", completion_finish(w, a->finishes[i])));
        json_decref(logprobs);
    }
    json_t *whole = choices ? completion_json(w, a, choices) : NULL;
    if (whole)
        json_object_set_new(whole, "usage", completion_usage(a));
    return chat_put_json(out, whole);
}

static int writer_end(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    int code = 0;
    if (!w->stream)
        return whole_put(w, a, out);
    for (unsigned i = 0; i < w->n && code == 0; i++)
        code = chunk_put(w, a, i, json_object(), NULL, a->finishes[i][0] ? a->finishes[i] : "stop",
                         out);
    if (code == 0 && w->usage) {
        json_t *last = completion_json(w, a, json_array());
        json_object_set_new(last, "usage", completion_usage(a));
        code = chat_put_event(out, NULL, last);
    }
    buf_add_text(out, "data: [DONE]\n\n");
    return code;
}

static void writer_free(struct chat_writer *w)
{
    free(w);
}

const struct chat_writer_ops completion_writer_ops = {
    .type = writer_type,
    .begin = writer_begin,
    .open = writer_open,
    .piece = writer_piece,
    .end = writer_end,
    .free = writer_free,
};

struct chat_writer *completion_writer_new(const json_t *root, bool stream)
{
    struct chat_writer *w = xcalloc(1, sizeof(*w));
    json_t *options = json_object_get(root, "stream_options"), *n = chat_get(root, "n");
    *w = (struct chat_writer){
        .began = time(NULL),
        .n = n ? (unsigned)json_number_value(n) : 1,
        .stream = stream,
        .usage = json_is_true(json_object_get(options, "include_usage")),
        .logprobs = json_is_true(json_object_get(root, "logprobs")),
    };
    chat_id("chatcmpl-", w->id, sizeof(w->id));
    return w;
}
