/*
 * test_supervisor.c - an engine that is lost while it serves: what the supervisor does about it,
 * what it remembers, and that nothing is left of what it has ended.
 */
#include "faults.h"
#include "http/http.h"
#include "session/session.h"
#include "session/supervisor.h"
#include "session/supervisor_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

#define WAIT_MS 30000

/* ---- the table ---- */

static bool serves(enum supervisor_state state)
{
    return state == SUPERVISOR_READY || state == SUPERVISOR_BUSY;
}

static void every_event_in_every_state(void **state)
{
    static const enum supervisor_input lost[] = {SUPERVISOR_EV_DIED, SUPERVISOR_EV_HUNG,
                                                 SUPERVISOR_EV_BABBLED};
    (void)state;
    for (int i = 0; i < SUPERVISOR_STATES; i++) {
        enum supervisor_state now = (enum supervisor_state)i;
        bool stopped = now == SUPERVISOR_STOPPED;
        struct supervisor_cell stop = supervisor_cell(now, SUPERVISOR_EV_STOP);
        assert_int_equal(stop.set, !stopped);
        assert_int_equal(stop.next, SUPERVISOR_STOPPED);
        assert_int_equal(stop.action, stopped ? SUPERVISOR_DO_NOTHING : SUPERVISOR_DO_END);
        for (size_t k = 0; k < 3; k++) {
            struct supervisor_cell cell = supervisor_cell(now, lost[k]);
            assert_int_equal(cell.set, serves(now));
            assert_true(!cell.set || (cell.next == SUPERVISOR_FAILING_OVER &&
                                      cell.action == SUPERVISOR_DO_WALK));
        }
        bool walks = now == SUPERVISOR_STARTING || now == SUPERVISOR_LOADING ||
                     now == SUPERVISOR_FAILING_OVER;
        assert_int_equal(supervisor_cell(now, SUPERVISOR_EV_UP).set, walks);
        assert_int_equal(supervisor_cell(now, SUPERVISOR_EV_NOTHING_WORKS).set, walks);
        assert_int_equal(supervisor_cell(now, SUPERVISOR_EV_PAUSED).set,
                         now == SUPERVISOR_BACKING_OFF);
        assert_int_equal(supervisor_cell(now, SUPERVISOR_EV_START).set,
                         stopped || now == SUPERVISOR_BACKING_OFF);
        assert_int_equal(supervisor_cell(now, SUPERVISOR_EV_BEGAN).action, SUPERVISOR_DO_NOTHING);
        assert_int_equal(supervisor_cell(now, SUPERVISOR_EV_IDLE).set, now == SUPERVISOR_BUSY);
        for (int k = 0; stopped && k < SUPERVISOR_EVENTS; k++)
            assert_int_equal(supervisor_cell(now, (enum supervisor_input)k).set,
                             k == SUPERVISOR_EV_START);
    }
}

/* ---- a computer with a Vulkan and a CPU engine, both proven ---- */

struct served {
    struct world world;
    char *vulkan, *cpu; /* their packages */
    char *model;
    struct supervisor *supervisor;
};

