/*
 * test_fetch.c - fetch/ against a scripted server on loopback that misbehaves in every way a
 * network does. Each test proves that the fetch ends with the right bytes, or with one clear
 * sentence and nothing that looks like the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fetch/fetch_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_BYTES  3000000u
#define REQUEST_MAX 4096
#define REQUESTS    64

/* ---- the server ---- */

struct server;

/* Answer one request on fd; index counts requests from 0. */
typedef void server_answer(struct server *server, int fd, const char *request, int index);

struct server {
    int listener;
    int port;
    pthread_t thread;
    atomic_int stop;
    server_answer *answer;
    atomic_int n;
    char request[REQUESTS][REQUEST_MAX];
    struct server *other; /* a second origin */
};

static unsigned char *content; /* FILE_BYTES, and as many other ones behind them */
static char content_sha256[DIGEST_HEX];
static char *dir;

static void send_all(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        p += sent;
        n -= (size_t)sent;
    }
}

static void send_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void send_text(int fd, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    send_all(fd, text, (size_t)n);
}

static void reset(int fd)
{
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void read_request(int fd, char *ret_request)
{
    size_t n = 0;
    while (n + 1 < REQUEST_MAX) {
        ssize_t got = recv(fd, ret_request + n, REQUEST_MAX - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        ret_request[n] = '\0';
        if (strstr(ret_request, "\r\n\r\n"))
            return;
    }
    ret_request[n] = '\0';
}

static void *server_run(void *context)
{
    struct server *server = context;
    while (!atomic_load(&server->stop)) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            continue;
        int index = atomic_load(&server->n);
        if (!atomic_load(&server->stop) && index < REQUESTS) {
            read_request(fd, server->request[index]);
            if (server->request[index][0]) {
                atomic_fetch_add(&server->n, 1);
                server->answer(server, fd, server->request[index], index);
            }
        }
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

static struct server *server_start(server_answer *answer)
{
    struct server *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    assert_non_null(server);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->answer = answer;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
    return server;
}

static void server_end(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)server->port);
    atomic_store(&server->stop, 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connect(fd, (struct sockaddr *)&address, sizeof(address)); /* wakes accept */
    pthread_join(server->thread, NULL);
    close(fd);
    close(server->listener);
    free(server);
}

static const char *server_url(const struct server *server, const char *path)
{
    static char url[8][256];
    static int next;
    char *text = url[next++ % 8];
    snprintf(text, sizeof(url[0]), "http://127.0.0.1:%d%s", server->port, path);
    return text;
}

/* ---- answers ---- */

static uint64_t asked_start(const char *request)
{
    const char *range = strstr(request, "Range: bytes=");
    unsigned long start = 0;
    if (range && strncmp(range - 3, "If-", 3) != 0)
        sscanf(range, "Range: bytes=%lu-", &start);
    return start;
}

/* The file from where it is asked for, but only `most` bytes of the body are sent. */
static void send_file(int fd, const char *request, const char *etag, uint64_t most)
{
    uint64_t start = asked_start(request);
    char if_range[128] = "";
    const char *line = strstr(request, "If-Range: ");
    if (line)
        sscanf(line, "If-Range: %127[^\r]", if_range);
    if (if_range[0] && strcmp(if_range, etag) != 0)
        start = 0;
    if (start >= FILE_BYTES) {
        send_text(fd,
                  "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */%u\r\n"
                  "Content-Length: 0\r\nConnection: close\r\n\r\n",
                  FILE_BYTES);
        return;
    }
    if (start)
        send_text(fd, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %" PRIu64 "-%u/%u\r\n",
                  start, FILE_BYTES - 1, FILE_BYTES);
    else
        send_text(fd, "HTTP/1.1 200 OK\r\n");
    send_text(fd, "ETag: %s\r\nContent-Length: %" PRIu64 "\r\nConnection: close\r\n\r\n", etag,
              FILE_BYTES - start);
    uint64_t n = FILE_BYTES - start;
    send_all(fd, content + start, n < most ? n : most);
}

static void send_status(int fd, int status, const char *headers)
{
    send_text(fd, "HTTP/1.1 %d Said\r\n%sContent-Length: 5\r\nConnection: close\r\n\r\nwhy\r\n",
              status, headers);
}

static void answer_good(struct server *server, int fd, const char *request, int index)
{
    send_file(fd, request, "\"one\"", UINT64_MAX);
}

static void answer_404(struct server *server, int fd, const char *request, int index)
{
    send_status(fd, 404, "");
}

static void answer_limit(struct server *server, int fd, const char *request, int index)
{
    char headers[128];
    snprintf(headers, sizeof(headers),
             "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: %" PRId64 "\r\n",
             (int64_t)4102444800); /* 2100-01-01 00:00 UTC */
    send_status(fd, 403, headers);
}

static void answer_500_twice(struct server *server, int fd, const char *request, int index)
{
    if (index < 2)
        send_status(fd, 500, "");
    else
        answer_good(server, fd, request, index);
}

static void answer_500(struct server *server, int fd, const char *request, int index)
{
    send_status(fd, 503, "");
}

/* A million bytes, then a reset. */
static void answer_reset(struct server *server, int fd, const char *request, int index)
{
    send_file(fd, request, "\"one\"", 1000000);
    struct timespec drain = {0, 100000000}; /* a reset throws away what was not yet read */
    nanosleep(&drain, NULL);
    reset(fd);
}

/* The same, but the server's file is another one after the first time. */
static void answer_changed(struct server *server, int fd, const char *request, int index)
{
    send_file(fd, request, index ? "\"two\"" : "\"one\"", index ? UINT64_MAX : 1000000);
}

static void answer_stall_once(struct server *server, int fd, const char *request, int index)
{
    send_file(fd, request, "\"one\"", index ? UINT64_MAX : 1500000);
    if (index == 0) {
        struct timespec long_time = {2, 500000000};
        nanosleep(&long_time, NULL);
    }
}

static void answer_no_ranges(struct server *server, int fd, const char *request, int index)
{
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\nConnection: close\r\n\r\n", FILE_BYTES);
    send_all(fd, content, index ? FILE_BYTES : 1000000);
}

/* Another part than was asked for, once. */
static void answer_wrong_part(struct server *server, int fd, const char *request, int index)
{
    if (index != 1) {
        send_file(fd, request, "\"one\"", index ? UINT64_MAX : 1000000);
        return;
    }
    send_text(fd,
              "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-%u/%u\r\n"
              "Content-Length: %u\r\nConnection: close\r\n\r\n",
              FILE_BYTES - 1, FILE_BYTES, FILE_BYTES);
    send_all(fd, content, FILE_BYTES);
}

static void answer_other_length(struct server *server, int fd, const char *request, int index)
{
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\nConnection: close\r\n\r\n",
              FILE_BYTES + 1);
    send_all(fd, content, FILE_BYTES + 1);
}

static void answer_other_bytes(struct server *server, int fd, const char *request, int index)
{
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\nConnection: close\r\n\r\n", FILE_BYTES);
    send_all(fd, content + FILE_BYTES, FILE_BYTES);
}

static void answer_html(struct server *server, int fd, const char *request, int index)
{
    static const char page[] = "\n <!DOCTYPE HTML><title>Sign in</title>";
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
              sizeof(page) - 1, page);
}

