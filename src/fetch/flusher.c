#include "fetch/flusher.h"

#include "base/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FLUSHER_BYTES (32u << 20) /* at a time */

struct flusher {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t n; /* bytes that are still to be forced out */
    bool ended;
    int failed; /* -errno; the thread's until it has ended */
};

/* Pages that are on the disk are let go: the next bytes find them free, and what other programs
 * have in memory stays there. */
static void *flusher_thread(void *context)
{
    struct flusher *f = context;
    pthread_mutex_lock(&f->lock);
    while (!f->ended) {
        if (f->n < FLUSHER_BYTES) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        f->n = 0;
        pthread_mutex_unlock(&f->lock);
        if (fdatasync(f->fd) < 0)
            f->failed = -errno;
        posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

struct flusher *flusher_new(int fd)
{
    struct flusher *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->fd = fd;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    if (stream_start(&f->thread, flusher_thread, f) < 0) {
        free(f);
        return NULL;
    }
    return f;
}

void flusher_note(struct flusher *f, size_t n)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->n += n;
    if (f->n >= FLUSHER_BYTES)
        pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

int flusher_end(struct flusher *f)
{
    if (!f)
        return 0;
    pthread_mutex_lock(&f->lock);
    f->ended = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    int failed = f->failed;
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return failed;
}
