/*
 * test_faults.c - the bring-up on a captured machine whose engines are doubles: whatever goes wrong
 * ends in bounded time on the best choice that works, with the right code, one sentence that says
 * why, evidence, nothing left behind; and work that the CPU does is never called a GPU's.
 */
#include "engine/seeded.h"
#include "faults.h"
#include "session/session.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#define FIRST_ROCM  "llamacpp-rocm-gfx110X-linux"
#define SECOND_ROCM "debian-rocm"

/* The choice of this package, else the backend's first: where no card is seen it names none. */
static const struct plan_choice *find(const struct plan *plan, const char *package,
                                      enum plan_backend backend)
{
    const struct plan_choice *first = NULL;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (c->backend == backend && c->package && package && !strcmp(c->package, package))
            return c;
        if (c->backend == backend && !first)
            first = c;
    }
    assert_non_null(first); /* every backend has one */
    return first;
}

/* What a person reads is one sentence: one line that ends, and no second one of the same words. */
static void check_sentence(const struct fault *f, const struct plan_choice *choice)
{
    size_t failed = 0;
    if (choice->code != f->code || !strstr(choice->reason, f->tells))
        fail_msg("%s: %s, %s", f->name, gfxb_code_name(choice->code), choice->reason);
    assert_int_equal(choice->state, PLAN_REJECTED);
    assert_null(strchr(choice->reason, '\n'));
    for (size_t i = 0; i < choice->n_evidence; i++)
        failed += choice->evidence[i].ok == TRI_NO && strlen(choice->evidence[i].detail) > 10;
    assert_int_equal(failed, 1);
}

/* The running engine is where the plan says, by its own log. */
static void check_place(const struct fault *f, const struct session *session, enum plan_backend end)
{
    char shown[256];
    assert_non_null(session->running);
    if (session->running->backend != end)
        fail_msg("%s: ended on %s", f->name, plan_backend_name(session->running->backend));
    assert_int_equal(session->running->state, PLAN_PROVEN);
    engine_placement_text(&session->placement, shown, sizeof(shown));
    if (end == PLAN_CPU) {
        assert_string_equal(shown, "CPU");
        assert_true(session->placement.gpu_mib <= 0.0 && session->placement.cpu_mib > 0.0);
    } else {
        assert_true(session->placement.gpu_mib > session->placement.cpu_mib);
        assert_true(str_starts(str_from(shown), end == PLAN_ROCM ? STR("ROCm") : STR("Vulkan")));
    }
}

/* The next plan knows it without trying: proven, or failed before. What a library or a permission
 * mends is tried again. */
static void check_memory(const struct world *w, const struct fault *f, const char *package)
{
    struct session later;
    assert_int_equal(session_plan(&w->request, &later, NULL), 0);
    const struct plan_choice *choice = find(later.plan, package, f->backend);
    bool again = f->code == GFXB_E_LIBRARY_MISSING || f->code == GFXB_E_KFD_PERMISSION ||
                 f->code == GFXB_E_RENDER_PERMISSION;
    if (f->code == 0)
        assert_int_equal(choice->state, PLAN_PROVEN);
    else if (f->code == GFXB_E_MEMORY_TOO_SMALL) /* comes and goes: nothing is stored */
        assert_int_not_equal(choice->code, GFXB_E_FAILED_BEFORE);
    else if (again && choice->code != f->code)
        assert_int_equal(choice->state, PLAN_USABLE);
    else if (choice->code != f->code) /* one that the machine itself tells is not stored */
        assert_int_equal(choice->code, GFXB_E_FAILED_BEFORE);
    session_done(&later);
}

static int fault_end(const struct fault *f)
{
    if (f->ends || f->code == 0)
        return f->ends ? (int)f->end : (int)f->backend;
    return f->backend == PLAN_ROCM              ? PLAN_VULKAN
           : f->backend == PLAN_VULKAN_SOFTWARE ? ENDS_NOWHERE
                                                : PLAN_CPU;
}