static void answer_chunked_cut(struct server *server, int fd, const char *request, int index)
{
    send_text(fd,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
              "%x\r\n",
              FILE_BYTES);
    send_all(fd, content, index ? FILE_BYTES : 1000000);
    if (index)
        send_text(fd, "\r\n0\r\n\r\n");
}

static void answer_loop(struct server *server, int fd, const char *request, int index)
{
    char headers[64];
    snprintf(headers, sizeof(headers), "Location: /%d\r\n", index);
    send_status(fd, 302, headers);
}

static void answer_elsewhere(struct server *server, int fd, const char *request, int index)
{
    char headers[128];
    snprintf(headers, sizeof(headers), "Location: http://127.0.0.1:%d/store?sig=%d\r\n",
             server->other->port, index);
    send_status(fd, 302, headers);
}

/* Storage whose links work once each: the link of the first redirect is dead for the second try. */
static void answer_signed(struct server *server, int fd, const char *request, int index)
{
    if (index == 1)
        send_status(fd, 403, "");
    else
        send_file(fd, request, "\"one\"", index ? UINT64_MAX : 1200000);
}

static void answer_to_file(struct server *server, int fd, const char *request, int index)
{
    send_status(fd, 302, "Location: file:///etc/passwd\r\n");
}

static void answer_slow(struct server *server, int fd, const char *request, int index)
{
    send_file(fd, request, "\"one\"", 65536);
    struct timespec long_time = {3, 0};
    nanosleep(&long_time, NULL);
}

