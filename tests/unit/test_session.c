/*
 * test_session.c - a session's life as a table, and the rule of blame: whose fault an engine's loss
 * was. No process and no thread.
 */
#include "session/session_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the table ---- */

/* One designated cell a row; a pair that is not here is an empty cell. */
static const struct {
    enum session_state state;
    enum session_event event;
    enum session_state next;
    enum session_action action;
} cells[] = {
    {SESSION_STOPPED, SESSION_EV_WANTED, SESSION_FINDING, SESSION_DO_FIND},
    {SESSION_FINDING, SESSION_EV_FOUND, SESSION_WAITING, SESSION_DO_MAKE_FIT},
    {SESSION_FINDING, SESSION_EV_NOTHING_WORKS, SESSION_FAILED, SESSION_DO_REST},
    {SESSION_WAITING, SESSION_EV_FITS, SESSION_STARTING, SESSION_DO_BRING_UP},
    {SESSION_WAITING, SESSION_EV_DUE, SESSION_WAITING, SESSION_DO_MAKE_FIT},
    {SESSION_WAITING, SESSION_EV_NOTHING_WORKS, SESSION_FAILED, SESSION_DO_REST},
    {SESSION_WAITING, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_STARTING, SESSION_EV_LOADS, SESSION_LOADING, SESSION_DO_NOTHING},
    {SESSION_STARTING, SESSION_EV_UP, SESSION_READY, SESSION_DO_SERVE},
    {SESSION_STARTING, SESSION_EV_NOTHING_NOW, SESSION_BACKING_OFF, SESSION_DO_REST},
    {SESSION_STARTING, SESSION_EV_NOTHING_WORKS, SESSION_FAILED, SESSION_DO_REST},
    {SESSION_STARTING, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_LOADING, SESSION_EV_UP, SESSION_READY, SESSION_DO_SERVE},
    {SESSION_LOADING, SESSION_EV_NOTHING_NOW, SESSION_BACKING_OFF, SESSION_DO_REST},
    {SESSION_LOADING, SESSION_EV_NOTHING_WORKS, SESSION_FAILED, SESSION_DO_REST},
    {SESSION_LOADING, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_READY, SESSION_EV_BEGAN, SESSION_BUSY, SESSION_DO_NOTHING},
    {SESSION_READY, SESSION_EV_LOST, SESSION_FAILING_OVER, SESSION_DO_BRING_UP},
    {SESSION_READY, SESSION_EV_DOUBTED, SESSION_DOUBTFUL, SESSION_DO_PROVE},
    {SESSION_READY, SESSION_EV_RELOAD, SESSION_RESTARTING, SESSION_DO_END},
    {SESSION_READY, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_BUSY, SESSION_EV_IDLE, SESSION_READY, SESSION_DO_NOTHING},
    {SESSION_BUSY, SESSION_EV_LOST, SESSION_FAILING_OVER, SESSION_DO_BRING_UP},
    {SESSION_BUSY, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_FAILING_OVER, SESSION_EV_UP, SESSION_READY, SESSION_DO_SERVE},
    {SESSION_FAILING_OVER, SESSION_EV_NOTHING_NOW, SESSION_BACKING_OFF, SESSION_DO_REST},
    {SESSION_FAILING_OVER, SESSION_EV_NOTHING_WORKS, SESSION_FAILED, SESSION_DO_REST},
    {SESSION_FAILING_OVER, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_DOUBTFUL, SESSION_EV_JUDGED, SESSION_FAILING_OVER, SESSION_DO_BRING_UP},
    {SESSION_DOUBTFUL, SESSION_EV_NOTHING_WORKS, SESSION_FAILED, SESSION_DO_REST},
    {SESSION_DOUBTFUL, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_BACKING_OFF, SESSION_EV_DUE, SESSION_FAILING_OVER, SESSION_DO_BRING_UP},
    {SESSION_BACKING_OFF, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_FAILED, SESSION_EV_WANTED, SESSION_WAITING, SESSION_DO_MAKE_FIT},
    {SESSION_FAILED, SESSION_EV_DUE, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_FAILED, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_END},
    {SESSION_STOPPING, SESSION_EV_ENDED, SESSION_STOPPED, SESSION_DO_FORGET},
    {SESSION_STOPPING, SESSION_EV_WANTED, SESSION_RESTARTING, SESSION_DO_NOTHING},
    {SESSION_RESTARTING, SESSION_EV_ENDED, SESSION_WAITING, SESSION_DO_MAKE_FIT},
    {SESSION_RESTARTING, SESSION_EV_UNWANTED, SESSION_STOPPING, SESSION_DO_NOTHING},
};