static struct served served_new(int backend)
{
    struct served s = {.world = world_new(NULL, backend, 0)};
    s.cpu = stage_install(&s.world.stage, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&s.world, PLAN_CPU);
    s.vulkan = stage_install(&s.world.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    world_prove(&s.world, PLAN_VULKAN);
    struct supervisor_spec spec = {.path = s.world.request, .gap_ms = 300};
    struct gfxb_error err = {.text = ""};
    s.model = stage_join(stage_source(), "data/canary.gguf");
    spec.path.model = s.model;
    if (supervisor_new(&spec, &s.supervisor, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(supervisor_state(s.supervisor), SUPERVISOR_STOPPED);
    return s;
}

static void served_done(struct served *s)
{
    supervisor_free(s->supervisor);
    free(s->vulkan);
    free(s->cpu);
    free(s->model);
    world_done(&s->world);
}

static void served_behave(const struct served *s, enum plan_backend backend, const char *behaviour)
{
    struct fault f = {.name = "", .backend = backend, .behaviour = behaviour};
    stage_behave(&s->world.stage, backend == PLAN_CPU ? s->cpu : s->vulkan, backend, &f);
}

static struct supervisor_endpoint served_ready(const struct served *s)
{
    struct supervisor_endpoint endpoint;
    struct gfxb_error err = {.text = ""};
    if (supervisor_wait(s->supervisor, SUPERVISOR_READY, WAIT_MS, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(supervisor_endpoint(s->supervisor, &endpoint));
    return endpoint;
}

/* The engine of another start than this one. */
static struct supervisor_endpoint served_next(const struct served *s, uint64_t generation)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        struct supervisor_endpoint endpoint;
        if (supervisor_endpoint(s->supervisor, &endpoint) && endpoint.generation != generation)
            return endpoint;
        poll(NULL, 0, 10);
    }
    fail_msg("no other engine came");
    return (struct supervisor_endpoint){0};
}

static int64_t deadline(void *context)
{
    return *(const int64_t *)context;
}

/* One chat as a server passes it on; what it then tells the supervisor. */
static enum supervisor_outcome served_ask(const struct served *s,
                                          const struct supervisor_endpoint *endpoint)
{
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"What is proof?\"}],\"stream\":true}";
    int64_t until = clock_now_ms() + WAIT_MS;
    int status = 0;
    struct http_ask request = {.socket = endpoint->socket,
                               .path = "/v1/chat/completions",
                               .key = endpoint->key,
                               .body = str_from(body),
                               .pidfd = -1,
                               .until = deadline,
                               .context = &until};
    supervisor_request_began(s->supervisor, endpoint->generation);
    int code = http_ask(&request, &status);
    enum supervisor_outcome outcome = code == 0            ? SUPERVISOR_OK
                                      : code == -ETIMEDOUT ? SUPERVISOR_STALLED
                                      : code == -EPROTO    ? SUPERVISOR_NONSENSE
                                                           : SUPERVISOR_BROKEN;
    supervisor_request_ended(s->supervisor, endpoint->generation, outcome);
    return outcome;
}

/* What the next plan would say of the backend's proof. */
/* ---- its life ---- */

static void it_starts_serves_stops_and_starts_again(void **state)
{
    static const enum supervisor_state expected[] = {
        SUPERVISOR_STARTING, SUPERVISOR_LOADING, SUPERVISOR_READY, SUPERVISOR_STOPPED,
        SUPERVISOR_STARTING, SUPERVISOR_LOADING, SUPERVISOR_READY};
    struct served s = served_new(-1);
    struct supervisor_event event;
    struct supervisor_endpoint endpoint;
    (void)state;
    for (uint64_t i = 1; i <= 2; i++) {
        supervisor_start(s.supervisor);
        endpoint = served_ready(&s);
        assert_int_equal(endpoint.generation, i);
        assert_string_equal(endpoint.backend, "vulkan");
        assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_OK);
        assert_int_equal(stage_count_engines(&s.world.stage), 1);
        if (i == 1) {
            supervisor_stop(s.supervisor);
            assert_int_equal(supervisor_wait(s.supervisor, SUPERVISOR_STOPPED, WAIT_MS, NULL), 0);
            assert_false(supervisor_endpoint(s.supervisor, &endpoint));
            assert_int_equal(stage_count_engines(&s.world.stage), 0);
        }
    }
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(supervisor_next_event(s.supervisor, &event));
        assert_int_equal(event.state, expected[i]);
    }
    struct pollfd events = {.fd = supervisor_fd(s.supervisor), .events = POLLIN};
    assert_false(supervisor_next_event(s.supervisor, &event));
    assert_int_equal(poll(&events, 1, 0), 0);
    served_done(&s);
}

static void a_start_can_be_stopped(void **state)
{
    struct served s = served_new(-1);
    (void)state;
    served_behave(&s, PLAN_VULKAN, "start hang\n");
    supervisor_start(s.supervisor);
    assert_int_equal(supervisor_wait(s.supervisor, SUPERVISOR_LOADING, WAIT_MS, NULL), 0);
    supervisor_stop(s.supervisor);
    assert_int_equal(supervisor_wait(s.supervisor, SUPERVISOR_STOPPED, 5000, NULL), 0);
    assert_int_equal(stage_count_engines(&s.world.stage), 0);
    supervisor_start(s.supervisor); /* and freed in the middle of the next one */
    assert_int_equal(supervisor_wait(s.supervisor, SUPERVISOR_LOADING, WAIT_MS, NULL), 0);
    served_done(&s);
}

/* ---- engines that are lost ---- */

static void one_that_is_killed_comes_back_however_often(void **state)
{
    struct served s = served_new(-1);
    (void)state;
    supervisor_start(s.supervisor);
    struct supervisor_endpoint endpoint = served_ready(&s);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(endpoint.backend, "vulkan");
        assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_OK);
        kill(endpoint.pid, SIGKILL);
        endpoint = served_next(&s, endpoint.generation);
    }
    assert_int_equal(world_state(&s.world, PLAN_VULKAN), PLAN_PROVEN);
    served_done(&s);
}

