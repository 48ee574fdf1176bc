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
static struct str tail_last(struct str bytes, struct str mark)
{
    struct str found = STR_NONE;
    const char *at;
    while (bytes.n && (at = memmem(bytes.p, bytes.n, mark.p, mark.n)))
        found = bytes = str_skip(bytes, (size_t)(at - bytes.p) + mark.n);
    return found;
}

/* The last number behind this mark; 0: none. */
static double tail_number(struct str bytes, struct str mark)
{
    struct str rest = tail_last(bytes, mark);
    size_t n = 0;
    while (n < rest.n && n < 40 && rest.p[n] != ',' && rest.p[n] != '}')
        n++;
    json_t *number = n ? json_loadb(rest.p, n, JSON_DECODE_ANY, NULL) : NULL;
    double value = json_number_value(number);
    json_decref(number);
    return value > 0.0 && value < 1e15 ? value : 0.0;
}

/* The same of one of the engine's names; 0 for NULL. */
static double tail_named(struct str bytes, const char *name)
{
    char mark[64];
    int n = name ? snprintf(mark, sizeof(mark), "\"%s\":", name) : 0;
    return n > 0 && (size_t)n < sizeof(mark) ? tail_number(bytes, str_from(mark)) : 0.0;
}

static uint64_t tail_either(struct str tail, struct str head, struct str mark)
{
    double n = tail_number(tail, mark);
    return (uint64_t)(n > 0.0 ? n : tail_number(head, mark));
}

/* OpenAI's names count cached tokens among the prompt's, Anthropic's beside them. */
static void tail_usage(struct str head, struct str tail, struct pool_timings *ret)
{
    ret->prompt_tokens = tail_either(tail, head, STR("\"prompt_tokens\":"));
    ret->tokens = tail_either(tail, head, STR("\"completion_tokens\":"));
    ret->cached_tokens = tail_either(tail, head, STR("\"cached_tokens\":"));
    if (ret->prompt_tokens)
        return;
    uint64_t beside = tail_either(tail, head, STR("\"cache_read_input_tokens\":"));
    ret->prompt_tokens = tail_either(tail, head, STR("\"input_tokens\":")) + beside;
    ret->tokens = tail_either(tail, head, STR("\"output_tokens\":"));
    if (beside)
        ret->cached_tokens = beside;
}

void dialect_tail_end(const struct dialect_tail *tail, const struct engine_figures *names,
                      struct pool_timings *ret)
{
    struct str head = {tail->head, tail->head_n}, end = {tail->tail, tail->tail_n};
    struct str own = STR_NONE;
    char mark[64];
    if (names && (size_t)snprintf(mark, sizeof(mark), "\"%s\":{", names->object) < sizeof(mark))
        own = tail_last(end, str_from(mark));
    *ret = (struct pool_timings){.prompt_tokens = 0};
    if (!own.n) {
        tail_usage(head, end, ret);
        return;
    }
    ret->cached_tokens = (uint64_t)tail_named(own, names->cached);
    ret->prompt_tokens = ret->cached_tokens + (uint64_t)tail_named(own, names->prompt);
    ret->tokens = (uint64_t)tail_named(own, names->tokens);
    ret->prompt_per_second = tail_named(own, names->prompt_per_second);
    ret->tokens_per_second = tail_named(own, names->tokens_per_second);
}
