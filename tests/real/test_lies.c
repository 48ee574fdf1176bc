/*
 * test_lies.c - a device that computes wrongly in one kernel, for one tensor type, shape or length
 * of prompt alone, is caught by the proof, which names them; an honest device passes.
 *
 * The real engine computes on a real Vulkan device, lavapipe or by hand a GPU, through the layer of
 * tests/layer, which falsifies chosen dispatches (docs/canary.md, "The lying device").
 *
 * A model that its device computes otherwise than the CPU is found by engine_compare: one layer of
 * the device's copy is lost, or a kernel lies. GFXB_TEST_MODEL: a large model of random weights,
 * for full; lavapipe would take hours for it, so that the CPU is its device, but for a GPU by hand.
 *
 * usage: test_lies quick|full [lavapipe|gpu [PATTERN]]    PATTERN: of the names of tests
 */
#include "engine/engine_private.h"
#include "engine/seeded.h"
#include "world.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

enum { COVER_MS = 400000, HONEST_PROOFS = 200, LIES_MIN = 60, LIES_MAX = 160, TEXT_MAX = 256 };

struct lie {
    char name[TEXT_MAX];
    char rule[TEXT_MAX]; /* lines of the layer's file `lies` */
    char canary[32];
};

static enum plan_backend backend = PLAN_VULKAN_SOFTWARE;
static char *layer_dir; /* where the engine's Vulkan loader finds the layer */
static const char *asked_canary;
static unsigned n_told, n_missed;
static bool told, told_last; /* to any question, to the last one */

/* ---- the layer ---- */

static int copy_file(const char *from, const char *to)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(16u << 20);
    int code = fs_read(from, 8u << 20, &bytes);
    return code < 0 ? code : fs_write(to, bytes.p, bytes.n, 0755, NULL);
}

/* The engine's home is the directory of compiled shaders, which its sandbox lets it use: an
 * implicit layer in it is found by the loader as one in a person's home is. */
static int set_up(void **state)
{
    int code = world_set_up_vulkan(state);
    if (code < 0)
        return code;
    layer_dir = xasprintf("%s/.local/share/vulkan/implicit_layer.d", world.cache);
    char *CLEAN_FREE library = xfs_join(layer_dir, "lying_layer.so");
    char *CLEAN_FREE manifest = xfs_join(layer_dir, "lying_layer.json");
    char *CLEAN_FREE source = xfs_join(getenv("GFXB_TEST_SOURCE"), "tests/layer/lying_layer.json");
    code = fs_make_dirs(layer_dir, 0700, NULL);
    if (code == 0)
        code = copy_file(getenv("GFXB_TEST_LAYER"), library);
    return code < 0 ? code : copy_file(source, manifest);
}

static int tear_down(void **state)
{
    fs_remove_tree(layer_dir);
    free(layer_dir);
    return world_tear_down(state);
}

/* Was a lie told since the last call? */
static bool layer_told(void)
{
    char *CLEAN_FREE file = xfs_join(layer_dir, "told");
    return unlink(file) == 0;
}

static void layer_set(const char *rules)
{
    char *CLEAN_FREE lies = xfs_join(layer_dir, "lies");
    assert_int_equal(fs_write(lies, rules, strlen(rules), 0644, NULL), 0);
    layer_told();
    told = told_last = false;
}

/* ---- all questions to one canary ---- */

const struct engine_kind *__real_engine_kind_of(const char *name, struct gfxb_error *err);
const struct engine_kind *__wrap_engine_kind_of(const char *name, struct gfxb_error *err);

