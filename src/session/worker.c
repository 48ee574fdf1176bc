/* worker.c - a session on a thread of its own, for the pool: it does what blocks, one order after
 * the other, and watches the engine in between. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

enum {
    WORKER_CHECK_MS = 5000, /* between two looks at the length of the engine's log */
};

enum worker_order_kind { WORKER_BRING_UP, WORKER_PROVE, WORKER_END, WORKER_REJECT, WORKER_CLOSE };

struct worker_order {
    struct worker_order *next;
    enum worker_order_kind kind;
    struct pool_options options;    /* bring up */
    struct session_history history; /* bring up; owned */
    char *fingerprint;              /* reject; owned */
    struct gfxb_error why;          /* reject */
};

struct worker {
    struct pool_model *model;
    struct loop *loop;
    struct session_request request;
    pthread_t thread;
    pthread_mutex_t lock; /* of the orders */
    struct worker_order *first, *last;
    int wake_fd;          /* readable: there is an order, or a request began */
    atomic_int cancel;    /* of what blocks */
    atomic_uint requests; /* under way in the engine */
    atomic_llong sign_at; /* monotonic ms of the engine's last sign of life */
    int gap_ms;           /* so long without a sign, and it is asked for one */
    /* Of the thread alone: */
    struct session session;
    bool watching; /* the engine runs, as far as is known */
};

/* ---- news ---- */

struct worker_news {
    struct worker *worker;
    struct session_news news;
};

static void worker_deliver(void *context)
{
    struct worker_news *n = context;
    pool_news(n->worker->model, &n->news);
    for (size_t i = 0; i < n->news.n_failures; i++) {
        free(n->news.failure[i].fingerprint);
        free(n->news.failure[i].detail);
    }
    free(n->news.failure);
    free(n);
}

/* The failures in it are taken over. */
static void worker_tell(struct worker *w, const struct session_news *news)
{
    struct worker_news *n = xcalloc(1, sizeof(*n));
    *n = (struct worker_news){w, *news};
    loop_post(w->loop, worker_deliver, n);
}

static void worker_on_load(void *context)
{
    worker_tell(context, &(struct session_news){.event = SESSION_EV_LOADS});
}

/* ---- orders, as they are carried out ---- */

static void worker_end(struct worker *w)
{
    w->watching = false;
    session_stop_engine(&w->session);
}

static void worker_tell_up(struct worker *w)
{
    struct session *s = &w->session;
    const struct plan_choice *c = s->running;
    struct session_news news = {.event = SESSION_EV_UP};
    struct session_endpoint *e = &news.endpoint;
    e->pid = engine_pid(s->engine);
    e->last_resort = c->backend == PLAN_CPU && s->use;
    snprintf(e->socket, sizeof(e->socket), "%s", engine_socket(s->engine));
    snprintf(e->key, sizeof(e->key), "%s", engine_key(s->engine));
    snprintf(e->backend, sizeof(e->backend), "%s", plan_backend_name(c->backend));
    snprintf(e->package, sizeof(e->package), "%s", s->package->id);
    engine_placement_text(&s->placement, e->device, sizeof(e->device));
    snprintf(e->fingerprint, sizeof(e->fingerprint), "%s", c->fingerprint);
    for (size_t i = 0; i < s->n_failures; i++) {
        const struct session_failure *f = &s->failure[i];
        news.failure = xreallocarray(news.failure, i + 1, sizeof(*news.failure));
        news.failure[news.n_failures++] = (struct session_failure){
            xstrdup(f->fingerprint), xstrdup(f->detail), f->code, f->broke};
    }
    worker_tell(w, &news);
}

static void worker_bring_up(struct worker *w, const struct worker_order *order,
                            const struct session_request *wanted)
{
    struct session_news news = {.event = SESSION_EV_NOTHING_WORKS};
    w->watching = false;
    w->request.context = order->options.context;
    w->request.request.backend =
        order->options.backend >= 0 ? order->options.backend : wanted->request.backend;
    if (session_bring_up(&w->request, &order->history, &w->session, &news.why) < 0) {
        worker_tell(w, &news);
        return;
    }
    w->watching = true;
    atomic_store(&w->requests, 0);
    worker_tell_up(w);
}

static void worker_prove(struct worker *w)
{
    struct session_news news = {.event = SESSION_EV_JUDGED};
    w->watching = false;
    int result = session_prove_again(&w->request, &w->session, &news.why);
    news.passed = result == 0;
    if (session_is_ours(-result) || -result == GFXB_E_DISK_FULL)
        news.event = SESSION_EV_NOTHING_WORKS;
    worker_tell(w, &news);
}

static void worker_reject(struct worker *w, const struct worker_order *order)
{
    struct gfxb_error err;
    if (session_reject(&w->request, order->fingerprint, &order->why, &err) < 0)
        log_at(w->request.log, LOG_WARNING, "%s", err.text);
}

static void worker_order_free(struct worker_order *order)
{
    session_history_done(&order->history);
    free(order->fingerprint);
    free(order);
}

/* The next order; NULL none. Behind an end the next one may block again. */
static struct worker_order *worker_take(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct worker_order *order = w->first;
    if (order) {
        w->first = order->next;
        w->last = w->first ? w->last : NULL;
        if (order->kind == WORKER_END)
            atomic_store(&w->cancel, 0);
    }
    pthread_mutex_unlock(&w->lock);
    return order;
}

