/* answer.c - an answer becomes Anthropic's: its events as they come, or one message. */
#include "api/anthropic/anthropic.h"

#include <errno.h>

struct chat_writer {
    struct anthropic_about about;
    char id[40];
};

/* Thoughts need a signature for the clients' types; nobody checks it when they come back. */
#define ANSWER_SIGNATURE "Z2Z4YnJpZGdl"

/* ---- parts of it ---- */

static json_t *answer_usage(const struct chat_answer *a)
{
    return json_pack("{s:I, s:i, s:I, s:I, s:n, s:n, s:n}", "input_tokens",
                     (json_int_t)(a->prompt_tokens - a->cached_tokens),
                     "cache_creation_input_tokens", 0, "cache_read_input_tokens",
                     (json_int_t)a->cached_tokens, "output_tokens", (json_int_t)a->tokens,
                     "cache_creation", "server_tool_use", "output_tokens_details");
}

static const char *answer_reason(const struct chat_writer *w, const struct chat_answer *a)
{
    const struct chat_block *last = a->n ? &a->block[a->n - 1] : NULL;
    if (strcmp(a->finish, "length") == 0)
        return a->tokens && a->tokens < w->about.max_tokens ? "model_context_window_exceeded"
                                                            : "max_tokens";
    if (last && last->kind == CHAT_CALL)
        return "tool_use";
    return a->stop_sequence ? "stop_sequence" : "end_turn";
}

/* A block; whole: with all that it has. NULL: no memory. */
static json_t *answer_block(const struct chat_writer *w, const struct chat_block *b, bool whole)
{
    json_t *text = chat_string(whole ? buf_view(&b->text) : STR_NONE);
    json_t *input = NULL;
    switch (b->kind) {
    case CHAT_TEXT:
        return json_pack("{s:s, s:o}", "type", "text", "text", text);
    case CHAT_THINKING:
        if (w->about.omit_thinking)
            json_string_set(text, "");
        return json_pack("{s:s, s:o, s:s}", "type", "thinking", "thinking", text, "signature",
                         whole ? ANSWER_SIGNATURE : "");
    default:
        input = json_loads(json_string_value(text) ?: "", 0, NULL);
        json_decref(text);
        if (!json_is_object(input)) { /* cut off: stop_reason says so */
            json_decref(input);
            input = json_object();
        }
        return json_pack("{s:s, s:s, s:s, s:o, s:{s:s}}", "type", "tool_use", "id", b->id, "name",
                         b->name, "input", input, "caller", "type", "direct");
    }
}

/* whole: at its end; else as it begins. */
static json_t *answer_message(const struct chat_writer *w, const struct chat_answer *a, bool whole)
{
    json_t *content = json_array();
    size_t n = whole && w->about.max_tokens ? a->n : 0;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(content, answer_block(w, &a->block[i], true));
    json_t *usage = answer_usage(a);
    json_object_update_new(
        usage, json_pack("{s:s, s:n, s:n}", "service_tier", "standard", "inference_geo", "speed"));
    json_t *message = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:s?, s:n, s:n, s:n, s:o}", "id",
                                w->id, "type", "message", "role", "assistant", "model",
                                w->about.model[0] ? w->about.model : a->model, "content", content,
                                "stop_reason", whole ? answer_reason(w, a) : NULL, "stop_sequence",
                                whole ? a->stop_sequence : NULL, "stop_details", "container",
                                "diagnostics", "usage", usage);
    if (w->about.edits)
        json_object_set_new(message, "context_management", json_pack("{s:[]}", "applied_edits"));
    if (json_array_size(content) == n)
        return message;
    json_decref(message); /* a block did not fit into memory */
    return NULL;
}

/* value is taken over. */
static int answer_put(struct buf *out, const char *type, json_t *value)
{
    json_t *event = json_pack("{s:s}", "type", type);
    if (json_object_update_new(event, value) == 0)
        return chat_put_event(out, type, event);
    json_decref(event); /* there is no value, for want of memory */
    return -ENOMEM;
}

/* ---- the stream ---- */

static const char *answer_type(struct chat_writer *w)
{
    return w->about.stream ? "text/event-stream" : DIALECT_JSON_TYPE;
}

static int answer_begin(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    int code = answer_put(out, "message_start",
                          json_pack("{s:o}", "message", answer_message(w, a, false)));
    return code < 0 ? code : answer_put(out, "ping", json_object());
}

static int answer_open(struct chat_writer *w, const struct chat_answer *a,
                       const struct chat_block *b, struct buf *out)
{
    return answer_put(out, "content_block_start",
                      json_pack("{s:i, s:o}", "index", (int)a->n - 1, "content_block",
                                answer_block(w, b, false)));
}

/* text is taken over. */
static int answer_delta(const struct chat_answer *a, const char *type, const char *name,
                        json_t *text, struct buf *out)
{
    return answer_put(out, "content_block_delta",
                      json_pack("{s:i, s:{s:s, s:o}}", "index", (int)a->n - 1, "delta", "type",
                                type, name, text));
}

static int answer_piece(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct str text, json_t *logprobs,
                        struct buf *out)
{
    static const char *const kinds[][2] = {
        [CHAT_THINKING] = {"thinking_delta", "thinking"},
        [CHAT_TEXT] = {"text_delta", "text"},
        [CHAT_CALL] = {"input_json_delta", "partial_json"},
    };
    (void)logprobs;
    if (b->kind == CHAT_THINKING && w->about.omit_thinking)
        return 0;
    return answer_delta(a, kinds[b->kind][0], kinds[b->kind][1], chat_string(text), out);
}

static int answer_close(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct buf *out)
{
    (void)w;
    int code = b->kind == CHAT_THINKING ? answer_delta(a, "signature_delta", "signature",
                                                       json_string(ANSWER_SIGNATURE), out)
                                        : 0;
    return code < 0
               ? code
               : answer_put(out, "content_block_stop", json_pack("{s:i}", "index", (int)a->n - 1));
}

static int answer_end(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    if (!w->about.stream)
        return chat_put_json(out, answer_message(w, a, true));
    json_t *delta = json_pack("{s:s, s:s?, s:n, s:n}", "stop_reason", answer_reason(w, a),
                              "stop_sequence", a->stop_sequence, "stop_details", "container");
    json_t *event = json_pack("{s:o, s:o}", "delta", delta, "usage", answer_usage(a));
    if (w->about.edits)
        json_object_set_new(event, "context_management", json_pack("{s:[]}", "applied_edits"));
    int code = answer_put(out, "message_delta", event);
    return code < 0 ? code : answer_put(out, "message_stop", json_object());
}

static void answer_free(struct chat_writer *w)
{
    free(w);
}

const struct chat_writer_ops anthropic_writer_ops = {
    .type = answer_type,
    .begin = answer_begin,
    .open = answer_open,
    .piece = answer_piece,
    .close = answer_close,
    .end = answer_end,
    .free = answer_free,
};

struct chat_writer *anthropic_writer_new(const struct anthropic_about *about)
{
    struct chat_writer *w = xcalloc(1, sizeof(*w));
    w->about = *about;
    chat_id("msg_", w->id, sizeof(w->id));
    return w;
}
