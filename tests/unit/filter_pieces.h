/* filter_pieces.h - an engine's answer through a filter of a dialect, cut in every place. */
#ifndef TESTS_FILTER_PIECES_H
#define TESTS_FILTER_PIECES_H

#include "api/dialect.h"

#include <stdlib.h>
#include <string.h>

/* Through a filter in pieces of n bytes, after a first attempt that was cut off and is forgotten.
 */
static inline int convert(const struct serve_filter_ops *ops, struct serve_filter *f,
                          const char *engine, size_t n, struct buf *out)
{
    struct gfxb_error err = {.code = 0};
    struct str rest = str_from(engine);
    int code = 0;
    ops->head(f, engine_kind_of_model(NULL));
    ops->feed(f, (struct str){rest.p, rest.n / 2}, out, &err);
    ops->reset(f);
    buf_clear(out);
    ops->head(f, engine_kind_of_model(NULL));
    while (rest.n && code == 0) {
        size_t piece = rest.n < n ? rest.n : n;
        /* An exact copy, so that a byte beyond the end is seen. */
        char *copy = malloc(piece);
        memcpy(copy, rest.p, piece);
        code = ops->feed(f, (struct str){copy, piece}, out, &err);
        free(copy);
        rest = (struct str){rest.p + piece, rest.n - piece};
    }
    if (code == 0)
        code = ops->end(f, out, &err);
    ops->free(f);
    return code;
}

#endif
