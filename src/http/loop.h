/*
 * loop.h - one thread's events, on libuv: descriptors, timers, and calls from other threads.
 * Private to http/.
 */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include "base/base.h"

struct loop;
struct loop_handle; /* libuv's part of a source or a timer: freed by the loop, later than its owner
                     */

enum loop_events {
    LOOP_READ = 1,  /* bytes, or their end */
    LOOP_WRITE = 2, /* room for bytes; ask for it only while bytes wait */
    LOOP_LEAVE = 4, /* the peer has closed its sending side at least */
    LOOP_BROKEN =
        8 /* an error, or both sides are closed; always told, once, and nothing after it */
};

/* A descriptor that is watched; part of its owner. */
struct loop_source {
    int fd;
    /* events: LOOP_ bits. Level-triggered: told in each turn until it is dealt with, or no longer
     * asked for. */
    void (*ready)(struct loop_source *source, unsigned events);
    struct loop_handle *handle; /* NULL: not watched yet */
};

/* Part of its owner; all zero is a valid timer that is not set. */
struct loop_timer {
    int64_t
        at; /* when it is due, ms of loop_now; 0: not set; INT64_MAX: not before it is set anew */
    void (*due)(struct loop_timer *timer);
    struct loop_handle *handle;
};

int loop_new(struct loop **ret_loop, struct gfxb_error *err);
void loop_free(struct loop *loop);

/* From now on these events are wanted, and no others. 0 or -errno. */
int loop_watch(struct loop *loop, struct loop_source *source, unsigned events);
/* No more events, not even of the present turn. Closes fd. The source may be freed at once. */
void loop_close(struct loop *loop, struct loop_source *source);

/* Due in ms from now; setting it again moves it. Cheap when it moves later. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms);
/* Not due any more. The timer may be freed at once. */
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
int64_t loop_now(const struct loop *loop); /* ms, as of this turn */

/* From any thread: call fn in the loop's thread soon. */
void loop_post(struct loop *loop, void (*fn)(void *context), void *context);

/* Until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
