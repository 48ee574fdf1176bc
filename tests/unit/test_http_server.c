/*
 * test_http_server.c - the server over real sockets: every client gets its answer or a clear
 * refusal, whatever the others do, and the server ends when it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a server with a few calls ---- */

struct world {
    struct http_server *server;
    pthread_t thread;
    unsigned port;
    char dir[64];
    bool ended; /* the thread was joined */
    struct work *work;
    /* Counted by the calls: */
    atomic_int cancelled, over[6], draining, pending_most, jobs, job_cancels, held, connections;
    atomic_bool release;
};

static void reply_hello(struct http_exchange *x)
{
    http_reply(x, 200, "text/plain", STR("hello"), "x-more: 1\r\n");
}

static void reply_body(struct http_exchange *x)
{
    http_reply(x, 200, "application/json", http_request(x)->body, NULL);
}

static void reply_rest(struct http_exchange *x)
{
    http_reply(x, 200, "text/plain", http_request(x)->rest, NULL);
}

static void reply_header(struct http_exchange *x)
{
    http_reply(x, 200, "text/plain", http_header(x, "x-asked"), NULL);
}

/* Nobody answers until the client leaves. */
static void wait_cancel(void *worker)
{
    struct world *w = worker;
    w->cancelled++;
}

static const struct http_worker_ops wait_ops = {wait_cancel, NULL};

static void wait_for_ever(struct http_exchange *x)
{
    struct world *w = http_user(x);
    http_set_worker(x, &wait_ops, w);
    w->held++;
}

/* A stream of pieces, as fast as the client takes them. */
enum { STREAM_PIECE = 30000, STREAM_PIECES = 500 };

struct stream {
    struct http_exchange *x;
    struct world *w;
    int left;
};

static void stream_cancel(void *worker)
{
    struct stream *s = worker;
    s->w->cancelled++;
    free(s);
}

static void stream_run(void *worker)
{
    static const char piece[STREAM_PIECE] = {'x'};
    struct stream *s = worker;
    while (s->left && http_pending(s->x) <= HTTP_HIGH_WATER) {
        http_send(s->x, (struct str){piece, sizeof(piece)});
        s->left--;
    }
    if ((int)http_pending(s->x) > s->w->pending_most)
        s->w->pending_most = (int)http_pending(s->x);
    if (s->left)
        return;
    http_end(s->x);
    free(s);
}

static const struct http_worker_ops stream_ops = {stream_cancel, stream_run};

static void reply_stream(struct http_exchange *x)
{
    struct stream *s = calloc(1, sizeof(*s));
    *s = (struct stream){.x = x, .w = http_user(x), .left = STREAM_PIECES};
    http_set_worker(x, &stream_ops, s);
    http_begin(x, "application/octet-stream");
    stream_run(s);
}

/* A stream of events that has begun and goes on when `release` is set. */
struct events {
    struct loop_timer timer;
    struct http_exchange *x;
    struct world *w;
};

static void events_cancel(void *worker)
{
    struct events *e = worker;
    e->w->cancelled++;
    loop_timer_clear(http_server_loop(e->w->server), &e->timer);
    free(e);
}

static const struct http_worker_ops events_ops = {events_cancel, NULL};

static void events_due(struct loop_timer *timer)
{
    struct events *e = container_of(timer, struct events, timer);
    if (!e->w->release) {
        loop_timer_set(http_server_loop(e->w->server), timer, 5);
        return;
    }
    http_send(e->x, STR("data: last\n\n"));
    http_end(e->x);
    loop_timer_clear(http_server_loop(e->w->server), timer);
    free(e);
}

static void reply_events(struct http_exchange *x)
{
    struct events *e = calloc(1, sizeof(*e));
    *e = (struct events){.timer = {.due = events_due}, .x = x, .w = http_user(x)};
    http_set_worker(x, &events_ops, e);
    http_begin(x, "text/event-stream");
    http_send(x, STR("data: first\n\n"));
    e->w->held++;
    loop_timer_set(http_server_loop(e->w->server), &e->timer, 5);
}

/* ---- handlers that block ---- */

struct job_look {
    struct world *w;
    int seen;
};

static void job_in_loop(void *context)
{
    struct job_look *look = context;
    look->seen = look->w->jobs;
}

static void job_pieces(struct http_exchange *x)
{
    static const char piece[STREAM_PIECE] = {'x'};
    struct world *w = http_user(x);
    struct job_look look = {.w = w};
    w->jobs++;
    http_in_loop(x, job_in_loop, &look);
    assert_true(look.seen > 0);
    http_begin(x, "application/octet-stream");
    for (int i = 0; i < STREAM_PIECES; i++) {
        if (http_send(x, (struct str){piece, sizeof(piece)}) < 0) {
            w->job_cancels++;
            return;
        }
    }
}

static void job_waits(struct http_exchange *x)
{
    struct world *w = http_user(x);
    w->jobs++;
    while (!*http_cancelled(x) && !w->release)
        usleep(1000);
    w->job_cancels += *http_cancelled(x);
    if (!*http_cancelled(x))
        http_reply(x, 200, "text/plain", STR("done"), NULL);
}

/* The request is still there once the client has its answer, or has left. */
static void job_goes_on(struct http_exchange *x)
{
    struct world *w = http_user(x);
    struct str body = http_request(x)->body;
    char *copy = str_dup(body);
    w->jobs++;
    http_reply(x, 200, "text/plain", STR("first"), NULL);
    while (!w->release)
        usleep(1000);
    http_fail(x, 500, NULL, NULL, "a second answer");
    assert_true(str_is(body, copy));
    assert_true(str_is(http_request(x)->path, "/job/goes-on"));
    free(copy);
    w->held++;
}