/* The engine's kind with those rows of data/seeded.tsv alone that ask asked_canary. */
const struct engine_kind *__wrap_engine_kind_of(const char *name, struct gfxb_error *err)
{
    static struct engine_kind kind;
    static struct engine_canary canary;
    static char text[65536];
    const struct engine_kind *real = __real_engine_kind_of(name, err);
    if (!real || !asked_canary)
        return real;
    struct buf CLEAN_BUF rows = BUF_INIT(sizeof(text));
    struct str rest = {real->canary->seeded,
                       (size_t)(real->canary->seeded_end - real->canary->seeded)};
    struct str line;
    while (str_cut(&rest, '\n', &line)) {
        struct str fields = line, first;
        if (str_cut(&fields, '\t', &first) &&
            (str_is(first, "canary") || str_is(first, asked_canary)))
            buf_addf(&rows, "%.*s\n", STR_ARG(line));
    }
    memcpy(text, rows.p, rows.n);
    canary = *real->canary;
    canary.seeded = text;
    canary.seeded_end = text + rows.n;
    kind = *real;
    kind.canary = &canary;
    return &kind;
}

int __real_engine_post(struct engine *engine, enum engine_call call, const char *body,
                       int64_t deadline_ms, const atomic_int *cancel, struct buf *ret,
                       struct gfxb_error *err);
int __wrap_engine_post(struct engine *engine, enum engine_call call, const char *body,
                       int64_t deadline_ms, const atomic_int *cancel, struct buf *ret,
                       struct gfxb_error *err);

/* A question, and whether a lie was told to it. */
int __wrap_engine_post(struct engine *engine, enum engine_call call, const char *body,
                       int64_t deadline_ms, const atomic_int *cancel, struct buf *ret,
                       struct gfxb_error *err)
{
    layer_told();
    int code = __real_engine_post(engine, call, body, deadline_ms, cancel, ret, err);
    told_last = layer_told();
    told = told || told_last;
    return code;
}

/* 1: the engine leaves this canary to the CPU, or does not know it. */
static int ask_canary(const char *name, struct gfxb_error *err)
{
    struct engine_covers covers = {.types = ""};
    struct cover_wish wish = {.deadline_ms = COVER_MS, .all = true};
    struct engine_spec spec = world_spec(backend);
    spec.device = "Vulkan0";
    spec.ready_ms = COVER_MS;
    asked_canary = name;
    int code = cover_ask(&spec, &wish, &covers, err);
    asked_canary = NULL;
    /* One that is not part of every proof fails alone. */
    if (code == 0 && covers.fails[0])
        return error_set(err, GFXB_E_CANARY_MISMATCH, "%s", covers.why);
    return code == 0 && covers.skipped[0] ? 1 : code;
}

/* ---- honest ---- */

static void an_honest_device_passes(void **state)
{
    struct gfxb_error err = {.text = ""};
    layer_set("");
    int code = ask_canary(*state, &err);
    if (code < 0)
        fail_msg("%s", err.text);
    if (code == 1)
        skip();
}

static void prove_honestly(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct engine_proof proof;
        world_prove(backend, &proof, NULL);
        if (!proof.passed)
            fail_msg("proof %u of %u: %s", i + 1, n, proof.sentence);
        engine_proof_done(&proof);
    }
}

static void two_hundred_proofs_of_an_honest_device_pass(void **state)
{
    (void)state;
    layer_set("");
    prove_honestly(HONEST_PROOFS);
}

static void half_a_gigabyte_of_free_memory_is_enough(void **state)
{
    (void)state;
    layer_set("free 512\n");
    prove_honestly(1);
}

/* ---- lying ---- */

/* The engine's whole answer to a question, with the probabilities that it saw; to be freed. */
static json_t *answer_of(struct engine *engine, const struct engine_kind *kind, uint64_t seed,
                         uint64_t length)
{
    static uint32_t tokens[SEEDED_CONTEXT];
    const struct engine_tokens prompt = {tokens, length};
    struct buf CLEAN_BUF body = BUF_INIT(0);
    struct gfxb_error err = {.text = ""};
    seeded_prompt(seed, length, tokens);
    char *CLEAN_FREE plain = kind->tokens_request(&prompt, 1, 2);
    json_t *request = json_loads(plain, 0, NULL);
    json_object_set_new(request, "n_probs", json_integer(8));
    char *CLEAN_FREE text = json_dumps(request, 0);
    json_decref(request);
    if (engine_post(engine, ENGINE_CALL_COMPLETION, text, COVER_MS, NULL, &body, &err) < 0)
        fail_msg("%s", err.text);
    json_t *reply = json_loadb(body.p, body.n, 0, NULL);
    json_t *answer = json_incref(json_object_get(reply, "completion_probabilities"));
    json_decref(reply);
    return answer;
}

