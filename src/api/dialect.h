/*
 * dialect.h - what the server's core needs of the dialects: the tables of routes (serve.h), errors
 * in the shape that a path's clients expect, and the figures that stand in an answer. No I/O here.
 */
#ifndef API_DIALECT_H
#define API_DIALECT_H

#include "api/api.h"
#include "api/dialect_error.h"

/*
 * An answer had begun and cannot be finished: the last piece of a stream that says so. Empty for
 * an answer that is no stream: cutting it off is all that can be done.
 */
void dialect_error_event(enum dialect dialect, bool stream, const struct gfxb_error *why,
                         struct buf *ret);

/* ---- the engine's own figures of an answer, read in passing ---- */

enum { DIALECT_HEAD_MAX = 256, DIALECT_TAIL_MAX = 1536 };

/* The beginning and the end of what has passed: token counts stand in one of them. Zero is valid.
 */
struct dialect_tail {
    uint16_t head_n, tail_n;
    char head[DIALECT_HEAD_MAX];
    char tail[DIALECT_TAIL_MAX];
};

/* Bytes as the engine sent them. */
void dialect_tail_feed(struct dialect_tail *tail, struct str bytes);
/* What they said; a figure that is not in them is 0. Prompt tokens count cached ones too. */
void dialect_tail_end(const struct dialect_tail *tail, struct serve_timings *ret);

#endif
