/*
 * stream.h - bytes from one thread to another, through a ring of a stated size: whoever is faster
 * waits.
 */
#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include "base/base.h"

#include <pthread.h>

struct stream;

int stream_new(size_t capacity, struct stream **ret_stream, struct gfxb_error *err);
void stream_free(struct stream *stream); /* NULL is fine; nobody may use it any more */

/* A thread for one side. Signals are for the others, whose waits they end. 0 or -errno. */
int stream_start(pthread_t *ret_thread, void *(*run)(void *), void *context);

/* The writing side. 0, or -EPIPE when the reader has left: what is written is lost. */
int stream_write(struct stream *stream, const void *bytes, size_t n);
/* No more bytes: the reader gets what is there, then the end (result 0) or a failure (-errno). A
 * failure does not wait for what is there. */
void stream_end(struct stream *stream, int result);

/* The reading side. Lends the next bytes until the next call: their number, 0 at the end, -errno.
 * They come in pieces worth waking for: half the ring, at most 256 KiB, and what is left at the
 * end. */
ssize_t stream_read(struct stream *stream, const void **ret_bytes);
/* The reader needs nothing more: the writer no longer waits. */
void stream_leave(struct stream *stream);

#endif
