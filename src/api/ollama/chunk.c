#include "api/ollama/chunk.h"

#include <errno.h>

static struct str chunk_text(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

/* {"choices":[{"delta":{...}}]} of chats, {"choices":[{"text":...}]} of completions. */
static void chunk_take_choice(struct ollama_chunk *c, const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    const json_t *logprobs = json_object_get(choice, "logprobs");
    c->text =
        chunk_text(delta ? json_object_get(delta, "content") : json_object_get(choice, "text"));
    c->thinking = chunk_text(json_object_get(delta, "reasoning_content"));
    c->calls = json_object_get(delta, "tool_calls");
    c->finish = json_string_value(json_object_get(choice, "finish_reason"));
    c->logprobs = json_object_get(logprobs, "content");
}

/* {"content":..., "stop":true, "stop_type":"limit"} of the engine's own interface (infill). */
static void chunk_take_own(struct ollama_chunk *c)
{
    const char *type = json_string_value(json_object_get(c->root, "stop_type"));
    c->text = chunk_text(json_object_get(c->root, "content"));
    c->logprobs = json_object_get(c->root, "completion_probabilities");
    if (json_is_true(json_object_get(c->root, "stop")))
        c->finish = type && strcmp(type, "limit") == 0 ? "length" : "stop";
}

int ollama_chunk_read(struct str field, struct str value, struct ollama_chunk *ret)
{
    *ret = (struct ollama_chunk){.text = STR_NONE};
    ret->root = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(ret->root)) {
        ollama_chunk_done(ret);
        return -EBADMSG;
    }
    const json_t *choices = json_object_get(ret->root, "choices");
    ret->error = str_is(field, "error") ? ret->root : json_object_get(ret->root, "error");
    ret->timings = json_object_get(ret->root, "timings");
    ret->usage = json_object_get(ret->root, "usage");
    if (choices)
        chunk_take_choice(ret, json_array_get(choices, 0));
    else
        chunk_take_own(ret);
    return 0;
}

void ollama_chunk_done(struct ollama_chunk *chunk)
{
    json_decref(chunk->root);
    *chunk = (struct ollama_chunk){.text = STR_NONE};
}