static void every_event_in_every_state(void **state)
{
    (void)state;
    for (int s = 0; s < SESSION_STATES; s++) {
        for (int e = 0; e < SESSION_EVENTS; e++) {
            struct session_cell cell = session_cell((enum session_state)s, (enum session_event)e);
            size_t row = 0, n = sizeof(cells) / sizeof(cells[0]);
            while (row < n && ((int)cells[row].state != s || (int)cells[row].event != e))
                row++;
            assert_int_equal(cell.set, row < n);
            if (row == n)
                continue;
            assert_int_equal(cell.next, cells[row].next);
            assert_int_equal(cell.action, cells[row].action);
        }
    }
}

/* Whatever holds an engine can be ended, and nothing else is told that its engine was lost. */
static void an_engine_can_always_be_ended(void **state)
{
    (void)state;
    for (int s = 0; s < SESSION_STATES; s++) {
        enum session_state now = (enum session_state)s;
        bool runs = now == SESSION_READY || now == SESSION_BUSY;
        bool none = now == SESSION_STOPPED || now == SESSION_FINDING || now == SESSION_STOPPING;
        assert_int_equal(session_cell(now, SESSION_EV_LOST).set, runs);
        assert_int_equal(session_cell(now, SESSION_EV_UNWANTED).set, !none);
    }
}

/* ---- blame ---- */

#define GPU "vulkan|0000:03:00.0|..."
#define CPU "cpu|..."

enum { REQUESTS = 4 };

struct court {
    struct blame blame;
    struct blame_request request[REQUESTS];
};

static const struct gfxb_error crash = {GFXB_E_ENGINE_CRASH, "it crashed"};

/* An engine of this choice runs. */
static void up(struct court *c, const char *fingerprint)
{
    blame_up(&c->blame, fingerprint, strcmp(fingerprint, CPU) == 0, NULL, 0);
}

/* The CPU's runs, as the GPU's could not start the model. */
static void up_after_gpu(struct court *c)
{
    char gpu[] = GPU, text[] = "it crashed";
    const struct session_failure failure = {gpu, text, GFXB_E_ENGINE_CRASH, true};
    blame_up(&c->blame, CPU, true, &failure, 1);
}

static struct court court_new(void)
{
    struct court c = {.blame = {.n = 0}};
    up(&c, GPU);
    return c;
}

/* It has answered something before. */
static struct court court_that_worked(void)
{
    struct court c = court_new();
    struct blame_request other = {.suspect = NULL};
    assert_null(blame_answered(&c.blame, &other));
    return c;
}

static void court_done(struct court *c)
{
    assert_null(c->blame.open); /* nobody waits for a second try */
    blame_done(&c->blame);
}

/* Lost with the first n requests under way. */
static void lose(struct court *c, enum blame_loss loss, size_t n, bool others)
{
    struct blame_request *list[REQUESTS];
    for (size_t i = 0; i < n; i++)
        list[i] = &c->request[i];
    blame_lost(&c->blame, loss, &crash, list, n, others);
}

