/* exchange.c - one HTTP request with its redirects, followed by hand: each hop is judged by itself.
 */
#include "fetch/fetch_private.h"

#include <inttypes.h>
#include <time.h>

#define EXCHANGE_HOPS_MAX 10
#define EXCHANGE_SKIP_MAX 65536 /* of a body that says why not */
#define EXCHANGE_BUFFER   524288l
#define EXCHANGE_CONNECT  20l  /* seconds */
#define EXCHANGE_ALIVE    4096 /* bytes that end a time of silence */

/* Where distributions keep their trusted certificates, for a libcurl that was built for another. */
static const char *const exchange_ca_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

static const char *exchange_ca_file(const struct transfer *t)
{
    if (t->config->ca_file)
        return t->config->ca_file;
    const char *built_in = curl_version_info(CURLVERSION_NOW)->cainfo;
    if (built_in && access(built_in, R_OK) == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(exchange_ca_files) / sizeof(exchange_ca_files[0]); i++) {
        if (access(exchange_ca_files[i], R_OK) == 0)
            return exchange_ca_files[i];
    }
    return NULL;
}

static size_t exchange_on_header(char *line, size_t size, size_t n, void *context)
{
    struct transfer *t = context;
    struct str name, value;
    headers_add_line(&t->answer, (struct str){line, size * n}, (int64_t)time(NULL), &name, &value);
    if (name.n && t->request->header)
        t->request->header(t->request->context, t->hop, t->answer.status, name, value);
    return size * n;
}

/* A body of status 200 or 206 (or of a file URL) may be the file; others only say why not. */
static bool exchange_has_file(const struct transfer *t)
{
    long status = t->answer.status;
    return status == 200 || status == 206 || (status == 0 && strcmp(t->here->scheme, "file") == 0);
}

static size_t exchange_on_body(char *bytes, size_t size, size_t n, void *context)
{
    struct transfer *t = context;
    n *= size;
    int64_t start = clock_now_ms();
    t->result->received += n;
    if (!exchange_has_file(t)) {
        t->skipped += n;
        return t->skipped > EXCHANGE_SKIP_MAX ? 0 : n;
    }
    if (!t->accepted)
        t->body = body_accept(t, (struct str){bytes, n});
    if (t->body == 0)
        t->body = body_add(t, bytes, n);
    /* The time that the disk or the unpacking took is not the network's. */
    t->window_start += clock_now_ms() - start;
    t->window_bytes += n;
    return t->body == 0 ? n : 0;
}

static int exchange_on_progress(void *context, curl_off_t total, curl_off_t now,
                                curl_off_t up_total, curl_off_t up_now)
{
    struct transfer *t = context;
    const struct fetch_config *config = t->config;
    int64_t clock = clock_now_ms();
    int64_t patience = 1000 * (int64_t)(config->stall_seconds ? config->stall_seconds : 30);
    if (t->window_bytes >= EXCHANGE_ALIVE) {
        t->window_bytes = 0;
        t->window_start = clock;
    }
    t->stalled = clock - t->window_start > patience;
    t->cancelled = t->config->cancel && *t->config->cancel;
    body_show_progress(t, false);
    return t->stalled || t->cancelled;
}

static void exchange_add_header(struct curl_slist **list, const char *name, const char *value)
{
    char *CLEAN_FREE line = xasprintf("%s%s", name, value);
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (!grown)
        xalloc_die();
    *list = grown;
}

/* What belongs to the URL's own host goes nowhere else. NULL: none. */
static struct curl_slist *exchange_make_headers(const struct transfer *t)
{
    const struct fetch_request *request = t->request;
    bool is_own_host = address_same_origin(&t->own, t->here);
    struct curl_slist *list = NULL;
    for (size_t i = 0; is_own_host && request->headers && request->headers[i]; i++)
        exchange_add_header(&list, "", request->headers[i]);
    if (request->token && is_own_host && !t->is_mirrored && address_takes_secret(t->here))
        exchange_add_header(&list, "Authorization: Bearer ", request->token);
    if (request->body)
        exchange_add_header(&list, "Content-Type: ", "application/json");
    if (t->offset && t->part.validator && t->part.validator[0])
        exchange_add_header(&list, "If-Range: ", t->part.validator);
    return list;
}

