#include "session/pool_private.h"

#include "http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

/* ---- which file is it? ---- */

struct pool_search {
    struct pool_model *model;
    struct pool_engines engines;
    char *name;
    struct pool_found found;
    struct gfxb_error why;
    int result;
};

static void pool_search_fn(void *context)
{
    struct pool_search *search = context;
    search->result =
        search->engines.find(search->engines.context, search->name, &search->found, &search->why);
}

/* It is there under another name already: its waiters go over. */
static void pool_join(struct pool_model *m, struct pool_model *other)
{
    pool_model_add_name(other, str_from(m->names[0]));
    while (m->first) {
        struct pool_waiter *w = m->first;
        struct pool_request request = {.model = str_from(other->names[0]),
                                       .keep_alive = SERVE_KEEP_DEFAULT,
                                       .pin = m->pinned ? 1 : -1,
                                       .backend = -1};
        pool_leave(w);
        pool_wait(other->pool, &request, w);
    }
    pool_model_free(m);
}

static void pool_search_done(void *context)
{
    struct pool_search *search = context;
    struct pool_model *m = search->model;
    struct pool *pool = m->pool;
    pool->working--;
    if (search->result < 0) {
        pool_model_fail(m, &search->why);
    } else {
        struct pool_model *other = pool_model_find(pool, str_from(search->found.name));
        char *asked = m->names[0];
        m->found = search->found;
        search->found = (struct pool_found){0};
        if (other && other != m) {
            pool_join(m, other);
        } else {
            char *own = strdup(m->found.name);
            m->names[0] = own ? own : asked;
            if (own) {
                pool_model_add_name(m, str_from(asked));
                free(asked);
            }
            m->state = POOL_STATE_ROOM;
            pool_model_start(m);
        }
    }
    free(search->name);
    free(search);
    pool_check_end(pool);
}

void pool_model_load(struct pool_model *m)
{
    struct pool_search *search = calloc(1, sizeof(*search));
    struct gfxb_error why;
    m->state = POOL_STATE_FINDING;
    if (search)
        *search = (struct pool_search){
            .model = m, .engines = m->pool->engines, .name = strdup(m->names[0])};
    if (search && search->name &&
        work_run(m->pool->serve->work, pool_search_fn, pool_search_done, search) == 0) {
        m->pool->working++;
        return;
    }
    if (search)
        free(search->name);
    free(search);
    error_set(&why, EAGAIN, "too many threads: try again in a moment");
    pool_model_fail(m, &why);
}

/* ---- its engine ---- */

static void pool_drop_lane(struct pool_model *m)
{
    struct pool_lane *lane = m->lane;
    m->lane = NULL;
    if (!lane)
        return;
    lane->old = true;
    pool_lane_release(lane);
}

static void pool_on_ready(struct pool_model *m)
{
    struct pool_endpoint endpoint;
    if (!m->pool->engines.endpoint(m->engine, &endpoint))
        return; /* lost again meanwhile: another event says so */
    if (m->lane && m->lane->endpoint.generation == endpoint.generation)
        return;
    struct pool_lane *lane = calloc(1, sizeof(*lane));
    if (!lane || http_endpoint_new(m->pool->serve->loop, endpoint.socket, endpoint.key,
                                   endpoint.pid, &lane->upstream) < 0) {
        free(lane);
        return;
    }
    if (m->counters.loads) {
        m->counters.failovers++;
        m->pool->serve->totals.failovers++;
    }
    m->counters.loads++;
    m->pool->serve->totals.loads++;
    pool_drop_lane(m);
    lane->endpoint = endpoint;
    m->lane = lane;
    m->suspect_until = 0;
    m->why.code = 0;
    m->state = POOL_STATE_READY;
    m->worked = true;
    m->worked_context = m->context;
    m->worked_backend = m->backend;
    m->loaded_at = m->last_use = time(NULL);
    m->used_at = loop_now(m->pool->serve->loop);
    log_at(m->pool->serve->config.log, LOG_INFO, "%s runs on %s (%s, %s)", m->names[0],
           endpoint.backend, endpoint.device, endpoint.package);
}

