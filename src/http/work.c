/* work.c - a bounded number of threads for what blocks, and a queue before them. */
#include "http/http.h"

#include "base/xalloc.h"

#include <errno.h>
#include <pthread.h>
#include <sys/queue.h>

enum { WORK_STACK = 1 << 20 };

struct work_item {
    STAILQ_ENTRY(work_item) link;
    void (*fn)(void *context);
    void (*done)(void *context);
    void *context;
};

struct work {
    struct loop *loop;
    unsigned most, kept;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t news;  /* an item, the end, or a thread less */
    STAILQ_HEAD(, work_item) items;
    unsigned queued, threads, waiting;
    bool ending;
};

/* The next item, waited for by the threads that are kept; NULL: this thread ends. With the lock. */
static struct work_item *work_take(struct work *work)
{
    while (STAILQ_EMPTY(&work->items) && work->threads <= work->kept && !work->ending) {
        work->waiting++;
        pthread_cond_wait(&work->news, &work->lock);
        work->waiting--;
    }
    struct work_item *item = STAILQ_FIRST(&work->items);
    if (item) {
        STAILQ_REMOVE_HEAD(&work->items, link);
        work->queued--;
    }
    return item;
}

static void *work_thread(void *argument)
{
    struct work *work = argument;
    struct work_item *item;
    pthread_mutex_lock(&work->lock);
    while ((item = work_take(work))) {
        pthread_mutex_unlock(&work->lock);
        item->fn(item->context);
        loop_post(work->loop, item->done, item->context);
        free(item);
        pthread_mutex_lock(&work->lock);
    }
    work->threads--;
    pthread_cond_broadcast(&work->news);
    pthread_mutex_unlock(&work->lock); /* the last use: work_free may go on */
    return NULL;
}

/* With the lock. 0 or -EAGAIN. */
static int work_add_thread(struct work *work)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, WORK_STACK);
    int result = pthread_create(&thread, &attributes, work_thread, work);
    pthread_attr_destroy(&attributes);
    work->threads += result == 0;
    return result == 0 ? 0 : -EAGAIN;
}

int work_run(struct work *work, void (*fn)(void *context), void (*done)(void *context),
             void *context)
{
    int result = 0;
    pthread_mutex_lock(&work->lock);
    if (work->queued >= work->waiting && work->threads < work->most)
        result = work_add_thread(work);
    if (work->threads)
        result = 0; /* its turn comes later */
    if (result == 0) {
        struct work_item *item = xmalloc(sizeof(*item));
        *item = (struct work_item){.fn = fn, .done = done, .context = context};
        STAILQ_INSERT_TAIL(&work->items, item, link);
        work->queued++;
        pthread_cond_signal(&work->news);
    }
    pthread_mutex_unlock(&work->lock);
    return result;
}

int work_new(struct loop *loop, unsigned most, unsigned kept, struct work **ret_work,
             struct gfxb_error *err)
{
    struct work *work = xcalloc(1, sizeof(*work));
    int result = 0;
    *work = (struct work){.loop = loop, .most = most, .kept = kept};
    STAILQ_INIT(&work->items);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->news, NULL);
    pthread_mutex_lock(&work->lock);
    for (unsigned i = 0; i < kept && result == 0; i++)
        result = work_add_thread(work);
    pthread_mutex_unlock(&work->lock);
    if (result == 0) {
        *ret_work = work;
        return 0;
    }
    work_free(work);
    return error_set(err, -result, "cannot make a thread: %s", error_errno_text(-result));
}

void work_free(struct work *work)
{
    if (!work)
        return;
    pthread_mutex_lock(&work->lock);
    work->ending = true;
    pthread_cond_broadcast(&work->news);
    while (work->threads)
        pthread_cond_wait(&work->news, &work->lock);
    pthread_mutex_unlock(&work->lock);
    pthread_mutex_destroy(&work->lock);
    pthread_cond_destroy(&work->news);
    free(work);
}
