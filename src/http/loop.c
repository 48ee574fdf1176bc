#include "http/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

enum { LOOP_EVENTS = 256 };

struct loop_call {
    struct loop_call *next;
    void (*fn)(void *context);
    void *context;
};

struct loop {
    int epoll;
    struct loop_source wake; /* eventfd: calls are waiting */
    bool stopping;
    int64_t now;
    struct epoll_event event[LOOP_EVENTS];
    int n_events, at_event; /* of this turn */
    struct loop_timer **heap;
    size_t n_timers, room_timers;
    pthread_mutex_t lock; /* guards calls and last_call */
    struct loop_call *calls, **last_call;
};

/* ---- calls from other threads ---- */

static void loop_on_wake(struct loop_source *source, uint32_t events)
{
    struct loop *loop = container_of(source, struct loop, wake);
    uint64_t count;
    (void)events;
    while (read(source->fd, &count, sizeof(count)) > 0)
        ;
    pthread_mutex_lock(&loop->lock);
    struct loop_call *call = loop->calls;
    loop->calls = NULL;
    loop->last_call = &loop->calls;
    pthread_mutex_unlock(&loop->lock);
    while (call) {
        struct loop_call *next = call->next;
        call->fn(call->context);
        free(call);
        call = next;
    }
}

int loop_post(struct loop *loop, void (*fn)(void *context), void *context)
{
    struct loop_call *call = malloc(sizeof(*call));
    uint64_t one = 1;
    if (!call)
        return -ENOMEM;
    *call = (struct loop_call){NULL, fn, context};
    pthread_mutex_lock(&loop->lock);
    *loop->last_call = call;
    loop->last_call = &call->next;
    /* Within the lock: the call may be the loop's last one, and the loop gone behind it. */
    while (write(loop->wake.fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    pthread_mutex_unlock(&loop->lock);
    return 0;
}

/* ---- timers: a heap by place ---- */

static void loop_put(struct loop *loop, size_t index, struct loop_timer *timer)
{
    loop->heap[index - 1] = timer;
    timer->index = index;
}

static void loop_rise(struct loop *loop, struct loop_timer *timer)
{
    size_t i = timer->index;
    while (i > 1 && loop->heap[i / 2 - 1]->place > timer->place) {
        loop_put(loop, i, loop->heap[i / 2 - 1]);
        i /= 2;
    }
    loop_put(loop, i, timer);
}

static void loop_sink(struct loop *loop, struct loop_timer *timer)
{
    size_t i = timer->index;
    for (;;) {
        size_t child = 2 * i;
        if (child > loop->n_timers)
            break;
        if (child < loop->n_timers && loop->heap[child]->place < loop->heap[child - 1]->place)
            child++;
        if (loop->heap[child - 1]->place >= timer->place)
            break;
        loop_put(loop, i, loop->heap[child - 1]);
        i = child;
    }
    loop_put(loop, i, timer);
}

static void loop_take_out(struct loop *loop, struct loop_timer *timer)
{
    size_t index = timer->index;
    struct loop_timer *last = loop->heap[--loop->n_timers];
    timer->index = 0;
    if (last == timer)
        return;
    loop_put(loop, index, last);
    loop_rise(loop, last);
    loop_sink(loop, last);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    timer->at = 0;
    if (timer->index)
        loop_take_out(loop, timer);
}

/* One that moves later stays where it is in the heap: its turn comes too early, and is put off
 * then. That makes the deadline of every request free. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
    timer->at = loop->now + ms;
    if (timer->index && timer->at >= timer->place)
        return;
    if (timer->index)
        loop_take_out(loop, timer);
    if (loop->n_timers == loop->room_timers) {
        size_t room = loop->room_timers ? 2 * loop->room_timers : 64;
        struct loop_timer **heap = realloc(loop->heap, room * sizeof(*heap));
        if (!heap)
            return; /* out of memory: without a deadline rather than without an answer */
        loop->heap = heap;
        loop->room_timers = room;
    }
    timer->place = timer->at;
    loop_put(loop, ++loop->n_timers, timer);
    loop_rise(loop, timer);
}

static void loop_run_timers(struct loop *loop)
{
    while (loop->n_timers && loop->heap[0]->place <= loop->now) {
        struct loop_timer *timer = loop->heap[0];
        if (timer->at > loop->now) {
            timer->place = timer->at;
            loop_sink(loop, timer);
            continue;
        }
        loop_take_out(loop, timer);
        timer->at = 0;
        timer->due(timer);
    }
}

int64_t loop_now(const struct loop *loop)
{
    return loop->now;
}

/* ---- descriptors ---- */

static int loop_control(struct loop *loop, int operation, struct loop_source *source, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = source};
    if (writing)
        event.events |= EPOLLOUT;
    return epoll_ctl(loop->epoll, operation, source->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *source, bool writing)
{
    return loop_control(loop, EPOLL_CTL_ADD, source, writing);
}

int loop_change(struct loop *loop, struct loop_source *source, bool writing)
{
    return loop_control(loop, EPOLL_CTL_MOD, source, writing);
}

void loop_close(struct loop *loop, struct loop_source *source)
{
    for (int i = loop->at_event; i < loop->n_events; i++) {
        if (loop->event[i].data.ptr == source)
            loop->event[i].data.ptr = NULL;
    }
    if (source->fd >= 0)
        close(source->fd); /* which takes it out of the epoll set: nobody else holds it */
    source->fd = -1;
}

static int loop_wait_ms(const struct loop *loop)
{
    if (!loop->n_timers)
        return -1;
    int64_t ms = loop->heap[0]->place - clock_now_ms();
    return ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

int loop_run(struct loop *loop)
{
    while (!loop->stopping) {
        int n = epoll_wait(loop->epoll, loop->event, LOOP_EVENTS, loop_wait_ms(loop));
        if (n < 0 && errno != EINTR)
            return -errno;
        loop->now = clock_now_ms();
        loop->n_events = n < 0 ? 0 : n;
        for (loop->at_event = 0; loop->at_event < loop->n_events;) {
            const struct epoll_event *event = &loop->event[loop->at_event++];
            struct loop_source *source = event->data.ptr;
            if (source)
                source->ready(source, event->events);
        }
        loop->n_events = 0;
        loop_run_timers(loop);
    }
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

int loop_new(struct loop **ret_loop, struct gfxb_error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return error_set(err, ENOMEM, "out of memory");
    pthread_mutex_init(&loop->lock, NULL);
    loop->last_call = &loop->calls;
    loop->now = clock_now_ms();
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = (struct loop_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), loop_on_wake};
    int result = loop->epoll < 0 || loop->wake.fd < 0 ? -errno : loop_add(loop, &loop->wake, false);
    if (result < 0) {
        loop_free(loop);
        return error_set(err, -result, "cannot set up an event loop: %s",
                         error_errno_text(-result));
    }
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->calls) {
        struct loop_call *next = loop->calls->next;
        free(loop->calls);
        loop->calls = next;
    }
    if (loop->wake.fd >= 0)
        close(loop->wake.fd);
    if (loop->epoll >= 0)
        close(loop->epoll);
    free(loop->heap);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
