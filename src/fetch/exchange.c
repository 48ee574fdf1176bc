/* One HTTP request with its redirects, which are followed by hand: each hop is judged by itself. */
#include "fetch/job.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define EXCHANGE_HOPS_MAX 10
#define EXCHANGE_SKIP_MAX 65536 /* of a body that says why not */
#define EXCHANGE_BUFFER   524288l

/* Where distributions keep their trusted certificates, for a libcurl that was built for another. */
static const char *const exchange_ca_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

static const char *exchange_ca_file(const struct job *job)
{
    if (job->config->ca_file)
        return job->config->ca_file;
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
    struct job *job = context;
    struct str name, value;
    headers_add_line(&job->answer, (struct str){line, size * n}, (int64_t)time(NULL), &name,
                     &value);
    if (name.n && job->request->header)
        job->request->header(job->request->context, job->hop, job->answer.status, name, value);
    return size * n;
}

/* A body of status 200 or 206 (or of a file URL) may be the file; others only say why not. */
static bool exchange_has_file(const struct job *job)
{
    long status = job->answer.status;
    return status == 200 || status == 206 || (status == 0 && strcmp(job->here.scheme, "file") == 0);
}

static size_t exchange_on_body(char *bytes, size_t size, size_t n, void *context)
{
    struct job *job = context;
    n *= size;
    int64_t start = clock_now_ms();
    job->result->received += n;
    if (!exchange_has_file(job)) {
        job->skipped += n;
        return job->skipped > EXCHANGE_SKIP_MAX ? 0 : n;
    }
    if (!job->accepted)
        job->verdict = body_accept(job, (struct str){bytes, n});
    if (job->verdict == VERDICT_DONE)
        job->verdict = body_add(job, bytes, n);
    /* The time that the disk or the unpacking took is not the network's. */
    job->window_start += clock_now_ms() - start;
    job->window_bytes += n;
    return job->verdict == VERDICT_DONE ? n : 0;
}

static int exchange_on_progress(void *context, curl_off_t total, curl_off_t now,
                                curl_off_t up_total, curl_off_t up_now)
{
    struct job *job = context;
    const struct fetch_config *config = job->config;
    int64_t clock = clock_now_ms();
    uint64_t enough = config->stall_bytes ? config->stall_bytes : 4096;
    int64_t patience = 1000 * (int64_t)(config->stall_seconds ? config->stall_seconds : 30);
    if (job->window_bytes >= enough) {
        job->window_bytes = 0;
        job->window_start = clock;
    }
    job->stalled = clock - job->window_start > patience;
    job->cancelled = transfer_cancelled(job);
    body_show_progress(job, false);
    return job->stalled || job->cancelled;
}

static int exchange_add_header(struct curl_slist **list, const char *format, const char *value)
{
    char *CLEAN_FREE line = NULL;
    if (asprintf(&line, format, value) < 0) {
        line = NULL;
        return -ENOMEM;
    }
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (!grown)
        return -ENOMEM;
    *list = grown;
    return 0;
}

/* What belongs to the URL's own host goes nowhere else. */
static int exchange_make_headers(const struct job *job, bool is_own_host, struct curl_slist **list)
{
    const struct fetch_request *request = job->request;
    int r = 0;
    for (size_t i = 0; is_own_host && request->headers && request->headers[i] && r == 0; i++)
        r = exchange_add_header(list, "%s", request->headers[i]);
    if (r == 0 && request->token && is_own_host && !job->is_mirrored &&
        address_takes_secret(&job->here))
        r = exchange_add_header(list, "Authorization: Bearer %s", request->token);
    if (r == 0 && job->offset && job->origin.validator && job->origin.validator[0])
        r = exchange_add_header(list, "If-Range: %s", job->origin.validator);
    return r;
}

static void exchange_set_up(struct job *job, const char *url, struct curl_slist *headers,
                            const char *range)
{
    CURL *curl = job->curl;
    long connect = job->config->connect_seconds ? job->config->connect_seconds : 20;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "gfxbridge/" GFXB_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_RANGE, range);
    curl_easy_setopt(curl, CURLOPT_NOBODY, job->request->head ? 1l : 0l);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, connect);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, EXCHANGE_BUFFER);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, exchange_on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, job);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, exchange_on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0l);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, exchange_on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, job);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1l);
    const char *ca_file = exchange_ca_file(job);
    if (ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, ca_file);
    }
}

