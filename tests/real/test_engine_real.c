/*
 * test_engine_real.c - the real engine of the distribution, on the CPU and on lavapipe: it is
 * proven by every rung, answers the same bytes each time and on both, and what goes wrong has its
 * true cause. Needs apt, the archive and a lavapipe on the host.
 */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char *ask(struct engine *engine, const char *prompt)
{
    struct gfxb_error err = {.text = ""};
    struct engine_chat chat = {.prompt = prompt, .fixed = true, .max_tokens = 200};
    struct engine_reply reply;
    if (engine_chat(engine, &chat, &reply, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(reply.tokens > 0 && reply.tokens_per_second > 0.0);
    return reply.text; /* the caller's now */
}

static void check_rungs(const struct engine_proof *proof)
{
    if (!proof->passed)
        fail_msg("%s", proof->sentence);
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        assert_int_equal(proof->rung[i].ok, TRI_YES);
        fprintf(stderr, "# %s %s\n", plan_rung_name(proof->rung[i].rung), proof->rung[i].detail);
    }
}

static void the_cpu_is_proven_by_every_rung(void **state)
{
    (void)state;
    struct engine_proof proof;
    struct engine_placement placement;
    struct engine *engine = NULL;
    world_prove(PLAN_CPU, &proof, &engine);
    check_rungs(&proof);
    assert_string_equal(proof.device, "none");
    assert_string_equal(proof.shown, "CPU");
    assert_int_equal(engine_verify(engine, &placement, NULL), 0);
    assert_true(placement.gpu_mib <= 0.0 && placement.cpu_mib > 0.5);
    engine_stop(engine);
    engine_proof_done(&proof);
}

static void lavapipe_is_proven_by_every_rung_and_holds_the_weights(void **state)
{
    (void)state;
    struct engine_proof proof;
    struct engine_placement placement;
    struct engine *engine = NULL;
    world_prove(PLAN_VULKAN_SOFTWARE, &proof, &engine);
    check_rungs(&proof);
    assert_string_equal(proof.device, "Vulkan0");
    assert_non_null(strstr(proof.shown, "llvmpipe"));
    assert_int_equal(engine_verify(engine, &placement, NULL), 0);
    assert_true(placement.gpu_mib > placement.cpu_mib);
    engine_stop(engine);
    engine_proof_done(&proof);
}

static void lavapipe_is_not_taken_for_a_gpu(void **state)
{
    (void)state;
    struct engine_proof proof;
    struct plan_choice choice = {.backend = PLAN_VULKAN,
                                 .gpu_pci = world_no_words,
                                 .env = world_lavapipe,
                                 .args = world_no_words};
    struct engine_trial trial = {
        .spec = world_spec(PLAN_VULKAN), .choice = &choice, .data_dir = world.data};
    assert_int_equal(engine_prove(&trial, &proof, NULL), 0);
    assert_int_equal(proof.code, GFXB_E_VULKAN_SOFTWARE_ONLY);
    engine_proof_done(&proof);
}

static void a_missing_driver_is_named(void **state)
{
    (void)state;
    static char *env[] = {(char *)"VK_DRIVER_FILES=/nonexistent.json", NULL};
    struct engine_proof proof;
    struct plan_choice choice = {
        .backend = PLAN_VULKAN, .gpu_pci = world_no_words, .env = env, .args = world_no_words};
    struct engine_trial trial = {
        .spec = world_spec(PLAN_VULKAN), .choice = &choice, .data_dir = world.data};
    assert_int_equal(engine_prove(&trial, &proof, NULL), 0);
    fprintf(stderr, "# %s\n", proof.sentence);
    assert_int_equal(proof.code, GFXB_E_VULKAN_DRIVER_MISSING);
    assert_int_equal(proof.rung[0].ok, TRI_NO);
    engine_proof_done(&proof);
}

static void answers_are_the_same_bytes_on_cpu_and_lavapipe(void **state)
{
    (void)state;
    static const char *const prompts[] = {"Which gfx is the Radeon RX 7900 XT?",
                                          "How do I find out what is wrong?",
                                          "What do you know about the weather in Lisbon?"};
    struct engine *cpu = world_start_canary(PLAN_CPU),
                  *vulkan = world_start_canary(PLAN_VULKAN_SOFTWARE);
    for (size_t i = 0; i < 3; i++) {
        char *first = ask(cpu, prompts[i]), *second = ask(cpu, prompts[i]);
        char *other = ask(vulkan, prompts[i]);
        assert_string_equal(first, second);
        assert_string_equal(first, other);
        free(first);
        free(second);
        free(other);
    }
    engine_stop(cpu);
    engine_stop(vulkan);
}

/* On the CPU, where the other way to measure it is known: two models that are holes are loaded, and
 * what comes out is a bandwidth, not a thousandth or a thousandfold of one. Nothing is left. */
static void memory_is_read_as_fast_by_the_engine_as_by_us(void **state)
{
    (void)state;
    struct engine_spec spec = world_spec(PLAN_CPU);
    struct gfxb_error err = {.text = ""};
    double engine = 0, own = engine_cpu_bandwidth(UINT64_C(8) << 30);
    if (engine_gpu_bandwidth(&spec, world.data, &engine, &err) < 0)
        fail_msg("%s", err.text);
    fprintf(stderr, "# engine %.1f GB/s, own %.1f GB/s\n", engine / 1e9, own / 1e9);
    assert_true(engine > own / 30 && engine < own * 30);
    assert_true(engine_cpu_bandwidth(0) <= 0);
    DIR *dir = opendir(world.data);
    for (const char *name; (name = fs_next(dir));)
        assert_false(str_starts(str_from(name), STR("hollow-")));
    closedir(dir);
}

static void every_taught_answer_comes_to_the_byte(void **state)
{
    (void)state;
    static const char *const columns[] = {"kind", "prompt", "answer", "source", NULL};
    char path[4096];
    struct buf CLEAN_BUF text = BUF_INIT(1u << 20);
    struct table table;
    struct table_row row;
    snprintf(path, sizeof(path), "%s/data/canary.tsv", getenv("GFXB_TEST_SOURCE"));
    assert_int_equal(fs_read(path, 1u << 19, &text), 0);
    struct engine *engine = world_start_canary(PLAN_CPU);
    table_init(&table, "canary.tsv", buf_view(&text), columns);
    size_t n = 0;
    while (table_next(&table, &row, NULL) > 0) {
        char *CLEAN_FREE prompt = str_dup(row.field[1]), *CLEAN_FREE wanted = str_dup(row.field[2]);
        char *CLEAN_FREE answer = ask(engine, prompt);
        assert_string_equal(answer, wanted);
        n++;
    }
    assert_true(n >= 12);
    engine_stop(engine);
}

static bool file_has(const char *pattern, pid_t pid, const char *text)
{
    char path[64];
    struct buf CLEAN_BUF bytes = BUF_INIT(1u << 20);
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, pattern);
    assert_int_equal(fs_read(path, 1u << 19, &bytes), 0);
    return str_has(buf_view(&bytes), str_from(text));
}

