/*
 * test_fail_over.c - an engine that breaks while it answers one person: the next choice answers,
 * and what broke is remembered once another engine has done the same work.
 */
#include "faults.h"
#include "session/session.h"
#include "session/session_private.h"

#include <errno.h>
#include <signal.h>

/* A computer with a Vulkan and a CPU engine, both proven; a session brought up on the Vulkan one.
 */
struct asked {
    struct world world;
    char *vulkan, *cpu; /* their packages */
    char *model;
    struct session session;
};

static void behave(const struct asked *a, enum plan_backend backend, const char *behaviour)
{
    struct fault f = {.name = "", .backend = backend, .behaviour = behaviour};
    stage_behave(&a->world.stage, backend == PLAN_CPU ? a->cpu : a->vulkan, backend, &f);
}

/* behaviour: of Vulkan from the next start on. */
static struct asked asked_new(const char *behaviour)
{
    struct asked a = {.world = world_new("rx7900gre", -1, 0)};
    struct gfxb_error err = {.text = ""};
    a.cpu = stage_install(&a.world.stage, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&a.world, PLAN_CPU);
    a.vulkan = stage_install(&a.world.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    world_prove(&a.world, PLAN_VULKAN);
    a.model = stage_join(stage_source(), "data/canary.gguf");
    a.world.request.model = a.model;
    behave(&a, PLAN_VULKAN, behaviour);
    if (session_bring_up(&a.world.request, NULL, &a.session, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

static void asked_done(struct asked *a)
{
    session_done(&a->session);
    free(a->vulkan);
    free(a->cpu);
    free(a->model);
    world_done(&a->world);
}

static void count(void *context)
{
    ++*(unsigned *)context;
}

/* again: how often the answer began again. */
static int ask_for(struct asked *a, const char *prompt, unsigned *again, struct gfxb_error *err)
{
    struct engine_chat chat = {.prompt = prompt, .silence_ms = 300, .context = again};
    struct engine_reply reply;
    *again = 0;
    int result = session_ask(&a->world.request, &a->session, &chat, count, &reply, err);
    if (result == 0)
        engine_reply_done(&reply);
    return result;
}

static int ask(struct asked *a, unsigned *again, struct gfxb_error *err)
{
    return ask_for(a, "What is proof?", again, err);
}

static void check_running(const struct asked *a, enum plan_backend backend)
{
    assert_non_null(a->session.engine);
    assert_int_equal(a->session.running->backend, backend);
}

/* What a later bring-up is told of Vulkan on the card holds this. */
static void check_told(const struct asked *a, const char *words)
{
    struct session session = {0};
    assert_int_equal(session_plan(&a->world.request, &session, NULL), 0);
    bool told = false;
    for (size_t i = 0; i < session.plan->n_choices; i++)
        told |= session.plan->choice[i].backend == PLAN_VULKAN &&
                strstr(session.plan->choice[i].reason, words) != NULL;
    session_done(&session);
    assert_true(told);
}

/* Vulkan fails like this, the CPU answers, and Vulkan is remembered with its code and its words. */
static void check_fails_over(const char *behaviour, const char *code, const char *words)
{
    struct asked a = asked_new(behaviour);
    struct gfxb_error err = {.text = ""};
    unsigned again;
    check_running(&a, PLAN_VULKAN);
    if (ask(&a, &again, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(again, 1);
    check_running(&a, PLAN_CPU);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_REJECTED);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
    check_told(&a, code);
    check_told(&a, words);
    asked_done(&a);
}

static void one_that_aborts_in_the_middle(void **state)
{
    (void)state;
    check_fails_over("then abort\nat 3\n", "engine-crash", "in the middle of an answer");
}

static void one_that_hangs_in_the_middle(void **state)
{
    (void)state;
    check_fails_over("then hang\nat 3\n", "engine-hang", "in the middle of an answer");
}

static void one_that_hangs_before_the_first_word(void **state)
{
    (void)state;
    check_fails_over("then hang\nat 0\n", "engine-hang", "no first token");
}

static void one_that_computes_wrongly_is_doubted(void **state)
{
    (void)state;
    check_fails_over("say garbage\n", "canary-mismatch", "it computes wrongly");
}

static void one_that_is_silent_is_doubted(void **state)
{
    (void)state;
    check_fails_over("say silent\n", "canary-mismatch", "it computes wrongly");
}

static void one_that_fails_in_words(void **state)
{
    (void)state;
    struct asked a = asked_new("say error\n");
    struct gfxb_error err;
    unsigned again;
    assert_int_equal(ask(&a, &again, &err), 0);
    check_running(&a, PLAN_CPU);
    asked_done(&a);
}

/* It is remembered only when another one has done the same. */
static void one_that_dies_at_the_start_with_the_model(void **state)
{
    (void)state;
    struct asked a = asked_new("start abort\n");
    struct gfxb_error err;
    unsigned again;
    check_running(&a, PLAN_CPU);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(ask(&a, &again, &err), 0);
    assert_int_equal(again, 0);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_REJECTED);
    asked_done(&a);
}

static void one_that_is_right_stands_a_doubt(void **state)
{
    (void)state;
    struct asked a = asked_new(NULL);
    struct gfxb_error err;
    unsigned again;
    assert_int_equal(session_prove_again(&a.world.request, &a.session, &err), 0);
    assert_null(a.session.engine);
    assert_int_equal(ask(&a, &again, &err), 0); /* it is started again for the next question */
    check_running(&a, PLAN_VULKAN);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    asked_done(&a);
}

/* It ends whatever it is given to: two engines, and nobody else is blamed. */
static void poison_costs_two_engines_and_blames_neither(void **state)
{
    (void)state;
    struct asked a = asked_new("word proof abort\n");
    struct gfxb_error err;
    unsigned again;
    behave(&a, PLAN_CPU, "word proof abort\n");
    assert_int_equal(ask(&a, &again, &err), -GFXB_E_REQUEST_POISON);
    assert_int_equal(again, 2);
    assert_non_null(strstr(err.text, "ended the engine twice"));
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
    assert_int_equal(ask_for(&a, "What is a gfx?", &again, &err), 0); /* the next one, as before */
    assert_int_equal(again, 0);
    check_running(&a, PLAN_VULKAN);
    asked_done(&a);
}

static void with_one_choice_the_second_try_is_on_it(void **state)
{
    (void)state;
    struct asked a = asked_new(NULL);
    struct gfxb_error err;
    unsigned again;
    a.world.request.request.backend = PLAN_CPU;
    behave(&a, PLAN_CPU, "word proof abort\n");
    session_done(&a.session);
    assert_int_equal(session_bring_up(&a.world.request, NULL, &a.session, &err), 0);
    assert_int_equal(ask(&a, &again, &err), -GFXB_E_REQUEST_POISON);
    assert_int_equal(again, 2);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
    asked_done(&a);
}

/* One crash of an engine that has answered may be an accident: it comes back. */
static void one_accident_is_forgiven(void **state)
{
    (void)state;
    struct asked a = asked_new("word proof abort\n");
    struct gfxb_error err;
    unsigned again;
    assert_int_equal(ask_for(&a, "What is a gfx?", &again, &err), 0);
    check_running(&a, PLAN_VULKAN);
    assert_int_equal(ask(&a, &again, &err), 0);
    check_running(&a, PLAN_CPU);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(ask_for(&a, "What is a gfx?", &again, &err), 0);
    check_running(&a, PLAN_VULKAN);
    assert_int_equal(ask(&a, &again, &err), 0); /* the second time is none */
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_REJECTED);
    asked_done(&a);
}

/* A connection that is closed without a byte: the canary is asked, and it is right. */
static void one_that_gives_no_answer_is_proven_and_not_rejected(void **state)
{
    (void)state;
    struct asked a = asked_new("word POISON close\n");
    struct gfxb_error err;
    unsigned again;
    behave(&a, PLAN_CPU, "word POISON close\n");
    assert_int_equal(ask_for(&a, "POISON", &again, &err), -GFXB_E_REQUEST_POISON);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
    asked_done(&a);
}

/* Review 15: its text is empty, and that is an answer. */
static void one_that_was_cut_in_its_thoughts_has_answered(void **state)
{
    (void)state;
    struct asked a = asked_new("say thought\n");
    struct gfxb_error err;
    unsigned again;
    pid_t pid = engine_pid(a.session.engine);
    assert_int_equal(ask(&a, &again, &err), 0);
    assert_int_equal(again, 0);
    assert_int_equal(engine_pid(a.session.engine), pid); /* neither ended nor proven again */
    asked_done(&a);
}

static void note_install(void *context, enum log_level level, const char *line)
{
    (void)level;
    *(bool *)context |= strstr(line, "installing") != NULL;
}

/* Two choices are proven, better ones would have to be fetched, and the engine is killed for good:
 * the answer comes from the second one, and nothing is fetched. */
static void what_is_proven_comes_before_what_must_be_fetched(void **state)
{
    (void)state;
    struct asked a = asked_new(NULL);
    struct gfxb_error err;
    bool installs = false;
    unsigned again;
    const struct log log = {note_install, &installs};
    a.world.request.log = &log;
    a.world.request.request.no_network = false;
    behave(&a, PLAN_VULKAN, "start kill\n");
    kill(engine_pid(a.session.engine), SIGKILL);
    if (ask(&a, &again, &err) < 0)
        fail_msg("%s", err.text);
    check_running(&a, PLAN_CPU);
    assert_false(installs);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    /* The first bring-up does it the other way round: the better choice is tried once. */
    struct session fresh = {0};
    session_bring_up(&a.world.request, NULL, &fresh, &err);
    session_done(&fresh);
    assert_true(installs);
    asked_done(&a);
}

static void a_request_that_is_refused_is_not_its_fault(void **state)
{
    (void)state;
    struct asked a = asked_new("say status\n");
    struct gfxb_error err;
    unsigned again;
    assert_int_equal(ask(&a, &again, &err), -EREMOTEIO);
    assert_int_equal(again, 0);
    check_running(&a, PLAN_VULKAN);
    asked_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_aborts_in_the_middle),
        cmocka_unit_test(one_that_hangs_in_the_middle),
        cmocka_unit_test(one_that_hangs_before_the_first_word),
        cmocka_unit_test(one_that_computes_wrongly_is_doubted),
        cmocka_unit_test(one_that_is_silent_is_doubted),
        cmocka_unit_test(one_that_fails_in_words),
        cmocka_unit_test(one_that_dies_at_the_start_with_the_model),
        cmocka_unit_test(one_that_is_right_stands_a_doubt),
        cmocka_unit_test(poison_costs_two_engines_and_blames_neither),
        cmocka_unit_test(with_one_choice_the_second_try_is_on_it),
        cmocka_unit_test(one_accident_is_forgiven),
        cmocka_unit_test(one_that_gives_no_answer_is_proven_and_not_rejected),
        cmocka_unit_test(one_that_was_cut_in_its_thoughts_has_answered),
        cmocka_unit_test(what_is_proven_comes_before_what_must_be_fetched),
        cmocka_unit_test(a_request_that_is_refused_is_not_its_fault),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
