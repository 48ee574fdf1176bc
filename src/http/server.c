#include "http/server.h"

#include "api/own/log_ring.h"

#include "api/dialect.h"
#include "http/notify.h"
#include "session/pool_supervisor.h"
#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>

enum {
    SERVER_CONNECTIONS = 8192,
    SERVER_OTHER_FDS = 256, /* of engines, files, threads */
};

/* ---- lists of connections ---- */

void server_list_take(struct serve *s, struct connection *c)
{
    struct server_list *list = c->listed_idle ? &s->idle : &s->busy;
    *(c->next ? &c->next->previous : &list->last) = c->previous;
    *(c->previous ? &c->previous->next : &list->first) = c->next;
    c->next = c->previous = NULL;
    list->n--;
}

void server_list_put(struct serve *s, struct connection *c, bool idle)
{
    struct server_list *list = idle ? &s->idle : &s->busy;
    c->listed_idle = idle;
    c->previous = list->last;
    c->next = NULL;
    *(list->last ? &list->last->next : &list->first) = c;
    list->last = c;
    list->n++;
}

/* ---- small things ---- */

const char *server_date(struct serve *s)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now = loop_now(s->loop);
    struct tm tm;
    if (s->date[0] && now - s->date_at < 1000)
        return s->date;
    time_t seconds = time(NULL);
    gmtime_r(&seconds, &tm);
    s->date_at = now;
    snprintf(s->date, sizeof(s->date), "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
             days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    return s->date;
}

void server_count(struct serve *s, const struct http_exchange *x)
{
    int digit = x->status / 100;
    s->totals.requests[digit >= 0 && digit <= 5 ? digit : 0]++;
}

size_t serve_model_count(const struct serve *s)
{
    return pool_count(s->pool);
}

bool serve_model_at(const struct serve *s, size_t index, struct serve_model *ret_model)
{
    return pool_at(s->pool, index, ret_model);
}

const struct serve_counters *serve_totals(const struct serve *s)
{
    return &s->totals;
}

int64_t serve_started_at(const struct serve *s)
{
    return s->started_at;
}

size_t serve_connections(const struct serve *s)
{
    return s->idle.n + s->busy.n;
}

const struct session_request *serve_path_request(const struct serve *s)
{
    return s->config.path;
}

const struct model_env *serve_model_env(const struct serve *s)
{
    return s->config.models;
}

/* ---- the end ---- */

static void server_stopped(void *context)
{
    struct serve *s = context;
    loop_stop(s->loop);
}

void server_check_drained(struct serve *s)
{
    if (s->ending || s->idle.n || s->busy.n || jobs_count(s->jobs) || downloads_count(s->downloads))
        return;
    s->ending = true;
    loop_timer_clear(s->loop, &s->drain);
    pool_end(s->pool, server_stopped, s);
}

/* The answers under way had their time. */
static void server_drain_due(struct loop_timer *timer)
{
    struct serve *s = container_of(timer, struct serve, drain);
    jobs_cancel(s->jobs);
    while (s->busy.first)
        connection_close(s->busy.first);
    while (s->idle.first)
        connection_close(s->idle.first);
}

void http_server_drain(struct serve *s)
{
    if (s->draining) {
        loop_timer_set(s->loop, &s->drain, 0);
        return;
    }
    s->draining = true;
    notify_manager("STOPPING=1");
    log_at(s->config.log, LOG_INFO, "ending: %zu answers are under way", s->busy.n);
    listen_close(s);
    jobs_cancel(s->jobs);
    downloads_cancel(s->downloads);
    loop_timer_set(s->loop, &s->drain, s->config.drain_ms);
    while (s->idle.first)
        connection_close(s->idle.first);
    server_check_drained(s);
}

static void server_on_signal(struct loop_source *source, unsigned events)
{
    struct serve *s = container_of(source, struct serve, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(source->fd, &info, sizeof(info)) == sizeof(info))
        http_server_drain(s);
}

static int server_catch_signals(struct serve *s, struct gfxb_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), code = errno;
    s->signals = (struct loop_source){.fd = fd, .ready = server_on_signal};
    if (fd >= 0)
        code = -loop_watch(s->loop, &s->signals, LOOP_READ);
    return code ? error_set(err, code, "cannot watch signals: %s", error_errno_text(code)) : 0;
}

