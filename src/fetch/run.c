/* Exchange after exchange until the file is whole and right, or it is known that it will not be. */
#include "fetch/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define RUN_TRIES         6
#define RUN_TRIES_OFFLINE 2   /* when nobody ever answered */
#define RUN_TRIES_ALL     200 /* however much progress is between them */
#define RUN_RESTARTS      2
#define RUN_PROGRESS      (1u << 20) /* bytes that make a try worth its while */
#define RUN_PAUSE_MS      1000
#define RUN_PAUSE_MAX_MS  15000

uint64_t job_offset(const struct job *job)
{
    return job->part.fd >= 0 ? job->part.n : job->at;
}

bool transfer_cancelled(const struct job *job)
{
    return job->config->cancel && *job->config->cancel != 0;
}

enum verdict job_out_of_memory(struct job *job)
{
    error_set(job->err, ENOMEM, "out of memory");
    return VERDICT_FINAL;
}

static enum verdict run_interrupted(struct job *job)
{
    error_set(job->err, GFXB_E_INTERRUPTED, "interrupted");
    return VERDICT_FINAL;
}

/* Names, digest and curl. */
static int run_begin(struct job *job)
{
    const struct fetch_request *request = job->request;
    struct address address = {0};
    int r = address_parse(request->url, &address, job->err);
    if (r < 0)
        return r;
    job->what = strdup(request->what ? request->what : address.name[0] ? address.name : "the file");
    address_done(&address);
    r = address_rewrite(job->config, request->url, &job->url, job->err);
    if (r < 0)
        return r;
    job->is_mirrored = strcmp(job->url, request->url) != 0;
    r = address_parse(job->url, &job->here, job->err);
    if (r < 0)
        return r;
    job->curl = curl_easy_init();
    job->origin.url = strdup(job->url);
    job->origin.sha256 = request->sha256 ? strdup(request->sha256) : NULL;
    if (!job->what || !job->curl || !job->origin.url || (request->sha256 && !job->origin.sha256))
        return error_set(job->err, ENOMEM, "out of memory");
    job->rate_start = clock_now_ms();
    return body_begin(job);
}

static void run_done(struct job *job)
{
    part_done(&job->part);
    part_origin_done(&job->origin);
    address_done(&job->here);
    hasher_free(job->hasher);
    curl_easy_cleanup(job->curl);
    free(job->url);
    free(job->what);
}

static bool run_same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/*
 * Can the part be continued? With a digest to end on: when it was begun for the same digest. Else:
 * when it is from the same URL and the server can be asked whether the file is still the same.
 */
static bool run_may_resume(const struct job *job, const struct part_origin *old)
{
    const struct fetch_request *request = job->request;
    bool is_same_url = run_same_text(old->url, job->url);
    if (request->size && old->total && old->total != request->size)
        return false;
    if (old->total && job->part.n > old->total)
        return false;
    if (request->sha256 && old->sha256)
        return strcmp(request->sha256, old->sha256) == 0;
    return is_same_url && old->validator && old->validator[0];
}

static int run_open_part(struct job *job)
{
    const struct fetch_request *request = job->request;
    struct part_origin old = {0};
    if (request->part && !request->sha256)
        return error_set(job->err, EINVAL, "%s can only be continued with a digest", job->what);
    int r = part_open(job->config, request->path, request->part, &job->part, job->err);
    if (r < 0)
        return r;
    job->part.durable = !request->scratch;
    if (request->part && request->size && job->part.n > request->size)
        return part_clear(&job->part, job->err);
    if (job->part.n == 0 || request->part)
        return 0;
    if (part_load_origin(&job->part, &old) < 0 || !run_may_resume(job, &old))
        r = part_clear(&job->part, job->err);
    if (job->part.n) {
        job->origin.total = old.total;
        if (run_same_text(old.url, job->url)) {
            job->origin.validator = old.validator;
            old.validator = NULL;
        }
    }
    part_origin_done(&old);
    return r;
}

/* A file that is there already: DONE when it is the one that is wanted, AGAIN when it must be
 * fetched. */
static enum verdict run_take_existing(struct job *job)
{
    const struct fetch_request *request = job->request;
    struct stat st;
    if (!request->path || !request->sha256)
        return VERDICT_AGAIN;
    int CLEAN_CLOSE fd = open(request->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (request->size && (uint64_t)st.st_size != request->size))
        return VERDICT_AGAIN;
    enum verdict verdict = body_replay(job, fd, (uint64_t)st.st_size);
    if (verdict == VERDICT_DONE && body_check(job) != VERDICT_DONE)
        verdict = body_restart(job) == VERDICT_DONE ? VERDICT_AGAIN : VERDICT_FINAL;
    return verdict;
}

static enum verdict run_pause(struct job *job, int64_t ms)
{
    int64_t end = clock_now_ms() + ms;
    while (clock_now_ms() < end) {
        struct timespec step = {0, 50 * 1000000l};
        if (transfer_cancelled(job))
            return run_interrupted(job);
        nanosleep(&step, NULL);
    }
    return VERDICT_DONE;
}

/* What counts the tries. */
struct run_tries {
    int in_a_row, all, restarts;
    uint64_t mark; /* the offset at the last failure */
};

