/*
 * test_fail_over.c - an engine that breaks while it answers one person: the next choice answers,
 * and what broke is remembered once another engine has done the same work.
 */
#include "faults.h"
#include "session/session.h"
#include "session/session_private.h"

#include <errno.h>

/* A computer with a Vulkan and a CPU engine, both proven; a path walked to the Vulkan one. */
struct asked {
    struct world world;
    char *vulkan, *cpu; /* their packages */
    char *model;
    struct session path;
};

static void behave(const struct asked *a, enum plan_backend backend, const char *behaviour)
{
    struct fault f = {.name = "", .backend = backend, .behaviour = behaviour};
    stage_behave(&a->world.stage, backend == PLAN_CPU ? a->cpu : a->vulkan, backend, &f);
}

/* behaviour: of Vulkan from the next start on. */
static struct asked asked_new(const char *behaviour)
{
    struct asked a = {.world = world_new(NULL, -1, 0)};
    struct gfxb_error err = {.text = ""};
    a.cpu = stage_install(&a.world.stage, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&a.world, PLAN_CPU);
    a.vulkan = stage_install(&a.world.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    world_prove(&a.world, PLAN_VULKAN);
    a.model = stage_join(stage_source(), "data/canary.gguf");
    a.world.request.model = a.model;
    behave(&a, PLAN_VULKAN, behaviour);
    if (session_bring_up(&a.world.request, NULL, &a.path, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

static void asked_done(struct asked *a)
{
    session_done(&a->path);
    free(a->vulkan);
    free(a->cpu);
    free(a->model);
    world_done(&a->world);
}

static void count(void *context)
{
    ++*(unsigned *)context;
}

/* again: how often the answer began anew. */
static int ask(struct asked *a, unsigned *again, struct gfxb_error *err)
{
    struct engine_chat chat = {.prompt = "What is proof?", .silence_ms = 300, .context = again};
    struct engine_reply reply;
    *again = 0;
    int result = session_ask(&a->world.request, &a->path, &chat, count, &reply, err);
    if (result == 0)
        engine_reply_done(&reply);
    return result;
}

static void check_running(const struct asked *a, enum plan_backend backend)
{
    assert_non_null(a->path.engine);
    assert_int_equal(a->path.running->backend, backend);
}

/* What a later walk is told of Vulkan on the card holds this. */
static void check_told(const struct asked *a, const char *words)
{
    struct session path = {0};
    assert_int_equal(session_plan(&a->world.request, &path, NULL), 0);
    bool told = false;
    for (size_t i = 0; i < path.plan->n_choices; i++)
        told |= path.plan->choice[i].backend == PLAN_VULKAN &&
                strstr(path.plan->choice[i].reason, words) != NULL;
    session_plan_done(&path);
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
    assert_int_equal(session_prove_again(&a.world.request, &a.path, &err), 0);
    assert_null(a.path.engine);
    assert_int_equal(ask(&a, &again, &err), 0); /* it is started again for the next question */
    check_running(&a, PLAN_VULKAN);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    asked_done(&a);
}

/* The model or the prompt may be at fault, and nothing is left behind the CPU. */
static void the_cpu_is_not_given_up_for_good(void **state)
{
    (void)state;
    struct asked a = asked_new("then abort\nat 3\n");
    struct gfxb_error err;
    unsigned again;
    behave(&a, PLAN_CPU, "then abort\nat 3\n");
    assert_true(ask(&a, &again, &err) < 0);
    assert_int_equal(again, 2);
    assert_null(a.path.engine);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
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
        cmocka_unit_test(the_cpu_is_not_given_up_for_good),
        cmocka_unit_test(a_request_that_is_refused_is_not_its_fault),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
