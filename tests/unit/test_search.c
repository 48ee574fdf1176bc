/* test_search.c - the search of tune on made-up measurements: what wins, what never does. */
#include "engine/engine_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

/* An engine that does not exist. */
struct world {
    double seconds[TUNE_KNOBS][5]; /* factor of each setting; 0: the engine crashes with it */
    bool wrong[TUNE_KNOBS][5];     /* it computes something else */
    double start[TUNE_KNOBS][5];   /* factor of the start */
    double noise, drift;           /* of 1; of 1 for each measurement */
    uint64_t dice;
    int64_t ms;       /* of one measurement */
    unsigned n, most; /* measurements; after which it is interrupted, 0 never */
    unsigned won;
    bool full; /* the disk: what wins cannot be stored */
    struct tune_point last;
    int64_t spent;
};

static double world_noise(struct world *w)
{
    w->dice = w->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return 1.0 + w->noise * (2.0 * (double)(w->dice >> 40) / (double)(1 << 24) - 1.0);
}

static int world_measure(void *context, const struct tune_point *point, enum tune_level level,
                         double *ret_seconds, struct gfxb_error *err)
{
    struct world *w = context;
    double seconds = (1.0 + level) * world_noise(w) * (1.0 + w->drift * w->n);
    if (w->most && w->n == w->most)
        return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    w->n++;
    w->spent += w->ms;
    for (size_t k = 0; k < TUNE_KNOBS; k++) {
        double factor =
            level == TUNE_START ? w->start[k][point->at[k]] : w->seconds[k][point->at[k]];
        if (factor <= 0.0) {
            error_set(err, GFXB_E_ENGINE_CRASH, "it crashed");
            return 1;
        }
        seconds *= factor;
    }
    *ret_seconds = seconds;
    return 0;
}

static int world_check(void *context, const struct tune_point *point, struct gfxb_error *err)
{
    const struct world *w = context;
    for (size_t k = 0; k < TUNE_KNOBS; k++) {
        if (w->wrong[k][point->at[k]])
            return 1;
    }
    return 0;
}

static int world_won(void *context, const struct tune_point *point, double gain, double spread,
                     struct gfxb_error *err)
{
    struct world *w = context;
    assert_true((gain > 1.0 || gain <= 0.0) && spread >= 0.0); /* 0: of the start alone */
    w->won++;
    w->last = *point;
    return w->full ? error_set(err, GFXB_E_DISK_FULL, "no room") : 0;
}

static int64_t world_spent(void *context)
{
    const struct world *w = context;
    return w->spent;
}

/* Three knobs with four, two and three settings, none of which changes anything. */
static void begin(struct world *w, struct tune_search *s, uint64_t dice)
{
    *w = (struct world){.noise = 0.01, .dice = dice, .ms = 1000};
    for (size_t k = 0; k < TUNE_KNOBS; k++) {
        for (size_t v = 0; v < 5; v++)
            w->seconds[k][v] = w->start[k][v] = 1.0;
    }
    *s = (struct tune_search){.n_knobs = 3,
                              .settings = {4, 2, 3},
                              .budget_ms = 600000,
                              .context = w,
                              .measure = world_measure,
                              .check = world_check,
                              .won = world_won,
                              .spent_ms = world_spent};
}

static struct tune_outcome search(struct tune_search *s)
{
    struct tune_outcome o;
    struct gfxb_error err;
    assert_int_equal(engine_tune(s, &o, &err), 0);
    return o;
}

/* Settings that change nothing, on a computer that is quiet, busy, or slows down: none of a hundred
 * searches takes one. */
static void ties_leave_the_default(void **state)
{
    static const struct {
        double noise, drift;
    } cases[] = {{0.0, 0.0}, {0.01, 0.0}, {0.05, 0.0}, {0.2, 0.0}, {0.02, 0.01}};
    unsigned taken = 0;
    for (size_t i = 0; i < 5; i++) {
        for (uint64_t dice = 1; dice <= 100; dice++) {
            struct world w;
            struct tune_search s;
            begin(&w, &s, dice);
            w.noise = cases[i].noise;
            w.drift = cases[i].drift;
            struct tune_outcome o = search(&s);
            taken += !tune_is_default(&o.best);
        }
    }
    assert_true(taken <= 2);
}

static void a_real_gain_is_found(void **state)
{
    for (uint64_t dice = 1; dice <= 50; dice++) {
        struct world w;
        struct tune_search s;
        begin(&w, &s, dice);
        w.noise = 0.02;
        w.seconds[0][3] = 0.8;
        struct tune_outcome o = search(&s);
        assert_int_equal(o.best.at[0], 3);
        assert_true(o.gain > 1.2 && o.gain < 1.3);
    }
}

