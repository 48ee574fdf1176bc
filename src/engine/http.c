/* http.c - one request to an engine, over its unix socket. */
#include "engine/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#define HTTP_TICK_MS 100 /* how late a cancel flag may be seen */
#define HTTP_LAST_MS 500 /* for what is still in the socket of an engine that has ended */

struct http_transfer {
    const struct http_ask *request;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    int code; /* what a callback said */
};

static size_t http_on_bytes(char *bytes, size_t size, size_t n, void *context)
{
    struct http_transfer *t = context;
    (void)size; /* always 1 */
    if (t->request->on_bytes)
        t->code = t->request->on_bytes(t->request->context, (struct str){bytes, n});
    return t->code < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static bool http_add_header(struct http_transfer *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    if (longer)
        t->headers = longer;
    return longer != NULL;
}

static bool http_add_headers(struct http_transfer *t)
{
    char *CLEAN_FREE key = NULL;
    if (t->request->key && asprintf(&key, "Authorization: Bearer %s", t->request->key) < 0)
        key = NULL;
    return (!t->request->key || (key && http_add_header(t, key))) &&
           http_add_header(t, "Content-Type: application/json") && http_add_header(t, "Expect:");
}

static bool http_set_up(struct http_transfer *t)
{
    const struct http_ask *r = t->request;
    char *CLEAN_FREE url = NULL;
    if (!t->easy || !t->multi || !http_add_headers(t) || asprintf(&url, "engine%s", r->path) < 0)
        return false;
    CURLcode c = curl_easy_setopt(t->easy, CURLOPT_URL, url);
    c |= curl_easy_setopt(t->easy, CURLOPT_DEFAULT_PROTOCOL, "http");
    c |= curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, r->socket);
    c |= curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    c |= curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    c |= curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
    c |= curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    c |= curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, http_on_bytes);
    c |= curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    if (r->body) {
        c |= curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_n);
        c |= curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body);
    }
    return c == CURLE_OK && curl_multi_add_handle(t->multi, t->easy) == CURLM_OK;
}

static int http_code(CURLcode c)
{
    switch (c) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return -EPROTO;
    default: /* empty reply, partial file, receive error: it went away */
        return -ECONNRESET;
    }
}

/* 1 finished and *ret_code is filled, 0 not yet. */
static int http_finished(struct http_transfer *t, int *ret_code)
{
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(t->multi, &left);
    if (!message || message->msg != CURLMSG_DONE)
        return 0;
    *ret_code = t->code < 0 ? t->code : http_code(message->data.result);
    return 1;
}

static int http_drive(struct http_transfer *t)
{
    const struct http_ask *r = t->request;
    struct curl_waitfd watched = {.fd = r->pidfd, .events = CURL_WAIT_POLLIN};
    int64_t last = 0; /* the engine has ended: not beyond this */
    for (;;) {
        int running = 0, code = 0;
        if (curl_multi_perform(t->multi, &running) != CURLM_OK)
            return -EPROTO;
        if (http_finished(t, &code))
            return code;
        if (r->cancel && *r->cancel)
            return -EINTR;
        int64_t now = clock_now_ms(), until = r->until ? r->until(r->context) : 0;
        if (until && now >= until)
            return -ETIMEDOUT;
        if (last && now >= last)
            return -ECONNRESET;
        int64_t wait = until && until - now < HTTP_TICK_MS ? until - now : HTTP_TICK_MS;
        bool watching = r->pidfd >= 0 && !last;
        watched.revents = 0;
        curl_multi_poll(t->multi, &watched, watching ? 1 : 0, (int)wait, NULL);
        if (watching && watched.revents)
            last = clock_now_ms() + HTTP_LAST_MS;
    }
}

int http_ask(const struct http_ask *request, long *ret_status)
{
    struct http_transfer t = {
        .request = request, .easy = curl_easy_init(), .multi = curl_multi_init()};
    int code = http_set_up(&t) ? http_drive(&t) : -ENOMEM;
    long status = 0;
    if (t.easy)
        curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
    if (t.easy && t.multi)
        curl_multi_remove_handle(t.multi, t.easy);
    curl_easy_cleanup(t.easy);
    curl_multi_cleanup(t.multi);
    curl_slist_free_all(t.headers);
    if (code == 0)
        *ret_status = status;
    return code;
}
