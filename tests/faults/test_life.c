/*
 * test_life.c - an engine from its start to its end: nothing of it stays, its death is noticed and
 * explained, an interruption ends it at once, its answers come in pieces.
 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static const struct fault well = {.name = "well", .backend = PLAN_CPU, .log = CPU_LOG};

static struct engine *start_well(const struct stage *s, const struct fault *f)
{
    struct engine *engine = NULL;
    struct gfxb_error err = {.text = ""};
    if (stage_start(s, f, false, NULL, &engine, &err) < 0)
        fail_msg("%s", err.text);
    return engine;
}

static void a_stubborn_engine_is_ended_by_force(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "stop stubborn\n";
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &f);
    pid_t pid = engine_pid(engine);
    engine_stop(engine);
    assert_true(stage_is_gone(pid));
    stage_done(&s);
}

/* In the sandbox it starts none; without, its process group ends with it. */
static void what_an_engine_started_ends_with_it(void **state)
{
    (void)state;
    struct stage s = stage_new();
    char behaviour[600];
    char *CLEAN_FREE path = stage_join(s.data, "orphan.pid");
    snprintf(behaviour, sizeof(behaviour), "orphan %s\n", path);
    struct fault f = {.name = "forks", .backend = PLAN_CPU, .behaviour = behaviour};
    struct engine *engine = NULL;
    struct buf CLEAN_BUF pid_text = BUF_INIT(1u << 18);
    uint64_t pid = 0;
    assert_int_equal(stage_start(&s, &f, true, NULL, &engine, NULL), 0);
    assert_int_equal(fs_read(path, 64, &pid_text), 0);
    assert_int_equal(str_to_u64(str_trim(buf_view(&pid_text)), 10, &pid), 0);
    assert_int_equal(kill((pid_t)pid, 0), 0);
    engine_stop(engine);
    assert_true(stage_is_gone((pid_t)pid));
    stage_done(&s);
}

static void an_engine_ends_with_its_killed_parent(void **state)
{
    (void)state;
    struct stage s = stage_new();
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct engine *engine = NULL;
        if (stage_start(&s, &well, false, NULL, &engine, NULL) < 0)
            _exit(1);
        pid_t pid = engine_pid(engine);
        if (write(told[1], &pid, sizeof(pid)) != sizeof(pid))
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    pid_t pid = -1;
    int status = 0;
    assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFSIGNALED(status));
    assert_true(stage_is_gone(pid));
    close(told[0]);
    close(told[1]);
    /* And the next start clears its run directory away. */
    assert_int_equal(stage_count_in(s.run, "engine-"), 1);
    struct engine *engine = start_well(&s, &well);
    assert_int_equal(stage_count_in(s.run, "engine-"), 1);
    engine_stop(engine);
    assert_int_equal(stage_count_in(s.run, "engine-"), 0);
    stage_done(&s);
}

static void an_engine_that_dies_is_noticed_with_its_cause(void **state)
{
    (void)state;
    struct fault f = well;
    f.said = "HW Exception by GPU node-1 (Agent handle: 0x6) reason :GPU Hang\n";
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &f);
    struct engine_chat chat = {.prompt = "x"};
    struct engine_reply reply;
    struct gfxb_error err;
    assert_int_equal(engine_check(engine, NULL), 0);
    kill(engine_pid(engine), SIGABRT);
    assert_true(stage_is_gone(engine_pid(engine)));
    assert_int_equal(engine_check(engine, &err), -GFXB_E_ENGINE_CRASH);
    assert_non_null(strstr(err.text, "the GPU hung"));
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -GFXB_E_ENGINE_CRASH);
    assert_int_equal(engine_pid(engine), -1);
    engine_stop(engine);
    stage_done(&s);
}

