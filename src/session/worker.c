/* worker.c - a session on a thread of its own, for the pool: it does what blocks, one order after
 * the other, and watches the engine in between. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

enum {
    WORKER_STACK = 1 << 20,
    WORKER_CHECK_MS = 5000, /* between two looks at the length of the engine's log */
    WORKER_LINK_MS = 500,   /* between two looks at the links to other computers */
    WORKER_IDLE_MS = 10000, /* without a request, before the model is compared with the CPU */
    WORKER_COMPARE_MS = 300000,
    WORKER_COMPARES = 3, /* tries of that: requests end it */
};

struct worker_order {
    struct worker_order *next;
    struct session_order order;
};

struct worker {
    struct pool_model *model;
    struct session_request request;
    pthread_t thread;
    pthread_mutex_t lock; /* of the orders, and of closing */
    struct worker_order *first, *last;
    bool closing;
    int wake_fd;          /* readable: there is an order, or a request began */
    atomic_int cancel;    /* of what blocks */
    atomic_uint requests; /* under way in the engine */
    atomic_llong sign_at; /* monotonic ms of the engine's last sign of life */
    int gap_ms;           /* so long without a sign, and it is asked for one */
    atomic_int asked;     /* a request was in the engine that runs */
    /* Of the thread alone: */
    struct session session;
    bool watching;               /* the engine runs, as far as is known */
    unsigned compares;           /* tries to compare its model with the CPU that are left */
    bool differs;                /* it computes wrongly: it is left once nobody uses it */
    struct session_history left; /* choices that were left for that, stored or not: failed alone */
    struct gfxb_error why;
};

/* ---- news ---- */

struct worker_news {
    struct worker *worker;
    struct session_news news;
    char *fingerprint;              /* owned */
    struct session_history history; /* owned: failed alone */
};

static void worker_deliver(void *context)
{
    struct worker_news *n = context;
    n->news.fingerprint = n->fingerprint;
    n->news.failed = n->history.failed;
    n->news.n_failed = n->history.n_failed;
    pool_news(n->worker->model, &n->news);
    session_history_done(&n->history);
    free(n->fingerprint);
    free(n);
}

static void worker_tell(struct worker *w, const struct session_news *news)
{
    struct worker_news *n = xcalloc(1, sizeof(*n));
    n->worker = w;
    n->news = *news;
    n->fingerprint = xstrdup_or_null(news->fingerprint);
    for (size_t i = 0; i < news->n_failed; i++)
        session_history_add(&n->history, &news->failed[i]);
    loop_post(w->model->pool->config.loop, worker_deliver, n);
}

static void worker_on_load(void *context)
{
    worker_tell(context, &(struct session_news){.event = SESSION_EV_LOADS});
}

static void worker_tell_up(struct worker *w)
{
    const struct session *s = &w->session;
    struct session_news news = {.event = SESSION_EV_UP,
                                .last_resort = session_is_last_resort(s),
                                .checked = s->running->model_check != NULL,
                                .fingerprint = s->running->fingerprint,
                                .failed = s->failure,
                                .n_failed = s->n_failures};
    struct pool_endpoint *e = &news.endpoint;
    e->pid = engine_pid(s->engine);
    e->context = s->context;
    e->slots = s->slots;
    snprintf(news.socket, sizeof(news.socket), "%s", engine_socket(s->engine));
    snprintf(news.key, sizeof(news.key), "%s", engine_key(s->engine));
    snprintf(e->backend, sizeof(e->backend), "%s", plan_backend_name(s->running->backend));
    snprintf(e->package, sizeof(e->package), "%s", s->package->id);
    engine_placement_text(&s->placement, e->device, sizeof(e->device));
    for (; e->n_nodes < s->running->n_members; e->n_nodes++) {
        const struct plan_member *member = &s->running->member[e->n_nodes];
        struct pool_node *node = &e->node[e->n_nodes];
        *node = (struct pool_node){.layers = (unsigned)member->layers,
                                   .need_bytes = member->need_bytes,
                                   .have_bytes = member->have_bytes,
                                   .bytes_per_second = member->node->bytes_per_second,
                                   .round_trip_us = member->node->round_trip_us};
        snprintf(node->name, sizeof(node->name), "%s", member->node->name);
    }
    worker_tell(w, &news);
}

