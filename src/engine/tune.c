/* tune.c - settings as an engine takes them, and how fast it is with them. */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>

enum {
    TUNE_REPLY_MS = 120000,
    TUNE_WARM = 600, /* more than the engine computes at once (bench.c) */
    TUNE_SPARE = 64, /* tokens of a context that are left free */
    TUNE_ANSWER = 32,
    TUNE_RUNS = 3,
    TUNE_BATCHES = 64, /* prompts at the same time, at most */
};

/* ---- settings ---- */

/* Is this one of the knob's settings? */
static bool tune_is_setting(const struct engine_knob *knob, const char *setting)
{
    for (size_t i = 0; knob->settings[i]; i++) {
        const char *own = knob->settings[i], *at = strstr(own, "{n}");
        size_t n = at ? (size_t)(at - own) : strlen(own) + 1;
        size_t digits = strncmp(own, setting, n) == 0 && at ? strspn(setting + n, "0123456789") : 0;
        if (at ? digits && digits < 8 && strcmp(setting + n + digits, at + 3) == 0
               : strcmp(own, setting) == 0)
            return true;
    }
    return false;
}

const struct engine_knob *engine_knob_of(const struct engine_kind *kind, const char *setting)
{
    const struct engine_knob *knob = kind->knobs;
    while (knob->title && !tune_is_setting(knob, setting))
        knob++;
    return knob->title ? knob : NULL;
}

void engine_setting_take(const char *setting, struct engine_words *args, struct engine_words *env,
                         unsigned *ret_slots)
{
    struct str rest = str_from(setting), word;
    if (setting[0] == '-') {
        while (str_word(&rest, &word))
            engine_words_add(args, "%.*s", STR_ARG(word));
    } else if (sscanf(setting, "slots=%u", ret_slots) != 1) {
        engine_words_add(env, "%s", setting);
    }
}

static void tune_add_setting(const char *setting, unsigned number, struct engine_words *ret)
{
    const char *at = strstr(setting, "{n}");
    if (at)
        engine_words_add(ret, "%.*s%u%s", (int)(at - setting), setting, number, at + 3);
    else
        engine_words_add(ret, "%s", setting);
}

static void tune_add_numbers(const struct engine_knob *knob, const unsigned *number, size_t n,
                             unsigned least, unsigned most, unsigned usual,
                             struct engine_words *ret)
{
    for (size_t i = 0; i < n; i++) {
        bool known = number[i] == usual || (i && number[i] == number[i - 1]);
        if (!known && number[i] >= least && number[i] <= most)
            tune_add_setting(knob->settings[0], number[i], ret);
    }
}

void engine_knob_settings(const struct engine_knob *knob, const struct engine_numbers *numbers,
                          struct engine_words *ret)
{
    const unsigned t = numbers->threads, g = numbers->gpu_layers, l = numbers->layers;
    const unsigned threads[] = {t / 2, t * 3 / 4, t * 2}, layers[] = {g - 1, g + 1, g + 2};
    const unsigned experts[] = {l, l * 3 / 4, l / 2}, slots[] = {1, 2, 4, 8, 16};
    switch (knob->number) {
    case ENGINE_NUMBER_NONE:
        for (size_t i = 0; knob->settings[i]; i++)
            tune_add_setting(knob->settings[i], 0, ret);
        return;
    case ENGINE_NUMBER_THREADS:
        tune_add_numbers(knob, threads, 3, 1, numbers->processors, t, ret);
        return;
    case ENGINE_NUMBER_LAYERS:
        if (g && g <= l)
            tune_add_numbers(knob, layers, 3, 1, l + 1, g, ret);
        return;
    case ENGINE_NUMBER_EXPERTS:
        if (numbers->experts && g && g <= l)
            tune_add_numbers(knob, experts, 3, 1, l, 0, ret);
        return;
    case ENGINE_NUMBER_SLOTS:
        tune_add_numbers(knob, slots, 5, 1, numbers->slots, numbers->usual_slots, ret);
        return;
    }
}

/* ---- work ---- */

/* Prompts of one length with their answers: one after the other, or all at the same time. */
struct tune_part {
    unsigned prompt, answer, at_once; /* at_once 0: one alone */
};