static void a_log_that_grows_is_cut_and_its_evidence_kept(void **state)
{
    (void)state;
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &well);
    struct engine_placement placement;
    struct stat st;
    char line[4096];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    int log = open(engine_log(engine), O_WRONLY | O_APPEND);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(write(log, line, sizeof(line)), sizeof(line));
    close(log);
    assert_int_equal(engine_check(engine, NULL), 0);
    assert_int_equal(stat(engine_log(engine), &st), 0);
    assert_true(st.st_size > 0 && st.st_size < 100000);
    assert_int_equal(engine_verify(engine, &placement, NULL), 0);
    assert_true(placement.cpu_mib > 1.6);
    engine_stop(engine);
    stage_done(&s);
}

static atomic_int cancelled;

static void cancel_soon(int number)
{
    (void)number;
    cancelled = 1;
}

static void alarm_in(long ms)
{
    struct itimerval when = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    cancelled = 0;
    signal(SIGALRM, cancel_soon);
    assert_int_equal(setitimer(ITIMER_REAL, &when, NULL), 0);
}

static void an_interrupted_start_leaves_nothing(void **state)
{
    (void)state;
    struct fault f = well;
    struct engine *engine = NULL;
    struct gfxb_error err;
    f.behaviour = "start hang\n";
    struct stage s = stage_new();
    alarm_in(200);
    assert_int_equal(stage_start(&s, &f, false, &cancelled, &engine, &err), -GFXB_E_INTERRUPTED);
    assert_null(engine);
    assert_int_equal(stage_count_engines(&s), 0);
    assert_int_equal(stage_count_in(s.run, "engine-"), 0);
    stage_done(&s);
}

static void an_interrupted_answer_ends_at_once(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "then hang\nat 2\n";
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &f);
    struct engine_chat chat = {.prompt = "What is proof?", .cancel = &cancelled};
    struct engine_reply reply;
    struct gfxb_error err;
    alarm_in(200);
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -GFXB_E_INTERRUPTED);
    engine_stop(engine);
    stage_done(&s);
}

static void an_interrupted_proof_is_no_outcome(void **state)
{
    (void)state;
    static char card[] = PCI;
    static char *pci[] = {card, NULL}, *none[] = {NULL};
    struct fault f = {.name = "", .backend = PLAN_ROCM, .behaviour = "start hang\n"};
    struct stage s = stage_new();
    char *CLEAN_FREE dir = stage_install(&s, "debian-rocm", PLAN_ROCM, &f);
    struct package package = stage_package(dir);
    struct plan_choice choice = {.backend = PLAN_ROCM, .gpu_pci = pci, .env = none, .args = none};
    struct engine_trial trial = {
        .spec = {.package = &package, .runtime_dir = s.run, .threads = 1, .cancel = &cancelled},
        .choice = &choice,
        .data_dir = s.data,
        .deadlines = stage_deadlines,
    };
    struct engine_proof proof;
    struct gfxb_error err;
    alarm_in(400);
    assert_int_equal(engine_prove(&trial, &proof, &err), -GFXB_E_INTERRUPTED);
    assert_int_equal(stage_count_engines(&s), 0);
    stage_done(&s);
}

struct pieces {
    struct buf text;
    size_t n;
};

static int take_piece(void *context, struct str piece, bool thinking)
{
    struct pieces *p = context;
    assert_false(thinking);
    buf_add_str(&p->text, piece);
    p->n++;
    return 0;
}

/* Where a signal came while writing, its handler has set the flag. */
struct stopper {
    int says;
    atomic_int cancelled;
};

static int stop_there(void *context, struct str piece, bool thinking)
{
    const struct stopper *stopper = context;
    (void)piece, (void)thinking;
    cancelled = stopper->cancelled;
    return stopper->says;
}

static void an_answer_comes_in_pieces_that_make_the_whole(void **state)
{
    (void)state;
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &well);
    struct pieces pieces = {.text = BUF_INIT(1u << 20)};
    struct engine_chat chat = {
        .messages = "[{\"role\":\"user\",\"content\":\"What is proof?\"}]",
        .on_text = take_piece,
        .context = &pieces,
        .probabilities = true,
    };
    struct engine_reply reply;
    struct gfxb_error err = {.text = ""};
    if (engine_chat(engine, &chat, &reply, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(reply.text, buf_text(&pieces.text));
    assert_true(pieces.n > 5 && str_starts(str_from(reply.text), STR("A choice is proven when")));
    assert_int_equal(reply.tokens, 40);
    assert_true(reply.tokens_per_second > 5000.0 && reply.least_probability > 0.99);
    assert_false(reply.cut);
    engine_reply_done(&reply);
    chat.messages = "{}";
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -EINVAL);
    chat.prompt = "\xff\xfe";
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -EINVAL);
    buf_done(&pieces.text);
    engine_stop(engine);
    stage_done(&s);
}

