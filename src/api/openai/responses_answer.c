/* responses_answer.c - an answer as a response of OpenAI's: one object, or its events. */
#include "api/openai/openai.h"

#include <errno.h>
#include <time.h>

struct chat_writer {
    json_t *shape; /* of the request */
    bool stream, encrypted;
    char id[40];       /* behind "resp_", "msg_" ... */
    uint64_t sequence; /* of the next event */
    int64_t began;     /* s since 1970 */
};

/* ---- items ---- */

static const char *const item_prefixes[] = {
    [CHAT_THINKING] = "rs", [CHAT_TEXT] = "msg", [CHAT_CALL] = "fc"};

static size_t item_index(const struct chat_answer *a, const struct chat_block *b)
{
    return (size_t)(b - a->block);
}

static json_t *item_id(const struct chat_writer *w, const struct chat_answer *a,
                       const struct chat_block *b)
{
    return json_sprintf("%s_%s%03zu", item_prefixes[b->kind], w->id, item_index(a, b));
}

/* The one part of a text's or a reasoning item's content; text is taken over. */
static json_t *item_part(const struct chat_block *b, json_t *text, json_t *logprobs)
{
    if (b->kind == CHAT_THINKING)
        return json_pack("{s:s, s:o}", "type", "reasoning_text", "text", text);
    return json_pack("{s:s, s:o, s:[], s:o}", "type", "output_text", "text", text, "annotations",
                     "logprobs", logprobs ? json_incref(logprobs) : json_array());
}

/* The namespace of the request that a function belongs to, and its name there; NULL: it is in none.
 */
static const char *item_space(const struct chat_writer *w, const char *name, const char **ret_name)
{
    size_t i, k;
    json_t *tool, *function;
    *ret_name = name;
    json_array_foreach(json_object_get(w->shape, "tools"), i, tool)
    {
        struct str rest = str_from(name), space = str_from(chat_text(tool, "name"));
        if (strcmp(chat_text(tool, "type"), "namespace") != 0 || !str_strip(&rest, space) ||
            !str_strip(&rest, STR(RESPONSES_SPACE)))
            continue;
        json_array_foreach(json_object_get(tool, "tools"), k, function)
        {
            if (str_is(rest, chat_text(function, "name"))) {
                *ret_name = rest.p;
                return space.p;
            }
        }
    }
    return NULL;
}

/* whole: with its content, else as it begins. */
static json_t *item_json(const struct chat_writer *w, const struct chat_answer *a,
                         const struct chat_block *b, bool whole)
{
    bool cut = strcmp(a->finish, "length") == 0 && item_index(a, b) + 1 == a->n;
    const char *status = !whole ? "in_progress" : cut ? "incomplete" : "completed";
    json_t *id = item_id(w, a, b), *text = chat_string(whole ? buf_view(&b->text) : STR_NONE);
    if (b->kind == CHAT_CALL) {
        const char *name, *space = item_space(w, b->name, &name);
        return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s*, s:o}", "id", id, "type", "function_call",
                         "status", status, "call_id", b->id, "name", name, "namespace", space,
                         "arguments", text);
    }
    json_t *thoughts =
        whole && w->encrypted ? json_sprintf(RESPONSES_THOUGHTS "%s", buf_text(&b->text)) : NULL;
    json_t *content = json_pack("[o]", item_part(b, text, b->logprobs));
    if (!whole)
        json_array_clear(content);
    if (b->kind == CHAT_THINKING)
        return json_pack("{s:o, s:s, s:s, s:[], s:o, s:o*}", "id", id, "type", "reasoning",
                         "status", status, "summary", "content", content, "encrypted_content",
                         thoughts);
    json_decref(thoughts);
    return json_pack("{s:o, s:s, s:s, s:s, s:o}", "id", id, "type", "message", "status", status,
                     "role", "assistant", "content", content);
}

/* ---- the response ---- */