/* The request is answered: is this choice rejected on disk by that? NULL: none is. */
static void answer(struct court *c, size_t i, const char *rejected)
{
    struct blame_case *against = blame_answered(&c->blame, &c->request[i]);
    assert_int_equal(against != NULL, rejected != NULL);
    if (!against)
        return;
    assert_string_equal(against->fingerprint, rejected);
    assert_int_equal(against->why.code, GFXB_E_ENGINE_CRASH);
    assert_null(against->next);
    blame_cases_free(against);
}

/* What the next bring-up avoids, and leaves out; NULL nothing. */
static void expect_history(const struct court *c, const char *avoided, const char *failed)
{
    struct session_history h;
    blame_history(&c->blame, true, &h);
    assert_true(h.served);
    assert_int_equal(h.n_avoid, avoided != NULL);
    assert_int_equal(h.n_failed, failed != NULL);
    if (avoided)
        assert_string_equal(h.avoid[0], avoided);
    if (failed)
        assert_string_equal(h.failed[0].fingerprint, failed);
    session_history_done(&h);
}

static void a_choice_that_never_answered_is_rejected_by_the_first_answer_of_another(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 1, false);
    assert_int_equal(c.request[0].fate, BLAME_AGAIN);
    expect_history(&c, GPU, NULL);
    up(&c, CPU);
    answer(&c, 0, GPU);
    expect_history(&c, NULL, GPU);
    assert_false(blame_wants_home(&c.blame));
    court_done(&c);
}

static void a_choice_that_has_worked_is_rejected_by_the_second_fault_only(void **state)
{
    (void)state;
    struct court c = court_that_worked();
    lose(&c, BLAME_BROKE, 1, false);
    up(&c, CPU);
    assert_false(blame_wants_home(&c.blame)); /* not before the suspect is done */
    answer(&c, 0, NULL);
    assert_true(blame_wants_home(&c.blame));
    expect_history(&c, NULL, NULL);
    up(&c, GPU);
    assert_false(blame_wants_home(&c.blame));
    lose(&c, BLAME_BROKE, 1, false);
    up(&c, CPU);
    answer(&c, 0, GPU);
    court_done(&c);
}

static void a_poison_request_exonerates_both(void **state)
{
    (void)state;
    struct court c = court_new();
    for (int i = 0; i < 5; i++) { /* however often: each request costs two engines */
        lose(&c, BLAME_BROKE, 1, false);
        assert_int_equal(c.request[0].fate, BLAME_AGAIN);
        up(&c, CPU);
        lose(&c, BLAME_BROKE, 1, false);
        assert_int_equal(c.request[0].fate, BLAME_POISON);
        blame_left(&c.blame, &c.request[0]);
        expect_history(&c, NULL, NULL);
        up(&c, GPU);
    }
    answer(&c, 1, NULL);
    court_done(&c);
}

static void poison_among_innocents_is_found_and_they_are_answered(void **state)
{
    (void)state;
    struct court c = court_new();
    struct blame_request *poison = &c.request[1];
    lose(&c, BLAME_BROKE, 3, false);
    up(&c, CPU);
    answer(&c, 0, NULL); /* one at a time */
    blame_lost(&c.blame, BLAME_BROKE, &crash, &poison, 1, false);
    assert_int_equal(poison->fate, BLAME_POISON);
    expect_history(&c, GPU, NULL); /* the third is still to be tried elsewhere */
    up(&c, CPU);
    answer(&c, 2, NULL); /* the GPU is excused: the poison has killed the CPU too */
    assert_true(blame_wants_home(&c.blame));
    blame_left(&c.blame, poison);
    court_done(&c);
}

static void when_all_suspects_are_answered_elsewhere_the_choice_is_at_fault(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 3, false);
    up(&c, CPU);
    answer(&c, 0, NULL);
    answer(&c, 2, NULL);
    answer(&c, 1, GPU);
    court_done(&c);
}

static void a_suspect_that_left_leaves_the_question_open(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 2, false);
    up(&c, CPU);
    blame_left(&c.blame, &c.request[0]);
    answer(&c, 1, NULL);
    court_done(&c);
}