/* Takes the body once `release` is set, and says how long it was and what its bytes add up to. */
static void job_receives(struct http_exchange *x)
{
    struct world *w = http_user(x);
    struct buf CLEAN_BUF piece = BUF_INIT(0), text = BUF_INIT(100);
    uint64_t n = 0, sum = 0;
    int result;
    w->jobs++;
    while (!w->release && !*http_cancelled(x))
        usleep(1000);
    while ((result = http_receive(x, &piece)) > 0) {
        for (size_t i = 0; i < piece.n; i++)
            sum += (unsigned char)piece.p[i];
        if ((int)piece.n > w->pending_most)
            w->pending_most = (int)piece.n;
        n += piece.n;
    }
    buf_addf(&text, "%llu of %llu, %llu", (unsigned long long)n,
             (unsigned long long)http_body_length(x), (unsigned long long)sum);
    w->job_cancels += result == -ECANCELED;
    if (result == 0)
        http_reply(x, 201, "text/plain", buf_view(&text), NULL);
}

/* Its answer comes before the body. */
static void job_refuses(struct http_exchange *x)
{
    http_fail(x, 409, "busy", NULL, "not now");
}

static void job_says_nothing(struct http_exchange *x)
{
    (void)x;
}

static void job_fails(struct http_exchange *x)
{
    http_fail(x, 409, "busy", NULL, "not now");
}

/* ---- descriptors ---- */

static int taken[4096];
static size_t n_taken;

