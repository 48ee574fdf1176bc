/* pool.c - the models of a server, the requests that wait for them, and those under way. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <time.h>

enum {
    POOL_HOLD_MS = 50,    /* after an answer that was none, before the same engine is asked again */
    POOL_DOUBT_MS = 250,  /* after one, before the engine may be doubted: it may be dying */
    POOL_LEFT_MS = 10000, /* who left so short a time before a loss may have caused it */
    POOL_USELESS_TRIES = 2, /* of one request, on an engine that runs */
    POOL_REFUSED_TRIES =
        100, /* of one request, while nobody listens and the engine has not ended */
};

/* ---- models ---- */

struct pool_model *pool_find(const struct pool *pool, struct str name)
{
    for (struct pool_model *m = pool->models; m; m = m->next) {
        for (size_t i = 0; i < m->n_names && !m->stale; i++) {
            if (str_is(name, m->names[i]))
                return m;
        }
    }
    return NULL;
}

void pool_add_name(struct pool_model *m, struct str name)
{
    if (m->n_names < POOL_NAMES_MAX)
        m->names[m->n_names++] = xstr_dup(name);
}

struct pool_model *pool_model_new(struct pool *pool, struct str name)
{
    struct pool_model *m = xcalloc(1, sizeof(*m));
    m->pool = pool;
    m->keep = pool->config.keep_alive;
    m->options.backend = -1;
    m->timer.due = pool_due;
    pool_add_name(m, name);
    m->next = pool->models;
    pool->models = m;
    pool->n_models++;
    return m;
}

void pool_found_done(struct pool_found *found)
{
    for (char **arg = found->args; arg && *arg; arg++)
        free(*arg);
    free(found->args);
    free(found->name);
    free(found->path);
    free(found->mmproj);
    free(found->named_by);
    *found = (struct pool_found){0};
}

void pool_model_free(struct pool_model *m)
{
    struct pool_model **link = &m->pool->models;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    m->pool->n_models--;
    loop_timer_clear(m->pool->config.loop, &m->timer);
    for (size_t i = 0; i < m->n_names; i++)
        free(m->names[i]);
    blame_done(&m->blame);
    pool_found_done(&m->found);
    free(m);
}

/* ---- endpoints ---- */

static void pool_endpoint_free(struct pool_endpoint *e)
{
    if (e->users || !e->lost)
        return;
    http_endpoint_free(e->http);
    free(e);
}

void pool_drop_endpoint(struct pool_model *m)
{
    struct pool_endpoint *e = m->endpoint;
    m->endpoint = NULL;
    m->watched = NULL;
    m->hold_until = m->left_at = 0;
    m->useless = 0;
    if (!e)
        return;
    e->lost = true;
    pool_endpoint_free(e);
}

/* ---- lists of waiters ---- */

static void pool_put(struct pool_queue *queue, struct pool_waiter *w, bool front)
{
    w->previous = front ? NULL : queue->last;
    w->next = front ? queue->first : NULL;
    *(w->next ? &w->next->previous : &queue->last) = w;
    *(w->previous ? &w->previous->next : &queue->first) = w;
    queue->n++;
}

static void pool_take(struct pool_queue *queue, struct pool_waiter *w)
{
    *(w->next ? &w->next->previous : &queue->last) = w->previous;
    *(w->previous ? &w->previous->next : &queue->first) = w->next;
    w->next = w->previous = NULL;
    queue->n--;
}

static void pool_enqueue(struct pool_model *m, struct pool_waiter *w, bool front)
{
    w->model = m;
    pool_put(&m->queue, w, front);
    m->pool->waiting++;
}

static void pool_dequeue(struct pool_waiter *w)
{
    struct pool_model *m = w->model;
    pool_take(&m->queue, w);
    if (m->doubter == w)
        m->doubter = NULL;
    w->model = NULL;
    m->pool->waiting--;
}

static void pool_fail_one(struct pool_model *m, struct pool_waiter *w, const struct gfxb_error *why)
{
    struct gfxb_error copy = *why;
    if (w->model)
        pool_dequeue(w);
    blame_left(&m->blame, &w->blame);
    w->failed(w, &copy);
}

