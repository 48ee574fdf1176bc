/* chunk.h - one event of a streamed chat answer. Private to engine/; also fuzzed. */
#ifndef ENGINE_CHUNK_H
#define ENGINE_CHUNK_H

#include "base/base.h"

#include <jansson.h>

struct chunk {
    json_t *json;                                /* owned: what the views below point into */
    struct str text, thinking;                   /* empty: none */
    bool finished;                               /* the answer ends with this one */
    bool cut;                                    /* at the limit of tokens */
    int64_t tokens, prompt_tokens;               /* -1 not told */
    double least_probability;                    /* of its tokens; -1 not told */
    double tokens_per_second, prompt_per_second; /* 0 not told */
    char refusal[400];                           /* the engine's error; "" none */
};

/* field is "data" or "error", as sse.h gives it. 0, or -EPROTO when it is no JSON object. */
int chunk_parse(struct str field, struct str value, struct chunk *ret_chunk);
void chunk_done(struct chunk *chunk);

/* A count from 0 to INT32_MAX, -1 not told; a speed, 0 not told. */
int64_t chunk_count(const json_t *object, const char *name);
double chunk_rate(const json_t *object, const char *name);

/* The words of an error object, or of an answer's body that holds one. */
void chunk_refusal(const json_t *error, char *ret_text, size_t size);

#endif
