/* pool_life.c - the life of each model in the pool: what the table's actions do, what workers tell,
 * which model has to go for another one, and when. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#define POOL_STAMP_PRIME UINT64_C(0x100000001b3) /* FNV's */

enum {
    POOL_FAILED_MS = 5000, /* so long a failure is told, before it is tried again */
    POOL_OURS_MS = 1000,   /* likewise, where this process was at fault */
    POOL_FIT_MS = 1000,    /* between two looks whether there is memory */
    POOL_ALONE_MS = 10000,
    POOL_PAUSE_MIN_MS = 250,
    POOL_PAUSE_MAX_MS = 60000,
    POOL_NOWHERE_MAX = 3, /* bring-ups that end nowhere, of what has served, before it is told */
    POOL_FAILED_MAX = 64, /* failures that are remembered at a time */
};

static struct loop *pool_loop(const struct pool_model *m)
{
    return m->pool->config.loop;
}

/* ---- memory ---- */

/* The largest GPU, else the computer's memory; a part of it stays free. */
static uint64_t pool_budget(const struct session_request *request)
{
    uint64_t most = 0;
    const struct machine *m = request ? request->machine : NULL;
    for (size_t i = 0; m && i < m->n_gpus; i++) {
        if (machine_gpu_memory(m, &m->gpu[i]) > most)
            most = machine_gpu_memory(m, &m->gpu[i]);
    }
    if (m && !most)
        most = m->host.memory_bytes;
    return most / 10 * 9;
}

static bool pool_holds_memory(const struct pool_model *m)
{
    return m->engine && m->state != SESSION_WAITING && m->state != SESSION_FAILED;
}

static struct pool_model *pool_oldest(const struct pool *pool)
{
    struct pool_model *oldest = NULL;
    for (struct pool_model *m = pool->models; m; m = m->next) {
        bool free_to_go = m->state == SESSION_READY && !m->queue.n && !m->pinned;
        if (free_to_go && (!oldest || m->used_at < oldest->used_at))
            oldest = m;
    }
    return oldest;
}

static bool pool_fits(const struct pool_model *wanted)
{
    const struct pool *pool = wanted->pool;
    uint64_t used = 0;
    size_t loaded = 0;
    for (const struct pool_model *m = pool->models; m; m = m->next) {
        used += pool_holds_memory(m) ? m->found.bytes : 0;
        loaded += pool_holds_memory(m);
    }
    if (!loaded)
        return true; /* what is too large even alone, the plan refuses in better words */
    return (!pool->config.max_models || loaded < pool->config.max_models) &&
           (!pool->budget || used + wanted->found.bytes <= pool->budget);
}

/* Make room for it, and get it a worker. */
static void pool_make_fit(struct pool_model *m)
{
    struct pool *pool = m->pool;
    if (pool->ending)
        return;
    if (!pool_fits(m)) {
        struct pool_model *oldest = pool_oldest(pool);
        loop_timer_set(pool_loop(m), &m->timer, POOL_FIT_MS);
        if (!oldest)
            return;
        log_at(pool->config.log, LOG_INFO, "%s is unloaded to make room for %s", oldest->names[0],
               m->names[0]);
        oldest->aside = true;
        pool_turn(oldest, SESSION_EV_UNWANTED);
        return;
    }
    bool opened = m->engine || pool->engines->open(m, &m->engine, &m->why) == 0;
    pool_turn(m, opened ? SESSION_EV_FITS : SESSION_EV_NOTHING_WORKS);
}

/* Somebody may have made room. */
static void pool_room_made(struct pool *pool)
{
    for (struct pool_model *m = pool->models; m; m = m->next) {
        if (m->state == SESSION_WAITING) {
            pool_turn(m, SESSION_EV_DUE);
            return; /* the list may have changed; the others' timers look again */
        }
    }
}

/* ---- which file? ---- */

/* One look-up. */
struct pool_search {
    struct pool_model *model;
    char *name;
    int result;
    struct pool_found found;
    uint64_t stamp;
    struct gfxb_error why;
};

