#include "http/server.h"

#include "http/listen_holder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
    LISTEN_BACKLOG = 1024,
    LISTEN_FIRST_FD = 3, /* of the service manager's */
    LISTEN_AGAIN_MS = 50,
};

/* ---- clients come ---- */

static void listen_again(struct loop_timer *timer)
{
    struct listener *l = container_of(timer, struct listener, again);
    loop_watch(l->serve->loop, &l->source, LOOP_READ);
}

/* No descriptor, or no memory, for the client whose turn it is: it waits in the queue, and nobody
 * looks there in each turn meanwhile. */
static void listen_pause(struct listener *l)
{
    loop_watch(l->serve->loop, &l->source, 0);
    loop_timer_set(l->serve->loop, &l->again, LISTEN_AGAIN_MS);
}

static void listen_ready(struct loop_source *source, unsigned events)
{
    struct listener *l = container_of(source, struct listener, source);
    struct serve *s = l->serve;
    (void)events;
    for (;;) {
        int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno != EAGAIN)
            listen_pause(l);
        if (fd < 0)
            return;
        /* The one that has been idle for longest makes room. */
        if (s->idle.n + s->busy.n >= s->config.connections && s->idle.first)
            connection_close(s->idle.first);
        if (s->idle.n + s->busy.n >= s->config.connections)
            close(fd);
        else
            connection_new(s, fd, l->control);
    }
}

static int listen_add(struct serve *s, int fd, bool control, struct gfxb_error *err)
{
    int one = 1;
    if (s->n_listeners == SERVER_LISTENERS) {
        close(fd);
        return error_set(err, E2BIG, "more than %d sockets to listen on", SERVER_LISTENERS);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* its connections inherit it */
    struct listener *l = &s->listener[s->n_listeners++];
    *l = (struct listener){.source = {.fd = fd, .ready = listen_ready},
                           .again = {.due = listen_again},
                           .serve = s,
                           .control = control};
    int result = loop_watch(s->loop, &l->source, LOOP_READ);
    return result == 0
               ? 0
               : error_set(err, -result, "cannot watch a socket: %s", error_errno_text(-result));
}

/* ---- may it be reached from outside? ---- */

static bool listen_is_local(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
    return address->ss_family == AF_UNIX;
}

static int listen_check(const struct serve *s, const struct sockaddr_storage *address,
                        struct gfxb_error *err)
{
    if (listen_is_local(address) || guard_has_keys(s->guard))
        return 0;
    return error_set(err, EACCES,
                     "other computers could reach this address without a key: set "
                     "GFXBRIDGE_API_KEY (or \"api_keys\" in config.json), or listen on 127.0.0.1");
}

/* ---- the service manager's sockets ---- */

/* How many it hands over to this process; they are not for its children. */
static int listen_handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t number = 0, n = 0;
    if (!pid || !fds || str_to_u64(str_from(pid), 10, &number) < 0 || (int)number != getpid() ||
        str_to_u64(str_from(fds), 10, &n) < 0 || n > SERVER_LISTENERS)
        return 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return (int)n;
}