static void so_does_one_that_had_left_before(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 1, true);
    assert_int_equal(c.request[0].fate, BLAME_AGAIN);
    up(&c, CPU);
    answer(&c, 0, NULL);
    court_done(&c);
}

static void what_nobody_can_explain_sets_aside_and_rejects_nothing(void **state)
{
    (void)state;
    struct court c = court_that_worked();
    for (int i = 0; i < 3; i++) {
        expect_history(&c, NULL, NULL);
        lose(&c, BLAME_BROKE, 0, false);
    }
    expect_history(&c, NULL, GPU);
    up(&c, CPU);
    answer(&c, 0, NULL);
    blame_forget(&c.blame);
    expect_history(&c, NULL, NULL);
    court_done(&c);
}

static void two_engines_with_others_beside_is_enough_but_no_poison(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 1, false);
    up(&c, CPU);
    lose(&c, BLAME_BROKE, 2, false);
    assert_int_equal(c.request[0].fate, BLAME_ENOUGH);
    assert_int_equal(c.request[1].fate, BLAME_AGAIN);
    blame_left(&c.blame, &c.request[0]);
    up(&c, GPU);
    answer(&c, 1, NULL); /* the other one may have done it */
    court_done(&c);
}

static void alone_on_the_same_choice_it_gets_its_second_try_there(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 1, false);
    up(&c, GPU);
    answer(&c, 0, NULL); /* it was an accident */
    assert_false(blame_wants_home(&c.blame));
    lose(&c, BLAME_BROKE, 1, false);
    up(&c, GPU);
    lose(&c, BLAME_BROKE, 1, false);
    assert_int_equal(c.request[0].fate, BLAME_POISON);
    blame_left(&c.blame, &c.request[0]);
    court_done(&c);
}

static void kills_from_outside_say_nothing(void **state)
{
    (void)state;
    struct court c = court_new();
    for (int i = 0; i < 2; i++) {
        lose(&c, BLAME_KILLED, 2, false);
        assert_int_equal(c.request[0].fate, BLAME_AGAIN);
        assert_null(c.request[0].suspect);
        expect_history(&c, NULL, NULL);
    }
    answer(&c, 1, NULL); /* an answer in between: it is counted again from the beginning */
    for (int i = 0; i < 3; i++) {
        expect_history(&c, NULL, NULL);
        lose(&c, BLAME_KILLED, 1, false);
    }
    expect_history(&c, NULL, GPU); /* for a while, in memory */
    up(&c, CPU);
    answer(&c, 0, NULL);
    court_done(&c);
}

static void no_request_is_tried_for_ever(void **state)
{
    (void)state;
    struct court c = court_new();
    int kills = 0;
    while (c.request[0].fate == BLAME_AGAIN && kills < 100) {
        lose(&c, BLAME_KILLED, 1, false);
        kills++;
    }
    assert_int_equal(c.request[0].fate, BLAME_ENOUGH);
    assert_true(kills < 100);
    court_done(&c);
}

static void the_cpu_and_a_lack_of_memory_are_never_rejected(void **state)
{
    (void)state;
    struct court c = {.blame = {.n = 0}};
    up(&c, CPU);
    lose(&c, BLAME_BROKE, 1, false);
    up(&c, GPU);
    answer(&c, 0, NULL);
    static const struct gfxb_error memory = {GFXB_E_MEMORY_TOO_SMALL, "out of memory"};
    up(&c, "rocm|...");
    struct blame_request *one = &c.request[0];
    blame_lost(&c.blame, BLAME_BROKE, &memory, &one, 1, false);
    up(&c, GPU);
    answer(&c, 0, NULL);
    court_done(&c);
}

static void one_that_had_sent_all_before_it_died_is_innocent(void **state)
{
    (void)state;
    struct court c = court_new();
    lose(&c, BLAME_BROKE, 2, false);
    blame_innocent(&c.blame, &c.request[0]);
    up(&c, CPU);
    answer(&c, 1, GPU); /* it was under way, and the only one that was not answered */
    court_done(&c);
}

