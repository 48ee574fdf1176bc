/* connection.c - one client's connection: requests are read, answers written. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
    CONNECTION_IDLE_MS = 75000,   /* between two requests */
    CONNECTION_HEAD_MS = 10000,   /* from the first byte of a head to its last */
    CONNECTION_BODY_MS = 30000,   /* for a body, and more for a large one: */
    CONNECTION_BODY_RATE = 16384, /* bytes a second that it has to come with */
    CONNECTION_READER_MS = 60000, /* without a byte taken by a slow reader */
    CONNECTION_LINGER_MS = 2000,
    CONNECTION_LINGER_MAX = 1 << 20,
    CONNECTION_SMALL = 8192, /* bytes of a request that nobody counts */
    CONNECTION_OUT_MAX = 64 << 20,
};

#define CONNECTION_OVERLOAD "too many large requests at a time"

/* ---- phases ---- */

static void connection_timer(struct connection *c, int64_t ms)
{
    loop_timer_set(c->server->loop, &c->timer, ms);
}

/* How long a state may last. The code of a state that is not listed sets its own limit. */
static const int connection_phase_ms[] = {
    [CONNECTION_IDLE] = CONNECTION_IDLE_MS,
    [CONNECTION_HEAD] = CONNECTION_HEAD_MS,
    [CONNECTION_BODY] = 0,
    [CONNECTION_ANSWER] = 0,
    [CONNECTION_LINGER] = CONNECTION_LINGER_MS,
};

static void connection_enter(struct connection *c, enum connection_phase phase)
{
    if (c->phase == phase)
        return;
    struct connection_list *list = phase == CONNECTION_IDLE ? &c->server->idle : &c->server->busy;
    c->phase = phase;
    c->fed = false;
    if (list != c->list) {
        TAILQ_REMOVE(c->list, c, link);
        TAILQ_INSERT_TAIL(list, c, link);
        c->list = list;
    }
    if (connection_phase_ms[phase])
        connection_timer(c, connection_phase_ms[phase]);
    else
        c->timer.at = INT64_MAX; /* cheaper than to clear it: the next phase comes soon */
}

static void connection_count(struct connection *c)
{
    size_t held = c->in.capacity + (c->exchange ? c->exchange->body.capacity : 0);
    held = held > CONNECTION_SMALL ? held : 0;
    c->server->body_bytes += held - c->counted;
    c->counted = held;
}

/* Large requests of all clients together have a limit. Are they above it? */
static bool connection_overloads(struct connection *c)
{
    connection_count(c);
    return c->server->body_bytes > 8 * c->server->config.max_body;
}

void connection_close(struct connection *c)
{
    struct http_server *s = c->server;
    struct http_exchange *x = c->exchange;
    c->exchange = NULL;
    if (x && x->ops)
        x->ops->cancel(x->worker);
    if (x)
        exchange_leave(x);
    TAILQ_REMOVE(c->list, c, link);
    s->n_connections--;
    loop_timer_clear(s->loop, &c->timer);
    loop_not_later(&c->flush);
    loop_close(s->loop, &c->source);
    buf_done(&c->in);
    connection_count(c);
    buf_done(&c->out);
    free(c);
    if (s->draining)
        server_check_drained(s);
}

/* ---- writing ---- */

/* Bytes out until the socket takes no more. False when the client is gone. */
static bool connection_flush(struct connection *c)
{
    while ((c->source.known & LOOP_WRITE) && c->sent < c->out.n) {
        ssize_t n = send(c->source.fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            c->source.known &= ~(unsigned)LOOP_WRITE;
            c->blocked = true;
            break;
        }
        c->sent += (size_t)n;
        if (c->blocked)
            connection_timer(c, CONNECTION_READER_MS);
    }
    if (c->sent < c->out.n) {
        if (c->phase == CONNECTION_ANSWER && c->timer.at == INT64_MAX)
            connection_timer(c, CONNECTION_READER_MS);
        return true;
    }
    c->sent = 0;
    if (c->out.capacity > 4096)
        buf_done(&c->out);
    else
        buf_clear(&c->out);
    return true;
}

