/*
 * loop.h - one thread's events: descriptors (edge-triggered), timers, and calls from other threads.
 * Private to http/.
 */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include "base/base.h"

#include <sys/epoll.h>

struct loop;

/* A descriptor that is watched; part of its owner. */
struct loop_source {
    int fd;
    /* events: EPOLL bits as they came. Edge-triggered: read and write until EAGAIN. */
    void (*ready)(struct loop_source *source, uint32_t events);
};

/* Part of its owner; all zero is a valid timer that is not set. */
struct loop_timer {
    int64_t at;    /* when it is due, ms of clock_now_ms; 0: not set */
    int64_t place; /* what the heap is ordered by: never later than at */
    size_t index;  /* in the heap, from 1; 0: not in it */
    void (*due)(struct loop_timer *timer);
};

int loop_new(struct loop **ret_loop, struct gfxb_error *err);
void loop_free(struct loop *loop);

/* Watch reading and the peer's leaving from now on; and writing, which on unix sockets wakes us
 * each time that the peer reads: ask for it only while bytes wait. 0 or -errno. */
int loop_add(struct loop *loop, struct loop_source *source, bool writing);
int loop_change(struct loop *loop, struct loop_source *source, bool writing);
/* No more events of it, not even of those that came together with the present one. Closes fd. */
void loop_close(struct loop *loop, struct loop_source *source);

/* Due in ms from now; setting it again moves it. Cheap when it moves later. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
int64_t loop_now(const struct loop *loop); /* ms, as of this turn */

/* From any thread: call fn in the loop's thread soon. 0 or -ENOMEM. */
int loop_post(struct loop *loop, void (*fn)(void *context), void *context);

/* Until loop_stop. 0 or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