static void a_fault_ends_on_the_best_choice_that_works(void **state)
{
    const struct fault *f = *state;
    bool software = f->backend == PLAN_VULKAN_SOFTWARE, cpu = f->backend == PLAN_CPU;
    const char *package = f->package                ? f->package
                          : f->backend == PLAN_ROCM ? FIRST_ROCM
                          : cpu                     ? "debian-cpu"
                                                    : "debian-vulkan";
    struct world w = world_new(f->machine, software ? PLAN_VULKAN_SOFTWARE : -1, f->need_bytes);
    struct gfxb_error err = {.text = ""};
    struct session session = {0};
    if (f->backend == PLAN_ROCM)
        world_install(&w, package, PLAN_ROCM, f);
    if (!cpu)
        world_install(&w, "debian-vulkan", software ? PLAN_VULKAN_SOFTWARE : PLAN_VULKAN, f);
    world_install(&w, cpu ? "ggml-cpu-linux-x86_64" : "debian-cpu", PLAN_CPU, NULL);
    if (!software)
        world_prove(&w, PLAN_CPU);
    if (cpu) {
        world_install(&w, "debian-cpu", PLAN_CPU, f);
        assert_int_equal(engine_proofs_remove(w.stage.data, NULL, NULL), 0);
    }
    int result = session_bring_up(&w.request, NULL, &session, &err), end = fault_end(f);
    if (end == ENDS_NOWHERE) {
        assert_int_equal(result, -f->code);
        assert_null(session.engine);
        assert_non_null(strstr(err.text, f->tells));
    } else if (result < 0) {
        fail_msg("%s: %s", f->name, err.text);
    } else {
        check_place(f, &session, (enum plan_backend)end);
    }
    assert_int_equal(stage_count_engines(&w.stage), session.engine ? 1 : 0);
    if (f->code)
        check_sentence(f, find(session.plan, package, f->backend));
    session_done(&session);
    check_memory(&w, f, package);
    world_done(&w);
}

/* ---- chains ---- */

static void bring_up(const struct world *w, struct session *ret_session)
{
    struct gfxb_error err = {.text = ""};
    if (session_bring_up(&w->request, NULL, ret_session, &err) < 0)
        fail_msg("%s", err.text);
}

static const struct fault hangs = {
    .name = "hangs", .backend = PLAN_ROCM, .behaviour = "start hang\n", .code = GFXB_E_ENGINE_HANG};
static const struct fault lies = {.name = "computes wrongly",
                                  .backend = PLAN_ROCM,
                                  .behaviour = OWN_HIP "say garbage\n",
                                  .code = GFXB_E_CANARY_MISMATCH};
static const struct fault lies_on_vulkan = {.name = "computes wrongly",
                                            .backend = PLAN_VULKAN,
                                            .behaviour = "say byte\n",
                                            .code = GFXB_E_CANARY_MISMATCH};
static const struct fault dies_on_cpu = {
    .name = "dies", .backend = PLAN_CPU, .behaviour = "start abort\n", .code = GFXB_E_ENGINE_CRASH};

static void after_one_rocm_package_comes_the_other(void **state)
{
    struct world w = world_new(NULL, -1, 0);
    struct session session = {0};
    (void)state;
    world_install(&w, FIRST_ROCM, PLAN_ROCM, &hangs);
    world_install(&w, SECOND_ROCM, PLAN_ROCM, NULL);
    world_install(&w, "debian-vulkan", PLAN_VULKAN, NULL);
    world_install(&w, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&w, PLAN_CPU);
    bring_up(&w, &session);
    assert_int_equal(session.running->backend, PLAN_ROCM);
    assert_string_equal(session.running->package, SECOND_ROCM);
    assert_int_equal(find(session.plan, FIRST_ROCM, PLAN_ROCM)->code, GFXB_E_ENGINE_HANG);
    session_done(&session);
    world_done(&w);
}