/*
 * The client has closed its side. It may have closed both, which only an answer to a byte of ours
 * can tell: an interim response before the answer, a comment within a stream of events. Where there
 * is no such byte its next piece of the answer tells.
 */
static void connection_probe(struct connection *c)
{
    const struct http_exchange *x = c->exchange;
    c->probed = true;
    c->last = true;
    if (x->head.minor_0 && !x->began)
        c->dead = true;
    else if (!x->began)
        buf_add_text(&c->out, "HTTP/1.1 102 Processing\r\n\r\n");
    else if (x->events && !x->ended)
        http_send(c->exchange, STR(":\n\n"));
}

/* ---- reading ---- */

/* The first n bytes of `in` are done with. */
static void connection_drop(struct connection *c, size_t n)
{
    c->looked = 0;
    if (c->in.n == n) {
        buf_done(&c->in);
    } else {
        c->in.n -= n;
        memmove(c->in.p, c->in.p + n, c->in.n);
    }
    connection_count(c);
}

void connection_unread(struct connection *c)
{
    c->last = c->unread = true;
    buf_done(&c->in); /* others may be waiting for the memory */
    connection_count(c);
    connection_enter(c, CONNECTION_ANSWER);
}

/* A request that is refused before a handler has all of it. Returns false. */
static bool connection_refuse(struct connection *c, int status, const char *code, const char *why)
{
    connection_unread(c);
    if (c->exchange->job)
        job_tell(c->exchange->job, false, true);
    http_fail(c->exchange, status, code, NULL, "%s", why);
    return false;
}

/* What a page may send: every field, as its origin is trusted. Returns false: that is all of this
 * request. */
static bool connection_preflight(struct connection *c)
{
    struct http_exchange *x = c->exchange;
    struct str fields = http_header(x, "access-control-request-headers");
    http_add_header(x, "Access-Control-Allow-Methods", "GET, POST, DELETE, HEAD");
    if (fields.n)
        buf_addf(&x->fields, "Access-Control-Allow-Headers: %.*s\r\n", STR_ARG(fields));
    if (http_header(x, "access-control-request-private-network").n)
        http_add_header(x, "Access-Control-Allow-Private-Network", "true");
    http_add_header(x, "Access-Control-Max-Age", "600");
    if (x->head.length || x->head.chunked)
        c->last = c->unread = true;
    connection_enter(c, CONNECTION_ANSWER);
    http_reply(x, 204, NULL, STR_NONE, NULL);
    return false;
}

/* The rest of a path without its escapes. False where that is no name. */
static bool connection_decode(struct http_exchange *x, struct str raw)
{
    x->rest = xmalloc(raw.n + 1);
    if (!http_decode(raw, '+', x->rest, raw.n + 1))
        return false;
    x->request.rest = str_from(x->rest);
    return !str_has(x->request.rest, STR("..")) && x->rest[0] != '/';
}

/* No such path: say which one was probably meant. Returns false. */
static bool connection_unknown(struct connection *c)
{
    char why[2 * EXCHANGE_PATH_GUESSED + 100] = "no such path";
    struct http_exchange *x = c->exchange;
    x->meant = exchange_guess(&c->server->config, c->control, x->head.method, x->request.path);
    if (x->meant)
        snprintf(why, sizeof(why), "no such path: use %s (check the client's base URL)", x->meant);
    return connection_refuse(c, 404, "not_found", why);
}

/* Who asks, and is there such a call? Before a byte of the body is taken. False: it has its answer.
 */