void pool_fail(struct pool_model *m, const struct gfxb_error *why, bool loads_only)
{
    struct pool_waiter *next;
    for (struct pool_waiter *w = m->queue.first; w; w = next) {
        next = w->next;
        if (w->load_only || !loads_only)
            pool_fail_one(m, w, why);
    }
}

/* ---- out to the engine ---- */

static int64_t pool_now(const struct pool_model *m)
{
    return loop_now(m->pool->config.loop);
}

static struct pool_waiter *pool_first_suspect(const struct pool_model *m)
{
    struct pool_waiter *w = m->blame.open ? m->queue.first : NULL;
    while (w && !w->blame.suspect)
        w = w->next;
    return w;
}

/* Who may go to the engine now; NULL nobody. A suspect goes alone: nobody before it is done, or has
 * done no harm for a while, and the other suspects before everybody else. */
static struct pool_waiter *pool_next(struct pool_model *m)
{
    struct pool_waiter *suspect = pool_first_suspect(m);
    bool serves = m->state == SESSION_READY || m->state == SESSION_BUSY;
    if (m->watched && m->watched_until <= pool_now(m))
        m->watched = NULL;
    if (!serves || !m->endpoint || m->watched || m->hold_until > pool_now(m) ||
        m->useless >= POOL_USELESS_MAX)
        return NULL;
    if (suspect)
        return suspect;
    if (m->reload || !m->queue.first)
        return NULL;
    bool full = m->endpoint->users >= m->pool->config.engine_requests;
    return full && !m->queue.first->load_only ? NULL : m->queue.first;
}

static void pool_send(struct pool_model *m, struct pool_waiter *w)
{
    struct pool_endpoint *e = m->endpoint;
    pool_dequeue(w);
    m->used_at = pool_now(m);
    if (!w->load_only) {
        w->model = m;
        w->endpoint = e;
        pool_put(&m->active, w, false);
        w->attempts++;
        if (w->broken != e->generation)
            w->useless = 0;
        e->users++;
        m->pool->engines->traffic(m->engine, e->users, false);
        if (w->blame.suspect) {
            m->watched = w;
            m->watched_until = m->used_at + m->pool->config.alone_ms;
        }
        pool_turn(m, SESSION_EV_BEGAN);
    }
    w->ready(w);
}

/* Does a request want what its engine was not started for? The engine may have more context than
 * was asked for, and less where the model takes no more. */
static bool pool_wants_other(const struct pool_model *m)
{
    return m->options.backend != m->asked.backend ||
           (m->options.context > m->asked.context && m->options.context > m->endpoint->context);
}

void pool_serve(struct pool_model *m)
{
    struct pool_waiter *w;
    if (m->serving)
        return; /* by what ready() led to */
    m->reload |= m->endpoint && (blame_wants_home(&m->blame) || pool_wants_other(m));
    m->serving = true;
    while ((w = pool_next(m)))
        pool_send(m, w);
    m->serving = false;
    pool_look(m);
}

/* ---- back from the engine ---- */

/* Out of what is under way; its e, for pool_let_go. */
static struct pool_endpoint *pool_release(struct pool_model *m, struct pool_waiter *w,
                                          bool answered)
{
    struct pool_endpoint *e = w->endpoint;
    pool_take(&m->active, w);
    w->model = NULL;
    w->endpoint = NULL;
    m->used_at = pool_now(m);
    m->last_use = time(NULL);
    if (m->watched == w)
        m->watched = NULL;
    e->users--;
    if (!e->lost) {
        m->pool->engines->traffic(m->engine, e->users, answered);
        if (!e->users)
            pool_turn(m, SESSION_EV_IDLE);
    }
    return e;
}

static void pool_settle(struct pool_model *m, struct pool_waiter *w)
{
    struct blame_case *against = blame_answered(&m->blame, &w->blame);
    m->pause_ms = 0;
    for (const struct blame_case *k = against; k; k = k->next) {
        log_at(m->pool->config.log, LOG_WARNING,
               "%s: another choice answered what this one did "
               "not, so it is rejected: %s",
               m->names[0], k->why.text);
        pool_order(m, &(struct session_order){.kind = SESSION_REJECT,
                                              .fingerprint = xstrdup(k->fingerprint),
                                              .why = k->why});
    }
    blame_cases_free(against);
}

