/* timings.c - a raw completion that is asked for its figures alone. */
#include "engine/engine_private.h"

#include <errno.h>

int timings_read_ids(struct str body, json_t **ret_ids)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    json_t *ids = json_object_get(answer, "tokens"), *id;
    size_t i;
    bool ok = json_array_size(ids) > 0;
    json_array_foreach(ids, i, id) ok = ok && json_is_integer(id) && json_integer_value(id) >= 0;
    if (ok)
        *ret_ids = json_incref(ids);
    json_decref(answer);
    return ok ? 0 : -EPROTO;
}

char *timings_request(const json_t *ids, unsigned prompt_tokens, unsigned answer_tokens)
{
    json_t *prompt = json_array();
    size_t n = json_array_size(ids);
    for (size_t i = 0; i < prompt_tokens && n; i++)
        json_array_append(prompt, json_array_get(ids, i % n));
    bool whole = json_array_size(prompt) == prompt_tokens;
    json_t *request = json_pack("{s:o, s:i, s:b, s:b, s:b, s:i, s:i}", "prompt", prompt,
                                "n_predict", (int)answer_tokens, "ignore_eos", 1, "cache_prompt", 0,
                                "stream", 0, "temperature", 0, "seed", 1);
    char *text = request && whole ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    return text;
}

int timings_parse(struct str body, struct timings *ret_timings)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return -EPROTO;
    }
    const json_t *told = json_object_get(answer, "timings");
    int64_t prompt = chunk_count(told, "prompt_n"), tokens = chunk_count(told, "predicted_n");
    *ret_timings = (struct timings){
        .prompt_tokens = prompt > 0 ? (unsigned)prompt : 0,
        .tokens = tokens > 0 ? (unsigned)tokens : 0,
        .prompt_per_second = prompt > 1 ? chunk_rate(told, "prompt_per_second") : 0.0,
        .tokens_per_second = tokens > 1 ? chunk_rate(told, "predicted_per_second") : 0.0,
    };
    json_decref(answer);
    return 0;
}

static int timings_compare(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

double timings_median(double *value, size_t n)
{
    if (n == 0)
        return 0.0;
    qsort(value, n, sizeof(*value), timings_compare);
    return (value[(n - 1) / 2] + value[n / 2]) / 2.0;
}
