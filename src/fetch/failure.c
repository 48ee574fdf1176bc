/* failure.c - from what curl or a server says to one sentence, and whether to try again. */
#include "fetch/fetch_private.h"

#include <time.h>

#define FAILURE_EXPIRED_MAX 2
#define FAILURE_WAIT_MAX    60 /* seconds of Retry-After that we wait ourselves */

/* Curl's codes that mean more than "the connection broke". */
static const struct failure {
    CURLcode curl;
    int code;
    enum retry retry;
    const char *format; /* gets the name of the file and of the host */
} failures[] = {
    {CURLE_COULDNT_RESOLVE_HOST, GFXB_E_OFFLINE, RETRY_RESUME,
     "cannot fetch %s: the host %s cannot be found; is this computer online?"},
    {CURLE_COULDNT_CONNECT, GFXB_E_OFFLINE, RETRY_RESUME,
     "cannot fetch %s: %s cannot be reached; is this computer online, is a firewall or a proxy in "
     "between?"},
    {CURLE_COULDNT_RESOLVE_PROXY, GFXB_E_OFFLINE, RETRY_RESUME,
     "cannot fetch %s from %s: the proxy of the *_PROXY variables cannot be found"},
    {CURLE_PROXY, GFXB_E_OFFLINE, RETRY_RESUME,
     "cannot fetch %s from %s: the proxy of the *_PROXY variables does not let us through"},
    {CURLE_PEER_FAILED_VERIFICATION, GFXB_E_PACKAGE_UNAVAILABLE, RETRY_NEVER,
     "cannot fetch %s: the certificate of %s is not trusted; where a company's proxy stands in "
     "between, give its certificate in GFXBRIDGE_CA_FILE"},
    {CURLE_SSL_CACERT_BADFILE, GFXB_E_PACKAGE_UNAVAILABLE, RETRY_NEVER,
     "cannot fetch %s from %s: the file of trusted certificates cannot be read; see "
     "GFXBRIDGE_CA_FILE, or install ca-certificates"},
    {CURLE_FILE_COULDNT_READ_FILE, GFXB_E_PACKAGE_UNAVAILABLE, RETRY_NEVER,
     "%s is not on the mirror%s"},
    {CURLE_UNSUPPORTED_PROTOCOL, GFXB_E_PACKAGE_UNAVAILABLE, RETRY_NEVER,
     "cannot fetch %s from %s: this libcurl does not know that protocol"},
};

static bool failure_was_connected(const struct transfer *t)
{
    curl_off_t microseconds = 0;
    curl_easy_getinfo(t->curl, CURLINFO_PRETRANSFER_TIME_T, &microseconds);
    return microseconds > 0;
}

static int failure_of_time(struct transfer *t)
{
    t->retry = RETRY_RESUME;
    if (!t->stalled && !failure_was_connected(t))
        return error_set(t->err, GFXB_E_OFFLINE,
                         "cannot fetch %s: %s does not answer; is this computer online, is a "
                         "firewall or a proxy in between?",
                         t->what, t->here->host);
    return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE, "cannot fetch %s: %s stopped sending",
                     t->what, t->here->host);
}

int failure_of_curl(struct transfer *t, CURLcode code)
{
    long connect_status = 0;
    if (t->stalled || code == CURLE_OPERATION_TIMEDOUT)
        return failure_of_time(t);
    if (code == CURLE_OUT_OF_MEMORY)
        xalloc_die();
    curl_easy_getinfo(t->curl, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if (connect_status >= 400)
        return error_set(t->err, GFXB_E_OFFLINE,
                         "cannot fetch %s from %s: the proxy of the *_PROXY variables answers "
                         "%ld%s",
                         t->what, t->here->host, connect_status,
                         connect_status == 407 ? ", it needs a user name and a password" : "");
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (failures[i].curl != code)
            continue;
        t->retry = failures[i].retry;
        return error_set(t->err, failures[i].code, failures[i].format, t->what, t->here->host);
    }
    t->retry = RETRY_RESUME;
    return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                     "cannot fetch %s: the connection to %s broke (%s)", t->what, t->here->host,
                     curl_easy_strerror(code));
}

static int failure_of_limit(struct transfer *t)
{
    int64_t now = (int64_t)time(NULL);
    int64_t until = headers_limit_until(&t->answer, now);
    time_t when = (time_t)until;
    struct tm tm;
    char clock[32] = "";
    if (until && gmtime_r(&when, &tm))
        strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M UTC", &tm);
    if (t->answer.status == 429 && t->answer.retry_after >= 0 &&
        t->answer.retry_after <= FAILURE_WAIT_MAX)
        t->retry = RETRY_RESUME;
    return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                     "cannot fetch %s: %s accepts no more requests from this computer %s%s",
                     t->what, t->here->host, until ? "until " : "for some time", clock);
}

static const char *failure_status_meaning(long status)
{
    switch (status) {
    case 401:
        return ", the token or password is not accepted";
    case 403:
        return ", it is not allowed";
    case 404:
        return ", the file is not there (renamed or withdrawn)";
    case 410:
        return ", the file is gone";
    case 451:
        return ", it is not available for legal reasons";
    default:
        return status >= 500 ? ", it has a problem of its own" : "";
    }
}

int failure_of_status(struct transfer *t)
{
    long status = t->answer.status;
    if (headers_is_limit(&t->answer))
        return failure_of_limit(t);
    bool is_passing =
        status == 408 || status == 425 || (status >= 500 && status != 501 && status != 505);
    /* A redirect to storage is signed for minutes only: its origin gives a fresh one. */
    bool is_expired =
        t->hop > 0 && (status == 400 || status == 401 || status == 403 || status == 410);
    if (is_passing || (is_expired && t->expired++ < FAILURE_EXPIRED_MAX))
        t->retry = RETRY_RESUME;
    return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE, "cannot fetch %s: %s answers %ld%s",
                     t->what, t->here->host, status, failure_status_meaning(status));
}