/* The engine's answer was none, or nobody listened: it may be dying. */
static void pool_hold(struct pool_model *m, bool useless)
{
    m->hold_until = pool_now(m) + POOL_HOLD_MS;
    if (useless)
        m->doubt_at = pool_now(m) + POOL_DOUBT_MS;
    m->useless += useless;
}

void pool_done(struct pool_waiter *w, enum pool_outcome outcome)
{
    struct pool_model *m = w->model;
    bool lives = outcome == POOL_OK || outcome == POOL_DECLINED;
    struct pool_endpoint *e = pool_release(m, w, lives);
    if (outcome == POOL_OK && e->lost)
        blame_innocent(&m->blame, &w->blame);
    else if (outcome == POOL_OK)
        pool_settle(m, w);
    else
        blame_left(&m->blame, &w->blame);
    if (!e->lost && lives)
        m->useless = 0;
    else if (!e->lost)
        m->left_at = pool_now(m);
    if (!e->lost && outcome == POOL_BROKEN)
        pool_hold(m, true);
    pool_endpoint_free(e);
    pool_serve(m);
}

void pool_leave(struct pool_waiter *w)
{
    struct pool_model *m = w->model;
    if (!m)
        return;
    if (w->endpoint) {
        pool_done(w, POOL_CANCELLED);
        return;
    }
    pool_dequeue(w);
    blame_left(&m->blame, &w->blame);
    pool_serve(m);
}

/* The rule has had its say about a request whose engine was lost. */
static void pool_judge(struct pool_model *m, struct pool_waiter *w)
{
    struct gfxb_error why = m->lost;
    if (w->blame.fate == BLAME_POISON)
        error_set(&why, GFXB_E_REQUEST_POISON,
                  "this request ended the engine twice and is not tried again; the last time: %s",
                  m->lost.text);
    if (w->blame.fate != BLAME_AGAIN)
        pool_fail_one(m, w, &why);
    else if (!w->model)
        pool_enqueue(m, w, true);
}

static void pool_judge_queue(struct pool_model *m)
{
    struct pool_waiter *next;
    for (struct pool_waiter *w = m->queue.first; w; w = next) {
        next = w->next;
        pool_judge(m, w);
    }
}

void pool_charge_doubter(struct pool_model *m)
{
    struct gfxb_error why;
    struct pool_waiter *w = m->doubter;
    if (!w)
        return;
    struct blame_request *request = &w->blame;
    error_set(&why, GFXB_E_ENGINE_CRASH, "the engine gave no answer to a request");
    m->lost = why;
    m->doubter = NULL;
    blame_lost(&m->blame, BLAME_BROKE, &why, &request, 1, false);
    pool_judge_queue(m);
}

/* An answer that was none came from an engine that runs. Once may be an accident. When it answers
 * others meanwhile, the request is at fault; when nobody else is there to tell, the canary will. */
static void pool_useless(struct pool_model *m, struct pool_waiter *w)
{
    struct gfxb_error why;
    bool healthy = m->endpoint->users || !m->useless;
    pool_hold(m, true);
    if (++w->useless >= POOL_USELESS_TRIES && healthy && !w->blame.suspect) {
        error_set(&why, GFXB_E_REQUEST_POISON,
                  "the engine gave no answer to this request, twice, and answers others");
        pool_fail_one(m, w, &why);
        return;
    }
    pool_enqueue(m, w, true);
    if (w->useless < POOL_USELESS_TRIES)
        return;
    m->doubter = w;
    if (w->blame.suspect) /* of another choice: it is the request, then */
        pool_charge_doubter(m);
    else
        m->useless = POOL_USELESS_MAX;
}

void pool_again(struct pool_waiter *w, enum pool_outcome outcome)
{
    struct pool_model *m = w->model;
    struct pool_endpoint *e = pool_release(m, w, false);
    if (m->state == SESSION_FAILED) {
        pool_fail_one(m, w, &m->why);
    } else if (e->lost) {
        pool_judge(m, w);
    } else {
        w->broken = e->generation; /* it may be dying by this request */
        if (outcome == POOL_REFUSED && ++w->refused < POOL_REFUSED_TRIES) {
            pool_hold(m, false);
            pool_enqueue(m, w, true);
        } else {
            pool_useless(m, w);
        }
    }
    pool_endpoint_free(e);
    if (m->queue.first)
        pool_turn(m, SESSION_EV_WANTED);
    pool_serve(m);
}

