/* loop.c - one thread's descriptors, timers and calls from other threads, on libuv. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <uv.h>

struct loop_call {
    STAILQ_ENTRY(loop_call) link;
    void (*fn)(void *context);
    void *context;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t sleep; /* before each wait for events */
    LIST_HEAD(, loop_task) tasks;
    uv_async_t wake;      /* calls are waiting */
    pthread_mutex_t lock; /* of calls */
    STAILQ_HEAD(loop_calls, loop_call) calls;
};

/* libuv lets go of a handle only in a later turn, so a handle is not part of its owner. */
struct loop_handle {
    union {
        uv_handle_t any;
        uv_poll_t poll;
        uv_timer_t timer;
    } uv;            /* first: libuv gives back its address */
    void *owner;     /* source or timer; NULL: gone */
    unsigned wanted; /* events of a source */
    int64_t wakes;   /* of a timer: when libuv calls, which may be too early */
};

static void loop_handle_free(uv_handle_t *uv)
{
    free(uv);
}

static void loop_handle_close(struct loop_handle **handle)
{
    if (!*handle)
        return;
    (*handle)->owner = NULL;
    uv_close(&(*handle)->uv.any, loop_handle_free);
    *handle = NULL;
}

/* ---- descriptors ---- */

/* Nothing was asked for, so this is urgent data, or the end. libuv would tell it in each turn. */
static bool loop_is_broken(uv_poll_t *uv)
{
    struct pollfd p = {.fd = -1};
    uv_fileno((uv_handle_t *)uv, &p.fd);
    uv_poll_stop(uv);
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP));
}

static void loop_on_poll(uv_poll_t *uv, int status, int events)
{
    struct loop_handle *h = (struct loop_handle *)uv;
    struct loop_source *source = h->owner;
    unsigned told = 0;
    if (status < 0) {
        told = LOOP_BROKEN; /* libuv has stopped watching it */
    } else if (events & UV_PRIORITIZED) {
        told = loop_is_broken(uv) ? LOOP_BROKEN : 0;
    } else {
        told |= events & UV_READABLE ? LOOP_READ : 0;
        told |= events & UV_WRITABLE ? LOOP_WRITE : 0;
        told |= events & UV_DISCONNECT ? LOOP_LEAVE : 0;
    }
    if (told)
        source->ready(source, told);
}

int loop_watch(struct loop *loop, struct loop_source *source, unsigned events)
{
    struct loop_handle *h = source->handle;
    int wanted = 0;
    if (h && h->wanted == events)
        return 0;
    if (!h) {
        h = xcalloc(1, sizeof(*h));
        int result = uv_poll_init(&loop->uv, &h->uv.poll, source->fd);
        if (result < 0) {
            free(h);
            return result;
        }
        h->owner = source;
        source->handle = h;
    }
    wanted |= events & LOOP_READ ? UV_READABLE : 0;
    wanted |= events & LOOP_WRITE ? UV_WRITABLE : 0;
    wanted |= events & LOOP_LEAVE ? UV_DISCONNECT : 0;
    h->wanted = events;
    /* Errors are told only of what is watched at all: for urgent data, which nobody sends. */
    return uv_poll_start(&h->uv.poll, wanted ? wanted : UV_PRIORITIZED, loop_on_poll);
}

int loop_watch_unknown(struct loop *loop, struct loop_source *source)
{
    return loop_watch(loop, source, (LOOP_READ | LOOP_WRITE | LOOP_LEAVE) & ~source->known);
}

ssize_t loop_read(struct loop_source *source, char *bytes, size_t n)
{
    ssize_t got;
    do
        got = recv(source->fd, bytes, n, 0);
    while (got < 0 && errno == EINTR);
    bool none = got < 0 && errno == EAGAIN;
    if (none || !(source->known & LOOP_LEAVE))
        source->known &= ~(unsigned)LOOP_READ; /* others have their turn before it is asked again */
    return got > 0 ? got : none ? 0 : got < 0 ? -errno : -ENODATA;
}

void loop_close(struct loop *loop, struct loop_source *source)
{
    (void)loop;
    /* Takes it out of the epoll set by name: a child that is being forked may hold a copy of the
     * descriptor, so closing it would not. */
    loop_handle_close(&source->handle);
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}

/* ---- timers ---- */

static void loop_on_timer(uv_timer_t *uv);

static void loop_timer_start(struct loop *loop, struct loop_timer *timer)
{
    struct loop_handle *h = timer->handle;
    int64_t ms = timer->at - loop_now(loop);
    h->wakes = timer->at;
    uv_timer_start(&h->uv.timer, loop_on_timer, ms > 0 ? (uint64_t)ms : 0, 0);
}

