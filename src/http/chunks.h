/*
 * chunks.h - the chunked transfer coding, taken off in place. Extensions and trailers are
 * refused: nobody needs them, and readers differ about them. Private to http/; also fuzzed.
 */
#ifndef HTTP_CHUNKS_H
#define HTTP_CHUNKS_H

#include "base/base.h"

/* All zero: at the beginning. */
struct http_chunks {
    int state;
    unsigned digits; /* of the size that is being read */
    uint64_t left;   /* bytes of the chunk */
};

/*
 * Take the coding off n bytes; the content is moved to their beginning and *ret_n counts it.
 * *ret_used counts the bytes that belong to this body: all n, or fewer once it has ended. 1 when it
 * has ended, 0 when more is to come, -EINVAL when it is malformed.
 */
int http_chunks_take(struct http_chunks *chunks, char *bytes, size_t n, size_t *ret_n,
                     size_t *ret_used);

#endif
