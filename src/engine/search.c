/*
 * search.c - the search for the fastest point: successive halving, each measurement beside the
 * default's, and a last comparison with figures that chose nobody.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <math.h>

enum {
    SEARCH_POINTS_MAX = 96,
    SEARCH_SAMPLES_MAX = 8,
    SEARCH_BLOCK = 4,     /* points between two measurements of the default */
    SEARCH_FINALISTS = 3, /* that are compared at the end, at most */
    SEARCH_PAIRS = 5,     /* of that comparison */
    SEARCH_PAIRS_FEW = 3, /* where time is short; of starts */
    SEARCH_COMBINED = 4,  /* knobs that are combined, at most */
};

#define SEARCH_LEAST  0.02 /* a gain that nobody would notice is none */
#define SEARCH_ERRORS 4.0  /* standard errors that a gain must exceed */
#define SEARCH_SHARE  0.6  /* of the time, for choosing the finalists */
struct search_point {
    struct tune_point point;
    double gain[SEARCH_SAMPLES_MAX]; /* of this level */
    size_t n;
    double score; /* the median of the last level that it was measured at */
    bool out;
};

struct search {
    struct tune_search *job;
    struct search_point item[SEARCH_POINTS_MAX];
    size_t n;
    struct tune_point origin; /* the others are one step from it */
    enum tune_level level;    /* the longest that was measured */
    unsigned rounds;
    struct tune_outcome outcome;
};

bool tune_is_default(const struct tune_point *point)
{
    static const struct tune_point none;
    return memcmp(point, &none, sizeof(none)) == 0;
}

static bool search_is_late(const struct search *s, double share)
{
    return (double)s->job->spent_ms(s->job->context) >= share * (double)s->job->budget_ms;
}

static int search_measure(struct search *s, const struct tune_point *point, enum tune_level level,
                          double *ret_seconds, struct gfxb_error *err)
{
    int code = s->job->measure(s->job->context, point, level, ret_seconds, err);
    if (s->job->left)
        s->job->left--;
    return code;
}

static int search_default(struct search *s, enum tune_level level, double *ret_seconds,
                          struct gfxb_error *err)
{
    static const struct tune_point none;
    int code = search_measure(s, &none, level, ret_seconds, err);
    if (code != 1)
        return code;
    error_prefix(err, "the engine's own settings cannot be measured: ");
    return -EPROTO;
}

static bool search_has(const struct search *s, const struct tune_point *point)
{
    for (size_t i = 0; i < s->n; i++) {
        if (memcmp(&s->item[i].point, point, sizeof(*point)) == 0)
            return true;
    }
    return false;
}

/* score: until it is measured */
static void search_add(struct search *s, const struct tune_point *point, double score)
{
    if (s->n == SEARCH_POINTS_MAX || tune_is_default(point) || search_has(s, point))
        return;
    s->item[s->n++] = (struct search_point){.point = *point, .score = score};
    s->outcome.tried++;
}

/* Every setting of these knobs, alone. */
static void search_add_steps(struct search *s, size_t from, size_t to)
{
    search_add(s, &s->origin, 0.0);
    for (size_t k = from; k < to; k++) {
        for (unsigned v = 1; v <= s->job->settings[k]; v++) {
            struct tune_point point = s->origin;
            point.at[k] = (unsigned char)v;
            search_add(s, &point, 0.0);
        }
    }
}

/* All points once, in blocks between two measurements of the default: a computer that slows down
 * slows both. Each round begins elsewhere. */
static int search_round(struct search *s, enum tune_level level, struct gfxb_error *err)
{
    double before, after, seconds[SEARCH_BLOCK];
    struct search_point *block[SEARCH_BLOCK];
    size_t n = 0, first = s->n ? s->rounds++ * 5 % s->n : 0;
    int code = search_default(s, level, &before, err);
    s->level = level;
    for (size_t i = 0; i < s->n && code >= 0; i++) {
        struct search_point *p = &s->item[(first + i) % s->n];
        if (p->out || search_is_late(s, SEARCH_SHARE))
            continue;
        code = search_measure(s, &p->point, level, &seconds[n], err);
        p->out = code == 1;
        s->outcome.failed += code == 1;
        if (code == 0 && p->n < SEARCH_SAMPLES_MAX)
            block[n++] = p;
        if (code < 0 || n < SEARCH_BLOCK)
            continue;
        code = search_default(s, level, &after, err);
        for (size_t k = 0; k < n && code == 0; k++)
            block[k]->gain[block[k]->n++] = sqrt(before * after) / seconds[k];
        before = after;
        n = 0;
    }
    if (n && code >= 0)
        code = search_default(s, level, &after, err);
    for (size_t k = 0; k < n && code == 0; k++)
        block[k]->gain[block[k]->n++] = sqrt(before * after) / seconds[k];
    return code < 0 ? code : 0;
}

