/* http.h - one request to an engine over its unix socket, watched. Private to engine/. */
#ifndef ENGINE_HTTP_H
#define ENGINE_HTTP_H

#include "base/base.h"

#include <stdatomic.h>

struct http_ask {
    const char *socket;
    const char *path; /* "/health" */
    const char *key;  /* bearer key; NULL none */
    const char *body; /* JSON to POST; NULL: GET */
    size_t body_n;
    int pidfd; /* of the engine: when it has ended the answer is not waited for; -1 none */
    const atomic_int *cancel; /* NULL never */
    /* Bytes of the answer's body as they come. Negative: stop and return that. */
    int (*on_bytes)(void *context, struct str bytes);
    /* The monotonic ms at which to give up as things stand now; 0 never. NULL: never. */
    int64_t (*until)(void *context);
    void *context;
};

/*
 * 0 and the HTTP status when a whole answer was received; on_bytes' own negative value; or
 * -ECONNREFUSED (nobody listens), -ECONNRESET (cut off, or the engine ended), -ETIMEDOUT, -EINTR
 * (cancelled), -EPROTO, -ENOMEM. A fresh connection each time: the engine closes its side after a
 * stream although it promises to keep it.
 */
int http_ask(const struct http_ask *request, long *ret_status);

#endif