static void gains_of_several_knobs_come_together(void **state)
{
    for (uint64_t dice = 1; dice <= 50; dice++) {
        struct world w;
        struct tune_search s;
        begin(&w, &s, dice);
        w.seconds[0][2] = 0.9;
        w.seconds[1][1] = 0.85;
        w.seconds[2][3] = 1.5;
        struct tune_outcome o = search(&s);
        assert_int_equal(o.best.at[0], 2);
        assert_int_equal(o.best.at[1], 1);
        assert_int_equal(o.best.at[2], 0);
    }
}

static void a_crash_is_out_and_the_rest_goes_on(void **state)
{
    struct world w;
    struct tune_search s;
    begin(&w, &s, 1);
    w.seconds[0][1] = w.seconds[0][2] = w.seconds[1][1] = 0.0;
    w.seconds[2][1] = 0.7;
    struct tune_outcome o = search(&s);
    assert_int_equal(o.best.at[2], 1);
    assert_int_equal(o.failed, 3);
    assert_true(o.tried >= 9);
}

/* The fastest computes wrongly: the next one wins. */
static void what_computes_wrongly_never_wins(void **state)
{
    struct world w;
    struct tune_search s;
    begin(&w, &s, 1);
    w.seconds[0][1] = 0.5;
    w.wrong[0][1] = true;
    w.seconds[1][2] = 0.9;
    struct tune_outcome o = search(&s);
    assert_int_equal(o.best.at[0], 0);
    assert_int_equal(o.best.at[1], 2);
    assert_true(o.wrong > 0);
    assert_int_equal(w.last.at[0], 0);
}

static void everything_crashes_but_the_default(void **state)
{
    struct world w;
    struct tune_search s;
    begin(&w, &s, 1);
    for (size_t k = 0; k < 3; k++) {
        for (size_t v = 1; v < 5; v++)
            w.seconds[k][v] = 0.0;
    }
    struct tune_outcome o = search(&s);
    assert_true(tune_is_default(&o.best));
    assert_int_equal(o.failed, 9);
    assert_int_equal(w.won, 0);
}

static void without_a_default_there_is_no_search(void **state)
{
    struct world w;
    struct tune_search s;
    struct tune_outcome o;
    struct gfxb_error err;
    begin(&w, &s, 1);
    w.seconds[0][0] = 0.0;
    assert_int_equal(engine_tune(&s, &o, &err), -EPROTO);
    assert_true(tune_is_default(&o.best));
    assert_non_null(strstr(err.text, "it crashed"));
}

/* Interrupted after every number of measurements: what has won by then, or the default. */
static void interrupted_anywhere(void **state)
{
    bool kept = false;
    for (unsigned most = 1; most < 200; most++) {
        struct world w;
        struct tune_search s;
        struct tune_outcome o;
        struct gfxb_error err;
        begin(&w, &s, 1);
        w.seconds[0][3] = 0.8;
        w.most = most;
        int code = engine_tune(&s, &o, &err);
        assert_true(code == 0 || code == -GFXB_E_INTERRUPTED);
        assert_int_equal(w.won > 0, !tune_is_default(&o.best));
        kept |= code < 0 && w.won;
    }
    assert_true(kept);
}

static void a_full_disk_ends_it(void **state)
{
    struct world w;
    struct tune_search s;
    struct tune_outcome o;
    struct gfxb_error err;
    begin(&w, &s, 1);
    w.seconds[0][3] = 0.8;
    w.full = true;
    assert_int_equal(engine_tune(&s, &o, &err), -GFXB_E_DISK_FULL);
}

/* Time for a few measurements alone: still one comparison, and an end soon after. */
static void little_time(void **state)
{
    for (int64_t budget = 1000; budget < 60000; budget += 3000) {
        struct world w;
        struct tune_search s;
        begin(&w, &s, 1);
        w.seconds[0][1] = 0.5;
        s.budget_ms = budget;
        struct tune_outcome o = search(&s);
        assert_true(w.spent <= budget + 30000);
        assert_true(tune_is_default(&o.best) || o.best.at[0] == 1);
    }
}

/* The backend is decided first, then what makes it faster still. */
static void the_backend_comes_first(void **state)
{
    struct world w;
    struct tune_search s;
    begin(&w, &s, 1);
    s.first = true;
    s.settings[0] = 2;
    w.seconds[0][1] = 3.0;
    w.seconds[0][2] = 0.5;
    w.seconds[2][1] = 0.9;
    struct tune_outcome o = search(&s);
    assert_int_equal(o.best.at[0], 2);
    assert_int_equal(o.best.at[2], 1);
}

