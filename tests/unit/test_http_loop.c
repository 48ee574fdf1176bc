/*
 * test_http_loop.c - the event loop: nothing is told of what was closed, everything else is told
 * exactly as long as it holds, timers come in order, and other threads' calls arrive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    return loop_new(&loop, NULL);
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void stop(struct loop_timer *timer)
{
    (void)timer;
    loop_stop(loop);
}

/* Run the loop for so long. */
static void run_ms(int64_t ms)
{
    struct loop_timer timer = {.due = stop};
    loop_timer_set(loop, &timer, ms);
    loop_run(loop);
    loop_timer_clear(loop, &timer);
}

/* ---- descriptors ---- */

struct seen {
    struct loop_source source;
    int peer;
    unsigned events, calls;
    bool drain;
    bool closes; /* in its first call, itself and the other one */
    struct seen *other;
};

static void on_events(struct loop_source *source, unsigned events)
{
    struct seen *seen = container_of(source, struct seen, source);
    char bytes[256];
    seen->calls++;
    seen->events |= events;
    if (seen->drain)
        while (read(source->fd, bytes, sizeof(bytes)) > 0)
            ;
    if (seen->closes) {
        loop_close(loop, &seen->source);
        loop_close(loop, &seen->other->source);
    }
}

static void seen_open(struct seen *seen, unsigned events)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    *seen = (struct seen){.source = {.fd = pair[0], .ready = on_events}, .peer = pair[1]};
    assert_int_equal(loop_watch(loop, &seen->source, events), 0);
}

static void seen_close(struct seen *seen)
{
    loop_close(loop, &seen->source);
    close(seen->peer);
}

/* A child that holds copies of all our descriptors until the returned one is closed. */
static pid_t holding_child(int *ret_gate)
{
    int gate[2];
    char byte;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        while (read(gate[0], &byte, 1) < 0)
            ;
        _exit(0);
    }
    close(gate[0]);
    *ret_gate = gate[1];
    return pid;
}

/* While an engine is forked its child holds copies of all descriptors: close() alone leaves such a
 * one in the epoll set, which goes on telling about it with a pointer to what was freed. */
static void test_closed_source_held_by_a_child_is_silent(void **state)
{
    struct seen *seen = malloc(sizeof(*seen));
    int gate;
    (void)state;
    assert_non_null(seen);
    seen_open(seen, LOOP_READ | LOOP_LEAVE);
    run_ms(1); /* it is in the epoll set now */
    pid_t child = holding_child(&gate);
    int peer = seen->peer;
    loop_close(loop, &seen->source);
    unsigned calls = seen->calls;
    assert_int_equal(write(peer, "x", 1), 1);
    run_ms(20); /* with ASan also: no use of freed memory below */
    assert_int_equal(seen->calls, calls);
    free(seen);
    assert_int_equal(write(peer, "x", 1), 1);
    run_ms(20);
    close(gate);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(peer);
}

/* The number of the closed descriptor is used again at once while the child holds the old file:
 * what comes to the new one is told to the new owner alone. */
static void test_descriptor_number_used_again(void **state)
{
    struct seen first, second;
    int gate;
    (void)state;
    seen_open(&first, LOOP_READ);
    run_ms(1);
    pid_t child = holding_child(&gate);
    int number = first.source.fd, old_peer = first.peer;
    loop_close(loop, &first.source);
    seen_open(&second, LOOP_READ);
    assert_int_equal(second.source.fd, number);
    second.drain = true;
    assert_int_equal(write(old_peer, "old", 3), 3);
    run_ms(10);
    assert_int_equal(first.calls + second.calls, 0);
    assert_int_equal(write(second.peer, "new", 3), 3);
    run_ms(10);
    assert_int_equal(first.calls, 0);
    assert_int_equal(second.calls, 1);
    close(gate);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(old_peer);
    seen_close(&second);
}

/* Two have news in one turn, and the first closes both: the second's is not told any more. */
static void test_closed_in_the_same_turn(void **state)
{
    struct seen a, b;
    (void)state;
    seen_open(&a, LOOP_READ);
    seen_open(&b, LOOP_READ);
    a.closes = b.closes = true;
    a.other = &b;
    b.other = &a;
    assert_int_equal(write(a.peer, "x", 1), 1);
    assert_int_equal(write(b.peer, "x", 1), 1);
    run_ms(10);
    assert_int_equal(a.calls + b.calls, 1);
    close(a.peer);
    close(b.peer);
}

/* What is not asked for is not told, however long it holds; what is asked for is told until then.
 */
static void test_only_what_is_watched(void **state)
{
    struct seen seen;
    (void)state;
    seen_open(&seen, LOOP_READ);
    assert_int_equal(write(seen.peer, "x", 1), 1);
    assert_int_equal(loop_watch(loop, &seen.source, 0), 0);
    run_ms(10);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(loop_watch(loop, &seen.source, LOOP_READ), 0);
    run_ms(10);
    assert_true(seen.calls > 1);
    assert_int_equal(seen.events, LOOP_READ);
    seen_close(&seen);
}

/* One side closed is "leave"; both sides closed is told even to somebody who asked for nothing, and
 * only once. */