static enum verdict run_wait_and_retry(struct job *job, struct run_tries *tries)
{
    const struct fetch_config *config = job->config;
    int most = config->tries ? config->tries : RUN_TRIES;
    uint64_t offset = job_offset(job);
    if (job->err->code == GFXB_E_OFFLINE && offset == 0 && most > RUN_TRIES_OFFLINE)
        most = RUN_TRIES_OFFLINE;
    if (offset >= tries->mark + RUN_PROGRESS)
        tries->in_a_row = 0;
    if (offset > tries->mark)
        tries->mark = offset;
    tries->in_a_row++;
    tries->all++;
    if (tries->in_a_row >= most || tries->all >= RUN_TRIES_ALL) {
        if (tries->all > 1)
            error_prefix(job->err, "gave up after %d tries: ", tries->all);
        return VERDICT_FINAL;
    }
    int64_t ms = config->pause_ms ? config->pause_ms : RUN_PAUSE_MS;
    ms <<= tries->in_a_row < 10 ? tries->in_a_row - 1 : 9;
    if (ms > RUN_PAUSE_MAX_MS)
        ms = RUN_PAUSE_MAX_MS;
    if (job->answer.retry_after * 1000 > ms && job->answer.retry_after <= 60)
        ms = job->answer.retry_after * 1000;
    log_at(config->log, LOG_INFO, "%s; trying again in %.1f s", job->err->text, (double)ms / 1000);
    return run_pause(job, ms);
}

static enum verdict run_begin_anew(struct job *job, struct run_tries *tries)
{
    if (++tries->restarts > RUN_RESTARTS)
        return VERDICT_FINAL;
    log_at(job->config->log, LOG_INFO, "%s; beginning anew", job->err->text);
    tries->mark = 0;
    return body_restart(job);
}

/* Is all of it in the part already? */
static bool run_has_all(const struct job *job)
{
    uint64_t total = job->request->size ? job->request->size : job->origin.total;
    return job->part.fd >= 0 && job->part.n && job->part.n == total;
}

static enum verdict run_exchanges(struct job *job)
{
    struct run_tries tries = {.mark = job_offset(job)};
    for (;;) {
        enum verdict verdict;
        if (transfer_cancelled(job))
            return run_interrupted(job);
        if (run_has_all(job)) {
            job->resumed = true;
            verdict = body_replay_part(job);
        } else {
            verdict = exchange_run(job);
        }
        if (verdict == VERDICT_DONE && !job->request->head)
            verdict = body_check(job);
        if (verdict == VERDICT_RESTART)
            verdict = run_begin_anew(job, &tries);
        else if (verdict == VERDICT_AGAIN)
            verdict = run_wait_and_retry(job, &tries);
        else
            return verdict;
        if (verdict != VERDICT_DONE)
            return verdict;
    }
}

static enum verdict run_to_file(struct job *job)
{
    const struct fetch_request *request = job->request;
    enum verdict verdict = run_take_existing(job);
    if (verdict != VERDICT_AGAIN)
        return verdict;
    if (run_open_part(job) < 0)
        return VERDICT_FINAL;
    if (job->part.waited && (verdict = run_take_existing(job)) != VERDICT_AGAIN)
        return verdict;
    verdict = run_exchanges(job);
    if (verdict == VERDICT_DONE &&
        part_publish(&job->part, request->path, !request->scratch, job->err) < 0)
        verdict = VERDICT_FINAL;
    /* What is wrong as a whole is worth nothing to the next run. */
    if (verdict != VERDICT_DONE && job->err->code == GFXB_E_DIGEST_MISMATCH && job->part.fd >= 0)
        part_clear(&job->part, NULL);
    return verdict;
}

int fetch_run(const struct fetch_config *config, const struct fetch_request *request,
              struct fetch_result *ret_result, struct gfxb_error *err)
{
    static const struct fetch_config defaults = {0};
    struct gfxb_error own_error = {0};
    struct fetch_result result = FETCH_RESULT_INIT;
    struct job job = {.config = config ? config : &defaults,
                      .request = request,
                      .result = &result,
                      .err = err ? err : &own_error,
                      .part = PART_NONE};
    enum verdict verdict = VERDICT_FINAL;
    if (run_begin(&job) == 0)
        verdict = request->path ? run_to_file(&job) : run_exchanges(&job);
    if (verdict == VERDICT_DONE)
        body_show_progress(&job, true);
    if (job.answer.etag[0])
        result.etag = strdup(job.answer.etag);
    int code = job.err->code;
    run_done(&job);
    *ret_result = result;
    return verdict == VERDICT_DONE ? 0 : -code;
}

void fetch_result_done(struct fetch_result *result)
{
    free(result->url);
    free(result->etag);
    *result = FETCH_RESULT_INIT;
}

void fetch_discard(const char *path)
{
    static const char *const endings[] = {".part", ".part.from"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char *CLEAN_FREE name = NULL;
        if (asprintf(&name, "%s%s", path, endings[i]) >= 0)
            unlink(name);
        else
            name = NULL;
    }
}

/* fetch_get's sink. */
struct run_text {
    struct buf *buf;
    size_t start;
};

static int run_text_write(void *context, const void *bytes, size_t n, struct gfxb_error *err)
{
    struct run_text *text = context;
    buf_add(text->buf, bytes, n);
    return buf_ok(text->buf) ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int run_text_restart(void *context, struct gfxb_error *err)
{
    struct run_text *text = context;
    text->buf->n = text->start;
    return 0;
}

int fetch_get(const struct fetch_config *config, const struct fetch_request *request,
              struct buf *ret, struct fetch_result *ret_result, struct gfxb_error *err)
{
    struct run_text text = {ret, ret->n};
    struct fetch_sink sink = {run_text_write, run_text_restart, &text};
    struct fetch_request copy = *request;
    copy.path = NULL;
    copy.sink = &sink;
    copy.max = ret->max > ret->n ? ret->max - ret->n : 1;
    int r = fetch_run(config, &copy, ret_result, err);
    if (r < 0)
        ret->n = text.start;
    return r;
}