static void loop_on_timer(uv_timer_t *uv)
{
    struct loop_handle *h = (struct loop_handle *)uv;
    struct loop_timer *timer = h->owner;
    struct loop *loop = container_of(uv->loop, struct loop, uv);
    if (timer->at == INT64_MAX)
        return;
    if (timer->at > loop_now(loop)) {
        loop_timer_start(loop, timer);
        return;
    }
    timer->at = 0;
    timer->due(timer);
}

/* One that moves later is left alone: libuv calls too early, and it is put off then. That makes the
 * deadline of every request free. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
    struct loop_handle *h = timer->handle;
    timer->at = loop_now(loop) + ms;
    if (!h) {
        h = timer->handle = xcalloc(1, sizeof(*h));
        uv_timer_init(&loop->uv, &h->uv.timer);
        h->owner = timer;
    }
    if (!uv_is_active(&h->uv.any) || timer->at < h->wakes)
        loop_timer_start(loop, timer);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    (void)loop;
    timer->at = 0;
    loop_handle_close(&timer->handle);
}

int64_t loop_now(const struct loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

/* ---- tasks ---- */

void loop_later(struct loop *loop, struct loop_task *task)
{
    if (!task->queued)
        LIST_INSERT_HEAD(&loop->tasks, task, link);
    task->queued = true;
}

void loop_not_later(struct loop_task *task)
{
    if (task->queued)
        LIST_REMOVE(task, link);
    task->queued = false;
}

static void loop_on_sleep(uv_prepare_t *uv)
{
    struct loop *loop = container_of(uv, struct loop, sleep);
    struct loop_task *task;
    while ((task = LIST_FIRST(&loop->tasks))) {
        loop_not_later(task);
        task->run(task);
    }
}

/* ---- calls from other threads ---- */

static void loop_on_wake(uv_async_t *uv)
{
    struct loop *loop = container_of(uv, struct loop, wake);
    struct loop_calls calls = STAILQ_HEAD_INITIALIZER(calls);
    struct loop_call *call;
    pthread_mutex_lock(&loop->lock);
    STAILQ_CONCAT(&calls, &loop->calls);
    pthread_mutex_unlock(&loop->lock);
    while ((call = STAILQ_FIRST(&calls))) {
        STAILQ_REMOVE_HEAD(&calls, link);
        call->fn(call->context);
        free(call);
    }
}

void loop_post(struct loop *loop, void (*fn)(void *context), void *context)
{
    struct loop_call *call = xmalloc(sizeof(*call));
    *call = (struct loop_call){.fn = fn, .context = context};
    pthread_mutex_lock(&loop->lock);
    STAILQ_INSERT_TAIL(&loop->calls, call, link);
    /* Within the lock: the call may be the loop's last one, and the loop gone behind it. */
    uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->lock);
}

/* ---- the whole ---- */

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

/* libuv makes one pipe for the whole process and aborts when it cannot: so one is tried first. */
static int loop_try_pipe(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

int loop_new(struct loop **ret_loop, struct gfxb_error *err)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    int result = loop_try_pipe();
    if (result == 0)
        result = uv_loop_init(&loop->uv);
    if (result == 0 && (result = uv_async_init(&loop->uv, &loop->wake, loop_on_wake)) < 0)
        uv_loop_close(&loop->uv);
    if (result < 0) {
        free(loop);
        return error_set(err, -result, "cannot set up an event loop: %s",
                         error_errno_text(-result));
    }
    uv_prepare_init(&loop->uv, &loop->sleep);
    uv_prepare_start(&loop->sleep, loop_on_sleep);
    pthread_mutex_init(&loop->lock, NULL);
    STAILQ_INIT(&loop->calls);
    *ret_loop = loop;
    return 0;
}

static void loop_close_left(uv_handle_t *uv, void *context)
{
    (void)context;
    if (!uv_is_closing(uv))
        uv_close(uv, uv->type == UV_POLL || uv->type == UV_TIMER ? loop_handle_free : NULL);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    uv_walk(&loop->uv, loop_close_left, NULL);
    do /* a stop asked for before the loop ran makes the first run return at once */
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    while (uv_loop_close(&loop->uv) == UV_EBUSY);
    struct loop_call *call;
    while ((call = STAILQ_FIRST(&loop->calls))) {
        STAILQ_REMOVE_HEAD(&loop->calls, link);
        free(call);
    }
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
