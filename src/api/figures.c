/* figures.c - the token counts of an answer, read from the bytes that pass. */
#include "api/dialect.h"

#include <stdio.h>

void dialect_tail_feed(struct dialect_tail *tail, struct str bytes)
{
    size_t room = DIALECT_HEAD_MAX - tail->head_n;
    size_t first = bytes.n < room ? bytes.n : room;
    if (first)
        memcpy(tail->head + tail->head_n, bytes.p, first);
    tail->head_n = (uint16_t)(tail->head_n + first);
    if (bytes.n > DIALECT_TAIL_MAX)
        bytes = str_skip(bytes, bytes.n - DIALECT_TAIL_MAX);
    size_t keep =
        DIALECT_TAIL_MAX - bytes.n < tail->tail_n ? DIALECT_TAIL_MAX - bytes.n : tail->tail_n;
    memmove(tail->tail, tail->tail + tail->tail_n - keep, keep);
    if (bytes.n)
        memcpy(tail->tail + keep, bytes.p, bytes.n);
    tail->tail_n = (uint16_t)(keep + bytes.n);
}

/*
 * The bytes behind the last mark; empty: there is none. A mark is a member's name with its quotes
 * and colon, which cannot stand inside a JSON string, whose quotes have a backslash before them.
 */
static struct str tail_last(struct str bytes, const char *name, const char *value)
{
    char mark[64];
    struct str found = STR_NONE;
    size_t n = (size_t)snprintf(mark, sizeof(mark), "\"%s\":%s", name, value);
    const char *at;
    while (bytes.n && n < sizeof(mark) && (at = memmem(bytes.p, bytes.n, mark, n)))
        found = bytes = str_skip(bytes, (size_t)(at - bytes.p) + n);
    return found;
}

/* The last number of this name; 0: none, or the name is NULL. */
static double tail_number(struct str bytes, const char *name)
{
    struct str rest = name ? tail_last(bytes, name, "") : STR_NONE;
    size_t n = 0;
    while (n < rest.n && n < 40 && rest.p[n] != ',' && rest.p[n] != '}')
        n++;
    json_t *number = n ? json_loadb(rest.p, n, JSON_DECODE_ANY, NULL) : NULL;
    double value = json_number_value(number);
    json_decref(number);
    return value > 0.0 && value < 1e15 ? value : 0.0;
}

static uint64_t tail_either(struct str tail, struct str head, const char *name)
{
    double n = tail_number(tail, name);
    return (uint64_t)(n > 0.0 ? n : tail_number(head, name));
}

/* OpenAI's names count cached tokens among the prompt's, Anthropic's beside them. */
static void tail_usage(struct str head, struct str tail, struct pool_timings *ret)
{
    ret->prompt_tokens = tail_either(tail, head, "prompt_tokens");
    ret->tokens = tail_either(tail, head, "completion_tokens");
    ret->cached_tokens = tail_either(tail, head, "cached_tokens");
    if (ret->prompt_tokens)
        return;
    uint64_t beside = tail_either(tail, head, "cache_read_input_tokens");
    ret->prompt_tokens = tail_either(tail, head, "input_tokens") + beside;
    ret->tokens = tail_either(tail, head, "output_tokens");
    if (beside)
        ret->cached_tokens = beside;
}

void dialect_tail_end(const struct dialect_tail *tail, const struct engine_figures *names,
                      struct pool_timings *ret)
{
    struct str head = {tail->head, tail->head_n}, end = {tail->tail, tail->tail_n};
    struct str own = names ? tail_last(end, names->object, "{") : STR_NONE;
    *ret = (struct pool_timings){.prompt_tokens = 0};
    if (!own.n) {
        tail_usage(head, end, ret);
        return;
    }
    ret->cached_tokens = (uint64_t)tail_number(own, names->cached);
    ret->prompt_tokens = ret->cached_tokens + (uint64_t)tail_number(own, names->prompt);
    ret->tokens = (uint64_t)tail_number(own, names->tokens);
    ret->prompt_per_second = tail_number(own, names->prompt_per_second);
    ret->tokens_per_second = tail_number(own, names->tokens_per_second);
}