/* ---- orders, as they are carried out ---- */

static void worker_bring_up(struct worker *w, struct session_order *order)
{
    const struct session_request *wanted = w->model->pool->config.request;
    struct session_news news = {.event = SESSION_EV_NOTHING_WORKS};
    int backend = order->options.backend;
    w->request.context = order->options.context;
    w->request.request.backend = backend >= 0 ? backend : wanted->request.backend;
    for (size_t i = 0; i < w->left.n_failed; i++)
        session_history_add(&order->history, &w->left.failed[i]);
    if (session_bring_up(&w->request, &order->history, &w->session, &news.why) < 0) {
        worker_tell(w, &news);
        return;
    }
    w->watching = true;
    w->differs = false;
    /* Once for each choice, where there is something to compare the CPU with. The canary's answers
     * are known: every proof compares them. */
    const struct plan_choice *running = w->session.running;
    /* What needs several computers does not fit this one's CPU. */
    bool known = running->model_check || running->backend == PLAN_CPU || running->n_members ||
                 !w->session.use;
    w->compares = known || w->model->pool->config.no_self_check ? 0 : WORKER_COMPARES;
    worker_tell_up(w);
}

static void worker_prove(struct worker *w)
{
    struct session_news news = {.event = SESSION_EV_JUDGED};
    int result = session_prove_again(&w->request, &w->session, &news.why);
    news.passed = result == 0;
    if (session_is_ours(-result) || -result == GFXB_E_DISK_FULL)
        news.event = SESSION_EV_NOTHING_WORKS;
    worker_tell(w, &news);
}

/* Requests in its engine from now on; how many there were. */
static unsigned worker_set_requests(struct worker *w, unsigned n)
{
    struct pool *pool = w->model->pool;
    unsigned before = atomic_exchange(&w->requests, n);
    atomic_fetch_add(&pool->busy, n - before);
    atomic_store(&pool->used_at, clock_now_ms());
    return before;
}

static void worker_do(struct worker *w, struct session_order *order)
{
    struct gfxb_error err;
    switch (order->kind) {
    case SESSION_BRING_UP:
        worker_bring_up(w, order);
        return;
    case SESSION_PROVE:
        worker_prove(w);
        return;
    case SESSION_REJECT:
        if (session_reject(&w->request, order->fingerprint, &order->why, &err) < 0)
            log_at(w->request.log, LOG_WARNING, "%s", err.text);
        return;
    case SESSION_END:
        if (order->keep)
            session_slots_save(&w->request, &w->session);
        else
            session_slots_forget(&w->session);
        session_stop_engine(&w->session);
        worker_tell(w, &(struct session_news){.event = SESSION_EV_ENDED});
        return;
    }
}

/* Nothing else is to compute beside it. */
static void worker_carry_out(struct worker *w, struct session_order *order)
{
    struct pool *pool = w->model->pool;
    w->watching &= order->kind == SESSION_REJECT;
    if (order->kind != SESSION_REJECT) {
        worker_set_requests(w, 0);
        atomic_store(&w->asked, 0);
    }
    atomic_fetch_add(&pool->busy, 1);
    worker_do(w, order);
    atomic_store(&pool->used_at, clock_now_ms());
    atomic_fetch_sub(&pool->busy, 1);
}

/* The next order; NULL none. Behind an end the next one may block again. */
static struct worker_order *worker_take(struct worker *w, bool *ret_closing)
{
    pthread_mutex_lock(&w->lock);
    struct worker_order *order = w->first;
    if (order) {
        w->first = order->next;
        w->last = w->first ? w->last : NULL;
        if (order->order.kind == SESSION_END)
            atomic_store(&w->cancel, 0);
    }
    *ret_closing = w->closing && !order;
    pthread_mutex_unlock(&w->lock);
    return order;
}

