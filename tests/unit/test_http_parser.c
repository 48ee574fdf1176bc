/*
 * test_http_parser.c - what the reader takes, what it refuses and with which status: the MUSTs of
 * RFC 9112, limits, and shapes that two readers could understand differently.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/parser.h"

#include <stdio.h>

/* ---- requests ---- */

#define H "Host: localhost\r\n"

struct request_case {
    const char *bytes;
    int status; /* 0: taken */
    const char *path, *query, *host;
};

static const struct request_case requests[] = {
    /* RFC 9112 3: the request line */
    {"GET / HTTP/1.1\r\n" H "\r\n", 0, "/", "", "localhost"},
    {"GET /a/b?c=d&e HTTP/1.1\r\n" H "\r\n", 0, "/a/b", "c=d&e", "localhost"},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /\tHTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /\r\n" H "\r\n", 400, 0, 0, 0},
    {"G(T / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {" GET / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"\r\nGET / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505, 0, 0, 0},
    {"GET / http/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.10\r\n" H "\r\n", 400, 0, 0, 0},
    /* 3.2.2: a server must take an absolute address, and its host instead of the field's */
    {"GET http://localhost:8080/x?y HTTP/1.1\r\nHost: other\r\n\r\n", 0, "/x", "y",
     "localhost:8080"},
    {"GET HTTP://evil.example HTTP/1.1\r\n" H "\r\n", 0, "/", "", "evil.example"},
    {"GET http://h?q HTTP/1.1\r\n" H "\r\n", 0, "/", "q", "h"},
    {"GET ?q HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET http://localhost@evil/ HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET http://localhost/x HTTP/1.1\r\n\r\n", 400, 0, 0, 0},
    {"GET https://localhost/x HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    /* 3.2.3, 3.2.4 */
    {"CONNECT localhost:80 HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0, "*", "", "localhost"},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    /* paths that would not be what they seem */
    {"GET //x/ HTTP/1.1\r\n" H "\r\n", 0, "//x/", "", "localhost"}, /* but no route is */
    {"GET /a/../b HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /a/. HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /... HTTP/1.1\r\n" H "\r\n", 0, "/...", "", "localhost"},
    {"GET /%4 HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /%zz HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /a\\b HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET /a\x80 HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0},
    /* 3.2: exactly one Host, in HTTP/1.1 */
    {"GET / HTTP/1.1\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.0\r\n\r\n", 0, "/", "", ""},
    /* 5: fields */
    {"GET / HTTP/1.1\r\nHost:localhost\r\n\r\n", 0, "/", "", "localhost"},
    {"GET / HTTP/1.1\r\nHost: \t localhost \t\r\n\r\n", 0, "/", "", "localhost"},
    {"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H ": no name\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 400, 0, 0, 0},
    /* 2.2: a bare CR or LF is no end of a line */
    {"GET / HTTP/1.1\n" H "\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", 400, 0, 0, 0},
    /* 6: how long is the body? */
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 0, "/", "", "localhost"},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 9999999999999999999\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 0, "/", "", "localhost"},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", 0, "/", "", "localhost"},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n", 501, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 501, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     400, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400, 0, 0,
     0},
    {"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400, 0, 0, 0},
    /* the rest */
    {"POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 417, 0, 0, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Encoding: gzip\r\n\r\n", 415, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "Origin: a\r\nOrigin: b\r\n\r\n", 400, 0, 0, 0},
    {"GET / HTTP/1.1\r\n" H "Authorization: a\r\nauthorization: b\r\n\r\n", 400, 0, 0, 0},
};

static void expect_view(struct str got, const char *text)
{
    assert_int_equal(got.n, strlen(text));
    assert_memory_equal(got.p, text, got.n);
}

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct request_case *c = &requests[i];
        struct request_head head;
        const char *why = NULL;
        int status = request_head_read(str_from(c->bytes), &head, &why);
        if (-status != c->status)
            fail_msg("%d, not %d: %s", -status, c->status, c->bytes);
        if (status < 0) {
            assert_true(why && *why);
            continue;
        }
        expect_view(head.path, c->path);
        expect_view(head.query, c->query);
        expect_view(head.known[REQUEST_HOST], c->host);
    }
}