static void server_watchdog_due(struct loop_timer *timer)
{
    struct serve *s = container_of(timer, struct serve, watchdog);
    notify_manager("WATCHDOG=1");
    loop_timer_set(s->loop, timer, notify_interval_ms());
}

/* ---- the beginning ---- */

/* As many descriptors as we may have; half of them are the engines' side of a request. */
static unsigned server_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 256;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 2 * SERVER_OTHER_FDS)
        return 256;
    rlim_t most = (limit.rlim_cur - SERVER_OTHER_FDS) / 2;
    return most > SERVER_CONNECTIONS ? SERVER_CONNECTIONS : (unsigned)most;
}

static void server_defaults(struct serve_config *c)
{
    unsigned connections = server_connections();
    c->host = c->host ? c->host : "127.0.0.1";
    c->default_model = c->default_model ? c->default_model : "canary";
    c->keep_alive = c->keep_alive ? c->keep_alive : SERVE_KEEP_SECONDS;
    c->slots = c->slots ? c->slots : 4;
    c->engine_requests = c->engine_requests ? c->engine_requests : 64;
    c->queue = c->queue ? c->queue : 1024;
    c->connections = c->connections && c->connections < connections ? c->connections : connections;
    c->max_body = c->max_body ? c->max_body : 64 << 20;
    c->drain_ms = c->drain_ms ? c->drain_ms : 30000;
}

/* For those who look into the lock file who runs, and where. */
static void server_tell(struct serve *s)
{
    char address[256] = "?", line[512];
    for (size_t i = s->n_listeners; i-- > 0;) {
        if (!s->listener[i].control)
            listen_address(&s->listener[i], address, sizeof(address));
    }
    int n = snprintf(line, sizeof(line), "%d http://%s\n", getpid(), address);
    if (s->lock >= 0 && (ftruncate(s->lock, 0) < 0 || pwrite(s->lock, line, (size_t)n, 0) != n))
        log_at(s->config.log, LOG_WARNING, "cannot write the lock file: %s",
               error_errno_text(errno));
    log_at(s->config.log, LOG_INFO, "listening on http://%s", address);
    snprintf(line, sizeof(line), "READY=1\nSTATUS=listening on http://%s", address);
    notify_manager(line);
}

static int server_set_up(struct serve *s, const struct pool_engines *engines,
                         struct gfxb_error *err)
{
    int result = loop_new(&s->loop, err);
    if (result == 0)
        result = guard_new(&s->config, &s->guard, err);
    if (result == 0)
        result = jobs_new(s, &s->jobs, err);
    s->downloads = downloads_new(s);
    if (result == 0)
        result = pool_new(s, engines, &s->pool, err);
    if (result == 0)
        result = server_catch_signals(s, err);
    if (result == 0 && s->config.runtime_dir)
        result = listen_control(s, &s->lock, err);
    if (result == 0)
        result = listen_open(s, err);
    return result;
}

static void server_free(struct serve *s)
{
    if (s->loop)
        listen_close(s);
    pool_free(s->pool);
    downloads_free(s->downloads);
    jobs_free(s->jobs);
    guard_free(s->guard);
    if (s->loop && s->signals.fd >= 0)
        loop_close(s->loop, &s->signals);
    loop_free(s->loop);
    if (s->lock >= 0)
        close(s->lock);
    free(s);
}

int server_run(const struct serve_config *config, const struct pool_engines *engines,
               struct gfxb_error *err)
{
    struct serve *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    s->config = *config;
    s->lock = s->signals.fd = -1;
    s->drain.due = server_drain_due;
    s->watchdog.due = server_watchdog_due;
    s->started_at = time(NULL);
    server_defaults(&s->config);
    int result = server_set_up(s, engines, err);
    if (result == 0) {
        server_tell(s);
        if (notify_interval_ms())
            server_watchdog_due(&s->watchdog);
        pool_load_pinned(s->pool);
        loop_run(s->loop);
    }
    server_free(s);
    return result;
}

/* What is logged on the way goes to the ring too, whoever of us logs it. */
int serve_run(const struct serve_config *config, struct gfxb_error *err)
{
    struct log_ring *ring = log_ring_new(config->log);
    struct serve_config own = *config;
    struct session_request path = *config->path;
    struct model_env models = *config->models;
    own.log = path.log = models.log = log_ring_log(ring);
    own.path = &path;
    own.models = &models;
    struct pool_engines engines = pool_supervisor_engines(&own);
    int result = server_run(&own, &engines, err);
    log_ring_free(ring);
    return result;
}