/* All that are left. */
static void take_descriptors(struct http_exchange *x)
{
    int fd;
    while (n_taken < 4096 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[n_taken++] = fd;
    http_reply(x, 200, "text/plain", STR("taken"), NULL);
}

static void give_descriptors(void *context)
{
    (void)context;
    while (n_taken)
        close(taken[--n_taken]);
}

/* ---- the rest of it ---- */

static const struct http_route routes[] = {
    {HTTP_GET, "/hello", reply_hello, 0, 0},
    {HTTP_POST, "/echo", reply_body, 0, 0},
    {HTTP_POST, "/any", reply_body, HTTP_ANY_BODY, 0},
    {HTTP_GET, "/v1/names/*", reply_rest, 0, 0},
    {HTTP_GET, "/header", reply_header, 0, 0},
    {HTTP_GET, "/wait", wait_for_ever, 0, 0},
    {HTTP_GET, "/stream", reply_stream, 0, 0},
    {HTTP_GET, "/events", reply_events, 0, 0},
    {HTTP_GET, "/open", reply_hello, HTTP_NO_KEY, 0},
    {HTTP_GET, "/control", reply_hello, HTTP_CONTROL, 0},
    {HTTP_GET, "/job/pieces", job_pieces, HTTP_BLOCKS, 0},
    {HTTP_GET, "/job/wait", job_waits, HTTP_BLOCKS, 0},
    {HTTP_GET, "/job/nothing", job_says_nothing, HTTP_BLOCKS, 0},
    {HTTP_GET, "/job/fails", job_fails, HTTP_BLOCKS, 0},
    {HTTP_POST, "/job/goes-on", job_goes_on, HTTP_BLOCKS, 0},
    {HTTP_POST, "/job/receives", job_receives, HTTP_BLOCKS | HTTP_RECEIVES | HTTP_ANY_BODY, 0},
    {HTTP_POST, "/job/refuses", job_refuses, HTTP_BLOCKS | HTTP_RECEIVES | HTTP_ANY_BODY, 0},
    {HTTP_GET, "/take", take_descriptors, 0, 0},
    {0},
};
static const struct http_route *const tables[] = {routes, NULL};
static const struct http_alias aliases[] = {{"/api/v1/", "/v1/"}, {NULL, NULL}};

static void on_failure(void *user, const struct http_failure *f, struct buf *out)
{
    (void)user;
    buf_addf(out, "{\"path\":\"%.*s\",\"code\":\"%s\",\"message\":\"%s\"}", STR_ARG(f->path),
             f->code ? f->code : "", f->message);
}

static void on_over(void *user, int status)
{
    struct world *w = user;
    w->over[status / 100]++;
}

static void on_draining(void *user)
{
    struct world *w = user;
    w->draining++;
}

static const struct http_server_ops ops = {on_failure, on_over, on_draining, NULL};

static void *world_run(void *context)
{
    struct world *w = context;
    http_server_run(w->server);
    return NULL;
}

static struct world *world_make(const struct http_server_config *more)
{
    struct world *w = calloc(1, sizeof(*w));
    struct http_server_config config = more ? *more : (struct http_server_config){0};
    struct gfxb_error err = {.text = ""};
    char address[256];
    assert_non_null(w);
    config.routes = tables;
    config.aliases = aliases;
    config.ops = &ops;
    config.user = w;
    if (http_server_new(&config, &w->server, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(http_server_address(w->server, 0, address, sizeof(address)));
    w->port = (unsigned)strtoul(strrchr(address, ':') + 1, NULL, 10);
    return w;
}

static struct world *world_new(const struct http_server_config *more)
{
    struct world *w = world_make(more);
    assert_int_equal(pthread_create(&w->thread, NULL, world_run, w), 0);
    return w;
}

static void drain(void *context)
{
    http_server_drain(context);
}

static void world_join(struct world *w)
{
    pthread_join(w->thread, NULL);
    w->ended = true;
}

static void world_free(struct world *w)
{
    if (!w->ended) {
        loop_post(http_server_loop(w->server), drain, w->server);
        loop_post(http_server_loop(w->server), drain, w->server); /* at once */
        world_join(w);
    }
    http_server_free(w->server);
    free(w);
}

/* Until another thread has counted so far. */
static void wait_until(const atomic_int *counter, int value)
{
    for (int i = 0; i < 20000 && *counter < value; i++)
        usleep(1000);
    assert_int_equal(*counter, value);
}

/* ---- a client ---- */

static int client_try(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int client_new(unsigned port)
{
    int fd = client_try(port);
    assert_true(fd >= 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

struct answer {
    int status;
    char head[4096];
    char body[65536];
    size_t n; /* of the body; of a stream all of it, however long */
};

static bool client_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && recv(fd, line + n, 1, 0) == 1) {
        if (line[n++] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    line[n] = '\0';
    return false;
}

/* So many bytes; what does not fit into the body is counted only. False: fewer came. */
static bool client_bytes(int fd, struct answer *a, size_t n)
{
    char scratch[65536];
    while (n) {
        ssize_t got = recv(fd, scratch, n < sizeof(scratch) ? n : sizeof(scratch), 0);
        if (got <= 0)
            return false;
        if (a->n + (size_t)got < sizeof(a->body))
            memcpy(a->body + a->n, scratch, (size_t)got);
        a->n += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool client_head(int fd, struct answer *a)
{
    char line[4096];
    *a = (struct answer){0};
    if (!client_line(fd, line, sizeof(line)) || sscanf(line, "HTTP/1.1 %d ", &a->status) != 1)
        return false;
    while (client_line(fd, line, sizeof(line)) && strcmp(line, "\r\n") != 0)
        snprintf(a->head + strlen(a->head), sizeof(a->head) - strlen(a->head), "%s", line);
    return true;
}

/* One whole answer, its body chunked or of known length. False: it was cut off. */
static bool client_answer(int fd, struct answer *a)
{
    char line[64];
    size_t n = 1;
    if (!client_head(fd, a))
        return false;
    const char *length = strstr(a->head, "Content-Length: ");
    if (length)
        return client_bytes(fd, a, strtoul(length + 16, NULL, 10));
    if (!strstr(a->head, "Transfer-Encoding: chunked"))
        return a->status == 204 || a->status < 200;
    while (n) {
        if (!client_line(fd, line, sizeof(line)))
            return false;
        n = strtoul(line, NULL, 16);
        if (!client_bytes(fd, a, n) || !client_line(fd, line, sizeof(line)))
            return false;
    }
    return true;
}

static void expect_answer(int fd, int status, const char *body)
{
    struct answer a;
    assert_true(client_answer(fd, &a));
    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(a.body, body);
}

static void expect_closed(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* A request on a connection of its own, and the status of its answer. */
static int ask(unsigned port, const char *request)
{
    struct answer a;
    int fd = client_new(port);
    client_send(fd, request);
    bool whole = client_answer(fd, &a);
    close(fd);
    return whole ? a.status : -1;
}

/* ---- requests and answers ---- */

static void test_keep_alive(void **state)
{
    struct world *w = world_new(NULL);
    struct answer a;
    int fd = client_new(w->port);
    (void)state;
    for (int i = 0; i < 3; i++) {
        client_send(fd, GET("/hello"));
        assert_true(client_answer(fd, &a));
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "hello");
        assert_non_null(strstr(a.head, "Date: "));
        assert_non_null(strstr(a.head, "x-more: 1\r\n"));
        assert_null(strstr(a.head, "Connection:"));
    }
    client_send(fd, "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_true(client_answer(fd, &a));
    assert_non_null(strstr(a.head, "Connection: close\r\n"));
    expect_closed(fd);
    wait_until(&w->over[2], 4);
    world_free(w);
}

static void test_head_and_old_clients(void **state)
{
    struct world *w = world_new(NULL);
    char all[65536];
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, "HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" GET("/hello"));
    struct answer a;
    assert_true(client_head(fd, &a));
    assert_non_null(strstr(a.head, "Content-Length: 5\r\n"));
    expect_answer(fd, 200, "hello"); /* no body came between */
    close(fd);
    fd = client_new(w->port);
    client_send(fd, "GET /hello HTTP/1.0\r\n\r\n");
    ssize_t n = recv(fd, all, sizeof(all) - 1, MSG_WAITALL);
    assert_true(n > 5 && memcmp(all + n - 5, "hello", 5) == 0);
    close(fd);
    world_free(w);
}

static void test_routes_and_aliases(void **state)
{
    struct world *w = world_new(NULL);
    struct answer a;
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, GET("/v1/names/a%20b/c"));
    expect_answer(fd, 200, "a b/c");
    client_send(fd, GET("/api/v1/names/%C3%A4?q=1"));
    expect_answer(fd, 200, "\xC3\xA4");
    client_send(fd, "GET /header HTTP/1.1\r\nHost: localhost\r\nX-Asked:  yes \r\n\r\n");
    expect_answer(fd, 200, "yes");
    client_send(fd, "GET http://127.0.0.1:1/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect_answer(fd, 200, "hello");
    client_send(fd, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(client_answer(fd, &a));
    assert_int_equal(a.status, 204);
    close(fd);
    assert_int_equal(ask(w->port, GET("/v1/names/")), 404);
    assert_int_equal(ask(w->port, GET("/v1/names/%00")), 400);
    assert_int_equal(ask(w->port, GET("/v1/names/..%2fx")), 400);
    assert_int_equal(ask(w->port, GET("/nothing")), 404);
    fd = client_new(w->port);
    client_send(fd, GET("/echo"));
    assert_true(client_answer(fd, &a));
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "Allow: OPTIONS, POST\r\n"));
    close(fd);
    assert_int_equal(ask(w->port, "PATCH /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"), 405);
    world_free(w);
}

/* Requests that come together are answered in their order, also when they come byte by byte. */
static void test_pipelining(void **state)
{
    static const char burst[] =
        "POST /any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1"
        "POST /any HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n"
        "\r\n" /* one line too many is passed over */
        GET("/job/fails") GET("/hello");
    struct world *w = world_new(NULL);
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        int fd = client_new(w->port), one = 1;
        setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
        if (!slow)
            client_send(fd, burst);
        for (size_t i = 0; slow && i < sizeof(burst) - 1; i++)
            assert_int_equal(send(fd, burst + i, 1, MSG_NOSIGNAL), 1);
        expect_answer(fd, 200, "1");
        expect_answer(fd, 200, "2");
        expect_answer(fd, 409, NULL);
        expect_answer(fd, 200, "hello");
        close(fd);
    }
    world_free(w);
}

/* What readers before us may have understood differently ends the connection behind it. */
static void test_trailers_are_the_last_of_a_connection(void **state)
{
    struct world *w = world_new(NULL);
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, "POST /any HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3;x=y\r\nabc\r\n0\r\nTrailer: z\r\n\r\n" GET("/hello"));
    expect_answer(fd, 200, "abc");
    expect_closed(fd);
    world_free(w);
}

/* ---- limits ---- */

static void test_limits(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.max_body = 20000});
    struct buf CLEAN_BUF big = BUF_INIT(1 << 20);
    static char whole[21000];
    (void)state;
    buf_add_text(&big, "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ");
    while (big.n < 60000)
        buf_add_text(&big, "aaaaaaaaaa");
    big.n -= 4;
    buf_add_text(&big, "\r\n\r\n");
    assert_int_equal(ask(w->port, buf_text(&big)), 200);
    big.n -= 4;
    while (big.n < 70000)
        buf_add_text(&big, "aaaaaaaaaa");
    buf_add_text(&big, "\r\n\r\n");
    assert_int_equal(ask(w->port, buf_text(&big)), 431);
    assert_int_equal(ask(w->port, "POST /any HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 20001\r\n\r\n"),
                     413);
    assert_int_equal(ask(w->port, "POST /any HTTP/1.1\r\nHost: localhost\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n4E21\r\n"),
                     413); /* before a byte of it has come */
    snprintf(whole, sizeof(whole),
             "POST /any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n%020000d", 7);
    assert_int_equal(ask(w->port, whole), 200);
    world_free(w);
}

static int echo_with(unsigned port, const char *fields)
{
    char request[1024];
    snprintf(request, sizeof(request),
             "POST /echo HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 2\r\n\r\n{}", fields);
    return ask(port, request);
}

/* A page may send anything but JSON without asking first, so a browser must say that it is JSON.
 * `curl -d` says that it is a form. */
static void test_type_of_the_body(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
#define PAGE "Origin: http://localhost:3000\r\n"
    assert_int_equal(echo_with(w->port, ""), 200);
    assert_int_equal(echo_with(w->port, "Content-Type: application/x-www-form-urlencoded\r\n"),
                     200);
    assert_int_equal(echo_with(w->port, PAGE), 415);
    assert_int_equal(echo_with(w->port, PAGE "Content-Type: text/plain\r\n"), 415);
    assert_int_equal(echo_with(w->port, PAGE "Content-Type: Application/JSON; x\r\n"), 200);
    assert_int_equal(echo_with(w->port, "Sec-Fetch-Site: none\r\n"), 415);
    world_free(w);
}

/* A base URL without /v1, with two, with a slash too many, or a whole address as base URL. */
static void test_paths_that_were_meant(void **state)
{
    static const struct {
        const char *path, *says;
    } cases[] = {
        {"/names/x", "use /v1/names/x "},
        {"/v1/v1/names/x", "use /v1/names/x "},
        {"/api/v1/v1/names/x", "use /v1/names/x "},
        {"//v1//names/x", "use /v1/names/x "},
        {"/hello/", "use /hello "},
        {"/v1/hello/hello?q", "use /hello "},
        {"/echo/", "use /echo "}, /* whatever the method */
        {"/nothing/at/all", "no such path"},
        {"/", "no such path"},
    };
    struct world *w = world_new(NULL);
    struct answer a;
    char request[512];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = client_new(w->port);
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 cases[i].path);
        client_send(fd, request);
        assert_true(client_answer(fd, &a));
        assert_int_equal(a.status, 404);
        if (!strstr(a.body, cases[i].says) || strstr(a.body, "/internal"))
            fail_msg("%s: %s", cases[i].path, a.body);
        close(fd);
    }
    world_free(w);
}

/* An offer to speak HTTP/2 is not taken: the answer is HTTP/1.1, and the connection stays. */
static void test_upgrade_is_ignored(void **state)
{
    struct world *w = world_new(NULL);
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings"
                    "\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
                    "Content-Length: 2\r\n\r\n{}" GET("/hello"));
    expect_answer(fd, 200, "{}");
    expect_answer(fd, 200, "hello");
    close(fd);
    world_free(w);
}

