/*
 * test_http_client.c - calls over a unix socket to a peer that behaves, breaks, lies and hangs:
 * each is told its answer or what went wrong, and whose fault that was, exactly once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- the peer: a thread that plays one script a connection ---- */

/*
 * A script is played for each request: "R" reads a request, "X" closes, "H" hangs until the peer
 * ends, "S" waits a moment; everything else is sent as it is. A script that ends waits for the next
 * request on the same connection and plays on; "X" goes to the next connection.
 */
struct step {
    char what;
    const char *bytes; /* of '=' */
};

struct peer {
    int listener;
    char dir[64], socket[100];
    pthread_t thread;
    const struct step *steps;
    atomic_int accepted, requests, stop, sent;
};

/* What came, a text a request. */
static char requests[8][4096];

static bool peer_wait(const struct peer *p, int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    while (!p->stop) {
        if (poll(&poll_fd, 1, 10) > 0)
            return true;
    }
    return false;
}

/* A head, and the body that its Content-Length tells of. */
static bool peer_read(struct peer *p, int fd)
{
    char *text = requests[p->requests % 8];
    size_t n = 0, whole = 0;
    while (n + 1 < sizeof(requests[0]) && (!whole || n < whole)) {
        if (!peer_wait(p, fd))
            return false;
        ssize_t got = recv(fd, text + n, sizeof(requests[0]) - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        text[n] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        if (end && !whole)
            whole = (size_t)(end + 4 - text) + (length ? strtoul(length + 16, NULL, 10) : 0);
    }
    p->requests++;
    return true;
}

static void peer_send(struct peer *p, int fd, const char *bytes, size_t n)
{
    while (n && !p->stop) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
        if (poll(&poll_fd, 1, 10) <= 0)
            continue;
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return;
        bytes += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
        p->sent += sent > 0 ? (int)sent : 0;
    }
}

static void *peer_run(void *context)
{
    static char megabyte[1 << 20];
    struct peer *p = context;
    const struct step *step = p->steps;
    int fd = -1;
    for (; step->what && !p->stop; step++) {
        if (fd < 0) {
            if (!peer_wait(p, p->listener))
                break;
            fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
            p->accepted++;
        }
        if (step->what == 'R' && !peer_read(p, fd))
            break;
        if (step->what == '=')
            peer_send(p, fd, step->bytes, strlen(step->bytes));
        if (step->what == '1') /* byte by byte */
            for (const char *b = step->bytes; *b; b++) {
                peer_send(p, fd, b, 1);
                usleep(200);
            }
        if (step->what == 'M')
            peer_send(p, fd, megabyte, sizeof(megabyte));
        if (step->what == 'L') { /* nobody listens any more */
            close(p->listener);
            p->listener = -1;
        }
        if (step->what == 'X') {
            close(fd);
            fd = -1;
        }
        while (step->what == 'H' && !p->stop)
            usleep(1000);
    }
    while (!p->stop)
        usleep(1000);
    if (fd >= 0)
        close(fd);
    return NULL;
}

static struct loop *loop;

static void peer_start(struct peer *p, const struct step *steps)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *p = (struct peer){.steps = steps};
    snprintf(p->dir, sizeof(p->dir), "/tmp/gfxb-http-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->socket, sizeof(p->socket), "%s/sock", p->dir);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", p->socket);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(p->listener, 16), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, peer_run, p), 0);
    assert_int_equal(loop_new(&loop, NULL), 0);
}

static void peer_end(struct peer *p)
{
    p->stop = 1;
    pthread_join(p->thread, NULL);
    if (p->listener >= 0)
        close(p->listener);
    unlink(p->socket);
    assert_int_equal(rmdir(p->dir), 0);
    loop_free(loop);
    loop = NULL;
}

/* ---- one call, and what was told of it ---- */

struct told {
    struct http_call *call;
    struct http_endpoint *endpoint;
    int heads, ends, broken, code, status;
    bool local;
    char type[64], body[4096];
    size_t n;       /* bytes of the body */
    char cancel_in; /* 'h' head, 'b' body */
    bool pause_in_body;
    struct told *next; /* asked from within end */
    struct loop_timer timer;
};

static void told_over(struct told *t)
{
    t->call = NULL;
    if (!t->next)
        loop_stop(loop);
}

static void on_head(void *owner, const struct http_answer *answer)
{
    struct told *t = owner;
    t->heads++;
    t->status = answer->status;
    snprintf(t->type, sizeof(t->type), "%.*s", STR_ARG(answer->type));
    if (t->cancel_in == 'h') {
        http_call_cancel(t->call);
        told_over(t);
    }
}

