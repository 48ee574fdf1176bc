/* body.c - what arrives: the right beginning, into the part and the digest, the right end. */
#include "fetch/fetch_private.h"

#include <errno.h>
#include <inttypes.h>

#define BODY_PIECE       262144
#define BODY_PROGRESS_MS 100
#define BODY_RATE_MS     500

int body_begin(struct transfer *t)
{
    digest_free(t->digest);
    t->digest = NULL;
    t->at = 0;
    return digest_new(&t->digest, t->err);
}

int body_restart(struct transfer *t)
{
    int r = t->part.fd >= 0 ? part_clear(&t->part, t->err) : 0;
    if (t->text)
        t->text->n = t->text_start;
    t->resumed = false;
    t->origin.total = 0;
    free(t->origin.validator);
    t->origin.validator = NULL;
    return r < 0 ? r : body_begin(t);
}

static void body_hash(struct transfer *t, const char *bytes, size_t n)
{
    digest_add(t->digest, bytes, n);
    t->at += n;
}

int body_replay(struct transfer *t, int fd, uint64_t end)
{
    char *CLEAN_FREE piece = xmalloc(BODY_PIECE);
    int r = 0;
    while (r == 0 && t->at < end) {
        uint64_t left = end - t->at;
        ssize_t n = pread(fd, piece, left < BODY_PIECE ? (size_t)left : BODY_PIECE, (off_t)t->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fs_error(t->err, n < 0 ? errno : EIO, "read again", t->request->path);
        body_hash(t, piece, (size_t)n);
        body_show_progress(t, false);
        r = transfer_check_cancel(t);
    }
    return r;
}

int body_replay_part(struct transfer *t)
{
    if (t->part.fd < 0 || t->at >= t->part.n)
        return 0;
    int r = part_settle(&t->part, t->err);
    return r < 0 ? r : body_replay(t, t->part.fd, t->part.n);
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

/* Is it the expected size, and does it fit on the disk? total 0: the server does not say. */
static int body_check_size(struct transfer *t, uint64_t total)
{
    const struct fetch_request *request = t->request;
    uint64_t room = 0;
    t->result->size = total;
    if (request->size && total && total != request->size)
        return error_set(t->err, GFXB_E_DIGEST_MISMATCH,
                         "%s has %" PRIu64 " bytes at %s where %" PRIu64
                         " were expected: it is not the expected file",
                         t->what, total, t->here.host, request->size);
    if (request->max && total > request->max)
        return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s at %s has %" PRIu64 " bytes, more than the %" PRIu64
                         " that are accepted",
                         t->what, t->here.host, total, request->max);
    if (t->part.fd >= 0 && total > t->part.n && fs_free_bytes(t->part.path, &room) == 0 &&
        room < total - t->part.n)
        return error_set(t->err, GFXB_E_DISK_FULL,
                         "%s needs %.1f MB more and %.1f MB are free where %s is: free some space "
                         "and try again",
                         t->what, (double)(total - t->part.n) / 1e6, (double)room / 1e6,
                         t->part.path);
    int r = request->begin ? request->begin(request->context, total, t->err) : 0;
    if (r < 0 && !t->err->code)
        error_set(t->err, -r, "cannot take %s: %s", t->what, error_errno_text(-r));
    return r;
}

static int body_out_of_step(struct transfer *t)
{
    t->retry = RETRY_RESTART;
    return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                     "%s sent a different part of %s than requested", t->here.host, t->what);
}

/* The answer continues what is here. */
static int body_accept_rest(struct transfer *t)
{
    const struct headers *a = &t->answer;
    if (!a->has_range || a->range_start != t->offset ||
        (t->origin.total && a->range_total && a->range_total != t->origin.total))
        return body_out_of_step(t);
    int r = body_check_size(t, a->range_total);
    if (r < 0)
        return r;
    t->origin.total = a->range_total;
    t->resumed = true;
    return body_replay_part(t);
}

