/* fetch.c - exchange after exchange until the file is whole and right, or it is known that it will
 * not be. */
#include "fetch/fetch_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define FETCH_TRIES         6
#define FETCH_TRIES_OFFLINE 2   /* when there was no answer at all */
#define FETCH_TRIES_ALL     200 /* however much progress is between them */
#define FETCH_RESTARTS      2
#define FETCH_PROGRESS      (1u << 20) /* bytes that reset the count of tries */
#define FETCH_PAUSE_MS      1000
#define FETCH_PAUSE_MAX_MS  15000

uint64_t transfer_offset(const struct transfer *t)
{
    return t->part.fd >= 0 ? t->part.n : t->text ? t->text->n - t->text_start : 0;
}

int transfer_check_cancel(const struct transfer *t)
{
    const atomic_int *cancel = t->config->cancel;
    return cancel && *cancel ? error_set(t->err, GFXB_E_INTERRUPTED, "interrupted") : 0;
}

static void fetch_set_up_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        xalloc_die();
}

/* Names and curl. */
static int transfer_begin(struct transfer *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct fetch_request *request = t->request;
    pthread_once(&once, fetch_set_up_curl); /* before libcurl 7.84 not safe beside other threads */
    int r = address_parse(request->url, &t->own, t->err);
    if (r < 0)
        return r;
    const char *name = t->own.name[0] ? t->own.name : "the file";
    t->what = xstrdup(request->what ? request->what : name);
    address_done(&t->own);
    r = address_rewrite(t->config, request->url, &t->url, t->err)
            ?: address_parse(t->url, &t->own, t->err);
    if (r < 0)
        return r;
    t->here = &t->own;
    t->is_mirrored = strcmp(t->url, request->url) != 0;
    t->curl = curl_easy_init();
    if (!t->curl)
        xalloc_die();
    t->rate_start = clock_now_ms();
    return 0;
}

static void transfer_done(struct transfer *t)
{
    hash_stop(&t->hash);
    part_done(&t->part);
    address_done(&t->own);
    address_done(&t->next);
    curl_easy_cleanup(t->curl);
    free(t->url);
    free(t->what);
}

static bool fetch_same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/*
 * Can the part be continued? With a digest to end on: when it was begun for the same digest. Else:
 * when it is from the same URL and the server can be asked whether the file is still the same.
 */
static bool fetch_may_resume(const struct transfer *t)
{
    const struct fetch_request *request = t->request;
    const struct part *part = &t->part;
    if (!part->url || (part->total && part->n > part->total) ||
        (request->size && part->total && part->total != request->size))
        return false;
    if (request->sha256 && part->sha256)
        return strcmp(request->sha256, part->sha256) == 0;
    return fetch_same_text(part->url, t->url) && part->validator && part->validator[0];
}

static int fetch_open_part(struct transfer *t)
{
    const struct fetch_request *request = t->request;
    struct part *part = &t->part;
    if (request->part && !request->sha256)
        return error_set(t->err, EINVAL, "%s can only be continued with a digest", t->what);
    int r = part_open(t->config, request->path, request->part, part, t->err);
    if (r < 0)
        return r;
    part->durable = !request->scratch;
    if (request->part ? request->size && part->n > request->size : !fetch_may_resume(t))
        r = part_clear(part, t->err);
    if (!fetch_same_text(part->url, t->url)) {
        free(part->validator); /* of another server's file */
        part->validator = NULL;
    }
    free(part->url);
    free(part->sha256);
    part->url = xstrdup(t->url);
    part->sha256 = xstrdup_or_null(request->sha256);
    return r;
}

/* 1: a file is there already and is the one that is wanted; 0: it must be fetched. */
static int fetch_take_existing(struct transfer *t)
{
    const struct fetch_request *request = t->request;
    struct stat st;
    if (!request->sha256)
        return 0;
    int CLEAN_CLOSE fd = open(request->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (request->size && (uint64_t)st.st_size != request->size))
        return 0;
    int r = hash_start(&t->hash, fd, false, t->err) ?: body_check(t, (uint64_t)st.st_size);
    hash_stop(&t->hash);
    return r == 0 ? 1 : r == -GFXB_E_DIGEST_MISMATCH ? 0 : r;
}

static int fetch_pause(struct transfer *t, int64_t ms)
{
    int64_t end = clock_now_ms() + ms;
    int r = 0;
    while (r == 0 && clock_now_ms() < end) {
        nanosleep(&(struct timespec){0, 50 * 1000000l}, NULL);
        r = transfer_check_cancel(t);
    }
    return r;
}

/* What counts the tries. */
struct fetch_tries {
    int in_a_row, all, restarts;
    uint64_t mark; /* the offset at the last failure */
};