static void bench_tells_what_was_measured_and_what_was_not(void **state)
{
    (void)state;
    static const struct {
        const char *behaviour;
        int code;
        double speed;
        unsigned tokens;
    } cases[] = {
        {"rate 70\n", 0, 70.5, 3968},
        {"say silent\n", 0, 0.0, 0},
        {"say nonsense\n", EPROTO, 0, 0},
        {"then abort\n", GFXB_E_ENGINE_CRASH, 0, 0},
    };
    const unsigned prompts[] = {64, 3968};
    struct engine_bench_spec spec = {.prompt = prompts, .n_prompts = 2, .answer_tokens = 64};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fault f = well;
        struct stage s = stage_new();
        f.behaviour = cases[i].behaviour;
        struct engine *engine = start_well(&s, &f);
        struct engine_bench_figures got[2] = {{.runs = 77}, {.runs = 77}};
        struct gfxb_error err = {.text = ""};
        assert_int_equal(engine_bench(engine, &spec, got, &err), -cases[i].code);
        if (cases[i].code == 0) {
            assert_true(got[1].tokens_per_second == cases[i].speed);
            assert_int_equal(got[1].prompt_tokens, cases[i].tokens);
            assert_int_equal(got[0].prompt_tokens, cases[i].tokens ? 64 : 0);
            assert_int_equal(got[1].runs, 3);
        } else {
            assert_int_equal(got[1].runs, 77); /* untouched */
            assert_true(err.text[0] != '\0');
        }
        engine_stop(engine);
        stage_done(&s);
    }
}

static void keep_line(void *context, enum log_level level, const char *line)
{
    (void)level;
    buf_addf(context, "%s\n", line);
}

/* An engine whose first answer takes 2 s, as where shaders are compiled: at that rate the long
 * prompt would take 13 s. It takes none, so nothing is told. One that is slow every time is. */
static void a_first_run_that_compiles_says_nothing_about_the_next(void **state)
{
    (void)state;
    const unsigned prompt = 3968;
    static const struct {
        const char *behaviour;
        bool told;
    } cases[] = {{"compiles 2000 1\n", false}, {"compiles 1000 2\n", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fault f = well;
        struct stage s = stage_new();
        f.behaviour = cases[i].behaviour;
        struct engine *engine = start_well(&s, &f);
        struct buf log_text = BUF_INIT(1u << 20);
        struct log log = {.write = keep_line, .context = &log_text};
        struct engine_bench_spec spec = {
            .prompt = &prompt, .n_prompts = 1, .answer_tokens = 64, .log = &log};
        struct engine_bench_figures got;
        assert_int_equal(engine_bench(engine, &spec, &got, NULL), 0);
        assert_int_equal(str_has(buf_view(&log_text), STR("takes about")), cases[i].told);
        buf_done(&log_text);
        engine_stop(engine);
        stage_done(&s);
    }
}

static void a_bench_of_an_engine_that_hangs_can_be_interrupted(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "then hang\n";
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &f);
    const unsigned prompt = 3968;
    struct engine_bench_spec spec = {
        .prompt = &prompt, .n_prompts = 1, .answer_tokens = 64, .cancel = &cancelled};
    struct engine_bench_figures got;
    alarm_in(200);
    assert_int_equal(engine_bench(engine, &spec, &got, NULL), -GFXB_E_INTERRUPTED);
    engine_stop(engine);
    assert_int_equal(stage_count_engines(&s), 0);
    stage_done(&s);
}

