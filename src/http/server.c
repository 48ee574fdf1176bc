/* server.c - the server's beginning, signals, drain and end. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum {
    SERVER_CONNECTIONS = 8192,
    SERVER_OTHER_FDS = 256, /* of engines, files, threads */
    SERVER_THREADS = 2 * HTTP_JOBS_MAX,
};

size_t http_server_connections(const struct http_server *s)
{
    return s->n_connections;
}

struct loop *http_server_loop(const struct http_server *s)
{
    return s->loop;
}

bool http_server_is_draining(const struct http_server *s)
{
    return s->draining;
}

bool http_server_address(const struct http_server *s, size_t index, char *ret_text, size_t size)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listener[i].control || index-- > 0)
            continue;
        listen_address(&s->listener[i], ret_text, size);
        return true;
    }
    return false;
}

/* ---- the service manager ---- */

static void server_notify(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = name ? strlen(name) : 0;
    if (n < 2 || n >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@'))
        return;
    memcpy(address.sun_path, name, n);
    if (name[0] == '@') /* not in the file system */
        address.sun_path[0] = '\0';
    int CLEAN_CLOSE fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* Half of what the service manager waits for before it takes us for hung; 0: it does not watch. */
static int64_t server_watchdog_ms(void)
{
    const char *wanted = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us, own;
    if (!wanted || str_to_u64(str_from(wanted), 10, &us) < 0)
        return 0;
    if (pid && (str_to_u64(str_from(pid), 10, &own) < 0 || own != (uint64_t)getpid()))
        return 0;
    return (int64_t)(us / 2000);
}

static void server_watchdog_due(struct loop_timer *timer)
{
    struct http_server *s = container_of(timer, struct http_server, watchdog);
    server_notify("WATCHDOG=1");
    loop_timer_set(s->loop, timer, server_watchdog_ms());
}

/* For those who look into the lock file who runs, and where. */
static void server_tell(struct http_server *s)
{
    char address[256] = "?", line[512];
    http_server_address(s, 0, address, sizeof(address));
    int n = snprintf(line, sizeof(line), "%d http://%s\n", getpid(), address);
    if (s->lock >= 0 && (ftruncate(s->lock, 0) < 0 || pwrite(s->lock, line, (size_t)n, 0) != n))
        log_at(s->config.log, LOG_WARNING, "cannot write the lock file: %s",
               error_errno_text(errno));
    log_at(s->config.log, LOG_INFO, "listening on http://%s", address);
    snprintf(line, sizeof(line), "READY=1\nSTATUS=listening on http://%s", address);
    server_notify(line);
}

/* ---- the end ---- */

void http_server_stop(struct http_server *s)
{
    loop_stop(s->loop);
}

void server_check_drained(struct http_server *s)
{
    const struct http_server_ops *ops = s->config.ops;
    if (!s->draining || s->ending || s->n_connections || s->n_jobs)
        return;
    s->ending = true;
    loop_timer_clear(s->loop, &s->drain);
    if (ops->end)
        ops->end(s->config.user);
    else
        http_server_stop(s);
}

static void server_close_all(struct connection_list *list)
{
    while (!TAILQ_EMPTY(list))
        connection_close(TAILQ_FIRST(list));
}

/* The answers under way had their time. */
static void server_drain_due(struct loop_timer *timer)
{
    struct http_server *s = container_of(timer, struct http_server, drain);
    jobs_cancel(s);
    server_close_all(&s->busy);
    server_close_all(&s->idle);
}

void http_server_drain(struct http_server *s)
{
    if (s->draining) {
        loop_timer_set(s->loop, &s->drain, 0);
        return;
    }
    const struct connection *c;
    size_t busy = 0;
    TAILQ_FOREACH(c, &s->busy, link)
    {
        busy++;
    }
    s->draining = true;
    server_notify("STOPPING=1");
    log_at(s->config.log, LOG_INFO, "ending: %zu answers are under way", busy);
    listen_close(s);
    jobs_cancel(s);
    if (s->config.ops->draining)
        s->config.ops->draining(s->config.user);
    loop_timer_set(s->loop, &s->drain, s->config.drain_ms);
    server_close_all(&s->fresh);
    server_close_all(&s->idle);
    server_check_drained(s);
}

static void server_on_signal(struct loop_source *source, unsigned events)
{
    struct http_server *s = container_of(source, struct http_server, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(source->fd, &info, sizeof(info)) == sizeof(info))
        http_server_drain(s);
}

/* Blocked and read, not caught: a child has no handler of ours before it has its own program. A
 * signal that is ignored (nohup) stays so. */
static int server_catch_signals(struct http_server *s, struct gfxb_error *err)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaddset(&set, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), code = errno;
    s->signals = (struct loop_source){.fd = fd, .ready = server_on_signal};
    if (fd >= 0)
        code = -loop_watch(s->loop, &s->signals, LOOP_READ);
    return code ? error_set(err, code, "cannot watch signals: %s", error_errno_text(code)) : 0;
}

/* ---- the beginning ---- */

/* As many descriptors as we may have; half of them are the other side of a request. */
static unsigned server_connections(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit); /* what was granted */
    rlim_t most = limit.rlim_cur;
    most -= most / 2 < SERVER_OTHER_FDS ? most / 2 : SERVER_OTHER_FDS;
    most /= 2;
    return most > SERVER_CONNECTIONS ? SERVER_CONNECTIONS : most ? (unsigned)most : 1;
}

static void server_defaults(struct http_server_config *c)
{
    static const struct http_server_ops nothing;
    unsigned connections = server_connections();
    c->host = c->host ? c->host : "127.0.0.1";
    c->connections = c->connections && c->connections < connections ? c->connections : connections;
    c->max_body = c->max_body ? c->max_body : 64 << 20;
    c->drain_ms = c->drain_ms ? c->drain_ms : 30000;
    c->ops = c->ops ? c->ops : &nothing;
}

static int server_set_up(struct http_server *s, struct gfxb_error *err)
{
    int result = loop_new(&s->loop, err);
    if (result < 0 || (result = work_new(s->loop, SERVER_THREADS, 0, &s->work, err)) < 0 ||
        (result = server_catch_signals(s, err)) < 0)
        return result;
    if (s->config.runtime_dir && (result = listen_control(s, err)) < 0)
        return result;
    return listen_open(s, err);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->loop) {
        listen_close(s);
        work_free(s->work);
        loop_timer_clear(s->loop, &s->drain);
        loop_timer_clear(s->loop, &s->watchdog);
        loop_close(s->loop, &s->signals);
        loop_free(s->loop);
    }
    if (s->lock >= 0)
        close(s->lock);
    free(s);
}

int http_server_new(const struct http_server_config *config, struct http_server **ret_server,
                    struct gfxb_error *err)
{
    struct http_server *s = xcalloc(1, sizeof(*s));
    s->config = *config;
    s->lock = s->signals.fd = -1;
    TAILQ_INIT(&s->fresh);
    TAILQ_INIT(&s->idle);
    TAILQ_INIT(&s->busy);
    s->drain.due = server_drain_due;
    s->watchdog.due = server_watchdog_due;
    server_defaults(&s->config);
    guard_init(&s->guard, &s->config);
    int result = server_set_up(s, err);
    if (result < 0)
        http_server_free(s);
    else
        *ret_server = s;
    return result;
}

void http_server_run(struct http_server *s)
{
    server_tell(s);
    if (server_watchdog_ms())
        server_watchdog_due(&s->watchdog);
    loop_run(s->loop);
}
