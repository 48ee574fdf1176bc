/* link.c - the asking side: what a node is, and its worker used from here. */
#include "node/node_private.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

enum {
    MEASURE_PINGS = 8,
    LINK_CONNECTIONS = 16,  /* at a time */
    LINK_JOIN_MS = 5000,    /* a new connection has this long */
    LINK_PING_MS = 1000,    /* between two signs of life */
    LINK_SILENCE_MS = 5000, /* without one the node is lost */
};

/* ---- what a node is ---- */

static double link_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* The fastest of some pings, then bytes for a moment. */
static int measure(struct tls *tls, int64_t until, struct node_status *status,
                   struct gfxb_error *err)
{
    struct node_message m;
    for (int i = 0; i < MEASURE_PINGS; i++) {
        double begin = link_now_us();
        m = (struct node_message){.say = SAY_PING};
        int result = tls_ask(tls, &m, SAY_PONG, until, err);
        if (result < 0)
            return result;
        double us = link_now_us() - begin;
        if (i == 0 || us < status->round_trip_us)
            status->round_trip_us = us;
    }
    char *CLEAN_FREE bytes = xmalloc(65536);
    int64_t most = node_until(MEASURE_MS);
    size_t sum = 0;
    m = (struct node_message){.say = SAY_MEASURE};
    tls_say(tls, &m, until);
    double begin = 0, end = 0;
    for (ssize_t n; sum < MEASURE_BYTES && (n = tls_read(tls, bytes, 65536)) != 0;) {
        if (n < 0 && (n != -EAGAIN || node_wait(tls->fd, POLLIN, most < until ? most : until) <= 0))
            break;
        if (n > 0 && begin == 0)
            begin = link_now_us(); /* the first bytes say when it began, and are not counted */
        else if (n > 0) {
            end = link_now_us();
            sum += (size_t)n;
        }
    }
    status->bytes_per_second = end > begin ? (double)sum * 1e6 / (end - begin) : 0;
    return 0;
}

int node_ask(const struct node_identity *identity, const struct node_peer *peer, int deadline_ms,
             bool wants_measure, struct node_status *ret_status, struct gfxb_error *err)
{
    int64_t until = node_until(deadline_ms);
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    struct tls tls;
    int result = tls_dial(&tls, identity, peer, until, err);
    m->say = SAY_STATUS;
    if (result == 0)
        result = tls_ask(&tls, m, SAY_IS, until, err);
    if (result == 0 && wants_measure)
        result = measure(&tls, until, &m->status, err);
    if (result == 0)
        *ret_status = m->status;
    tls_close(&tls);
    return result;
}

struct ask {
    pthread_t thread;
    bool has_thread, measure;
    int deadline_ms;
    const struct node_identity *identity;
    struct node_answer *answer;
};

static void *ask_thread(void *context)
{
    struct ask *a = context;
    node_ask(a->identity, &a->answer->peer, a->deadline_ms, a->measure, &a->answer->status,
             &a->answer->err);
    return NULL;
}

int node_ask_all(const char *config_dir, const char *only, int deadline_ms, bool wants_measure,
                 struct node_answer **ret_answers, size_t *ret_n, struct gfxb_error *err)
{
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    struct node_identity *identity = NULL;
    struct ask asks[NODE_PEERS_MAX];
    size_t n = 0;
    int result = node_peers_read(config_dir, peers, err);
    if (result == 0 && only && !node_peers_find(peers, only))
        result = error_set(err, ENOENT, PEERS_NO_NAME, only);
    if (result == 0 && peers->n)
        result = node_identity_open(config_dir, &identity, err);
    if (result < 0)
        return result;
    struct node_answer *answers = xcalloc(NODE_PEERS_MAX, sizeof(*answers));
    for (size_t i = 0; i < peers->n; i++) {
        const struct node_peer *peer = &peers->peer[i];
        if (!peer->address[0] || (only && peer != node_peers_find(peers, only)))
            continue;
        answers[n].peer = *peer;
        asks[n] = (struct ask){.identity = identity,
                               .deadline_ms = deadline_ms,
                               .measure = wants_measure,
                               .answer = &answers[n]};
        int code = pthread_create(&asks[n].thread, NULL, ask_thread, &asks[n]);
        asks[n].has_thread = code == 0;
        if (code)
            error_set(&answers[n].err, code, "cannot start a thread: %s", error_errno_text(code));
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        if (asks[i].has_thread)
            pthread_join(asks[i].thread, NULL);
    }
    node_identity_free(identity);
    *ret_answers = answers;
    *ret_n = n;
    return 0;
}

/* ---- its worker ---- */

/* One connection to the worker: its thread carries bytes. */
struct line {
    struct node_link *link;
    pthread_t thread;
    struct tls tls;
    int fd; /* our end of what the engine holds */
    enum { LINE_FREE, LINE_RUNS, LINE_ENDED } state;
};

struct node_link {
    const struct node_identity *identity;
    struct node_peer peer;
    struct tls tls; /* its thread's, from which it gets signs of life */
    uint64_t worker;
    pthread_t thread;
    pthread_mutex_t lock;
    struct gfxb_error lost; /* code 0: it is not */
    struct line line[LINK_CONNECTIONS];
};

