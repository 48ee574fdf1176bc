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
    if (bytes.n >= DIALECT_TAIL_MAX) {
        memcpy(tail->tail, bytes.p + bytes.n - DIALECT_TAIL_MAX, DIALECT_TAIL_MAX);
        tail->tail_n = DIALECT_TAIL_MAX;
        return;
    }
    size_t keep =
        DIALECT_TAIL_MAX - bytes.n < tail->tail_n ? DIALECT_TAIL_MAX - bytes.n : tail->tail_n;
    memmove(tail->tail, tail->tail + tail->tail_n - keep, keep);
    if (bytes.n)
        memcpy(tail->tail + keep, bytes.p, bytes.n);
    tail->tail_n = (uint16_t)(keep + bytes.n);
}

/*
 * The number behind the last mark in the bytes; 0: none. The mark is a member's name with its
 * quotes and colon, which cannot stand inside a JSON string, whose quotes have a backslash before
 * them.
 */
static double tail_number(struct str bytes, struct str mark)
{
    const char *found = NULL, *from = bytes.p, *end = bytes.p + bytes.n;
    while (from && from < end && (from = memmem(from, (size_t)(end - from), mark.p, mark.n))) {
        from += mark.n;
        found = from;
    }
    if (!found)
        return 0.0;
    size_t n = 0;
    while (found + n < end && n < 40 && found[n] != ',' && found[n] != '}')
        n++;
    json_t *number = json_loadb(found, n, JSON_DECODE_ANY, NULL);
    double value = json_number_value(number);
    json_decref(number);
    return value > 0.0 && value < 1e15 ? value : 0.0;
}

static uint64_t tail_count(struct str bytes, struct str mark)
{
    return (uint64_t)tail_number(bytes, mark);
}

/* The same by the member's name; 0 for NULL. */
static double tail_member(struct str bytes, const char *name)
{
    char mark[64];
    int n = name ? snprintf(mark, sizeof(mark), "\"%s\":", name) : 0;
    return n > 0 && (size_t)n < sizeof(mark) ? tail_number(bytes, str_from(mark)) : 0.0;
}

/* From the last object of this name on; n 0: there is none. */
static struct str tail_object(struct str bytes, const char *name)
{
    char mark[64];
    struct str rest = bytes, found = STR_NONE;
    size_t n = (size_t)snprintf(mark, sizeof(mark), "\"%s\":{", name);
    const char *at;
    while (rest.n && n < sizeof(mark) && (at = memmem(rest.p, rest.n, mark, n))) {
        found = (struct str){at, (size_t)(bytes.p + bytes.n - at)};
        rest = (struct str){at + 1, found.n - 1};
    }
    return found;
}

static uint64_t tail_first(struct str a, struct str b, struct str mark)
{
    uint64_t n = tail_count(a, mark);
    return n ? n : tail_count(b, mark);
}

/* OpenAI's names count cached tokens among the prompt's, Anthropic's beside them. */
static void tail_usage(struct str head, struct str tail, struct pool_timings *ret)
{
    ret->prompt_tokens = tail_first(tail, head, STR("\"prompt_tokens\":"));
    ret->tokens = tail_first(tail, head, STR("\"completion_tokens\":"));
    ret->cached_tokens = tail_first(tail, head, STR("\"cached_tokens\":"));
    if (ret->prompt_tokens)
        return;
    uint64_t beside = tail_first(tail, head, STR("\"cache_read_input_tokens\":"));
    ret->prompt_tokens = tail_first(tail, head, STR("\"input_tokens\":")) + beside;
    ret->tokens = tail_first(tail, head, STR("\"output_tokens\":"));
    if (beside)
        ret->cached_tokens = beside;
}

void dialect_tail_end(const struct dialect_tail *tail, const struct engine_figures *names,
                      struct pool_timings *ret)
{
    struct str head = {tail->head, tail->head_n}, end = {tail->tail, tail->tail_n};
    struct str own = names ? tail_object(end, names->object) : STR_NONE;
    *ret = (struct pool_timings){.prompt_tokens = 0};
    if (!own.n) {
        tail_usage(head, end, ret);
        return;
    }
    ret->cached_tokens = (uint64_t)tail_member(own, names->cached);
    ret->prompt_tokens = ret->cached_tokens + (uint64_t)tail_member(own, names->prompt);
    ret->tokens = (uint64_t)tail_member(own, names->tokens);
    ret->prompt_per_second = tail_member(own, names->prompt_per_second);
    ret->tokens_per_second = tail_member(own, names->tokens_per_second);
}
