/*
 * test_fail_over.c - an engine that breaks while it answers one person: the next choice answers,
 * and what broke is remembered once another engine has done the same work.
 */
#include "faults.h"

#include <errno.h>

/* A computer with a Vulkan and a CPU engine, both proven; a path walked to the Vulkan one. */
struct asked {
    struct world world;
    char *vulkan, *cpu; /* their packages */
    char *model;
    struct path path;
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
    if (path_walk(&a.world.request, &a.path, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

static void asked_done(struct asked *a)
{
    path_done(&a->path);
    free(a->vulkan);
    free(a->cpu);
    free(a->model);
    world_done(&a->world);
}

static int ask(const struct asked *a, struct gfxb_error *err)
{
    struct engine_chat chat = {.prompt = "What is proof?", .silence_ms = 300};
    struct engine_reply reply;
    int result = engine_chat(a->path.engine, &chat, &reply, err);
    if (result == 0)
        engine_reply_done(&reply);
    return result;
}

static void check_running(const struct asked *a, enum plan_backend backend)
{
    assert_non_null(a->path.engine);
    assert_int_equal(a->path.running->backend, backend);
}

/* Vulkan fails with this code, the CPU answers, and Vulkan is remembered only after that. */
static void check_fails_over(const char *behaviour, int code, const char *tells)
{
    struct asked a = asked_new(behaviour);
    struct gfxb_error why, err = {.text = ""};
    check_running(&a, PLAN_VULKAN);
    assert_int_equal(ask(&a, &why), -code);
    assert_non_null(strstr(why.text, tells));
    assert_true(path_is_engines_fault(code));
    if (path_fail_over(&a.world.request, &a.path, &why, &err) < 0)
        fail_msg("%s", err.text);
    check_running(&a, PLAN_CPU);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(ask(&a, &err), 0);
    path_settle(&a.world.request, &a.path);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_REJECTED);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
    asked_done(&a);
}

static void one_that_aborts_in_the_middle(void **state)
{
    (void)state;
    check_fails_over("then abort\nat 3\n", GFXB_E_ENGINE_CRASH, "in the middle of an answer");
}

static void one_that_hangs_in_the_middle(void **state)
{
    (void)state;
    check_fails_over("then hang\nat 3\n", GFXB_E_ENGINE_HANG, "in the middle of an answer");
}

static void one_that_hangs_before_the_first_word(void **state)
{
    (void)state;
    check_fails_over("then hang\nat 0\n", GFXB_E_ENGINE_HANG, "no first token");
}

static void one_that_dies_at_the_start_with_the_model(void **state)
{
    (void)state;
    struct asked a = asked_new("start abort\n");
    struct gfxb_error err;
    check_running(&a, PLAN_CPU);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(ask(&a, &err), 0);
    path_settle(&a.world.request, &a.path);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_REJECTED);
    asked_done(&a);
}

static void one_that_computes_wrongly_is_doubted(void **state)
{
    (void)state;
    struct asked a = asked_new("say garbage\n");
    struct gfxb_error why, err = {.text = ""};
    assert_int_equal(ask(&a, &why), 0);
    assert_int_equal(path_prove_again(&a.world.request, &a.path, &why), -GFXB_E_CANARY_MISMATCH);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_REJECTED);
    assert_int_equal(path_fail_over(&a.world.request, &a.path, &why, &err), 0);
    check_running(&a, PLAN_CPU);
    asked_done(&a);
}

static void one_that_is_right_stands_a_doubt(void **state)
{
    (void)state;
    struct asked a = asked_new(NULL);
    struct gfxb_error why;
    assert_int_equal(path_prove_again(&a.world.request, &a.path, &why), 0);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    asked_done(&a);
}

/* The model may be at fault as well, and nothing is left behind the CPU. */
static void the_cpu_is_not_given_up_for_good(void **state)
{
    (void)state;
    struct asked a = asked_new("then abort\nat 3\n");
    struct gfxb_error why, err;
    behave(&a, PLAN_CPU, "then abort\nat 3\n");
    assert_true(ask(&a, &why) < 0);
    assert_int_equal(path_fail_over(&a.world.request, &a.path, &why, &err), 0);
    check_running(&a, PLAN_CPU);
    assert_true(ask(&a, &why) < 0);
    assert_true(path_fail_over(&a.world.request, &a.path, &why, &err) < 0);
    assert_null(a.path.engine);
    assert_int_equal(world_state(&a.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(world_state(&a.world, PLAN_CPU), PLAN_PROVEN);
    asked_done(&a);
}

static void a_wish_that_is_refused_is_not_its_fault(void **state)
{
    static const int codes[] = {
        EREMOTEIO,    EINVAL, GFXB_E_INTERRUPTED, GFXB_E_MODEL_DAMAGED, GFXB_E_DISK_FULL,
        GFXB_E_USAGE, ENOMEM};
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_false(path_is_engines_fault(codes[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_aborts_in_the_middle),
        cmocka_unit_test(one_that_hangs_in_the_middle),
        cmocka_unit_test(one_that_hangs_before_the_first_word),
        cmocka_unit_test(one_that_dies_at_the_start_with_the_model),
        cmocka_unit_test(one_that_computes_wrongly_is_doubted),
        cmocka_unit_test(one_that_is_right_stands_a_doubt),
        cmocka_unit_test(the_cpu_is_not_given_up_for_good),
        cmocka_unit_test(a_wish_that_is_refused_is_not_its_fault),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
