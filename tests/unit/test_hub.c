/*
 * test_hub.c - what hubs and registries say, and which of their files make a model: nothing from
 * outside leads out of a directory, gets a token sent elsewhere, or passes for a digest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/cache/cache.h"
#include "model/model_private.h"
#include "model/pull/pull.h"

#include <errno.h>
#include <stdio.h>

#define OID    "1111111111111111111111111111111111111111111111111111111111111111"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define BASE   "https://hub.example"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- names ---- */

static void test_safe_paths(void **state)
{
    static const char *const good[] = {"a.gguf", "dir/a b.gguf", "x/y/z", "a..b/c",
                                       "\xc3\xa4.gguf"};
    static const char *const bad[] = {"",
                                      "/a",
                                      "a/",
                                      "../a",
                                      "a/../b",
                                      "a/..",
                                      ".",
                                      "..",
                                      "./a",
                                      "a//b",
                                      ".git/a",
                                      "a/.hidden",
                                      "a\\b",
                                      "a\nb",
                                      "a\x7f"
                                      "b",
                                      "a\x01"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(pick_is_safe(str_from(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(pick_is_safe(str_from(bad[i])));
    char long_name[PICK_PATH_MAX + 2];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_false(pick_is_safe(str_from(long_name)));
}

static void test_repository_names(void **state)
{
    static const char *const bad[] = {"",     "a",    "a/",     "/a",  "a/b/c",
                                      "../a", "a/..", "a--b/c", ".a/b"};
    struct hub_cache c;
    assert_int_equal(hub_cache_name("/hub", "org/name", &c, NULL), 0);
    assert_string_equal(c.top, "/hub/models--org--name");
    assert_string_equal(c.locks, "/hub/.locks/models--org--name");
    char *back = hub_cache_repository(c.name);
    assert_string_equal(back, "org/name");
    free(back);
    hub_cache_done(&c);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(hub_cache_name("/hub", bad[i], &c, NULL), -EINVAL);
    assert_null(hub_cache_repository("models--gpt2"));
    assert_null(hub_cache_repository("datasets--a--b"));
    assert_null(hub_cache_repository("models--a--b--c"));
    assert_null(hub_cache_repository("models----b"));
}

static void test_parts(void **state)
{
    struct pick_split split;
    assert_true(pick_take_apart(STR("d/m-Q4_K_M-00002-of-00003.gguf"), &split));
    assert_true(str_is(split.prefix, "d/m-Q4_K_M"));
    assert_int_equal(split.index, 2);
    assert_int_equal(split.count, 3);
    assert_true(pick_take_apart(STR("m-00004-of-00003.gguf"), &split));
    assert_int_equal(split.count, 1); /* no such part: a name like any other */
    assert_true(pick_take_apart(STR("m-00000-of-00003.gguf"), &split));
    assert_int_equal(split.count, 1);
    assert_true(pick_take_apart(STR("m-00001-of-99999.gguf"), &split));
    assert_int_equal(split.count, 1);
    assert_false(pick_take_apart(STR("m.safetensors"), &split));
    assert_false(pick_take_apart(STR(".gguf"), &split));
    unsigned index = 0;
    assert_true(pick_is_part(STR("m-00001-of-00002.gguf"), STR("m-00002-of-00002.gguf"), &index));
    assert_int_equal(index, 2);
    assert_false(pick_is_part(STR("m-00001-of-00002.gguf"), STR("n-00002-of-00002.gguf"), &index));
    assert_false(pick_is_part(STR("m-00001-of-00002.gguf"), STR("m-00002-of-00003.gguf"), &index));
}

static void test_tags(void **state)
{
    static const char *const of[][2] = {
        {"m-Q4_K_M.gguf", "Q4_K_M"},
        {"m.q8_0.gguf", "q8_0"},
        {"m-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
        {"m-IQ2_XXS-00001-of-00002.gguf", "IQ2_XXS"},
        {"m-F16.gguf", "F16"},
        {"m-BF16.gguf", "BF16"},
        {"m-MXFP4.gguf", "MXFP4"},
        {"m-4b-it.gguf", ""},
        {"Q4_K_M/m-instruct.gguf", ""},
        {"Q4_0.gguf", ""},
        {"m-Qwen.gguf", ""},
    };
    for (size_t i = 0; i < COUNT(of); i++)
        assert_true(str_is(pick_tag(str_from(of[i][0])), of[i][1]));
}

static void test_choice(void **state)
{
    static const char *const files[] = {"BF16/m-BF16.gguf", "imatrix-Q4_K_M.gguf", "m-F16.gguf",
                                        "m-Q2_K.gguf",      "m-Q4_K_M.gguf",       "m-Q8_0.gguf",
                                        "mmproj-F16.gguf",  "mmproj-F32.gguf"};
    size_t n = COUNT(files);
    assert_int_equal(pick_model(files, n, STR_NONE), 4);
    assert_int_equal(pick_model(files, 4, STR_NONE), 0); /* neither Q4_K_M nor Q8_0: the first */
    assert_int_equal(pick_model(files, n, STR("q8_0")), 5);
    assert_int_equal(pick_model(files, n, STR("F16")), 2); /* not the BF16 that comes before it */
    assert_int_equal(pick_model(files, 1, STR("F16")), 0); /* which is all that there is here */
    assert_int_equal(pick_model(files, n, STR("Q9")), n);
    assert_int_equal(pick_projector(files, n, STR("m-Q4_K_M.gguf")), 6);
    assert_int_equal(pick_projector(files, 5, STR("m-Q4_K_M.gguf")), 5);
}

/* The path itself comes before a file of that name in a folder, the case as it stands before any
 * other; what can be several files is refused with their names. */
static void test_file_by_its_name(void **state)
{
    static const char *const files[] = {"BF16/m.gguf", "M.gguf", "a/n.gguf",
                                        "b/n.gguf",    "m.gguf", "o/O.gguf"};
    static const struct {
        const char *wanted;
        size_t index;
    } of[] = {{"m.gguf", 4}, {"M.gguf", 1}, {"bf16/M.GGUF", 0}, {"b/n.gguf", 3},
              {"o.GGUF", 5}, {"n.gguf", 6}, {"p.gguf", 6}};
    struct gfxb_error err = {.text = ""};
    size_t index;
    for (size_t i = 0; i < COUNT(of); i++) {
        bool several = strcmp(of[i].wanted, "n.gguf") == 0;
        assert_int_equal(pick_file(files, 6, str_from(of[i].wanted), &index, &err),
                         several ? -GFXB_E_MODEL_UNKNOWN : 0);
        assert_int_equal(index, of[i].index);
    }
    assert_non_null(strstr(err.text, "a/n.gguf, b/n.gguf"));
    assert_int_equal(pick_file(files, 4, STR("m.GGUF"), &index, NULL), 0);
    assert_int_equal(index, 1);
    assert_int_equal(pick_file(files, 6, STR("m.GGUF"), &index, NULL), -GFXB_E_MODEL_UNKNOWN);
}

static void test_projector_in_its_folder(void **state)
{
    static const char *const files[] = {"a/mmproj-F32.gguf", "b/mmproj-F16.gguf",
                                        "mmproj-F16.gguf"};
    assert_int_equal(pick_projector(files, 3, STR("a/m-F16.gguf")), 0);
    assert_int_equal(pick_projector(files, 3, STR("c/m-F16.gguf")), 2);
    assert_int_equal(pick_projector(files, 2, STR("m-F16.gguf")), 2);
}

/* ---- the hub's JSON ---- */

static void test_tree(void **state)
{
    struct hub_tree tree = {.file = NULL};
    const char *page =
        "[{\"type\":\"file\",\"path\":\"b.gguf\",\"size\":9,\"oid\":\"" COMMIT "\","
        "\"lfs\":{\"oid\":\"" OID "\",\"size\":7},\"xetHash\":\"" OID "\"},"
        "{\"type\":\"file\",\"path\":\"a.gguf\",\"size\":9,\"oid\":\"" COMMIT "\"},"
        "{\"type\":\"directory\",\"path\":\"d.gguf\",\"oid\":\"" COMMIT "\"},"
        "{\"type\":\"file\",\"path\":\"README.md\",\"size\":9,\"oid\":\"" COMMIT "\"},"
        "{\"type\":\"file\",\"path\":\"../c.gguf\",\"size\":9,\"oid\":\"" COMMIT "\"},"
        "{\"type\":\"file\",\"path\":\"d.gguf\",\"size\":9,\"oid\":\"" OID "\"},"
        "{\"type\":\"file\",\"path\":\"e.gguf\",\"size\":-1,\"oid\":\"" COMMIT "\"},"
        "7, null, {}]";
    assert_int_equal(hub_tree_add(&tree, str_from(page), NULL), 0);
    assert_int_equal(hub_tree_add(&tree, str_from(page), NULL), 0); /* pages may overlap */
    hub_tree_sort(&tree);
    assert_int_equal(tree.n, 2);
    assert_int_equal(tree.refused, 6);
    assert_string_equal(tree.file[0].path, "a.gguf");
    assert_false(tree.file[0].lfs);
    assert_string_equal(tree.file[0].etag, COMMIT);
    assert_true(tree.file[1].lfs);
    assert_string_equal(tree.file[1].etag, OID);
    assert_int_equal(tree.file[1].size, 7);
    assert_string_equal(tree.file[1].xet, OID);
    hub_tree_done(&tree);
    assert_int_equal(hub_tree_add(&tree, STR("{}"), NULL), -GFXB_E_MODEL_UNAVAILABLE);
    assert_int_equal(hub_tree_add(&tree, STR("[[["), NULL), -GFXB_E_MODEL_UNAVAILABLE);
    hub_tree_done(&tree);
}

static void test_commit(void **state)
{
    char commit[HUB_COMMIT], name[] = "org/repo", other[] = "org/old";
    const struct str good = STR("{\"sha\":\"" COMMIT "\",\"id\":\"Org/REPO\"}");
    assert_int_equal(hub_info_parse(good, commit, name, NULL), 0);
    assert_string_equal(commit, COMMIT);
    assert_string_equal(name, "Org/REPO"); /* one repository has one place in the cache */
    assert_int_equal(hub_info_parse(good, commit, other, NULL), 0);
    assert_string_equal(other, "org/old"); /* renamed: it stays where it was asked for */
    assert_int_equal(hub_info_parse(STR("{\"sha\":\"../../x\"}"), commit, name, NULL),
                     -GFXB_E_MODEL_UNAVAILABLE);
    assert_int_equal(hub_info_parse(STR("{}"), commit, name, NULL), -GFXB_E_MODEL_UNAVAILABLE);
    assert_int_equal(hub_info_parse(STR_NONE, commit, name, NULL), -GFXB_E_MODEL_UNAVAILABLE);
}

/* A name goes to the Ollama registry only when the hub has no such repository. */
static void test_names_stay_at_their_hub(void **state)
{
    char *public = xstr_dup(model_hub_endpoint(MODEL_HUB_HF));
    char *registry = xstr_dup(model_hub_endpoint(MODEL_HUB_OLLAMA));
    struct model_env env = {.hf_endpoint = public, .ollama_registry = registry};
    assert_true(pull_hub_lacks(&env, 404, "RepoNotFound"));
    assert_true(pull_hub_lacks(&env, 401, "RepoNotFound"));
    assert_true(pull_hub_lacks(&env, 401, ""));
    assert_false(pull_hub_lacks(&env, 401, "GatedRepo"));
    assert_false(pull_hub_lacks(&env, 404, "RevisionNotFound"));
    env.hf_token = "hf_x";
    assert_true(pull_hub_lacks(&env, 404, "RepoNotFound"));
    assert_false(pull_hub_lacks(&env, 401, ""));
    env.hf_endpoint = BASE;
    assert_false(pull_hub_lacks(&env, 404, "RepoNotFound"));
    env.ollama_registry = BASE;
    assert_true(pull_hub_lacks(&env, 404, "RepoNotFound"));
    free(public);
    free(registry);
}

static void next_is(const char *link, const char *wanted)
{
    char *next = hub_next_page(str_from(link), BASE);
    if (wanted) {
        assert_non_null(next);
        assert_string_equal(next, wanted);
    } else {
        assert_null(next);
    }
    free(next);
}

static void test_next_page(void **state)
{
    next_is("<" BASE "/api/models/o/r/tree/main?cursor=x>; rel=\"next\"",
            BASE "/api/models/o/r/tree/main?cursor=x");
    next_is("<" BASE "/a>; rel=\"prev\", <" BASE "/b>; rel=\"next\"", BASE "/b");
    next_is("<" BASE "/a>; rel=\"prev\"", NULL);
    /* The token goes to the base alone, whatever the header names. */
    next_is("<https://evil.example/api/models/o/r?c=1>; rel=\"next\"", BASE "/api/models/o/r?c=1");
    next_is("<" BASE ".evil.example/api/models/o>; rel=\"next\"", BASE "/api/models/o");
    next_is("<" BASE "@evil.example/x>; rel=\"next\"", NULL);
    next_is("</api/models/o/r?c=2>; rel=next", BASE "/api/models/o/r?c=2");
    next_is("<>; rel=\"next\"", NULL);
    next_is("rel=\"next\"", NULL);
    next_is("", NULL);
}

static void test_etags(void **state)
{
    char etag[DIGEST_HEX];
    hub_etag_plain(STR("W/\"abc\""), etag, sizeof(etag));
    assert_string_equal(etag, "abc");
    hub_etag_plain(STR(" \"" OID "\" "), etag, sizeof(etag));
    assert_string_equal(etag, OID);
    hub_etag_plain(STR("\"" OID "1\""), etag, sizeof(etag));
    assert_string_equal(etag, "");
    hub_etag_plain(STR("\""), etag, sizeof(etag));
    assert_string_equal(etag, "\"");
}

static void test_url_paths(void **state)
{
    struct buf CLEAN_BUF url = BUF_INIT(4096);
    hub_add_path(&url, "a b/c#d?e%f\xc3\xa4.gguf");
    assert_string_equal(buf_text(&url), "a%20b/c%23d%3Fe%25f%C3%A4.gguf");
}

/* ---- the registry's JSON ---- */

#define LAYER(type, digest, size)                                                                  \
    "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"

static void test_manifest(void **state)
{
    struct ollama_manifest m;
    static const char good[] = "{\"config\":" LAYER("x", "sha256:" OID, "3") ",\"layers\":[" LAYER(
        "application/vnd.ollama.image.model", "sha256:" OID,
        "5") "," LAYER("application/vnd.ollama.image.a-kind-with-a-long-name", "sha256:" OID,
                       "0") "]}";
    assert_int_equal(ollama_manifest_parse(str_from(good), &m, NULL), 0);
    assert_int_equal(m.n, 3);
    assert_int_equal(ollama_manifest_find(&m, "model")->size, 5);
    assert_int_equal(ollama_manifest_find(&m, "config")->size, 3);
    assert_null(ollama_manifest_find(&m, "projector"));
    assert_string_equal(m.layer[1].kind, "");
    ollama_manifest_done(&m);
    static const char *const bad[] = {
        "",
        "[]",
        "{\"layers\":[]}",
        "{\"config\":{},\"layers\":[]}",
        "{\"config\":" LAYER("x", "sha256:" OID, "3") ",\"layers\":[]}",
        "{\"config\":" LAYER("x", "sha256:" OID, "3") ",\"layers\":[{}]}",
        "{\"config\":" LAYER("x", "sha256:" OID, "3") ",\"layers\":[" LAYER(
            "x", "sha256:../../../../../../etc/passwd", "3") "]}",
        "{\"config\":" LAYER("x", "sha256:" OID, "3") ",\"layers\":[" LAYER("x", "sha256:" OID,
                                                                            "-3") "]}",
        "{\"config\":" LAYER("x", "sha512:" OID, "3") ",\"layers\":[" LAYER("x", "sha256:" OID,
                                                                            "3") "]}",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(ollama_manifest_parse(str_from(bad[i]), &m, NULL),
                         -GFXB_E_MODEL_UNAVAILABLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe_paths),
        cmocka_unit_test(test_repository_names),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_file_by_its_name),
        cmocka_unit_test(test_projector_in_its_folder),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_commit),
        cmocka_unit_test(test_next_page),
        cmocka_unit_test(test_names_stay_at_their_hub),
        cmocka_unit_test(test_etags),
        cmocka_unit_test(test_url_paths),
        cmocka_unit_test(test_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