/* The answer is the whole file. */
static int body_accept_whole(struct transfer *t)
{
    uint64_t total = t->answer.has_length ? t->answer.length : 0;
    int r = 0;
    if (t->offset) {
        log_at(t->config->log, LOG_INFO,
               "%s does not continue %s where it stopped; it comes from the beginning again",
               t->here.host, t->what);
        r = body_restart(t);
    }
    if (r == 0)
        r = body_check_size(t, total);
    if (r < 0)
        return r;
    t->origin.total = total;
    free(t->origin.validator);
    t->origin.validator = xstrdup(headers_validator(&t->answer));
    return t->part.fd >= 0 ? part_save_origin(&t->part, &t->origin, t->err) : 0;
}

int body_accept(struct transfer *t, struct str first)
{
    bool is_rest = t->answer.status == 206;
    t->accepted = true;
    if (t->answer.html || (!is_rest && body_is_html(first)))
        return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s sent a web page instead of %s: a login or block page of this "
                         "network, or the file is gone",
                         t->here.host, t->what);
    if (is_rest && t->offset == 0)
        return body_out_of_step(t);
    return is_rest ? body_accept_rest(t) : body_accept_whole(t);
}

int body_add(struct transfer *t, const char *bytes, size_t n)
{
    const struct fetch_request *request = t->request;
    uint64_t limit = request->size ? request->size : request->max;
    if (limit && t->at + n > limit)
        return error_set(
            t->err, request->size ? GFXB_E_DIGEST_MISMATCH : GFXB_E_PACKAGE_UNAVAILABLE,
            "%s sent more than the %" PRIu64 " bytes of %s", t->here.host, limit, t->what);
    if (t->text) {
        buf_add(t->text, bytes, n);
        if (!buf_ok(t->text))
            return error_set(t->err, ENOMEM, "out of memory while fetching %s", t->what);
    }
    int r = t->part.fd >= 0 ? part_add(&t->part, bytes, n, t->err) : 0;
    if (r == 0)
        body_hash(t, bytes, n);
    return r;
}

int body_check(struct transfer *t)
{
    const struct fetch_request *request = t->request;
    char hex[DIGEST_HEX];
    if (t->resumed)
        t->retry = RETRY_RESTART;
    if (request->size && t->at != request->size)
        return error_set(t->err, GFXB_E_DIGEST_MISMATCH,
                         "%s has %" PRIu64 " bytes where %" PRIu64
                         " were expected: it is not the expected file",
                         t->what, t->at, request->size);
    int r = digest_end(t->digest, hex, t->err);
    if (r < 0)
        return r;
    if (request->sha256 && strcmp(hex, request->sha256) != 0)
        return error_set(t->err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not the expected file: its sha256 is %.16s... instead of %.16s...; "
                         "it was not used",
                         t->what, hex, request->sha256);
    memcpy(t->result->sha256, hex, DIGEST_HEX);
    t->result->bytes = t->at;
    return 0;
}

static void body_measure_rate(struct transfer *t, int64_t now)
{
    int64_t elapsed = now - t->rate_start;
    if (elapsed < BODY_RATE_MS)
        return;
    /* What an earlier run brought is read from disk again: that is not the network's rate. */
    uint64_t fresh = t->result->received - t->rate_at;
    uint64_t rate = fresh * 1000 / (uint64_t)elapsed;
    t->rate = t->rate ? (t->rate * 7 + rate * 3) / 10 : rate;
    t->rate_start = now;
    t->rate_at = t->result->received;
}

void body_show_progress(struct transfer *t, bool last)
{
    int64_t now = clock_now_ms();
    body_measure_rate(t, now);
    if (!t->request->progress || (!last && now - t->shown < BODY_PROGRESS_MS))
        return;
    t->shown = now;
    uint64_t total = t->origin.total ? t->origin.total : t->request->size;
    struct fetch_progress progress = {t->at, total, t->rate, -1};
    if (total >= t->at && total && t->rate)
        progress.remaining_seconds = (int64_t)((total - t->at) / t->rate);
    t->request->progress(t->request->context, &progress);
}
