/* client.c - calls to a program over its unix socket. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    CALL_SCRATCH = 65536,
    CALL_CONNECT_MS = 2,       /* between two tries while the peer's queue is full */
    CALL_CONNECT_TRIES = 5000, /* ten seconds */
};

enum call_phase {
    CALL_CONNECTING,
    CALL_HEAD,
    CALL_BODY,
    CALL_IDLE, /* a connection that is kept for the next call */
};

struct http_call {
    struct loop_source source;
    struct loop_timer timer;
    struct loop_task turn;
    struct http_endpoint *endpoint;
    LIST_ENTRY(http_call) link; /* of the endpoint's idle ones */
    enum call_phase phase;
    struct http_call_request request;
    bool reused; /* the connection was kept from a call before */
    bool heard;  /* something of the answer has come, or was waited for too long */
    bool paused, running, dead;
    unsigned tries;
    struct buf ask;  /* our head */
    size_t sent;     /* bytes of our head and body together */
    struct buf head; /* the peer's, as far as it has come */
    size_t looked;   /* bytes of it that were searched for its end */
    struct http_answer answer;
    struct http_chunks chunks;
    uint64_t left; /* bytes of an answer with a length */
};

struct http_endpoint {
    struct loop *loop;
    struct sockaddr_un address;
    char *key;                   /* NULL none */
    int pid;                     /* of the process that must have made the socket; 0 any */
    LIST_HEAD(, http_call) idle; /* the latest first */
    size_t n;                    /* connections, whatever they do */
    bool closing; /* goes with the last of them: one may be in the middle of its turn */
    char scratch[CALL_SCRATCH];
};

bool http_is_local(int code)
{
    switch (-code) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC: /* too many descriptors are watched */
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

/* ---- endpoints ---- */

int http_endpoint_new(struct loop *loop, const char *socket, const char *key, int pid,
                      struct http_endpoint **ret_endpoint)
{
    struct http_endpoint *endpoint;
    size_t n = strlen(socket);
    if (n >= sizeof(endpoint->address.sun_path))
        return -ENAMETOOLONG;
    endpoint = xcalloc(1, sizeof(*endpoint));
    endpoint->loop = loop;
    endpoint->key = xstrdup_or_null(key);
    endpoint->pid = pid;
    endpoint->address.sun_family = AF_UNIX;
    memcpy(endpoint->address.sun_path, socket, n + 1);
    *ret_endpoint = endpoint;
    return 0;
}

static void endpoint_end(struct http_endpoint *endpoint)
{
    if (!endpoint->closing || endpoint->n)
        return;
    free(endpoint->key);
    free(endpoint);
}

static void endpoint_keep(struct http_endpoint *endpoint, struct http_call *call)
{
    call->phase = CALL_IDLE;
    call->timer.at = INT64_MAX;
    LIST_INSERT_HEAD(&endpoint->idle, call, link);
}

static void call_free(struct http_call *call)
{
    struct http_endpoint *endpoint = call->endpoint;
    if (call->phase == CALL_IDLE)
        LIST_REMOVE(call, link);
    loop_timer_clear(endpoint->loop, &call->timer);
    loop_not_later(&call->turn);
    loop_close(endpoint->loop, &call->source);
    buf_done(&call->ask);
    buf_done(&call->head);
    free(call);
    endpoint->n--;
    endpoint_end(endpoint);
}

void http_call_cancel(struct http_call *call)
{
    call->dead = true;
    if (!call->running)
        call_free(call);
}

void http_endpoint_free(struct http_endpoint *endpoint)
{
    if (!endpoint)
        return;
    for (struct http_call *call = LIST_FIRST(&endpoint->idle), *next; call; call = next) {
        next = LIST_NEXT(call, link);
        http_call_cancel(call);
    }
    endpoint->closing = true;
    endpoint_end(endpoint);
}

/* ---- the connection ---- */

static void call_timer(struct http_call *call)
{
    if (call->request.gap_ms)
        loop_timer_set(call->endpoint->loop, &call->timer, call->request.gap_ms);
}

/* The socket is reached by its name, in a directory that others may write. */
static bool call_is_expected(const struct http_endpoint *endpoint, int fd)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    return !endpoint->pid ||
           (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.pid == endpoint->pid);
}

