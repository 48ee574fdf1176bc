#include "http/http.h"

#include "http/chunks.h"
#include "http/fields.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    UPSTREAM_SCRATCH = 65536,
    UPSTREAM_HEAD_MAX = 16384,
    UPSTREAM_CONNECT_MS = 2,       /* between two tries while the engine's queue is full */
    UPSTREAM_CONNECT_TRIES = 5000, /* ten seconds */
};

enum upstream_phase {
    UPSTREAM_CONNECTING,
    UPSTREAM_HEAD,
    UPSTREAM_BODY,
    UPSTREAM_IDLE,
};

struct http_call {
    struct loop_source source;
    struct loop_timer timer;
    struct http_endpoint *lane;
    struct http_call *next, *previous; /* idle ones of the lane */
    enum upstream_phase phase;
    struct http_call_request request;
    bool reused, readable, writable, paused, running, dead;
    bool closed; /* by the engine; what it has sent before may still be there */
    unsigned tries;
    struct buf ask;  /* our head */
    size_t sent;     /* of our head and body together */
    struct buf head; /* the engine's, as far as it has come */
    size_t looked;   /* of it, by the search for its end */
    struct http_answer answer;
    struct http_chunks chunks;
    uint64_t left; /* bytes of an answer with a length */
};

struct http_endpoint {
    struct loop *loop;
    struct sockaddr_un address;
    char *key;
    struct http_call *idle; /* the latest first */
    size_t n;               /* connections, whatever they do */
    bool closing;           /* goes with the last of them: one may be in the middle of its turn */
    char scratch[UPSTREAM_SCRATCH];
};

static void upstream_ready(struct loop_source *source, unsigned events);
static void upstream_due(struct loop_timer *timer);

int http_endpoint_new(struct loop *loop, const char *socket, const char *key,
                      struct http_endpoint **ret_lane)
{
    struct http_endpoint *lane = calloc(1, sizeof(*lane));
    size_t n = strlen(socket);
    if (!lane || n >= sizeof(lane->address.sun_path) || !(lane->key = strdup(key))) {
        free(lane);
        return n >= sizeof(lane->address.sun_path) ? -ENAMETOOLONG : -ENOMEM;
    }
    lane->loop = loop;
    lane->address.sun_family = AF_UNIX;
    memcpy(lane->address.sun_path, socket, n + 1);
    *ret_lane = lane;
    return 0;
}

static void upstream_unlink(struct http_call *u)
{
    if (u->previous)
        u->previous->next = u->next;
    else if (u->lane->idle == u)
        u->lane->idle = u->next;
    if (u->next)
        u->next->previous = u->previous;
    u->next = u->previous = NULL;
}

static void upstream_lane_end(struct http_endpoint *lane)
{
    if (!lane->closing || lane->n)
        return;
    free(lane->key);
    free(lane);
}

static void upstream_free(struct http_call *u)
{
    struct http_endpoint *lane = u->lane;
    if (u->phase == UPSTREAM_IDLE)
        upstream_unlink(u);
    loop_timer_clear(lane->loop, &u->timer);
    loop_close(lane->loop, &u->source);
    lane->n--;
    upstream_lane_end(lane);
    buf_done(&u->ask);
    buf_done(&u->head);
    free(u);
}

void http_call_cancel(struct http_call *u)
{
    u->dead = true;
    if (!u->running)
        upstream_free(u);
}

void http_endpoint_free(struct http_endpoint *lane)
{
    if (!lane)
        return;
    while (lane->idle) {
        struct http_call *u = lane->idle;
        upstream_unlink(u);
        u->phase = UPSTREAM_CONNECTING;
        http_call_cancel(u);
    }
    lane->closing = true;
    upstream_lane_end(lane);
}

/* ---- the connection ---- */

static void upstream_disconnect(struct http_call *u)
{
    loop_close(u->lane->loop, &u->source);
    u->readable = u->writable = u->closed = false;
    u->sent = 0;
    u->phase = UPSTREAM_CONNECTING;
}

static void upstream_write_head(struct http_call *u)
{
    const struct http_call_request *r = &u->request;
    buf_clear(&u->ask);
    buf_addf(&u->ask, "%s %s HTTP/1.1\r\nHost: engine\r\n", r->body.p ? "POST" : "GET", r->path);
    buf_addf(&u->ask, "Authorization: Bearer %s\r\n", u->lane->key);
    if (r->body.p)
        buf_addf(&u->ask, "Content-Type: application/json\r\nContent-Length: %zu\r\n", r->body.n);
    buf_add_text(&u->ask, "\r\n");
}

/* What is not known yet is watched for; what is known and not used now would be told for ever. */
static int upstream_watch(struct http_call *u)
{
    unsigned wanted = (u->readable ? 0 : LOOP_READ) | (u->closed ? 0 : LOOP_LEAVE) |
                      (u->writable ? 0 : LOOP_WRITE);
    return loop_watch(u->lane->loop, &u->source, wanted);
}