/* A request for another backend or a larger context could not be fulfilled: those who waited for it
 * are told, and the model comes back as it worked before. */
static bool pool_return(struct pool_model *m, const struct gfxb_error *why)
{
    if (!m->worked || (m->backend == m->worked_backend && m->context == m->worked_context))
        return false;
    m->backend = m->worked_backend;
    m->context = m->worked_context;
    m->worked = false; /* once */
    m->again = true;
    pool_refuse_loads(m, why);
    return true;
}

static void pool_on_event(struct loop_source *source, unsigned events)
{
    struct pool_model *m = container_of(source, struct pool_model, source);
    struct pool_event event;
    (void)events;
    while (m->engine && m->state != POOL_STATE_UNLOADING &&
           m->pool->engines.next(m->engine, &event)) {
        if (event.kind == POOL_READY) {
            pool_on_ready(m);
        } else {
            m->state = POOL_STATE_LOADING;
            m->why = event.why;
            pool_drop_lane(m);
        }
        if (event.why.code)
            log_at(m->pool->serve->config.log, LOG_WARNING, "%s: %s", m->names[0], event.why.text);
        if (event.kind == POOL_FAILED) {
            bool returns = pool_return(m, &event.why);
            pool_model_unload(m);
            if (!returns)
                pool_model_fail(m, &event.why);
            return;
        }
    }
    pool_model_serve(m);
}

void pool_model_start(struct pool_model *m)
{
    struct serve *s = m->pool->serve;
    struct pool_options options = {.slots = s->config.slots,
                                   .http_threads = s->config.engine_requests + 8,
                                   .context = m->context,
                                   .backend = m->backend};
    struct gfxb_error why;
    if (m->pool->ending || !pool_room(m))
        return;
    m->state = POOL_STATE_LOADING;
    if (m->pool->engines.start(m->pool->engines.context, &m->found, &options, &m->engine, &why) <
        0) {
        m->engine = NULL;
        pool_model_fail(m, &why);
        return;
    }
    int fd = m->pool->engines.fd(m->engine);
    m->source = (struct loop_source){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), .ready = pool_on_event};
    if (m->source.fd < 0 || loop_watch(s->loop, &m->source, LOOP_READ) < 0) {
        error_set(&why, errno, "cannot watch the engine: %s", error_errno_text(errno));
        pool_model_unload(m);
        pool_model_fail(m, &why);
        return;
    }
    pool_on_event(&m->source, LOOP_READ);
}

/* ---- the end of an engine ---- */

struct pool_ending {
    struct pool_model *model;
    void (*free)(void *engine);
    void *engine;
};

static void pool_ending_fn(void *context)
{
    struct pool_ending *ending = context;
    ending->free(ending->engine);
}

static void pool_unloaded(struct pool_model *m)
{
    bool again = (m->again || m->first) && !m->pool->ending;
    m->again = false;
    m->state = POOL_STATE_ROOM;
    if (again)
        pool_model_start(m);
    else if (!m->active)
        pool_model_free(m);
    else
        m->remove = true; /* with its last request */
}

static void pool_ending_done(void *context)
{
    struct pool_ending *ending = context;
    struct pool_model *m = ending->model;
    struct pool *pool = m->pool;
    free(ending);
    pool->working--;
    m->ending = false;
    m->counters.loads = 0; /* the next one is no fail-over */
    if (m->state == POOL_STATE_UNLOADING)
        pool_unloaded(m);
    pool_look_for_room(pool);
    pool_check_end(pool);
}

void pool_model_unload(struct pool_model *m)
{
    struct serve *s = m->pool->serve;
    struct pool_ending *ending = malloc(sizeof(*ending));
    if (ending)
        *ending = (struct pool_ending){m, m->pool->engines.free, m->engine};
    if (!ending || work_run(s->work, pool_ending_fn, pool_ending_done, ending) < 0) {
        free(ending);
        loop_timer_set(s->loop, &m->timer, POOL_ROOM_MS);
        return; /* it stays for now */
    }
    m->engine = NULL;
    m->ending = true;
    m->state = POOL_STATE_UNLOADING;
    m->pool->working++;
    loop_close(s->loop, &m->source);
    pool_drop_lane(m);
}
