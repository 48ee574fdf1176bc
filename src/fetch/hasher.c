#include "fetch/hasher.h"

#include "base/stream.h"

#include <errno.h>

#define HASHER_SMALL (256u << 10) /* bytes that are hashed without a thread */
#define HASHER_RING  (1u << 20)

struct hasher {
    struct digest *digest; /* the thread's while there is one */
    struct stream *stream; /* to it; NULL: not begun, or it could not be */
    pthread_t thread;
    size_t n; /* bytes so far, up to HASHER_SMALL */
};

static void *hasher_thread(void *context)
{
    struct hasher *h = context;
    const void *bytes;
    ssize_t n;
    while ((n = stream_read(h->stream, &bytes)) > 0)
        digest_add(h->digest, bytes, (size_t)n);
    return NULL;
}

int hasher_new(struct hasher **ret_hasher, struct gfxb_error *err)
{
    struct hasher *h = calloc(1, sizeof(*h));
    if (!h)
        return error_set(err, ENOMEM, "out of memory");
    int code = digest_new(&h->digest, err);
    if (code < 0) {
        free(h);
        return code;
    }
    *ret_hasher = h;
    return 0;
}

/* Where there can be no thread, the caller hashes itself. */
static void hasher_start(struct hasher *h)
{
    if (stream_new(HASHER_RING, &h->stream, NULL) < 0)
        return;
    if (stream_start(&h->thread, hasher_thread, h) < 0) {
        stream_free(h->stream);
        h->stream = NULL;
    }
}

void hasher_add(struct hasher *h, const void *bytes, size_t n)
{
    if (h->n < HASHER_SMALL) {
        h->n += n < HASHER_SMALL ? n : HASHER_SMALL;
        if (h->n >= HASHER_SMALL)
            hasher_start(h);
    }
    if (h->stream)
        (void)stream_write(h->stream, bytes, n);
    else
        digest_add(h->digest, bytes, n);
}

/* result: 0, hash what is still there; negative: leave it. */
static void hasher_stop(struct hasher *h, int result)
{
    if (!h->stream)
        return;
    stream_end(h->stream, result);
    pthread_join(h->thread, NULL);
    stream_free(h->stream);
    h->stream = NULL;
}

int hasher_end(struct hasher *h, char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    hasher_stop(h, 0);
    return digest_end(h->digest, ret_hex, err);
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    hasher_stop(h, -ECANCELED);
    digest_free(h->digest);
    free(h);
}
