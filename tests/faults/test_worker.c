/*
 * test_worker.c - the pool with its real workers, before engines that fail: what becomes of the
 * requests, what is stored, and that nothing is left of what has ended.
 */
#include "faults.h"
#include "session/session_private.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>

enum { WAIT_MS = 30000, IDLE_MS = 100 };

/* ---- a thread that cannot be made ---- */

static atomic_int no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                   void *context);
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                   void *context)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return no_threads ? EAGAIN : real(thread, attributes, fn, context);
}

/* ---- a computer with a Vulkan and a CPU engine, both proven, and a pool with one model ---- */

struct served {
    struct world world;
    char *vulkan, *cpu; /* their packages */
    char *model;
    struct loop *loop;
    struct work *work;
    struct pool *pool;
    struct loop_timer tick;
    int64_t until;
    const unsigned *awaited;
    unsigned value, ended;
};

/* A request, passed on as a relay does. */
struct client {
    struct pool_waiter waiter;
    struct http_call *call;
    bool silent; /* it is not sent to the engine at all */
    unsigned given, answered, failed;
    char backend[24]; /* that it was last given to */
    struct gfxb_error why;
};

static void client_head(void *owner, const struct http_answer *answer)
{
    (void)owner;
    assert_int_equal(answer->status, 200);
}

static void client_body(void *owner, struct str bytes)
{
    (void)owner;
    (void)bytes;
}

static void client_end(void *owner)
{
    struct client *c = owner;
    c->answered++;
    pool_done(&c->waiter, POOL_OK);
}

static void client_broken(void *owner, int code, bool local)
{
    struct client *c = owner;
    assert_false(local);
    pool_again(&c->waiter, code == -ECONNREFUSED ? POOL_REFUSED : POOL_BROKEN);
}

static void client_ready(struct pool_waiter *w)
{
    static const struct http_call_ops ops = {client_head, client_body, client_end, client_broken};
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"What is proof?\"}],\"stream\":true}";
    struct client *c = container_of(w, struct client, waiter);
    struct http_call_request request = {
        .path = "/v1/chat/completions", .body = STR(body), .ops = &ops, .owner = c};
    c->given++;
    snprintf(c->backend, sizeof(c->backend), "%s", w->endpoint->backend);
    if (c->silent)
        return;
    c->call = http_call_start(w->endpoint->http, &request);
}

static void client_failed(struct pool_waiter *w, const struct gfxb_error *why)
{
    struct client *c = container_of(w, struct client, waiter);
    c->failed++;
    c->why = *why;
}

static int find(void *context, const char *name, struct pool_found *ret_found,
                struct gfxb_error *err)
{
    const struct served *s = context;
    (void)err;
    *ret_found = (struct pool_found){.name = strdup(name), .path = strdup(s->model)};
    return 0;
}

static void tick(struct loop_timer *timer)
{
    struct served *s = container_of(timer, struct served, tick);
    if (*s->awaited >= s->value)
        loop_stop(s->loop);
    else if (clock_now_ms() > s->until)
        fail_msg("it does not come to that");
    else
        loop_timer_set(s->loop, timer, 5);
}

static void await(struct served *s, const unsigned *what, unsigned times)
{
    s->awaited = what;
    s->value = times;
    s->until = clock_now_ms() + WAIT_MS;
    s->tick.due = tick;
    loop_timer_set(s->loop, &s->tick, 0);
    loop_run(s->loop);
}

static void pass(struct served *s, int ms)
{
    unsigned never = 0;
    for (int64_t until = clock_now_ms() + ms; clock_now_ms() < until;)
        await(s, &never, 0);
}

