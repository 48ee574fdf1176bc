/* exchange.c - one request and its answer. */
#include "http/private.h"

#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* ---- the request ---- */

const struct http_request *http_request(const struct http_exchange *x)
{
    return &x->request;
}

const struct http_route *http_route(const struct http_exchange *x)
{
    return x->route;
}

bool http_sends_events(const struct http_exchange *x)
{
    return x->events;
}

void *http_user(const struct http_exchange *x)
{
    return x->server->config.user;
}

struct str http_header(const struct http_exchange *x, const char *name)
{
    return request_head_field(&x->head, name);
}

/* Is this the path of a row, whose "*" at the end stands for one or more characters, "/" among
 * them? The path is given in two parts, of which the second holds what "*" stands for. */
static bool exchange_fits(const char *row, struct str begin, struct str path, struct str *ret_rest)
{
    struct str tail = str_from(row);
    bool any = str_ends(tail, STR("*"));
    tail.n -= any;
    if (!str_strip(&tail, begin) || !str_strip(&path, tail) || any != (path.n > 0))
        return false;
    *ret_rest = path;
    return true;
}

static const struct http_route *exchange_find(const struct http_server_config *config, bool control,
                                              enum http_method method, struct str begin,
                                              struct str path, struct str *ret_rest,
                                              unsigned *methods)
{
    for (const struct http_route *const *table = config->routes; *table; table++) {
        for (const struct http_route *r = *table; r->path; r++) {
            if (((r->flags & HTTP_CONTROL) && !control) ||
                !exchange_fits(r->path, begin, path, ret_rest))
                continue;
            *methods |= 1u << r->method;
            if (r->method == method || (r->method == HTTP_GET && method == HTTP_HEAD))
                return r;
        }
    }
    return NULL;
}

const struct http_route *exchange_route(const struct http_server_config *config, bool control,
                                        enum http_method method, struct str path,
                                        struct str *ret_rest, unsigned *ret_methods)
{
    *ret_methods = 0;
    if (str_has(path, STR("//")))
        return NULL; /* which one reader would fold and another would not */
    const struct http_route *route =
        exchange_find(config, control, method, STR_NONE, path, ret_rest, ret_methods);
    for (const struct http_alias *a = config->aliases; !route && a && a->prefix; a++) {
        struct str rest = path;
        if (str_strip(&rest, str_from(a->prefix)))
            route = exchange_find(config, control, method, str_from(a->means), rest, ret_rest,
                                  ret_methods);
    }
    return route;
}

char *exchange_guess(const struct http_server_config *config, bool control, enum http_method method,
                     struct str path)
{
    char plain[EXCHANGE_PATH_GUESSED + 1] = "";
    struct str piece, rest;
    size_t n = 0;
    unsigned methods;
    if (path.n > EXCHANGE_PATH_GUESSED)
        return NULL;
    while (str_cut(&path, '/', &piece)) {
        if (piece.n)
            n += (size_t)snprintf(plain + n, sizeof(plain) - n, "/%.*s", STR_ARG(piece));
    }
    for (const char *at = plain; at && *at; at = strchr(at + 1, '/')) {
        for (int i = 0; i < 2; i++) {
            char *guess = xasprintf("%s%s", i ? "/v1" : "", at);
            if (exchange_route(config, control, method, str_from(guess), &rest, &methods) ||
                methods)
                return guess;
            free(guess);
        }
    }
    return NULL;
}

bool http_decode(struct str text, char plus, char *ret, size_t size)
{
    size_t n = 0;
    for (; text.n && n + 1 < size; n++) {
        uint64_t byte = (unsigned char)(text.p[0] == '+' ? plus : text.p[0]);
        size_t used = text.p[0] == '%' ? 3 : 1;
        if (used > text.n ||
            (used == 3 && str_to_u64((struct str){text.p + 1, 2}, 16, &byte) < 0) || byte < 0x20 ||
            byte == 0x7f)
            return false;
        ret[n] = (char)byte;
        text = str_skip(text, used);
    }
    ret[n] = '\0';
    return text.n == 0;
}

/* ---- the answer ---- */