static double search_median(const double *value, size_t n)
{
    double sorted[SEARCH_SAMPLES_MAX];
    memcpy(sorted, value, n * sizeof(*value));
    return bench_median(sorted, n);
}

/* The standard error of a mean. Not of a median by the samples' median deviation: of so few samples
 * that is too small by accident too often. */
static double search_error(const double *value, size_t n)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += value[i];
    for (size_t i = 0; i < n; i++)
        squares += (value[i] - sum / (double)n) * (value[i] - sum / (double)n);
    return n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : 0.0;
}

/* The fastest first. */
static int search_order(const void *left, const void *right)
{
    const struct search_point *a = left, *b = right;
    return (a->score < b->score) - (a->score > b->score);
}

/* The best `keep` go on. What was never measured has no score. */
static void search_keep(struct search *s, size_t keep)
{
    for (size_t i = 0; i < s->n; i++) {
        struct search_point *p = &s->item[i];
        if (p->out)
            p->score = -1.0;
        else if (p->n)
            p->score = search_median(p->gain, p->n);
        p->n = 0;
    }
    if (s->n > 1)
        qsort(s->item, s->n, sizeof(s->item[0]), search_order);
    s->n = s->n < keep ? s->n : keep;
    while (s->n && s->item[s->n - 1].out)
        s->n--;
}

/* The best gains of different knobs together: two of them, three of them. What is no gain stays
 * out. */
static void search_combine(struct search *s)
{
    struct tune_point all = s->origin;
    unsigned knobs = 0;
    size_t n = s->n;
    for (size_t i = 0; i < n && knobs < SEARCH_COMBINED; i++) {
        const struct search_point *p = &s->item[i];
        bool added = false;
        for (size_t k = 0; k < s->job->n_knobs && p->score > 1.0 + SEARCH_LEAST; k++) {
            if (p->point.at[k] != s->origin.at[k] && all.at[k] == s->origin.at[k]) {
                all.at[k] = p->point.at[k];
                added = true;
            }
        }
        knobs += added;
        if (added && knobs > 1)
            search_add(s, &all, s->item[0].score);
    }
}

/* ---- the last comparison ---- */

/* By turns, beginning and ending with what it is compared to. 0; 1: it is out. */
static int search_compare(struct search *s, const struct tune_point *base,
                          const struct tune_point *point, enum tune_level level, size_t pairs,
                          struct search_point *ret, double *ret_error, struct gfxb_error *err)
{
    double before, after, seconds, drift[SEARCH_SAMPLES_MAX];
    int64_t spent = s->job->spent_ms(s->job->context), now;
    *ret = (struct search_point){.point = *point};
    int code = search_measure(s, base, level, &before, err);
    now = s->job->spent_ms(s->job->context);
    /* Starts of a large model take longer than all else. */
    if (code == 0 && level == TUNE_START &&
        now + (now - spent) * 2 * (int64_t)pairs > s->job->budget_ms)
        return 1;
    while (code == 0 && ret->n < pairs) {
        code = search_measure(s, point, level, &seconds, err);
        if (code == 0)
            code = search_measure(s, base, level, &after, err);
        if (code != 0)
            break;
        drift[ret->n] = log(after / before) / sqrt(2.0);
        ret->gain[ret->n++] = sqrt(before * after) / seconds;
        before = after;
    }
    if (code != 0)
        return code;
    double own = search_error(ret->gain, ret->n), noise = search_error(drift, ret->n);
    *ret_error = own > noise ? own : noise;
    return 0;
}

/* Is it faster by more than the noise, and every time? */
static bool search_is_better(const struct search_point *p, double error)
{
    double least = SEARCH_ERRORS * error > SEARCH_LEAST ? SEARCH_ERRORS * error : SEARCH_LEAST;
    size_t faster = 0;
    for (size_t i = 0; i < p->n; i++)
        faster += p->gain[i] > 1.0;
    return search_median(p->gain, p->n) > 1.0 + least && faster == p->n;
}

static int search_check(struct search *s, const struct tune_point *point, struct gfxb_error *err)
{
    int code = s->job->check(s->job->context, point, err);
    s->outcome.wrong += code == 1;
    return code;
}

/* Beside the default, and once more where it was better: one comparison of many is won by accident,
 * and its figure is too good. 0; 1: it is not better. */
static int search_twice(struct search *s, const struct tune_point *point, double *ret_gain,
                        double *ret_error, struct gfxb_error *err)
{
    static const struct tune_point none;
    for (int i = 0; i < 2; i++) {
        struct search_point result;
        size_t pairs = search_is_late(s, 0.8) ? SEARCH_PAIRS_FEW : SEARCH_PAIRS;
        int code = search_compare(s, &none, point, s->level, pairs, &result, ret_error, err);
        if (code != 0 || !search_is_better(&result, *ret_error))
            return code ?: 1;
        *ret_gain = search_median(result.gain, result.n);
    }
    return 0;
}

