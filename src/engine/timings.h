/* timings.h - a raw completion that is asked for its figures alone. Private to engine/; also
 * fuzzed. */
#ifndef ENGINE_TIMINGS_H
#define ENGINE_TIMINGS_H

#include "base/base.h"

#include <jansson.h>

/* What the engine counted. 0: not told. */
struct timings {
    unsigned prompt_tokens; /* that were computed, not taken from a cache */
    unsigned tokens;        /* generated */
    double prompt_per_second, tokens_per_second;
};

/* The token ids of a /tokenize answer, at least one; a new reference. 0, or -EPROTO. */
int timings_read_ids(struct str body, json_t **ret_ids);
/* The body for /completion: the ids again and again until the prompt has so many, and an answer of
 * so many whatever the model would rather say. To be freed; NULL out of memory. */
char *timings_request(const json_t *ids, unsigned prompt_tokens, unsigned answer_tokens);
/* 0, or -EPROTO when it is no JSON object. A speed without two tokens behind it is not one. */
int timings_parse(struct str body, struct timings *ret_timings);

/* Sorts the values. 0 when there are none. */
double timings_median(double *value, size_t n);

#endif
