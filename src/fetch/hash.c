/* hash.c - a thread behind the writer of a file: the digest, and on to the disk. */
#include "fetch/fetch_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#define HASH_PIECE   (256u << 10)
#define HASH_BATCH   (1u << 20)  /* bytes of a file that are worth a thread, and waking it */
#define HASH_STRETCH (32u << 20) /* bytes after which the kernel is asked to write them out */
#define HASH_WAIT_MS 100

int hash_start(struct hash *h, int fd, bool durable, struct gfxb_error *err)
{
    hash_stop(h);
    h->fd = fd;
    h->durable = durable;
    h->piece = xmalloc(HASH_PIECE);
    return digest_new(&h->digest, err);
}

/* The next piece, with the lock held but for the work itself. */
static void hash_piece(struct hash *h)
{
    uint64_t at = h->at, left = h->end - at;
    pthread_mutex_unlock(&h->lock);
    ssize_t n = pread(h->fd, h->piece, left < HASH_PIECE ? left : HASH_PIECE, (off_t)at);
    int code = n < 0 ? errno : n == 0 ? EIO : 0;
    if (n > 0)
        digest_add(h->digest, h->piece, (size_t)n);
    at += n > 0 ? (uint64_t)n : 0;
    /* Little is left for the fsync at the end then, which also tells if this failed. */
    if (h->durable && at - h->flushing >= HASH_STRETCH) {
        sync_file_range(h->fd, (off64_t)h->flushing, (off64_t)(at - h->flushing),
                        SYNC_FILE_RANGE_WRITE);
        h->flushing = at;
    }
    pthread_mutex_lock(&h->lock);
    h->at = at;
    h->code = code == EINTR ? 0 : code;
}

static bool hash_is_behind(const struct hash *h)
{
    return h->at < h->end && h->code == 0;
}

static void *hash_run(void *context)
{
    struct hash *h = context;
    pthread_mutex_lock(&h->lock);
    while (!h->stop) {
        if (hash_is_behind(h)) {
            hash_piece(h);
            continue;
        }
        pthread_cond_signal(&h->done);
        pthread_cond_wait(&h->more, &h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* Signals are the caller's. */
static void hash_make_thread(struct hash *h)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    h->has_thread = pthread_create(&h->thread, NULL, hash_run, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void hash_reach(struct hash *h, uint64_t n)
{
    pthread_mutex_lock(&h->lock);
    h->end = n;
    if (!h->has_thread && n >= HASH_BATCH)
        hash_make_thread(h);
    while (!h->has_thread && hash_is_behind(h))
        hash_piece(h);
    if (n - h->at >= HASH_BATCH)
        pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
}

uint64_t hash_at(struct hash *h)
{
    pthread_mutex_lock(&h->lock);
    uint64_t at = h->at;
    pthread_mutex_unlock(&h->lock);
    return at;
}

int hash_end(struct transfer *t, char ret_hex[static DIGEST_HEX])
{
    struct hash *h = &t->hash;
    int r = 0;
    pthread_mutex_lock(&h->lock);
    while (r == 0 && hash_is_behind(h)) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += HASH_WAIT_MS * 1000000l;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_signal(&h->more);
        pthread_cond_clockwait(&h->done, &h->lock, CLOCK_MONOTONIC, &until);
        pthread_mutex_unlock(&h->lock);
        body_show_progress(t, false);
        r = transfer_check_cancel(t);
        pthread_mutex_lock(&h->lock);
    }
    int code = h->code;
    pthread_mutex_unlock(&h->lock);
    if (r == 0 && code)
        r = fs_error(t->err, code, "read again", t->request->path);
    return r < 0 ? r : digest_end(h->digest, ret_hex, t->err);
}

void hash_stop(struct hash *h)
{
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
    if (h->has_thread)
        pthread_join(h->thread, NULL);
    digest_free(h->digest);
    free(h->piece);
    *h = HASH_NONE;
}