/* ---- helpers ---- */

static const struct fetch_config quick = {.pause_ms = 1, .stall_seconds = 1, .tries = 4};

static char *target(const char *name)
{
    char *path = fs_join(dir, name);
    assert_non_null(path);
    unlink(path);
    fetch_discard(path);
    return path;
}

static bool is_there(const char *path, const char *ending)
{
    char name[512];
    snprintf(name, sizeof(name), "%s%s", path, ending);
    return access(name, F_OK) == 0;
}

static void assert_is_content(const char *path)
{
    char hex[DIGEST_HEX];
    assert_int_equal(digest_file(path, hex, NULL), 0);
    assert_string_equal(hex, content_sha256);
    assert_false(is_there(path, ".part"));
    assert_false(is_there(path, ".part.from"));
}

/* Fetch to a new file: expected result, and a word that the sentence must hold. */
static void expect(server_answer *answer, const struct fetch_request *base, int code,
                   const char *word, struct fetch_result *ret_result)
{
    struct server *server = server_start(answer);
    char *path = target("file");
    struct fetch_request request = *base;
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    request.url = server_url(server, "/d/file.zip");
    request.path = path;
    int r = fetch_run(&quick, &request, &result, &err);
    if (r != -code)
        print_message("%d: %s\n", r, err.text);
    assert_int_equal(r, -code);
    if (code) {
        assert_non_null(strstr(err.text, word));
        assert_false(is_there(path, ""));
    } else {
        assert_is_content(path);
        assert_string_equal(result.sha256, content_sha256);
        assert_int_equal(result.bytes, FILE_BYTES);
    }
    server_end(server);
    free(path);
    if (ret_result)
        *ret_result = result;
}

static struct fetch_request pinned(void)
{
    return (struct fetch_request){.sha256 = content_sha256, .size = FILE_BYTES};
}

/* ---- the tests ---- */

static void good_file_arrives(void **state)
{
    struct fetch_request request = {0};
    struct fetch_result result;
    expect(answer_good, &request, 0, NULL, &result);
    assert_int_equal(result.status, 200);
    assert_int_equal(result.received, FILE_BYTES);
}

static void missing_file_is_final(void **state)
{
    struct fetch_request request = pinned();
    struct fetch_result result;
    expect(answer_404, &request, GFXB_E_PACKAGE_UNAVAILABLE, "404", &result);
    assert_int_equal(result.status, 404);
}

static void used_up_limit_says_when(void **state)
{
    struct fetch_request request = pinned();
    expect(answer_limit, &request, GFXB_E_PACKAGE_UNAVAILABLE, "2100-01-01 00:00 UTC", NULL);
}

static void server_error_is_tried_again(void **state)
{
    struct fetch_request request = pinned();
    expect(answer_500_twice, &request, 0, NULL, NULL);
    expect(answer_500, &request, GFXB_E_PACKAGE_UNAVAILABLE, "gave up after 4 tries", NULL);
}

static void reset_is_resumed_without_a_byte_twice(void **state)
{
    struct fetch_request request = pinned();
    struct fetch_result result;
    expect(answer_reset, &request, 0, NULL, &result);
    assert_true(result.received <= FILE_BYTES + 65536);
}

static void changed_file_begins_anew(void **state)
{
    struct fetch_request request = {0};
    struct fetch_result result;
    expect(answer_changed, &request, 0, NULL, &result);
    assert_int_equal(result.received, FILE_BYTES + 1000000);
}

static void stall_is_noticed_and_resumed(void **state)
{
    struct fetch_request request = pinned();
    struct fetch_result result;
    expect(answer_stall_once, &request, 0, NULL, &result);
    assert_int_equal(result.received, FILE_BYTES);
}

static void server_without_ranges_still_ends_well(void **state)
{
    struct fetch_request request = pinned();
    expect(answer_no_ranges, &request, 0, NULL, NULL);
    expect(answer_wrong_part, &request, 0, NULL, NULL);
}

static void chunked_answer_that_breaks_is_not_taken_for_whole(void **state)
{
    struct fetch_request request = {0};
    expect(answer_chunked_cut, &request, 0, NULL, NULL);
}