/* All answers of a canary, on a device that follows these rules. */
static json_t *answers_of(const char *canary, const char *rules)
{
    static const char *const columns[] = {"canary", "shape",   "types",  "length", "seed",
                                          "answer", "margins", "change", "proof",  NULL};
    struct gfxb_error err = {.text = ""};
    struct buf CLEAN_BUF file = BUF_INIT(2 * SEEDED_FILE_MAX);
    struct engine_spec spec = world_spec(backend);
    char *CLEAN_FREE model = xfs_join(world.data, "seeded.gguf");
    asked_canary = canary;
    const struct engine_kind *kind = engine_kind_of(spec.package->engine, NULL);
    asked_canary = NULL;
    struct str bytes = {kind->canary->seeded,
                        (size_t)(kind->canary->seeded_end - kind->canary->seeded)};
    struct engine *engine = NULL;
    struct table table;
    struct table_row row;
    json_t *answers = json_array();
    layer_set(rules);
    table_init(&table, "seeded.tsv", bytes, columns);
    while (table_next(&table, &row, &err) > 0) {
        uint64_t length = 0, seed = 0;
        if (!engine) {
            assert_int_equal(seeded_write(row.field[1], row.field[2], 1, &file, &err), 0);
            assert_int_equal(fs_write(model, file.p, file.n, 0600, &err), 0);
            spec.model = model;
            spec.context = SEEDED_CONTEXT / 2;
            spec.ready_ms = COVER_MS;
            if (engine_start(&spec, &engine, &err) < 0)
                fail_msg("%s", err.text);
        }
        assert_int_equal(str_to_u64(row.field[3], 10, &length), 0);
        assert_int_equal(str_to_u64(row.field[4], 10, &seed), 0);
        json_array_append_new(answers, answer_of(engine, kind, seed, length));
    }
    engine_stop(engine);
    unlink(model);
    return answers;
}

/* The proof was passed: either the engine's own numbers are the same with the lie and without, and
 * it was none, or the proof is too weak. */
static void expect_harmless(const struct lie *lie)
{
    json_t *honest = answers_of(lie->canary, ""), *lying = answers_of(lie->canary, lie->rule);
    bool harmless = json_equal(honest, lying);
    json_decref(honest);
    json_decref(lying);
    if (harmless)
        skip();
    n_missed++;
    fail_msg("missed: %s", lie->rule);
}

/* No dispatch fits the lie: it was none. On lavapipe that is a mistake in the list; a GPU's driver
 * may have other kernels. */
static void expect_other_kernels(const struct lie *lie)
{
    if (backend == PLAN_VULKAN_SOFTWARE)
        fail_msg("no dispatch fits: %s", lie->rule);
    fprintf(stderr, "# not told, no dispatch fits: %s\n", lie->name);
    skip();
}

/* The first question to which the lie is told, or a later one, is answered wrongly; never one to
 * which it is not told. */
static void a_lie_is_caught(void **state)
{
    const struct lie *lie = *state;
    struct gfxb_error err = {.text = ""};
    char kind[64];
    layer_set(lie->rule);
    int code = ask_canary(lie->canary, &err);
    if (code == 1)
        skip();
    if (!told)
        expect_other_kernels(lie);
    if (code == 0)
        expect_harmless(lie);
    n_told++;
    fprintf(stderr, "# %s\n", err.text);
    snprintf(kind, sizeof(kind), "of the kind %s ", lie->canary);
    if (code != -GFXB_E_CANARY_MISMATCH || !told_last || !strstr(err.text, kind))
        fail_msg("a lie %sto this question: %s", told_last ? "" : "that was not told ", err.text);
}