/* Dies while answering, three times: the first two restart it, the third takes the next choice. */
static void dies_three_times(const char *behaviour, enum plan_state stored)
{
    struct served s = served_new(-1);
    served_behave(&s, PLAN_VULKAN, behaviour);
    supervisor_start(s.supervisor);
    struct supervisor_endpoint endpoint = served_ready(&s);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(endpoint.backend, "vulkan");
        assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_BROKEN);
        endpoint = served_next(&s, endpoint.generation);
    }
    assert_string_equal(endpoint.backend, "cpu");
    assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_OK);
    assert_int_equal(world_state(&s.world, PLAN_VULKAN), stored);
    assert_int_equal(world_state(&s.world, PLAN_CPU), PLAN_PROVEN);
    served_done(&s);
}

static void one_that_is_killed_three_times_while_answering(void **state)
{
    (void)state;
    dies_three_times("then die\nat 3\n", PLAN_PROVEN); /* somebody else's doing */
}

static void one_that_aborts_three_times_while_answering(void **state)
{
    (void)state;
    dies_three_times("then abort\nat 3\n", PLAN_REJECTED);
}

static void one_that_hangs_at_token_40(void **state)
{
    struct served s = served_new(-1);
    (void)state;
    served_behave(&s, PLAN_VULKAN, "say babble\nthen hang\nat 40\n");
    supervisor_start(s.supervisor);
    struct supervisor_endpoint endpoint = served_ready(&s);
    assert_string_equal(endpoint.backend, "vulkan");
    assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_BROKEN); /* it was ended */
    endpoint = served_next(&s, endpoint.generation);
    assert_string_equal(endpoint.backend, "cpu");
    assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_OK);
    assert_int_equal(world_state(&s.world, PLAN_VULKAN), PLAN_REJECTED); /* failed-before */
    served_done(&s);
}

/* Requests are under way for ten times the gap, nothing comes, and the engine says that it works.
 */
static void one_that_is_slow_does_not_hang(void **state)
{
    struct served s = served_new(-1);
    (void)state;
    supervisor_start(s.supervisor);
    struct supervisor_endpoint endpoint = served_ready(&s), same;
    supervisor_request_began(s.supervisor, endpoint.generation);
    assert_int_equal(supervisor_state(s.supervisor), SUPERVISOR_BUSY);
    poll(NULL, 0, 3000);
    assert_true(supervisor_endpoint(s.supervisor, &same));
    assert_int_equal(same.generation, endpoint.generation);
    supervisor_request_ended(s.supervisor, endpoint.generation, SUPERVISOR_STALLED);
    assert_int_equal(supervisor_state(s.supervisor), SUPERVISOR_READY);
    served_done(&s);
}