static void wrong_length_is_refused(void **state)
{
    struct fetch_request request = pinned();
    expect(answer_other_length, &request, GFXB_E_DIGEST_MISMATCH, "3000001 bytes", NULL);
    request.sha256 = NULL;
    request.size = 0;
    request.max = 1000;
    expect(answer_good, &request, GFXB_E_PACKAGE_UNAVAILABLE, "1000", NULL);
}

static void wrong_digest_is_refused_and_forgotten(void **state)
{
    struct fetch_request request = pinned();
    expect(answer_other_bytes, &request, GFXB_E_DIGEST_MISMATCH, "sha256", NULL);
    char *path = fs_join(dir, "file");
    assert_false(is_there(path, ".part"));
    free(path);
}

static void web_page_is_not_the_file(void **state)
{
    struct fetch_request request = {0};
    expect(answer_html, &request, GFXB_E_PACKAGE_UNAVAILABLE, "web page", NULL);
}

static void redirect_loop_ends(void **state)
{
    struct fetch_request request = pinned();
    expect(answer_loop, &request, GFXB_E_PACKAGE_UNAVAILABLE, "without end", NULL);
    expect(answer_to_file, &request, GFXB_E_PACKAGE_UNAVAILABLE, "not safe", NULL);
}

static void token_and_headers_stay_with_their_host(void **state)
{
    static const char *const headers[] = {"X-Secret: mine", NULL};
    struct server *storage = server_start(answer_good);
    struct server *origin = server_start(answer_elsewhere);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    origin->other = storage;
    struct fetch_request request = {
        .url = server_url(origin, "/file"), .path = path, .token = "s3cret", .headers = headers};
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    assert_non_null(strstr(origin->request[0], "Authorization: Bearer s3cret"));
    assert_non_null(strstr(origin->request[0], "X-Secret: mine"));
    assert_null(strcasestr(storage->request[0], "authorization"));
    assert_null(strstr(storage->request[0], "X-Secret"));
    assert_non_null(strstr(storage->request[0], "/store?sig=0"));
    server_end(origin);
    server_end(storage);
    free(path);
}

static void expired_link_is_asked_for_again(void **state)
{
    struct server *storage = server_start(answer_signed);
    struct server *origin = server_start(answer_elsewhere);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    origin->other = storage;
    struct fetch_request request = pinned();
    request.url = server_url(origin, "/file");
    request.path = path;
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    assert_is_content(path);
    assert_int_equal(atomic_load(&storage->n), 3);
    assert_non_null(strstr(storage->request[2], "sig=2"));
    assert_int_equal(asked_start(storage->request[2]), 1200000);
    server_end(origin);
    server_end(storage);
    free(path);
}

/* One try that breaks leaves a part; the next call gets the rest only. */
static void next_run_resumes(void **state)
{
    struct fetch_config once = {.pause_ms = 1, .tries = 1};
    struct server *server = server_start(answer_reset);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    struct fetch_request request = {.url = server_url(server, "/file"), .path = path};
    assert_int_equal(fetch_run(&once, &request, &result, &err), -GFXB_E_PACKAGE_UNAVAILABLE);
    assert_true(is_there(path, ".part"));
    assert_false(is_there(path, ""));
    uint64_t received = result.received;
    server->answer = answer_good;
    assert_int_equal(fetch_run(&once, &request, &result, &err), 0);
    assert_is_content(path);
    assert_int_equal(received + result.received, FILE_BYTES);
    assert_non_null(strstr(server->request[1], "If-Range: \"one\""));
    server_end(server);
    free(path);
}