static void the_first_proof_catches_a_lie(void **state)
{
    (void)state;
    struct engine_proof proof;
    layer_set("drop mul_mat_vec_q4_k_*\n");
    world_prove(backend, &proof, NULL);
    assert_true(layer_told());
    assert_int_equal(proof.code, GFXB_E_CANARY_MISMATCH);
    assert_int_equal(proof.rung[PLAN_E4 - PLAN_E3].ok, TRI_NO);
    engine_proof_done(&proof);
}

static void at_least_sixty_lies_were_told_and_none_was_missed(void **state)
{
    (void)state;
    fprintf(stderr, "# %u lies, %u missed\n", n_told, n_missed);
    assert_true(n_told >= LIES_MIN);
    assert_int_equal(n_missed, 0);
}

/* ---- a model beside the CPU ---- */

/* The model to compare, and a copy of which a 25th in the middle is lost; to be freed. */
struct compared {
    char *model, *damaged;
    bool made;
};

static void make_compared(struct compared *m, const char *given)
{
    struct gfxb_error err = {.text = ""};
    struct buf CLEAN_BUF file = BUF_INIT(1u << 30);
    *m = (struct compared){given ? xstrdup(given) : xfs_join(world.data, "compared.gguf"),
                           xfs_join(world.data, "damaged.gguf"), !given};
    if (given)
        assert_int_equal(fs_read(given, 1u << 29, &file), 0);
    else
        assert_int_equal(seeded_write(STR("dense"), STR("Q4_K Q6_K"), 1, &file, &err), 0);
    if (m->made)
        assert_int_equal(fs_write(m->model, file.p, file.n, 0600, NULL), 0);
    memset(file.p + file.n / 2, 0, file.n / 25);
    assert_int_equal(fs_write(m->damaged, file.p, file.n, 0600, NULL), 0);
}

static void compared_done(struct compared *m)
{
    unlink(m->damaged);
    if (m->made)
        unlink(m->model);
    free(m->model);
    free(m->damaged);
}

/* engine_compare of this file on the device with the model on the CPU. */
static int compare_files(const struct compared *m, const char *on_device, const char *rules)
{
    enum plan_backend where = !m->made && backend == PLAN_VULKAN_SOFTWARE ? PLAN_CPU : backend;
    struct gfxb_error err = {.text = ""};
    struct engine_comparison c = {.prompts = 0};
    struct engine_spec spec = world_spec(where), cpu = world_spec(PLAN_CPU);
    layer_set(rules);
    spec.model = on_device;
    spec.device = where == PLAN_CPU ? NULL : "Vulkan0";
    spec.package = world.vulkan;
    spec.context = cpu.context = 2048;
    spec.ready_ms = COVER_MS;
    cpu.package = spec.package;
    cpu.model = m->model;
    cpu.plain = true;
    struct engine_compare job = {.cpu = &cpu, .patience_ms = 3 * COVER_MS};
    if (engine_start(&spec, &job.device, &err) < 0)
        fail_msg("%s", err.text);
    int code = engine_compare(&job, &c, &err);
    engine_stop(job.device);
    fprintf(stderr, "# %s%u of %u prompts differ, at most %.3f, allowed %.2f: %s\n", rules,
            c.differ, c.prompts, c.greatest, c.allowed, err.text);
    return code;
}

static void a_model_on_an_honest_device_is_the_cpus(void **state)
{
    struct compared m;
    make_compared(&m, *state);
    assert_int_equal(compare_files(&m, m.model, ""), 0);
    compared_done(&m);
}

static void a_lost_layer_of_the_devices_copy_is_found(void **state)
{
    struct compared m;
    make_compared(&m, *state);
    assert_int_equal(compare_files(&m, m.damaged, ""), -GFXB_E_MODEL_MISMATCH);
    compared_done(&m);
}

