/*
 * test_github.c - release archives, as far as no network is needed: URLs of release files, the
 * release API's answer. tests/real/mirror.py does the rest against a server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "package/package_private.h"

#include <errno.h>
#include <stdio.h>

#define URL "https://github.com/lemonade-sdk/llamacpp-rocm/releases/download/b1/a-b1.zip"
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- URLs ---- */

static void release_url_is_taken_apart(void **state)
{
    struct github_asset a;
    assert_true(github_asset_parse(STR(URL), &a));
    assert_true(str_is(a.scheme, "https:") && str_is(a.host, "github.com"));
    assert_true(str_is(a.owner, "lemonade-sdk") && str_is(a.repository, "llamacpp-rocm"));
    assert_true(str_is(a.tag, "b1") && str_is(a.name, "a-b1.zip"));
}

static void other_urls_are_not_taken_for_releases(void **state)
{
    static const char *const urls[] = {
        "",
        "https://github.com",
        "https://github.com/o/r/releases/download/t",
        "https://github.com/o/r/releases/download/t/",
        "https://github.com/o/r/releases/download/t/a/b",
        "https://github.com/o/r/releases/latest/t/a",
        "https://github.com//r/releases/download/t/a",
        "ftp://github.com/o/r/releases/download/t/a",
        "https:/x/github.com/o/r/releases/download/t/a",
        "https://repo.example/rocm/tarball/therock.tar.gz",
    };
    struct github_asset a;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_false(github_asset_parse(str_from(urls[i]), &a));
}

/* ---- the API's answer ---- */

static int find(const char *json, char *ret_sha256, uint64_t *ret_size, struct gfxb_error *err)
{
    struct github_asset a;
    assert_true(github_asset_parse(STR(URL), &a));
    return github_asset_find(str_from(json), &a, ret_sha256, ret_size, err);
}

static void digest_is_that_of_exactly_this_file(void **state)
{
    char sha256[DIGEST_HEX];
    uint64_t size = 0;
    struct gfxb_error err = {0};
    assert_int_equal(
        find("{\"assets\": [{\"name\": \"a-b1.zip.txt\", \"digest\": \"sha256:"
             "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"},"
             "{\"name\": \"a-b1.zip\", \"state\": \"uploaded\", \"size\": 77, \"digest\": "
             "\"sha256:" HEX "\"}]}",
             sha256, &size, &err),
        0);
    assert_string_equal(sha256, HEX);
    assert_int_equal(size, 77);
}

static void no_digest_no_install(void **state)
{
    static const char *const digests[] = {
        "null",
        "\"\"",
        "\"sha256:\"",
        "\"sha256:" HEX "0\"",
        "\"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"",
        "\"sha512:" HEX "\"",
        "\"" HEX "\"",
        "7",
    };
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        char json[512], sha256[DIGEST_HEX];
        uint64_t size = 0;
        struct gfxb_error err = {0};
        snprintf(json, sizeof(json), "{\"assets\": [{\"name\": \"a-b1.zip\", \"digest\": %s}]}",
                 digests[i]);
        assert_int_equal(find(json, sha256, &size, &err), -GFXB_E_DIGEST_MISSING);
        assert_non_null(strstr(err.text, "a-b1.zip"));
    }
}

static void other_answers_are_refused(void **state)
{
    static const char *const answers[] = {
        "",
        "[]",
        "{}",
        "{\"assets\": {}}",
        "{\"assets\": []}",
        "{\"assets\": [7, null, [], {}]}",
        "{\"assets\": [{\"name\": 7}]}",
        "{\"message\": \"Not Found\"}",
        "<html>",
        "{\"assets\": [{\"name\": \"a-b1.zip\", \"state\": \"starter\", \"digest\": \"sha256:" HEX
        "\"}]}",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char sha256[DIGEST_HEX];
        uint64_t size = 0;
        struct gfxb_error err = {0};
        assert_int_equal(find(answers[i], sha256, &size, &err), -GFXB_E_PACKAGE_UNAVAILABLE);
        assert_true(err.text[0] != '\0');
    }
}

/* ---- runtimes ---- */

static void runtime_is_of_the_exact_target(void **state)
{
    static const struct {
        const char *gfx;
        const char *row; /* NULL: none */
    } expected[] = {
        {"gfx942", "therock-gfx94X-linux"},
        {"gfx1010", "therock-gfx101X-linux"},
        {"gfx1036", "therock-gfx103X-linux"},
        {"gfx1151", "therock-gfx1151-linux"},
        {"gfx906", NULL},
        {"gfx9999", NULL},
        {NULL, NULL},
    };
    struct gfx_tables *tables;
    struct gfx_package engine = {.id = STR("e"), .os = GFX_LINUX, .arch = STR("x86_64")};
    assert_int_equal(gfx_tables_new(NULL, &tables, NULL), 0);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct package_env env = {.tables = tables, .gfx = expected[i].gfx};
        const struct gfx_package *row = NULL;
        struct gfxb_error err = {0};
        int r = runtime_choose(&env, &engine, &row, &err);
        assert_int_equal(r, expected[i].row ? 0 : -GFXB_E_NO_PACKAGE);
        if (expected[i].row)
            assert_true(str_is(row->id, expected[i].row));
    }
    gfx_tables_free(tables);
}

static const char *setting(void *context, const char *name)
{
    return strcmp(name, "GFXBRIDGE_THEROCK") == 0 ? "https://mirror.example/rocm/" : "";
}

static void runtime_base_is_configurable(void **state)
{
    struct package_net net = {.setting = setting};
    struct package_env env = {.net = &net};
    struct gfx_package row = {.locate = STR("https://h.example/a/b/therock-1.tar.gz")};
    char *CLEAN_FREE changed = runtime_url(&env, &row);
    assert_string_equal(changed, "https://mirror.example/rocm/therock-1.tar.gz");
    env.net = NULL;
    char *CLEAN_FREE as_it_is = runtime_url(&env, &row);
    assert_string_equal(as_it_is, "https://h.example/a/b/therock-1.tar.gz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(release_url_is_taken_apart),
        cmocka_unit_test(other_urls_are_not_taken_for_releases),
        cmocka_unit_test(digest_is_that_of_exactly_this_file),
        cmocka_unit_test(no_digest_no_install),
        cmocka_unit_test(other_answers_are_refused),
        cmocka_unit_test(runtime_is_of_the_exact_target),
        cmocka_unit_test(runtime_base_is_configurable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