/* A faster start is taken when the work is as fast with it. */
static void the_start_has_its_own_search(void **state)
{
    struct world w;
    struct tune_search s;
    begin(&w, &s, 1);
    s.start[2] = true;
    w.start[2][2] = 0.5;
    struct tune_outcome o = search(&s);
    assert_int_equal(o.best.at[2], 2);
    assert_true(o.start_gain > 1.9 && o.gain <= 0.0);
    begin(&w, &s, 1);
    s.start[2] = true;
    w.start[2][2] = 0.5;
    w.seconds[2][2] = 1.2;
    o = search(&s);
    assert_true(tune_is_default(&o.best));
}

/* ---- settings ---- */

static const struct engine_knob *knob(const char *title)
{
    const struct engine_knob *k = engine_kind_llama.knobs;
    while (k->title && strcmp(k->title, title) != 0)
        k++;
    assert_non_null(k->title);
    return k;
}

static void settings_have_the_numbers_of_this_computer(void **state)
{
    struct engine_numbers numbers = {.threads = 8,
                                     .processors = 16,
                                     .layers = 40,
                                     .gpu_layers = 20,
                                     .slots = 8,
                                     .usual_slots = 4,
                                     .experts = true};
    static const struct {
        const char *title, *settings;
    } rows[] = {{"threads", "-t 4|-t 6|-t 16|"},
                {"layers on the GPU", "-ngl 19|-ngl 21|-ngl 22|"},
                {"slots", "slots=1|slots=2|slots=8|"},
                {"flash attention", "-fa on|-fa off|"}};
    for (size_t i = 0; i < 4; i++) {
        struct engine_words words = {.n = 0};
        struct buf CLEAN_BUF text = BUF_INIT(400);
        engine_knob_settings(knob(rows[i].title), &numbers, &words);
        for (size_t k = 0; k < words.n; k++)
            buf_addf(&text, "%s|", words.word[k]);
        assert_string_equal(buf_text(&text), rows[i].settings);
        for (size_t k = 0; k < words.n; k++)
            assert_ptr_equal(engine_knob_of(&engine_kind_llama, words.word[k]),
                             knob(rows[i].title));
        engine_words_done(&words);
    }
    numbers = (struct engine_numbers){.threads = 1, .processors = 1};
    struct engine_words words = {.n = 0};
    for (const struct engine_knob *k = engine_kind_llama.knobs; k->title; k++) {
        if (k->number != ENGINE_NUMBER_NONE)
            engine_knob_settings(k, &numbers, &words);
    }
    assert_int_equal(words.n, 0);
}

/* A stored file cannot give an engine anything else. */
static void only_settings_of_the_kind_are_settings(void **state)
{
    static const char *const bad[] = {"",
                                      "-t",
                                      "-t x",
                                      "-t 4 -m /etc/passwd",
                                      "-t 123456789",
                                      "--rpc x",
                                      "LD_PRELOAD=x",
                                      "slots=",
                                      "-fa",
                                      "-ub 12",
                                      "-fa on "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(engine_knob_of(&engine_kind_llama, bad[i]));
    struct engine_words args = {.n = 0}, env = {.n = 0};
    unsigned slots = 0;
    engine_setting_take("-b 4096 -ub 2048", &args, &env, &slots);
    engine_setting_take("GGML_CUDA_DISABLE_GRAPHS=1", &args, &env, &slots);
    engine_setting_take("slots=8", &args, &env, &slots);
    assert_int_equal(args.n, 4);
    assert_int_equal(env.n, 1);
    assert_int_equal(slots, 8);
    engine_words_done(&args);
    engine_words_done(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_leave_the_default),
        cmocka_unit_test(a_real_gain_is_found),
        cmocka_unit_test(gains_of_several_knobs_come_together),
        cmocka_unit_test(a_crash_is_out_and_the_rest_goes_on),
        cmocka_unit_test(what_computes_wrongly_never_wins),
        cmocka_unit_test(everything_crashes_but_the_default),
        cmocka_unit_test(without_a_default_there_is_no_search),
        cmocka_unit_test(interrupted_anywhere),
        cmocka_unit_test(a_full_disk_ends_it),
        cmocka_unit_test(little_time),
        cmocka_unit_test(the_backend_comes_first),
        cmocka_unit_test(the_start_has_its_own_search),
        cmocka_unit_test(settings_have_the_numbers_of_this_computer),
        cmocka_unit_test(only_settings_of_the_kind_are_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
