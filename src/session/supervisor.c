#include "session/supervisor.h"
#include "session/session.h"
#include "session/supervisor_private.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    SUPERVISOR_USELESS_MAX = 3,
};

/* ---- state, under the lock ---- */

static bool supervisor_serves(const struct supervisor *s)
{
    return s->state == SUPERVISOR_READY || s->state == SUPERVISOR_BUSY;
}

static void supervisor_tell(struct supervisor *s)
{
    if (s->n_events == SUPERVISOR_QUEUE)
        memmove(s->event, s->event + 1, --s->n_events * sizeof(s->event[0]));
    struct supervisor_event *e = &s->event[s->n_events++];
    *e = (struct supervisor_event){.state = s->state, .generation = s->endpoint.generation};
    if (s->state == SUPERVISOR_FAILING_OVER || s->state == SUPERVISOR_BACKING_OFF)
        e->why = s->why;
    e->tried_all = s->state == SUPERVISOR_BACKING_OFF && s->tried_all;
    eventfd_write(s->event_fd, 1);
}

void supervisor_turn(struct supervisor *s, enum supervisor_input input)
{
    struct supervisor_cell cell = supervisor_cell(s->state, input);
    if (!cell.set)
        return;
    s->state = cell.next;
    if (cell.action != SUPERVISOR_DO_NOTHING)
        s->todo = cell.action;
    /* Traffic changes the state many times a second: that is for supervisor_state alone. */
    if (input != SUPERVISOR_EV_BEGAN && input != SUPERVISOR_EV_IDLE)
        supervisor_tell(s);
    pthread_cond_broadcast(&s->changed);
}

/* ---- its life ---- */

static int supervisor_make_lock(struct supervisor *s)
{
    pthread_condattr_t clock;
    int code = pthread_condattr_init(&clock);
    if (code)
        return code;
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    code = pthread_cond_init(&s->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (code)
        return code;
    code = pthread_mutex_init(&s->lock, NULL);
    if (code)
        pthread_cond_destroy(&s->changed);
    return code;
}

static int supervisor_begin(struct supervisor *s)
{
    int code = supervisor_make_lock(s);
    if (code)
        return code;
    code = pthread_create(&s->thread, NULL, supervisor_thread, s);
    if (code) {
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->changed);
    }
    return code;
}

static void supervisor_release(struct supervisor *s)
{
    if (s->event_fd >= 0)
        close(s->event_fd);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    free(s);
}

int supervisor_new(const struct supervisor_spec *spec, struct supervisor **ret_supervisor,
                   struct gfxb_error *err)
{
    struct supervisor *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    s->spec = *spec;
    s->spec.path.cancel = &s->cancel;
    s->spec.gap_ms = spec->gap_ms > 0 ? spec->gap_ms : ENGINE_SILENCE_MS;
    s->spec.nonsense_max = spec->nonsense_max ? spec->nonsense_max : SUPERVISOR_USELESS_MAX;
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = s->event_fd < 0 || s->wake_fd < 0 ? errno : supervisor_begin(s);
    if (code == 0) {
        *ret_supervisor = s;
        return 0;
    }
    supervisor_release(s);
    return error_set(err, code, "cannot start a thread for the engine: %s", error_errno_text(code));
}

void supervisor_free(struct supervisor *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    s->cancel = 1;
    pthread_mutex_unlock(&s->lock);
    eventfd_write(s->wake_fd, 1);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    supervisor_release(s);
}

void supervisor_start(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    supervisor_turn(s, SUPERVISOR_EV_START);
    pthread_mutex_unlock(&s->lock);
    eventfd_write(s->wake_fd, 1);
}

void supervisor_stop(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    s->cancel = 1; /* the thread clears it before the next walk */
    supervisor_turn(s, SUPERVISOR_EV_STOP);
    pthread_mutex_unlock(&s->lock);
    eventfd_write(s->wake_fd, 1);
}

/* ---- what callers see ---- */

int supervisor_fd(const struct supervisor *s)
{
    return s->event_fd;
}

bool supervisor_next_event(struct supervisor *s, struct supervisor_event *ret_event)
{
    pthread_mutex_lock(&s->lock);
    bool any = s->n_events > 0;
    if (any) {
        *ret_event = s->event[0];
        memmove(s->event, s->event + 1, --s->n_events * sizeof(s->event[0]));
    }
    if (s->n_events == 0) {
        eventfd_t count;
        eventfd_read(s->event_fd, &count);
    }
    pthread_mutex_unlock(&s->lock);
    return any;
}

enum supervisor_state supervisor_state(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    enum supervisor_state state = s->state;
    pthread_mutex_unlock(&s->lock);
    return state;
}

static bool supervisor_is(const struct supervisor *s, enum supervisor_state state)
{
    if (state == SUPERVISOR_STOPPED)
        return s->state == state && s->todo == SUPERVISOR_DO_NOTHING && !s->acting;
    return s->state == state || (state == SUPERVISOR_READY && s->state == SUPERVISOR_BUSY);
}

int supervisor_wait(struct supervisor *s, enum supervisor_state state, int ms,
                    struct gfxb_error *err)
{
    struct timespec until;
    int result = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    while (result == 0 && !supervisor_is(s, state)) {
        if (state == SUPERVISOR_READY && s->state == SUPERVISOR_BACKING_OFF && s->tried_all)
            result = error_set(err, s->why.code, "%s", s->why.text);
        else if (pthread_cond_timedwait(&s->changed, &s->lock, &until) == ETIMEDOUT)
            result = error_set(err, ETIMEDOUT, "the engine took more than %d ms", ms);
    }
    pthread_mutex_unlock(&s->lock);
    return result;
}

bool supervisor_endpoint(struct supervisor *s, struct supervisor_endpoint *ret_endpoint)
{
    pthread_mutex_lock(&s->lock);
    bool serves = supervisor_serves(s);
    if (serves)
        *ret_endpoint = s->endpoint;
    pthread_mutex_unlock(&s->lock);
    return serves;
}

/* ---- traffic ---- */

void supervisor_request_began(struct supervisor *s, uint64_t generation)
{
    pthread_mutex_lock(&s->lock);
    bool first = false;
    if (generation == s->endpoint.generation && supervisor_serves(s)) {
        first = s->underway++ == 0;
        if (first)
            s->sign_at = clock_now_ms();
        supervisor_turn(s, SUPERVISOR_EV_BEGAN);
    }
    pthread_mutex_unlock(&s->lock);
    if (first)
        eventfd_write(s->wake_fd, 1);
}

void supervisor_request_ended(struct supervisor *s, uint64_t generation,
                              enum supervisor_outcome outcome)
{
    pthread_mutex_lock(&s->lock);
    bool useless = outcome == SUPERVISOR_NONSENSE || outcome == SUPERVISOR_BROKEN;
    bool known = generation == s->endpoint.generation && supervisor_serves(s) && s->underway > 0;
    if (known && outcome == SUPERVISOR_OK) {
        s->sign_at = clock_now_ms();
        s->useless = 0;
        s->answered = true;
    }
    /* What is stalled or cancelled says nothing: it may have waited behind others for a slot. */
    if (known && useless)
        s->useless++;
    if (known && --s->underway == 0)
        supervisor_turn(s, SUPERVISOR_EV_IDLE);
    pthread_mutex_unlock(&s->lock);
    if (known && useless)
        eventfd_write(s->wake_fd, 1);
}
