/* supervisor_thread.c - what blocks: walks, watching the engine, judging how it was lost. */
#include "session/session.h"
#include "session/supervisor_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

enum {
    SUPERVISOR_DEATHS = 3, /* in a row without an answer: then the next choice is taken */
    SUPERVISOR_AGAIN = 3,  /* walks that end nowhere, of what has served, before it is said */
    SUPERVISOR_PAUSE_MIN_MS = 250,
    SUPERVISOR_PAUSE_MAX_MS = 60000,
    SUPERVISOR_CHECK_MS = 5000, /* between two looks at the length of the engine's log */
    SUPERVISOR_GRACE_MS = 250,  /* its connections break before its death can be seen */
};

/* Wait until the engine ends, somebody wants something, or ms are over. True: it has ended. */
static bool supervisor_rest(const struct supervisor *s, int ms)
{
    struct pollfd watched[] = {
        {.fd = s->wake_fd, .events = POLLIN},
        {.fd = s->path.engine ? engine_pidfd(s->path.engine) : -1, .events = POLLIN},
    };
    eventfd_t count;
    poll(watched, 2, ms);
    if (watched[0].revents)
        eventfd_read(s->wake_fd, &count);
    return watched[1].revents != 0;
}

static void supervisor_happens(struct supervisor *s, enum supervisor_input input,
                               const struct gfxb_error *why)
{
    pthread_mutex_lock(&s->lock);
    if (why)
        s->why = *why;
    supervisor_turn(s, input);
    pthread_mutex_unlock(&s->lock);
}

/* ---- what failed ---- */

static void supervisor_forget(struct supervisor *s)
{
    while (s->n_failed) {
        struct session_failure *f = &s->failed[--s->n_failed];
        free(f->fingerprint);
        free(f->detail);
    }
    free(s->dying);
    s->dying = NULL;
    s->deaths = 0;
}

/* The next walk goes past this combination, until the pause after everything has failed. */
static void supervisor_condemn(struct supervisor *s, const struct gfxb_error *why)
{
    struct session_failure f = {.fingerprint = strdup(s->path.running->fingerprint),
                                .detail = strdup(why->text),
                                .code = why->code};
    if (f.fingerprint && f.detail && s->n_failed < SUPERVISOR_FAILED_MAX) {
        s->failed[s->n_failed++] = f;
        return;
    }
    free(f.fingerprint);
    free(f.detail);
}

/* Was it the engine's own doing, and not an administrator's, the kernel's for memory, or what the
 * CPU would do as well? Only then is it worth remembering beyond this process. */
static bool supervisor_own_fault(const struct supervisor *s, const struct gfxb_error *why)
{
    if (s->path.running->backend == PLAN_CPU || why->code == GFXB_E_MEMORY_TOO_SMALL)
        return false;
    return engine_broke_itself(s->path.engine);
}

static void supervisor_remember(const struct supervisor *s, const struct gfxb_error *why)
{
    const struct session_request *r = &s->spec.path;
    struct gfxb_error own;
    if (session_remember(r->data_dir, s->path.running->fingerprint, why, &own) < 0)
        log_at(r->log, LOG_WARNING, "%s", own.text);
}

/* One death is bad luck; so are two. An answer in between starts the count anew. */
static void supervisor_died(struct supervisor *s, const struct gfxb_error *why)
{
    const char *fingerprint = s->path.running->fingerprint;
    pthread_mutex_lock(&s->lock);
    bool answered = s->answered;
    pthread_mutex_unlock(&s->lock);
    if (!s->dying || answered || strcmp(s->dying, fingerprint) != 0) {
        free(s->dying);
        s->dying = strdup(fingerprint);
        s->deaths = 0;
    }
    if (++s->deaths >= SUPERVISOR_DEATHS) {
        supervisor_condemn(s, why);
        if (supervisor_own_fault(s, why))
            supervisor_remember(s, why);
    }
    supervisor_happens(s, SUPERVISOR_EV_DIED, why);
}

/* It runs, and is of no use. The CPU, which is the last resort, has to prove itself anew. */
static void supervisor_useless(struct supervisor *s, enum supervisor_input input,
                               const struct gfxb_error *why)
{
    const struct session_request *r = &s->spec.path;
    struct gfxb_error own;
    supervisor_condemn(s, why);
    if (s->path.running->backend != PLAN_CPU)
        supervisor_remember(s, why);
    else if (engine_proofs_remove(r->data_dir, s->path.running->fingerprint, &own) < 0)
        log_at(r->log, LOG_WARNING, "%s", own.text);
    supervisor_happens(s, input, why);
}

/* ---- watching ---- */

/* How long until the engine has been silent for too long; 0: it has. */
static int supervisor_patience(struct supervisor *s)
{
    int64_t left = SUPERVISOR_CHECK_MS;
    pthread_mutex_lock(&s->lock);
    if (s->underway) {
        int64_t silent = clock_now_ms() - s->sign_at;
        left = silent < s->spec.gap_ms ? s->spec.gap_ms - silent : 0;
    }
    pthread_mutex_unlock(&s->lock);
    return (int)(left < SUPERVISOR_CHECK_MS ? left : SUPERVISOR_CHECK_MS);
}

static void supervisor_suspect(struct supervisor *s)
{
    struct gfxb_error why;
    if (engine_is_healthy(s->path.engine, s->spec.gap_ms, &s->cancel)) {
        pthread_mutex_lock(&s->lock);
        s->sign_at = clock_now_ms();
        pthread_mutex_unlock(&s->lock);
        return;
    }
    error_set(&why, GFXB_E_ENGINE_HANG, "the engine hangs: it answered nothing for %.1f s",
              2 * (double)s->spec.gap_ms / 1000);
    supervisor_useless(s, SUPERVISOR_EV_HUNG, &why);
}