static struct served *served_new(int backend)
{
    struct served *s = calloc(1, sizeof(*s));
    struct gfxb_error err = {.text = ""};
    s->world = world_new("rx7900gre", backend, 0);
    s->cpu = stage_install(&s->world.stage, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&s->world, PLAN_CPU);
    s->vulkan = stage_install(&s->world.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    world_prove(&s->world, PLAN_VULKAN);
    s->model = stage_join(stage_source(), "data/canary.gguf");
    if (loop_new(&s->loop, &err) < 0 || work_new(s->loop, 1, 1, &s->work, &err) < 0)
        fail_msg("%s", err.text);
    struct pool_config config = {.loop = s->loop,
                                 .work = s->work,
                                 .request = &s->world.request,
                                 .find = find,
                                 .find_context = s,
                                 .default_model = "model",
                                 .keep_alive = POOL_KEEP_FOREVER,
                                 .slots = 2,
                                 .engine_requests = 8,
                                 .queue = 64,
                                 .gap_ms = 300,
                                 .idle_ms = IDLE_MS};
    s->pool = pool_new(&config);
    return s;
}

static void served_ended(void *context)
{
    ((struct served *)context)->ended = 1;
}

static void served_done(struct served *s)
{
    pool_end(s->pool, served_ended, s);
    await(s, &s->ended, 1);
    pool_free(s->pool);
    work_free(s->work);
    loop_timer_clear(s->loop, &s->tick);
    loop_free(s->loop);
    free(s->vulkan);
    free(s->cpu);
    free(s->model);
    world_done(&s->world);
    free(s);
}

static void behave(const struct served *s, enum plan_backend backend, const char *behaviour)
{
    struct fault f = {.name = "", .backend = backend, .behaviour = behaviour};
    stage_behave(&s->world.stage, backend == PLAN_CPU ? s->cpu : s->vulkan, backend, &f);
}

static void ask(struct served *s, struct client *c)
{
    static const struct pool_options options = {
        .keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = -1};
    c->waiter.ready = client_ready;
    c->waiter.failed = client_failed;
    pool_wait(s->pool, STR("model"), &options, &c->waiter);
}

/* It is answered by this backend, whatever happens on the way. */
static void check_answered_by(struct served *s, const char *backend)
{
    struct client c = {.given = 0};
    ask(s, &c);
    await(s, &c.answered, 1);
    assert_string_equal(c.backend, backend);
}

static pid_t engine_of(const struct served *s)
{
    struct pool_status status;
    assert_true(pool_at(s->pool, 0, &status));
    return status.pid;
}

/* It is stored by a thread, a moment behind the answer. */
static void check_stored(struct served *s, enum plan_backend backend, enum plan_state expected)
{
    for (int i = 0; i < 1000 && world_state(&s->world, backend) != expected; i++)
        poll(NULL, 0, 10);
    assert_int_equal(world_state(&s->world, backend), expected);
}

/* ---- its life ---- */

static void it_is_loaded_serves_and_is_unloaded(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    for (int i = 0; i < 2; i++) {
        check_answered_by(s, "vulkan");
        assert_int_equal(stage_count_engines(&s->world.stage), 1);
        assert_int_equal(pool_unload(s->pool, STR("model"), NULL), 0);
        while (pool_count(s->pool))
            pass(s, 5);
        assert_int_equal(stage_count_engines(&s->world.stage), 0);
    }
    served_done(s);
}

static void a_start_can_be_stopped(void **state)
{
    struct served *s = served_new(-1);
    struct client c = {.given = 0};
    (void)state;
    behave(s, PLAN_VULKAN, "start hang\n");
    ask(s, &c);
    while (!stage_count_engines(&s->world.stage))
        pass(s, 5);
    pool_leave(&c.waiter);
    pool_unload(s->pool, STR("model"), NULL);
    while (pool_count(s->pool))
        pass(s, 5);
    assert_int_equal(stage_count_engines(&s->world.stage), 0);
    ask(s, &c); /* and the end comes in the middle of the next one */
    while (!stage_count_engines(&s->world.stage))
        pass(s, 5);
    pool_leave(&c.waiter);
    served_done(s);
}

/* Review 2. */
static void without_a_thread_it_is_told_and_works_later(void **state)
{
    struct served *s = served_new(-1);
    struct client c = {.given = 0};
    (void)state;
    no_threads = 1;
    ask(s, &c);
    await(s, &c.failed, 1);
    no_threads = 0;
    assert_int_equal(c.why.code, EAGAIN);
    while (pool_count(s->pool))
        pass(s, 5);
    check_answered_by(s, "vulkan");
    no_threads = 1; /* ending needs none */
    pool_unload(s->pool, STR("model"), NULL);
    while (pool_count(s->pool))
        pass(s, 5);
    no_threads = 0;
    served_done(s);
}

/* ---- engines that are lost ---- */

static void one_that_is_killed_comes_back_however_often(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    for (int i = 0; i < 5; i++) {
        check_answered_by(s, "vulkan");
        kill(engine_of(s), SIGKILL);
    }
    check_answered_by(s, "vulkan");
    check_stored(s, PLAN_VULKAN, PLAN_PROVEN);
    served_done(s);
}

/* Somebody else's doing: tried again three times, then the next choice, for a while. */
static void one_that_is_killed_while_it_answers(void **state)
{
    struct served *s = served_new(-1);
    struct client c = {.given = 0};
    (void)state;
    behave(s, PLAN_VULKAN, "then die\nat 3\n");
    ask(s, &c);
    await(s, &c.answered, 1);
    assert_int_equal(c.given, 4);
    assert_string_equal(c.backend, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_PROVEN);
    served_done(s);
}

static void one_that_aborts_while_it_answers(void **state)
{
    struct served *s = served_new(-1);
    struct client c = {.given = 0};
    (void)state;
    behave(s, PLAN_VULKAN, "then abort\nat 3\n");
    ask(s, &c);
    await(s, &c.answered, 1);
    assert_int_equal(c.given, 2);
    assert_string_equal(c.backend, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_REJECTED);
    check_stored(s, PLAN_CPU, PLAN_PROVEN);
    served_done(s);
}

static void one_that_hangs_at_token_40(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    behave(s, PLAN_VULKAN, "say babble\nthen hang\nat 40\n");
    check_answered_by(s, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_REJECTED);
    served_done(s);
}

/* A request is under way for ten times the gap, nothing comes, and the engine says that it works.
 */
static void one_that_is_slow_does_not_hang(void **state)
{
    struct served *s = served_new(-1);
    struct client c = {.silent = true};
    (void)state;
    ask(s, &c);
    await(s, &c.given, 1);
    pid_t pid = engine_of(s);
    pass(s, 3000);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(engine_of(s), pid);
    served_done(s);
}

static void one_that_talks_nonsense_fails_its_proof(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    behave(s, PLAN_VULKAN, "say nonsense\n");
    check_answered_by(s, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_REJECTED);
    served_done(s);
}

static void one_that_breaks_at_the_start_with_the_model(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    behave(s, PLAN_VULKAN, "start abort\n");
    check_answered_by(s, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_REJECTED);
    served_done(s);
}

static void one_without_memory_for_the_model(void **state)
{
    struct served *s = served_new(-1);
    struct fault f = {.name = "",
                      .backend = PLAN_VULKAN,
                      .behaviour = "start exit\n",
                      .said = "ggml_vulkan: Device memory allocation of size 4294967296 failed.\n"};
    (void)state;
    stage_behave(&s->world.stage, s->vulkan, PLAN_VULKAN, &f);
    check_answered_by(s, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_PROVEN); /* a smaller model fits */
    served_done(s);
}

/* ---- a model beside the CPU, while nobody asks ---- */

/* Until the model is ready on this backend; then: is it known to compute as on the CPU? */
static bool await_backend(struct served *s, const char *backend)
{
    struct pool_status status = {.backend = ""};
    for (int64_t until = clock_now_ms() + WAIT_MS; clock_now_ms() < until; pass(s, 5)) {
        if (pool_at(s->pool, 0, &status) && strcmp(status.backend, backend) == 0)
            return status.checked;
    }
    fail_msg("it never runs on %s", backend);
    return false;
}

static void an_idle_model_is_compared_with_the_cpu(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    check_answered_by(s, "vulkan");
    while (!await_backend(s, "vulkan"))
        pass(s, 5);
    pool_unload(s->pool, STR("model"), NULL);
    while (pool_count(s->pool))
        pass(s, 5);
    check_answered_by(s, "vulkan");
    assert_true(await_backend(s, "vulkan")); /* it is stored: once is enough */
    served_done(s);
}

static void one_that_differs_from_the_cpu_leaves_this_model_alone(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    behave(s, PLAN_VULKAN, "steps other\n");
    check_answered_by(s, "vulkan");
    assert_false(await_backend(s, "cpu"));
    check_answered_by(s, "cpu");
    check_stored(s, PLAN_VULKAN, PLAN_PROVEN); /* for other models */
    pool_unload(s->pool, STR("model"), NULL);
    while (pool_count(s->pool))
        pass(s, 5);
    check_answered_by(s, "cpu"); /* for this one it stays so */
    served_done(s);
}

/* Nothing can be written where the outcome of a model is stored. */
static void block_outcomes(const struct served *s)
{
    char *CLEAN_FREE path = stage_join(s->world.stage.data, "proofs");
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    unsigned n = 0;
    while ((name = fs_next(dir))) {
        struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
        char *CLEAN_FREE file = stage_join(path, name);
        char *CLEAN_FREE below = stage_join(file, "below");
        if (fs_read(file, 1 << 20, &text) < 0 || !str_has(buf_view(&text), STR("\nmodel ")))
            continue;
        n++;
        assert_int_equal(unlink(file), 0);
        assert_int_equal(fs_make_dirs(below, 0755, NULL), 0);
    }
    assert_int_equal(n, 1);
}

static void one_that_differs_is_left_also_where_that_cannot_be_stored(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    behave(s, PLAN_VULKAN, "steps other\n");
    check_answered_by(s, "vulkan");
    await_backend(s, "cpu");
    block_outcomes(s);
    pool_unload(s->pool, STR("model"), NULL);
    while (pool_count(s->pool))
        pass(s, 5);
    check_answered_by(s, "vulkan");
    await_backend(s, "cpu");
    check_answered_by(s, "cpu");
    served_done(s);
}

static void comparing_gives_way_to_a_request(void **state)
{
    struct served *s = served_new(-1);
    (void)state;
    behave(s, PLAN_VULKAN, "steps hang\n");
    check_answered_by(s, "vulkan");
    while (stage_count_engines(&s->world.stage) != 2)
        pass(s, 5);
    check_answered_by(s, "vulkan");
    while (stage_count_engines(&s->world.stage) != 1)
        pass(s, 1);
    assert_false(await_backend(s, "vulkan"));
    served_done(s); /* so does it to the end */
}

/* ---- nothing is left ---- */

static void the_only_one_is_tried_again_after_a_pause(void **state)
{
    struct served *s = served_new(PLAN_CPU);
    (void)state;
    check_answered_by(s, "cpu");
    behave(s, PLAN_CPU, "start kill\n");
    struct client c = {.given = 0};
    kill(engine_of(s), SIGKILL);
    ask(s, &c);
    while (!s->pool->models->pause_ms) /* it does not come up again for now */
        pass(s, 5);
    behave(s, PLAN_CPU, NULL);
    await(s, &c.answered, 1);
    served_done(s);
}

static void nothing_works_until_it_does(void **state)
{
    struct served *s = served_new(-1);
    struct client c = {.given = 0};
    (void)state;
    behave(s, PLAN_VULKAN, "start abort\n");
    behave(s, PLAN_CPU, "start abort\n");
    ask(s, &c);
    await(s, &c.failed, 1);
    assert_int_equal(c.why.code, GFXB_E_ENGINE_CRASH);
    assert_non_null(strstr(c.why.text, "no backend can be used here"));
    check_stored(s, PLAN_VULKAN, PLAN_PROVEN); /* the model may be at fault */
    behave(s, PLAN_CPU, NULL);
    while (pool_count(s->pool)) /* the failure is told for a while */
        pass(s, 50);
    check_answered_by(s, "cpu");
    served_done(s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_loaded_serves_and_is_unloaded),
        cmocka_unit_test(a_start_can_be_stopped),
        cmocka_unit_test(without_a_thread_it_is_told_and_works_later),
        cmocka_unit_test(one_that_is_killed_comes_back_however_often),
        cmocka_unit_test(one_that_is_killed_while_it_answers),
        cmocka_unit_test(one_that_aborts_while_it_answers),
        cmocka_unit_test(one_that_hangs_at_token_40),
        cmocka_unit_test(one_that_is_slow_does_not_hang),
        cmocka_unit_test(one_that_talks_nonsense_fails_its_proof),
        cmocka_unit_test(one_that_breaks_at_the_start_with_the_model),
        cmocka_unit_test(one_without_memory_for_the_model),
        cmocka_unit_test(an_idle_model_is_compared_with_the_cpu),
        cmocka_unit_test(one_that_differs_from_the_cpu_leaves_this_model_alone),
        cmocka_unit_test(one_that_differs_is_left_also_where_that_cannot_be_stored),
        cmocka_unit_test(comparing_gives_way_to_a_request),
        cmocka_unit_test(the_only_one_is_tried_again_after_a_pause),
        cmocka_unit_test(nothing_works_until_it_does),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
