/* listen.c - the sockets that clients come to. */
#include "http/private.h"

#include "base/xalloc.h"

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
    LISTEN_SILENT_MS = 2000, /* without a first byte: others may have the place */
    HOLDER_TABLE_MAX = 8 << 20,
};

/* ---- clients come ---- */

static void listen_again(struct loop_timer *timer)
{
    struct listener *l = container_of(timer, struct listener, again);
    loop_watch(l->server->loop, &l->source, LOOP_READ);
}

/* Close a connection that nobody uses: between two requests, or silent since it came. */
static bool listen_make_room(struct http_server *s)
{
    struct connection *c = TAILQ_FIRST(&s->idle), *fresh = TAILQ_FIRST(&s->fresh);
    if (!c && fresh && loop_now(s->loop) - fresh->came_at > LISTEN_SILENT_MS)
        c = fresh;
    if (c)
        connection_close(c);
    return c != NULL;
}

static void listen_ready(struct loop_source *source, unsigned events)
{
    struct listener *l = container_of(source, struct listener, source);
    struct http_server *s = l->server;
    (void)events;
    for (;;) {
        bool full = !l->control && s->n_connections >= s->config.connections;
        if (full && !listen_make_room(s))
            break;
        int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            connection_new(s, fd, l->control);
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR && errno != ECONNABORTED && !listen_make_room(s))
            break;
    }
    /* The client whose turn it is stays in the queue; nobody looks there in each turn meanwhile. */
    loop_watch(s->loop, source, 0);
    loop_timer_set(s->loop, &l->again, LISTEN_AGAIN_MS);
}

static int listen_add(struct http_server *s, int fd, bool control, struct gfxb_error *err)
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
                           .server = s,
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

static int listen_check(const struct http_server *s, const struct sockaddr_storage *address,
                        struct gfxb_error *err)
{
    if (listen_is_local(address) || guard_has_keys(&s->guard))
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

static int listen_take(struct http_server *s, int fd, struct gfxb_error *err)
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

/* ---- who holds a TCP port, by /proc ---- */

/* "  0: 0100007F:33F9 00000000:0000 0A ... uid timeout inode": a listening socket on this port. */
static bool holder_line(struct str line, unsigned port, uint64_t *ret_uid, uint64_t *ret_inode)
{
    struct str word[10];
    size_t n = 0;
    while (n < 10 && str_word(&line, &word[n]))
        n++;
    const char *colon = n == 10 ? memrchr(word[1].p, ':', word[1].n) : NULL;
    uint64_t number;
    if (!colon || !str_is(word[3], "0A"))
        return false;
    struct str hex = {colon + 1, word[1].n - (size_t)(colon + 1 - word[1].p)};
    return str_to_u64(hex, 16, &number) == 0 && number == port &&
           str_to_u64(word[7], 10, ret_uid) == 0 && str_to_u64(word[9], 10, ret_inode) == 0;
}

static bool holder_inode(const char *table, unsigned port, uint64_t *ret_uid, uint64_t *ret_inode)
{
    struct buf CLEAN_BUF text = BUF_INIT(HOLDER_TABLE_MAX);
    if (fs_read(table, HOLDER_TABLE_MAX, &text) < 0)
        return false;
    struct str rest = buf_view(&text), line;
    while (str_cut(&rest, '\n', &line)) {
        if (holder_line(line, port, ret_uid, ret_inode))
            return true;
    }
    return false;
}

static bool holder_has(const char *pid, const char *link)
{
    char path[288], target[64];
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *CLEAN_DIR dir = opendir(path);
    bool found = false;
    const char *entry;
    while (!found && (entry = fs_next(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        found = strcmp(target, link) == 0;
    }
    return found;
}

/* "/usr/bin/gfxbridge" of a process; "" unknown. */
static void listen_program(int pid, char *ret_text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    ssize_t n = readlink(path, ret_text, size - 1);
    ret_text[n < 0 ? 0 : n] = '\0';
}

bool http_find_holder(unsigned port, struct http_holder *ret)
{
    uint64_t uid, inode, pid;
    char link[64];
    if (!holder_inode("/proc/net/tcp", port, &uid, &inode) &&
        !holder_inode("/proc/net/tcp6", port, &uid, &inode))
        return false;
    *ret = (struct http_holder){.uid = (unsigned)uid};
    snprintf(link, sizeof(link), "socket:[%llu]", (unsigned long long)inode);
    DIR *CLEAN_DIR proc = opendir("/proc");
    const char *entry;
    while (!ret->pid && (entry = fs_next(proc))) {
        if (str_to_u64(str_from(entry), 10, &pid) < 0 || !holder_has(entry, link))
            continue;
        ret->pid = (int)pid;
        listen_program(ret->pid, ret->program, sizeof(ret->program));
    }
    return true;
}

/* ---- our own ---- */

static int listen_bind(struct http_server *s, const struct addrinfo *a, struct gfxb_error *err)
{
    const struct http_server_config *config = &s->config;
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
    struct http_holder holder;
    char who[320] = "another user's process";
    close(fd);
    if (code != EADDRINUSE)
        return error_set(err, code, "cannot listen on %s port %u: %s", config->host, config->port,
                         error_errno_text(code));
    if (http_find_holder(config->port, &holder) && holder.pid)
        snprintf(who, sizeof(who), "process %d (%s)", holder.pid, holder.program);
    return error_set(err, code,
                     "port %u of %s is held by %s: end it, or take another port with --port",
                     config->port, config->host, who);
}

int listen_open(struct http_server *s, struct gfxb_error *err)
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

char *http_control_path(const char *runtime_dir)
{
    char *path = xfs_join(runtime_dir, "serve.sock");
    if (strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
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

int listen_control(struct http_server *s, struct gfxb_error *err)
{
    char *CLEAN_FREE lock = xfs_join(s->config.runtime_dir, "serve.lock");
    char *CLEAN_FREE path = http_control_path(s->config.runtime_dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path)
        return error_set(err, ENAMETOOLONG, "the path of the runtime directory is too long: %s",
                         s->config.runtime_dir);
    int result = fs_make_dirs(s->config.runtime_dir, 0700, err);
    if (result == 0)
        result = fs_lock(lock, false, NULL, &s->lock, err);
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
    return fs_error(err, code, "make", path);
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

void listen_close(struct http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listener[i].control) {
            char *CLEAN_FREE path = http_control_path(s->config.runtime_dir);
            if (path)
                unlink(path);
        }
        loop_timer_clear(s->loop, &s->listener[i].again);
        loop_close(s->loop, &s->listener[i].source);
    }
    s->n_listeners = 0;
}