/* 0: try again now; else the failure r, or why there is no next try. */
static int fetch_wait(struct transfer *t, struct fetch_tries *tries, int r)
{
    const struct fetch_config *config = t->config;
    int most = config->tries ? config->tries : FETCH_TRIES;
    uint64_t offset = transfer_offset(t);
    if (r == -GFXB_E_OFFLINE && offset == 0 && most > FETCH_TRIES_OFFLINE)
        most = FETCH_TRIES_OFFLINE;
    if (offset >= tries->mark + FETCH_PROGRESS)
        tries->in_a_row = 0;
    if (offset > tries->mark)
        tries->mark = offset;
    tries->in_a_row++;
    tries->all++;
    if (tries->in_a_row >= most || tries->all >= FETCH_TRIES_ALL) {
        if (tries->all > 1)
            error_prefix(t->err, "gave up after %d tries: ", tries->all);
        return r;
    }
    int64_t ms = config->pause_ms ? config->pause_ms : FETCH_PAUSE_MS;
    ms <<= tries->in_a_row < 10 ? tries->in_a_row - 1 : 9;
    if (ms > FETCH_PAUSE_MAX_MS)
        ms = FETCH_PAUSE_MAX_MS;
    if (t->answer.retry_after * 1000 > ms && t->answer.retry_after <= 60)
        ms = t->answer.retry_after * 1000;
    log_at(config->log, LOG_INFO, "%s; trying again in %.1f s", t->err->text, (double)ms / 1000);
    return fetch_pause(t, ms);
}

static int fetch_start_over(struct transfer *t, struct fetch_tries *tries, int r)
{
    if (++tries->restarts > FETCH_RESTARTS)
        return r;
    log_at(t->config->log, LOG_INFO, "%s; starting over", t->err->text);
    tries->mark = 0;
    return body_restart(t);
}

/* Is all of it in the part already? */
static bool fetch_has_all(const struct transfer *t)
{
    uint64_t total = t->request->size ? t->request->size : t->part.total;
    return t->part.fd >= 0 && t->part.n && t->part.n == total;
}

static int fetch_try(struct transfer *t)
{
    *t->err = (struct gfxb_error){0};
    t->retry = RETRY_NEVER;
    int r = transfer_check_cancel(t);
    if (r == 0 && fetch_has_all(t))
        t->resumed = true;
    else if (r == 0)
        r = exchange_run(t);
    return r == 0 && !t->request->head ? body_check(t, transfer_offset(t)) : r;
}

static int fetch_exchanges(struct transfer *t)
{
    struct fetch_tries tries = {.mark = transfer_offset(t)};
    for (;;) {
        int r = fetch_try(t);
        if (r == 0 || t->retry == RETRY_NEVER)
            return r;
        r = t->retry == RETRY_RESTART ? fetch_start_over(t, &tries, r) : fetch_wait(t, &tries, r);
        if (r < 0)
            return r;
    }
}

static int fetch_to_file(struct transfer *t)
{
    int r = fetch_take_existing(t);
    if (r != 0)
        return r < 0 ? r : 0;
    r = fetch_open_part(t);
    if (r < 0)
        return r;
    if (t->part.waited && (r = fetch_take_existing(t)) != 0)
        return r < 0 ? r : 0;
    r = hash_start(&t->hash, t->part.fd, t->part.durable, t->err)
            ?: fetch_exchanges(t)
            ?: part_publish(&t->part, t->request->path, t->err);
    /* A part with a wrong digest is of no use to the next run. */
    if (r == -GFXB_E_DIGEST_MISMATCH)
        body_restart(t);
    return r;
}

/* text: where the bytes go; NULL: into the request's file, or nowhere. */
static int fetch_transfer(const struct fetch_config *config, const struct fetch_request *request,
                          struct buf *text, struct fetch_result *ret_result, struct gfxb_error *err)
{
    static const struct fetch_config defaults = {0};
    struct gfxb_error error = {0};
    struct fetch_result result = FETCH_RESULT_INIT;
    struct transfer t = {.config = config ? config : &defaults,
                         .request = request,
                         .result = &result,
                         .err = &error,
                         .text = text,
                         .text_start = text ? text->n : 0,
                         .part = PART_NONE,
                         .hash = HASH_NONE};
    int r = transfer_begin(&t);
    if (r == 0)
        r = request->path ? fetch_to_file(&t) : fetch_exchanges(&t);
    if (r == 0)
        body_show_progress(&t, true);
    else if (text)
        text->n = t.text_start;
    transfer_done(&t);
    *ret_result = result;
    if (r < 0 && err)
        *err = error;
    return r;
}

int fetch_run(const struct fetch_config *config, const struct fetch_request *request,
              struct fetch_result *ret_result, struct gfxb_error *err)
{
    return fetch_transfer(config, request, NULL, ret_result, err);
}

int fetch_get(const struct fetch_config *config, const struct fetch_request *request,
              struct buf *ret, struct fetch_result *ret_result, struct gfxb_error *err)
{
    struct fetch_request copy = *request;
    copy.path = NULL;
    copy.max = ret->max > ret->n ? ret->max - ret->n : 1;
    return fetch_transfer(config, &copy, ret, ret_result, err);
}

void fetch_discard(const char *path)
{
    char *CLEAN_FREE part = xasprintf("%s.part", path);
    char *CLEAN_FREE from = xasprintf("%s.part.from", path);
    unlink(part);
    unlink(from);
}
