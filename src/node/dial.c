/* dial.c - TCP: connections and listening sockets, by IP address or host name, IPv4 and IPv6. */
#include "node/node_private.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

enum { DIAL_BACKLOG = 32 };

int64_t node_until(int deadline_ms)
{
    return clock_now_ms() + deadline_ms;
}

int node_wait(int fd, short events, int64_t until)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = until - clock_now_ms();
        int n = poll(&p, 1, left > 0 ? (int)(left < 60000 ? left : 60000) : 0);
        if (n > 0)
            return 1;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (left <= 0)
            return 0;
    }
}

/* ---- names: getaddrinfo has no deadline, so it runs on a thread that may be left behind ---- */

struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t news;
    char host[NODE_ADDRESS], port[8];
    struct addrinfo *found;
    int code, error;       /* getaddrinfo's; with EAI_SYSTEM its errno, which is the thread's own */
    bool is_done, is_left; /* the second of both frees it */
};

static void lookup_free(struct lookup *l)
{
    if (l->found)
        freeaddrinfo(l->found);
    pthread_cond_destroy(&l->news);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void lookup_run(struct lookup *l, int flags)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICSERV | flags, .ai_socktype = SOCK_STREAM};
    l->code = getaddrinfo(l->host, l->port, &hints, &l->found);
    l->error = l->code == EAI_SYSTEM ? errno : 0;
}

static void *lookup_thread(void *context)
{
    struct lookup *l = context;
    lookup_run(l, 0);
    pthread_mutex_lock(&l->lock);
    bool is_left = l->is_left;
    l->is_done = true;
    pthread_cond_signal(&l->news);
    pthread_mutex_unlock(&l->lock);
    if (is_left)
        lookup_free(l);
    return NULL;
}

/* When *ret_left it was not in time, and the thread frees it: it may be gone already. */
static int lookup_wait(struct lookup *l, int64_t until, bool *ret_left)
{
    pthread_t thread;
    struct timespec when = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    int code = pthread_create(&thread, NULL, lookup_thread, l);
    if (code != 0) {
        l->error = code;
        return EAI_SYSTEM;
    }
    pthread_detach(thread);
    pthread_mutex_lock(&l->lock);
    for (int late = 0; !l->is_done && late == 0;)
        late = pthread_cond_clockwait(&l->news, &l->lock, CLOCK_MONOTONIC, &when);
    *ret_left = l->is_left = !l->is_done;
    code = l->is_done ? l->code : EAI_AGAIN;
    pthread_mutex_unlock(&l->lock);
    return code;
}

/* ---- connections ---- */

static int dial_one(const struct addrinfo *a, int64_t until)
{
    int one = 1, code = 0;
    socklen_t size = sizeof(code);
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
        code = errno;
    if (code == EINPROGRESS) {
        int ready = node_wait(fd, POLLOUT, until);
        code = ready == 0 ? ETIMEDOUT : ready < 0 ? -ready : 0;
        if (ready > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
            code = errno;
    }
    if (code != 0) {
        close(fd);
        return -code;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Each address gets its part of the time. */
static int dial_any(const struct addrinfo *found, int64_t until)
{
    int fd = -EHOSTUNREACH, n = 0;
    for (const struct addrinfo *a = found; a; a = a->ai_next)
        n++;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next, n--) {
        int64_t now = clock_now_ms();
        fd = dial_one(a, now + (until - now) / n);
    }
    return fd;
}

int node_dial(const struct node_peer *peer, int64_t until, int *ret_fd, struct gfxb_error *err)
{
    struct lookup *l = xcalloc(1, sizeof(*l));
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->news, NULL);
    memcpy(l->host, peer->address, sizeof(l->host));
    snprintf(l->port, sizeof(l->port), "%u", peer->port);
    lookup_run(l, AI_NUMERICHOST);
    bool is_left = false;
    int code = l->code == 0 ? 0 : lookup_wait(l, until, &is_left);
    int result = code == EAI_SYSTEM && !is_left ? -l->error : 0;
    if (error_is_ours(-result))
        error_set(err, -result, "cannot look up %s: %s", peer->address, error_errno_text(-result));
    else if (code != 0)
        result = error_set(err, GFXB_E_NODE_UNREACHABLE, "no address of %s is known: %s",
                           peer->address, is_left ? "no answer in time" : gai_strerror(code));
    else if ((*ret_fd = dial_any(l->found, until)) < 0)
        result = error_set(err, error_is_ours(-*ret_fd) ? -*ret_fd : GFXB_E_NODE_UNREACHABLE,
                           "no answer at %s port %u: %s", peer->address, peer->port,
                           error_errno_text(-*ret_fd));
    if (!is_left)
        lookup_free(l);
    return result;
}

/* ---- listening ---- */

void node_socket_address(int fd, bool other, char *ret_text, size_t size)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    int result = other ? getpeername(fd, (struct sockaddr *)&address, &n)
                       : getsockname(fd, (struct sockaddr *)&address, &n);
    if (result == 0)
        getnameinfo((struct sockaddr *)&address, n, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(ret_text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int listen_one(const struct addrinfo *a)
{
    int one = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, DIAL_BACKLOG) == 0)
        return fd;
    int code = errno;
    close(fd);
    return -code;
}

int node_listen(const char *address, unsigned port, int ret_fds[static NODE_LISTENERS],
                struct gfxb_error *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    struct node_peer place = {.port = port};
    char number[8];
    int n = 0, code = 0, result = 0;
    if (address)
        result = node_peer_set_address(&place, address, port, err);
    if (result < 0)
        return result;
    snprintf(number, sizeof(number), "%u", place.port);
    int failed = getaddrinfo(address ? place.address : NULL, number, &hints, &found);
    if (failed != 0)
        return error_set(err, EINVAL, "'%s' is no address of this computer: %s", place.address,
                         gai_strerror(failed));
    for (const struct addrinfo *a = found; a && n < NODE_LISTENERS && code == 0; a = a->ai_next) {
        int fd = listen_one(a);
        if (fd >= 0)
            ret_fds[n++] = fd;
        else if (fd != -EAFNOSUPPORT) /* without IPv6 in the kernel IPv4 is all */
            code = -fd;
    }
    freeaddrinfo(found);
    if (n && code == 0)
        return n;
    while (n)
        close(ret_fds[--n]);
    return error_set(err, code ? code : EAFNOSUPPORT, "cannot listen on %s port %u: %s%s",
                     address ? place.address : "all addresses", place.port,
                     error_errno_text(code ? code : EAFNOSUPPORT),
                     code == EADDRINUSE ? "; another gfxbridge node may wait there already" : "");
}