/* A part whose bytes went bad (a power cut) costs one more download, never a wrong file. */
static void damaged_part_is_found_out(void **state)
{
    struct fetch_config once = {.pause_ms = 1, .tries = 1};
    struct server *server = server_start(answer_reset);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    char *part = target("file.part");
    struct fetch_request request = pinned();
    request.url = server_url(server, "/file");
    request.path = path;
    assert_true(fetch_run(&once, &request, &result, &err) < 0);
    int fd = open(part, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\0\0\0\0\0\0\0\0", 8, 4096), 8);
    close(fd);
    server->answer = answer_good;
    assert_int_equal(fetch_run(&once, &request, &result, &err), 0);
    assert_is_content(path);
    assert_true(result.received > FILE_BYTES); /* the rest, and then all of it */
    server_end(server);
    free(part);
    free(path);
}

/* A part that is whole but was never published needs no request for bytes. */
static void whole_part_is_taken(void **state)
{
    struct server *server = server_start(answer_good);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    char *part = target("file.part");
    char *from = target("file.part.from");
    char text[256];
    snprintf(text, sizeof(text), "url %s\nvalidator \"one\"\n", server_url(server, "/file"));
    assert_int_equal(fs_write(part, content, FILE_BYTES, 0644, NULL), 0);
    assert_int_equal(fs_write(from, text, strlen(text), 0644, NULL), 0);
    struct fetch_request request = {.url = server_url(server, "/file"), .path = path};
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0); /* by the server's 416 */
    assert_is_content(path);
    assert_int_equal(result.received, 0);
    request = pinned();
    request.url = server_url(server, "/file");
    request.path = path;
    int before = atomic_load(&server->n);
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0); /* by the file's digest */
    assert_int_equal(atomic_load(&server->n), before);
    server_end(server);
    free(part);
    free(from);
    free(path);
}

/* A part under another program's name: the digest alone says what it is a beginning of. */
static void part_of_another_name(void **state)
{
    struct server *server = server_start(answer_good);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    char *part = target("file.incomplete");
    struct fetch_request request = pinned();
    request.url = server_url(server, "/file");
    request.path = path;
    request.part = part;
    assert_int_equal(fs_write(part, content, FILE_BYTES / 2, 0644, NULL), 0);
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    assert_is_content(path);
    assert_int_equal(result.received, FILE_BYTES - FILE_BYTES / 2);
    assert_false(is_there(part, "") || is_there(part, ".from"));
    /* The beginning of something else is found out, and the file comes whole. */
    unlink(path);
    assert_int_equal(fs_write(part, content + FILE_BYTES, FILE_BYTES / 2, 0644, NULL), 0);
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    assert_is_content(path);
    /* More than the file ever had is no beginning of it. */
    unlink(path);
    assert_int_equal(fs_write(part, content, FILE_BYTES + 1, 0644, NULL), 0);
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    assert_is_content(path);
    assert_int_equal(result.received, FILE_BYTES);
    unlink(path);
    request.sha256 = NULL;
    assert_int_equal(fetch_run(&quick, &request, &result, &err), -EINVAL);
    server_end(server);
    free(part);
    free(path);
}

/* ---- into memory ---- */

/* What comes behind a break is asked for as the rest; where the file changed meanwhile, nothing of
 * the old one stays. */
static void text_gets_every_byte_once(void **state)
{
    static server_answer *const answers[] = {answer_good, answer_reset, answer_changed};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct server *server = server_start(answers[i]);
        struct fetch_result result = FETCH_RESULT_INIT;
        struct buf CLEAN_BUF text = BUF_INIT(2 * FILE_BYTES);
        struct fetch_request request = pinned();
        request.url = server_url(server, "/text");
        buf_add_text(&text, "before");
        assert_int_equal(fetch_get(&quick, &request, &text, &result, NULL), 0);
        assert_int_equal(text.n, FILE_BYTES + 6);
        assert_memory_equal(text.p, "before", 6);
        assert_memory_equal(text.p + 6, content, FILE_BYTES);
        server_end(server);
    }
}

/* ---- a caller that says no ---- */

static int refuse(void *context, uint64_t size, struct gfxb_error *err)
{
    return error_set(err, GFXB_E_DISK_FULL, "refused here");
}

static int refuse_without_a_word(void *context, uint64_t size, struct gfxb_error *err)
{
    return -EXDEV;
}

/* Also one that forgets to say why, and after a failure that had another reason. */
static void begin_can_end_the_fetch(void **state)
{
    struct fetch_request request = pinned();
    request.begin = refuse;
    expect(answer_good, &request, GFXB_E_DISK_FULL, "refused here", NULL);
    request.begin = refuse_without_a_word;
    expect(answer_good, &request, EXDEV, "cannot take file.zip", NULL);
    expect(answer_500_twice, &request, EXDEV, "cannot take file.zip", NULL);
}

/* ---- the rest ---- */

static void small_answers_have_a_limit(void **state)
{
    struct server *server = server_start(answer_good);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF small = BUF_INIT(1000);
    struct buf CLEAN_BUF large = BUF_INIT(4000000);
    struct fetch_request request = {.url = server_url(server, "/json")};
    assert_int_equal(fetch_get(&quick, &request, &small, &result, &err),
                     -GFXB_E_PACKAGE_UNAVAILABLE);
    assert_int_equal(small.n, 0);
    buf_add_text(&large, "before");
    assert_int_equal(fetch_get(&quick, &request, &large, &result, &err), 0);
    assert_int_equal(large.n, FILE_BYTES + 6);
    server_end(server);
}

