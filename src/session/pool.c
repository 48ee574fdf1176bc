#include "session/pool_private.h"

#include "http/http.h"

#include <errno.h>
#include <time.h>

/* ---- models ---- */

struct pool_model *pool_model_find(const struct pool *pool, struct str name)
{
    for (struct pool_model *m = pool->models; m; m = m->next) {
        for (size_t i = 0; i < m->n_names; i++) {
            if (str_is(name, m->names[i]))
                return m;
        }
    }
    return NULL;
}

void pool_model_add_name(struct pool_model *m, struct str name)
{
    char *copy;
    if (m->n_names < POOL_NAMES_MAX && (copy = str_dup(name)))
        m->names[m->n_names++] = copy;
}

struct pool_model *pool_model_new(struct pool *pool, struct str name)
{
    struct pool_model *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->pool = pool;
    m->keep = pool->serve->config.keep_alive;
    m->backend = -1;
    m->source.fd = -1;
    m->timer.due = pool_due;
    pool_model_add_name(m, name);
    if (!m->n_names) {
        free(m);
        return NULL;
    }
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
    *found = (struct pool_found){0};
}

void pool_model_free(struct pool_model *m)
{
    struct pool_model **link = &m->pool->models;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    m->pool->n_models--;
    loop_timer_clear(m->pool->serve->loop, &m->timer);
    for (size_t i = 0; i < m->n_names; i++)
        free(m->names[i]);
    pool_found_done(&m->found);
    free(m);
}

/* ---- the queue ---- */

static void pool_append(struct pool_model *m, struct pool_waiter *w, bool front)
{
    w->model = m;
    w->previous = front ? NULL : m->last;
    w->next = front ? m->first : NULL;
    *(w->next ? &w->next->previous : &m->last) = w;
    *(w->previous ? &w->previous->next : &m->first) = w;
    m->waiting++;
    m->pool->waiting++;
}

static void pool_take(struct pool_waiter *w)
{
    struct pool_model *m = w->model;
    *(w->next ? &w->next->previous : &m->last) = w->previous;
    *(w->previous ? &w->previous->next : &m->first) = w->next;
    w->next = w->previous = NULL;
    w->model = NULL;
    m->waiting--;
    m->pool->waiting--;
}

void pool_model_fail(struct pool_model *m, const struct gfxb_error *why)
{
    struct gfxb_error copy = *why;
    m->state = POOL_STATE_FAILED;
    m->why = copy;
    loop_timer_set(m->pool->serve->loop, &m->timer, POOL_FAILED_MS);
    while (m->first) {
        struct pool_waiter *w = m->first;
        pool_take(w);
        w->failed(w, &copy);
    }
}

void pool_refuse_loads(struct pool_model *m, const struct gfxb_error *why)
{
    struct gfxb_error copy = *why;
    struct pool_waiter *next;
    for (struct pool_waiter *w = m->first; w; w = next) {
        next = w->next;
        if (!w->load_only)
            continue;
        pool_take(w);
        w->failed(w, &copy);
    }
}

void pool_lane_release(struct pool_lane *lane)
{
    if (lane->users || !lane->old)
        return;
    http_endpoint_free(lane->upstream);
    free(lane);
}

void pool_model_serve(struct pool_model *m)
{
    struct serve *s = m->pool->serve;
    if (m->state != POOL_STATE_READY || !m->lane)
        return;
    if (m->reload && !m->active) {
        m->reload = false;
        m->again = true;
        pool_model_unload(m);
    }
    if (m->reload || m->state != POOL_STATE_READY)
        return;
    while (m->state == POOL_STATE_READY && m->lane && m->first &&
           (m->first->load_only || m->active < s->config.engine_requests)) {
        struct pool_waiter *w = m->first;
        if (m->suspect_until > loop_now(s->loop)) { /* perhaps by what the last ready() found */
            loop_timer_set(s->loop, &m->timer, m->suspect_until - loop_now(s->loop));
            return;
        }
        pool_take(w);
        m->used_at = loop_now(s->loop);
        if (!w->load_only) {
            w->model = m;
            w->lane = m->lane;
            w->lane->users++;
            w->attempts++;
            m->active++;
            m->pool->engines.began(m->engine, w->lane->endpoint.generation);
        }
        w->ready(w);
    }
    pool_rest(m);
}

void pool_leave(struct pool_waiter *w)
{
    struct pool_model *m = w->model;
    if (!m)
        return;
    if (w->lane)
        pool_done(w, POOL_CANCELLED);
    else
        pool_take(w);
}

static struct pool_model *pool_release(struct pool_waiter *w, enum pool_outcome outcome)
{
    struct pool_model *m = w->model;
    struct pool_lane *lane = w->lane;
    w->model = NULL;
    w->lane = NULL;
    m->active--;
    m->used_at = loop_now(m->pool->serve->loop);
    m->last_use = time(NULL);
    if (m->engine)
        m->pool->engines.ended(m->engine, lane->endpoint.generation, outcome);
    if ((outcome == POOL_BROKEN || outcome == POOL_NONSENSE) && !lane->old)
        m->suspect_until = m->used_at + POOL_SUSPECT_MS;
    lane->users--;
    pool_lane_release(lane);
    return m;
}

void pool_done(struct pool_waiter *w, enum pool_outcome outcome)
{
    struct pool_model *m = pool_release(w, outcome);
    if (m->first)
        pool_model_serve(m);
    else
        pool_rest(m);
}