static void exchange_set_up(struct transfer *t, const char *url, struct curl_slist *headers,
                            const char *range)
{
    CURL *curl = t->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "gfxbridge/" GFXB_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_RANGE, range);
    curl_easy_setopt(curl, CURLOPT_NOBODY, t->request->head ? 1l : 0l);
    if (t->request->body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, t->request->body);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, EXCHANGE_CONNECT);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, EXCHANGE_BUFFER);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, exchange_on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, exchange_on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0l);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, exchange_on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1l);
    const char *ca_file = exchange_ca_file(t);
    if (ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, ca_file);
    }
}

/* One request; an answer of any status is no failure. *ret_code: what curl says. */
static int exchange_one(struct transfer *t, const char *url, CURLcode *ret_code)
{
    char range[32] = "";
    headers_init(&t->answer);
    t->accepted = t->stalled = false;
    t->skipped = 0;
    t->body = 0;
    t->window_start = clock_now_ms();
    t->window_bytes = 0;
    snprintf(range, sizeof(range), "%" PRIu64 "-", t->offset);
    struct curl_slist *headers = exchange_make_headers(t);
    exchange_set_up(t, url, headers, t->offset ? range : NULL);
    *ret_code = curl_easy_perform(t->curl);
    curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    t->result->status = t->answer.status;
    t->result->limited = headers_is_limit(&t->answer);
    return t->body < 0 ? t->body : t->cancelled ? transfer_check_cancel(t) : 0;
}

/* The server has nothing behind what we have: is it all, or is it another file? */
static int exchange_judge_416(struct transfer *t)
{
    if (t->answer.range_total == t->offset) {
        t->resumed = true;
        t->part.total = t->offset;
        return 0;
    }
    t->retry = RETRY_RESTART;
    return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                     "%s at %s is not the file that was started", t->what, t->here->host);
}

/* The answer is there, or what came of it. */
static int exchange_judge(struct transfer *t, CURLcode code)
{
    if (!exchange_has_file(t)) {
        if (t->answer.status == 416 && t->offset)
            return exchange_judge_416(t);
        return t->answer.status ? failure_of_status(t) : failure_of_curl(t, code);
    }
    if (code != CURLE_OK)
        return failure_of_curl(t, code);
    if (t->request->head) {
        t->result->size = t->answer.has_length ? t->answer.length : 0;
        return 0;
    }
    if (!t->accepted) { /* no byte came: an empty file, or an empty rest */
        int r = body_accept(t, STR_NONE);
        if (r < 0)
            return r;
    }
    uint64_t total = t->part.total ? t->part.total : t->request->size;
    return transfer_offset(t) < total ? failure_of_curl(t, CURLE_PARTIAL_FILE) : 0;
}

/* Where the answer redirects to, checked: *url is replaced. */
static int exchange_redirect(struct transfer *t, char **url)
{
    const char *location = NULL;
    struct address next = {0};
    curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &location);
    if (!location || address_parse(location, &next, NULL) < 0)
        return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "cannot fetch %s: %s redirects to no usable address (status %ld)", t->what,
                         t->here->host, t->answer.status);
    if (!address_may_lead_to(t->here, &next)) {
        error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                  "cannot fetch %s: %s redirects from %s to %s, which is not safe", t->what,
                  t->here->host, t->here->scheme, next.scheme);
        address_done(&next);
        return -GFXB_E_PACKAGE_UNAVAILABLE;
    }
    address_done(&t->next);
    t->next = next;
    t->here = &t->next;
    free(*url);
    *url = xstrdup(location);
    return 0;
}

static bool exchange_is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

int exchange_run(struct transfer *t)
{
    char *CLEAN_FREE url = xstrdup(t->url);
    t->here = &t->own;
    /* A local file starts over: no answer says whether it is still the same. */
    int r = strcmp(t->own.scheme, "file") == 0 && transfer_offset(t) ? body_restart(t) : 0;
    t->offset = transfer_offset(t);
    for (t->hop = 0; r == 0 && t->hop <= EXCHANGE_HOPS_MAX; t->hop++) {
        CURLcode code = CURLE_OK;
        r = exchange_one(t, url, &code);
        if (r == 0 && !exchange_is_redirect(t->answer.status))
            return exchange_judge(t, code);
        if (r == 0)
            r = exchange_redirect(t, &url);
    }
    return r < 0 ? r
                 : error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                             "cannot fetch %s: %s and others redirect to each other without end",
                             t->what, t->own.host);
}