static void mirror_gets_host_and_path_but_no_token(void **state)
{
    struct server *server = server_start(answer_good);
    char mirror[128];
    snprintf(mirror, sizeof(mirror), "http://127.0.0.1:%d/m/", server->port);
    struct fetch_config config = quick;
    config.mirror = mirror;
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF text = BUF_INIT(4000000);
    struct fetch_request request = {.url = "https://example.org/a/b.zip?x=1", .token = "s3cret"};
    assert_int_equal(fetch_get(&config, &request, &text, &result, &err), 0);
    assert_int_equal(strncmp(server->request[0], "GET /m/example.org/a/b.zip?x=1 ", 31), 0);
    assert_null(strcasestr(server->request[0], "authorization"));
    server_end(server);
}

static void mirror_may_be_a_directory(void **state)
{
    char mirror[512];
    char *host = fs_join(dir, "example.org");
    char *file = fs_join(host, "f.bin");
    char *path = target("copy");
    assert_int_equal(fs_make_dirs(host, 0755, NULL), 0);
    assert_int_equal(fs_write(file, content, FILE_BYTES, 0644, NULL), 0);
    snprintf(mirror, sizeof(mirror), "file://%s", dir);
    struct fetch_config config = {.mirror = mirror, .pause_ms = 1};
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    struct fetch_request request = pinned();
    request.url = "https://example.org/f.bin";
    request.path = path;
    assert_int_equal(fetch_run(&config, &request, &result, &err), 0);
    assert_is_content(path);
    request.url = "https://example.org/none.bin";
    unlink(path);
    assert_int_equal(fetch_run(&config, &request, &result, &err), -GFXB_E_PACKAGE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "none.bin is not on the mirror"));
    free(host);
    free(file);
    free(path);
}

static void nobody_there_is_offline(void **state)
{
    struct server *server = server_start(answer_good);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", server->port);
    server_end(server);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF text = BUF_INIT(1000);
    struct fetch_request request = {.url = url};
    assert_int_equal(fetch_get(&quick, &request, &text, &result, &err), -GFXB_E_OFFLINE);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    request.url = "https://name.invalid/x";
    assert_int_equal(fetch_get(&quick, &request, &text, &result, &err), -GFXB_E_OFFLINE);
    assert_non_null(strstr(err.text, "name.invalid"));
}

static void nonsense_is_no_url(void **state)
{
    static const char *const urls[] = {
        "", "x", "ftp://h/f", "https://", "http://[::1/", "gopher://a/b", "https://a b/"};
    struct buf CLEAN_BUF text = BUF_INIT(1000);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct fetch_result result = FETCH_RESULT_INIT;
        struct gfxb_error err = {0};
        struct fetch_request request = {.url = urls[i]};
        assert_int_equal(fetch_get(&quick, &request, &text, &result, &err), -EINVAL);
    }
}

static void *cancel_soon(void *context)
{
    struct timespec soon = {0, 300000000};
    nanosleep(&soon, NULL);
    *(atomic_int *)context = 1;
    return NULL;
}

static void cancel_ends_it_and_keeps_the_part(void **state)
{
    static atomic_int cancel;
    struct fetch_config config = {.cancel = &cancel};
    struct server *server = server_start(answer_slow);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    pthread_t thread;
    char *path = target("file");
    struct fetch_request request = {.url = server_url(server, "/file"), .path = path};
    pthread_create(&thread, NULL, cancel_soon, (void *)&cancel);
    assert_int_equal(fetch_run(&config, &request, &result, &err), -GFXB_E_INTERRUPTED);
    pthread_join(thread, NULL);
    assert_true(is_there(path, ".part"));
    assert_false(is_there(path, ""));
    server_end(server);
    free(path);
}

struct twin {
    struct server *server;
    char *path;
    int result;
    uint64_t received;
};

static void *twin_run(void *context)
{
    struct twin *twin = context;
    struct fetch_result result = FETCH_RESULT_INIT;
    struct fetch_request request = pinned();
    char url[128];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/file", twin->server->port);
    request.url = url;
    request.path = twin->path;
    twin->result = fetch_run(&quick, &request, &result, NULL);
    twin->received = result.received;
    return NULL;
}