static void a_kernel_that_lies_to_the_model_is_found(void **state)
{
    struct compared m;
    make_compared(&m, *state);
    assert_int_equal(compare_files(&m, m.model, "halve mul_mat_vec_q4_k_*\n"),
                     -GFXB_E_MODEL_MISMATCH);
    assert_true(told);
    compared_done(&m);
}

/* ---- which lies ---- */

static struct lie lies[LIES_MAX];
static size_t n_lies;

/* In words of the push constants of the engine's kernels (ggml-vulkan.cpp of llama.cpp 0.7.0):
 * products of a matrix and few tokens (mul_mat_vec) have the columns at word 0 and at word 4 what
 * is 0 for more than one token; those of a matrix and many tokens (matmul) have the tokens at word
 * 1 and the columns at word 2; of experts' matrices (matmul_id) the tokens at word 10; attention
 * has the tokens at word 3. A part of the columns is a dot
 * product that ends too early. */
#define ONE_TOKEN  "word4=1-4294967295"
#define FEW_TOKENS "word4=0"

/* Of several ways to falsify it the next one in turn. */
static void add_lie(const char *canary, unsigned tokens, const char *kernel, const char *when,
                    const char *shorter)
{
    const char *const ways[] = {"drop", "halve", shorter};
    static unsigned turn;
    const char *way = ways[turn++ % 3];
    struct lie *lie = &lies[n_lies++];
    assert_true(n_lies <= LIES_MAX);
    snprintf(lie->rule, sizeof(lie->rule), "%s %s %s\n", way, kernel, when);
    snprintf(lie->name, sizeof(lie->name), "%s, %u tokens: %s %s %s", canary, tokens, way, kernel,
             when);
    snprintf(lie->canary, sizeof(lie->canary), "%s", canary);
}

/* A model all of one type: by the token that the answer goes on with, which the first question
 * shows, and by each length of prompt. */
static void add_type(const char *type)
{
    add_lie(type, 6, "mul_mat_vec_*", ONE_TOKEN, "word0=128");
    add_lie(type, 6, "mul_mat_vec_*", FEW_TOKENS, "word0=128");
    add_lie(type, 24, "matmul_*", "word1=24", "word2=128");
    add_lie(type, 200, "matmul_*", "word1=200", "word2=128");
}

static const char *const types[] = {
    "F16",   "BF16",    "F32",    "Q4_0",   "Q4_1",  "Q5_0",  "Q5_1",  "Q8_0",    "Q2_K",
    "Q3_K",  "Q4_K",    "Q5_K",   "Q6_K",   "IQ1_S", "IQ1_M", "IQ2_S", "IQ2_XXS", "IQ2_XS",
    "IQ3_S", "IQ3_XXS", "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "Q1_0",
};

static void add_shapes(void)
{
    static const char *const middle[][3] = {
        {"matmul_*", "word1=24", "word2=128"},    {"flash_attn_*", "word3=24", "word1=128"},
        {"rms_norm_*", "word2=24", "word0=3072"}, {"swiglu_*", "y=24", "word0=6144"},
        {"rope_norm_*", "x=48-96", "word2=8"},    {"add_*", "word10=24", "word0=3072"},
    };
    /* word2 of rotary positions: how many dimensions are turned. The second half of them turns by
     * a quarter of a radian over 24 tokens, which is no lie yet, and by two over 200. */
    for (size_t i = 0; i < sizeof(middle) / sizeof(middle[0]); i++)
        add_lie("mixed", 24, middle[i][0], middle[i][1], middle[i][2]);
    add_lie("mixed", 1, "mul_mat_vec_*", ONE_TOKEN, "word0=128");
    add_lie("mixed", 6, "mul_mat_vec_*", FEW_TOKENS, "word0=128");
    add_lie("mixed", 200, "matmul_*", "word1=200", "word2=128");
    add_lie("mixed", 200, "flash_attn_*", "word3=200", "word1=128");
    /* The engine takes 512 tokens at a time: 600 are 512 and 88, 1100 twice 512 and 76. */
    add_lie("mixed", 600, "matmul_*", "word1=512", "word2=128");
    add_lie("mixed", 600, "matmul_*", "word1=88", "word2=128");
    add_lie("mixed", 600, "flash_attn_*", "word3=88", "word1=128");
    add_lie("mixed", 1100, "matmul_*", "word1=76", "word2=128");
    add_lie("mixed", 1100, "flash_attn_*", "word3=76", "word1=128");
    /* With a sliding window it stops 4 tokens before a prompt's end, to copy its cache. */
    add_lie("window", 24, "flash_attn_*", "word3=20", "word1=16");
    add_lie("window", 200, "flash_attn_*", "word3=196", "word1=128");
    add_lie("window", 200, "matmul_*", "word1=196", "word2=128");
}