static void a_start_that_failed_counts_once_another_choice_has_answered(void **state)
{
    (void)state;
    struct court c = {.blame = {.n = 0}};
    up_after_gpu(&c);
    answer(&c, 0, GPU);
    answer(&c, 0, NULL);
    court_done(&c);
}

static void a_start_that_fails_once_after_it_worked_is_an_accident(void **state)
{
    (void)state;
    struct court c = court_that_worked();
    up_after_gpu(&c);
    answer(&c, 0, NULL);
    court_done(&c);
}

/* ---- which files an outcome is of ---- */

static void check_state(const struct session_request *r, const struct session *s, bool same,
                        char **before)
{
    char *now = session_model_state(r, s);
    assert_non_null(now);
    assert_string_equal(strchr(now, ' ') + 1, r->model);
    assert_int_equal(*before && strcmp(now, *before) == 0, same);
    free(*before);
    *before = now;
}

/* What is stored counts until a part of the model is another one, or its recipe. */
static void a_model_is_another_one_with_each_file_and_argument(void **state)
{
    char dir[] = "/tmp/gfxbridge-test-XXXXXX", one[80], two[80], *before = NULL;
    char *plain[] = {"--mmproj", "eyes.gguf", NULL}, *other[] = {"-fa", "on", NULL};
    struct model_use use = {.launch = {.args = plain}};
    struct session session = {.use = &use};
    struct session_request r = {.model = one, .mmproj = "eyes.gguf"};
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof(one), "%s/m-00001-of-00002.gguf", dir);
    snprintf(two, sizeof(two), "%s/m-00002-of-00002.gguf", dir);
    assert_int_equal(fs_write(one, "1", 1, 0644, NULL), 0);
    assert_null(session_model_state(&r, &session));
    assert_int_equal(fs_write(two, "2", 1, 0644, NULL), 0);
    check_state(&r, &session, false, &before);
    check_state(&r, &session, true, &before);
    assert_int_equal(fs_write(two, "22", 2, 0644, NULL), 0);
    check_state(&r, &session, false, &before);
    use.launch.args = plain + 2; /* a projector changes no text */
    check_state(&r, &session, true, &before);
    use.launch.args = other;
    check_state(&r, &session, false, &before);
    free(before);
    unlink(one);
    unlink(two);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state),
        cmocka_unit_test(an_engine_can_always_be_ended),
        cmocka_unit_test(a_choice_that_never_answered_is_rejected_by_the_first_answer_of_another),
        cmocka_unit_test(a_choice_that_has_worked_is_rejected_by_the_second_fault_only),
        cmocka_unit_test(a_poison_request_exonerates_both),
        cmocka_unit_test(poison_among_innocents_is_found_and_they_are_answered),
        cmocka_unit_test(when_all_suspects_are_answered_elsewhere_the_choice_is_at_fault),
        cmocka_unit_test(a_suspect_that_left_leaves_the_question_open),
        cmocka_unit_test(so_does_one_that_had_left_before),
        cmocka_unit_test(what_nobody_can_explain_sets_aside_and_rejects_nothing),
        cmocka_unit_test(two_engines_with_others_beside_is_enough_but_no_poison),
        cmocka_unit_test(alone_on_the_same_choice_it_gets_its_second_try_there),
        cmocka_unit_test(kills_from_outside_say_nothing),
        cmocka_unit_test(no_request_is_tried_for_ever),
        cmocka_unit_test(the_cpu_and_a_lack_of_memory_are_never_rejected),
        cmocka_unit_test(one_that_had_sent_all_before_it_died_is_innocent),
        cmocka_unit_test(a_start_that_failed_counts_once_another_choice_has_answered),
        cmocka_unit_test(a_start_that_fails_once_after_it_worked_is_an_accident),
        cmocka_unit_test(a_model_is_another_one_with_each_file_and_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