/* Refused while its body is still coming: the client reads the refusal, not a reset. */
static void test_refusal_reaches_a_sending_client(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.max_body = 1000});
    static char part[400000];
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, "POST /any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n");
    assert_int_equal(send(fd, part, sizeof(part), MSG_NOSIGNAL), sizeof(part));
    expect_answer(fd, 413, NULL);
    close(fd);
    world_free(w);
}

/* All large bodies together have a limit: more of them are refused, and later taken again. */
static void test_bodies_together(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.max_body = 200000});
    static char part[150000];
    int fd[16];
    (void)state;
    for (int i = 0; i < 16; i++) {
        fd[i] = client_new(w->port);
        client_send(fd[i], "POST /any HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: 200000\r\n\r\n");
        for (size_t sent = 0; sent < sizeof(part);) {
            ssize_t n = send(fd[i], part, sizeof(part) - sent, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            sent += (size_t)n;
        }
    }
    struct pollfd last = {.fd = fd[15], .events = POLLIN};
    assert_int_equal(poll(&last, 1, 20000), 1);
    expect_answer(fd[15], 503, NULL);
    for (int i = 0; i < 16; i++)
        close(fd[i]);
    for (int i = 0; i < 20000 && w->over[0] + w->over[5] < 16; i++)
        usleep(1000);
    assert_int_equal(w->over[0] + w->over[5], 16);
    assert_in_range(w->over[0], 4, 12); /* as many as the limit allows were not disturbed */
    assert_int_equal(ask(w->port, GET("/hello")), 200);
    world_free(w);
}

/* Heads that do not end count, too: they may be as large as any small body. */
static void test_heads_together(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.max_body = 20000});
    static char head[20000];
    int fd[16];
    (void)state;
    snprintf(head, sizeof(head), "GET /hello HTTP/1.1\r\nX: %019000d", 7);
    for (int i = 0; i < 16; i++) {
        fd[i] = client_new(w->port);
        client_send(fd[i], head);
    }
    expect_answer(fd[15], 503, NULL);
    for (int i = 0; i < 16; i++)
        close(fd[i]);
    world_free(w);
}

static void test_expect_continue(void **state)
{
    struct world *w = world_new(NULL);
    struct answer a;
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, "POST /any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n");
    assert_true(client_head(fd, &a));
    assert_int_equal(a.status, 100);
    client_send(fd, "abc");
    expect_answer(fd, 200, "abc");
    close(fd);
    world_free(w);
}

/* ---- slow, leaving and many clients ---- */

