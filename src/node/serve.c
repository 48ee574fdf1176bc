/* serve.c - the helping side: paired nodes ask what this computer is, and use its worker. */
#include "node/node_private.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
    SERVE_GUESTS = 64,    /* connections at a time */
    SERVE_STRANGERS = 16, /* of them that have not shown a key yet; the oldest one goes */
    SERVE_GREETING_MS = 5000,
    SERVE_IDLE_MS = 10000, /* a connection without a message, and without a worker's bytes, ends */
    SERVE_LOOK_MS = 250,   /* between two looks at the worker, and at cancel */
    SERVE_SAY_MS = 5000,
    SERVE_JOIN_MS = 2000, /* a connection may wait so long for the worker to take another one */
    SERVE_JOIN_LOOK_MS = 20,
};

enum guest_state { GUEST_FREE, GUEST_STRANGER, GUEST_KNOWN, GUEST_JOINED, GUEST_ENDED };

/* One connection, and its thread. */
struct guest {
    struct service *service;
    pthread_t thread;
    struct tls tls;         /* its thread's */
    int fd;                 /* the same descriptor, with the lock */
    enum guest_state state; /* with the lock */
    int64_t since;          /* when it came */
};

struct service {
    const struct node_server *server;
    pthread_mutex_t lock;
    struct guest guest[SERVE_GUESTS];
    const struct guest *owner; /* who uses the worker; NULL nobody */
    uint64_t worker;           /* number of the running one; 0 none */
    uint64_t workers;          /* how many were started */
    atomic_bool is_ending;
};

/* The other end's name. False: it is paired no more. */
static bool guest_name(const struct guest *g, char ret_name[static NODE_NAME])
{
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    const struct node_peer *peer = NULL;
    if (node_peers_read(g->service->server->config_dir, peers, NULL) == 0)
        peer = node_peers_find(peers, g->tls.key);
    snprintf(ret_name, NODE_NAME, "%s", peer ? peer->name : "");
    return peer;
}

static int guest_say(struct guest *g, struct node_message *m, enum node_say say)
{
    m->say = say;
    return tls_say(&g->tls, m, node_until(SERVE_SAY_MS));
}

/* A negative result is told as it is: the connection ends. */
static int guest_refuse(struct guest *g, const struct gfxb_error *why)
{
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    m->status.code = why->code;
    snprintf(m->status.reason, sizeof(m->status.reason), "%.*s", (int)sizeof(m->status.reason) - 1,
             why->text);
    guest_say(g, m, SAY_REFUSED);
    return -why->code;
}

/* ---- the worker, for one guest at a time ---- */

/* Is the choice that this computer offers the one that is wanted? */
static int worker_match(const struct node_status *is, const struct node_want *want,
                        struct gfxb_error *err)
{
    if (is->code)
        return error_set(err, is->code, "%s", is->reason);
    if (want->package_digest[0] && strcmp(want->package_digest, is->package_digest) != 0)
        return error_set(err, GFXB_E_NODE_VERSION, "its engine package is %s, which is another one",
                         is->package);
    if (want->protocol[0] && strcmp(want->protocol, is->protocol) != 0)
        return error_set(err, GFXB_E_NODE_VERSION, "its RPC protocol is %s, not %s", is->protocol,
                         want->protocol);
    if (want->fingerprint[0] && strcmp(want->fingerprint, is->fingerprint) != 0)
        return error_set(err, GFXB_E_NODE_UNPROVEN,
                         "its choice has changed since it was planned with");
    if (is->free && want->memory > is->free) /* 0: not known */
        return error_set(err, GFXB_E_MEMORY_TOO_SMALL,
                         "%.1f GB are needed of its memory, %.1f GB are free",
                         (double)want->memory / 1e9, (double)is->free / 1e9);
    return 0;
}

/* Reserves it. False: somebody else uses it. */
static bool worker_take(struct guest *g)
{
    struct service *s = g->service;
    pthread_mutex_lock(&s->lock);
    bool is_free = !s->owner;
    if (is_free)
        s->owner = g;
    pthread_mutex_unlock(&s->lock);
    return is_free;
}