static json_t *response_usage(const struct chat_answer *a)
{
    uint64_t thinking = 0;
    for (size_t i = 0; i < a->n; i++)
        thinking += a->block[i].kind == CHAT_THINKING ? a->block[i].pieces : 0;
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens",
                     (json_int_t)a->prompt_tokens, "input_tokens_details", "cached_tokens",
                     (json_int_t)a->cached_tokens, "output_tokens", (json_int_t)a->tokens,
                     "output_tokens_details", "reasoning_tokens",
                     (json_int_t)(thinking < a->tokens ? thinking : a->tokens), "total_tokens",
                     (json_int_t)(a->prompt_tokens + a->tokens));
}

/* The response in one of its states; reason: why it is incomplete, NULL it is not. */
static json_t *response_json(const struct chat_writer *w, const struct chat_answer *a,
                             const char *status, const char *reason)
{
    bool begun = strcmp(status, "in_progress") == 0, whole = strcmp(status, "completed") == 0;
    json_t *output = json_array();
    for (size_t i = 0; !begun && i < a->n; i++)
        json_array_append_new(output, item_json(w, a, &a->block[i], true));
    json_t *response = json_pack(
        "{s:o, s:s, s:I, s:s, s:o, s:n, s:o, s:o, s:o}", "id", json_sprintf("resp_%s", w->id),
        "object", "response", "created_at", (json_int_t)w->began, "status", status, "completed_at",
        whole ? json_integer(time(NULL)) : json_null(), "error", "incomplete_details",
        reason ? json_pack("{s:s}", "reason", reason) : json_null(), "output", output, "usage",
        whole || reason ? response_usage(a) : json_null());
    json_object_update_missing(response, w->shape);
    if (!json_object_get(response, "model"))
        json_object_set_new(response, "model", json_string(a->model));
    return response;
}

static json_t *response_end(const struct chat_writer *w, const struct chat_answer *a,
                            const char **ret_event)
{
    const char *reason = strcmp(a->finish, "length") == 0           ? "max_output_tokens"
                         : strcmp(a->finish, "content_filter") == 0 ? "content_filter"
                                                                    : NULL;
    *ret_event = reason ? "response.incomplete" : "response.completed";
    return response_json(w, a, reason ? "incomplete" : "completed", reason);
}

/* ---- events ---- */

/* rest: the other members, taken over. */
static int event_put(struct chat_writer *w, const char *type, json_t *rest, struct buf *out)
{
    json_t *event =
        json_pack("{s:s, s:I}", "type", type, "sequence_number", (json_int_t)w->sequence++);
    json_object_update(event, rest);
    json_t *sent = rest ? event : NULL;
    json_decref(rest);
    if (!sent)
        json_decref(event);
    return chat_put_event(out, type, sent);
}

/* An event about a part of an item; rest as above. */
static int event_put_part(struct chat_writer *w, const struct chat_answer *a,
                          const struct chat_block *b, const char *type, json_t *rest,
                          struct buf *out)
{
    json_t *place = json_pack("{s:o, s:I}", "item_id", item_id(w, a, b), "output_index",
                              (json_int_t)item_index(a, b));
    if (b->kind != CHAT_CALL)
        json_object_set_new(place, "content_index", json_integer(0));
    json_object_update(place, rest);
    if (!rest) {
        json_decref(place);
        return -ENOMEM;
    }
    json_decref(rest);
    return event_put(w, type, place, out);
}

static int event_put_item(struct chat_writer *w, const struct chat_answer *a,
                          const struct chat_block *b, bool whole, struct buf *out)
{
    json_t *item = item_json(w, a, b, whole);
    return event_put(
        w, whole ? "response.output_item.done" : "response.output_item.added",
        item ? json_pack("{s:I, s:o}", "output_index", (json_int_t)item_index(a, b), "item", item)
             : NULL,
        out);
}

static const char *writer_type(struct chat_writer *w)
{
    return w->stream ? "text/event-stream" : DIALECT_JSON_TYPE;
}

static int writer_begin(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    static const char *const events[] = {"response.created", "response.in_progress"};
    int code = 0;
    for (size_t i = 0; i < 2 && code == 0; i++)
        code = event_put(w, events[i],
                         json_pack("{s:o}", "response", response_json(w, a, "in_progress", NULL)),
                         out);
    return code;
}