/* ---- watching ---- */

/* Wait for an order, or until the engine has ended or ms are over. */
static void worker_wait(const struct worker *w, int ms)
{
    struct pollfd watched[] = {
        {.fd = w->wake_fd, .events = POLLIN},
        {.fd = w->watching ? engine_pidfd(w->session.engine) : -1, .events = POLLIN},
    };
    eventfd_t count;
    poll(watched, 2, ms);
    if (watched[0].revents)
        eventfd_read(w->wake_fd, &count);
}

/* How long until the engine has been silent for too long; 0: it has. */
static int worker_patience(const struct worker *w)
{
    int64_t most = w->session.running->n_members ? WORKER_LINK_MS : WORKER_CHECK_MS, left = most;
    if (atomic_load(&w->requests))
        left = atomic_load(&w->sign_at) + w->gap_ms - clock_now_ms();
    return left < 0 ? 0 : (int)(left < most ? left : most);
}

/* Is it time to compare the model with the CPU? While nobody uses any model; and not where a user's
 * conversation is kept in the engine's only slot. */
static bool worker_is_idle(const struct worker *w)
{
    const struct pool *pool = w->model->pool;
    int64_t idle_ms = pool->config.idle_ms ? pool->config.idle_ms : WORKER_IDLE_MS;
    bool kept = w->session.slots < 2 && atomic_load(&w->asked);
    return !kept && !atomic_load(&pool->busy) &&
           clock_now_ms() - atomic_load(&pool->used_at) >= idle_ms;
}

/* From here on who comes ends it. True: nobody is there yet. */
static bool worker_claim_idle(struct worker *w)
{
    struct pool *pool = w->model->pool;
    if (atomic_exchange(&pool->comparing, 1))
        return false;
    atomic_store(&pool->give_way, 0);
    pthread_mutex_lock(&w->lock);
    bool free = !w->first && !w->closing && worker_is_idle(w);
    pthread_mutex_unlock(&w->lock);
    if (!free)
        atomic_store(&pool->comparing, 0);
    return free;
}

static void worker_compare(struct worker *w)
{
    struct engine_comparison comparison;
    struct session_check check = {
        .patience_ms = WORKER_COMPARE_MS, .idle = true, .cancel = &w->model->pool->give_way};
    if (!worker_claim_idle(w))
        return;
    w->compares--;
    int result = session_check_model(&w->request, &w->session, &check, &comparison, &w->why);
    atomic_store(&w->model->pool->comparing, 0);
    if (result == -GFXB_E_INTERRUPTED)
        return;
    w->compares = 0;
    w->differs = result == -GFXB_E_MODEL_MISMATCH;
    if (w->differs)
        session_history_add(&w->left, &(struct session_failure){w->session.running->fingerprint,
                                                                w->why.text, w->why.code, false});
    if (result == 0)
        worker_tell(w, &(struct session_news){.event = SESSION_EV_CHECKED, .checked = true});
    else if (!w->differs)
        log_at(w->request.log, LOG_INFO, "%s: %s", w->session.model, w->why.text);
}

static void worker_lost(struct worker *w, const struct gfxb_error *why, enum blame_loss loss)
{
    w->watching = false;
    loss = session_loss(&w->session, loss == BLAME_BROKE);
    worker_tell(w, &(struct session_news){.event = SESSION_EV_LOST, .why = *why, .loss = loss});
}