static void worker_carry_out(struct worker *w, const struct worker_order *order)
{
    switch (order->kind) {
    case WORKER_BRING_UP:
        worker_bring_up(w, order, w->model->pool->config.request);
        return;
    case WORKER_PROVE:
        worker_prove(w);
        return;
    case WORKER_END:
        worker_end(w);
        worker_tell(w, &(struct session_news){.event = SESSION_EV_ENDED});
        return;
    case WORKER_REJECT:
        worker_reject(w, order);
        return;
    case WORKER_CLOSE:
        return;
    }
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
    int64_t left = WORKER_CHECK_MS;
    if (atomic_load(&w->requests))
        left = atomic_load(&w->sign_at) + w->gap_ms - clock_now_ms();
    return left < 0 ? 0 : left < WORKER_CHECK_MS ? (int)left : WORKER_CHECK_MS;
}

static void worker_lost(struct worker *w, const struct gfxb_error *why, enum blame_loss loss)
{
    w->watching = false;
    worker_tell(w, &(struct session_news){.event = SESSION_EV_LOST, .why = *why, .loss = loss});
}

/* One round beside a running engine. */
static void worker_watch(struct worker *w)
{
    struct engine *engine = w->session.engine;
    struct gfxb_error why;
    int patience = worker_patience(w);
    if (patience)
        worker_wait(w, patience);
    if (engine_check(engine, &why) < 0) {
        worker_lost(w, &why, engine_broke_itself(engine) ? BLAME_BROKE : BLAME_KILLED);
    } else if (patience == 0 && engine_is_healthy(engine, w->gap_ms, &w->cancel)) {
        atomic_store(&w->sign_at, clock_now_ms());
    } else if (patience == 0) {
        error_set(&why, GFXB_E_ENGINE_HANG, "the engine hangs: it answered nothing for %.1f s",
                  2 * (double)w->gap_ms / 1000);
        worker_lost(w, &why, BLAME_BROKE);
        worker_end(w);
    }
}

static void *worker_thread(void *context)
{
    struct worker *w = context;
    bool closed = false;
    while (!closed) {
        struct worker_order *order = worker_take(w);
        if (order) {
            worker_carry_out(w, order);
            closed = order->kind == WORKER_CLOSE;
            worker_order_free(order);
        } else if (w->watching) {
            worker_watch(w);
        } else {
            worker_wait(w, -1);
        }
    }
    session_done(&w->session);
    return NULL;
}

/* ---- the pool's side ---- */

static void worker_free(struct worker *w)
{
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int session_thread(pthread_t *ret_thread, void *(*fn)(void *context), void *context)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SESSION_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(ret_thread, &attributes, fn, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return code;
}

static int worker_open(struct pool_model *m, const struct pool_config *config,
                       const struct pool_found *found, void **ret_engine, struct gfxb_error *err)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    *w = (struct worker){.model = m, .loop = config->loop, .request = *config->request};
    struct session_request *r = &w->request;
    r->model = found->path;
    r->mmproj = found->mmproj;
    r->known = found->listed ? &found->known : NULL;
    r->slots = config->slots;
    r->http_threads = config->engine_requests + 8;
    r->args = (const char *const *)found->args;
    r->cancel = &w->cancel;
    r->on_load = worker_on_load;
    r->load_context = w;
    w->gap_ms = config->gap_ms ? config->gap_ms : ENGINE_SILENCE_MS;
    pthread_mutex_init(&w->lock, NULL);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = w->wake_fd < 0 ? errno : 0;
    if (code == 0)
        code = session_thread(&w->thread, worker_thread, w);
    if (code == 0) {
        *ret_engine = w;
        return 0;
    }
    worker_free(w);
    return error_set(err, code, "cannot start a thread for the engine: %s", error_errno_text(code));
}

static void worker_order(struct worker *w, const struct worker_order *what)
{
    struct worker_order *order = xcalloc(1, sizeof(*order));
    *order = *what;
    pthread_mutex_lock(&w->lock);
    *(w->last ? &w->last->next : &w->first) = order;
    w->last = order;
    if (order->kind == WORKER_END)
        atomic_store(&w->cancel, 1);
    pthread_mutex_unlock(&w->lock);
    eventfd_write(w->wake_fd, 1);
}

static void worker_ask_bring_up(void *engine, const struct pool_options *options,
                                struct session_history *history)
{
    worker_order(engine, &(struct worker_order){
                             .kind = WORKER_BRING_UP, .options = *options, .history = *history});
}

static void worker_ask_prove(void *engine)
{
    worker_order(engine, &(struct worker_order){.kind = WORKER_PROVE});
}

static void worker_ask_end(void *engine)
{
    worker_order(engine, &(struct worker_order){.kind = WORKER_END});
}

static void worker_ask_reject(void *engine, const char *fingerprint, const struct gfxb_error *why)
{
    worker_order(engine, &(struct worker_order){.kind = WORKER_REJECT,
                                                .fingerprint = xstrdup(fingerprint),
                                                .why = *why});
}

static void worker_traffic(void *engine, unsigned requests, bool answered)
{
    struct worker *w = engine;
    bool first = atomic_exchange(&w->requests, requests) == 0 && requests;
    if (first || answered)
        atomic_store(&w->sign_at, clock_now_ms());
    if (first)
        eventfd_write(w->wake_fd, 1);
}

static void worker_close(void *engine)
{
    struct worker *w = engine;
    worker_order(w, &(struct worker_order){.kind = WORKER_CLOSE});
    pthread_join(w->thread, NULL);
    worker_free(w);
}

const struct session_engines session_workers = {
    worker_open,       worker_ask_bring_up, worker_ask_prove, worker_ask_end,
    worker_ask_reject, worker_traffic,      worker_close,
};