static struct request_head read_request(const char *bytes)
{
    struct request_head head;
    const char *why;
    assert_int_equal(request_head_read(str_from(bytes), &head, &why), 0);
    return head;
}

/* RFC 9112 9.3, 9.6: who wants to send another one. The field may come in several lines. */
static void test_connection_field(void **state)
{
    (void)state;
    assert_true(read_request("GET / HTTP/1.1\r\n" H "\r\n").keep);
    assert_true(read_request("GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\n\r\n").keep);
    assert_false(read_request("GET / HTTP/1.1\r\n" H "Connection: Close\r\n\r\n").keep);
    assert_false(read_request("GET / HTTP/1.1\r\n" H "Connection: te, close ,x\r\n\r\n").keep);
    assert_false(
        read_request("GET / HTTP/1.1\r\n" H "Connection: te\r\nConnection: close\r\n\r\n").keep);
    assert_true(read_request("GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n").keep);
    assert_false(read_request("GET / HTTP/1.0\r\n" H "\r\n").keep);
}

static void test_methods_and_expect(void **state)
{
    static const char *const names[] = {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "get"};
    char bytes[256];
    (void)state;
    for (int i = 0; i < 7; i++) {
        snprintf(bytes, sizeof(bytes), "%s / HTTP/1.1\r\n" H "\r\n", names[i]);
        assert_int_equal(read_request(bytes).method, i < HTTP_METHODS ? i : HTTP_METHODS);
    }
    assert_true(read_request("POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n").continues);
    assert_false(read_request("POST / HTTP/1.0\r\n" H "Expect: 100-continue\r\n\r\n").continues);
    const char *fields = "GET / HTTP/1.1\r\n" H "X-Y: one\r\nx-y: two\r\n\r\n";
    struct request_head head = read_request(fields);
    assert_true(str_is(request_head_field(&head, "x-y"), "one"));
    assert_int_equal(request_head_field(&head, "x-z").n, 0);
}

/* Browsers of today send one of these with each POST from a page. */
static void test_browsers_are_known(void **state)
{
    static const char *const fields[] = {"",
                                         "X: y\r\n",
                                         "Sec-Fetch: x\r\n",
                                         "Origin:\r\n",
                                         "Origin: null\r\n",
                                         "sec-fetch-site: none\r\n",
                                         "Sec-Fetch-Mode: cors\r\n"};
    char bytes[256];
    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        snprintf(bytes, sizeof(bytes), "POST / HTTP/1.1\r\n" H "%s\r\n", fields[i]);
        assert_int_equal(read_request(bytes).browser, i > 2);
    }
}

static int status_of(const struct buf *bytes)
{
    struct request_head head;
    const char *why;
    return request_head_read(buf_view(bytes), &head, &why);
}

static void test_request_limits(void **state)
{
    struct buf CLEAN_BUF many = BUF_INIT(1 << 20), large = BUF_INIT(1 << 20);
    (void)state;
    buf_add_text(&many, "GET / HTTP/1.1\r\n" H);
    while (many.n < PARSER_HEAD_MAX - 8)
        buf_add_text(&many, "X: a\r\n");
    buf_add_text(&many, "\r\n");
    assert_int_equal(status_of(&many), 0);
    buf_add_text(&large, "GET / HTTP/1.1\r\n" H "X: ");
    while (large.n < PARSER_HEAD_MAX - 4)
        buf_add_text(&large, "a");
    buf_add_text(&large, "\r\n\r\n");
    assert_int_equal(large.n, PARSER_HEAD_MAX);
    assert_int_equal(status_of(&large), 0);
    large.n -= 4;
    buf_add_text(&large, "a\r\n\r\n");
    assert_int_equal(status_of(&large), -431);
}