/* 0 connected, or it is tried again soon; -errno. */
static int call_connect(struct http_call *call)
{
    const struct http_endpoint *endpoint = call->endpoint;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&endpoint->address, sizeof(endpoint->address)) < 0) {
        int result = errno == EINTR ? -EAGAIN : -errno;
        close(fd);
        if (result != -EAGAIN)
            return result;
        /* The peer's queue of connections may be short. */
        loop_timer_set(endpoint->loop, &call->timer, CALL_CONNECT_MS);
        return ++call->tries > CALL_CONNECT_TRIES ? -ETIMEDOUT : 0;
    }
    if (!call_is_expected(endpoint, fd)) {
        close(fd);
        return -EPERM;
    }
    call->source.fd = fd;
    call->source.known = LOOP_WRITE;
    call->phase = CALL_HEAD;
    call_timer(call);
    return 0;
}

/* Over for this owner. The request may still begin again where nothing came on a kept one. When
 * that is refused the peer has ended meanwhile, perhaps by this request: the first code is told. */
static void call_break(struct http_call *call, int code)
{
    if (call->reused && call->phase == CALL_HEAD && !call->heard) {
        loop_close(call->endpoint->loop, &call->source);
        call->reused = false;
        call->source.known = 0;
        call->sent = 0;
        call->phase = CALL_CONNECTING;
        int again = call_connect(call);
        if (again == 0)
            return;
        code = http_is_local(again) ? again : code;
    }
    call->dead = true;
    call->request.ops->broken(call->request.owner, code, http_is_local(code));
}

/* ---- sending ---- */

static void call_write_head(struct http_call *call)
{
    const struct http_call_request *r = &call->request;
    buf_clear(&call->ask);
    buf_addf(&call->ask, "%s %s HTTP/1.1\r\nHost: localhost\r\n", r->body.p ? "POST" : "GET",
             r->path);
    if (call->endpoint->key)
        buf_addf(&call->ask, "Authorization: Bearer %s\r\n", call->endpoint->key);
    if (r->body.p)
        buf_addf(&call->ask, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                 r->type ? r->type : "application/json", r->body.n);
    buf_add_text(&call->ask, "\r\n");
}

static size_t call_to_send(const struct http_call *call)
{
    return call->ask.n + call->request.body.n - call->sent;
}

static void call_send(struct http_call *call)
{
    const struct str body = call->request.body;
    while ((call->source.known & LOOP_WRITE) && call_to_send(call)) {
        size_t of_head = call->sent < call->ask.n ? call->sent : call->ask.n,
               of_body = call->sent - of_head;
        struct iovec part[2] = {
            {call->ask.p + of_head, call->ask.n - of_head},
            {(char *)(uintptr_t)body.p + of_body, body.n - of_body},
        };
        struct msghdr message = {.msg_iov = part, .msg_iovlen = body.n ? 2 : 1};
        ssize_t n = sendmsg(call->source.fd, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            call->sent += (size_t)n;
        } else if (errno == EAGAIN) {
            call->source.known &= ~(unsigned)LOOP_WRITE;
        } else if (errno != EINTR) {
            call->sent = call->ask.n + body.n; /* it may have answered before it closed */
            call->source.known |= LOOP_READ;
        }
    }
}

/* ---- receiving ---- */

static void call_finish(struct http_call *call, bool clean)
{
    void (*end)(void *) = call->request.ops->end;
    void *owner = call->request.owner;
    if (clean && call->answer.keep && !(call->source.known & LOOP_LEAVE) &&
        call->answer.framing == HTTP_LENGTH && !call_to_send(call))
        endpoint_keep(call->endpoint, call);
    else
        call->dead = true;
    end(owner);
}

/* Bytes of the body. */
static void call_take_body(struct http_call *call, char *bytes, size_t n)
{
    size_t content = n, used = n;
    int whole = 0;
    if (call->answer.framing == HTTP_CHUNKED) {
        whole = http_chunks_take(&call->chunks, bytes, n, &content, &used);
    } else if (call->answer.framing == HTTP_LENGTH) {
        content = used = n < call->left ? n : (size_t)call->left;
        call->left -= content;
        whole = !call->left;
    }
    if (whole < 0) {
        call_break(call, -EPROTO);
        return;
    }
    if (content)
        call->request.ops->body(call->request.owner, (struct str){bytes, content});
    if (whole && !call->dead)
        call_finish(call, used == n);
}

/* The length of the answer's head in call->head, interim answers left out; 0 more is to come. */
static int call_find_head(struct http_call *call, size_t *ret_end)
{
    struct buf *head = &call->head;
    for (;;) {
        size_t end = *ret_end = http_head_end(buf_view(head), &call->looked);
        if (!end)
            return head->failed || head->n > PARSER_HEAD_MAX ? -EPROTO : 0;
        if (http_answer_read((struct str){head->p, end}, &call->answer) < 0 ||
            call->answer.status == 101)
            return -EPROTO;
        if (call->answer.status >= 200)
            return 0;
        memmove(head->p, head->p + end, head->n - end);
        head->n -= end;
        call->looked = 0;
    }
}