/* A reader that takes nothing holds up itself: little is kept for it, others are answered, and it
 * gets every byte once it reads. */
static void test_slow_reader(void **state)
{
    static const char *const paths[] = {GET("/stream"), GET("/job/pieces")};
    struct world *w = world_new(NULL);
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int fd = client_new(w->port);
        struct answer a;
        client_send(fd, paths[i]);
        for (int j = 0; j < 20; j++)
            assert_int_equal(ask(w->port, GET("/hello")), 200);
        assert_true(client_answer(fd, &a));
        assert_int_equal(a.n, (size_t)STREAM_PIECE * STREAM_PIECES);
        close(fd);
    }
    assert_in_range(w->pending_most, 1, HTTP_HIGH_WATER + STREAM_PIECE + 100);
    world_free(w);
}

/* Closing the sending side alone is no leaving: the answer is sent to its end. */
static void test_half_closed_client_is_answered(void **state)
{
    struct world *w = world_new(NULL);
    struct answer a;
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, GET("/stream"));
    shutdown(fd, SHUT_WR);
    assert_true(client_answer(fd, &a));
    assert_int_equal(a.n, (size_t)STREAM_PIECE * STREAM_PIECES);
    expect_closed(fd);
    fd = client_new(w->port);
    client_send(fd, GET("/events"));
    wait_until(&w->held, 1);
    shutdown(fd, SHUT_WR);
    w->release = true;
    assert_true(client_answer(fd, &a));
    assert_non_null(strstr(a.body, "data: first"));
    assert_non_null(strstr(a.body, "data: last"));
    expect_closed(fd);
    assert_int_equal(w->cancelled, 0);
    world_free(w);
}

/* A client that is gone is noticed while its answer waits: before it has begun, and within a stream
 * of events; also when its closing came in two steps. */
static void test_leaving_is_noticed(void **state)
{
    static const char *const paths[] = {GET("/wait"), GET("/events"), GET("/job/wait")};
    struct world *w = world_new(NULL);
    int left = 0;
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        int fd = client_new(w->port), held = w->held + w->jobs;
        struct linger hard = {1, 0};
        client_send(fd, paths[i % 3]);
        while (w->held + w->jobs == held)
            usleep(1000);
        if (i < 3) {
            shutdown(fd, SHUT_WR);
            usleep(20000);
        } else {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        }
        close(fd);
        left++;
        for (int j = 0; j < 20000 && w->cancelled + w->job_cancels < left; j++)
            usleep(1000);
        assert_int_equal(w->cancelled + w->job_cancels, left);
    }
    wait_until(&w->over[0], 6);
    world_free(w);
}

/* A stopped answer frees its place; the client that pipelines behind it does not keep the loop
 * busy: what is there already is not looked at again and again. */
static void test_pipelined_bytes_do_not_spin(void **state)
{
    struct world *w = world_new(NULL);
    struct timespec before, after;
    clockid_t clock;
    int fd = client_new(w->port);
    (void)state;
    client_send(fd, GET("/wait") GET("/hello"));
    wait_until(&w->held, 1);
    assert_int_equal(pthread_getcpuclockid(w->thread, &clock), 0);
    clock_gettime(clock, &before);
    usleep(400000);
    clock_gettime(clock, &after);
    int64_t ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    assert_in_range(ms, 0, 100); /* of CPU */
    close(fd);
    wait_until(&w->cancelled, 1);
    world_free(w);
}

enum { MANY = 1000 };

static void count_connections(void *context)
{
    struct world *w = context;
    w->connections = (int)http_server_connections(w->server);
}

static void test_a_thousand_connections(void **state)
{
    static int fd[MANY];
    struct rlimit limit;
    struct world *w = world_new(NULL);
    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit); /* which the server has raised */
    if (limit.rlim_cur < 3 * MANY) {
        world_free(w);
        skip();
    }
    for (int i = 0; i < MANY; i++)
        fd[i] = client_new(w->port);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            client_send(fd[i], GET("/hello"));
        for (int i = MANY - 1; i >= 0; i--)
            expect_answer(fd[i], 200, "hello");
    }
    loop_post(http_server_loop(w->server), count_connections, w);
    wait_until(&w->connections, MANY);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    world_free(w);
}

/* While connections close, a child that has just been forked holds copies of all of them. */
static void test_child_holds_copies(void **state)
{
    struct world *w = world_new(NULL);
    int fd[50], gate[2];
    char byte;
    (void)state;
    for (int i = 0; i < 50; i++) {
        fd[i] = client_new(w->port);
        client_send(fd[i], GET("/hello"));
        expect_answer(fd[i], 200, "hello");
    }
    assert_int_equal(pipe(gate), 0);
    pid_t child = fork();
    if (child == 0) {
        close(gate[1]);
        while (read(gate[0], &byte, 1) < 0)
            ;
        _exit(0);
    }
    for (int i = 0; i < 50; i++)
        client_send(fd[i], "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < 50; i++)
        expect_answer(fd[i], 200, "hello");
    for (int i = 0; i < 50; i++)
        send(fd[i], "x", 1, MSG_NOSIGNAL); /* news of what the server has closed */
    for (int i = 0; i < 50; i++)
        assert_int_equal(ask(w->port, GET("/hello")), 200);
    for (int i = 0; i < 50; i++)
        close(fd[i]);
    close(gate[0]);
    close(gate[1]);
    waitpid(child, NULL, 0);
    world_free(w);
}

/* ---- no descriptors ---- */

/* The server in a child that may have so many descriptors; the port is told through a pipe. */
static pid_t limited_server(rlim_t descriptors, unsigned *ret_port, int *ret_gate)
{
    int told[2], gate[2];
    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(gate), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {descriptors, descriptors};
        char byte;
        close(told[0]);
        close(gate[1]);
        setrlimit(RLIMIT_NOFILE, &limit);
        struct world *w = world_new(NULL);
        if (write(told[1], &w->port, sizeof(w->port)) != sizeof(w->port))
            _exit(1);
        while (read(gate[0], &byte, 1) == 1)
            loop_post(http_server_loop(w->server), give_descriptors, NULL);
        world_free(w);
        _exit(0);
    }
    close(told[1]);
    close(gate[0]);
    assert_int_equal(read(told[0], ret_port, sizeof(*ret_port)), sizeof(*ret_port));
    close(told[0]);
    *ret_gate = gate[1];
    return pid;
}

