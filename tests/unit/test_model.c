/*
 * test_model.c - what the words for a model mean, what the tables hold, what a header says, how a
 * model is launched and what is refused before a download. Real engines: tests/real/models.py.
 */
#include "model/model.h"

#include "plan/plan.h"
#include "sysroot/sysroot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";

static void names_mean_what_they_say(void **state)
{
    static const struct {
        const char *text;
        enum model_name_kind kind;
        const char *repository, *tag, *file;
    } good[] = {
        {"qwen3-0.6b-gguf", MODEL_NAME_LISTED, "", "", ""},
        {"org/repo", MODEL_NAME_HUB, "org/repo", "", ""},
        {"org/repo:Q4_K_M", MODEL_NAME_HUB, "org/repo", "Q4_K_M", ""},
        {"org/repo/a.gguf", MODEL_NAME_HUB, "org/repo", "", "a.gguf"},
        {"org/repo/Q8_0/a-00001-of-00002.gguf", MODEL_NAME_HUB, "org/repo", "",
         "Q8_0/a-00001-of-00002.gguf"},
        {"hf.co/org/repo:UD-Q4_K_XL", MODEL_NAME_HUB, "org/repo", "UD-Q4_K_XL", ""},
        {"huggingface.co/org/repo", MODEL_NAME_HUB, "org/repo", "", ""},
        {"qwen3", MODEL_NAME_OLLAMA, "library/qwen3", "latest", ""},
        {"qwen3:8b", MODEL_NAME_OLLAMA, "library/qwen3", "8b", ""},
        {"registry.ollama.ai/some/one:7b", MODEL_NAME_OLLAMA, "some/one", "7b", ""},
        /* case and ":latest" */
        {"QWEN3-0.6B-GGUF:Latest", MODEL_NAME_LISTED, "", "", ""},
        {"Qwen3:8B", MODEL_NAME_OLLAMA, "library/qwen3", "8B", ""},
        {"Qwen3:LATEST", MODEL_NAME_OLLAMA, "library/qwen3", "latest", ""},
        {"org/repo:latest", MODEL_NAME_HUB, "org/repo", "", ""},
        {"HF.co/org/repo:latest", MODEL_NAME_HUB, "org/repo", "", ""},
        {"org/repo.gguf", MODEL_NAME_HUB, "org/repo.gguf", "", ""},
        /* a file as tag */
        {"org/repo:a-Q4_K_M.gguf", MODEL_NAME_HUB, "org/repo", "", "a-Q4_K_M.gguf"},
        {"hf.co/org/repo:Q8_0/a-Q8_0.gguf", MODEL_NAME_HUB, "org/repo", "", "Q8_0/a-Q8_0.gguf"},
        {"org/repo/a (1) b+c.gguf", MODEL_NAME_HUB, "org/repo", "", "a (1) b+c.gguf"},
        /* addresses of pages */
        {"https://huggingface.co/org/repo", MODEL_NAME_HUB, "org/repo", "", ""},
        {"https://huggingface.co/org/repo/", MODEL_NAME_HUB, "org/repo", "", ""},
        {"http://www.huggingface.co/org/repo?library=x#use", MODEL_NAME_HUB, "org/repo", "", ""},
        {"https://hf.co/org/repo:Q8_0", MODEL_NAME_HUB, "org/repo", "Q8_0", ""},
        {"https://huggingface.co/org/repo/tree/main", MODEL_NAME_HUB, "org/repo", "", ""},
        {"https://huggingface.co/org/repo/tree/main/Q8_0", MODEL_NAME_HUB, "org/repo", "Q8_0", ""},
        {"https://huggingface.co/org/repo/blob/main/a.gguf", MODEL_NAME_HUB, "org/repo", "",
         "a.gguf"},
        {"huggingface.co/org/repo/resolve/main/Q8_0/a%20b.gguf?download=true", MODEL_NAME_HUB,
         "org/repo", "", "Q8_0/a b.gguf"},
        {"https://huggingface.co/org/repo?show_file_info=a.gguf", MODEL_NAME_HUB, "org/repo", "",
         "a.gguf"},
        {"https://ollama.com/library/qwen3:8b", MODEL_NAME_OLLAMA, "library/qwen3", "8b", ""},
        {"https://ollama.com/library/qwen3/tags", MODEL_NAME_OLLAMA, "library/qwen3", "latest", ""},
        {"ollama.com/some/one", MODEL_NAME_OLLAMA, "some/one", "latest", ""},
        {"ollama run hf.co/org/repo:Q8_0", MODEL_NAME_HUB, "org/repo", "Q8_0", ""},
        {"ollama run org/repo", MODEL_NAME_OLLAMA, "org/repo", "latest", ""},
        {"hf download org/repo", MODEL_NAME_HUB, "org/repo", "", ""},
        {" hf download org/repo x.gguf ", MODEL_NAME_HUB, "org/repo", "", "x.gguf"},
        {"huggingface-cli download org/repo  Q8_0/x.gguf", MODEL_NAME_HUB, "org/repo", "",
         "Q8_0/x.gguf"},
        {"/m/x.gguf", MODEL_NAME_FILE, "", "", "/m/x.gguf"},
        {"./x", MODEL_NAME_FILE, "", "", "./x"},
        {"../x.gguf", MODEL_NAME_FILE, "", "", "../x.gguf"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct model_name name;
        struct gfxb_error err = {0};
        if (model_name_parse(good[i].text, &name, &err) < 0)
            fail_msg("%s: %s", good[i].text, err.text);
        assert_int_equal(name.kind, good[i].kind);
        assert_string_equal(name.repository, good[i].repository);
        assert_string_equal(name.tag, good[i].tag);
        assert_string_equal(name.file, good[i].file);
    }
}

static void a_url_needs_its_digest(void **state)
{
    struct model_name name;
    struct gfxb_error err = {0};
    char text[200];
    snprintf(text, sizeof(text), "https://host/a.gguf#sha256=%s", zeros);
    assert_int_equal(model_name_parse(text, &name, &err), 0);
    assert_int_equal(name.kind, MODEL_NAME_URL);
    assert_string_equal(name.file, "https://host/a.gguf");
    assert_string_equal(name.sha256, zeros);
    assert_int_equal(model_name_parse("https://host/a.gguf", &name, &err), -EINVAL);
    assert_non_null(strstr(err.text, "#sha256="));
    assert_int_equal(model_name_parse("https://host/a.gguf#sha256=12", &name, &err), -EINVAL);
    snprintf(text, sizeof(text), "http://host/a.gguf#sha256=%s", zeros);
    assert_int_equal(model_name_parse(text, &name, &err), -EINVAL);
}

static void bad_words_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "a b",
        "org/..",
        "../../etc/passwd/",
        "org/repo/",
        "/org//repo",
        "org/repo:",
        "org/repo:a/b",
        "org/repo/a.bin",
        "-x",
        "org/-x",
        "org/repo/../a.gguf",
        "a:b:c",
        "x\ny",
        "org\\repo",
        "hf.co/org",
        "hf.co/a/b/c/d",
        "org/repo/.hidden.gguf",
        "caf\xc3\xa9",
        "registry.ollama.ai/A:b:c",
        "org/repo:../a.gguf",
        "org/repo:.gguf",
        "https://huggingface.co/org",
        "https://huggingface.co/org/repo/tree/v1",
        "https://huggingface.co/org/repo/tree/mainly",
        "https://huggingface.co/org/repo/blob/main/README.txt/x",
        "https://huggingface.co/org/repo/blob/main/..%2f..%2fa.gguf",
        "https://huggingface.co/org/repo/blob/main/a%00b.gguf",
        "https://huggingface.co/org/re%20po",
        "https://huggingface.co.evil.example/org/repo",
        "https://ollama.com/library/qwen3/blobs/0123",
        "hf download ",
        "hf download org/repo x.gguf y.gguf",
        "hf download org/repo config.json",
        "hf download org/repo --local-dir .",
        "ollama run qwen3:8b Hello",
        "ollama pull org/repo x.gguf",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct model_name name;
        struct gfxb_error err = {0};
        int result = model_name_parse(bad[i], &name, &err);
        bool path = bad[i][0] == '/' || strncmp(bad[i], "../", 3) == 0;
        if (result == 0 && !path)
            fail_msg("'%s' was accepted", bad[i]);
        if (result < 0)
            assert_true(err.text[0] != '\0');
    }
    char *long_name = malloc(5001);
    assert_non_null(long_name);
    memset(long_name, 'a', 5000);
    long_name[5000] = '\0';
    struct model_name name;
    assert_true(model_name_parse(long_name, &name, NULL) < 0);
    free(long_name);
}