static const struct tune_work {
    const char *name;
    double prompt, answer;       /* tokens of which the seconds are told */
    struct tune_part part[3][2]; /* of each level but the start */
} tune_works[TUNE_FORS] = {
    [TUNE_CHAT] = {"chat",
                   600,
                   250,
                   {{{256, 24, 0}}, {{1024, 32, 0}}, {{256, 32, 0}, {2048, 48, 0}}}},
    [TUNE_AGENTS] = {"agents",
                     6000,
                     300,
                     {{{1024, 16, 0}}, {{4096, 24, 0}}, {{1024, 24, 0}, {8192, 32, 0}}}},
    [TUNE_BATCH] = {"batch", 0, 0, {{{128, 32, 8}}, {{256, 48, 16}}, {{256, 64, 32}}}},
};

const char *tune_for_name(enum tune_for work)
{
    return tune_works[work].name;
}

int tune_for_from_name(const char *name)
{
    for (int i = 0; i < TUNE_FORS; i++) {
        if (strcmp(tune_works[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* One running engine that is measured. */
struct tune_run {
    struct engine *engine;
    json_t *ids; /* owned: of some words, in this model */
    unsigned context;
    int64_t until; /* ms */
    const atomic_int *cancel;
};

static int tune_post(const struct tune_run *run, enum engine_call call, const char *body,
                     struct buf *ret_body, struct gfxb_error *err)
{
    int64_t left = run->until - clock_now_ms();
    return engine_post(run->engine, call, body, left > 0 ? left : 1, run->cancel, ret_body, err);
}

static int tune_begin(struct tune_run *run, struct gfxb_error *err)
{
    struct buf CLEAN_BUF body = BUF_INIT(0);
    const struct engine_kind *kind = run->engine->kind;
    int code = tune_post(run, ENGINE_CALL_TOKENIZE, kind->words_request, &body, err);
    if (code == 0 && kind->read_ids(buf_view(&body), &run->ids) < 0)
        code = error_set(err, EPROTO, "the engine does not say what tokens words are");
    return code;
}

static unsigned tune_room(const struct tune_run *run, unsigned prompt)
{
    unsigned most = run->context > 2 * TUNE_SPARE ? run->context - TUNE_SPARE : TUNE_SPARE;
    return prompt < most ? prompt : most;
}

static int tune_ask(const struct tune_run *run, unsigned prompt, unsigned answer,
                    struct engine_timings *ret_timings, struct gfxb_error *err)
{
    const struct engine_kind *kind = run->engine->kind;
    struct buf CLEAN_BUF body = BUF_INIT(0);
    unsigned most = tune_room(run, prompt + answer);
    char *CLEAN_FREE request =
        kind->timed_request(run->ids, most > answer ? most - answer : 1, answer);
    int code = tune_post(run, ENGINE_CALL_COMPLETION, request, &body, err);
    if (code == 0 &&
        (kind->read_timings(buf_view(&body), ret_timings) < 0 ||
         ret_timings->prompt_per_second <= 0.0 || ret_timings->tokens_per_second <= 0.0))
        code = error_set(err, EPROTO, "the engine does not tell how fast it was");
    return code;
}

/* Prompts at the same time: by our clock, for the whole is what counts. */
static int tune_ask_at_once(const struct tune_run *run, const struct tune_part *part,
                            double *ret_seconds, struct gfxb_error *err)
{
    const struct engine_kind *kind = run->engine->kind;
    struct buf CLEAN_BUF body = BUF_INIT(0);
    struct engine_tokens prompt[TUNE_BATCHES];
    unsigned n = tune_room(run, part->prompt + part->answer) - part->answer;
    uint32_t *CLEAN_FREE ids = xcalloc(n, sizeof(*ids));
    for (unsigned i = 0; i < n; i++)
        ids[i] =
            (uint32_t)json_integer_value(json_array_get(run->ids, i % json_array_size(run->ids)));
    for (unsigned i = 0; i < part->at_once; i++)
        prompt[i] = (struct engine_tokens){ids, n};
    char *CLEAN_FREE request = kind->tokens_request(prompt, part->at_once, part->answer);
    int64_t start = clock_now_ms();
    int code = tune_post(run, ENGINE_CALL_COMPLETION, request, &body, err);
    *ret_seconds = (double)(clock_now_ms() - start) / 1000.0;
    return code;
}

/* Drivers compile shaders for whole batches and for what is left over. The CPU's engine has warmed
 * up by itself. */
static int tune_warm_up(const struct tune_run *run, unsigned prompt, struct gfxb_error *err)
{
    struct engine_timings spare;
    if (run->engine->backend == PLAN_CPU)
        prompt = TUNE_ANSWER;
    return tune_ask(run, prompt < TUNE_WARM ? prompt : TUNE_WARM, 4, &spare, err);
}

int engine_tune_measure(struct engine *engine, enum tune_for work, enum tune_level level,
                        unsigned context, int64_t ms, const atomic_int *cancel, double *ret_seconds,
                        struct gfxb_error *err)
{
    const struct tune_work *w = &tune_works[work];
    struct tune_run run = {
        .engine = engine, .context = context, .until = clock_now_ms() + ms, .cancel = cancel};
    double seconds = 0.0, one = 0.0;
    int code = tune_begin(&run, err) ?: tune_warm_up(&run, w->part[level][0].prompt, err);
    for (size_t i = 0; i < 2 && w->part[level][i].prompt && code == 0; i++) {
        const struct tune_part *part = &w->part[level][i];
        struct engine_timings t;
        code = part->at_once ? tune_ask_at_once(&run, part, &one, err)
                             : tune_ask(&run, part->prompt, part->answer, &t, err);
        if (code == 0 && !part->at_once)
            one = w->prompt / t.prompt_per_second + w->answer / t.tokens_per_second;
        seconds += one;
    }
    json_decref(run.ids);
    if (code == 0)
        *ret_seconds = seconds > 0.0 ? seconds : 1e-3;
    return code;
}

/* end: no further run of a prompt begins after it. */
static int tune_report_depth(const struct tune_run *run, struct tune_depth *d, int64_t end,
                             struct gfxb_error *err)
{
    double reading[TUNE_RUNS], answering[TUNE_RUNS];
    size_t n = 0;
    int code = 0;
    while (n < TUNE_RUNS && (n == 0 || clock_now_ms() < end)) {
        struct engine_timings t;
        code = tune_ask(run, d->prompt_tokens, TUNE_ANSWER, &t, err);
        if (code < 0)
            break;
        reading[n] = t.prompt_per_second;
        answering[n++] = t.tokens_per_second;
        d->prompt_tokens = t.prompt_tokens;
    }
    d->prompt_per_second = bench_median(reading, n);
    d->tokens_per_second = bench_median(answering, n);
    if (code == 0)
        d->first_token_ms =
            1000.0 * (d->prompt_tokens / d->prompt_per_second + 1.0 / d->tokens_per_second);
    return code;
}

int engine_tune_report(struct engine *engine, unsigned context, int64_t ms,
                       const atomic_int *cancel, struct tune_depth ret_depth[TUNE_DEPTHS],
                       size_t *ret_n, struct gfxb_error *err)
{
    static const unsigned lengths[TUNE_DEPTHS] = {64, 512, 2048, 8192};
    struct tune_run run = {.engine = engine,
                           .context = context,
                           .until = clock_now_ms() + TUNE_REPLY_MS + ms,
                           .cancel = cancel};
    const int64_t end = clock_now_ms() + ms;
    double per_second = 0.0;
    size_t n = 0;
    int code = tune_begin(&run, err) ?: tune_warm_up(&run, TUNE_WARM, err);
    for (size_t i = 0; i < TUNE_DEPTHS && code == 0; i++) {
        unsigned prompt = tune_room(&run, lengths[i]);
        /* The first two in any case; longer ones when there is time for them. */
        int64_t expected = per_second > 0.0 ? (int64_t)(1000.0 * prompt / per_second) : 0;
        if (prompt < lengths[i] || (n > 1 && clock_now_ms() + expected > end))
            break;
        ret_depth[n] = (struct tune_depth){.prompt_tokens = prompt};
        run.until = clock_now_ms() + TUNE_REPLY_MS + ms;
        code = tune_report_depth(&run, &ret_depth[n], end, err);
        per_second = ret_depth[n].prompt_per_second;
        n += code == 0;
    }
    json_decref(run.ids);
    *ret_n = n;
    return code;
}