static void every_gpu_path_fails_and_the_cpu_answers(void **state)
{
    struct world w = world_new(NULL, -1, 0);
    struct session session = {0};
    (void)state;
    world_install(&w, FIRST_ROCM, PLAN_ROCM, &hangs);
    world_install(&w, SECOND_ROCM, PLAN_ROCM, &lies);
    world_install(&w, "debian-vulkan", PLAN_VULKAN, &lies_on_vulkan);
    world_install(&w, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&w, PLAN_CPU);
    bring_up(&w, &session);
    check_place(&hangs, &session, PLAN_CPU);
    assert_int_equal(find(session.plan, FIRST_ROCM, PLAN_ROCM)->code, GFXB_E_ENGINE_HANG);
    assert_int_equal(find(session.plan, SECOND_ROCM, PLAN_ROCM)->code, GFXB_E_CANARY_MISMATCH);
    assert_int_equal(find(session.plan, NULL, PLAN_VULKAN)->code, GFXB_E_CANARY_MISMATCH);
    assert_true(session.proof_failed);
    session_done(&session);
    world_done(&w);
}

static void nothing_works_and_one_sentence_says_so(void **state)
{
    struct world w = world_new(NULL, -1, 0);
    struct gfxb_error err = {.text = ""};
    struct session session = {0};
    (void)state;
    world_install(&w, "debian-cpu", PLAN_CPU, &dies_on_cpu);
    assert_int_equal(session_bring_up(&w.request, NULL, &session, &err), -GFXB_E_ENGINE_CRASH);
    assert_null(session.engine);
    assert_true(str_starts(str_from(err.text), STR("no backend can be used here: ")));
    assert_non_null(strstr(err.text, "signal 6"));
    session_done(&session);
    world_done(&w);
}

/* [59] An update arrives: the package that was proven serves until the new one is proven. */
static void a_new_package_that_fails_leaves_the_proven_one(void **state)
{
    struct world w = world_new(NULL, -1, 0);
    struct session session = {0};
    (void)state;
    world_install(&w, SECOND_ROCM, PLAN_ROCM, NULL);
    world_install(&w, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&w, PLAN_CPU);
    bring_up(&w, &session);
    assert_string_equal(session.running->package, SECOND_ROCM);
    session_done(&session);
    world_install(&w, FIRST_ROCM, PLAN_ROCM, &lies);
    bring_up(&w, &session);
    assert_int_equal(session.running->backend, PLAN_ROCM);
    assert_string_equal(session.running->package, SECOND_ROCM);
    session_done(&session);
    world_done(&w);
}

/* ---- sets of cards: what a plan asks of a model that is larger than one of them ---- */

static const struct fault sets[] = {
    {.name = "[38] a set of two cards, each proven alone first",
     .backend = PLAN_ROCM,
     .devices = LIST(ROCM0 ROCM1),
     .log = SET_LOG,
     .pci = {"0000:00:00.0", "0000:01:00.0", NULL},
     .tells = "ROCm0,ROCm1"},
    {.name = "[38] a set of two cards of which one gets no weights",
     .backend = PLAN_ROCM,
     .devices = LIST(ROCM0 ROCM1),
     .log = LOAD USING("%D", "0000:0%N:00.0") WEIGHTS("ROCm0", "1.50") LOADED,
     .pci = {"0000:00:00.0", "0000:01:00.0", NULL},
     .code = GFXB_E_NOT_ON_DEVICE,
     .tells = "ROCm0"},
    /* The canary is too small to have something for every card of three. */
    {.name = "[38] a set of three cards of which the canary reaches two",
     .backend = PLAN_ROCM,
     .behaviour = OWN_HIP "reach 2\n",
     .devices = LIST(ROCM0 ROCM1 ROCM2),
     .log = SET_LOG,
     .pci = {"0000:00:00.0", "0000:01:00.0", "0000:02:00.0", NULL},
     .tells = "ROCm0,ROCm1,ROCm2"},
    {.name = "[38] a set of three cards of which one gets all weights",
     .backend = PLAN_ROCM,
     .behaviour = OWN_HIP "reach 1\n",
     .devices = LIST(ROCM0 ROCM1 ROCM2),
     .log = SET_LOG,
     .pci = {"0000:00:00.0", "0000:01:00.0", "0000:02:00.0", NULL},
     .code = GFXB_E_NOT_ON_DEVICE,
     .tells = "0000:01:00.0"},
    {.name = "[38] one of two cards cannot start",
     .backend = PLAN_ROCM,
     .behaviour = OWN_HIP "start abort\nonly ROCm1\n",
     .devices = LIST(ROCM0 ROCM1),
     .pci = {PCI, OTHER_PCI, NULL},
     .code = GFXB_E_ENGINE_CRASH,
     .tells = "only 1 of 2 GPUs"},
    {.name = "[38] one of two cards computes wrongly",
     .backend = PLAN_ROCM,
     .behaviour = OWN_HIP "say byte\n",
     .devices = LIST(ROCM0 ROCM1),
     .log = SET_LOG,
     .pci = {"0000:00:00.0", "0000:01:00.0", NULL},
     .code = GFXB_E_CANARY_MISMATCH,
     .tells = "0000:00:00.0 fails alone already: it computes wrongly"},
};

