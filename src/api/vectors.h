/*
 * vectors.h - embeddings for every dialect: what the engine is asked, and what becomes of its
 * vectors on their way. Private to api/.
 */
#ifndef API_VECTORS_H
#define API_VECTORS_H

#include "api/chat/chat.h"

enum vectors_shape {
    VECTORS_OPENAI,     /* {"object":"list","data":[{"embedding",...}],"model","usage"} */
    VECTORS_OLLAMA,     /* {"model","embeddings":[[...]], ...} */
    VECTORS_OLLAMA_ONE, /* {"embedding":[...]} */
};

struct vectors_ask {
    enum vectors_shape shape;
    char model[DIALECT_NAME_SIZE]; /* as the answer tells it */
    unsigned dimensions;           /* the first ones of each vector, scaled to length 1; 0 all */
    bool base64;                   /* vectors as the base64 of their bytes */
    bool truncate;                 /* what is too long loses its end, else it is refused */
    int64_t (*clock)(void);        /* nanoseconds, of Ollama's answers; NULL: real */
};

/* input (lent): a text, or an array of texts and of arrays of tokens, which the caller has checked.
 */
struct serve_filter *vectors_new(const struct vectors_ask *ask, json_t *input);
extern const struct serve_filter_ops vectors_ops;

/* What the engine is asked: in the body of the call, with the filter for its answer. */
void vectors_request(struct chat_call *call, const struct vectors_ask *ask, json_t *input);

#endif