static int listen_take(struct serve *s, int fd, struct gfxb_error *err)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    int listening = 0;
    socklen_t size = sizeof(listening);
    if (getsockname(fd, (struct sockaddr *)&address, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return error_set(err, EINVAL, "descriptor %d of the service manager is no listening socket",
                         fd);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    int result = listen_check(s, &address, err);
    return result < 0 ? result : listen_add(s, fd, false, err);
}

/* ---- our own ---- */

static int listen_bind(struct serve *s, const struct addrinfo *a, struct gfxb_error *err)
{
    const struct serve_config *config = &s->config;
    int one = 1;
    int result = listen_check(s, (const struct sockaddr_storage *)a->ai_addr, err);
    if (result < 0)
        return result;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, errno, "cannot make a socket: %s", error_errno_text(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return listen_add(s, fd, false, err);
    int code = errno;
    char holder[320];
    close(fd);
    if (code != EADDRINUSE)
        return error_set(err, code, "cannot listen on %s port %u: %s", config->host, config->port,
                         error_errno_text(code));
    listen_holder(config->port, holder, sizeof(holder));
    return error_set(err, code,
                     "port %u of %s is held by %s: end it, or take another port with --port",
                     config->port, config->host, holder);
}

int listen_open(struct serve *s, struct gfxb_error *err)
{
    int n = listen_handed_over(), result = 0;
    for (int i = 0; i < n && result == 0; i++)
        result = listen_take(s, LISTEN_FIRST_FD + i, err);
    if (n)
        return result;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    char port[16];
    snprintf(port, sizeof(port), "%u", s->config.port);
    int code = getaddrinfo(s->config.host, port, &hints, &found);
    if (code != 0)
        return error_set(err, EINVAL, "'%s' is no address of this computer: %s", s->config.host,
                         gai_strerror(code));
    for (const struct addrinfo *a = found; a && result == 0; a = a->ai_next)
        result = listen_bind(s, a, err);
    freeaddrinfo(found);
    return result;
}

/* ---- the control socket ---- */

char *listen_control_path(const char *runtime_dir)
{
    char *path = fs_join(runtime_dir, "serve.sock");
    if (path && strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return path;
    free(path);
    return NULL;
}

/* Who holds the lock wrote its process id and address into it. */
static int listen_refuse_second(const char *lock, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    struct str rest, pid = STR_NONE, address = STR_NONE;
    uint64_t number = 0;
    char program[256] = "";
    if (fs_read(lock, 4096, &text) == 0) {
        rest = buf_view(&text);
        if (str_word(&rest, &pid))
            str_word(&rest, &address);
    }
    if (str_to_u64(pid, 10, &number) == 0)
        listen_program((int)number, program, sizeof(program));
    return error_set(err, EADDRINUSE,
                     "a server of this user runs already: process %.*s (%s) on %.*s; "
                     "gfxbridge stop ends it",
                     STR_ARG(pid), program, STR_ARG(address));
}

int listen_control(struct serve *s, int *ret_lock, struct gfxb_error *err)
{
    char *CLEAN_FREE lock = fs_join(s->config.runtime_dir, "serve.lock");
    char *CLEAN_FREE path = listen_control_path(s->config.runtime_dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!lock || !path)
        return error_set(err, ENAMETOOLONG, "the path of the runtime directory is too long: %s",
                         s->config.runtime_dir);
    int result = fs_make_dirs(s->config.runtime_dir, 0700, err);
    if (result == 0)
        result = fs_lock(lock, false, NULL, ret_lock, err);
    if (result == -EWOULDBLOCK)
        return listen_refuse_second(lock, err);
    if (result < 0)
        return result;
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path); /* of a server that was killed: the lock is ours */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                 listen(fd, LISTEN_BACKLOG) == 0;
    int code = errno;
    umask(mask);
    if (bound)
        return listen_add(s, fd, true, err);
    if (fd >= 0)
        close(fd);
    return error_set(err, code, "cannot make %s: %s", path, error_errno_text(code));
}

/* ---- all of them ---- */

void listen_address(const struct listener *listener, char *ret_text, size_t size)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    snprintf(ret_text, size, "?");
    if (getsockname(listener->source.fd, (struct sockaddr *)&address, &n) < 0)
        return;
    if (address.ss_family == AF_UNIX) {
        snprintf(ret_text, size, "unix:%s", ((struct sockaddr_un *)&address)->sun_path);
        return;
    }
    if (getnameinfo((struct sockaddr *)&address, n, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(ret_text, size, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void listen_close(struct serve *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listener[i].control) {
            char *CLEAN_FREE path = listen_control_path(s->config.runtime_dir);
            if (path)
                unlink(path);
        }
        loop_timer_clear(s->loop, &s->listener[i].again);
        loop_close(s->loop, &s->listener[i].source);
    }
    s->n_listeners = 0;
}