static int writer_open(struct chat_writer *w, const struct chat_answer *a,
                       const struct chat_block *b, struct buf *out)
{
    int code = event_put_item(w, a, b, false, out);
    if (code < 0 || b->kind == CHAT_CALL)
        return code;
    return event_put_part(w, a, b, "response.content_part.added",
                          json_pack("{s:o}", "part", item_part(b, json_string(""), NULL)), out);
}

static int writer_piece(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct str text, json_t *logprobs,
                        struct buf *out)
{
    static const char *const events[] = {
        [CHAT_THINKING] = "response.reasoning_text.delta",
        [CHAT_TEXT] = "response.output_text.delta",
        [CHAT_CALL] = "response.function_call_arguments.delta",
    };
    json_t *delta = json_pack("{s:o}", "delta", chat_string(text));
    if (b->kind == CHAT_TEXT)
        json_object_set_new(delta, "logprobs", logprobs ? json_incref(logprobs) : json_array());
    return event_put_part(w, a, b, events[b->kind], delta, out);
}

static int writer_close(struct chat_writer *w, const struct chat_answer *a,
                        const struct chat_block *b, struct buf *out)
{
    json_t *text = chat_string(buf_view(&b->text)), *part;
    const char *name;
    int code;
    switch (b->kind) {
    case CHAT_CALL:
        item_space(w, b->name, &name);
        code = event_put_part(w, a, b, "response.function_call_arguments.done",
                              json_pack("{s:s, s:O}", "name", name, "arguments", text), out);
        break;
    case CHAT_THINKING:
        code = event_put_part(w, a, b, "response.reasoning_text.done",
                              json_pack("{s:O}", "text", text), out);
        break;
    default:
        code = event_put_part(w, a, b, "response.output_text.done",
                              json_pack("{s:O, s:o}", "text", text, "logprobs",
                                        b->logprobs ? json_incref(b->logprobs) : json_array()),
                              out);
    }
    if (code == 0 && b->kind != CHAT_CALL) {
        part = item_part(b, json_incref(text), b->logprobs);
        code = event_put_part(w, a, b, "response.content_part.done",
                              json_pack("{s:o}", "part", part), out);
    }
    json_decref(text);
    return code < 0 ? code : event_put_item(w, a, b, true, out);
}

static int writer_end(struct chat_writer *w, const struct chat_answer *a, struct buf *out)
{
    const char *event;
    json_t *response = response_end(w, a, &event);
    if (!w->stream)
        return chat_put_json(out, response);
    return event_put(w, event, json_pack("{s:o}", "response", response), out);
}

static void writer_fail(struct chat_writer *w, const struct chat_answer *a,
                        const struct gfxb_error *why, struct buf *out)
{
    json_t *response = response_json(w, a, "failed", NULL);
    json_object_set_new(
        response, "error",
        json_pack("{s:s, s:o}", "code", "server_error", "message", report_json_string(why->text)));
    event_put(w, "response.failed", json_pack("{s:o}", "response", response), out);
}

static void writer_reset(struct chat_writer *w)
{
    w->sequence = 0;
}

static void writer_free(struct chat_writer *w)
{
    json_decref(w->shape);
    free(w);
}

const struct chat_writer_ops responses_writer_ops = {
    .type = writer_type,
    .begin = writer_begin,
    .open = writer_open,
    .piece = writer_piece,
    .close = writer_close,
    .end = writer_end,
    .fail = writer_fail,
    .reset = writer_reset,
    .free = writer_free,
};

struct chat_writer *responses_writer_new(json_t *shape, bool stream, bool encrypted)
{
    struct chat_writer *w = xcalloc(1, sizeof(*w));
    *w = (struct chat_writer){
        .shape = shape, .stream = stream, .encrypted = encrypted, .began = time(NULL)};
    chat_id("", w->id, sizeof(w->id));
    return w;
}
