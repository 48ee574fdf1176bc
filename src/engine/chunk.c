/* chunk.c - one event of a streamed chat answer. */
#include "engine/engine_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

void chunk_refusal(const json_t *error, char *ret_text, size_t size)
{
    const char *message = json_string_value(json_object_get(error, "message"));
    if (!message)
        message = json_string_value(error);
    snprintf(ret_text, size, "%s", message ? message : "an error without words");
}

static struct str chunk_text(const json_t *text)
{
    if (!json_is_string(text))
        return STR_NONE;
    return (struct str){json_string_value(text), json_string_length(text)};
}

int64_t chunk_count(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    json_int_t count = json_is_integer(value) ? json_integer_value(value) : -1;
    return count >= 0 && count <= INT32_MAX ? (int64_t)count : -1;
}

double chunk_rate(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    double rate = json_is_number(value) ? json_number_value(value) : 0.0;
    return rate > 0.0 && isfinite(rate) ? rate : 0.0;
}

static double chunk_least_probability(const json_t *choice)
{
    const json_t *tokens = json_object_get(json_object_get(choice, "logprobs"), "content");
    double least = -1.0;
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *logarithm = json_object_get(json_array_get(tokens, i), "logprob");
        double probability = json_is_number(logarithm) ? exp(json_number_value(logarithm)) : -1.0;
        if (probability >= 0.0 && (least < 0.0 || probability < least))
            least = probability;
    }
    return least;
}

int chunk_parse(struct str field, struct str value, struct chunk *ret_chunk)
{
    struct chunk chunk = {.tokens = -1};
    chunk.json = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(chunk.json)) {
        json_decref(chunk.json);
        return -EPROTO;
    }
    const json_t *choice = json_array_get(json_object_get(chunk.json, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    const json_t *usage = json_object_get(chunk.json, "usage");
    const json_t *timings = json_object_get(chunk.json, "timings");
    const json_t *error = json_object_get(chunk.json, "error");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    chunk.text = chunk_text(json_object_get(delta, "content"));
    chunk.thinking = chunk_text(json_object_get(delta, "reasoning_content"));
    chunk.finished = finish != NULL;
    chunk.cut = finish && strcmp(finish, "length") == 0;
    chunk.tokens = chunk_count(usage, "completion_tokens");
    chunk.prompt_tokens = chunk_count(usage, "prompt_tokens");
    chunk.least_probability = chunk_least_probability(choice);
    chunk.tokens_per_second = chunk_rate(timings, "predicted_per_second");
    chunk.prompt_per_second = chunk_rate(timings, "prompt_per_second");
    if (error || str_is(field, "error"))
        chunk_refusal(error ? error : chunk.json, chunk.refusal, sizeof(chunk.refusal));
    *ret_chunk = chunk;
    return 0;
}

void chunk_done(struct chunk *chunk)
{
    json_decref(chunk->json);
    chunk->json = NULL;
}