static void add_experts(const char *canary)
{
    add_lie(canary, 1, "mul_mat_vec_id_*", "", "word0=128");
    add_lie(canary, 24, "matmul_id_*", "word10=24", "word2=128");
    add_lie(canary, 200, "matmul_id_*", "word10=200", "word2=128");
}

static void add_all(void)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        add_type(types[i]);
    add_shapes();
    add_experts("experts");
    add_experts("experts-MXFP4");
    add_lie("mixed", 200, "rms_norm_*", "word2=200", "word0=3072");
    add_lie("mixed", 200, "rope_norm_*", "x=400-800", "word2=32");
}

static struct CMUnitTest test_of(const char *name, CMUnitTestFunction function, void *state)
{
    return (struct CMUnitTest){.name = name, .test_func = function, .initial_state = state};
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[LIES_MAX + 64];
    static const char *const shapes[] = {"mixed", "window", "experts", "experts-MXFP4"};
    bool full = argc > 1 && strcmp(argv[1], "full") == 0;
    size_t n = 0;
    if (argc > 2 && strcmp(argv[2], "gpu") == 0)
        backend = PLAN_VULKAN;
    else
        world_lavapipe[1] = (char *)"GALLIVM_PERF=nopt"; /* it compiles ten times faster */
    if (argc > 3)
        cmocka_set_test_filter(argv[3]);
    if (full)
        add_all();
    else
        add_type("Q4_K");
    for (size_t i = 0; full && i < sizeof(shapes) / sizeof(shapes[0]); i++)
        tests[n++] = test_of(shapes[i], an_honest_device_passes, (void *)shapes[i]);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (full || strcmp(types[i], "Q4_K") == 0)
            tests[n++] = test_of(types[i], an_honest_device_passes, (void *)types[i]);
    }
    for (size_t i = 0; i < n_lies; i++)
        tests[n++] = test_of(lies[i].name, a_lie_is_caught, &lies[i]);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_model_on_an_honest_device_is_the_cpus);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_lost_layer_of_the_devices_copy_is_found);
    char *large = full ? getenv("GFXB_TEST_MODEL") : NULL;
    if (large) {
        tests[n++] = test_of("a large model", a_model_on_an_honest_device_is_the_cpus, large);
        tests[n++] =
            test_of("a lost layer of it", a_lost_layer_of_the_devices_copy_is_found, large);
    }
    if (full)
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_kernel_that_lies_to_the_model_is_found);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(half_a_gigabyte_of_free_memory_is_enough);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_first_proof_catches_a_lie);
    if (full) {
        tests[n++] =
            (struct CMUnitTest)cmocka_unit_test(at_least_sixty_lies_were_told_and_none_was_missed);
        tests[n++] =
            (struct CMUnitTest)cmocka_unit_test(two_hundred_proofs_of_an_honest_device_pass);
    }
    return _cmocka_run_group_tests("lies", tests, n, set_up, tear_down);
}