/* "200 OK"; of others the number alone. */
static void exchange_status_line(int status, char *ret, size_t size)
{
    struct str line,
        rest = STR("200 OK\n201 Created\n202 Accepted\n204 No Content\n304 Not Modified\n"
                   "400 Bad Request\n401 Unauthorized\n403 Forbidden\n"
                   "404 Not Found\n405 Method Not Allowed\n408 Request Timeout\n"
                   "409 Conflict\n413 Content Too Large\n"
                   "415 Unsupported Media Type\n417 Expectation Failed\n"
                   "422 Unprocessable Content\n429 Too Many Requests\n"
                   "431 Request Header Fields Too Large\n"
                   "500 Internal Server Error\n501 Not Implemented\n"
                   "502 Bad Gateway\n503 Service Unavailable\n504 Gateway Timeout\n"
                   "505 HTTP Version Not Supported\n507 Insufficient Storage");
    int n = snprintf(ret, size, "%d ", status);
    while (str_cut(&rest, '\n', &line)) {
        if (memcmp(line.p, ret, (size_t)n) == 0)
            snprintf(ret, size, "%.*s", STR_ARG(line));
    }
}

/* "Date: Tue, 24 Nov 2026 23:00:00 GMT\r\n" */
static const char *exchange_date(struct http_server *s)
{
    int64_t now = loop_now(s->loop);
    struct tm tm;
    if (s->date[0] && now - s->date_at < 1000)
        return s->date;
    time_t seconds = time(NULL);
    gmtime_r(&seconds, &tm);
    s->date_at = now;
    strftime(s->date, sizeof(s->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    return s->date;
}

static void exchange_add_origin(const struct http_exchange *x, struct buf *out)
{
    struct str origin = x->head.known[REQUEST_ORIGIN];
    if (!origin.n || !guard_origin_ok(&x->server->guard, origin))
        return;
    buf_addf(out,
             "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n"
             "Access-Control-Expose-Headers: *\r\n",
             STR_ARG(origin));
}

/* Clients' libraries show one of the two to their users. */
static void exchange_add_id(struct buf *out)
{
    unsigned char random[12] = {0};
    char id[2 * sizeof(random) + 1];
    (void)!getrandom(random, sizeof(random), 0); /* it always succeeds for so few bytes */
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    buf_addf(out, "Request-Id: req_%s\r\nX-Request-Id: req_%s\r\n", id, id);
}

/* What a handler gives for its answer. */
struct exchange_piece {
    struct http_exchange *x;
    void (*put)(struct http_exchange *x, const struct exchange_piece *piece);
    int status;
    const char *type, *headers; /* NULL none */
    struct str bytes;
    int64_t length;
};

static void exchange_put(void *context)
{
    const struct exchange_piece *piece = context;
    if (piece->x->connection && !piece->x->ended)
        piece->put(piece->x, piece);
}

/* In the loop's thread, which this may not be. */
static void exchange_give(struct exchange_piece piece)
{
    http_in_loop(piece.x, exchange_put, &piece);
}

static void exchange_begin(struct http_exchange *x, const struct exchange_piece *p)
{
    struct connection *c = x->connection;
    struct buf *out = &c->out;
    char line[48];
    if (c->phase == CONNECTION_BODY)
        connection_unread(c);
    x->began = true;
    x->status = p->status;
    x->chunked = p->length < 0 && !x->head.minor_0;
    x->events = p->type && str_starts(str_from(p->type), STR("text/event-stream"));
    if ((p->length < 0 && !x->chunked) || !x->head.keep || x->server->draining)
        c->last = true;
    exchange_status_line(p->status, line, sizeof(line));
    buf_addf(out, "HTTP/1.1 %s\r\n", line);
    buf_add_text(out, exchange_date(x->server));
    if (p->type)
        buf_addf(out, "Content-Type: %s\r\n", p->type);
    if (x->chunked)
        buf_add_text(out, "Transfer-Encoding: chunked\r\n");
    else if (p->length >= 0 && p->status != 204)
        buf_addf(out, "Content-Length: %lld\r\n", (long long)p->length);
    if (p->length < 0)
        buf_add_text(out, "Cache-Control: no-cache\r\n");
    exchange_add_origin(x, out);
    exchange_add_id(out);
    buf_add_str(out, buf_view(&x->fields));
    buf_add_text(out, p->headers ? p->headers : "");
    if (c->last)
        buf_add_text(out, "Connection: close\r\n");
    buf_add_text(out, "\r\n");
    connection_run_later(c);
}

void http_begin(struct http_exchange *x, const char *type)
{
    exchange_give((struct exchange_piece){
        .x = x, .put = exchange_begin, .status = 200, .type = type, .length = -1});
}

static void exchange_send(struct http_exchange *x, const struct exchange_piece *p)
{
    struct buf *out = &x->connection->out;
    if (!p->bytes.n || x->head.method == HTTP_HEAD)
        return;
    if (x->chunked)
        buf_addf(out, "%zx\r\n", p->bytes.n);
    buf_add_str(out, p->bytes);
    if (x->chunked)
        buf_add_text(out, "\r\n");
    if (http_pending(x) > HTTP_HIGH_WATER) {
        x->connection->blocked = true;
        if (x->job)
            job_tell(x->job, true, false);
    }
    connection_run_later(x->connection);
}

int http_send(struct http_exchange *x, struct str bytes)
{
    exchange_give((struct exchange_piece){.x = x, .put = exchange_send, .bytes = bytes});
    return job_wait_for_reader();
}

void http_end(struct http_exchange *x)
{
    if (x->chunked && x->head.method != HTTP_HEAD)
        buf_add_text(&x->connection->out, "0\r\n\r\n");
    x->ended = true;
    x->ops = NULL;
    x->worker = NULL;
    if (x->job)
        job_answered(x->job);
    connection_run_later(x->connection);
}

void http_cut(struct http_exchange *x)
{
    x->connection->last = true;
    x->chunked = false; /* no last chunk: the client must see that it is not whole */
    http_end(x);
}

size_t http_pending(const struct http_exchange *x)
{
    return x->connection->out.n - x->connection->sent;
}

void http_set_worker(struct http_exchange *x, const struct http_worker_ops *ops, void *worker)
{
    x->ops = ops;
    x->worker = worker;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    buf_addf(&x->fields, "%s: ", name);
    for (; *value; value++)
        buf_add_char(&x->fields, *value >= 0x20 && *value < 0x7f ? *value : '?');
    buf_add_text(&x->fields, "\r\n");
}

void exchange_add_methods(struct http_exchange *x, unsigned methods)
{
    methods |= methods & 1u << HTTP_GET ? 1u << HTTP_HEAD : 0;
    buf_add_text(&x->fields, "Allow: OPTIONS");
    for (int i = 0; i < HTTP_OPTIONS; i++) {
        if (methods & 1u << i)
            buf_addf(&x->fields, ", %s", http_method_names[i]);
    }
    buf_add_text(&x->fields, "\r\n");
}

void http_drop_headers(struct http_exchange *x)
{
    buf_clear(&x->fields);
}

static void exchange_reply(struct http_exchange *x, const struct exchange_piece *p)
{
    exchange_begin(x, p);
    exchange_send(x, p);
    http_end(x);
}

void http_reply(struct http_exchange *x, int status, const char *type, struct str body,
                const char *headers)
{
    exchange_give((struct exchange_piece){.x = x,
                                          .put = exchange_reply,
                                          .status = status,
                                          .type = type,
                                          .headers = headers,
                                          .bytes = body,
                                          .length = (int64_t)body.n});
}

void http_fail(struct http_exchange *x, int status, const char *code, const char *param,
               const char *format, ...)
{
    const struct http_server_config *config = &x->server->config;
    char message[800];
    struct http_failure failure = {x->request.path, x->meant, status, code, param, message};
    struct buf CLEAN_BUF body = BUF_INIT(65536);
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (config->ops->failure)
        config->ops->failure(config->user, &failure, &body);
    http_reply(x, status, "application/json", buf_view(&body),
               status == 503 ? "Retry-After: 1\r\n" : NULL);
}

void exchange_leave(struct http_exchange *x)
{
    const struct http_server_config *config = &x->server->config;
    if (config->ops->over && x->request.path.n)
        config->ops->over(config->user, x->ended ? x->status : 0);
    x->connection = NULL;
    if (!x->job)
        exchange_free(x);
}

void exchange_free(struct http_exchange *x)
{
    free(x->bytes);
    free(x->rest);
    free(x->meant);
    buf_done(&x->body);
    buf_done(&x->fields);
    free(x);
}