static void a_set_is_proven_by_its_members(void **state)
{
    const struct fault *f = *state;
    static char *none[] = {NULL};
    struct stage s = stage_new();
    char *CLEAN_FREE dir = stage_install(&s, FIRST_ROCM, f->backend, f);
    struct package package = stage_package(dir);
    char *pci[4] = {NULL};
    for (size_t i = 0; f->pci[i]; i++)
        pci[i] = (char *)(uintptr_t)f->pci[i];
    struct plan_choice choice = {.backend = f->backend, .gpu_pci = pci, .env = none, .args = none};
    struct engine_trial trial = {
        .spec = {.package = &package, .runtime_dir = s.run, .threads = 1},
        .choice = &choice,
        .data_dir = s.data,
        .deadlines = stage_deadlines,
    };
    struct engine_proof proof;
    struct gfxb_error err = {.text = ""};
    if (engine_prove(&trial, &proof, &err) < 0)
        fail_msg("%s", err.text);
    const char *tells = proof.passed ? proof.device : proof.sentence;
    if (proof.code != f->code || !strstr(tells, f->tells))
        fail_msg("%s: %s, %s", f->name, gfxb_code_name(proof.code), tells);
    assert_int_equal(proof.passed, f->code == 0);
    engine_proof_done(&proof);
    assert_int_equal(stage_count_engines(&s), 0);
    stage_done(&s);
}

/* ---- what a model needs beyond the first proof ---- */

/* A model of this kind in the world's directory, to be freed. */
static char *write_model(const struct world *w, const char *shape, const char *types)
{
    struct buf CLEAN_BUF file = BUF_INIT(2 * SEEDED_FILE_MAX);
    char *path = stage_join(w->stage.data, "model.gguf");
    assert_int_equal(seeded_write(str_from(shape), str_from(types), 9, &file, NULL), 0);
    assert_int_equal(fs_write(path, file.p, file.n, 0644, NULL), 0);
    return path;
}

static struct world world_of_a_card(const struct fault *f)
{
    struct world w = world_new(NULL, -1, 0);
    world_install(&w, "debian-vulkan", PLAN_VULKAN, f);
    world_install(&w, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&w, PLAN_CPU);
    world_prove(&w, PLAN_VULKAN);
    return w;
}

static const struct engine_covers *covers_of(const struct session *session)
{
    return &engine_proofs_find(session->stored, session->running->fingerprint)->covers;
}

/* Tested before its first answer and told; the second start knows it. A model of types that every
 * proof has is not tested again. */
static void what_a_model_needs_is_proven_before_it_is_served(void **state)
{
    static const struct {
        const char *shape, *types, *tested;
    } cases[] = {{"dense", "Q4_K Q6_K", NULL},
                 {"dense", "IQ3_S", "IQ3_S"},
                 {"experts", "MXFP4 Q4_K", "experts experts-MXFP4 F32 MXFP4"}};
    struct world w = world_of_a_card(NULL);
    struct session session = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *CLEAN_FREE model = write_model(&w, cases[i].shape, cases[i].types);
        w.request.model = model;
        for (int again = 0; again < 2; again++) {
            bring_up(&w, &session);
            assert_int_equal(session.running->backend, PLAN_VULKAN);
            const char *wanted = again ? NULL : cases[i].tested;
            assert_string_equal(session.tested ? session.tested : "", wanted ? wanted : "");
            session_done(&session);
        }
    }
    world_done(&w);
}