static void an_engine_is_private(void **state)
{
    (void)state;
    struct stat st;
    setenv("HSA_OVERRIDE_GFX_VERSION", "11.0.0", 1);
    setenv("LLAMA_ARG_N_GPU_LAYERS", "3", 1);
    struct engine *engine = world_start_canary(PLAN_CPU);
    pid_t pid = engine_pid(engine);
    assert_false(file_has("cmdline", pid, engine_key(engine)));
    assert_true(file_has("environ", pid, engine_key(engine)));
    assert_false(file_has("environ", pid, "HSA_"));
    assert_false(file_has("environ", pid, "LLAMA_ARG_N_GPU_LAYERS"));
    assert_false(file_has("environ", pid, "LD_LIBRARY_PATH"));
    char *CLEAN_FREE dir = strdup(engine_socket(engine));
    *strrchr(dir, '/') = '\0';
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    engine_stop(engine);
    assert_int_equal(access(dir, F_OK), -1);
    unsetenv("HSA_OVERRIDE_GFX_VERSION");
    unsetenv("LLAMA_ARG_N_GPU_LAYERS");
}

static void expect_start_fails(struct engine_spec *spec, int code, const char *tells)
{
    struct gfxb_error err = {.text = ""};
    struct engine *engine = NULL;
    int got = engine_start(spec, &engine, &err);
    if (got != -code || !strstr(err.text, tells))
        fail_msg("%s: %s", gfxb_code_name(-got), err.text);
    fprintf(stderr, "# %s\n", err.text);
}