/* 0 connected, or it is tried again soon; -errno. */
static int upstream_connect(struct http_call *u)
{
    const struct http_endpoint *lane = u->lane;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    u->reused = false;
    if (connect(fd, (const struct sockaddr *)&lane->address, sizeof(lane->address)) < 0) {
        int result = errno == EINTR ? -EAGAIN : -errno;
        close(fd);
        /* The engine's queue of connections is short. */
        if (result != -EAGAIN || ++u->tries > UPSTREAM_CONNECT_TRIES)
            return result;
        loop_timer_set(u->lane->loop, &u->timer, UPSTREAM_CONNECT_MS);
        return 0;
    }
    u->source.fd = fd;
    u->writable = true;
    u->phase = UPSTREAM_HEAD;
    u->looked = 0;
    u->answer = (struct http_answer){0};
    upstream_write_head(u);
    if (u->request.gap_ms)
        loop_timer_set(u->lane->loop, &u->timer, u->request.gap_ms);
    return u->ask.failed ? -ENOMEM : upstream_watch(u);
}

/* Over for this owner. The request may still be begun anew where nothing came on a kept one. */
static void upstream_break(struct http_call *u, int code)
{
    if (u->reused && u->phase == UPSTREAM_HEAD && !u->looked) {
        upstream_disconnect(u);
        code = upstream_connect(u);
        if (code == 0)
            return;
    }
    u->dead = true;
    u->request.ops->broken(u->request.owner, code);
}

/* ---- sending ---- */

static size_t upstream_to_send(const struct http_call *u)
{
    return u->ask.n + u->request.body.n - u->sent;
}

static void upstream_send(struct http_call *u)
{
    const struct str body = u->request.body;
    while (u->writable && upstream_to_send(u)) {
        size_t of_head = u->sent < u->ask.n ? u->sent : u->ask.n, of_body = u->sent - of_head;
        struct iovec part[2] = {
            {u->ask.p + of_head, u->ask.n - of_head},
            {(char *)(uintptr_t)body.p + of_body, body.n - of_body},
        };
        struct msghdr message = {.msg_iov = part, .msg_iovlen = body.n ? 2 : 1};
        ssize_t n = sendmsg(u->source.fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            u->writable = false;
        } else if (n < 0) {
            u->sent = u->ask.n + body.n; /* it may have answered before it closed */
            u->readable = true;
        } else {
            u->sent += (size_t)n;
        }
    }
}

/* ---- receiving ---- */

static void upstream_finish(struct http_call *u, bool clean)
{
    void (*end)(void *) = u->request.ops->end;
    void *owner = u->request.owner;
    if (!clean || !u->answer.keep || u->closed || u->answer.framing != HTTP_LENGTH ||
        upstream_to_send(u)) {
        u->dead = true;
    } else {
        u->phase = UPSTREAM_IDLE;
        u->timer.at = INT64_MAX;
        u->previous = NULL;
        u->next = u->lane->idle;
        if (u->next)
            u->next->previous = u;
        u->lane->idle = u;
    }
    end(owner);
}

/* Bytes of the body; false once the answer is over, one way or the other. */
static bool upstream_take_body(struct http_call *u, char *bytes, size_t n)
{
    size_t content = n, used = n;
    int whole = 0;
    if (u->answer.framing == HTTP_CHUNKED) {
        whole = http_chunks_take(&u->chunks, bytes, n, &content, &used);
    } else if (u->answer.framing == HTTP_LENGTH) {
        content = used = n < u->left ? n : (size_t)u->left;
        u->left -= content;
        whole = !u->left;
    }
    if (whole < 0) {
        upstream_break(u, -EPROTO);
        return false;
    }
    if (content)
        u->request.ops->body(u->request.owner, (struct str){bytes, content});
    if (whole && !u->dead)
        upstream_finish(u, used == n);
    return !whole && !u->dead;
}

static bool upstream_take_head(struct http_call *u, char *bytes, size_t n)
{
    buf_add(&u->head, bytes, n);
    size_t end = u->head.failed ? 0 : http_head_end(buf_view(&u->head), &u->looked);
    u->looked = u->looked ? u->looked : 1;
    if (!end && (u->head.failed || u->head.n > UPSTREAM_HEAD_MAX)) {
        upstream_break(u, -EPROTO);
        return false;
    }
    if (!end)
        return true;
    if (http_answer_read((struct str){u->head.p, end}, &u->answer) < 0) {
        upstream_break(u, -EPROTO);
        return false;
    }
    struct buf head = u->head;
    u->head = BUF_INIT(head.max);
    u->phase = UPSTREAM_BODY;
    u->chunks = (struct http_chunks){0};
    u->left = u->answer.length;
    u->request.ops->head(u->request.owner, &u->answer);
    u->answer.type = STR_NONE;
    bool more = !u->dead;
    bool empty = u->answer.framing == HTTP_LENGTH && !u->left;
    if (more && (head.n > end || empty))
        more = upstream_take_body(u, head.p + end, head.n - end);
    buf_done(&head);
    return more;
}