static void on_body(void *owner, struct str bytes)
{
    struct told *t = owner;
    assert_int_equal(t->heads, 1);
    if (t->n + bytes.n < sizeof(t->body))
        memcpy(t->body + t->n, bytes.p, bytes.n);
    t->n += bytes.n;
    if (t->cancel_in == 'b') {
        http_call_cancel(t->call);
        told_over(t);
    } else if (t->pause_in_body) {
        http_call_pause(t->call, true);
    }
}

static void start(struct http_endpoint *endpoint, struct told *t, const char *body, int gap_ms);

static void on_end(void *owner)
{
    struct told *t = owner;
    t->ends++;
    told_over(t);
    if (t->next)
        start(t->endpoint, t->next, NULL, 0);
}

static void on_broken(void *owner, int code, bool local)
{
    struct told *t = owner;
    t->broken++;
    t->code = code;
    t->local = local;
    told_over(t);
}

static const struct http_call_ops call_ops = {on_head, on_body, on_end, on_broken};

static void start(struct http_endpoint *endpoint, struct told *t, const char *body, int gap_ms)
{
    struct http_call_request request = {
        .path = "/x", .body = str_from(body), .gap_ms = gap_ms, .ops = &call_ops, .owner = t};
    t->endpoint = endpoint;
    t->call = http_call_start(endpoint, &request);
}

static struct told call(struct http_endpoint *endpoint, const char *body, int gap_ms)
{
    struct told t = {0};
    start(endpoint, &t, body, gap_ms);
    loop_run(loop);
    assert_int_equal(t.ends + t.broken, 1);
    return t;
}

static struct http_endpoint *endpoint_new(const struct peer *p)
{
    struct http_endpoint *endpoint;
    assert_int_equal(http_endpoint_new(loop, p->socket, "secret", 0, &endpoint), 0);
    return endpoint;
}

#define OK(length)                                                                                 \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " #length "\r\n\r\n"

/* ---- answers ---- */