/* ---- the engine was lost ---- */

/* The requests that may have caused it: who was under way, and whose connection broke just before;
 * or the suspect that was alone. To be freed. */
static struct blame_request **pool_suspects(struct pool_model *m, enum blame_loss loss,
                                            size_t *ret_n)
{
    const struct pool_endpoint *e = m->endpoint;
    struct blame_request **list =
        xcalloc(m->active.n + m->queue.n + 1, sizeof(struct blame_request *));
    size_t n = 0;
    for (struct pool_waiter *w = m->active.first; w; w = w->next) {
        if (w->endpoint == e && (!m->watched || w == m->watched || loss == BLAME_KILLED))
            list[n++] = &w->blame;
    }
    for (struct pool_waiter *w = m->queue.first; w; w = w->next) {
        if (w->broken == e->generation && !m->watched)
            list[n++] = &w->blame;
    }
    *ret_n = n;
    return list;
}

void pool_lost_engine(struct pool_model *m, enum blame_loss loss, const struct gfxb_error *why)
{
    size_t n;
    struct blame_request **list = pool_suspects(m, loss, &n);
    bool others = m->left_at && pool_now(m) - m->left_at < POOL_LEFT_MS;
    m->lost = *why;
    blame_lost(&m->blame, loss, why, list, n, others);
    free(list);
    m->counters.failovers++;
    m->pool->totals.failovers++;
    pool_drop_endpoint(m);
    pool_judge_queue(m);
}

/* ---- requests ---- */

struct str pool_default(const struct pool *pool)
{
    const struct pool_model *best = NULL;
    for (const struct pool_model *m = pool->models; m; m = m->next) {
        if (m->state != SESSION_FAILED && m->found.name && (!best || m->used_at > best->used_at))
            best = m;
    }
    return str_from(best ? best->names[0] : pool->config.default_model);
}

static bool pool_refuse(struct pool *pool, struct pool_waiter *w)
{
    struct gfxb_error why;
    if (pool->ending || pool->draining)
        error_set(&why, ESHUTDOWN, "the server is shutting down");
    else if (pool->waiting >= pool->config.queue)
        error_set(&why, EBUSY, "%zu requests are waiting already: try again in a moment",
                  pool->waiting);
    else
        return false;
    w->failed(w, &why);
    return true;
}

/* What the request changes about a model that is there. */
static void pool_apply(struct pool_model *m, const struct pool_options *o)
{
    if (o->keep_alive != POOL_KEEP_DEFAULT)
        m->keep = o->keep_alive;
    if (o->pin >= 0)
        m->pinned = o->pin;
    unsigned context = pool_context(m, o->context);
    if (!m->too_large || context < m->too_large)
        m->options.context = context > m->options.context ? context : m->options.context;
    if (o->backend >= 0)
        m->options.backend = o->backend;
}

/* The model is known by now: a request that it cannot answer is told so. */
static bool pool_turn_away(struct pool_model *m, struct pool_waiter *w)
{
    struct gfxb_error why;
    if (!w->takes || w->takes(w, &m->found))
        return false;
    error_set(&why, GFXB_E_MODEL_UNUSABLE, "the model %s cannot answer this", m->found.name);
    pool_fail_one(m, w, &why);
    return true;
}

void pool_sort_out(struct pool_model *m)
{
    struct pool_waiter *next;
    for (struct pool_waiter *w = m->queue.first; w; w = next) {
        next = w->next;
        pool_turn_away(m, w);
    }
}

static void pool_enter(struct pool_model *m, struct pool_waiter *w)
{
    if (m->found.name && pool_turn_away(m, w))
        return;
    /* The failure is told again for a while, except to who asks for something else. */
    if (m->state == SESSION_FAILED &&
        (!m->found.name || m->options.backend == w->options.backend)) {
        struct gfxb_error why = m->why;
        w->failed(w, &why);
        return;
    }
    if (m->state == SESSION_FAILED)
        m->options.backend = w->options.backend;
    if (m->state == SESSION_STOPPING) { /* it was unloaded with all that was asked for */
        m->keep = m->pool->config.keep_alive;
        m->options = (struct pool_options){.backend = -1};
    }
    pool_enqueue(m, w, false);
    pool_apply(m, &w->options);
    pool_turn(m, SESSION_EV_WANTED);
    pool_serve(m);
}