static bool connection_admit(struct connection *c)
{
    struct http_exchange *x = c->exchange;
    const struct guard *guard = &c->server->guard;
    const struct str *known = x->head.known;
    bool has_body = x->head.length || x->head.chunked;
    struct str rest = STR_NONE;
    unsigned methods = 0;
    if (x->head.host_given && !guard_host_ok(guard, known[REQUEST_HOST]))
        return connection_refuse(c, 403, "host_not_allowed",
                                 "this Host name is not one of this server's; name it with "
                                 "--allow-host if it is");
    if (known[REQUEST_ORIGIN].n && !guard_origin_ok(guard, known[REQUEST_ORIGIN]))
        return connection_refuse(c, 403, "origin_not_allowed", "Origin not allowed");
    x->route = exchange_route(&c->server->config, c->control, x->head.method, x->request.path,
                              &rest, &methods);
    if (x->head.method == HTTP_OPTIONS && !x->route)
        return connection_preflight(c);
    unsigned flags = x->route ? x->route->flags : 0;
    if (!c->control && !(flags & HTTP_NO_KEY) &&
        !guard_key_ok(guard, known[REQUEST_AUTHORIZATION], known[REQUEST_API_KEY])) {
        http_add_header(x, "WWW-Authenticate", "Bearer");
        return connection_refuse(c, 401, "invalid_api_key", "the API key is missing or wrong");
    }
    if (!x->route && methods) {
        exchange_add_methods(x, methods);
        return connection_refuse(c, 405, "method_not_allowed", "this method is not served here");
    }
    if (!x->route)
        return connection_unknown(c);
    if (rest.n && !connection_decode(x, rest))
        return connection_refuse(c, 400, "invalid_path", "this is not the name of anything");
    if ((has_body || x->head.method == HTTP_POST) && !(flags & HTTP_ANY_BODY) && x->head.browser &&
        !guard_type_is_json(known[REQUEST_TYPE]))
        return connection_refuse(c, 415, "unsupported_media_type",
                                 "the Content-Type must be application/json");
    if (x->head.length > c->server->config.max_body && !(flags & HTTP_RECEIVES))
        return connection_refuse(c, 413, "request_too_large", "the request's body is too large");
    return true;
}