/* A canary that is too new for the engine says nothing about the device: the model's own start
 * decides. */
static void a_kind_that_the_engine_does_not_know_is_left_out(void **state)
{
    static const struct fault old = {
        .name = "old", .backend = PLAN_VULKAN, .behaviour = "unknown IQ3_S\n"};
    struct world w = world_of_a_card(&old);
    struct session session = {0};
    char *CLEAN_FREE model = write_model(&w, "dense", "IQ3_S");
    (void)state;
    w.request.model = model;
    bring_up(&w, &session);
    assert_int_equal(session.running->backend, PLAN_VULKAN);
    assert_null(session.tested);
    assert_string_equal(covers_of(&session)->skipped, "IQ3_S"); /* and is not tried again */
    session_done(&session);
    w.request.model = NULL;
    assert_int_equal(world_state(&w, PLAN_VULKAN), PLAN_PROVEN);
    world_done(&w);
}

/* The CPU computes it: that says nothing about the device, and is not told as covered. */
static void a_kind_that_is_left_to_the_cpu_is_not_covered(void **state)
{
    static const struct fault leaves = {
        .name = "leaves", .backend = PLAN_VULKAN, .behaviour = "leaves seeded-TQ1_0\n"};
    struct world w = world_of_a_card(&leaves);
    struct session session = {0};
    char *CLEAN_FREE model = write_model(&w, "dense", "TQ1_0");
    (void)state;
    w.request.model = model;
    bring_up(&w, &session);
    assert_null(session.tested);
    assert_string_equal(covers_of(&session)->skipped, "TQ1_0");
    assert_null(strstr(covers_of(&session)->types, "TQ1_0"));
    session_done(&session);
    world_done(&w);
}

/* The types of its cache are tested too, once; where they fail it is told. */
static void the_attention_that_a_model_asks_for_is_proven(void **state)
{
    static const struct fault wrong = {
        .name = "q8_0", .backend = PLAN_CPU, .behaviour = "wrong q8_0\n"};
    static const struct engine_need need = {"Q4_K", "dense", "-ctk=q8_0,-fa=on"};
    static char *none[] = {NULL};
    static const struct plan_choice cpu = {
        .backend = PLAN_CPU, .gpu_pci = none, .env = none, .args = none, .warning = none};
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct stage s = stage_new();
        char *CLEAN_FREE dir = stage_install(&s, "debian-cpu", PLAN_CPU, fails ? &wrong : NULL);
        struct package package = stage_package(dir);
        struct engine_trial trial = {.spec = {.package = &package, .runtime_dir = s.run},
                                     .choice = &cpu,
                                     .data_dir = s.data,
                                     .deadlines = stage_deadlines};
        struct engine_covers covers = {.canaries = "mixed"};
        struct gfxb_error err = {.text = ""};
        int code = engine_prove_need(&trial, "none", &need, &covers, &err);
        assert_int_equal(code, fails ? -GFXB_E_CANARY_MISMATCH : 0);
        assert_string_equal(fails ? covers.fails : covers.canaries + strlen("mixed "),
                            "attention:-ctk=q8_0,-fa=on");
        stage_behave(&s, dir, PLAN_CPU, fails ? NULL : &wrong); /* it is not asked again */
        assert_int_equal(engine_prove_need(&trial, "none", &need, &covers, &err), code);
        stage_done(&s);
    }
}

/* The type is named, now and later; the proof stands for other models. */
static void a_type_that_fails_leads_to_the_next_choice(void **state)
{
    static const struct fault wrong = {
        .name = "IQ3_S", .backend = PLAN_VULKAN, .behaviour = "wrong IQ3_S\n"};
    struct world w = world_of_a_card(&wrong);
    struct session session = {0};
    char *CLEAN_FREE model = write_model(&w, "dense", "IQ3_S");
    (void)state;
    for (int again = 0; again < 2; again++) {
        w.request.model = model;
        bring_up(&w, &session);
        assert_int_equal(session.running->backend, PLAN_CPU);
        const struct plan_choice *choice = find(session.plan, "debian-vulkan", PLAN_VULKAN);
        assert_int_equal(choice->code, GFXB_E_CANARY_MISMATCH);
        assert_non_null(strstr(choice->reason, "models of the kind IQ3_S"));
        session_done(&session);
        w.request.model = NULL;
        assert_int_equal(world_state(&w, PLAN_VULKAN), PLAN_PROVEN);
    }
    world_done(&w);
}