/* The end of a head is found however its bytes come. */
static void test_head_end_in_pieces(void **state)
{
    static const char bytes[] = "GET / HTTP/1.1\r\n" H "\r\nbody";
    size_t end = sizeof(bytes) - 1 - 4;
    (void)state;
    for (size_t step = 1; step < sizeof(bytes); step++) {
        size_t from = 0, found = 0;
        for (size_t n = step; !found; n += step)
            found = http_head_end(
                (struct str){bytes, n < sizeof(bytes) - 1 ? n : sizeof(bytes) - 1}, &from);
        assert_int_equal(found, end);
    }
}

/* ---- answers ---- */

static void test_answers(void **state)
{
    static const struct {
        const char *bytes;
        int result, status;
        enum http_framing framing;
        bool keep;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 0, 200, HTTP_LENGTH, true},
        {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0, 200, HTTP_LENGTH, true},
        {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0, 200, HTTP_LENGTH, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 200, HTTP_CHUNKED, true},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n", 0, 200, HTTP_LENGTH,
         false},
        {"HTTP/1.1 200 OK\r\n\r\n", 0, 200, HTTP_CLOSE, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", 0, 200, HTTP_LENGTH, false},
        {"HTTP/1.1 204 No\r\n\r\n", 0, 204, HTTP_LENGTH, true},
        {"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", 0, 304, HTTP_LENGTH, true},
        {"HTTP/1.1 102 Processing\r\n\r\n", 0, 102, HTTP_LENGTH, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/1.1 2000 OK\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/1.1 099 OK\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/2.0 200 OK\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/1.1  200 OK\r\n\r\n", -1, 0, 0, 0},
        {"HTTP/1.1 200 OK\r\nbad\r\n\r\n", -1, 0, 0, 0},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", -1, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_answer answer;
        int result = http_answer_read(str_from(cases[i].bytes), &answer);
        if ((result < 0) != (cases[i].result < 0))
            fail_msg("%d: %s", result, cases[i].bytes);
        if (result < 0)
            continue;
        assert_int_equal(answer.status, cases[i].status);
        assert_int_equal(answer.framing, cases[i].framing);
        assert_int_equal(answer.keep, cases[i].keep);
    }
}

/* ---- chunked bodies ---- */

struct chunk_case {
    const char *bytes;
    int result;          /* 1 whole, 0 more is to come, -1 malformed */
    const char *content; /* of what is whole */
    size_t left;         /* bytes behind the body */
    bool extras;
};

