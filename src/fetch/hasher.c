#include "fetch/hasher.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define HASHER_BLOCKS 4
#define HASHER_BLOCK  262144 /* bytes */

struct hasher {
    struct digest *digest;
    char *blocks; /* HASHER_BLOCKS of them, one after the other: a ring */
    size_t n;     /* bytes in the block that the caller fills */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: how many blocks were handed over and hashed so far. */
    size_t given, hashed;
    bool over;
};

static char *hasher_block(const struct hasher *h, size_t number)
{
    return h->blocks + number % HASHER_BLOCKS * HASHER_BLOCK;
}

static void *hasher_thread(void *context)
{
    struct hasher *h = context;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (h->hashed == h->given && !h->over)
            pthread_cond_wait(&h->changed, &h->lock);
        if (h->hashed == h->given)
            break;
        const char *block = hasher_block(h, h->hashed);
        pthread_mutex_unlock(&h->lock);
        digest_add(h->digest, block, HASHER_BLOCK);
        pthread_mutex_lock(&h->lock);
        h->hashed++;
        pthread_cond_signal(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

int hasher_new(struct hasher **ret_hasher, struct gfxb_error *err)
{
    struct hasher *h = calloc(1, sizeof(*h));
    char *blocks = malloc((size_t)HASHER_BLOCKS * HASHER_BLOCK);
    struct digest *digest = NULL;
    int code = h && blocks ? digest_new(&digest, err) : error_set(err, ENOMEM, "out of memory");
    if (code < 0) {
        free(blocks);
        free(h);
        return code;
    }
    h->blocks = blocks;
    h->digest = digest;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    *ret_hasher = h;
    return 0;
}

/* Signals are for the caller, whose waits they end. */
static void hasher_start(struct hasher *h)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    h->threaded = pthread_create(&h->thread, NULL, hasher_thread, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The filled block to the thread; where there can be none, it is hashed here. */
static void hasher_give(struct hasher *h)
{
    h->n = 0;
    if (!h->threaded)
        hasher_start(h);
    if (!h->threaded) {
        digest_add(h->digest, hasher_block(h, 0), HASHER_BLOCK);
        return;
    }
    pthread_mutex_lock(&h->lock);
    h->given++;
    pthread_cond_signal(&h->changed);
    while (h->given - h->hashed == HASHER_BLOCKS)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

void hasher_add(struct hasher *h, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        size_t some = HASHER_BLOCK - h->n < n ? HASHER_BLOCK - h->n : n;
        memcpy(hasher_block(h, h->given) + h->n, p, some);
        h->n += some;
        p += some;
        n -= some;
        if (h->n == HASHER_BLOCK)
            hasher_give(h);
    }
}

/* All that was given is hashed then. */
static void hasher_stop(struct hasher *h)
{
    if (!h->threaded)
        return;
    pthread_mutex_lock(&h->lock);
    h->over = true;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    h->threaded = false;
}

int hasher_end(struct hasher *h, char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    hasher_stop(h);
    digest_add(h->digest, hasher_block(h, h->given), h->n);
    return digest_end(h->digest, ret_hex, err);
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    hasher_stop(h);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    digest_free(h->digest);
    free(h->blocks);
    free(h);
}
