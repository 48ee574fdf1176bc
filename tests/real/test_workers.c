/*
 * test_workers.c - the real worker of the distribution and a real engine that uses it, on one
 * computer and without any TCP: the canary's answers are the same bytes over one and two workers,
 * nobody but the two has a socket, and what goes wrong is told. Needs apt and the archive.
 */
#include "world.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct engine *start_worker(void)
{
    struct gfxb_error err = {.text = ""};
    struct engine_spec spec = world_spec(PLAN_CPU);
    struct engine *worker = NULL;
    spec.threads = 1;
    spec.memory = 4ull << 30;
    if (engine_start_worker(&spec, &worker, &err) < 0)
        fail_msg("%s", err.text);
    return worker;
}

static int prove(const struct engine_remote *remote, size_t n, struct engine_proof *ret_proof,
                 struct gfxb_error *err)
{
    struct plan_choice choice = {.backend = PLAN_CPU,
                                 .gpu_pci = world_no_words,
                                 .env = world_no_words,
                                 .args = world_no_words};
    struct engine_trial trial = {
        .spec = world_spec(PLAN_CPU), .choice = &choice, .data_dir = world.data};
    trial.spec.remote = remote;
    trial.spec.n_remotes = n;
    return engine_prove(&trial, ret_proof, err);
}

static void the_canary_is_the_same_bytes_over_one_and_two_workers(void **state)
{
    (void)state;
    struct gfxb_error err = {.text = ""};
    struct engine *worker[2] = {start_worker(), start_worker()};
    struct engine_remote remote[2] = {{.name = "attic", .connect = engine_connect},
                                      {.name = "cellar", .connect = engine_connect}};
    for (size_t i = 0; i < 2; i++) {
        fprintf(stderr, "# worker of protocol %s\n", engine_protocol(worker[i]));
        assert_true(strlen(engine_protocol(worker[i])) >= strlen("1.0.0"));
        remote[i].context = worker[i];
    }
    for (size_t n = 1; n <= 2; n++) {
        struct engine_proof proof;
        if (prove(remote, n, &proof, &err) < 0)
            fail_msg("%s", err.text);
        fprintf(stderr, "# %s; %s\n", proof.sentence, proof.shown);
        for (size_t i = 0; i < ENGINE_RUNGS; i++)
            fprintf(stderr, "# %s\n", proof.rung[i].detail ? proof.rung[i].detail : "");
        assert_true(proof.passed);
        assert_non_null(strstr(proof.shown, "attic"));
        assert_int_equal(strstr(proof.shown, "cellar") != NULL, n == 2);
        assert_non_null(strstr(proof.covers.canaries, "mixed"));
        engine_proof_done(&proof);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(engine_check(worker[i], NULL), 0);
        engine_stop(worker[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canary_is_the_same_bytes_over_one_and_two_workers),
    };
    return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