static void two_at_once_fetch_it_once(void **state)
{
    struct server *server = server_start(answer_good);
    char *path = target("file");
    struct twin twin[2] = {{.server = server, .path = path}, {.server = server, .path = path}};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, twin_run, &twin[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(twin[0].result, 0);
    assert_int_equal(twin[1].result, 0);
    assert_int_equal(twin[0].received + twin[1].received, FILE_BYTES);
    assert_is_content(path);
    server_end(server);
    free(path);
}

static int no_room(void *context, uint64_t size, struct gfxb_error *err)
{
    *(uint64_t *)context = size;
    return error_set(err, GFXB_E_DISK_FULL, "no room for it");
}

/* The caller hears the length before the first byte is taken, and can refuse. */
static void room_is_asked_for_first(void **state)
{
    uint64_t size = 0;
    struct fetch_request request = {.begin = no_room, .context = &size};
    expect(answer_good, &request, GFXB_E_DISK_FULL, "no room for it", NULL);
    assert_int_equal(size, FILE_BYTES);
    char *CLEAN_FREE part = fs_join(dir, "file.part");
    assert_false(is_there(part, ""));
}

static void see_header(void *context, int hop, long status, struct str name, struct str value)
{
    if (hop == 1 && status == 200 && str_eq_nocase(name, STR("etag")))
        snprintf(context, 64, "%.*s", STR_ARG(value));
}

static void headers_alone_can_be_asked_for(void **state)
{
    char etag[64] = "";
    struct server *storage = server_start(answer_good);
    struct server *origin = server_start(answer_elsewhere);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    origin->other = storage;
    struct fetch_request request = {
        .url = server_url(origin, "/file"), .head = true, .header = see_header, .context = etag};
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    assert_int_equal(strncmp(storage->request[0], "HEAD ", 5), 0);
    assert_int_equal(result.size, FILE_BYTES);
    assert_int_equal(result.received, 0);
    assert_string_equal(etag, "\"one\"");
    server_end(origin);
    server_end(storage);
}

static void unwritable_place_is_said(void **state)
{
    struct server *server = server_start(answer_good);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    struct fetch_request request = {.url = server_url(server, "/f"), .path = "/dev/null/x/file"};
    assert_int_equal(fetch_run(&quick, &request, &result, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, "/dev/null/x/file"));
    assert_int_equal(atomic_load(&server->n), 0);
    server_end(server);
}

struct progress_seen {
    uint64_t last, total;
    bool backwards;
};

static void see_progress(void *context, const struct fetch_progress *progress)
{
    struct progress_seen *seen = context;
    seen->backwards |= progress->bytes < seen->last;
    seen->last = progress->bytes;
    seen->total = progress->total;
}

static void progress_ends_at_the_total(void **state)
{
    struct progress_seen seen = {0};
    struct fetch_request request = pinned();
    request.progress = see_progress;
    request.context = &seen;
    expect(answer_reset, &request, 0, NULL, NULL);
    assert_false(seen.backwards);
    assert_int_equal(seen.last, FILE_BYTES);
    assert_int_equal(seen.total, FILE_BYTES);
}

/* ---- the disk ---- */

static int disk_error;              /* what forcing out a part fails with; 0: it works */
static uint64_t flushed, flush_max; /* bytes that were asked to be written; most at a time */
static bool flushed_in_order = true;

/* The program's own, in place of the C library's. */
int fsync(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path));
    if (n > 0 && str_ends((struct str){path, (size_t)n}, STR(".part")))
        errno = disk_error;
    else
        errno = 0;
    return errno ? -1 : 0;
}

int sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags)
{
    flushed_in_order &= (uint64_t)offset == flushed && flags == SYNC_FILE_RANGE_WRITE;
    flush_max = (uint64_t)n > flush_max ? (uint64_t)n : flush_max;
    flushed += (uint64_t)n;
    return 0;
}