static void test_leaving_and_gone(void **state)
{
    struct seen seen;
    (void)state;
    seen_open(&seen, LOOP_LEAVE);
    shutdown(seen.peer, SHUT_WR);
    run_ms(5);
    assert_int_equal(seen.events, LOOP_LEAVE);
    assert_int_equal(loop_watch(loop, &seen.source, 0), 0);
    seen.events = seen.calls = 0;
    run_ms(5);
    assert_int_equal(seen.calls, 0);
    close(seen.peer);
    run_ms(5);
    assert_int_equal(seen.events, LOOP_BROKEN);
    assert_int_equal(seen.calls, 1);
    loop_close(loop, &seen.source);
}

/* ---- timers ---- */

struct numbered {
    struct loop_timer timer;
    int turn;   /* 1: the first to be due; 0: not yet */
    int64_t at; /* when it was told */
};

static int turns;

static void note(struct loop_timer *timer)
{
    struct numbered *t = container_of(timer, struct numbered, timer);
    t->turn = ++turns;
    t->at = loop_now(loop);
}

/* Each is told once, not before its time, the earlier one first; moved ones by their new time. */
static void test_timers(void **state)
{
    struct numbered t[5];
    (void)state;
    turns = 0;
    for (int i = 0; i < 5; i++)
        t[i] = (struct numbered){.timer = {.due = note}};
    int64_t begin = loop_now(loop);
    loop_timer_set(loop, &t[0].timer, 5);
    loop_timer_set(loop, &t[1].timer, 2);
    loop_timer_set(loop, &t[2].timer, 1);
    loop_timer_set(loop, &t[2].timer, 9); /* later */
    loop_timer_set(loop, &t[3].timer, 60000);
    loop_timer_set(loop, &t[3].timer, 0); /* earlier */
    loop_timer_set(loop, &t[4].timer, 3);
    t[4].timer.at = INT64_MAX; /* not before it is set anew */
    run_ms(30);
    assert_int_equal(turns, 4);
    assert_int_equal(t[4].turn, 0);
    assert_true(t[3].turn < t[1].turn && t[1].turn < t[0].turn);
    assert_true(t[0].at >= begin + 5 && t[1].at >= begin + 2 && t[2].at >= begin + 9);
    loop_timer_set(loop, &t[4].timer, 1);
    run_ms(10);
    assert_int_equal(t[4].turn, 5);
    for (int i = 0; i < 5; i++)
        loop_timer_clear(loop, &t[i].timer);
}

/* ---- other threads ---- */

enum { POSTS = 10000, POSTERS = 4 };

static size_t posted;

static void take_post(void *context)
{
    (void)context;
    if (++posted == POSTS * POSTERS)
        loop_stop(loop);
}

static void *poster(void *context)
{
    for (int i = 0; i < POSTS; i++)
        loop_post(loop, take_post, context);
    return NULL;
}

static void test_posts_of_many_threads(void **state)
{
    pthread_t thread[POSTERS];
    (void)state;
    posted = 0;
    for (int i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, poster, NULL), 0);
    loop_run(loop);
    assert_int_equal(posted, POSTS * POSTERS);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(thread[i], NULL);
}

/* ---- threads for what blocks ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *argument);

static bool no_threads; /* as when pids.max is reached */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *argument)
{
    return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, fn, argument);
}

enum { ITEMS = 200, THREADS = 3 };

static atomic_int running, running_most, ran;
static int told;

static void work_fn(void *context)
{
    int now = ++running, most = running_most;
    (void)context;
    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
        ;
    usleep(500);
    running--;
    ran++;
}

static void work_done(void *context)
{
    if (++told == *(int *)context)
        loop_stop(loop);
}

static void work_reset(void)
{
    running = running_most = ran = told = 0;
}

/* More than there are threads wait in the queue; each is run and told once. */
static void test_work_is_bounded(void **state)
{
    struct work *work;
    int wanted = ITEMS;
    (void)state;
    work_reset();
    assert_int_equal(work_new(loop, THREADS, 0, &work, NULL), 0);
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(work_run(work, work_fn, work_done, &wanted), 0);
    loop_run(loop);
    assert_int_equal(ran, ITEMS);
    assert_in_range(running_most, 1, THREADS);
    work_free(work);
}

/* No thread can be made: the caller is told, and nothing is called; with a thread that was made
 * before, it is done later instead. */
static void test_work_without_threads(void **state)
{
    struct work *work;
    int wanted = 20;
    (void)state;
    work_reset();
    assert_int_equal(work_new(loop, THREADS, 0, &work, NULL), 0);
    no_threads = true;
    assert_int_equal(work_run(work, work_fn, work_done, &wanted), -EAGAIN);
    no_threads = false;
    work_free(work);
    assert_int_equal(work_new(loop, THREADS, 1, &work, NULL), 0);
    no_threads = true;
    for (int i = 0; i < wanted; i++)
        assert_int_equal(work_run(work, work_fn, work_done, &wanted), 0);
    loop_run(loop);
    no_threads = false;
    assert_int_equal(ran, wanted);
    assert_int_equal(running_most, 1);
    work_free(work);
    struct gfxb_error err;
    no_threads = true;
    assert_int_equal(work_new(loop, THREADS, 1, &work, &err), -EAGAIN);
    no_threads = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_closed_source_held_by_a_child_is_silent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_descriptor_number_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_in_the_same_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_what_is_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaving_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_posts_of_many_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_without_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
