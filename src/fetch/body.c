/* What arrives: the right beginning, into the part, the digest and the sink, the right end. */
#include "fetch/job.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#define BODY_PIECE       262144
#define BODY_PROGRESS_MS 100
#define BODY_RATE_MS     500

static void *body_context(const struct job *job)
{
    return job->request->context;
}

int body_begin(struct job *job)
{
    hasher_free(job->hasher);
    job->hasher = NULL;
    job->at = 0;
    return hasher_new(&job->hasher, job->err);
}

enum verdict body_restart(struct job *job)
{
    const struct fetch_sink *sink = job->request->sink;
    if (job->at && sink && !sink->restart) {
        error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE,
                  "%s changed at %s while it was being fetched: try again", job->what,
                  job->here.host ? job->here.host : "its server");
        return VERDICT_FINAL;
    }
    int r = job->at && sink ? sink->restart(sink->context, job->err) : 0;
    if (r == 0 && job->part.fd >= 0)
        r = part_clear(&job->part, job->err);
    if (r == 0)
        r = body_begin(job);
    job->resumed = false;
    job->origin.total = 0;
    free(job->origin.validator);
    job->origin.validator = NULL;
    return r < 0 ? VERDICT_FINAL : VERDICT_DONE;
}

/* To the digest and the sink. */
static enum verdict body_deliver(struct job *job, const char *bytes, size_t n)
{
    const struct fetch_sink *sink = job->request->sink;
    hasher_add(job->hasher, bytes, n);
    job->at += n;
    if (sink && sink->write(sink->context, bytes, n, job->err) < 0)
        return VERDICT_FINAL;
    return VERDICT_DONE;
}

enum verdict body_replay(struct job *job, int fd, uint64_t end)
{
    char *CLEAN_FREE piece = malloc(BODY_PIECE);
    enum verdict verdict = piece ? VERDICT_DONE : job_out_of_memory(job);
    while (verdict == VERDICT_DONE && job->at < end) {
        uint64_t left = end - job->at;
        ssize_t n = pread(fd, piece, left < BODY_PIECE ? (size_t)left : BODY_PIECE, (off_t)job->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            error_set(job->err, n < 0 ? errno : EIO, "cannot read %s again: %s", job->request->path,
                      error_errno_text(n < 0 ? errno : EIO));
            return VERDICT_FINAL;
        }
        verdict = body_deliver(job, piece, (size_t)n);
        body_show_progress(job, false);
        if (verdict == VERDICT_DONE && transfer_cancelled(job)) {
            error_set(job->err, GFXB_E_INTERRUPTED, "interrupted");
            verdict = VERDICT_FINAL;
        }
    }
    return verdict;
}

enum verdict body_replay_part(struct job *job)
{
    if (job->part.fd < 0 || job->at >= job->part.n)
        return VERDICT_DONE;
    if (part_settle(&job->part, job->err) < 0)
        return VERDICT_FINAL;
    return body_replay(job, job->part.fd, job->part.n);
}

/* Does it begin like a web page? */
static bool body_is_html(struct str first)
{
    static const char *const beginnings[] = {"<!doctype html", "<html", "<head"};
    if (str_starts(first, STR("\xef\xbb\xbf"))) {
        first.p += 3;
        first.n -= 3;
    }
    first = str_trim(first);
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        struct str beginning = str_from(beginnings[i]);
        if (first.n >= beginning.n && str_eq_nocase((struct str){first.p, beginning.n}, beginning))
            return true;
    }
    return false;
}

static enum verdict body_check_size(struct job *job, uint64_t total)
{
    const struct fetch_request *request = job->request;
    uint64_t room = 0;
    job->result->size = total;
    if (request->size && total && total != request->size) {
        error_set(job->err, GFXB_E_DIGEST_MISMATCH,
                  "%s has %" PRIu64 " bytes at %s where %" PRIu64
                  " were expected: it is not the file that is known here",
                  job->what, total, job->here.host, request->size);
        return VERDICT_FINAL;
    }
    if (request->max && total > request->max) {
        error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE,
                  "%s at %s has %" PRIu64 " bytes, more than the %" PRIu64 " that are accepted",
                  job->what, job->here.host, total, request->max);
        return VERDICT_FINAL;
    }
    if (job->part.fd >= 0 && total > job->part.n && fs_free_bytes(job->part.path, &room) == 0 &&
        room < total - job->part.n) {
        error_set(job->err, GFXB_E_DISK_FULL,
                  "%s needs %.1f MB more and %.1f MB are free where %s is: free some space and "
                  "try again",
                  job->what, (double)(total - job->part.n) / 1e6, (double)room / 1e6,
                  job->part.path);
        return VERDICT_FINAL;
    }
    if (request->begin && request->begin(request->context, total, job->err) < 0)
        return VERDICT_FINAL;
    return VERDICT_DONE;
}

static enum verdict body_out_of_step(struct job *job)
{
    error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE, "%s sent another part of %s than was asked for",
              job->here.host, job->what);
    return VERDICT_RESTART;
}