/* Every connection ends. The first reason stays, unless is_better. */
static void link_lose(struct node_link *link, const struct gfxb_error *why, bool is_better)
{
    pthread_mutex_lock(&link->lock);
    if (link->lost.code == 0 || is_better) {
        link->lost = *why;
        error_prefix(&link->lost, "node %s: ", link->peer.name);
    }
    for (size_t i = 0; i < LINK_CONNECTIONS; i++) {
        if (link->line[i].state == LINE_RUNS) {
            shutdown(link->line[i].fd, SHUT_RDWR);
            shutdown(link->line[i].tls.fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&link->lock);
}

/* Asks for signs of life until there is none. The node says by itself when its worker ended. */
static void *link_thread(void *context)
{
    struct node_link *link = context;
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    struct gfxb_error why;
    int result;
    do {
        node_wait(link->tls.fd, POLLIN, node_until(LINK_PING_MS));
        m->say = SAY_PING;
        result = tls_ask(&link->tls, m, SAY_PONG, node_until(LINK_SILENCE_MS), &why);
    } while (result == 0);
    why.code = GFXB_E_NODE_LOST; /* whatever the cause: it served until now */
    link_lose(link, &why, true);
    return NULL;
}

int node_link_open(const struct node_identity *identity, const struct node_peer *peer,
                   const struct node_want *want, int deadline_ms, struct node_link **ret_link,
                   struct gfxb_error *err)
{
    int64_t until = node_until(deadline_ms);
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    struct node_link *link = xcalloc(1, sizeof(*link));
    *link = (struct node_link){.identity = identity, .peer = *peer};
    int result = tls_dial(&link->tls, identity, &link->peer, until, err);
    m->say = SAY_OPEN;
    m->want = *want;
    if (result == 0)
        result = tls_ask(&link->tls, m, SAY_OPENED, until, err);
    link->worker = m->worker;
    pthread_mutex_init(&link->lock, NULL);
    if (result == 0 && (result = -pthread_create(&link->thread, NULL, link_thread, link)) < 0)
        error_set(err, -result, "cannot start a thread: %s", error_errno_text(-result));
    else if (result < 0)
        error_prefix(err, "node %s: ", peer->name);
    if (result == 0) {
        *ret_link = link;
        return 0;
    }
    tls_close(&link->tls);
    pthread_mutex_destroy(&link->lock);
    free(link);
    return result;
}

int node_link_state(struct node_link *link, struct gfxb_error *err)
{
    pthread_mutex_lock(&link->lock);
    int code = link->lost.code;
    if (code)
        error_set(err, code, "%s", link->lost.text);
    pthread_mutex_unlock(&link->lock);
    return -code;
}

void node_link_close(struct node_link *link)
{
    struct gfxb_error why = {.code = GFXB_E_INTERRUPTED};
    if (!link)
        return;
    link_lose(link, &why, false);
    shutdown(link->tls.fd, SHUT_RDWR);
    pthread_join(link->thread, NULL);
    for (size_t i = 0; i < LINK_CONNECTIONS; i++) {
        pthread_mutex_lock(&link->lock);
        bool has_thread = link->line[i].state != LINE_FREE;
        pthread_mutex_unlock(&link->lock);
        if (has_thread)
            pthread_join(link->line[i].thread, NULL);
    }
    tls_close(&link->tls);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

/* ---- its connections ---- */

static void *line_thread(void *context)
{
    struct line *line = context;
    struct node_link *link = line->link;
    struct gfxb_error why;
    if (tls_bridge(&line->tls, line->fd)) {
        error_set(&why, GFXB_E_NODE_LOST, "it ended a connection of its worker");
        link_lose(link, &why, false);
    }
    pthread_mutex_lock(&link->lock); /* nobody may shut down a descriptor that is another's now */
    tls_close(&line->tls);
    close(line->fd);
    line->state = LINE_ENDED;
    pthread_mutex_unlock(&link->lock);
    return NULL;
}

static struct line *line_take(struct node_link *link)
{
    struct line *line = NULL;
    pthread_mutex_lock(&link->lock);
    for (size_t i = 0; i < LINK_CONNECTIONS && !line && link->lost.code == 0; i++) {
        if (link->line[i].state == LINE_ENDED) {
            pthread_join(link->line[i].thread, NULL);
            link->line[i].state = LINE_FREE;
        }
        if (link->line[i].state == LINE_FREE)
            line = &link->line[i];
    }
    pthread_mutex_unlock(&link->lock);
    return line;
}

/* The line's own end is in line->fd; the engine's is returned. */
static int line_join(struct line *line)
{
    struct node_link *link = line->link;
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    struct gfxb_error why;
    int64_t until = node_until(LINK_JOIN_MS);
    int ends[2] = {-1, -1};
    m->say = SAY_JOIN;
    m->worker = link->worker;
    int result = tls_dial(&line->tls, link->identity, &link->peer, until, &why);
    if (result == 0)
        result = tls_ask(&line->tls, m, SAY_JOINED, until, &why);
    if (result <= -1024) /* not for want of a descriptor of our own */
        link_lose(link, &why, false);
    if (result == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        result = -errno;
    line->fd = ends[0];
    return result == 0 ? ends[1] : result <= -1024 ? -ECONNREFUSED : result;
}

int node_link_connect(void *context)
{
    struct node_link *link = context;
    struct line *line = line_take(link);
    if (!line)
        return -ECONNREFUSED;
    line->link = link;
    int fd = line_join(line), code = 0;
    if (fd >= 0) {
        pthread_mutex_lock(&link->lock);
        code =
            link->lost.code ? ECONNREFUSED : pthread_create(&line->thread, NULL, line_thread, line);
        line->state = code ? LINE_FREE : LINE_RUNS;
        pthread_mutex_unlock(&link->lock);
    }
    if (fd >= 0 && code == 0)
        return fd;
    tls_close(&line->tls);
    if (fd >= 0) {
        close(line->fd);
        close(fd);
    }
    return fd < 0 ? fd : -code;
}