static void pool_hand_over(struct pool_model *m, struct pool_model *other)
{
    while (m->queue.first) {
        struct pool_waiter *w = m->queue.first;
        pool_dequeue(w);
        pool_enter(other, w);
    }
}

/* Does the name mean other files by now? A name without a model may have one now, too. */
static bool pool_is_stale(const struct pool_model *m)
{
    if (!m->found.name)
        return m->state == SESSION_FAILED && m->why.code == GFXB_E_MODEL_UNKNOWN;
    return m->found.path && pool_stamp(&m->found) != m->stamp;
}

void pool_retire(struct pool_model *m, struct pool_model *fresh)
{
    log_at(m->pool->config.log, LOG_INFO, "%s was replaced or removed: it is looked up again",
           m->names[0]);
    m->stale = true;
    fresh->pinned |= m->pinned;
    fresh->keep = m->keep;
    pool_hand_over(m, fresh);
    pool_let_go(m);
}

void pool_wait(struct pool *pool, struct str name, const struct pool_options *options,
               struct pool_waiter *w)
{
    w->options = *options;
    if (pool_refuse(pool, w))
        return;
    struct pool_model *m = pool_find(pool, name);
    if (!m || pool_is_stale(m)) {
        struct pool_model *fresh = pool_model_new(pool, name);
        if (m) {
            fresh->options = m->options;
            pool_retire(m, fresh);
        }
        m = fresh;
    }
    pool_enter(m, w);
}

void pool_join(struct pool_model *m, struct pool_model *other)
{
    pool_add_name(other, str_from(m->names[0]));
    other->pinned |= m->pinned;
    pool_hand_over(m, other);
}

/* ---- what waiters may see ---- */

const struct gfxb_error *pool_lost(const struct pool_waiter *w)
{
    return w->endpoint->lost && w->model->lost.code ? &w->model->lost : NULL;
}

const struct pool_found *pool_model_of(const struct pool_waiter *w)
{
    return &w->model->found;
}

struct pool_counters *pool_counters(const struct pool_waiter *w)
{
    return &w->model->counters;
}

struct pool_counters *pool_totals(struct pool *pool)
{
    return &pool->totals;
}

size_t pool_waiting(const struct pool *pool)
{
    return pool->waiting;
}

size_t pool_count(const struct pool *pool)
{
    return pool->n_models;
}

static enum pool_state pool_shown_state(const struct pool_model *m)
{
    switch (m->state) {
    case SESSION_READY:
    case SESSION_BUSY:
        return m->stale ? POOL_UNLOADING : POOL_READY;
    case SESSION_STOPPING:
        return POOL_UNLOADING;
    default:
        return m->served ? POOL_FAILING_OVER : POOL_LOADING;
    }
}

bool pool_at(const struct pool *pool, size_t index, struct pool_status *ret_status)
{
    const struct pool_model *m = pool->models;
    for (; m; m = m->next) {
        bool shown = m->found.name && m->state != SESSION_FAILED && m->state != SESSION_STOPPED;
        if (shown && index-- == 0)
            break;
    }
    if (!m)
        return false;
    const struct pool_endpoint *e = m->endpoint;
    *ret_status = (struct pool_status){
        .name = m->names[0],
        .path = m->found.path,
        .state = pool_shown_state(m),
        .backend = e ? e->backend : "",
        .device = e ? e->device : "",
        .package = e ? e->package : "",
        .node = e ? e->node : NULL,
        .n_nodes = e ? e->n_nodes : 0,
        .context = e ? e->context : 0,
        .slots = e ? e->slots : 0,
        .active = m->active.n,
        .waiting = m->queue.n,
        .pinned = m->pinned,
        .checked = e && m->checked,
        .loaded_at = m->loaded_at,
        .last_use = m->last_use,
        .expires_at = m->expires_at,
        .bytes = m->found.bytes,
        .pid = e ? e->pid : 0,
        .counters = m->counters,
    };
    return true;
}
