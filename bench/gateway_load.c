/*
 * gateway_load.c - clients of one kind against one address, each asking again as soon as it has its
 * answer. One line of JSON: how many, how many failed, and how long they took.
 *
 * gateway_load TARGET CLIENTS REQUESTS whole|stream [MODEL]
 *
 * TARGET: HOST:PORT (IPv4) or the path of a unix socket. A stream that ends without "[DONE]", or an
 * answer cut short, has failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, IN_MAX = 65536 };

struct client {
    int fd;
    double began, first;
    size_t n;  /* bytes of this answer */
    bool used; /* the connection has had an answer: it may be closed under us */
    char in[IN_MAX];
};

static struct sockaddr_storage target;
static socklen_t target_n;
static char request[1024];
static size_t request_n;
static bool streams;
static unsigned long wanted, asked, answered, failed, reconnects;
static double *latency, *first_byte;
static int epoll;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void set_target(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (text[0] == '/') {
        struct sockaddr_un *un = (struct sockaddr_un *)&target;
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path, sizeof(un->sun_path), "%s", text);
        target_n = sizeof(*un);
        return;
    }
    char host[64];
    snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - text) : 0, text);
    struct sockaddr_in *in = (struct sockaddr_in *)&target;
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)(colon ? strtoul(colon + 1, NULL, 10) : 0));
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1) {
        fprintf(stderr, "no such target: %s\n", text);
        exit(2);
    }
    target_n = sizeof(*in);
}

static void client_connect(struct client *c)
{
    int one = 1;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&target, target_n) < 0) {
        perror("gateway_load: connect");
        exit(1);
    }
    if (target.ss_family == AF_INET)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->used = false;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void client_send(struct client *c)
{
    c->n = 0;
    c->first = 0;
    if (send(c->fd, request, request_n, MSG_NOSIGNAL) == (ssize_t)request_n)
        return;
    client_connect(c); /* closed between two requests: which is no failure */
    reconnects++;
    if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
        perror("gateway_load: send");
}

static void client_ask(struct client *c)
{
    if (asked >= wanted) {
        close(c->fd);
        c->fd = -1;
        return;
    }
    asked++;
    c->began = now_ms();
    client_send(c);
}

/* 1 whole, 0 more to come, -1 bad. The connection's fate is the server's business. */
static int client_look(const struct client *c, bool ended)
{
    const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (strncmp(c->in, "HTTP/1.1 200", 12) != 0)
        return -1;
    const char *body = end + 4;
    size_t body_n = c->n - (size_t)(body - c->in);
    const char *length = memmem(c->in, (size_t)(body - c->in), "ontent-Length: ", 15);
    if (!length)
        length = memmem(c->in, (size_t)(body - c->in), "ontent-length: ", 15);
    if (length)
        return body_n >= strtoul(length + 15, NULL, 10);
    bool last = c->n > 7 && memcmp(c->in + c->n - 7, "\r\n0\r\n\r\n", 7) == 0;
    if (last || ended)
        return last && (!streams || memmem(body, body_n, "[DONE]", 6)) ? 1 : -1;
    return 0;
}

static void client_done(struct client *c, bool good, bool closed)
{
    if (good) {
        latency[answered] = now_ms() - c->began;
        first_byte[answered] = c->first - c->began;
        answered++;
    } else {
        failed++;
        if (failed < 4)
            fprintf(stderr, "failed: %.*s\n", (int)(c->n < 200 ? c->n : 200), c->in);
    }
    c->used = true;
    if (closed || !good)
        client_connect(c);
    client_ask(c);
}

static void client_ready(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->n, IN_MAX - c->n, 0);
    if (n <= 0 && c->n == 0 && c->used) { /* a kept connection that was closed: ask again */
        client_connect(c);
        reconnects++;
        client_send(c);
        return;
    }
    if (n > 0)
        c->n += (size_t)n;
    if (!c->first && c->n > 0 && (!streams || memmem(c->in, c->n, "data:", 5)))
        c->first = now_ms();
    int state = client_look(c, n <= 0);
    if (state || n <= 0)
        client_done(c, state > 0, n <= 0);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double part(double *list, double share)
{
    return answered ? list[(size_t)((double)(answered - 1) * share)] : 0;
}

static void report(double ms)
{
    qsort(latency, answered, sizeof(double), by_size);
    qsort(first_byte, answered, sizeof(double), by_size);
    printf("{\"answered\":%lu,\"failed\":%lu,\"reconnects\":%lu,\"seconds\":%.3f,\"rate\":%.1f,"
           "\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f,"
           "\"first50\":%.4f,\"first99\":%.4f}\n",
           answered, failed, reconnects, ms / 1000, (double)answered / ms * 1000,
           part(latency, 0.5), part(latency, 0.9), part(latency, 0.99), part(latency, 1),
           part(first_byte, 0.5), part(first_byte, 0.99));
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    set_target(argv[1]);
    unsigned long n_clients = strtoul(argv[2], NULL, 10);
    wanted = strtoul(argv[3], NULL, 10);
    streams = strcmp(argv[4], "stream") == 0;
    char body[512];
    int n = snprintf(body, sizeof(body),
                     "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Are you "
                     "there?\"}],\"max_tokens\":16,\"stream\":%s}",
                     argc > 5 ? argv[5] : "canary", streams ? "true" : "false");
    request_n = (size_t)snprintf(request, sizeof(request),
                                 "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                                 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                                 n, body);
    latency = calloc(wanted, sizeof(double));
    first_byte = calloc(wanted, sizeof(double));
    struct client *clients = calloc(n_clients, sizeof(*clients));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!latency || !first_byte || !clients || n_clients > wanted)
        return 1;
    for (unsigned long i = 0; i < n_clients; i++) {
        clients[i].fd = -1;
        client_connect(&clients[i]);
    }
    double began = now_ms();
    for (unsigned long i = 0; i < n_clients; i++)
        client_ask(&clients[i]);
    while (answered + failed < wanted) {
        struct epoll_event ready[EVENTS];
        int m = epoll_wait(epoll, ready, EVENTS, 20000);
        if (m == 0) {
            fprintf(stderr, "gateway_load: nothing for 20 s\n");
            break;
        }
        for (int i = 0; i < m; i++)
            client_ready(ready[i].data.ptr);
    }
    report(now_ms() - began);
    return failed > 0 || answered < wanted;
}