void pool_again(struct pool_waiter *w, enum pool_outcome outcome)
{
    struct pool_model *m = pool_release(w, outcome);
    if (m->state == POOL_STATE_FAILED) {
        struct gfxb_error why = m->why;
        w->failed(w, &why);
        return;
    }
    pool_append(m, w, true);
    m->again |= m->state == POOL_STATE_UNLOADING;
    pool_model_serve(m);
}

/* ---- wishes ---- */

/* No name: the model that was used last, else the default one. */
static struct str pool_default(const struct pool *pool)
{
    const struct pool_model *best = NULL;
    for (const struct pool_model *m = pool->models; m; m = m->next) {
        if (m->state != POOL_STATE_FAILED && m->found.name && (!best || m->used_at > best->used_at))
            best = m;
    }
    const char *name = best ? best->names[0] : pool->serve->config.default_model;
    return str_from(name);
}

static bool pool_refuse(struct pool *pool, struct pool_waiter *w)
{
    struct gfxb_error why;
    if (pool->ending || http_server_is_draining(pool->serve->http))
        error_set(&why, ESHUTDOWN, "the server is shutting down");
    else if (pool->waiting >= pool->serve->config.queue)
        error_set(&why, EBUSY, "%zu requests are waiting already: try again in a moment",
                  pool->waiting);
    else
        return false;
    w->failed(w, &why);
    return true;
}

/* What the request changes about a model that is there. */
static void pool_apply(struct pool_model *m, const struct pool_request *request)
{
    if (request->keep_alive != SERVE_KEEP_DEFAULT)
        m->keep = request->keep_alive;
    if (request->pin >= 0)
        m->pinned = request->pin;
    bool other = (request->backend >= 0 && request->backend != m->backend) ||
                 (m->context && request->context > m->context);
    if (!other && (m->engine || m->context))
        return;
    if (request->context > m->context)
        m->context = request->context;
    if (request->backend >= 0)
        m->backend = request->backend;
    if (m->engine)
        m->reload = true;
}

void pool_wait(struct pool *pool, const struct pool_request *request, struct pool_waiter *w)
{
    struct str name = request->model.n ? request->model : pool_default(pool);
    if (pool_refuse(pool, w))
        return;
    struct pool_model *m = pool_model_find(pool, name);
    bool fresh = !m;
    if (fresh)
        m = pool_model_new(pool, name);
    if (!m) {
        struct gfxb_error why;
        error_set(&why, ENOMEM, "out of memory");
        w->failed(w, &why);
        return;
    }
    bool anew = m->state == POOL_STATE_FAILED && m->found.name && m->backend != request->backend;
    if (m->state == POOL_STATE_FAILED && !anew) {
        struct gfxb_error why = m->why;
        w->failed(w, &why);
        return;
    }
    pool_append(m, w, false);
    pool_apply(m, request);
    if (anew) {
        m->backend = request->backend;
        m->state = POOL_STATE_ROOM;
        pool_model_start(m);
        return;
    }
    if (m->state == POOL_STATE_UNLOADING)
        m->again = true;
    if (fresh)
        pool_model_load(m);
    else
        pool_model_serve(m);
}

/* ---- what waiters may see ---- */

struct http_endpoint *pool_upstream(const struct pool_waiter *w)
{
    return w->lane->upstream;
}

const struct pool_endpoint *pool_endpoint(const struct pool_waiter *w)
{
    return &w->lane->endpoint;
}

const struct gfxb_error *pool_lost(const struct pool_waiter *w)
{
    return w->model->state == POOL_STATE_LOADING && w->model->why.code ? &w->model->why : NULL;
}

struct serve_counters *pool_counters(const struct pool_waiter *w)
{
    return &w->model->counters;
}

const char *pool_name(const struct pool_waiter *w)
{
    return w->model->names[0];
}

size_t pool_waiting(const struct pool *pool)
{
    return pool->waiting;
}

size_t pool_count(const struct pool *pool)
{
    return pool->n_models;
}

static enum serve_model_state pool_shown_state(const struct pool_model *m)
{
    switch (m->state) {
    case POOL_STATE_READY:
        return SERVE_MODEL_READY;
    case POOL_STATE_UNLOADING:
        return SERVE_MODEL_UNLOADING;
    default:
        return m->counters.loads ? SERVE_MODEL_FAILING_OVER : SERVE_MODEL_LOADING;
    }
}

bool pool_at(const struct pool *pool, size_t index, struct serve_model *ret_model)
{
    const struct pool_model *m = pool->models;
    while (m && (m->state == POOL_STATE_FAILED || !m->found.name || index > 0)) {
        index -= m->state != POOL_STATE_FAILED && m->found.name;
        m = m->next;
    }
    if (!m)
        return false;
    const struct pool_endpoint *e = m->lane ? &m->lane->endpoint : NULL;
    *ret_model = (struct serve_model){
        .name = m->names[0],
        .path = m->found.path,
        .state = pool_shown_state(m),
        .backend = e ? e->backend : "",
        .device = e ? e->device : "",
        .package = e ? e->package : "",
        .context = m->context,
        .slots = pool->serve->config.slots,
        .active = m->active,
        .waiting = m->waiting,
        .pinned = m->pinned,
        .loaded_at = m->loaded_at,
        .last_use = m->last_use,
        .expires_at = m->expires_at,
        .bytes = m->found.bytes,
        .pid = e ? e->pid : 0,
        .counters = m->counters,
    };
    return true;
}