/* The finalists, the best first; a later one must beat the winner so far. */
static int search_final(struct search *s, struct gfxb_error *err)
{
    struct tune_outcome *o = &s->outcome;
    size_t finalists = s->n < SEARCH_FINALISTS ? s->n : SEARCH_FINALISTS;
    s->job->left = (unsigned)((finalists + 1) * (2 * SEARCH_PAIRS + 1));
    for (size_t i = 0; i < finalists; i++) {
        double gain, error;
        /* The first is compared however late it is. */
        if (i && search_is_late(s, 1.0))
            return 0;
        int code = search_check(s, &s->item[i].point, err)
                       ?: search_twice(s, &s->item[i].point, &gain, &error, err);
        if (code < 0)
            return code;
        if (code || gain <= o->gain + o->spread)
            continue;
        o->best = s->item[i].point;
        o->gain = gain;
        o->spread = error;
        code = s->job->won(s->job->context, &o->best, gain, error, err);
        if (code < 0)
            return code;
    }
    return 0;
}

/* Settings of the start are taken when it is faster by them, and the work not slower. */
static int search_start(struct search *s, struct gfxb_error *err)
{
    struct tune_outcome *o = &s->outcome;
    for (size_t k = 0; k < s->job->n_knobs; k++) {
        for (unsigned v = 1; s->job->start[k] && v <= s->job->settings[k]; v++) {
            struct tune_point point = o->best;
            struct search_point start, work;
            double error = 0.0, spare = 0.0;
            if (point.at[k] || search_is_late(s, 1.0))
                break;
            point.at[k] = (unsigned char)v;
            int code = search_compare(s, &o->best, &point, TUNE_START, SEARCH_PAIRS_FEW, &start,
                                      &error, err);
            if (code == 0 && search_is_better(&start, error))
                code = search_check(s, &point, err)
                           ?: search_compare(s, &o->best, &point, s->level, SEARCH_PAIRS_FEW, &work,
                                             &spare, err);
            else
                code = code ?: 1;
            if (code < 0)
                return code;
            if (code || search_median(work.gain, work.n) < 1.0 - SEARCH_LEAST)
                continue;
            o->best = point;
            o->start_gain = search_median(start.gain, start.n);
            code = s->job->won(s->job->context, &point, o->gain, o->spread, err);
            if (code < 0)
                return code;
        }
    }
    return 0;
}

/* ---- the whole of it ---- */

/* The backend first. */
static int search_origin(struct search *s, struct gfxb_error *err)
{
    int code = 0;
    if (!s->job->first)
        return 0;
    search_add_steps(s, 0, 1);
    s->job->left += (unsigned)(3 * (s->n + 2));
    for (int i = 0; i < 3 && code == 0 && s->n; i++)
        code = search_round(s, i < 2 ? TUNE_SHORT : TUNE_MIDDLE, err);
    search_keep(s, 1);
    if (s->n && s->item[0].score > 1.0 + SEARCH_LEAST)
        s->origin = s->item[0].point;
    s->n = 0;
    return code;
}

static int search_halve(struct search *s, struct gfxb_error *err)
{
    static const struct {
        enum tune_level level;
        unsigned rounds;
        size_t least; /* of the points that stay */
    } step[] = {{TUNE_SHORT, 1, 4}, {TUNE_MIDDLE, 2, 3}, {TUNE_LONG, 2, SEARCH_FINALISTS}};
    int code = 0;
    search_add_steps(s, s->job->first, s->job->n_knobs);
    s->job->left += (unsigned)(s->n * 7 / 2 + 2 * SEARCH_PAIRS * SEARCH_FINALISTS);
    for (size_t i = 0; i < sizeof(step) / sizeof(step[0]) && code == 0 && s->n; i++) {
        if (i && search_is_late(s, SEARCH_SHARE))
            break;
        for (unsigned r = 0; r < step[i].rounds && code == 0; r++)
            code = search_round(s, step[i].level, err);
        size_t half = (s->n + 1) / 2;
        search_keep(s, half > step[i].least ? half : step[i].least);
        if (step[i].level == TUNE_MIDDLE)
            search_combine(s);
    }
    return code;
}

int engine_tune(struct tune_search *job, struct tune_outcome *ret_outcome, struct gfxb_error *err)
{
    struct search *s = xcalloc(1, sizeof(*s));
    s->job = job;
    int code = search_origin(s, err);
    if (code == 0)
        code = search_halve(s, err);
    if (code == 0)
        code = search_final(s, err);
    if (code == 0)
        code = search_start(s, err);
    *ret_outcome = s->outcome;
    free(s);
    return code;
}