static void a_misspelt_name_gets_the_nearest(void **state)
{
    const struct model_env nowhere = {.data_dir = NULL};
    struct model model;
    struct gfxb_error err = {0};
    assert_int_equal(model_find(&nowhere, "Qwen3-06B-GGUF", &model, &err), -GFXB_E_MODEL_UNKNOWN);
    assert_non_null(strstr(err.text, "Qwen3-0.6B-GGUF"));
    assert_int_equal(model_find(&nowhere, "GPT-OSS-20b", &model, &err), -GFXB_E_MODEL_UNKNOWN);
    assert_non_null(strstr(err.text, "gpt-oss-20b-GGUF"));
    assert_true(model_find(&nowhere, "Qwen3 06B GGUF", &model, &err) < 0);
    assert_non_null(strstr(err.text, "did you mean Qwen3-0.6B-GGUF"));
}

static void the_list_is_long_and_whole(void **state)
{
    const struct model_knowns *list = model_knowns();
    struct gfxb_error err = {0};
    size_t of[MODEL_TASKS] = {0}, vision = 0, coding = 0, small = 0, large = 0;
    if (model_tables_check(&err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < list->n; i++) {
        const struct model_known *k = &list->item[i];
        char *name = str_dup(k->name);
        assert_true(model_name_is_plain(name));
        free(name);
        of[k->task]++;
        vision += str_list_has(k->labels, STR("vision"));
        coding += str_list_has(k->labels, STR("coding"));
        small += k->bytes > 0 && k->bytes < UINT64_C(1000000000);
        large += k->bytes > UINT64_C(50000000000);
    }
    assert_true(list->n >= 40 && of[MODEL_CHAT] >= 30 && of[MODEL_EMBEDDING] >= 4);
    assert_true(of[MODEL_RERANKING] >= 2 && vision >= 8 && coding >= 3 && small >= 4 && large >= 3);
}

/* ---- launch ---- */

static void args_are(const struct model_launch *l, const char *wanted)
{
    struct buf text = BUF_INIT(2000);
    for (size_t i = 0; l->args[i]; i++)
        buf_addf(&text, "%s%s", i ? " " : "", l->args[i]);
    assert_string_equal(buf_text(&text), wanted);
    buf_done(&text);
}

static void recipes_lead_to_arguments(void **state)
{
    char architecture[] = "gpt-oss", template[] = "{{ x }}";
    struct gguf chat = {.architecture = architecture,
                        .template = template,
                        .context = 131072,
                        .pooling = GGUF_POOLING_NOT_SAID};
    struct model_launch l;
    assert_int_equal(model_launch_new(&chat, NULL, 0, "/m/p.gguf", &l, NULL), 0);
    assert_int_equal(l.task, MODEL_CHAT);
    assert_int_equal(l.context, 0);
    args_are(&l, "--temp 1.0 --top-p 1.0 --top-k 0 --mmproj /m/p.gguf");
    model_launch_done(&l);
}

static void vectors_get_a_batch_of_their_context(void **state)
{
    char architecture[] = "bert";
    struct gguf g = {.architecture = architecture, .context = 512, .pooling = 2};
    struct model_launch l;
    assert_int_equal(model_launch_new(&g, NULL, 0, NULL, &l, NULL), 0);
    assert_int_equal(l.task, MODEL_EMBEDDING);
    assert_int_equal(l.context, 512);
    assert_int_equal(l.batch, 512);
    args_are(&l, "--embeddings -b 512 -ub 512");
    model_launch_done(&l);
    g.pooling = 4;
    assert_int_equal(model_launch_new(&g, NULL, 256, NULL, &l, NULL), 0);
    assert_int_equal(l.task, MODEL_RERANKING);
    args_are(&l, "--reranking -b 256 -ub 256");
    model_launch_done(&l);
}

static void a_listed_model_has_its_own_recipe(void **state)
{
    char architecture[] = "qwen3";
    struct gguf g = {
        .architecture = architecture, .context = 32768, .pooling = GGUF_POOLING_NOT_SAID};
    struct model_launch l;
    const struct model_known *row = model_known_find(STR("qwen3-embedding-0.6b-gguf"));
    assert_non_null(row);
    assert_int_equal(model_launch_new(&g, row, 0, NULL, &l, NULL), 0);
    assert_int_equal(l.task, MODEL_EMBEDDING);
    args_are(&l, "--embeddings -b 2048 -ub 2048 --pooling last");
    assert_string_equal(l.recipes, "embedding, embedding-last");
    model_launch_done(&l);
}

/* ---- headers ---- */

static void the_canary_is_read(void **state)
{
    const char *source = getenv("GFXB_TEST_SOURCE");
    char path[500];
    struct gguf g;
    struct fit_model shape;
    struct gfxb_error err = {0};
    snprintf(path, sizeof(path), "%s/data/canary.gguf", source ? source : ".");
    if (gguf_read(path, &g, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(gguf_require_model(&g, path, &err), 0);
    assert_string_equal(g.architecture, "llama");
    assert_int_equal(g.parts, 1);
    assert_true(g.parameters > 1000 && g.vocabulary > 100 && g.layers > 0);
    assert_int_equal(model_shape_new(&g, 0, &shape, &err), 0);
    assert_int_equal(shape.n_layers, g.layers);
    assert_true(shape.cached && shape.layer[0].cache > 0 && shape.live > shape.width);
    model_shape_done(&shape);
    gguf_done(&g);
}

/* Every shorter beginning asks for more; every shorter file is refused with a sentence. */
static void a_cut_file_is_refused(void **state)
{
    const char *source = getenv("GFXB_TEST_SOURCE");
    char path[500];
    struct buf bytes = BUF_INIT(4 << 20);
    snprintf(path, sizeof(path), "%s/data/canary.gguf", source ? source : ".");
    assert_int_equal(fs_read(path, bytes.max, &bytes), 0);
    for (size_t n = 0; n < bytes.n; n = n < 2000 ? n + 7 : n + 9973) {
        struct gguf g;
        struct gfxb_error err = {0};
        int result = gguf_read_bytes("cut", bytes.p, n, n, &g, &err);
        assert_int_equal(result, -GFXB_E_MODEL_DAMAGED);
        assert_true(err.text[0] != '\0');
        result = gguf_read_bytes("begun", bytes.p, n, bytes.n, &g, &err);
        assert_true(result == -EAGAIN || result == 0);
        if (result == 0)
            gguf_done(&g);
    }
    buf_done(&bytes);
}

/* A key is no C string: nothing behind the file's last byte is read for the sentence. */
static void a_key_of_no_type_is_named(void **state)
{
    static const unsigned char file[] = "GGUF\3\0\0\0"
                                        "\0\0\0\0\0\0\0\0"
                                        "\1\0\0\0\0\0\0\0"
                                        "\3\0\0\0\0\0\0\0"
                                        "abc\143\0\0";
    struct gguf g;
    struct gfxb_error err = {0};
    unsigned char *bytes = malloc(sizeof(file)); /* its end is guarded, unlike a constant's */
    assert_non_null(bytes);
    memcpy(bytes, file, sizeof(file));
    assert_int_equal(gguf_read_bytes("x", bytes, sizeof(file), sizeof(file), &g, &err),
                     -GFXB_E_MODEL_DAMAGED);
    assert_non_null(strstr(err.text, "'abc' has a value of type 99"));
    free(bytes);
}

static void what_is_no_model_file(void **state)
{
    struct gguf g;
    struct gfxb_error err = {0};
    assert_int_equal(gguf_read("/nonexistent/x.gguf", &g, &err), -ENOENT);
    assert_true(gguf_read("/", &g, &err) < 0);
    assert_int_equal(gguf_read("/dev/zero", &g, &err), -EINVAL);
    assert_int_equal(gguf_read("/proc/self/cmdline", &g, &err), -GFXB_E_MODEL_DAMAGED);
}

/* ---- before a download ---- */

#define GIB (UINT64_C(1) << 30)

static void what_cannot_fit_is_not_fetched(void **state)
{
    struct machine m = {.n_gpus = 0};
    const struct model_offer offer[] = {{"m-Q2_K.gguf", 5 * GIB},
                                        {"m-Q4_K_M.gguf", 9 * GIB},
                                        {"m-Q8_0.gguf", 17 * GIB},
                                        {"m-F16.gguf", 33 * GIB}};
    struct gfxb_error err = {0};
    m.host.memory_bytes = 16 * GIB;
    assert_int_equal(model_offer_check(&m, offer, 4, 1, &err), 0);
    assert_int_equal(model_offer_check(&m, offer, 4, 3, &err), -GFXB_E_MEMORY_TOO_SMALL);
    assert_non_null(strstr(err.text, "33.2 GiB"));
    assert_non_null(strstr(err.text, "15.0 GiB"));
    assert_non_null(strstr(err.text, "m-Q4_K_M.gguf (9.0 GiB)"));
    m.host.cgroup_limit_bytes = 4 * GIB;
    assert_int_equal(model_offer_check(&m, offer, 4, 1, &err), -GFXB_E_MEMORY_TOO_SMALL);
    assert_non_null(strstr(err.text, "Take a smaller model."));
    m.host = (struct machine){.n_gpus = 0}.host;
    assert_int_equal(model_offer_check(&m, offer, 4, 3, &err), 0);
    assert_int_equal(model_offer_check(NULL, offer, 4, 3, &err), 0);
}

static void a_card_adds_to_the_memory(void **state)
{
    struct machine_gpu gpu = {.kind = GFX_DISCRETE, .vram_bytes = 24 * GIB};
    struct machine m = {.gpu = &gpu, .n_gpus = 1};
    const struct model_offer offer = {"m.gguf", 33 * GIB};
    struct gfxb_error err = {0};
    m.host.memory_bytes = 16 * GIB;
    assert_int_equal(model_offer_check(&m, &offer, 1, 0, &err), 0);
    gpu.vram_bytes = 8 * GIB;
    assert_true(model_offer_check(&m, &offer, 1, 0, &err) < 0);
    assert_non_null(strstr(err.text, "Take a smaller model."));
}

/* Was a GPU left out for anything but its memory? Pull knows nothing of drivers and packages. */
static bool lacks_more_than_memory(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (c->gpu && c->code != GFXB_E_MEMORY_TOO_SMALL && c->code != GFXB_E_GFX_NOT_IN_PACKAGE)
            return true;
    }
    return false;
}

/* The plan for a model of which only the size is known, and whether it would be fetched. */
static void compare_offer(const struct machine *m, const struct gfx_tables *tables, uint64_t bytes,
                          const char *where)
{
    const struct model_offer offer = {"m.gguf", bytes};
    const struct plan_request request = {.backend = -1, .need_bytes = model_offer_need(bytes)};
    struct gfxb_error err = {0};
    struct plan *plan = NULL;
    assert_int_equal(plan_new(m, tables, &request, &plan, &err), 0);
    const struct plan_choice *c = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    bool fetched = model_offer_check(m, &offer, 1, 0, &err) == 0;
    if (c && c->have_bytes && !fetched)
        fail_msg("%s: planned on %s and not fetched: %s", where, plan_backend_name(c->backend),
                 err.text);
    if (!c && fetched && !lacks_more_than_memory(plan))
        fail_msg("%s: %llu bytes are fetched and cannot be used: %s", where,
                 (unsigned long long)bytes, plan->choice[0].reason);
    plan_free(plan);
}

static void what_is_planned_is_fetched(void **state)
{
    static const char *const names[] = {
        "rx7900xtx-raphael", "rx7800xt",   "w7900-x2",  "strixhalo-cwsr", "strixhalo-egpu",
        "phoenix-780m",      "mi300x-x8",  "rx6600",    "steamdeck",      "no-gpu-vm",
        "nvidia-only",       "intel-only", "no-driver", "strixhalo-lxc",  "wsl2-rx7900xtx"};
    const char *source = getenv("GFXB_TEST_SOURCE");
    struct gfxb_error err = {0};
    struct gfx_tables *tables;
    const struct model_knowns *known = model_knowns();
    assert_non_null(source);
    assert_int_equal(gfx_tables_new(NULL, &tables, &err), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[600];
        struct root *root;
        struct machine *m;
        snprintf(path, sizeof(path), "%s/tests/machines/%s.machine", source, names[i]);
        assert_int_equal(root_new(path, &root, &err), 0);
        assert_int_equal(machine_new(root, tables, &m, &err), 0);
        for (size_t k = 0; k < known->n; k++) {
            for (uint64_t times = 1; times <= 8; times *= 2)
                compare_offer(m, tables, known->item[k].bytes * times, names[i]);
        }
        machine_free(m);
        root_free(root);
    }
    gfx_tables_free(tables);
}

/* ---- names and options of the user's own ---- */

static char world_dir[64];
static struct model_env world_env;

static int world_make(void **state)
{
    snprintf(world_dir, sizeof(world_dir), "/tmp/gfxbridge-model-XXXXXX");
    assert_non_null(mkdtemp(world_dir));
    world_env = (struct model_env){.data_dir = world_dir};
    return 0;
}

static int world_remove(void **state)
{
    return fs_remove_tree(world_dir);
}

static void set_options(const char *name, const char *text)
{
    json_t *options = json_loads(text, 0, NULL);
    assert_non_null(options);
    assert_int_equal(model_options_write(&world_env, name, options, NULL), 0);
    json_decref(options);
}

/* What a name stands for, with the options that it has then: as JSON. */
static void expect_options(const char *name, const char *model, const char *text)
{
    json_t *all = NULL, *options = NULL, *wanted = json_loads(text, 0, NULL);
    const char *found;
    assert_int_equal(model_options_read(&world_env, &all, NULL), 0);
    assert_int_equal(model_options_follow(all, name, &found, &options, NULL), 0);
    assert_string_equal(found, model);
    assert_true(json_equal(options, wanted));
    json_decref(options);
    json_decref(wanted);
    json_decref(all);
}

/* Any text survives the table; the name that is asked comes before those behind it; the same word
 * in another case, with Ollama's ":latest" or Lemonade's "user." is the same name. */
static void options_are_stored_and_followed(void **state)
{
    expect_options("nobody", "nobody", "{}");
    set_options("Mario", "{\"model\":\"base:4b\",\"system\":\"a\\tb\\n\\u0001\\\"-\",\"top_k\":5}");
    set_options("base:4b", "{\"top_k\":1,\"stop\":[\"a\",\"\"]}");
    set_options("luigi", "{\"model\":\"mario:latest\",\"top_k\":9}");
    expect_options("mario", "base:4b",
                   "{\"system\":\"a\\tb\\n\\u0001\\\"-\",\"top_k\":5,\"stop\":[\"a\",\"\"]}");
    expect_options("user.LUIGI:latest", "base:4b",
                   "{\"system\":\"a\\tb\\n\\u0001\\\"-\",\"top_k\":9,\"stop\":[\"a\",\"\"]}");
    set_options("LUIGI:latest", "{\"top_k\":8}"); /* in its place: it is an alias no more */
    expect_options("luigi", "luigi", "{\"top_k\":8}");
    set_options("luigi", "{\"model\":\"mario:latest\",\"top_k\":9}");
    set_options("mario", "{}");
    expect_options("luigi", "mario:latest", "{\"top_k\":9}");
}

/* A name is a file of the working directory for a command line, never for a server's clients. */
static void only_a_command_line_names_files(void **state)
{
    struct model_env command = world_env;
    struct gfxb_error err;
    struct model model;
    char back[4096];
    command.files = true;
    assert_non_null(getcwd(back, sizeof(back)));
    assert_int_equal(chdir(world_dir), 0);
    assert_int_equal(fs_write("secret.gguf", "x", 1, 0600, NULL), 0);
    assert_int_equal(model_find(&command, "secret.gguf", &model, &err), -GFXB_E_MODEL_DAMAGED);
    assert_int_equal(model_find(&world_env, "secret.gguf", &model, &err), -GFXB_E_MODEL_UNKNOWN);
    assert_int_equal(model_pull(&world_env, "./secret.gguf", &model, &err), -EINVAL);
    assert_non_null(strstr(err.text, "gfxbridge import"));
    assert_int_equal(chdir(back), 0);
}

static void circles_end(void **state)
{
    struct gfxb_error err;
    json_t *all = NULL, *options = NULL;
    const char *model;
    set_options("a", "{\"model\":\"b\"}");
    set_options("b", "{\"model\":\"a\"}");
    assert_int_equal(model_options_read(&world_env, &all, &err), 0);
    assert_int_equal(model_options_follow(all, "a", &model, &options, &err), -ELOOP);
    assert_non_null(strstr(err.text, "gfxbridge alias"));
    json_decref(all);
}

static void damaged_options_are_named(void **state)
{
    static const char *const bad[] = {
        "name\tkey\tvalue\nx\ty\n",    "name\tkey\tvalue\nx\ty\t{\n",
        "name\tkey\tvalue\nx\ty\t-\n", "name\tkey\tvalue\nx\tmodel\t5\n",
        "name\tkey\nx\ty\n",
    };
    char *path = model_options_path(&world_env), *dir = fs_join(world_dir, "models");
    assert_int_equal(fs_make_dirs(dir, 0700, NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gfxb_error err = {.text = ""};
        json_t *all = NULL;
        assert_int_equal(fs_write(path, bad[i], strlen(bad[i]), 0600, NULL), 0);
        assert_int_equal(model_options_read(&world_env, &all, &err), -GFXB_E_TABLE);
        assert_non_null(strstr(err.text, "options.tsv"));
        assert_null(all);
        assert_true(model_options_write(&world_env, "z", NULL, NULL) < 0); /* nothing is lost */
    }
    free(path);
    free(dir);
}

/* ---- models of this disk ---- */

#define COMMIT "0123456789012345678901234567890123456789"

/* The canary's file under this path of the world: a link, as in the hub's cache, or a copy. */
static void put_model(const char *below, bool link)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(4 << 20);
    const char *source = getenv("GFXB_TEST_SOURCE");
    char *path = fs_join(world_dir, below);
    char *dir = strdup(path), *from = fs_join(source ? source : ".", "data/canary.gguf");
    *strrchr(dir, '/') = '\0';
    assert_int_equal(fs_make_dirs(dir, 0755, NULL), 0);
    assert_int_equal(fs_read(from, bytes.max, &bytes), 0);
    if (link)
        assert_int_equal(symlink(from, path), 0);
    else
        assert_int_equal(fs_write(path, bytes.p, bytes.n, 0644, NULL), 0);
    free(path);
    free(dir);
    free(from);
}

/* A store in Ollama's layout with one model, the canary. */
static void put_ollama(const char *store, const char *manifest)
{
    char below[300], text[600];
    struct stat st;
    snprintf(below, sizeof(below), "%s/blobs/sha256-%s", store, zeros);
    put_model(below, false);
    char *blob = fs_join(world_dir, below);
    assert_int_equal(stat(blob, &st), 0);
    free(blob);
    snprintf(below, sizeof(below), "%s/manifests/%s", store, manifest);
    char *path = fs_join(world_dir, below), *dir = strdup(path);
    *strrchr(dir, '/') = '\0';
    snprintf(text, sizeof(text),
             "{\"config\":{\"digest\":\"sha256:%s\",\"size\":1},\"layers\":[{\"mediaType\":"
             "\"application/vnd.ollama.image.model\",\"digest\":\"sha256:%s\",\"size\":%lld}]}",
             zeros, zeros, (long long)st.st_size);
    assert_int_equal(fs_make_dirs(dir, 0755, NULL), 0);
    assert_int_equal(fs_write(path, text, strlen(text), 0644, NULL), 0);
    free(path);
    free(dir);
}

/* below: the end of the path that is found, or words of the error. */
static void expect_found(const struct model_env *env, const char *name, enum model_origin origin,
                         const char *below)
{
    struct gfxb_error err = {.text = ""};
    struct model model;
    int r = model_find(env, name, &model, &err);
    if (r < 0 && (origin != MODEL_ORIGINS || !strstr(err.text, below)))
        fail_msg("%s: %s", name, err.text);
    if (r < 0)
        return;
    if (model.origin != origin || !str_ends(str_from(model.path), str_from(below)))
        fail_msg("%s: %s", name, model.path);
    model_done(&model);
}

/* A file is found by its path before one of that name in a folder; where only folders have it, and
 * several do, none is taken. Words for Ollama's registry never mean another program's file. */
static void names_mean_one_file(void **state)
{
    char *hub = fs_join(world_dir, "hub"), *ollama = fs_join(world_dir, "ollama");
    struct model_env env = {.hub = hub};
    put_model("hub/models--org--repo/snapshots/" COMMIT "/m-Q8_0.gguf", true);
    put_model("hub/models--org--repo/snapshots/" COMMIT "/old/m-Q8_0.gguf", true);
    put_model("hub/models--org--repo/snapshots/" COMMIT "/a/n-Q4_0.gguf", true);
    put_model("hub/models--org--repo/snapshots/" COMMIT "/b/n-Q4_0.gguf", true);
    expect_found(&env, "org/repo/m-Q8_0.gguf", MODEL_HUB, COMMIT "/m-Q8_0.gguf");
    expect_found(&env, "org/repo:old/m-q8_0.gguf", MODEL_HUB, "/old/m-Q8_0.gguf");
    expect_found(&env, "org/repo/n-Q4_0.gguf", MODEL_ORIGINS, "b/n-Q4_0.gguf, a/n-Q4_0.gguf");
    expect_found(&env, "org/repo:Q8_0", MODEL_HUB, COMMIT "/m-Q8_0.gguf");
    expect_found(&env, "ollama.com/org/repo:Q8_0", MODEL_ORIGINS, "gfxbridge pull");
    put_ollama("ollama", "registry.ollama.ai/org/repo/Q8_0");
    env.ollama = ollama;
    expect_found(&env, "org/repo:Q8_0", MODEL_HUB, COMMIT "/m-Q8_0.gguf");
    expect_found(&env, "ollama.com/org/repo:Q8_0", MODEL_OLLAMA, zeros);
    free(hub);
    free(ollama);
}

/* A model that is made again in another case replaces the one that is there. */
static void a_model_is_made_in_its_place(void **state)
{
    struct model_file file = {"m.gguf", zeros};
    struct gfxb_error err;
    struct model model;
    put_ollama("models/ollama", "registry.ollama.ai/library/Foo/latest");
    assert_int_equal(model_create(&world_env, "foo", &file, 1, &err), 0);
    assert_int_equal(model_create(&world_env, "FOO:Latest", &file, 1, &err), 0);
    assert_int_equal(model_find(&world_env, "fOO", &model, &err), 0);
    assert_string_equal(model.name, "Foo:latest");
    model_done(&model);
}

/* ---- uploads ---- */

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static int upload(const char *sha256, const char *text, bool whole, struct gfxb_error *err)
{
    struct model_blob *blob = NULL;
    assert_int_equal(model_blob_begin(&world_env, sha256, strlen(text), &blob, err), 0);
    assert_int_equal(model_blob_add(blob, str_from(text), err), 0);
    int r = whole ? model_blob_end(blob, err) : 0;
    model_blob_free(blob);
    return r;
}

/* A blob has its name once its digest was compared, and not before; what breaks off leaves nothing.
 */
static void blobs_are_whole_or_not_there(void **state)
{
    struct gfxb_error err;
    struct model_blob *blob = NULL;
    char *dir = fs_join(world_dir, "models/ollama/blobs");
    uint64_t bytes = 1;
    assert_null(model_blob_find(&world_env, ABC));
    assert_int_equal(upload(ABC, "abd", true, &err), -EINVAL);
    assert_non_null(strstr(err.text, "digest mismatch"));
    assert_int_equal(upload(ABC, "abc", false, &err), 0);
    assert_null(model_blob_find(&world_env, ABC));
    DIR *list = opendir(dir);
    assert_null(fs_next(list));
    closedir(list);
    assert_int_equal(upload(ABC, "abc", true, &err), 0);
    char *path = model_blob_find(&world_env, ABC);
    assert_non_null(path);
    assert_null(model_blob_find(&world_env, "../x"));
    assert_int_equal(model_blob_begin(&world_env, ABC, UINT64_MAX / 2, &blob, &err),
                     -GFXB_E_DISK_FULL);
    assert_non_null(strstr(err.text, "no room for the upload"));
    assert_int_equal(fs_tree_bytes(dir, &bytes), 0);
    struct model_file file = {"x.gguf", ABC};
    assert_true(model_create(&world_env, "x", &file, 1, &err) < 0); /* it is no GGUF */
    assert_non_null(strstr(err.text, "x.gguf"));
    assert_int_equal(model_create(&world_env, "a/b/c", &file, 1, &err), -EINVAL);
    assert_int_equal(model_create(&world_env, "../x", &file, 1, &err), -EINVAL);
    free(path);
    free(dir);
}

enum { UPLOADS = 200 };

static void *upload_many(void *context)
{
    int *good = context;
    for (int i = 0; i < UPLOADS; i++) {
        struct model_blob *blob = NULL;
        *good += model_blob_begin(&world_env, ABC, 3, &blob, NULL) == 0 &&
                 model_blob_add(blob, STR("abc"), NULL) == 0 && model_blob_end(blob, NULL) == 0;
        model_blob_free(blob);
    }
    return NULL;
}

/* Uploads that begin at the same time do not take each other's files for a killed server's. */
static void uploads_leave_each_other_alone(void **state)
{
    pthread_t thread;
    int good[2] = {0, 0};
    assert_int_equal(pthread_create(&thread, NULL, upload_many, &good[0]), 0);
    upload_many(&good[1]);
    pthread_join(thread, NULL);
    assert_int_equal(good[0], UPLOADS);
    assert_int_equal(good[1], UPLOADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_mean_what_they_say),
        cmocka_unit_test(a_url_needs_its_digest),
        cmocka_unit_test(bad_words_are_refused),
        cmocka_unit_test(a_misspelt_name_gets_the_nearest),
        cmocka_unit_test(the_list_is_long_and_whole),
        cmocka_unit_test(recipes_lead_to_arguments),
        cmocka_unit_test(vectors_get_a_batch_of_their_context),
        cmocka_unit_test(a_listed_model_has_its_own_recipe),
        cmocka_unit_test(the_canary_is_read),
        cmocka_unit_test(a_cut_file_is_refused),
        cmocka_unit_test(a_key_of_no_type_is_named),
        cmocka_unit_test(what_is_no_model_file),
        cmocka_unit_test(what_cannot_fit_is_not_fetched),
        cmocka_unit_test(a_card_adds_to_the_memory),
        cmocka_unit_test_setup_teardown(options_are_stored_and_followed, world_make, world_remove),
        cmocka_unit_test_setup_teardown(only_a_command_line_names_files, world_make, world_remove),
        cmocka_unit_test_setup_teardown(circles_end, world_make, world_remove),
        cmocka_unit_test_setup_teardown(damaged_options_are_named, world_make, world_remove),
        cmocka_unit_test_setup_teardown(names_mean_one_file, world_make, world_remove),
        cmocka_unit_test_setup_teardown(a_model_is_made_in_its_place, world_make, world_remove),
        cmocka_unit_test_setup_teardown(blobs_are_whole_or_not_there, world_make, world_remove),
        cmocka_unit_test_setup_teardown(uploads_leave_each_other_alone, world_make, world_remove),
        cmocka_unit_test(what_is_planned_is_fetched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