/* From here on nobody connects to it, and nobody is connected. */
static void worker_cut(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    s->worker = 0;
    for (size_t i = 0; i < SERVE_GUESTS; i++) {
        if (s->guest[i].state == GUEST_JOINED)
            shutdown(s->guest[i].fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Until its user is silent, removed or gone, or the worker has ended, of which it is told. */
static void worker_watch(struct guest *g, struct node_message *m)
{
    struct service *s = g->service;
    int64_t last = clock_now_ms();
    struct gfxb_error why;
    char name[NODE_NAME];
    while (!s->is_ending && clock_now_ms() - last < SERVE_IDLE_MS) {
        int ready = node_wait(g->tls.fd, POLLIN, node_until(SERVE_LOOK_MS));
        if (!guest_name(g, name))
            return;
        if (s->server->check(s->server->context, &why) < 0) {
            guest_refuse(g, &why);
            return;
        }
        if (ready == 0)
            continue;
        if (tls_hear(&g->tls, m, node_until(SERVE_SAY_MS)) < 0 || m->say != SAY_PING ||
            guest_say(g, m, SAY_PONG) < 0)
            return;
        last = clock_now_ms();
    }
}

static void worker_run(struct guest *g, struct node_message *m)
{
    struct service *s = g->service;
    pthread_mutex_lock(&s->lock);
    m->worker = s->worker = ++s->workers;
    pthread_mutex_unlock(&s->lock);
    if (guest_say(g, m, SAY_OPENED) == 0)
        worker_watch(g, m);
    worker_cut(s);
    s->server->stop(s->server->context);
}

/* The connection is the worker's life: it ends when this returns. */
static int worker_open(struct guest *g, struct node_message *m)
{
    const struct node_server *server = g->service->server;
    struct node_want want = m->want;
    struct gfxb_error why;
    char name[NODE_NAME];
    guest_name(g, name);
    if (!worker_take(g)) {
        error_set(&why, GFXB_E_NODE_BUSY, "somebody else uses its worker");
        return guest_refuse(g, &why);
    }
    memset(&m->status, 0, sizeof(m->status));
    server->describe(server->context, &m->status);
    int result = worker_match(&m->status, &want, &why);
    if (result == 0)
        result = server->start(server->context, &want, &why);
    if (result == 0) {
        log_at(server->log, LOG_INFO, "node %s uses the worker of this computer", name);
        worker_run(g, m);
        log_at(server->log, LOG_INFO, "node %s uses it no more", name);
    }
    pthread_mutex_lock(&g->service->lock);
    g->service->owner = NULL;
    pthread_mutex_unlock(&g->service->lock);
    return result < 0 ? guest_refuse(g, &why) : -ECONNRESET;
}

/* A connection to the worker of this number, if the guest is its user. Or -errno. */
static int worker_connect(struct guest *g, uint64_t worker)
{
    struct service *s = g->service;
    int fd = -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    if (s->worker && s->worker == worker && strcmp(s->owner->tls.key, g->tls.key) == 0)
        fd = s->server->connect(s->server->context);
    g->state = fd >= 0 ? GUEST_JOINED : g->state;
    pthread_mutex_unlock(&s->lock);
    return fd;
}

/* Carries a connection of the owner to its worker. */
static int worker_join(struct guest *g, struct node_message *m)
{
    int64_t until = node_until(SERVE_JOIN_MS);
    struct gfxb_error why;
    int CLEAN_CLOSE fd = worker_connect(g, m->worker);
    while (fd == -EAGAIN && clock_now_ms() < until) {
        poll(NULL, 0, SERVE_JOIN_LOOK_MS);
        fd = worker_connect(g, m->worker);
    }
    if (fd < 0) {
        error_set(&why, GFXB_E_NODE_LOST, "its worker %s",
                  fd == -EAGAIN ? "takes no connection" : "has ended");
        return guest_refuse(g, &why);
    }
    if (guest_say(g, m, SAY_JOINED) == 0)
        tls_bridge(&g->tls, fd);
    return -ECONNRESET;
}

/* ---- a guest ---- */

static int guest_status(struct guest *g, struct node_message *m)
{
    struct service *s = g->service;
    memset(m, 0, sizeof(*m));
    s->server->describe(s->server->context, &m->status);
    node_computer(m->status.computer);
    pthread_mutex_lock(&s->lock);
    m->status.busy = s->owner;
    pthread_mutex_unlock(&s->lock);
    return guest_say(g, m, SAY_IS);
}

/* Bytes, until they are enough or the other end has seen enough. */
static int guest_measure(struct guest *g, struct node_message *m)
{
    char *CLEAN_FREE bytes = xcalloc(1, 65536);
    int64_t until = node_until(2 * MEASURE_MS);
    for (size_t sum = 0; sum < 2 * MEASURE_BYTES && clock_now_ms() < until;) {
        ssize_t n = tls_write(&g->tls, bytes, 65536);
        if (n != -EAGAIN && n <= 0)
            break;
        if (n > 0)
            sum += (size_t)n;
        else
            node_wait(g->tls.fd, POLLOUT, until);
    }
    return -ECONNRESET;
}

static int guest_pong(struct guest *g, struct node_message *m)
{
    return guest_say(g, m, SAY_PONG);
}

/* One message after the other, each in time. An answer below 0 ends the connection. */
static void guest_serve(struct guest *g)
{
    static int (*const answers[SAYS])(struct guest * g, struct node_message * m) = {
        [SAY_STATUS] = guest_status, [SAY_OPEN] = worker_open,      [SAY_JOIN] = worker_join,
        [SAY_PING] = guest_pong,     [SAY_MEASURE] = guest_measure,
    };
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    struct gfxb_error why;
    char name[NODE_NAME];
    int result = 0;
    while (result == 0) {
        result = tls_hear(&g->tls, m, node_until(SERVE_IDLE_MS));
        if (result == 0 && !guest_name(g, name)) /* removed since it came */
            return;
        if (result == 0)
            result = answers[m->say] ? answers[m->say](g, m) : -EBADMSG;
        else if (result == -GFXB_E_NODE_VERSION) {
            error_set(&why, GFXB_E_NODE_VERSION,
                      "it has gfxbridge " GFXB_VERSION ", which does not understand this one");
            guest_refuse(g, &why);
        }
    }
}

static void *guest_thread(void *context)
{
    struct guest *g = context;
    struct service *s = g->service;
    int result = tls_begin(&g->tls, s->server->identity, g->fd, true, g->since + SERVE_GREETING_MS);
    if (result == 0) {
        pthread_mutex_lock(&s->lock);
        g->state = GUEST_KNOWN;
        pthread_mutex_unlock(&s->lock);
        guest_serve(g);
    }
    pthread_mutex_lock(&s->lock); /* nobody may shut down a descriptor that is another's now */
    tls_close(&g->tls);
    g->state = GUEST_ENDED;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- those who come ---- */

/* With the lock: a place for one more, or NULL. Too many strangers: the oldest one is on its way
 * out, so that those who only connect keep nobody away who has a key. */
static struct guest *serve_place(struct service *s)
{
    struct guest *place = NULL, *oldest = NULL;
    size_t strangers = 0;
    for (size_t i = 0; i < SERVE_GUESTS; i++) {
        struct guest *g = &s->guest[i];
        if (g->state == GUEST_ENDED) {
            pthread_join(g->thread, NULL);
            g->state = GUEST_FREE;
        }
        if (g->state == GUEST_FREE)
            place = g;
        strangers += g->state == GUEST_STRANGER;
        if (g->state == GUEST_STRANGER && (!oldest || g->since < oldest->since))
            oldest = g;
    }
    if (oldest && strangers >= SERVE_STRANGERS)
        shutdown(oldest->fd, SHUT_RDWR);
    return strangers < 2 * SERVE_STRANGERS ? place : NULL;
}

/* Takes fd over. */
static void serve_admit(struct service *s, int fd)
{
    pthread_mutex_lock(&s->lock);
    struct guest *g = serve_place(s);
    if (g) {
        *g = (struct guest){.service = s, .tls = TLS_NONE, .fd = fd, .since = clock_now_ms()};
        g->tls.config_dir = s->server->config_dir;
        g->state =
            pthread_create(&g->thread, NULL, guest_thread, g) == 0 ? GUEST_STRANGER : GUEST_FREE;
    }
    bool is_in = g && g->state == GUEST_STRANGER;
    pthread_mutex_unlock(&s->lock);
    if (!is_in)
        close(fd);
}

static void serve_until_cancelled(struct service *s, const int *fds, int n)
{
    struct pollfd polled[NODE_LISTENERS];
    for (int i = 0; i < n; i++)
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    while (!*s->server->cancel) {
        poll(polled, (nfds_t)n, SERVE_LOOK_MS);
        for (int i = 0; i < n; i++) {
            int fd = accept4(fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd >= 0)
                serve_admit(s, fd);
            else if (error_is_ours(errno) && errno != EAGAIN)
                poll(NULL, 0, SERVE_LOOK_MS); /* until a descriptor is free again */
        }
    }
}

static void serve_end(struct service *s)
{
    s->is_ending = true;
    for (size_t i = 0; i < SERVE_GUESTS; i++) {
        struct guest *g = &s->guest[i];
        pthread_mutex_lock(&s->lock);
        bool is_here = g->state != GUEST_FREE;
        if (is_here && g->state != GUEST_ENDED)
            shutdown(g->fd, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        if (is_here)
            pthread_join(g->thread, NULL);
    }
}

int node_serve(const struct node_server *server, struct gfxb_error *err)
{
    int fds[NODE_LISTENERS];
    int n = node_listen(server->listen, NODE_PORT, fds, err);
    if (n < 0)
        return n;
    struct service *s = xcalloc(1, sizeof(*s));
    s->server = server;
    pthread_mutex_init(&s->lock, NULL);
    for (int i = 0; i < n; i++) {
        char address[NODE_ADDRESS];
        node_socket_address(fds[i], false, address, sizeof(address));
        log_at(server->log, LOG_INFO, "paired computers reach this one at %s", address);
    }
    serve_until_cancelled(s, fds, n);
    while (n)
        close(fds[--n]);
    serve_end(s);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return 0;
}