static void an_answer_that_nobody_takes_stops_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        int says;
        atomic_int cancelled;
        int code;
        const char *tells;
    } cases[] = {
        {-ENOSPC, 0, ENOSPC, "cannot write the answer: No space left on device"},
        {-EPIPE, 0, EPIPE, "cannot write the answer: Broken pipe"},
        {-GFXB_E_INTERRUPTED, 0, GFXB_E_INTERRUPTED, "interrupted"},
        {-EINTR, 1, GFXB_E_INTERRUPTED, "interrupted"},
        {-GFXB_E_DISK_FULL, 0, GFXB_E_DISK_FULL, "cannot write the answer: disk-full"},
    };
    struct stage s = stage_new();
    struct engine *engine = start_well(&s, &well);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stopper stopper = {cases[i].says, cases[i].cancelled};
        struct engine_chat chat = {.prompt = "What is proof?",
                                   .on_text = stop_there,
                                   .context = &stopper,
                                   .cancel = &cancelled};
        struct engine_reply reply;
        struct gfxb_error err = {.text = ""};
        cancelled = 0;
        assert_int_equal(engine_chat(engine, &chat, &reply, &err), -cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.text, cases[i].tells);
    }
    cancelled = 0;
    engine_stop(engine);
    stage_done(&s);
}

static void a_package_without_its_engine_is_damaged(void **state)
{
    (void)state;
    struct stage s = stage_new();
    char *CLEAN_FREE dir = stage_install(&s, "debian-cpu", PLAN_CPU, NULL);
    struct package package = stage_package(dir);
    struct engine_spec spec = {
        .package = &package, .model = "/dev/null", .runtime_dir = s.run, .backend = PLAN_CPU};
    struct engine *engine = NULL;
    struct gfxb_error err;
    package.executable = (char *)"bin/llama-server";
    assert_int_equal(engine_start(&spec, &engine, &err), -GFXB_E_PACKAGE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "double is damaged"));
    stage_done(&s);
}

static void the_log_of_a_failure_is_kept(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "start exit\n";
    f.said = "0.1 E something that nobody knows\n";
    struct stage s = stage_new();
    char *CLEAN_FREE dir = stage_install(&s, "debian-cpu", PLAN_CPU, &f);
    struct package package = stage_package(dir);
    char *CLEAN_FREE kept = stage_join(s.data, "kept.log");
    struct buf CLEAN_BUF text = BUF_INIT(1u << 18);
    struct engine_spec spec = {.package = &package,
                               .model = "/dev/null",
                               .runtime_dir = s.run,
                               .keep_log = kept,
                               .backend = PLAN_CPU};
    struct engine *engine = NULL;
    struct gfxb_error err;
    assert_int_equal(engine_start(&spec, &engine, &err), -GFXB_E_ENGINE_EXIT);
    assert_non_null(strstr(err.text, "something that nobody knows"));
    assert_int_equal(fs_read(kept, 1u << 16, &text), 0);
    assert_string_equal(buf_text(&text), f.said);
    stage_done(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stubborn_engine_is_ended_by_force),
        cmocka_unit_test(what_an_engine_started_ends_with_it),
        cmocka_unit_test(an_engine_ends_with_its_killed_parent),
        cmocka_unit_test(an_engine_that_dies_is_noticed_with_its_cause),
        cmocka_unit_test(a_log_that_grows_is_cut_and_its_evidence_kept),
        cmocka_unit_test(an_interrupted_start_leaves_nothing),
        cmocka_unit_test(an_interrupted_answer_ends_at_once),
        cmocka_unit_test(an_interrupted_proof_is_no_outcome),
        cmocka_unit_test(an_answer_comes_in_pieces_that_make_the_whole),
        cmocka_unit_test(bench_tells_what_was_measured_and_what_was_not),
        cmocka_unit_test(a_first_run_that_compiles_says_nothing_about_the_next),
        cmocka_unit_test(a_bench_of_an_engine_that_hangs_can_be_interrupted),
        cmocka_unit_test(an_answer_that_nobody_takes_stops_with_the_reason),
        cmocka_unit_test(a_package_without_its_engine_is_damaged),
        cmocka_unit_test(the_log_of_a_failure_is_kept),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