/* Writing out fails long after write() said yes: the file must not appear, and what came stays. */
static void failure_to_force_out_is_told(void **state)
{
    struct server *server = server_start(answer_good);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct gfxb_error err = {0};
    char *path = target("file");
    struct fetch_request request = pinned();
    request.url = server_url(server, "/file");
    request.path = path;
    disk_error = EIO;
    assert_int_equal(fetch_run(&quick, &request, &result, &err), -EIO);
    disk_error = ENOSPC;
    assert_int_equal(fetch_run(&quick, &request, &result, &err), -GFXB_E_DISK_FULL);
    assert_non_null(strstr(err.text, "free some space"));
    assert_false(is_there(path, ""));
    assert_true(is_there(path, ".part"));
    request.scratch = true; /* a cache is not forced out */
    assert_int_equal(fetch_run(&quick, &request, &result, &err), 0);
    disk_error = 0;
    assert_is_content(path);
    assert_int_equal(atomic_load(&server->n), 1);
    server_end(server);
    free(path);
}

/* A large file goes to the disk in stretches while it arrives, each byte once. */
static void large_file_is_written_out_on_the_way(void **state)
{
    const struct fetch_config config = {0};
    struct part part = PART_NONE;
    struct hash hash = HASH_NONE;
    char *path = target("large");
    uint64_t n = 0;
    assert_int_equal(part_open(&config, path, NULL, &part, NULL), 0);
    assert_int_equal(hash_start(&hash, part.fd, true, NULL), 0);
    for (flushed = flush_max = 0; n < 70u << 20; n += FILE_BYTES) {
        assert_int_equal(part_add(&part, content, FILE_BYTES, NULL), 0);
        hash_reach(&hash, part.n - part.n_held);
    }
    while (hash_at(&hash) < part.n - part.n_held)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    hash_stop(&hash);
    assert_true(flushed_in_order);
    assert_true(flushed >= 64u << 20 && flushed <= n);
    assert_true(flush_max >= 32u << 20 && flush_max < 33u << 20);
    assert_int_equal(part_clear(&part, NULL), 0);
    part_done(&part);
    free(path);
}

static int set_up(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    static char template[] = "/tmp/gfxb-fetch-XXXXXX";
    uint32_t x = 1;
    dir = mkdtemp(template);
    content = malloc(2 * FILE_BYTES);
    for (size_t i = 0; content && i < 2 * FILE_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        content[i] = (unsigned char)(x >> 24);
    }
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    return dir && content ? digest_bytes(content, FILE_BYTES, content_sha256) : -1;
}

static int tear_down(void **state)
{
    free(content);
    return fs_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file_arrives),
        cmocka_unit_test(missing_file_is_final),
        cmocka_unit_test(used_up_limit_says_when),
        cmocka_unit_test(server_error_is_tried_again),
        cmocka_unit_test(reset_is_resumed_without_a_byte_twice),
        cmocka_unit_test(changed_file_begins_anew),
        cmocka_unit_test(stall_is_noticed_and_resumed),
        cmocka_unit_test(server_without_ranges_still_ends_well),
        cmocka_unit_test(chunked_answer_that_breaks_is_not_taken_for_whole),
        cmocka_unit_test(wrong_length_is_refused),
        cmocka_unit_test(wrong_digest_is_refused_and_forgotten),
        cmocka_unit_test(web_page_is_not_the_file),
        cmocka_unit_test(redirect_loop_ends),
        cmocka_unit_test(token_and_headers_stay_with_their_host),
        cmocka_unit_test(expired_link_is_asked_for_again),
        cmocka_unit_test(next_run_resumes),
        cmocka_unit_test(damaged_part_is_found_out),
        cmocka_unit_test(whole_part_is_taken),
        cmocka_unit_test(part_of_another_name),
        cmocka_unit_test(text_gets_every_byte_once),
        cmocka_unit_test(begin_can_end_the_fetch),
        cmocka_unit_test(small_answers_have_a_limit),
        cmocka_unit_test(mirror_gets_host_and_path_but_no_token),
        cmocka_unit_test(mirror_may_be_a_directory),
        cmocka_unit_test(nobody_there_is_offline),
        cmocka_unit_test(nonsense_is_no_url),
        cmocka_unit_test(cancel_ends_it_and_keeps_the_part),
        cmocka_unit_test(two_at_once_fetch_it_once),
        cmocka_unit_test(room_is_asked_for_first),
        cmocka_unit_test(headers_alone_can_be_asked_for),
        cmocka_unit_test(unwritable_place_is_said),
        cmocka_unit_test(progress_ends_at_the_total),
        cmocka_unit_test(failure_to_force_out_is_told),
        cmocka_unit_test(large_file_is_written_out_on_the_way),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