uint64_t pool_stamp(const struct pool_found *found)
{
    const char *const files[] = {found->path, found->mmproj, found->named_by};
    char *CLEAN_FREE parts = found->path ? model_files_state(found->path) : NULL;
    uint64_t stamp = 0;
    for (const char *c = parts; c && *c; c++)
        stamp = (stamp ^ (unsigned char)*c) * POOL_STAMP_PRIME;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct stat st = {.st_ino = 0};
        if (files[i] && stat(files[i], &st) < 0)
            st = (struct stat){.st_ino = 0};
        const uint64_t facts[] = {st.st_dev, st.st_ino, (uint64_t)st.st_size,
                                  (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
        for (size_t k = 0; k < sizeof(facts) / sizeof(facts[0]); k++)
            stamp = (stamp ^ facts[k]) * POOL_STAMP_PRIME;
    }
    return stamp;
}

static void pool_search(void *context)
{
    struct pool_search *search = context;
    const struct pool_config *config = &search->model->pool->config;
    search->result = config->find(config->find_context, search->name, &search->found, &search->why);
    if (search->result == 0)
        search->stamp = pool_stamp(&search->found);
}

static void pool_found_out(struct pool_search *search)
{
    struct pool_model *m = search->model;
    struct pool *pool = m->pool;
    struct pool_found *found = &search->found;
    int result = search->result;
    struct pool_model *other = result < 0 ? NULL : pool_find(pool, str_from(found->name));
    if (result == 0 && pool->ending) {
        pool_found_done(found);
        result = error_set(&m->why, ESHUTDOWN, "the server is shutting down");
    } else if (result < 0) {
        m->why = search->why;
    }
    if (other && other != m && other->found.name && other->stamp != search->stamp) {
        pool_retire(other, m);
        other = NULL;
    }
    if (result < 0) {
        pool_turn(m, SESSION_EV_NOTHING_WORKS);
    } else if (other && other != m) { /* it is there under another name already */
        pool_found_done(found);
        pool_join(m, other);
        pool_model_free(m);
    } else {
        char *asked = m->names[0];
        m->found = *found;
        m->stamp = search->stamp;
        m->names[0] = xstrdup(m->found.name);
        pool_add_name(m, str_from(asked));
        free(asked);
        bool nobody = !m->queue.first; /* loaded ahead */
        pool_sort_out(m);
        if (m->queue.first || m->pinned || nobody)
            pool_turn(m, SESSION_EV_FOUND);
        else
            pool_model_free(m);
    }
}

static void pool_searched(void *context)
{
    struct pool_search *search = context;
    struct pool *pool = search->model->pool;
    pool->looking--;
    pool_found_out(search);
    free(search->name);
    free(search);
    pool_check_end(pool);
}

static void pool_look_up(struct pool_model *m)
{
    if (m->found.name) {
        pool_turn(m, SESSION_EV_FOUND);
        return;
    }
    struct pool_search *search = xcalloc(1, sizeof(*search));
    *search = (struct pool_search){.model = m, .name = xstrdup(m->names[0])};
    m->pool->looking++;
    if (work_run(m->pool->config.work, pool_search, pool_searched, search) == 0)
        return;
    search->result = error_set(&search->why, EAGAIN, "too many threads: try again in a moment");
    pool_searched(search);
}

/* ---- the table's actions ---- */

void pool_order(struct pool_model *m, const struct session_order *order)
{
    m->pool->engines->order(m->engine, order);
}

unsigned pool_context(const struct pool_model *m, unsigned wish)
{
    return m->found.context && wish > m->found.context ? m->found.context : wish;
}

static void pool_bring_up(struct pool_model *m)
{
    struct session_order order = {.kind = SESSION_BRING_UP, .options = m->options};
    blame_history(&m->blame, m->served, &order.history);
    m->reload = m->aside = false;
    m->options.context = order.options.context = pool_context(m, m->options.context);
    m->asked = m->options;
    pool_order(m, &order);
}

/* The newest failures are told at once; older ones are looked into again. */
static void pool_trim_failed(struct pool *pool)
{
    size_t n = 0;
    struct pool_model *oldest = NULL;
    for (struct pool_model *m = pool->models; m; m = m->next) {
        n += m->state == SESSION_FAILED;
        oldest = m->state == SESSION_FAILED ? m : oldest;
    }
    if (n > POOL_FAILED_MAX)
        pool_turn(oldest, SESSION_EV_DUE);
}

static void pool_rest(struct pool_model *m)
{
    bool failed = m->state == SESSION_FAILED;
    int64_t ms = session_is_ours(m->why.code) ? POOL_OURS_MS : POOL_FAILED_MS;
    if (!failed) {
        m->pause_ms = m->pause_ms ? 2 * m->pause_ms : POOL_PAUSE_MIN_MS;
        m->pause_ms = m->pause_ms < POOL_PAUSE_MAX_MS ? m->pause_ms : POOL_PAUSE_MAX_MS;
        ms = m->pause_ms;
    }
    loop_timer_set(pool_loop(m), &m->timer, ms);
    if (!failed)
        return;
    if (m->pinned && !m->queue.n)
        log_at(m->pool->config.log, LOG_WARNING, "cannot load %s at the start: %s", m->names[0],
               m->why.text);
    pool_fail(m, &m->why, false);
    pool_trim_failed(m->pool);
}

static void pool_end_engine(struct pool_model *m)
{
    pool_drop_endpoint(m);
    if (m->engine)
        pool_order(
            m, &(struct session_order){.kind = SESSION_END, .keep = m->aside && !m->pool->ending});
    else
        pool_turn(m, SESSION_EV_ENDED);
}

/* Nothing of it runs any more. */
static void pool_forget(struct pool_model *m)
{
    struct pool *pool = m->pool;
    if (m->engine)
        pool->engines->close(m->engine);
    m->engine = NULL;
    m->served = m->has_worked = m->reload = false; /* the next engine is no fail-over */
    m->too_large = 0;
    blame_forget(&m->blame);
    loop_timer_clear(pool_loop(m), &m->timer);
    if (!m->active.n && !m->queue.n && !m->serving)
        pool_model_free(m);
    pool_room_made(pool);
    pool_check_end(pool);
}

void pool_turn(struct pool_model *m, enum session_event event)
{
    struct session_cell cell = session_cell(m->state, event);
    if (!cell.set)
        return;
    m->state = cell.next;
    switch (cell.action) {
    case SESSION_DO_NOTHING:
        return;
    case SESSION_DO_FIND:
        pool_look_up(m);
        return;
    case SESSION_DO_MAKE_FIT:
        pool_make_fit(m);
        return;
    case SESSION_DO_BRING_UP:
        pool_bring_up(m);
        return;
    case SESSION_DO_PROVE:
        m->counters.failovers++;
        m->pool->totals.failovers++;
        pool_drop_endpoint(m);
        pool_order(m, &(struct session_order){.kind = SESSION_PROVE});
        return;
    case SESSION_DO_SERVE:
        pool_serve(m);
        return;
    case SESSION_DO_REST:
        pool_rest(m);
        return;
    case SESSION_DO_END:
        pool_end_engine(m);
        return;
    case SESSION_DO_FORGET:
        pool_forget(m);
        return;
    }
}

/* ---- what is due when ---- */

/* The earliest of the times that it waits for while its engine runs; 0 none. */
static int64_t pool_next_due(struct pool_model *m, int64_t now)
{
    int64_t times[4] = {0}, next = 0;
    times[0] = m->queue.n ? m->hold_until : 0;
    times[1] = m->watched && m->queue.n ? m->watched_until : 0;
    times[2] = m->useless >= POOL_USELESS_MAX ? m->doubt_at : 0;
    m->expires_at = 0;
    if (m->state == SESSION_READY && !m->queue.n && !m->pinned && m->keep >= 0) {
        times[3] = m->used_at + m->keep * 1000 + 1;
        m->expires_at = time(NULL) + (times[3] - now + 999) / 1000;
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (times[i] > now && (!next || times[i] < next))
            next = times[i];
    }
    return next;
}

void pool_look(struct pool_model *m)
{
    int64_t now = loop_now(pool_loop(m));
    if (m->serving)
        return;
    if (m->state == SESSION_STOPPED && !m->active.n && !m->queue.n) {
        struct pool *pool = m->pool;
        pool_model_free(m);
        pool_check_end(pool);
        return;
    }
    if (m->state == SESSION_READY && m->useless >= POOL_USELESS_MAX && m->doubt_at <= now) {
        pool_turn(m, SESSION_EV_DOUBTED);
        return;
    }
    bool idle = m->state == SESSION_READY && !m->queue.n;
    if (m->reload && m->state == SESSION_READY && !m->blame.open) {
        m->aside = true;
        pool_turn(m, SESSION_EV_RELOAD);
        return;
    }
    if (idle && !m->pinned && m->keep >= 0 && m->used_at + m->keep * 1000 <= now) {
        m->aside = m->keep > 0; /* not where it was asked to go */
        pool_turn(m, SESSION_EV_UNWANTED);
        return;
    }
    if (m->state != SESSION_READY && m->state != SESSION_BUSY)
        return;
    int64_t due = pool_next_due(m, now);
    if (due)
        loop_timer_set(pool_loop(m), &m->timer, due - now);
    else
        loop_timer_clear(pool_loop(m), &m->timer);
}

void pool_due(struct loop_timer *timer)
{
    struct pool_model *m = container_of(timer, struct pool_model, timer);
    if (m->state == SESSION_BACKING_OFF)
        blame_forget(&m->blame);
    if (m->state == SESSION_READY || m->state == SESSION_BUSY)
        pool_serve(m);
    else
        pool_turn(m, SESSION_EV_DUE);
}

/* ---- what others tell ---- */

static void pool_note_up(struct pool_model *m, const struct session_news *news)
{
    struct pool *pool = m->pool;
    blame_up(&m->blame, news->fingerprint, news->last_resort, news->failed, news->n_failed);
    m->counters.loads++;
    pool->totals.loads++;
    m->served = m->has_worked = true;
    m->worked = m->asked;
    m->nowhere = 0;
    m->checked = news->checked;
    m->loaded_at = m->last_use = time(NULL);
    m->used_at = loop_now(pool_loop(m));
}

static void pool_on_up(struct pool_model *m, const struct session_news *news)
{
    struct pool *pool = m->pool;
    struct pool_endpoint *e = xcalloc(1, sizeof(*e));
    *e = news->endpoint;
    int result = http_endpoint_new(pool_loop(m), news->socket, news->key, e->pid, &e->http);
    if (result < 0) {
        free(e);
        error_set(&m->why, -result, "cannot reach the engine: %s", error_errno_text(-result));
        pool_turn(m, SESSION_EV_NOTHING_WORKS);
        return;
    }
    e->kind = engine_kind_of_model(m->found.known);
    e->generation = ++pool->generation;
    m->endpoint = e;
    pool_note_up(m, news);
    log_at(pool->config.log, LOG_INFO, "%s runs on %s (%s, %s)", m->names[0], e->backend, e->device,
           e->package);
    pool_turn(m, SESSION_EV_UP);
}

/* A request for another backend or a larger context could not be fulfilled: those who waited for
 * the loading are told, and the model comes back as it worked before. */
static bool pool_return(struct pool_model *m)
{
    if (!m->has_worked ||
        (m->options.backend == m->worked.backend && m->options.context == m->worked.context))
        return false;
    if (m->options.backend == m->worked.backend)
        m->too_large = m->options.context;
    m->options = m->worked;
    m->has_worked = false; /* once */
    pool_fail(m, &m->why, true);
    return true;
}

/* Is there hope? What was set aside may work again after a pause; so may what has served here
 * before, and was killed while it loaded. */
static bool pool_may_work_again(struct pool_model *m)
{
    bool aside = false;
    if (session_is_ours(m->why.code))
        return false;
    for (size_t i = 0; i < m->blame.n; i++)
        aside |= m->blame.choice[i].aside;
    return aside || pool_return(m) || (m->served && m->nowhere++ < POOL_NOWHERE_MAX);
}

void pool_news(struct pool_model *m, const struct session_news *news)
{
    if (news->why.code && session_cell(m->state, news->event).set)
        log_at(m->pool->config.log, LOG_WARNING, "%s: %s", m->names[0], news->why.text);
    switch (news->event) {
    case SESSION_EV_UP:
        if (session_cell(m->state, SESSION_EV_UP).set)
            pool_on_up(m, news);
        return;
    case SESSION_EV_NOTHING_WORKS:
        m->why = news->why;
        if (m->why.code == ENOSPC || m->why.code == EDQUOT || m->why.code == GFXB_E_DISK_FULL)
            m->why.code = EAGAIN; /* of our own run directory: try again */
        pool_turn(m, pool_may_work_again(m) ? SESSION_EV_NOTHING_NOW : SESSION_EV_NOTHING_WORKS);
        return;
    case SESSION_EV_LOST:
        if (m->endpoint)
            pool_lost_engine(m, news->loss, &news->why);
        pool_turn(m, SESSION_EV_LOST);
        return;
    case SESSION_EV_JUDGED:
        if (news->passed)
            pool_charge_doubter(m);
        else
            blame_failed_proof(&m->blame, &news->why);
        m->doubter = NULL;
        pool_turn(m, SESSION_EV_JUDGED);
        return;
    case SESSION_EV_CHECKED:
        m->checked = news->checked;
        return;
    default:
        pool_turn(m, news->event);
        return;
    }
}

/* ---- from outside ---- */

void pool_let_go(struct pool_model *m)
{
    m->pinned = false;
    m->keep = 0;
    if (!m->active.n && !m->queue.n)
        pool_turn(m, SESSION_EV_UNWANTED);
}

/* The model of exactly this name, else one that it may mean. */
static struct pool_model *pool_find_like(const struct pool *pool, struct str name)
{
    struct pool_model *m = pool_find(pool, name);
    for (struct pool_model *at = pool->models; at && !m; at = at->next) {
        for (size_t i = 0; i < at->n_names && !m && !at->stale; i++)
            m = model_name_same(name, str_from(at->names[i])) ? at : NULL;
    }
    return m;
}

int pool_unload(struct pool *pool, struct str name, struct gfxb_error *err)
{
    struct pool_model *next, *wanted = name.n ? pool_find_like(pool, name) : NULL;
    size_t n = 0;
    for (struct pool_model *m = pool->models; m; m = next) {
        next = m->next;
        if ((name.n && wanted != m) || !pool_holds_memory(m))
            continue;
        n++;
        pool_let_go(m);
    }
    if (!n && name.n)
        return error_set(err, ENOENT, "the model %.*s is not loaded", STR_ARG(name));
    return 0;
}

void pool_load_pinned(struct pool *pool)
{
    const char *const *name = pool->config.pinned;
    for (; name && *name; name++) {
        struct pool_model *m = pool_find(pool, str_from(*name));
        m = m ? m : pool_model_new(pool, str_from(*name));
        m->pinned = true;
        m->keep = POOL_KEEP_FOREVER;
        pool_turn(m, SESSION_EV_WANTED);
    }
}

/* ---- the beginning and the end ---- */

struct pool *pool_new(const struct pool_config *config)
{
    struct pool *pool = xcalloc(1, sizeof(*pool));
    pool->config = *config;
    pool->config.alone_ms = config->alone_ms ? config->alone_ms : POOL_ALONE_MS;
    pool->engines = config->engines ? config->engines : &session_workers;
    pool->budget = pool_budget(config->request);
    return pool;
}

void pool_check_end(struct pool *pool)
{
    if (!pool->ending || !pool->ended || pool->looking)
        return;
    for (const struct pool_model *m = pool->models; m; m = m->next) {
        if (m->engine)
            return;
    }
    void (*ended)(void *) = pool->ended;
    pool->ended = NULL;
    ended(pool->ended_context);
}

void pool_end(struct pool *pool, void (*done)(void *context), void *context)
{
    struct pool_model *next;
    pool->ending = true;
    pool->ended = done;
    pool->ended_context = context;
    for (struct pool_model *m = pool->models; m; m = next) {
        next = m->next;
        pool_turn(m, SESSION_EV_UNWANTED);
    }
    pool_check_end(pool);
}

void pool_drain(struct pool *pool)
{
    pool->draining = true;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    while (pool->models)
        pool_model_free(pool->models);
    free(pool);
}
