#include "base/stream.h"

#include <errno.h>
#include <signal.h>

/* Lent at a time, or half the ring: waking a thread for less costs more than it brings, and for
 * more the writer would be held up. */
#define STREAM_PIECE ((size_t)256 << 10)

struct stream {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *bytes;
    size_t capacity, piece;
    size_t start;  /* of what is filled */
    size_t filled; /* what is lent included */
    size_t lent;
    bool ended, left;
    int result;
};

int stream_new(size_t capacity, struct stream **ret_stream, struct gfxb_error *err)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    char *bytes = malloc(capacity);
    if (!stream || !bytes) {
        free(stream);
        free(bytes);
        return error_set(err, ENOMEM, "out of memory");
    }
    stream->bytes = bytes;
    stream->capacity = capacity;
    stream->piece = capacity / 2 < STREAM_PIECE ? capacity / 2 : STREAM_PIECE;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    *ret_stream = stream;
    return 0;
}

void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream->bytes);
    free(stream);
}

int stream_start(pthread_t *ret_thread, void *(*run)(void *), void *context)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(ret_thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -code;
}

/* Copy in as much as there is room for without a break; called with the lock. */
static size_t stream_put(struct stream *stream, const char *bytes, size_t n)
{
    size_t end = (stream->start + stream->filled) % stream->capacity;
    size_t room = stream->capacity - stream->filled;
    if (room > stream->capacity - end)
        room = stream->capacity - end;
    if (n > room)
        n = room;
    if (n)
        memcpy(stream->bytes + end, bytes, n);
    stream->filled += n;
    return n;
}

int stream_write(struct stream *stream, const void *bytes, size_t n)
{
    const char *p = bytes;
    pthread_mutex_lock(&stream->lock);
    while (n && !stream->left) {
        size_t put = stream_put(stream, p, n);
        p += put;
        n -= put;
        if (stream->filled - stream->lent >= stream->piece)
            pthread_cond_signal(&stream->changed);
        if (!put)
            pthread_cond_wait(&stream->changed, &stream->lock);
    }
    int result = stream->left ? -EPIPE : 0;
    pthread_mutex_unlock(&stream->lock);
    return result;
}

void stream_end(struct stream *stream, int result)
{
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    stream->result = result;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

ssize_t stream_read(struct stream *stream, const void **ret_bytes)
{
    pthread_mutex_lock(&stream->lock);
    if (stream->lent) {
        stream->start = (stream->start + stream->lent) % stream->capacity;
        stream->filled -= stream->lent;
        stream->lent = 0;
        pthread_cond_signal(&stream->changed);
    }
    while (stream->filled < stream->piece && !stream->ended)
        pthread_cond_wait(&stream->changed, &stream->lock);
    size_t n = stream->capacity - stream->start;
    if (n > stream->filled)
        n = stream->filled;
    if (n > stream->piece)
        n = stream->piece;
    if (stream->ended && stream->result < 0)
        n = 0;
    stream->lent = n;
    *ret_bytes = stream->bytes + stream->start;
    ssize_t result = n ? (ssize_t)n : stream->result;
    pthread_mutex_unlock(&stream->lock);
    return result;
}

void stream_leave(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->left = true;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}