static void test_what_is_sent(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(0)}, {'R', 0}, {'=', OK(0)}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    assert_int_equal(call(endpoint, "{\"a\":1}", 0).ends, 1);
    assert_memory_equal(requests[0], "POST /x HTTP/1.1\r\n", 18);
    assert_non_null(strstr(requests[0], "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(requests[0], "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(requests[0], "\r\nContent-Length: 7\r\n"));
    assert_non_null(strstr(requests[0], "\r\n\r\n{\"a\":1}"));
    assert_int_equal(call(endpoint, NULL, 0).ends, 1);
    assert_memory_equal(requests[1], "GET /x HTTP/1.1\r\n", 17);
    assert_null(strstr(requests[1], "Content-"));
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* The body is the same however it is framed and however it comes. */
static void test_every_framing(void **state)
{
    static const char *const answers[] = {
        OK(5) "hello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nT: "
        "u\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\n" OK(5) "hello",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        for (int slow = 0; slow < 2; slow++) {
            const struct step steps[] = {{'R', 0}, {slow ? '1' : '=', answers[i]}, {'X', 0}, {0}};
            struct peer p;
            peer_start(&p, steps);
            struct http_endpoint *endpoint = endpoint_new(&p);
            struct told t = call(endpoint, NULL, 0);
            assert_int_equal(t.ends, 1);
            assert_int_equal(t.heads, 1);
            assert_int_equal(t.status, 200);
            assert_string_equal(t.body, "hello");
            http_endpoint_free(endpoint);
            peer_end(&p);
        }
    }
}

static void test_answers_without_a_body(void **state)
{
    static const struct step steps[] = {
        {'R', 0}, {'=', "HTTP/1.1 204 No\r\n\r\n"}, {'R', 0}, {'=', OK(0)}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    assert_int_equal(call(endpoint, NULL, 0).status, 204);
    assert_int_equal(call(endpoint, NULL, 0).status, 200);
    assert_int_equal(p.accepted, 1);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* ---- connections that are kept ---- */

static void test_only_clean_connections_are_kept(void **state)
{
    static const struct step steps[] = {
        {'R', 0},
        {'=', OK(2) "ab"},
        {'R', 0},
        {'=', OK(2) "cd"},
        {'R', 0},
        {'=', OK(2) "efg"}, /* more than it told */
        {'X', 0},
        {'R', 0},
        {'=', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {'X', 0},
        {'R', 0},
        {'=', OK(0)},
        {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    for (int i = 0; i < 5; i++)
        assert_int_equal(call(endpoint, NULL, 0).ends, 1);
    assert_int_equal(p.accepted, 3); /* the first three on one */
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* A peer that closes what it promised to keep: the next call has a new connection and knows nothing
 * of it, whether the closing was seen before or comes across it. */
static void test_a_kept_connection_that_was_closed(void **state)
{
    static const struct step seen[] = {{'R', 0}, {'=', OK(0)}, {'X', 0},
                                       {'R', 0}, {'=', OK(0)}, {0}};
    static const struct step across[] = {{'R', 0}, {'=', OK(0)}, {'R', 0}, {'X', 0},
                                         {'R', 0}, {'=', OK(0)}, {0}};
    static const struct step *const scripts[] = {seen, across};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct peer p;
        peer_start(&p, scripts[i]);
        struct http_endpoint *endpoint = endpoint_new(&p);
        assert_int_equal(call(endpoint, NULL, 0).ends, 1);
        struct told t = call(endpoint, NULL, 0);
        assert_int_equal(t.ends, 1);
        assert_int_equal(t.status, 200);
        assert_int_equal(p.accepted, 2);
        http_endpoint_free(endpoint);
        peer_end(&p);
    }
}

/* The peer ends by a request that came over a kept connection. That it does not listen any more is
 * only found afterwards: the call was cut off, it did not come too late. */
static void test_a_peer_that_ends_by_a_request(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(0)}, {'R', 0}, {'L', 0}, {'X', 0}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    assert_int_equal(call(endpoint, NULL, 0).ends, 1);
    struct told t = call(endpoint, NULL, 0);
    assert_int_equal(t.code, -ECONNRESET);
    assert_false(t.local);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* Asked from within the end of another call: on the connection that has just become free. */
static void test_asked_from_within_an_end(void **state)
{
    static const struct step steps[] = {
        {'R', 0}, {'=', OK(1) "a"}, {'R', 0}, {'=', OK(1) "b"}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    struct told second = {0}, first = {.next = &second};
    start(endpoint, &first, NULL, 0);
    loop_run(loop);
    assert_int_equal(first.ends, 1);
    assert_int_equal(second.ends, 1);
    assert_string_equal(second.body, "b");
    assert_int_equal(p.accepted, 1);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* ---- what goes wrong ---- */

static void test_broken_answers(void **state)
{
    static const struct {
        const char *answer;
        int code;
    } cases[] = {
        {"", -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nContent-Le", -ECONNRESET},
        {OK(5) "hell", -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", -ECONNRESET},
        {"HTTP/1.1 102 Processing\r\n\r\n", -ECONNRESET},
        {"nonsense\r\n\r\n", -EPROTO},
        {"HTTP/1.1 101 Switching\r\n\r\n", -EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", -EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct step steps[] = {{'R', 0}, {'=', cases[i].answer}, {'X', 0}, {0}};
        struct peer p;
        peer_start(&p, steps);
        struct http_endpoint *endpoint = endpoint_new(&p);
        struct told t = call(endpoint, "{}", 0);
        assert_int_equal(t.code, cases[i].code);
        assert_false(t.local);
        http_endpoint_free(endpoint);
        peer_end(&p);
    }
}

static void test_a_head_without_end(void **state)
{
    static const struct step steps[] = {
        {'R', 0}, {'=', "HTTP/1.1 200 OK\r\nX: "}, {'M', 0}, {'H', 0}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    assert_int_equal(call(endpoint, NULL, 0).code, -EPROTO);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* It answered although it did not read the request to its end. */
static void test_an_answer_before_the_request_is_sent(void **state)
{
    static const struct step steps[] = {{'=', OK(4) "busy"}, {'X', 0}, {0}};
    static char large[4 << 20];
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    memset(large, 'x', sizeof(large) - 1);
    struct told t = call(endpoint, large, 0);
    assert_int_equal(t.ends, 1);
    assert_string_equal(t.body, "busy");
    http_endpoint_free(endpoint);
    peer_end(&p);
}

static void test_silence(void **state)
{
    static const struct step before[] = {{'R', 0}, {'H', 0}, {0}};
    static const struct step within[] = {{'R', 0}, {'=', OK(5) "he"}, {'H', 0}, {0}};
    static const struct step *const scripts[] = {before, within};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct peer p;
        peer_start(&p, scripts[i]);
        struct http_endpoint *endpoint = endpoint_new(&p);
        struct told t = call(endpoint, NULL, 50);
        assert_int_equal(t.code, -ETIMEDOUT);
        assert_false(t.local);
        assert_int_equal(p.accepted, 1); /* it is not asked again */
        http_endpoint_free(endpoint);
        peer_end(&p);
    }
}

static void test_nobody_listens(void **state)
{
    static const struct step none[] = {{0}};
    struct peer p;
    struct http_endpoint *endpoint;
    (void)state;
    peer_start(&p, none);
    close(p.listener);
    p.listener = -1;
    endpoint = endpoint_new(&p);
    struct told t = call(endpoint, NULL, 0);
    assert_int_equal(t.code, -ECONNREFUSED);
    assert_false(t.local);
    http_endpoint_free(endpoint);
    unlink(p.socket);
    endpoint = endpoint_new(&p);
    t = call(endpoint, NULL, 0);
    assert_int_equal(t.code, -ENOENT);
    assert_false(t.local);
    http_endpoint_free(endpoint);
    char name[200];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(http_endpoint_new(loop, name, NULL, 0, &endpoint), -ENAMETOOLONG);
    peer_end(&p);
}

/* No more descriptors than there are now. */
static struct rlimit no_descriptors(void)
{
    struct rlimit old, none;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    getrlimit(RLIMIT_NOFILE, &old);
    close(next);
    none = old;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return old;
}

/* Our own lack of descriptors is told as such, and the peer is fine when there are some again. */
static void test_own_lack_of_descriptors(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(0)}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    struct rlimit old = no_descriptors();
    struct told t = call(endpoint, NULL, 0);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(t.code, -EMFILE);
    assert_true(t.local);
    assert_int_equal(p.accepted, 0);
    assert_int_equal(call(endpoint, NULL, 0).ends, 1);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* The socket's name leads to another process than the one that was started. */
static void test_the_peer_must_be_the_expected_process(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(0)}, {0}};
    struct http_endpoint *endpoint;
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    assert_int_equal(http_endpoint_new(loop, p.socket, NULL, getpid() + 1, &endpoint), 0);
    struct told t = call(endpoint, "{\"secret\":true}", 0);
    assert_int_equal(t.code, -EPERM);
    assert_false(t.local);
    assert_int_equal(p.requests, 0);
    http_endpoint_free(endpoint);
    peer_end(&p);
    peer_start(&p, steps);
    assert_int_equal(http_endpoint_new(loop, p.socket, NULL, getpid(), &endpoint), 0);
    assert_int_equal(call(endpoint, NULL, 0).ends, 1);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* ---- cancelled and paused ---- */

static void test_cancel(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(9) "begin"}, {'H', 0}, {0}};
    (void)state;
    for (const char *where = "hb"; *where; where++) {
        struct peer p;
        peer_start(&p, steps);
        struct http_endpoint *endpoint = endpoint_new(&p);
        struct told t = {.cancel_in = *where};
        start(endpoint, &t, NULL, 0);
        loop_run(loop);
        assert_int_equal(t.heads, 1);
        assert_int_equal(t.ends + t.broken, 0);
        http_endpoint_free(endpoint);
        peer_end(&p);
    }
    struct peer p;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    struct told t = {0};
    start(endpoint, &t, NULL, 0);
    http_call_cancel(t.call); /* before its first turn */
    http_endpoint_free(endpoint);
    assert_int_equal(t.heads + t.ends + t.broken, 0);
    peer_end(&p);
}

static void resume(struct loop_timer *timer)
{
    struct told *t = container_of(timer, struct told, timer);
    t->pause_in_body = false;
    http_call_pause(t->call, false);
}

/* While a call is paused its peer has to wait, no time runs out, and nothing is lost. */
static void test_pause(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(4194304)}, {'M', 0}, {'M', 0},
                                        {'M', 0}, {'M', 0},           {'X', 0}, {0}};
    struct peer p;
    (void)state;
    peer_start(&p, steps);
    struct http_endpoint *endpoint = endpoint_new(&p);
    struct told t = {.pause_in_body = true, .timer = {.due = resume}};
    start(endpoint, &t, NULL, 50);
    loop_timer_set(loop, &t.timer, 200);
    loop_run(loop);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.n, 4194304);
    loop_timer_clear(loop, &t.timer);
    http_endpoint_free(endpoint);
    peer_end(&p);
}

/* ---- one call, waited for ---- */

static int take(void *context, struct str bytes)
{
    struct buf *b = context;
    buf_add_str(b, bytes);
    return 0;
}

static int take_nothing(void *context, struct str bytes)
{
    (void)context;
    (void)bytes;
    return -EFBIG;
}

static int64_t soon(void *context)
{
    int64_t *until = context;
    if (!*until)
        *until = clock_now_ms() + 50;
    return *until;
}

static void test_ask(void **state)
{
    static const struct step steps[] = {{'R', 0}, {'=', OK(5) "hello"}, {'X', 0}, {0}};
    struct buf CLEAN_BUF body = BUF_INIT(100);
    struct peer p;
    int status = 0;
    (void)state;
    peer_start(&p, steps);
    struct http_ask request = {.socket = p.socket,
                               .path = "/y",
                               .body = STR("{}"),
                               .pid = getpid(),
                               .pidfd = -1,
                               .on_bytes = take,
                               .context = &body};
    assert_int_equal(http_ask(&request, &status), 0);
    assert_int_equal(status, 200);
    assert_string_equal(buf_text(&body), "hello");
    assert_memory_equal(requests[0], "POST /y HTTP/1.1\r\n", 18);
    peer_end(&p);
}

struct later {
    atomic_int flag;
    pid_t pid;
};

static void *set_later(void *context)
{
    struct later *later = context;
    usleep(50000);
    later->flag = 1;
    if (later->pid)
        kill(later->pid, SIGKILL);
    return NULL;
}

static void test_ask_that_does_not_end(void **state)
{
    static const struct step hang[] = {{'R', 0}, {'=', OK(9) "begin"}, {'H', 0}, {0}};
    struct later later = {0};
    struct peer p;
    pthread_t thread;
    int64_t until = 0;
    int status = 0;
    (void)state;
    struct http_ask request = {.socket = p.socket, .path = "/", .pidfd = -1};
    peer_start(&p, hang);
    request.until = soon;
    request.context = &until;
    assert_int_equal(http_ask(&request, &status), -ETIMEDOUT);
    peer_end(&p);
    peer_start(&p, hang);
    request.until = NULL;
    request.cancel = &later.flag;
    pthread_create(&thread, NULL, set_later, &later);
    assert_int_equal(http_ask(&request, &status), -EINTR);
    pthread_join(thread, NULL);
    peer_end(&p);
    peer_start(&p, hang);
    request.cancel = NULL;
    request.on_bytes = take_nothing;
    assert_int_equal(http_ask(&request, &status), -EFBIG);
    peer_end(&p);
    peer_start(&p, hang);
    request.on_bytes = NULL;
    later.pid = fork();
    if (later.pid == 0)
        for (;;)
            pause();
    request.pidfd = (int)syscall(SYS_pidfd_open, later.pid, 0);
    pthread_create(&thread, NULL, set_later, &later);
    assert_int_equal(http_ask(&request, &status), -ECONNRESET);
    pthread_join(thread, NULL);
    waitpid(later.pid, NULL, 0);
    close(request.pidfd);
    peer_end(&p);
}

static void test_ask_that_cannot_begin(void **state)
{
    static const struct step none[] = {{0}};
    struct peer p;
    int status = 0;
    (void)state;
    peer_start(&p, none);
    struct http_ask request = {.socket = p.socket, .path = "/", .pidfd = -1};
    struct rlimit old = no_descriptors();
    int result = http_ask(&request, &status);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(result, -EMFILE);
    assert_true(http_is_local(result));
    request.socket = "/nothing/there";
    assert_int_equal(http_ask(&request, &status), -ECONNREFUSED);
    assert_false(http_is_local(-ECONNREFUSED));
    peer_end(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_every_framing),
        cmocka_unit_test(test_answers_without_a_body),
        cmocka_unit_test(test_only_clean_connections_are_kept),
        cmocka_unit_test(test_a_kept_connection_that_was_closed),
        cmocka_unit_test(test_a_peer_that_ends_by_a_request),
        cmocka_unit_test(test_asked_from_within_an_end),
        cmocka_unit_test(test_broken_answers),
        cmocka_unit_test(test_a_head_without_end),
        cmocka_unit_test(test_an_answer_before_the_request_is_sent),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_own_lack_of_descriptors),
        cmocka_unit_test(test_the_peer_must_be_the_expected_process),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_ask),
        cmocka_unit_test(test_ask_that_does_not_end),
        cmocka_unit_test(test_ask_that_cannot_begin),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