static void one_that_talks_nonsense_again_and_again(void **state)
{
    struct served s = served_new(-1);
    (void)state;
    served_behave(&s, PLAN_VULKAN, "say nonsense\n");
    supervisor_start(s.supervisor);
    struct supervisor_endpoint endpoint = served_ready(&s);
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(served_ask(&s, &endpoint), SUPERVISOR_OK);
    endpoint = served_next(&s, endpoint.generation);
    assert_string_equal(endpoint.backend, "cpu");
    assert_int_equal(world_state(&s.world, PLAN_VULKAN), PLAN_REJECTED);
    served_done(&s);
}

static void one_that_breaks_at_the_start_with_the_model(void **state)
{
    struct served s = served_new(-1);
    (void)state;
    served_behave(&s, PLAN_VULKAN, "start abort\n");
    supervisor_start(s.supervisor);
    assert_string_equal(served_ready(&s).backend, "cpu");
    assert_int_equal(world_state(&s.world, PLAN_VULKAN), PLAN_REJECTED);
    served_done(&s);
}

static void one_without_memory_for_the_model(void **state)
{
    struct served s = served_new(-1);
    struct fault f = {.name = "",
                      .backend = PLAN_VULKAN,
                      .behaviour = "start exit\n",
                      .said = "ggml_vulkan: Device memory allocation of size 4294967296 failed.\n"};
    (void)state;
    stage_behave(&s.world.stage, s.vulkan, PLAN_VULKAN, &f);
    supervisor_start(s.supervisor);
    assert_string_equal(served_ready(&s).backend, "cpu");
    assert_int_equal(world_state(&s.world, PLAN_VULKAN), PLAN_PROVEN); /* a smaller model fits */
    served_done(&s);
}

/* ---- nothing is left ---- */

static void the_only_one_dies_and_is_tried_again_after_a_pause(void **state)
{
    struct served s = served_new(PLAN_CPU);
    struct supervisor_event event;
    bool paused = false;
    (void)state;
    served_behave(&s, PLAN_CPU, "then die\nat 3\n");
    supervisor_start(s.supervisor);
    struct supervisor_endpoint endpoint = served_ready(&s);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(served_ask(&s, &endpoint), SUPERVISOR_BROKEN);
        endpoint = served_next(&s, endpoint.generation);
    }
    while (supervisor_next_event(s.supervisor, &event)) {
        paused |= event.state == SUPERVISOR_BACKING_OFF;
        assert_false(event.tried_all);
    }
    assert_true(paused);
    served_done(&s);
}

static void nothing_works_until_it_does(void **state)
{
    struct served s = served_new(-1);
    struct gfxb_error err = {.text = ""};
    (void)state;
    served_behave(&s, PLAN_VULKAN, "start abort\n");
    served_behave(&s, PLAN_CPU, "start abort\n");
    supervisor_start(s.supervisor);
    assert_int_equal(supervisor_wait(s.supervisor, SUPERVISOR_READY, WAIT_MS, &err),
                     -GFXB_E_ENGINE_CRASH);
    assert_non_null(strstr(err.text, "no backend can be used here"));
    served_behave(&s, PLAN_CPU, NULL);
    assert_string_equal(served_next(&s, 0).backend, "cpu");
    served_done(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state),
        cmocka_unit_test(it_starts_serves_stops_and_starts_again),
        cmocka_unit_test(a_start_can_be_stopped),
        cmocka_unit_test(one_that_is_killed_comes_back_however_often),
        cmocka_unit_test(one_that_is_killed_three_times_while_answering),
        cmocka_unit_test(one_that_aborts_three_times_while_answering),
        cmocka_unit_test(one_that_hangs_at_token_40),
        cmocka_unit_test(one_that_is_slow_does_not_hang),
        cmocka_unit_test(one_that_talks_nonsense_again_and_again),
        cmocka_unit_test(one_that_breaks_at_the_start_with_the_model),
        cmocka_unit_test(one_without_memory_for_the_model),
        cmocka_unit_test(the_only_one_dies_and_is_tried_again_after_a_pause),
        cmocka_unit_test(nothing_works_until_it_does),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