/* A proven choice serves also where the test's file cannot be written. */
static void without_room_for_the_test_a_proven_choice_serves(void **state)
{
    struct world w = world_of_a_card(NULL);
    struct session session = {0};
    char *CLEAN_FREE model = write_model(&w, "dense", "IQ3_S");
    struct rlimit before, small;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 64 << 10; /* logs and proofs have room, a model has not */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    w.request.model = model;
    bring_up(&w, &session);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(session.running->backend, PLAN_VULKAN);
    assert_null(session.tested);
    session_done(&session);
    world_done(&w);
}

/* Also when the request leaves the CPU out: it is not measured again, with the GPU's package. */
static void the_stored_speed_of_the_cpu_is_what_a_gpu_is_held_to(void **state)
{
    static const struct fault slow = {
        .name = "slow", .backend = PLAN_VULKAN, .behaviour = "rate 150\n"};
    struct world w = world_of_a_card(&slow);
    struct session session = {0};
    (void)state;
    assert_int_equal(session_plan(&w.request, &session, NULL), 0);
    const struct plan_choice *choice = find(session.plan, "debian-vulkan", PLAN_VULKAN);
    const struct engine_proof *proof = engine_proofs_find(session.stored, choice->fingerprint);
    assert_non_null(proof);
    assert_non_null(strstr(proof->rung[PLAN_E5 - PLAN_E3].detail, "at least 100 are asked"));
    session_done(&session);
    world_done(&w);
}

/* A package that could not be fetched says less than one whose proof failed. */
static void a_failed_proof_is_told_before_a_failed_download(void **state)
{
    static const struct fault wrong = {
        .name = "byte", .backend = PLAN_ROCM, .behaviour = OWN_HIP "say byte\n"};
    struct world w = world_new(NULL, PLAN_ROCM, 0);
    struct session session = {0};
    struct gfxb_error err = {.text = ""};
    (void)state;
    world_install(&w, FIRST_ROCM, PLAN_ROCM, &wrong);
    assert_int_equal(session_plan(&w.request, &session, NULL), 0);
    struct session_failure failed[8];
    struct session_history history = {.failed = failed};
    for (size_t i = 0; i < session.plan->n_choices && history.n_failed < 8; i++) {
        const struct plan_choice *c = &session.plan->choice[i];
        if (c->backend == PLAN_ROCM && c->package && !c->installed)
            failed[history.n_failed++] = (struct session_failure){.fingerprint = c->fingerprint,
                                                                  .detail = (char *)"not there",
                                                                  .code = GFXB_E_OFFLINE};
    }
    assert_true(history.n_failed > 0);
    struct session tried = {0};
    assert_true(session_bring_up(&w.request, &history, &tried, &err) < 0);
    assert_non_null(strstr(err.text, "computes wrongly"));
    session_done(&tried);
    session_done(&session);
    world_done(&w);
}

/* Two cards of 48 GB, and a model that only both together hold. */
#define PAIR_LOG  LOAD USING("%D", "0000:%N3:00.0") WEIGHTS("%D", "0.75") OFFLOADED LOADED
#define PAIR_NEED (UINT64_C(70) << 30)

static struct world pair_of_cards(const struct fault *f)
{
    struct world w = world_new("w7900-x2", -1, PAIR_NEED);
    world_install(&w, FIRST_ROCM, PLAN_ROCM, f);
    world_install(&w, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&w, PLAN_CPU);
    return w;
}

