/* body.c - what arrives: the right beginning, into the part and the digest, the right end. */
#include "fetch/fetch_private.h"

#include <errno.h>
#include <inttypes.h>

#define BODY_PROGRESS_MS 100
#define BODY_RATE_MS     500

int body_restart(struct transfer *t)
{
    t->resumed = false;
    part_forget(&t->part);
    if (t->text)
        t->text->n = t->text_start;
    if (t->part.fd < 0)
        return 0;
    hash_stop(&t->hash);
    return part_clear(&t->part, t->err)
               ?: hash_start(&t->hash, t->part.fd, t->part.durable, t->err);
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
        if (str_starts_nocase(first, str_from(beginnings[i])))
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
                         t->what, total, t->here->host, request->size);
    if (request->max && total > request->max)
        return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s at %s has %" PRIu64 " bytes, more than the %" PRIu64
                         " that are accepted",
                         t->what, t->here->host, total, request->max);
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
                     "%s sent a different part of %s than requested", t->here->host, t->what);
}

/* The answer continues what is here. */
static int body_accept_rest(struct transfer *t)
{
    const struct headers *a = &t->answer;
    if (!a->has_range || a->range_start != t->offset ||
        (t->part.total && a->range_total && a->range_total != t->part.total))
        return body_out_of_step(t);
    int r = body_check_size(t, a->range_total);
    if (r < 0)
        return r;
    t->part.total = a->range_total;
    t->resumed = true;
    return 0;
}

/* The answer is the whole file. */
static int body_accept_whole(struct transfer *t)
{
    uint64_t total = t->answer.has_length ? t->answer.length : 0;
    int r = 0;
    if (t->offset) {
        log_at(t->config->log, LOG_INFO,
               "%s does not continue %s where it stopped; it comes from the beginning again",
               t->here->host, t->what);
        r = body_restart(t);
    }
    if (r == 0)
        r = body_check_size(t, total);
    if (r < 0)
        return r;
    t->part.total = total;
    free(t->part.validator);
    t->part.validator = xstrdup(headers_validator(&t->answer));
    return part_save_origin(&t->part, t->err);
}

int body_accept(struct transfer *t, struct str first)
{
    bool is_rest = t->answer.status == 206;
    t->accepted = true;
    if (t->answer.html || (!is_rest && body_is_html(first)))
        return error_set(t->err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "%s sent a web page instead of %s: a login or block page of this "
                         "network, or the file is gone",
                         t->here->host, t->what);
    if (is_rest && t->offset == 0)
        return body_out_of_step(t);
    return is_rest ? body_accept_rest(t) : body_accept_whole(t);
}

int body_add(struct transfer *t, const char *bytes, size_t n)
{
    const struct fetch_request *request = t->request;
    uint64_t limit = request->size ? request->size : request->max;
    if (limit && transfer_offset(t) + n > limit)
        return error_set(
            t->err, request->size ? GFXB_E_DIGEST_MISMATCH : GFXB_E_PACKAGE_UNAVAILABLE,
            "%s sent more than the %" PRIu64 " bytes of %s", t->here->host, limit, t->what);
    if (t->text) {
        buf_add(t->text, bytes, n);
        return buf_ok(t->text)
                   ? 0
                   : error_set(t->err, ENOMEM, "out of memory while fetching %s", t->what);
    }
    int r = part_add(&t->part, bytes, n, t->err);
    if (r == 0)
        hash_reach(&t->hash, t->part.n - t->part.n_held);
    return r;
}

int body_check(struct transfer *t, uint64_t n)
{
    const struct fetch_request *request = t->request;
    char hex[DIGEST_HEX];
    if (t->resumed)
        t->retry = RETRY_RESTART;
    if (request->size && n != request->size)
        return error_set(t->err, GFXB_E_DIGEST_MISMATCH,
                         "%s has %" PRIu64 " bytes where %" PRIu64
                         " were expected: it is not the expected file",
                         t->what, n, request->size);
    int r = t->part.fd >= 0 ? part_settle(&t->part, t->err) : 0;
    if (r < 0)
        return r;
    if (t->text) {
        r = digest_bytes(buf_text(t->text) + t->text_start, n, hex);
    } else {
        hash_reach(&t->hash, n);
        r = hash_end(t, hex);
    }
    if (r < 0)
        return r;
    if (request->sha256 && strcmp(hex, request->sha256) != 0)
        return error_set(t->err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not the expected file: its sha256 is %.16s... instead of %.16s...; "
                         "it was not used",
                         t->what, hex, request->sha256);
    memcpy(t->result->sha256, hex, DIGEST_HEX);
    t->result->bytes = n;
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
    uint64_t total = t->part.total ? t->part.total : t->request->size;
    uint64_t at = t->text ? transfer_offset(t) : hash_at(&t->hash);
    struct fetch_progress progress = {at, total, t->rate, -1};
    if (total >= at && total && t->rate)
        progress.remaining_seconds = (int64_t)((total - at) / t->rate);
    t->request->progress(t->request->context, &progress);
}
