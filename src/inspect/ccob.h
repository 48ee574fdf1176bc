/* ccob.h - the header and the beginning of a compressed code-object bundle. Private to inspect/. */
#ifndef INSPECT_CCOB_H
#define INSPECT_CCOB_H

#include "inspect/image.h"

#define CCOB_HEADER_MAX 32

enum ccob_method { CCOB_ZLIB = 0, CCOB_ZSTD = 1 };

struct ccob {
    unsigned version; /* 1, 2, 3 */
    enum ccob_method method;
    size_t header;         /* bytes before the compressed data */
    uint64_t total;        /* header and data; 0: not said (version 1) */
    uint64_t uncompressed; /* bytes */
};

/* The header at the beginning of n bytes. -EAGAIN when there are too few, -ENOTSUP for a version or
 * method that is not known, -EBADMSG when it cannot be. */
int ccob_read_header(const unsigned char *bytes, size_t n, struct ccob *ret_ccob);

/*
 * Decompress the first `size` bytes of what is in `data` (or all there is). *ret_n: how many came
 * out. -EBADMSG for damaged data, or when the data itself states another size than the header.
 */
int ccob_peek(const struct image *image, struct extent data, const struct ccob *ccob,
              unsigned char *ret_bytes, size_t size, size_t *ret_n);

#endif