/* The answer continues what is at hand. */
static enum verdict body_accept_rest(struct job *job)
{
    const struct headers *a = &job->answer;
    if (!a->has_range || a->range_start != job->offset ||
        (job->origin.total && a->range_total && a->range_total != job->origin.total))
        return body_out_of_step(job);
    enum verdict verdict = body_check_size(job, a->range_total);
    if (verdict != VERDICT_DONE)
        return verdict;
    job->origin.total = a->range_total;
    job->resumed = true;
    return body_replay_part(job);
}

/* The answer is the whole file. */
static enum verdict body_accept_whole(struct job *job)
{
    uint64_t total = job->answer.has_length ? job->answer.length : 0;
    enum verdict verdict = VERDICT_DONE;
    if (job->offset) {
        log_at(job->config->log, LOG_INFO,
               "%s does not continue %s where it stopped; it comes from the beginning again",
               job->here.host, job->what);
        verdict = body_restart(job);
    }
    if (verdict == VERDICT_DONE)
        verdict = body_check_size(job, total);
    if (verdict != VERDICT_DONE)
        return verdict;
    job->origin.total = total;
    free(job->origin.validator);
    job->origin.validator = strdup(headers_validator(&job->answer));
    if (!job->origin.validator)
        return job_out_of_memory(job);
    if (job->part.fd >= 0 && part_save_origin(&job->part, &job->origin, job->err) < 0)
        return VERDICT_FINAL;
    return VERDICT_DONE;
}

enum verdict body_accept(struct job *job, struct str first)
{
    bool is_rest = job->answer.status == 206;
    job->accepted = true;
    if (!job->request->html && (job->answer.html || (!is_rest && body_is_html(first)))) {
        error_set(job->err, GFXB_E_PACKAGE_UNAVAILABLE,
                  "%s sent a web page instead of %s: a login or block page of this network, or the "
                  "file is gone",
                  job->here.host, job->what);
        return VERDICT_FINAL;
    }
    if (is_rest && job->offset == 0)
        return body_out_of_step(job);
    return is_rest ? body_accept_rest(job) : body_accept_whole(job);
}

enum verdict body_add(struct job *job, const char *bytes, size_t n)
{
    const struct fetch_request *request = job->request;
    uint64_t limit = request->size ? request->size : request->max;
    if (limit && job->at + n > limit) {
        error_set(job->err, request->size ? GFXB_E_DIGEST_MISMATCH : GFXB_E_PACKAGE_UNAVAILABLE,
                  "%s sent more than the %" PRIu64 " bytes of %s", job->here.host, limit,
                  job->what);
        return VERDICT_FINAL;
    }
    if (job->part.fd >= 0 && part_add(&job->part, bytes, n, job->err) < 0)
        return VERDICT_FINAL;
    return body_deliver(job, bytes, n);
}

enum verdict body_check(struct job *job)
{
    const struct fetch_request *request = job->request;
    char hex[DIGEST_HEX];
    if (request->size && job->at != request->size) {
        error_set(job->err, GFXB_E_DIGEST_MISMATCH,
                  "%s has %" PRIu64 " bytes where %" PRIu64
                  " were expected: it is not the file that is known here",
                  job->what, job->at, request->size);
    } else if (hasher_end(job->hasher, hex, job->err) < 0) {
        return VERDICT_FINAL;
    } else if (request->sha256 && strcmp(hex, request->sha256) != 0) {
        error_set(job->err, GFXB_E_DIGEST_MISMATCH,
                  "%s is not the file that is known here: its sha256 is %.16s... where %.16s... "
                  "was expected; it was not used",
                  job->what, hex, request->sha256);
    } else {
        memcpy(job->result->sha256, hex, DIGEST_HEX);
        job->result->bytes = job->at;
        return VERDICT_DONE;
    }
    return job->resumed ? VERDICT_RESTART : VERDICT_FINAL;
}

static void body_measure_rate(struct job *job, int64_t now)
{
    int64_t elapsed = now - job->rate_start;
    if (elapsed < BODY_RATE_MS)
        return;
    /* What an earlier run brought is read from disk again: that is not the network's rate. */
    uint64_t fresh = job->result->received - job->rate_at;
    uint64_t rate = fresh * 1000 / (uint64_t)elapsed;
    job->rate = job->rate ? (job->rate * 7 + rate * 3) / 10 : rate;
    job->rate_start = now;
    job->rate_at = job->result->received;
}

void body_show_progress(struct job *job, bool last)
{
    int64_t now = clock_now_ms();
    body_measure_rate(job, now);
    if (!job->request->progress || (!last && now - job->shown < BODY_PROGRESS_MS))
        return;
    job->shown = now;
    uint64_t total = job->origin.total ? job->origin.total : job->request->size;
    struct fetch_progress progress = {job->at, total, job->rate, -1};
    if (total >= job->at && total && job->rate)
        progress.remaining_seconds = (int64_t)((total - job->at) / job->rate);
    job->request->progress(body_context(job), &progress);
}