static void call_take_head(struct http_call *call, char *bytes, size_t n)
{
    size_t end;
    call->heard = true;
    buf_add(&call->head, bytes, n);
    int result = call_find_head(call, &end);
    if (result < 0)
        call_break(call, result);
    if (result < 0 || !end)
        return;
    struct buf CLEAN_BUF head = call->head;
    call->head = BUF_INIT(head.max);
    call->phase = CALL_BODY;
    call->chunks = (struct http_chunks){0};
    call->left = call->answer.length;
    call->request.ops->head(call->request.owner, &call->answer);
    call->answer.type = STR_NONE;
    bool empty = call->answer.framing == HTTP_LENGTH && !call->left;
    if (!call->dead && (head.n > end || empty))
        call_take_body(call, head.p + end, head.n - end);
}

static void call_take(struct http_call *call)
{
    char *scratch = call->endpoint->scratch;
    ssize_t n = loop_read(&call->source, scratch, CALL_SCRATCH);
    if (n == -ENODATA && call->phase == CALL_BODY && call->answer.framing == HTTP_CLOSE)
        call_finish(call, false);
    else if (n < 0)
        call_break(call, n == -ENODATA ? -ECONNRESET : (int)n);
    if (n <= 0)
        return;
    call_timer(call);
    if (call->phase == CALL_HEAD)
        call_take_head(call, scratch, (size_t)n);
    else
        call_take_body(call, scratch, (size_t)n);
}

/* ---- turns ---- */

/* Do what can be done now. The call may be gone afterwards. */
static void call_run(struct http_call *call)
{
    int result = 0;
    call->running = true;
    if (call->ask.failed)
        result = -ENOMEM;
    else if (call->phase == CALL_CONNECTING)
        result = call_connect(call);
    if (result < 0)
        call_break(call, result);
    do {
        if (call->phase == CALL_HEAD && !call->dead)
            call_send(call);
        if (call->dead || call->phase == CALL_CONNECTING || call->phase == CALL_IDLE ||
            call->paused || !(call->source.known & LOOP_READ))
            break;
        call_take(call);
    } while (true);
    if (!call->dead && call->source.fd >= 0 &&
        (result = loop_watch_unknown(call->endpoint->loop, &call->source)) < 0)
        call_break(call, result);
    call->running = false;
    if (call->dead)
        call_free(call);
}

static void call_turn(struct loop_task *task)
{
    call_run(container_of(task, struct http_call, turn));
}

static void call_ready(struct loop_source *source, unsigned events)
{
    struct http_call *call = container_of(source, struct http_call, source);
    if (events & LOOP_BROKEN)
        events = LOOP_READ | LOOP_WRITE | LOOP_LEAVE;
    source->known |= events | (events & LOOP_LEAVE ? LOOP_READ : 0);
    if (call->phase == CALL_IDLE && (source->known & LOOP_READ))
        call_free(call); /* closed by the peer, or not clean after all */
    else
        call_run(call);
}

static void call_due(struct loop_timer *timer)
{
    struct http_call *call = container_of(timer, struct http_call, timer);
    if (call->paused) { /* it waits for us */
        call_timer(call);
    } else if (call->phase == CALL_CONNECTING) {
        call_run(call);
    } else {
        call->heard = true; /* not to be tried again: it is slow, not gone */
        call->running = true;
        call_break(call, -ETIMEDOUT);
        call_free(call);
    }
}

void http_call_pause(struct http_call *call, bool pause)
{
    call->paused = pause;
    if (pause)
        return;
    call_timer(call); /* the time in which it had to wait does not count */
    loop_later(call->endpoint->loop, &call->turn);
}

struct http_call *http_call_start(struct http_endpoint *endpoint,
                                  const struct http_call_request *request)
{
    struct http_call *call = LIST_FIRST(&endpoint->idle);
    if (call) {
        LIST_REMOVE(call, link);
        call->phase = CALL_HEAD;
    } else {
        call = xcalloc(1, sizeof(*call));
        *call = (struct http_call){.source = {.fd = -1, .ready = call_ready},
                                   .timer = {.due = call_due},
                                   .turn = {.run = call_turn},
                                   .endpoint = endpoint,
                                   .ask = BUF_INIT(PARSER_HEAD_MAX),
                                   .head = BUF_INIT(PARSER_HEAD_MAX + CALL_SCRATCH)};
        endpoint->n++;
    }
    call->reused = call->phase == CALL_HEAD;
    call->request = *request;
    if (call->reused)
        call_timer(call);
    call->heard = call->paused = false;
    call->looked = call->sent = call->tries = 0;
    call_write_head(call);
    loop_later(endpoint->loop, &call->turn);
    return call;
}