static void limited_end(pid_t pid, int gate)
{
    int status;
    close(gate);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* 64 descriptors and 80 clients that stay connected: each is answered, none is dropped, and nobody
 * has to come after them for it. (../shared's emfile.sh, as a test.) */
static void test_more_clients_than_descriptors(void **state)
{
    unsigned port;
    int gate, fd[80];
    (void)state;
    pid_t pid = limited_server(64, &port, &gate);
    for (int i = 0; i < 80; i++)
        fd[i] = client_new(port);
    for (int i = 0; i < 80; i++)
        client_send(fd[i], GET("/hello"));
    for (int i = 0; i < 80; i++)
        expect_answer(fd[i], 200, "hello");
    for (int i = 0; i < 80; i++)
        close(fd[i]);
    limited_end(pid, gate);
}

static int64_t cpu_ms_of(pid_t pid)
{
    struct timespec t;
    clockid_t clock;
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    clock_gettime(clock, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Somebody else of the process takes all descriptors: who comes then waits in the queue, without
 * costing CPU, and is answered once there are some again, although nobody comes after him. */
static void test_no_descriptor_left(void **state)
{
    unsigned port;
    int gate, fd[20];
    (void)state;
    pid_t pid = limited_server(64, &port, &gate);
    int first = client_new(port);
    client_send(first, GET("/take"));
    expect_answer(first, 200, "taken");
    client_send(first, GET("/wait")); /* keeps its descriptor */
    for (int i = 0; i < 20; i++) {
        fd[i] = client_new(port);
        client_send(fd[i], GET("/hello"));
    }
    int64_t before = cpu_ms_of(pid);
    usleep(500000);
    assert_in_range(cpu_ms_of(pid) - before, 0, 150);
    struct pollfd p = {.fd = fd[19], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(write(gate, "x", 1), 1);
    for (int i = 0; i < 20; i++) {
        expect_answer(fd[i], 200, "hello");
        close(fd[i]);
    }
    close(first);
    limited_end(pid, gate);
}

/* More clients than the server takes at a time, and all of these are being answered: the others
 * wait, and have their turn when one leaves. */
static void test_connections_have_a_limit(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.connections = 4});
    int fd[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        fd[i] = client_new(w->port);
        client_send(fd[i], GET("/wait"));
    }
    wait_until(&w->held, 4);
    int last = client_new(w->port);
    client_send(last, GET("/hello"));
    struct pollfd p = {.fd = last, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 200), 0);
    close(fd[0]);
    expect_answer(last, 200, "hello");
    close(last);
    for (int i = 1; i < 4; i++)
        close(fd[i]);
    world_free(w);
}

/* ---- guard ---- */

static int ask_with(unsigned port, const char *fields)
{
    char request[2048];
    snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\n%s\r\n", fields);
    return ask(port, request);
}

static void test_hosts_and_origins(void **state)
{
    static const char *const hosts[] = {"a.example", NULL}, *const origins[] = {"http://b", NULL};
    struct world *w =
        world_new(&(struct http_server_config){.allowed_hosts = hosts, .allowed_origins = origins});
    struct answer a;
    (void)state;
    assert_int_equal(ask_with(w->port, "Host: localhost:1\r\n"), 200);
    assert_int_equal(ask_with(w->port, "Host: [::1]:80\r\n"), 200);
    assert_int_equal(ask_with(w->port, "Host: A.example\r\n"), 200);
    assert_int_equal(ask_with(w->port, "Host: evil.example\r\n"), 403);
    assert_int_equal(ask_with(w->port, "Host: localhost:99999\r\n"), 403);
    assert_int_equal(ask_with(w->port, "Host:\r\n"), 403);
    assert_int_equal(ask(w->port, "GET http://evil.example/hello HTTP/1.1\r\n"
                                  "Host: localhost\r\n\r\n"),
                     403);
    assert_int_equal(ask_with(w->port, "Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
    assert_int_equal(ask_with(w->port, "Host: localhost\r\nOrigin: null\r\n"), 403);
    assert_int_equal(ask_with(w->port, "Host: localhost\r\nOrigin: http://b\r\n"), 200);
    int fd = client_new(w->port);
    client_send(fd, "OPTIONS /hello HTTP/1.1\r\nHost: localhost\r\n"
                    "Origin: http://localhost:3000\r\n"
                    "Access-Control-Request-Headers: x-one,x-two\r\n\r\n");
    assert_true(client_answer(fd, &a));
    assert_int_equal(a.status, 204);
    assert_non_null(strstr(a.head, "Access-Control-Allow-Origin: http://localhost:3000\r\n"));
    assert_non_null(strstr(a.head, "Access-Control-Allow-Headers: x-one,x-two\r\n"));
    assert_non_null(strstr(a.head, "Access-Control-Expose-Headers: *\r\n"));
    close(fd);
    world_free(w);
}

static void test_keys(void **state)
{
    static const char *const keys[] = {"one key", "another", NULL};
    struct world *w = world_new(&(struct http_server_config){.keys = keys});
    (void)state;
#define H "Host: localhost\r\n"
    assert_int_equal(ask_with(w->port, H "Authorization: Bearer one key\r\n"), 200);
    assert_int_equal(ask_with(w->port, H "X-Api-Key: another\r\n"), 200);
    assert_int_equal(ask_with(w->port, H), 401);
    assert_int_equal(ask_with(w->port, H "Authorization: Bearer one ke\r\n"), 401);
    assert_int_equal(ask_with(w->port, H "Authorization: Bearer one key2\r\n"), 401);
    assert_int_equal(ask_with(w->port, H "Authorization: Bearer \r\n"), 401);
    assert_int_equal(ask_with(w->port, H "Authorization: Basic one key\r\n"), 401);
    assert_int_equal(ask_with(w->port, H "X-Api-Key:\r\n"), 401);
    assert_int_equal(ask(w->port, GET("/open")), 200);
    assert_int_equal(ask(w->port, GET("/nothing")), 401); /* which paths there are is not told */
    world_free(w);
}

/* ---- the control socket, and other servers ---- */

static void dir_new(char *dir, size_t size)
{
    snprintf(dir, size, "/tmp/gfxb-http-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void dir_free(const char *dir)
{
    char path[128];
    static const char *const names[] = {"serve.lock", "serve.sock"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

static int control_status(const char *dir, const char *path, int pid)
{
    char *CLEAN_FREE socket = http_control_path(dir);
    struct http_ask request = {.socket = socket, .path = path, .pid = pid, .pidfd = -1};
    int status = 0, result = http_ask(&request, &status);
    return result < 0 ? result : status;
}

static void test_control_socket(void **state)
{
    static const char *const keys[] = {"secret", NULL};
    struct answer a;
    char dir[64];
    dir_new(dir, sizeof(dir));
    struct world *w = world_new(&(struct http_server_config){.runtime_dir = dir, .keys = keys});
    (void)state;
    assert_int_equal(control_status(dir, "/control", getpid()), 200);
    assert_int_equal(control_status(dir, "/hello", 0), 200); /* without a key */
    assert_int_equal(control_status(dir, "/control", 1), -EPERM);
    for (size_t i = 0; i < 2; i++) { /* over TCP it is as if it were not there */
        int fd = client_new(w->port);
        client_send(fd, i ? "POST" : "GET");
        client_send(fd, " /control HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: secret\r\n\r\n");
        assert_true(client_answer(fd, &a));
        assert_int_equal(a.status, 404);
        assert_non_null(strstr(a.body, "\"no such path\""));
        close(fd);
    }
    struct http_server *second;
    struct gfxb_error err;
    struct http_server_config config = {.runtime_dir = dir, .routes = tables};
    assert_int_equal(http_server_new(&config, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "runs already: process"));
    world_free(w);
    assert_int_equal(control_status(dir, "/control", 0), -ECONNREFUSED);
    dir_free(dir);
}

static void test_addresses_that_cannot_be(void **state)
{
    struct world *w = world_new(NULL);
    struct http_server *second;
    struct gfxb_error err;
    (void)state;
    struct http_server_config config = {.port = w->port, .routes = tables};
    assert_int_equal(http_server_new(&config, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "held by process"));
    config = (struct http_server_config){.host = "0.0.0.0", .routes = tables};
    assert_int_equal(http_server_new(&config, &second, &err), -EACCES);
    assert_non_null(strstr(err.text, "without a key"));
    config = (struct http_server_config){.host = "no such host.", .routes = tables};
    assert_int_equal(http_server_new(&config, &second, &err), -EINVAL);
    world_free(w);
}

/* ---- the end ---- */

/* Each of the signals lets what is under way finish, tells idle clients to go, and takes nobody
 * new. */
static void test_signals_drain(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world *w = world_new(NULL);
        struct answer a;
        int idle = client_new(w->port), busy = client_new(w->port), job = client_new(w->port);
        client_send(idle, GET("/hello"));
        expect_answer(idle, 200, "hello");
        client_send(busy, GET("/events"));
        wait_until(&w->held, 1);
        client_send(job, GET("/job/wait"));
        wait_until(&w->jobs, 1);
        kill(getpid(), numbers[i]);
        wait_until(&w->draining, 1);
        expect_closed(idle);
        assert_int_equal(client_try(w->port), -1);
        w->release = true;
        assert_true(client_answer(busy, &a));
        assert_non_null(strstr(a.body, "data: last"));
        expect_closed(busy);
        close(job);
        world_join(w);
        world_free(w);
    }
}

#define GO_ON                                                                                      \
    "POST /job/goes-on HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"          \
    "Content-Length: 5\r\n\r\n\"abc\""

/* The end waits for a handler that goes on after its answer. */
static void test_the_end_waits_for_jobs(void **state)
{
    struct world *w = world_new(NULL);
    struct timespec soon;
    (void)state;
    assert_int_equal(ask(w->port, GO_ON), 200);
    loop_post(http_server_loop(w->server), drain, w->server);
    wait_until(&w->draining, 1);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 100000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    assert_int_equal(pthread_timedjoin_np(w->thread, NULL, &soon), ETIMEDOUT);
    w->release = true;
    world_join(w);
    world_free(w);
}

/* An answer that does not end is cut off when its time is up. */
static void test_the_end_has_a_deadline(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.drain_ms = 50});
    int fd = client_new(w->port);
    char byte;
    (void)state;
    client_send(fd, GET("/wait"));
    wait_until(&w->held, 1);
    loop_post(http_server_loop(w->server), drain, w->server);
    world_join(w);
    assert_int_equal(w->cancelled, 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    world_free(w);
}

/* ---- the service manager ---- */

static void test_notify_and_long_watchdog(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char dir[64], text[256], all[1024] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};
    (void)state;
    dir_new(dir, sizeof(dir));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", dir);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "3600000000", 1); /* an hour */
    struct world *w = world_new(NULL);
    for (int i = 0; i < 2; i++) {
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s\n", text);
    }
    assert_non_null(strstr(all, "READY=1"));
    assert_non_null(strstr(all, "WATCHDOG=1"));
    world_free(w);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    close(fd);
    unlink(address.sun_path);
    rmdir(dir);
}

/* ---- jobs ---- */

static void test_jobs(void **state)
{
    struct world *w = world_new(NULL);
    int fd[HTTP_JOBS_MAX];
    (void)state;
    assert_int_equal(ask(w->port, GET("/job/nothing")), 500);
    assert_int_equal(ask(w->port, GET("/job/fails")), 409);
    for (int i = 0; i < HTTP_JOBS_MAX; i++) {
        fd[i] = client_new(w->port);
        client_send(fd[i], GET("/job/wait"));
    }
    wait_until(&w->jobs, HTTP_JOBS_MAX);
    assert_int_equal(ask(w->port, GET("/job/wait")), 503);
    assert_int_equal(ask(w->port, GET("/hello")), 200);
    w->release = true;
    for (int i = 0; i < HTTP_JOBS_MAX; i++) {
        expect_answer(fd[i], 200, "done");
        close(fd[i]);
    }
    assert_int_equal(ask(w->port, GET("/job/wait")), 200);
    world_free(w);
}

/* A handler may go on when its answer is out, or nobody waits for it: request and exchange stay,
 * and what else it says reaches nobody. */
#define RECEIVE "POST /job/receives HTTP/1.1\r\nHost: localhost\r\n"

/* As much as goes without waiting. */
static size_t client_send_some(int fd, size_t most)
{
    static const char bytes[65536] = {1, 2, 3};
    size_t n = 0;
    for (int idle = 0; n < most && idle < 200;) {
        ssize_t sent = send(fd, bytes, most - n < sizeof(bytes) ? most - n : sizeof(bytes),
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = sent > 0 ? 0 : idle + 1;
        n += sent > 0 ? (size_t)sent : 0;
        if (sent <= 0)
            usleep(1000);
    }
    return n;
}

/* A body of any length goes to its handler as it comes: the limit of other bodies does not count,
 * a handler that takes nothing holds the client up, and the server keeps little of it meanwhile. */
static void test_bodies_that_are_received(void **state)
{
    struct world *w = world_new(&(struct http_server_config){.max_body = 100000});
    enum { LENGTH = 64 << 20 };
    struct answer a;
    (void)state;
    int fd = client_new(w->port);
    client_send(fd, RECEIVE "Content-Length: 67108864\r\n\r\n");
    size_t n = client_send_some(fd, LENGTH);
    assert_true(n < LENGTH / 2);
    w->release = true;
    while (n < LENGTH)
        n += client_send_some(fd, LENGTH - n);
    assert_true(client_answer(fd, &a));
    assert_int_equal(a.status, 201);
    assert_int_equal(strncmp(a.body, "67108864 of 67108864, ", 22), 0);
    assert_true(w->pending_most < 2 << 20);
    /* The connection goes on, and a length need not be known. */
    client_send(
        fd, RECEIVE
        "Transfer-Encoding: chunked\r\n\r\n3\r\n\1\2\3\r\n1\r\n\4\r\n0\r\n\r\n" GET("/hello"));
    expect_answer(fd, 201, "4 of 0, 10");
    expect_answer(fd, 200, "hello");
    client_send(fd, RECEIVE "Content-Length: 0\r\n\r\n" GET("/hello"));
    expect_answer(fd, 201, "0 of 0, 0");
    expect_answer(fd, 200, "hello");
    close(fd);
    world_free(w);
}

/* Who breaks off in the middle, or sends no chunks, ends the handler's wait; a refusal reaches a
 * client that is still sending; the server is there for others afterwards. */
static void test_bodies_that_break_off(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
    int fd = client_new(w->port);
    client_send(fd, RECEIVE "Content-Length: 10\r\n\r\nabc");
    wait_until(&w->jobs, 1);
    close(fd);
    wait_until(&w->job_cancels, 1);
    w->release = true;
    fd = client_new(w->port);
    client_send(fd, RECEIVE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n");
    expect_answer(fd, 400, NULL);
    close(fd);
    wait_until(&w->job_cancels, 2);
    fd = client_new(w->port);
    client_send(fd, "POST /job/refuses HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 100000000\r\n\r\n");
    client_send_some(fd, 500000);
    expect_answer(fd, 409, NULL);
    expect_closed(fd);
    close(fd);
    fd = client_new(w->port);
    client_send(fd, GET("/hello"));
    expect_answer(fd, 200, "hello");
    close(fd);
    world_free(w);
}

/* An upload that the server's end cuts off is no fault of the server's. */
static void test_the_end_of_a_body_under_way(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
    int fd = client_new(w->port);
    client_send(fd, RECEIVE "Content-Length: 10\r\n\r\nabc");
    wait_until(&w->jobs, 1);
    loop_post(http_server_loop(w->server), drain, w->server);
    expect_answer(fd, 503, NULL);
    close(fd);
    world_join(w);
    world_free(w);
}

static void test_jobs_that_go_on(void **state)
{
    struct world *w = world_new(NULL);
    int stays = client_new(w->port), leaves = client_new(w->port);
    (void)state;
    client_send(stays, GO_ON);
    client_send(stays, GET("/hello"));
    expect_answer(stays, 200, "first");
    expect_answer(stays, 200, "hello");
    client_send(leaves, GO_ON);
    wait_until(&w->jobs, 2);
    close(leaves);
    assert_int_equal(ask(w->port, GET("/hello")), 200);
    w->release = true;
    wait_until(&w->held, 2);
    close(stays);
    world_free(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_head_and_old_clients),
        cmocka_unit_test(test_routes_and_aliases),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_trailers_are_the_last_of_a_connection),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_type_of_the_body),
        cmocka_unit_test(test_paths_that_were_meant),
        cmocka_unit_test(test_upgrade_is_ignored),
        cmocka_unit_test(test_refusal_reaches_a_sending_client),
        cmocka_unit_test(test_bodies_together),
        cmocka_unit_test(test_heads_together),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_half_closed_client_is_answered),
        cmocka_unit_test(test_leaving_is_noticed),
        cmocka_unit_test(test_pipelined_bytes_do_not_spin),
        cmocka_unit_test(test_a_thousand_connections),
        cmocka_unit_test(test_child_holds_copies),
        cmocka_unit_test(test_more_clients_than_descriptors),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_connections_have_a_limit),
        cmocka_unit_test(test_hosts_and_origins),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_control_socket),
        cmocka_unit_test(test_addresses_that_cannot_be),
        cmocka_unit_test(test_signals_drain),
        cmocka_unit_test(test_the_end_waits_for_jobs),
        cmocka_unit_test(test_the_end_has_a_deadline),
        cmocka_unit_test(test_notify_and_long_watchdog),
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_bodies_that_are_received),
        cmocka_unit_test(test_bodies_that_break_off),
        cmocka_unit_test(test_the_end_of_a_body_under_way),
        cmocka_unit_test(test_jobs_that_go_on),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