/* One round beside a running engine. */
static void worker_watch(struct worker *w)
{
    struct engine *engine = w->session.engine;
    struct gfxb_error why;
    int patience = worker_patience(w);
    if (w->compares && worker_is_idle(w))
        worker_compare(w);
    if (w->differs && !atomic_load(&w->requests)) {
        worker_lost(w, &w->why, BLAME_KILLED);
        session_stop_engine(&w->session);
        return;
    }
    if (patience)
        worker_wait(w, patience);
    bool ended = engine_check(engine, &why) < 0;
    if ((ended ? session_blame_links(&w->session, &why) : session_check_links(&w->session, &why)) <
        0) {
        worker_lost(w, &why, BLAME_KILLED);
        session_stop_engine(&w->session);
    } else if (ended) {
        worker_lost(w, &why, engine_broke_itself(engine) ? BLAME_BROKE : BLAME_KILLED);
    } else if (patience == 0 && engine_is_healthy(engine, w->gap_ms, &w->cancel)) {
        atomic_store(&w->sign_at, clock_now_ms());
    } else if (patience == 0) {
        error_set(&why, GFXB_E_ENGINE_HANG, "the engine hangs: it answered nothing for %.1f s",
                  2 * (double)w->gap_ms / 1000);
        worker_lost(w, &why, BLAME_BROKE);
        session_stop_engine(&w->session);
    }
}

static void *worker_thread(void *context)
{
    struct worker *w = context;
    bool closing = false;
    while (!closing) {
        struct worker_order *order = worker_take(w, &closing);
        if (order) {
            worker_carry_out(w, &order->order);
            session_history_done(&order->order.history);
            free(order->order.fingerprint);
            free(order);
        } else if (!closing && w->watching) {
            worker_watch(w);
        } else if (!closing) {
            worker_wait(w, -1);
        }
    }
    session_done(&w->session);
    session_history_done(&w->left);
    return NULL;
}

/* ---- the pool's side ---- */

/* With a small stack, and leaving signals to the others. 0 or an errno value. */
static int worker_start(struct worker *w)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        return errno;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&w->thread, &attributes, worker_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return code;
}

static void worker_free(struct worker *w)
{
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static int worker_open(struct pool_model *m, void **ret_engine, struct gfxb_error *err)
{
    const struct pool_config *config = &m->pool->config;
    struct worker *w = xcalloc(1, sizeof(*w));
    *w = (struct worker){.model = m, .request = *config->request};
    struct session_request *r = &w->request;
    r->model = m->found.path;
    r->mmproj = m->found.mmproj;
    r->known = m->found.known;
    r->slots = config->slots;
    r->http_threads = config->engine_requests + 8;
    r->args = (const char *const *)m->found.args;
    r->cancel = &w->cancel;
    r->on_load = worker_on_load;
    r->load_context = w;
    w->gap_ms = config->gap_ms ? config->gap_ms : ENGINE_SILENCE_MS;
    pthread_mutex_init(&w->lock, NULL);
    int code = worker_start(w);
    if (code == 0) {
        *ret_engine = w;
        return 0;
    }
    worker_free(w);
    return error_set(err, code, "cannot start a thread for the engine: %s", error_errno_text(code));
}

static void worker_order(void *engine, const struct session_order *what)
{
    struct worker *w = engine;
    struct worker_order *order = xcalloc(1, sizeof(*order));
    order->order = *what;
    pthread_mutex_lock(&w->lock);
    *(w->last ? &w->last->next : &w->first) = order;
    w->last = order;
    if (what->kind == SESSION_END)
        atomic_store(&w->cancel, 1);
    atomic_store(&w->model->pool->used_at, clock_now_ms());
    atomic_store(&w->model->pool->give_way, 1);
    pthread_mutex_unlock(&w->lock);
    eventfd_write(w->wake_fd, 1);
}

static void worker_traffic(void *engine, unsigned requests, bool answered)
{
    struct worker *w = engine;
    bool first = worker_set_requests(w, requests) == 0 && requests;
    if (requests) {
        atomic_store(&w->asked, 1);
        atomic_store(&w->model->pool->give_way, 1);
    }
    if (first || answered)
        atomic_store(&w->sign_at, clock_now_ms());
    if (first)
        eventfd_write(w->wake_fd, 1);
}

static void worker_close(void *engine)
{
    struct worker *w = engine;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    atomic_store(&w->model->pool->give_way, 1);
    pthread_mutex_unlock(&w->lock);
    eventfd_write(w->wake_fd, 1);
    pthread_join(w->thread, NULL);
    worker_free(w);
}

const struct session_engines session_workers = {worker_open, worker_order, worker_traffic,
                                                worker_close};