static void a_start_that_cannot_work_tells_the_cause(void **state)
{
    (void)state;
    static const char *const bad_flag[] = {"--no-such-flag", NULL};
    char *path = NULL, *CLEAN_FREE broken = fs_join(world.data, "broken.gguf");
    struct buf CLEAN_BUF model = BUF_INIT(1u << 24);
    assert_int_equal(engine_canary_path(engine_kind_of_model(NULL), world.data, NULL, &path, NULL),
                     0);
    assert_int_equal(fs_read(path, 1u << 23, &model), 0);
    struct engine_spec spec = world_spec(PLAN_CPU);
    spec.model = broken;
    assert_int_equal(fs_write(broken, "no model", 8, 0644, NULL), 0);
    expect_start_fails(&spec, GFXB_E_ENGINE_EXIT, "not a GGUF file");
    assert_int_equal(fs_write(broken, model.p, model.n / 2, 0644, NULL), 0);
    expect_start_fails(&spec, GFXB_E_ENGINE_EXIT, "cut off or damaged");
    spec.model = path;
    spec.device = "ROCm0";
    expect_start_fails(&spec, GFXB_E_DEVICE_NOT_LISTED, "not there under this name");
    spec.device = NULL;
    spec.args = bad_flag;
    expect_start_fails(&spec, GFXB_E_ENGINE_EXIT, "does not know an argument");
    unlink(broken);
    free(path);
}

static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return kill(pid, 0) < 0;
}

static void no_engine_outlives_its_killed_parent(void **state)
{
    (void)state;
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t pid = engine_pid(world_start_canary(PLAN_CPU));
        if (write(told[1], &pid, sizeof(pid)) != sizeof(pid))
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    pid_t pid = -1;
    int status = 0;
    assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFSIGNALED(status) && is_gone(pid));
    close(told[0]);
    close(told[1]);
}

static int kill_it(void *context, struct str piece, bool thinking)
{
    (void)piece, (void)thinking;
    kill(*(pid_t *)context, SIGKILL);
    return 0;
}

static void a_death_in_the_middle_of_an_answer_is_told(void **state)
{
    (void)state;
    struct engine *engine = world_start_canary(PLAN_CPU);
    pid_t pid = engine_pid(engine);
    struct engine_chat chat = {
        .prompt = "What happens when ROCm is unavailable?", .on_text = kill_it, .context = &pid};
    struct engine_reply reply;
    struct gfxb_error err = {.text = ""};
    int code = engine_chat(engine, &chat, &reply, &err);
    if (code == 0) { /* the whole answer was under way already: then the next one fails */
        engine_reply_done(&reply);
        code = engine_chat(engine, &chat, &reply, &err);
    }
    assert_int_equal(code, -GFXB_E_MEMORY_TOO_SMALL); /* killed from outside: mostly for memory */
    assert_non_null(strstr(err.text, "SIGKILL"));
    engine_stop(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_is_proven_by_every_rung),
        cmocka_unit_test(lavapipe_is_proven_by_every_rung_and_holds_the_weights),
        cmocka_unit_test(lavapipe_is_not_taken_for_a_gpu),
        cmocka_unit_test(a_missing_driver_is_named),
        cmocka_unit_test(answers_are_the_same_bytes_on_cpu_and_lavapipe),
        cmocka_unit_test(memory_is_read_as_fast_by_the_engine_as_by_us),
        cmocka_unit_test(every_taught_answer_comes_to_the_byte),
        cmocka_unit_test(an_engine_is_private),
        cmocka_unit_test(a_start_that_cannot_work_tells_the_cause),
        cmocka_unit_test(no_engine_outlives_its_killed_parent),
        cmocka_unit_test(a_death_in_the_middle_of_an_answer_is_told),
    };
    return cmocka_run_group_tests(tests, world_set_up, world_tear_down);
}