static bool supervisor_babbles(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    bool babbles = s->useless >= s->spec.nonsense_max;
    pthread_mutex_unlock(&s->lock);
    return babbles;
}

/* One round beside a running engine. */
static void supervisor_watch(struct supervisor *s)
{
    struct gfxb_error why;
    int patience = supervisor_patience(s);
    if (patience)
        supervisor_rest(s, patience);
    bool babbles = supervisor_babbles(s);
    if (babbles) {
        /* Is it dead, rather? */
        struct pollfd watched = {.fd = engine_pidfd(s->path.engine), .events = POLLIN};
        poll(&watched, 1, SUPERVISOR_GRACE_MS);
    }
    if (engine_check(s->path.engine, &why) < 0) {
        supervisor_died(s, &why);
    } else if (babbles && supervisor_babbles(s)) {
        error_set(&why, GFXB_E_CANARY_MISMATCH, "the engine gave %u useless answers in a row",
                  s->spec.nonsense_max);
        supervisor_useless(s, SUPERVISOR_EV_BABBLED, &why);
    } else if (patience == 0) {
        supervisor_suspect(s);
    }
}

/* ---- what it is told ---- */

static void supervisor_end(struct supervisor *s)
{
    session_done(&s->path);
    s->path = (struct session){0};
}

static void supervisor_publish(struct supervisor *s)
{
    const struct session *path = &s->path;
    struct supervisor_endpoint *e = &s->endpoint;
    e->generation++;
    e->pid = engine_pid(path->engine);
    snprintf(e->socket, sizeof(e->socket), "%s", engine_socket(path->engine));
    snprintf(e->key, sizeof(e->key), "%s", engine_key(path->engine));
    snprintf(e->backend, sizeof(e->backend), "%s", plan_backend_name(path->running->backend));
    snprintf(e->package, sizeof(e->package), "%s", path->package->id);
    engine_placement_text(&path->placement, e->device, sizeof(e->device));
    s->underway = s->useless = 0;
    s->nowhere = 0;
    s->answered = false;
    supervisor_turn(s, SUPERVISOR_EV_UP);
}

static void supervisor_on_load(void *context)
{
    supervisor_happens(context, SUPERVISOR_EV_LOAD, NULL);
}

static void supervisor_walk(struct supervisor *s)
{
    struct session_request request = s->spec.path;
    struct gfxb_error why = {0};
    request.failed = s->failed;
    request.n_failed = s->n_failed;
    request.on_load = supervisor_on_load;
    request.load_context = s;
    supervisor_end(s);
    int result = session_walk(&request, &s->path, &why);
    if (result == 0)
        session_settle(&request, &s->path); /* the model runs: what broke with it was at fault */
    pthread_mutex_lock(&s->lock);
    bool unwanted = s->todo != SUPERVISOR_DO_NOTHING || s->ending;
    if (!unwanted && result == 0) {
        supervisor_publish(s);
    } else if (!unwanted) {
        s->why = why;
        /* What has served here before may have been killed while it loaded: that is no verdict. */
        bool served = s->endpoint.generation > 0 && s->nowhere++ < SUPERVISOR_AGAIN;
        s->tried_all = s->n_failed == 0 && !served;
        supervisor_turn(s, SUPERVISOR_EV_NOTHING_WORKS);
    }
    pthread_mutex_unlock(&s->lock);
    if (unwanted || result < 0)
        supervisor_end(s);
}

/* Is there something new to do? Then there is no need to wait. */
static bool supervisor_is_called(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    bool called = s->todo != SUPERVISOR_DO_NOTHING || s->ending;
    pthread_mutex_unlock(&s->lock);
    return called;
}

static void supervisor_pause(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->answered || s->pause_ms == 0)
        s->pause_ms = SUPERVISOR_PAUSE_MIN_MS;
    else if (s->pause_ms < SUPERVISOR_PAUSE_MAX_MS / 2)
        s->pause_ms *= 2;
    else
        s->pause_ms = SUPERVISOR_PAUSE_MAX_MS;
    s->answered = false; /* of the engine before it: counted once */
    pthread_mutex_unlock(&s->lock);
    int64_t until = clock_now_ms() + s->pause_ms, now;
    while (!supervisor_is_called(s) && (now = clock_now_ms()) < until)
        supervisor_rest(s, (int)(until - now));
    supervisor_forget(s);
    supervisor_happens(s, SUPERVISOR_EV_PAUSED, NULL);
}

static void supervisor_act(struct supervisor *s, enum supervisor_action action)
{
    if (action == SUPERVISOR_DO_WALK)
        supervisor_walk(s);
    else if (action == SUPERVISOR_DO_PAUSE)
        supervisor_pause(s);
    else if (action == SUPERVISOR_DO_END)
        supervisor_end(s);
}

/* False: it is to end. */
static bool supervisor_take(struct supervisor *s, enum supervisor_action *ret_action)
{
    pthread_mutex_lock(&s->lock);
    *ret_action = s->todo;
    s->todo = SUPERVISOR_DO_NOTHING;
    s->acting = *ret_action != SUPERVISOR_DO_NOTHING;
    if (*ret_action == SUPERVISOR_DO_WALK && !s->ending)
        s->cancel = 0;
    bool goes_on = !s->ending;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

void *supervisor_thread(void *supervisor)
{
    struct supervisor *s = supervisor;
    enum supervisor_action action;
    while (supervisor_take(s, &action)) {
        if (action != SUPERVISOR_DO_NOTHING)
            supervisor_act(s, action);
        else if (s->path.engine)
            supervisor_watch(s);
        else
            supervisor_rest(s, -1);
    }
    supervisor_end(s);
    supervisor_forget(s);
    return NULL;
}
