#include "session/pool_private.h"
#include "session/session.h"

#include <errno.h>
#include <time.h>

/* ---- memory ---- */

/* The largest GPU that this request may use, else the computer's memory; a part of it stays free.
 */
static uint64_t pool_budget(const struct session_request *path)
{
    uint64_t most = 0;
    const struct machine *m = path ? path->machine : NULL;
    for (size_t i = 0; m && i < m->n_gpus; i++) {
        if (machine_gpu_memory(m, &m->gpu[i]) > most)
            most = machine_gpu_memory(m, &m->gpu[i]);
    }
    if (m && !most)
        most = m->host.memory_bytes;
    return most / 10 * 9;
}

static uint64_t pool_used(const struct pool *pool)
{
    uint64_t used = 0;
    for (const struct pool_model *m = pool->models; m; m = m->next)
        used += m->engine || m->ending ? m->found.bytes : 0;
    return used;
}

static size_t pool_loaded(const struct pool *pool)
{
    size_t n = 0;
    for (const struct pool_model *m = pool->models; m; m = m->next)
        n += m->engine || m->ending;
    return n;
}

static struct pool_model *pool_oldest(const struct pool *pool)
{
    struct pool_model *oldest = NULL;
    for (struct pool_model *m = pool->models; m; m = m->next) {
        bool free_to_go = m->state == POOL_STATE_READY && !m->active && !m->first && !m->pinned;
        if (free_to_go && (!oldest || m->used_at < oldest->used_at))
            oldest = m;
    }
    return oldest;
}

static bool pool_fits(const struct pool *pool, const struct pool_model *m)
{
    unsigned most = pool->serve->config.max_models;
    size_t loaded = pool_loaded(pool);
    if (!loaded)
        return true; /* what is too large even alone, the plan refuses in better words */
    return (!most || loaded < most) &&
           (!pool->budget || pool_used(pool) + m->found.bytes <= pool->budget);
}

bool pool_room(struct pool_model *m)
{
    struct pool *pool = m->pool;
    if (pool_fits(pool, m))
        return true;
    struct pool_model *oldest = pool_oldest(pool);
    m->state = POOL_STATE_ROOM;
    loop_timer_set(pool->serve->loop, &m->timer, POOL_ROOM_MS);
    if (oldest) {
        log_at(pool->serve->config.log, LOG_INFO, "%s is unloaded to make room for %s",
               oldest->names[0], m->names[0]);
        pool_model_unload(oldest);
    }
    return false;
}

void pool_look_for_room(struct pool *pool)
{
    for (struct pool_model *m = pool->models; m; m = m->next) {
        if (m->state != POOL_STATE_ROOM || m->remove)
            continue;
        pool_model_start(m);
        return; /* the list may have changed; the others' timers look again */
    }
}

/* ---- time ---- */

static void pool_expire(struct pool_model *m)
{
    int64_t left = m->used_at + m->keep * 1000 - loop_now(m->pool->serve->loop);
    if (left > 0) {
        loop_timer_set(m->pool->serve->loop, &m->timer, left);
        m->expires_at = time(NULL) + (left + 999) / 1000;
        return;
    }
    pool_model_unload(m);
}

void pool_rest(struct pool_model *m)
{
    bool busy = m->active || m->first;
    m->expires_at = 0;
    if (m->remove && !busy) {
        struct pool *pool = m->pool;
        pool_model_free(m);
        pool_check_end(pool);
        return;
    }
    if (m->state != POOL_STATE_READY || m->active || (m->first && !m->reload))
        return;
    if (m->reload) {
        pool_model_serve(m);
        return;
    }
    if (!m->pinned && m->keep >= 0)
        pool_expire(m);
}

void pool_due(struct loop_timer *timer)
{
    struct pool_model *m = container_of(timer, struct pool_model, timer);
    switch (m->state) {
    case POOL_STATE_ROOM:
        if (!m->remove)
            pool_model_start(m);
        return;
    case POOL_STATE_FAILED:
        if (!m->ending && !m->active)
            pool_model_free(m);
        else
            loop_timer_set(m->pool->serve->loop, timer, POOL_ROOM_MS);
        return;
    case POOL_STATE_READY:
        pool_model_serve(m);
        return;
    default:
        return;
    }
}

/* ---- from outside ---- */

int pool_unload(struct pool *pool, struct str name, struct gfxb_error *err)
{
    size_t n = 0;
    for (struct pool_model *m = pool->models; m; m = m->next) {
        bool meant = !name.n || pool_model_find(pool, name) == m;
        if (!meant || !m->engine)
            continue;
        n++;
        m->pinned = false;
        m->keep = 0;
        if (!m->active && !m->first)
            pool_model_unload(m);
    }
    if (!n && name.n)
        return error_set(err, ENOENT, "the model %.*s is not loaded", STR_ARG(name));
    return 0;
}

/* A model that is to be there from the start on. */
struct pool_pin {
    struct pool_waiter waiter;
    const struct pool *pool;
    const char *name; /* the configuration's */
};

static void pool_pinned_ready(struct pool_waiter *w)
{
    free(w);
}

static void pool_pinned_failed(struct pool_waiter *w, const struct gfxb_error *why)
{
    const struct pool_pin *pin = (const struct pool_pin *)w; /* its first member */
    log_at(pin->pool->serve->config.log, LOG_WARNING, "cannot load %s at the start: %s", pin->name,
           why->text);
    free(w);
}

void pool_load_pinned(struct pool *pool)
{
    const char *const *name = pool->serve->config.pinned;
    for (; name && *name; name++) {
        struct pool_request request = {
            .model = str_from(*name), .keep_alive = SERVE_KEEP_FOREVER, .pin = 1, .backend = -1};
        struct pool_pin *pin = calloc(1, sizeof(*pin));
        if (!pin)
            return;
        *pin = (struct pool_pin){
            .waiter = {.load_only = true, .ready = pool_pinned_ready, .failed = pool_pinned_failed},
            .pool = pool,
            .name = *name};
        pool_wait(pool, &request, &pin->waiter);
    }
}

/* ---- the beginning and the end ---- */

int pool_new(struct serve *s, const struct pool_engines *engines, struct pool **ret_pool,
             struct gfxb_error *err)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_set(err, ENOMEM, "out of memory");
    pool->serve = s;
    pool->engines = *engines;
    pool->budget = pool_budget(s->config.path);
    *ret_pool = pool;
    return 0;
}

void pool_check_end(struct pool *pool)
{
    if (!pool->ending || pool->working || !pool->ended)
        return;
    void (*ended)(void *) = pool->ended;
    pool->ended = NULL;
    ended(pool->ended_context);
}

void pool_end(struct pool *pool, void (*done)(void *context), void *context)
{
    pool->ending = true;
    pool->ended = done;
    pool->ended_context = context;
    for (struct pool_model *m = pool->models; m; m = m->next) {
        if (m->engine)
            pool_model_unload(m);
    }
    pool_check_end(pool);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    while (pool->models)
        pool_model_free(pool->models);
    free(pool);
}