static bool upstream_take(struct http_call *u)
{
    char *scratch = u->lane->scratch;
    ssize_t n = recv(u->source.fd, scratch, UPSTREAM_SCRATCH, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN) {
        u->readable = false;
        return false;
    }
    if (n < UPSTREAM_SCRATCH && !u->closed)
        u->readable = false; /* that was all for now */
    if (n == 0 && u->phase == UPSTREAM_BODY && u->answer.framing == HTTP_CLOSE) {
        upstream_finish(u, false);
        return false;
    }
    if (n <= 0) {
        upstream_break(u, n < 0 ? -errno : -ECONNRESET);
        return !u->dead;
    }
    if (u->request.gap_ms)
        loop_timer_set(u->lane->loop, &u->timer, u->request.gap_ms);
    return u->phase == UPSTREAM_HEAD ? upstream_take_head(u, scratch, (size_t)n)
                                     : upstream_take_body(u, scratch, (size_t)n);
}

static void upstream_run(struct http_call *u)
{
    if (u->running)
        return;
    u->running = true;
    for (;;) {
        if (u->phase == UPSTREAM_HEAD)
            upstream_send(u);
        bool waiting = u->phase == UPSTREAM_CONNECTING || u->phase == UPSTREAM_IDLE;
        if (u->dead || waiting || u->paused || !u->readable || !upstream_take(u))
            break;
    }
    u->running = false;
    int result = u->dead || u->source.fd < 0 ? 0 : upstream_watch(u);
    if (result < 0)
        upstream_break(u, result);
    if (u->dead)
        upstream_free(u);
}

static void upstream_ready(struct loop_source *source, unsigned events)
{
    struct http_call *u = container_of(source, struct http_call, source);
    if (events & (LOOP_READ | LOOP_LEAVE | LOOP_BROKEN))
        u->readable = true;
    if (events & (LOOP_WRITE | LOOP_BROKEN))
        u->writable = true;
    if (events & (LOOP_LEAVE | LOOP_BROKEN))
        u->closed = true;
    if (u->phase == UPSTREAM_IDLE && (events & (LOOP_READ | LOOP_LEAVE | LOOP_BROKEN)))
        upstream_free(u); /* closed by the engine, or not clean after all */
    else
        upstream_run(u);
}

static void upstream_due(struct loop_timer *timer)
{
    struct http_call *u = container_of(timer, struct http_call, timer);
    if (u->paused) { /* it waits for us */
        loop_timer_set(u->lane->loop, &u->timer, u->request.gap_ms);
        return;
    }
    u->running = true;
    if (u->phase == UPSTREAM_CONNECTING) {
        int result = upstream_connect(u);
        if (result < 0)
            upstream_break(u, result);
    } else {
        u->looked = 1; /* not to be tried again: it is slow, not gone */
        upstream_break(u, -ETIMEDOUT);
    }
    u->running = false;
    if (u->dead)
        upstream_free(u);
    else
        upstream_run(u);
}

void http_call_pause(struct http_call *u, bool pause)
{
    u->paused = pause;
    if (!pause)
        upstream_run(u);
}

/* ---- a request ---- */

static void upstream_reuse(struct http_call *u, const struct http_call_request *request)
{
    upstream_unlink(u);
    u->request = *request;
    u->reused = true;
    u->phase = UPSTREAM_HEAD;
    u->looked = 0;
    u->sent = 0;
    u->paused = false;
    u->answer = (struct http_answer){0};
    upstream_write_head(u);
    if (request->gap_ms)
        loop_timer_set(u->lane->loop, &u->timer, request->gap_ms);
}

/* The first turn is the loop's: nothing is told before the owner has got it. */
static int upstream_begin(struct http_call *u)
{
    bool running = u->running; /* one that has just become idle may be in the middle of its turn */
    u->running = true;
    upstream_send(u);
    u->running = running;
    return upstream_watch(u);
}

int http_call_start(struct http_endpoint *lane, const struct http_call_request *request,
                    struct http_call **ret_upstream)
{
    struct http_call *u = lane->idle;
    int result = 0;
    if (u) {
        upstream_reuse(u, request);
    } else {
        u = calloc(1, sizeof(*u));
        if (!u)
            return -ENOMEM;
        u->lane = lane;
        lane->n++;
        u->source = (struct loop_source){.fd = -1, .ready = upstream_ready};
        u->timer.due = upstream_due;
        u->request = *request;
        u->ask = BUF_INIT(UPSTREAM_HEAD_MAX);
        u->head = BUF_INIT(UPSTREAM_HEAD_MAX + UPSTREAM_SCRATCH);
        result = upstream_connect(u);
    }
    if (result == 0 && u->phase == UPSTREAM_HEAD)
        result = upstream_begin(u);
    if (result < 0)
        http_call_cancel(u);
    else
        *ret_upstream = u;
    return result;
}