/* The first n bytes are a head, or all of it that is read. False: it is refused. */
static bool connection_head(struct connection *c, size_t n, bool overload)
{
    struct http_exchange *x = c->exchange = xcalloc(1, sizeof(*x));
    const char *why;
    *x = (struct http_exchange){.server = c->server,
                                .connection = c,
                                .bytes = xstr_dup((struct str){c->in.p, n}),
                                .fields = BUF_INIT(PARSER_HEAD_MAX)};
    connection_drop(c, n);
    if (overload)
        return connection_refuse(c, 503, "overloaded", CONNECTION_OVERLOAD);
    int status = request_head_read((struct str){x->bytes, n}, &x->head, &why);
    if (status < 0)
        return connection_refuse(c, -status, "malformed_request", why);
    x->request.method = x->head.method;
    x->request.path = x->head.path;
    x->request.query = x->head.query;
    if (!connection_admit(c))
        return false;
    if (x->head.length || x->head.chunked) {
        connection_enter(c, CONNECTION_BODY);
        connection_timer(c, CONNECTION_BODY_MS +
                                (int64_t)(x->head.length / CONNECTION_BODY_RATE) * 1000);
        if (x->head.continues && !c->in.n)
            buf_add_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return true;
}

/* Is the body whole? False also when it is refused. */
static bool connection_body(struct connection *c)
{
    const struct http_exchange *x = c->exchange;
    uint64_t most = c->server->config.max_body;
    if (connection_overloads(c))
        return connection_refuse(c, 503, "overloaded", CONNECTION_OVERLOAD);
    if (!x->head.chunked) {
        c->body_n = (size_t)x->head.length;
        return c->in.n >= c->body_n;
    }
    size_t fresh = c->in.n - c->body_n, n, used;
    char *p = c->in.p + c->body_n;
    int result = http_chunks_take(&c->chunks, p, fresh, &n, &used);
    if (result < 0)
        return connection_refuse(c, 400, "malformed_request", "malformed chunked body");
    if (c->body_n + n + c->chunks.left > most)
        return connection_refuse(c, 413, "request_too_large", "the body is too large");
    c->last |= c->chunks.extras; /* which readers before us may have understood differently */
    memmove(p + n, p + used, fresh - used);
    c->in.n -= used - n;
    c->body_n += n;
    return result > 0;
}

static void connection_dispatch(struct connection *c)
{
    struct http_exchange *x = c->exchange;
    if (c->body_n) {
        x->body = c->in;
        c->in = BUF_INIT(x->body.max);
        if (x->body.n > c->body_n)
            buf_add(&c->in, x->body.p + c->body_n, x->body.n - c->body_n);
    }
    x->request.body = (struct str){x->body.p, c->body_n};
    x->request.at = loop_now(c->server->loop);
    connection_enter(c, x->route->flags & HTTP_RECEIVES ? CONNECTION_BODY : CONNECTION_ANSWER);
    if (x->route->flags & HTTP_BLOCKS)
        job_start(x);
    else
        x->route->handle(x);
}

/* The time for the rest of a body that comes piece by piece: n bytes more of it are here. */
static void connection_extend(struct connection *c, size_t n)
{
    int64_t left = c->timer.at - loop_now(c->server->loop);
    if (left < CONNECTION_BODY_MS)
        left += (int64_t)n * 1000 / CONNECTION_BODY_RATE;
    connection_timer(c, left < CONNECTION_BODY_MS ? left : CONNECTION_BODY_MS);
}

/* More of a body for the handler that receives it. */
static void connection_feed(struct connection *c)
{
    const struct http_exchange *x = c->exchange;
    uint64_t left = x->head.length - c->body_n;
    size_t n = c->in.n < left ? c->in.n : (size_t)left, used = n;
    int result = n == left;
    if (x->head.chunked)
        result = http_chunks_take(&c->chunks, c->in.p, c->in.n, &n, &used);
    if (result < 0) {
        connection_refuse(c, 400, "malformed_request", "malformed chunked body");
        return;
    }
    c->last |= c->chunks.extras;
    c->body_n += n;
    c->fed = job_feed(x->job, (struct str){c->in.p, n}, result > 0);
    connection_drop(c, used);
    if (result > 0)
        connection_enter(c, CONNECTION_ANSWER);
    else
        connection_extend(c, n);
}

/* An empty line before a request: some clients end a body with one too many. */
static void connection_skip_line(struct connection *c)
{
    if (c->looked <= 1 && str_starts(buf_view(&c->in), STR("\r\n")))
        connection_drop(c, 2);
}

/* What is in the buffer, as far as it goes. */
static void connection_parse(struct connection *c)
{
    if (!c->exchange) {
        connection_skip_line(c);
        if (!c->in.n) {
            connection_enter(c, CONNECTION_IDLE);
            return;
        }
        size_t n = http_head_end(buf_view(&c->in), &c->looked);
        bool overload = !n && connection_overloads(c);
        if (!n && (overload || c->in.n > PARSER_HEAD_MAX))
            n = c->in.n; /* which is refused for its size */
        connection_enter(c, CONNECTION_HEAD);
        if (!n || !connection_head(c, n, overload))
            return;
    }
    bool receives = c->exchange->route->flags & HTTP_RECEIVES;
    if (receives ? !c->exchange->job : connection_body(c))
        connection_dispatch(c);
    if (receives && c->phase == CONNECTION_BODY)
        connection_feed(c);
}

/* ---- the course of things ---- */

/* The answer is out: on to the next request. */
static void connection_next(struct connection *c)
{
    struct http_exchange *x = c->exchange;
    c->exchange = NULL;
    exchange_leave(x);
    connection_count(c);
    c->last |= c->server->draining;
    if (c->last && ((c->source.known & LOOP_LEAVE) || !c->unread)) {
        c->dead = true;
        return;
    }
    if (c->last) {
        shutdown(c->source.fd, SHUT_WR);
        connection_enter(c, CONNECTION_LINGER);
        return;
    }
    c->body_n = c->looked = 0;
    c->chunks = (struct http_chunks){0};
    connection_parse(c);
}

/* Bytes of a request; or of what nobody looks at any more. */
static void connection_take(struct connection *c)
{
    ssize_t n = loop_read(&c->source, c->server->scratch, SERVER_SCRATCH);
    if (n > 0 && c->phase == CONNECTION_LINGER)
        c->lingered += (size_t)n;
    else if (n > 0)
        buf_add(&c->in, c->server->scratch, (size_t)n);
    if (n < 0 || c->in.failed || c->lingered > CONNECTION_LINGER_MAX)
        c->dead = true;
    else if (n > 0 && c->phase != CONNECTION_LINGER)
        connection_parse(c);
}

/* One step; false when nothing more can be done now. */
static bool connection_step(struct connection *c)
{
    struct http_exchange *x = c->exchange;
    bool answering = c->phase == CONNECTION_ANSWER && x;
    if (answering && (c->source.known & LOOP_LEAVE) && !c->probed)
        connection_probe(c);
    if (c->dead || c->out.failed || !connection_flush(c)) {
        c->dead = true;
        return false;
    }
    if (c->sent < c->out.n)
        return false;
    if (answering && x->ended) {
        connection_next(c);
        return true;
    }
    if (answering) {
        bool was = c->blocked;
        c->blocked = false;
        c->timer.at = INT64_MAX;
        if (was && x->ops && x->ops->writable)
            x->ops->writable(x->worker);
        return was;
    }
    if (!(c->source.known & LOOP_READ) || c->fed)
        return false;
    connection_take(c);
    return true;
}

static void connection_run(struct connection *c)
{
    while (!c->dead && connection_step(c))
        ;
    if (c->dead || loop_watch_unknown(c->server->loop, &c->source) < 0)
        connection_close(c);
}

static void connection_flush_due(struct loop_task *task)
{
    connection_run(container_of(task, struct connection, flush));
}

void connection_run_later(struct connection *c)
{
    loop_later(c->server->loop, &c->flush);
}

static void connection_ready(struct loop_source *source, unsigned events)
{
    struct connection *c = container_of(source, struct connection, source);
    if (events & LOOP_BROKEN) {
        connection_close(c);
        return;
    }
    source->known |= events | (events & LOOP_LEAVE ? LOOP_READ : 0);
    connection_run(c);
}

static void connection_due(struct loop_timer *timer)
{
    struct connection *c = container_of(timer, struct connection, timer);
    if (c->fed) { /* it is the disk that is slow */
        connection_timer(c, CONNECTION_BODY_MS);
        return;
    }
    if (c->phase == CONNECTION_BODY) {
        connection_refuse(c, 408, "timeout", "the request's body did not come in time");
        connection_run(c);
        return;
    }
    connection_close(c);
}

void connection_new(struct http_server *s, int fd, bool control)
{
    struct connection *c = xcalloc(1, sizeof(*c));
    c->server = s;
    c->source = (struct loop_source){.fd = fd, .ready = connection_ready, .known = LOOP_WRITE};
    c->timer.due = connection_due;
    c->flush.run = connection_flush_due;
    c->in = BUF_INIT(s->config.max_body + PARSER_HEAD_MAX + SERVER_SCRATCH);
    c->out = BUF_INIT(CONNECTION_OUT_MAX);
    c->control = control;
    c->list = &s->fresh;
    TAILQ_INSERT_TAIL(c->list, c, link);
    s->n_connections++;
    c->came_at = loop_now(s->loop);
    connection_timer(c, CONNECTION_IDLE_MS);
    connection_run(c);
}