static const struct chunk_case chunk_cases[] = {
    {"0\r\n\r\n", 1, "", 0, false},
    {"3\r\nabc\r\n0\r\n\r\n", 1, "abc", 0, false},
    {"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", 1, "abcde", 3, false},
    {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 1, "01234567890123456789", 0, false},
    {"00000003\r\nabc\r\n000\r\n\r\n", 1, "abc", 0, false},
    {"3\r\nab", 0, NULL, 0, false},
    {"3\r\nabc\r\n0\r\n", 0, NULL, 0, false},
    {"3\r\nabc\r\n0\r\n\r", 0, NULL, 0, false},
    /* RFC 9112 7.1.1: extensions that nobody knows must be ignored */
    {"3;a=b\r\nabc\r\n0;c\r\n\r\n", 1, "abc", 0, true},
    {"3 ; a = \"b;c\"\r\nabc\r\n0\r\n\r\n", 1, "abc", 0, true},
    {"3 \r\nabc\r\n0\r\n\r\n", -1, NULL, 0, false},
    {"3;a\nabc\r\n0\r\n\r\n", -1, NULL, 0, false},
    {"3;a\rb\r\nabc\r\n0\r\n\r\n", -1, NULL, 0, false},
    {"3;\x01\r\nabc\r\n0\r\n\r\n", -1, NULL, 0, false},
    /* 7.1.2: trailers are part of the body; they are not looked at */
    {"1\r\nx\r\n0\r\nX: y\r\nZ: \r\n\r\nG", 1, "x", 1, true},
    {"1\r\nx\r\n0\r\nno colon\r\n\r\n", -1, NULL, 0, false},
    {"1\r\nx\r\n0\r\n: y\r\n\r\n", -1, NULL, 0, false},
    {"1\r\nx\r\n0\r\nX: y\r\n folded\r\n\r\n", -1, NULL, 0, false},
    {"1\r\nx\r\n0\r\nX: y\n\r\n", -1, NULL, 0, false},
    /* 7.1: sizes */
    {"\r\n", -1, NULL, 0, false},
    {";a\r\n", -1, NULL, 0, false},
    {"-1\r\n", -1, NULL, 0, false},
    {"+1\r\n", -1, NULL, 0, false},
    {"0x1\r\n", -1, NULL, 0, false},
    {" 1\r\n", -1, NULL, 0, false},
    {"1\nx\r\n0\r\n\r\n", -1, NULL, 0, false},
    {"1\r\nxy\r\n0\r\n\r\n", -1, NULL, 0, false},
    {"1\r\nx\n0\r\n\r\n", -1, NULL, 0, false},
    {"FFFFFFFFF\r\n", -1, NULL, 0, false},
    {"100000000000000000\r\n", -1, NULL, 0, false},
    {"00000000000000001\r\n", -1, NULL, 0, false},
};

static void take_in_steps(const struct chunk_case *c, size_t step)
{
    struct http_chunks chunks = {0};
    struct buf CLEAN_BUF content = BUF_INIT(1 << 16);
    size_t all = strlen(c->bytes), at = 0;
    char *bytes = strdup(c->bytes);
    int result = 0;
    while (at < all && result == 0) {
        size_t n = 0, used = 0, part = all - at < step ? all - at : step;
        result = http_chunks_take(&chunks, bytes + at, part, &n, &used);
        if (result >= 0) {
            buf_add(&content, bytes + at, n);
            at += used;
        }
    }
    free(bytes);
    if ((result < 0 ? -1 : result) != c->result)
        fail_msg("%d with steps of %zu: %s", result, step, c->bytes);
    if (result != 1)
        return;
    assert_string_equal(buf_text(&content), c->content);
    assert_int_equal(all - at, c->left);
    assert_int_equal(chunks.extras, c->extras);
}

static void test_chunked_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(chunk_cases) / sizeof(chunk_cases[0]); i++) {
        for (size_t step = 1; step < 40; step++)
            take_in_steps(&chunk_cases[i], step);
    }
}

/* Extensions and trailers without end are refused before they cost anything. */
static void test_chunk_limits(void **state)
{
    static const char *const begins[] = {"1;", "0\r\nX:"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct http_chunks chunks = {0};
        char bytes[64];
        size_t n, used, sum = strlen(begins[i]);
        memcpy(bytes, begins[i], sum);
        assert_int_equal(http_chunks_take(&chunks, bytes, sum, &n, &used), 0);
        int result = 0;
        for (; result == 0; sum++) {
            bytes[0] = 'a';
            result = http_chunks_take(&chunks, bytes, 1, &n, &used);
            assert_true(sum < 2 * PARSER_CHUNK_LINE_MAX);
        }
        assert_true(result < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),         cmocka_unit_test(test_browsers_are_known),
        cmocka_unit_test(test_connection_field), cmocka_unit_test(test_methods_and_expect),
        cmocka_unit_test(test_request_limits),   cmocka_unit_test(test_head_end_in_pieces),
        cmocka_unit_test(test_answers),          cmocka_unit_test(test_chunked_bodies),
        cmocka_unit_test(test_chunk_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