static void a_model_for_two_cards_runs_on_both(void **state)
{
    static const struct fault well = {.name = "[38] two cards",
                                      .backend = PLAN_ROCM,
                                      .devices = LIST(ROCM0 ROCM1),
                                      .log = PAIR_LOG};
    struct world w = pair_of_cards(&well);
    struct session session = {0};
    (void)state;
    for (int again = 0; again < 2; again++) { /* proven first, then by what is stored */
        bring_up(&w, &session);
        check_place(&well, &session, PLAN_ROCM);
        assert_string_equal(session.running->gpu_pci[0], "0000:03:00.0");
        assert_string_equal(session.running->gpu_pci[1], "0000:13:00.0");
        assert_null(session.running->gpu_pci[2]);
        assert_string_equal(engine_device(session.engine), "ROCm0,ROCm1");
        session_done(&session);
    }
    world_done(&w);
}

static void a_card_that_fails_alone_is_in_no_set(void **state)
{
    static const struct fault second = {.name = "[38] the second card fails",
                                        .backend = PLAN_ROCM,
                                        .behaviour = OWN_HIP "start abort\nonly ROCm1\n",
                                        .devices = LIST(ROCM0 ROCM1),
                                        .log = PAIR_LOG};
    struct world w = pair_of_cards(&second);
    struct session session = {0};
    (void)state;
    bring_up(&w, &session);
    check_place(&second, &session, PLAN_ROCM);
    assert_string_equal(session.running->gpu_pci[0], "0000:03:00.0");
    assert_null(session.running->gpu_pci[1]);
    const struct plan_choice *set = NULL;
    for (size_t i = 0; i < session.plan->n_choices && !set; i++) {
        const struct plan_choice *c = &session.plan->choice[i];
        set = c->installed && c->gpu_pci[0] && c->gpu_pci[1] ? c : NULL;
    }
    assert_non_null(set);
    assert_string_equal(set->gpu_pci[1], "0000:13:00.0");
    assert_int_equal(set->code, GFXB_E_ENGINE_CRASH);
    assert_non_null(strstr(set->reason, "only 1 of 2 GPUs"));
    session_done(&session);
    world_done(&w);
}

#define CASES_MAX 160

int main(void)
{
    static const struct CMUnitTest chains[] = {
        cmocka_unit_test(after_one_rocm_package_comes_the_other),
        cmocka_unit_test(every_gpu_path_fails_and_the_cpu_answers),
        cmocka_unit_test(nothing_works_and_one_sentence_says_so),
        cmocka_unit_test(a_new_package_that_fails_leaves_the_proven_one),
        cmocka_unit_test(what_a_model_needs_is_proven_before_it_is_served),
        cmocka_unit_test(a_kind_that_the_engine_does_not_know_is_left_out),
        cmocka_unit_test(the_attention_that_a_model_asks_for_is_proven),
        cmocka_unit_test(a_kind_that_is_left_to_the_cpu_is_not_covered),
        cmocka_unit_test(a_type_that_fails_leads_to_the_next_choice),
        cmocka_unit_test(without_room_for_the_test_a_proven_choice_serves),
        cmocka_unit_test(the_stored_speed_of_the_cpu_is_what_a_gpu_is_held_to),
        cmocka_unit_test(a_failed_proof_is_told_before_a_failed_download),
        cmocka_unit_test(a_model_for_two_cards_runs_on_both),
        cmocka_unit_test(a_card_that_fails_alone_is_in_no_set),
    };
    struct CMUnitTest tests[CASES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < fault_n_cases && n < CASES_MAX; i++)
        tests[n++] = (struct CMUnitTest){.name = fault_cases[i].name,
                                         .test_func = a_fault_ends_on_the_best_choice_that_works,
                                         .initial_state = (void *)(uintptr_t)&fault_cases[i]};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]) && n < CASES_MAX; i++)
        tests[n++] = (struct CMUnitTest){.name = sets[i].name,
                                         .test_func = a_set_is_proven_by_its_members,
                                         .initial_state = (void *)(uintptr_t)&sets[i]};
    for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]) && n < CASES_MAX; i++)
        tests[n++] = chains[i];
    return _cmocka_run_group_tests("faults", tests, n, stage_set_up, stage_tear_down);
}
