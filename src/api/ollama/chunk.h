/* chunk.h - one event of the engine's, whichever of its three shapes it has, as what
 * Ollama's replies are made of. Private to ollama_answer.c; also fuzzed through it. */
#ifndef API_OLLAMA_CHUNK_H
#define API_OLLAMA_CHUNK_H

#include "base/base.h"

#include <jansson.h>

/* Everything is lent by root, which ollama_chunk_done releases. */
struct ollama_chunk {
    json_t *root;
    struct str text, thinking; /* empty: none; may hold NUL bytes */
    const json_t *calls;       /* delta.tool_calls; NULL none */
    const json_t *logprobs;    /* an array; NULL none */
    const char *finish;        /* "stop", "length" ...; NULL: not yet */
    const json_t *timings;     /* NULL none */
    const json_t *usage;       /* NULL none */
    const json_t *error;       /* what went wrong; NULL nothing */
};

/* -EBADMSG: not JSON of an object. */
int ollama_chunk_read(struct str field, struct str value, struct ollama_chunk *ret);
void ollama_chunk_done(struct ollama_chunk *chunk);

#endif