/* Perform without a SIGPIPE for the process when the server goes away while we write. */
static CURLcode exchange_perform(CURL *curl)
{
    sigset_t pipe, before, pending;
    struct timespec none = {0, 0};
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    CURLcode code = curl_easy_perform(curl);
    if (!was_pending)
        sigtimedwait(&pipe, NULL, &none);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static enum verdict exchange_one(struct job *job, const char *url, bool is_own_host,
                                 CURLcode *ret_code)
{
    struct curl_slist *headers = NULL;
    char range[32] = "";
    headers_init(&job->answer);
    job->accepted = job->stalled = false;
    job->skipped = 0;
    job->verdict = VERDICT_DONE;
    job->window_start = clock_now_ms();
    job->window_bytes = 0;
    snprintf(range, sizeof(range), "%" PRIu64 "-", job->offset);
    if (exchange_make_headers(job, is_own_host, &headers) < 0) {
        curl_slist_free_all(headers);
        return job_out_of_memory(job);
    }
    exchange_set_up(job, url, headers, job->offset ? range : NULL);
    *ret_code = exchange_perform(job->curl);
    curl_easy_setopt(job->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    job->result->status = job->answer.status;
    if (job->verdict != VERDICT_DONE)
        return job->verdict;
    if (job->cancelled) {
        error_set(job->err, GFXB_E_INTERRUPTED, "interrupted");
        return VERDICT_FINAL;
    }
    return VERDICT_DONE;
}

/* The server has nothing behind what we have: is it all, or is it another file? */
static enum verdict exchange_judge_416(struct job *job)
{
    if (job->answer.range_total == job->offset) {
        job->resumed = true;
        job->origin.total = job->offset;
        return body_replay_part(job);
    }
    error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE, "%s at %s is not the file that was begun",
              job->what, job->here.host);
    return VERDICT_RESTART;
}

/* The answer is there, or what came of it. */
static enum verdict exchange_judge(struct job *job, CURLcode code)
{
    if (!exchange_has_file(job)) {
        if (job->answer.status == 416 && job->offset)
            return exchange_judge_416(job);
        return job->answer.status ? failure_of_status(job) : failure_of_curl(job, code);
    }
    if (code != CURLE_OK)
        return failure_of_curl(job, code);
    if (job->request->head) {
        job->result->size = job->answer.has_length ? job->answer.length : 0;
        return VERDICT_DONE;
    }
    if (!job->accepted) { /* no byte came: an empty file, or an empty rest */
        enum verdict verdict = body_accept(job, STR_NONE);
        if (verdict != VERDICT_DONE)
            return verdict;
    }
    uint64_t total = job->origin.total ? job->origin.total : job->request->size;
    return job->at < total ? failure_of_curl(job, CURLE_PARTIAL_FILE) : VERDICT_DONE;
}

/* Where the answer sends us, checked: *ret_url is to be freed by the caller. */
static enum verdict exchange_redirect(struct job *job, char **ret_url)
{
    const char *location = NULL;
    struct address next = {0};
    curl_easy_getinfo(job->curl, CURLINFO_REDIRECT_URL, &location);
    if (!location || address_parse(location, &next, NULL) < 0) {
        error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE,
                  "cannot fetch %s: %s sends us on to nowhere (status %ld)", job->what,
                  job->here.host, job->answer.status);
        return VERDICT_FINAL;
    }
    if (!address_may_lead_to(&job->here, &next)) {
        error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE,
                  "cannot fetch %s: %s sends us from %s on to %s, which is not safe", job->what,
                  job->here.host, job->here.scheme, next.scheme);
        address_done(&next);
        return VERDICT_FINAL;
    }
    char *copy = strdup(location);
    if (!copy) {
        address_done(&next);
        return job_out_of_memory(job);
    }
    address_done(&job->here);
    job->here = next;
    *ret_url = copy;
    return VERDICT_DONE;
}

static bool exchange_is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

enum verdict exchange_run(struct job *job)
{
    struct address own = {0};
    char *url = strdup(job->url);
    enum verdict verdict = VERDICT_FINAL;
    address_done(&job->here);
    if (!url)
        return job_out_of_memory(job);
    if (address_parse(job->url, &own, job->err) < 0 ||
        address_parse(job->url, &job->here, job->err) < 0)
        goto out;
    /* A local file is begun anew rather than continued: its URL has no answer to judge by. */
    if (strcmp(own.scheme, "file") == 0 && job_offset(job) && body_restart(job) != VERDICT_DONE)
        goto out;
    job->offset = job_offset(job);
    for (job->hop = 0; job->hop <= EXCHANGE_HOPS_MAX; job->hop++) {
        CURLcode code = CURLE_OK;
        verdict = exchange_one(job, url, address_same_origin(&own, &job->here), &code);
        free(job->result->url);
        job->result->url = strdup(url);
        if (verdict != VERDICT_DONE)
            goto out;
        if (!exchange_is_redirect(job->answer.status)) {
            verdict = exchange_judge(job, code);
            goto out;
        }
        char *next = NULL;
        verdict = exchange_redirect(job, &next);
        if (verdict != VERDICT_DONE)
            goto out;
        free(url);
        url = next;
    }
    error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE,
              "cannot fetch %s: %s and others send us on to each other without end", job->what,
              own.host);
    verdict = VERDICT_FINAL;
out:
    address_done(&own);
    free(url);
    return verdict;
}
