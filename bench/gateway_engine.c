/*
 * gateway_engine.c - an engine that answers at once, so that what is left of a measurement is the
 * gateway's own cost. It speaks as llama-server does where a gateway could notice: JSON answers on
 * kept connections, and after a stream it closes although it promised to keep the connection.
 *
 * gateway_engine SOCKET [EVENTS [INTERVAL_MS]]
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

enum { IN_MAX = 16384, EVENTS_AT_ONCE = 256 };

struct peer {
    struct peer *next, *previous; /* streams that are paced */
    int fd;
    size_t n;
    unsigned events_left;
    char in[IN_MAX];
};

static const char whole[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: "
    "243\r\n\r\n"
    "{\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":\"Yes\"}}],\"created\":1,\"model\":\"m\",\"object\":\"chat.completion\",\"id\":"
    "\"chatcmpl-1\",\"usage\":{\"completion_tokens\":1,\"prompt_tokens\":9,\"total_tokens\":10,"
    "\"x\":\"0123\"}}";
static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                           "Keep-Alive: timeout=5, max=100\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char event[] =
    "90\r\ndata: "
    "{\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"abcd\"}}],"
    "\"created\":1,\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\"}\n\n\r\n";
static const char last[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

static int epoll;
static unsigned n_events = 16;
static int interval_ms;
static struct peer paced = {.next = &paced, .previous = &paced};

static void say(const struct peer *p, const char *text, size_t n)
{
    if (send(p->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n && errno != EPIPE && errno != ECONNRESET)
        perror("gateway_engine: send");
}

static void peer_close(struct peer *p)
{
    if (p->next) {
        p->next->previous = p->previous;
        p->previous->next = p->next;
    }
    close(p->fd);
    free(p);
}

static void stream_begin(struct peer *p)
{
    say(p, head, sizeof(head) - 1);
    p->events_left = n_events;
    if (interval_ms) {
        p->next = paced.next;
        p->previous = &paced;
        p->next->previous = p->previous->next = p;
        return;
    }
    while (p->events_left--)
        say(p, event, sizeof(event) - 1);
    say(p, last, sizeof(last) - 1);
    peer_close(p);
}

static void pace(void)
{
    for (struct peer *p = paced.next, *next; p != &paced; p = next) {
        next = p->next;
        say(p, event, sizeof(event) - 1);
        if (--p->events_left)
            continue;
        say(p, last, sizeof(last) - 1);
        peer_close(p);
    }
}

/* One whole request at the beginning of the buffer? Its length. */
static size_t request_length(const struct peer *p)
{
    const char *end = memmem(p->in, p->n, "\r\n\r\n", 4);
    const char *length = end ? memmem(p->in, p->n, "Content-Length: ", 16) : NULL;
    if (!end)
        return 0;
    size_t n = (size_t)(end - p->in) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
    return n <= p->n ? n : 0;
}

static void peer_ready(struct peer *p)
{
    ssize_t got = recv(p->fd, p->in + p->n, IN_MAX - p->n, 0);
    if (got <= 0) {
        peer_close(p);
        return;
    }
    p->n += (size_t)got;
    size_t n = request_length(p);
    if (!n)
        return;
    bool streams = memmem(p->in, n, "\"stream\":true", 13) != NULL;
    memmove(p->in, p->in + n, p->n - n);
    p->n -= n;
    if (streams)
        stream_begin(p);
    else
        say(p, whole, sizeof(whole) - 1);
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct peer *p = fd < 0 ? NULL : malloc(sizeof(*p));
        if (!p)
            return;
        p->next = NULL;
        p->fd = fd;
        p->n = 0;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 4096) < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    n_events = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : n_events;
    interval_ms = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(argv[1]);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    if (interval_ms) {
        struct timespec every = {interval_ms / 1000, interval_ms % 1000 * 1000000L};
        struct itimerspec spec = {every, every};
        timerfd_settime(timer, 0, &spec, NULL);
        e.data.ptr = &timer;
        epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
    }
    for (;;) {
        struct epoll_event ready[EVENTS_AT_ONCE];
        int n = epoll_wait(epoll, ready, EVENTS_AT_ONCE, -1);
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (!ready[i].data.ptr)
                accept_all(listener);
            else if (ready[i].data.ptr == &timer && read(timer, &ticks, sizeof(ticks)) > 0)
                pace();
            else if (ready[i].data.ptr != &timer)
                peer_ready(ready[i].data.ptr);
        }
    }
}
