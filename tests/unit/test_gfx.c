/*
 * test_gfx.c - gfx/: the embedded tables and every look-up in them, what a malformed table is
 * answered with, and what people's queries find.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gfx/gfx.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the project's own tables ---- */

static int own_setup(void **state)
{
    struct gfx_tables *t = NULL;
    struct gfxb_error err = {0};
    int result = gfx_tables_new(NULL, &t, &err);
    if (result < 0)
        print_error("%s\n", err.text);
    *state = t;
    return result;
}

static int own_teardown(void **state)
{
    gfx_tables_free(*state);
    return 0;
}

static const struct gfx_target *target_of(const struct gfx_tables *t, const char *gfx)
{
    const struct gfx_target *target = gfx_target_find(t, str_from(gfx));
    if (!target)
        fail_msg("no target %s", gfx);
    return target;
}

#define assert_str(view, text)                                                                     \
    do {                                                                                           \
        struct str view_ = (view);                                                                 \
        if (!str_is(view_, text))                                                                  \
            fail_msg("'%.*s' is not '%s'", STR_ARG(view_), text);                                  \
    } while (0)

/* The rules between tables hold for what we ship. */
static void test_own_tables_pass_their_check(void **state)
{
    const struct gfx_tables *t = *state;
    struct gfxb_error err = {0};
    if (gfx_tables_check(t, &err) != 0)
        fail_msg("%s", err.text);
    size_t devices = 0;
    for (size_t i = 0; i < t->n_cards; i++)
        devices += t->card[i].revision == -1;
    assert_true(devices >= 1105);
}

/* Features are cut off; a name that no row has is not found, nor is a part of one. */
static void test_target_find(void **state)
{
    const struct gfx_tables *t = *state;
    assert_str(target_of(t, "gfx1101")->generation, "RDNA3");
    assert_str(target_of(t, "gfx906:sramecc+:xnack-")->gfx, "gfx906");
    assert_str(target_of(t, "gfx11-generic")->gfx, "gfx11-generic");
    static const char *const unknown[] = {"", "gfx", "gfx11", "gfx110", "gfx11011", "GFX1101", ":"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_null(gfx_target_find(t, str_from(unknown[i])));
    for (size_t i = 0; i < t->n_targets; i++)
        assert_ptr_equal(gfx_target_find(t, t->target[i].gfx), &t->target[i]);
}

/* KFD's number prints minor and stepping in hexadecimal, and every row agrees with its own name. */
static void test_kfd_numbers(void **state)
{
    const struct gfx_tables *t = *state;
    static const struct {
        uint32_t version;
        const char *name;
    } good[] = {{90010, "gfx90a"},   {90012, "gfx90c"},   {90402, "gfx942"},   {100306, "gfx1036"},
                {110000, "gfx1100"}, {110501, "gfx1151"}, {120001, "gfx1201"}, {120500, "gfx1250"},
                {80003, "gfx803"},   {991515, "gfx99ff"}};
    char name[16];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(gfx_kfd_name(good[i].version, name, sizeof(name)), 0);
        assert_string_equal(name, good[i].name);
    }
    static const uint32_t bad[] = {0, 1, 9999, 90016, 91600, 90099, 99999, 1000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(gfx_kfd_name(bad[i], name, sizeof(name)), -EINVAL);
    assert_int_equal(gfx_kfd_name(110501, name, 7), -E2BIG);
    for (size_t i = 0; i < t->n_targets; i++) {
        const struct gfx_target *target = &t->target[i];
        if (!target->kfd)
            continue;
        assert_int_equal(gfx_kfd_name(target->kfd, name, sizeof(name)), 0);
        assert_str(target->gfx, name);
        assert_ptr_equal(gfx_target_by_kfd(t, target->kfd), target);
    }
    assert_null(gfx_target_by_kfd(t, 0));
    assert_null(gfx_target_by_kfd(t, 130000));
}

/* The map from GC versions is not arithmetic, and 9.4.3 had three targets. */
static void test_gc_versions(void **state)
{
    const struct gfx_tables *t = *state;
    static const struct {
        const char *gc, *gfx;
    } map[] = {{"11.0.1", "gfx1103"}, {"11.0.4", "gfx1103"},  {"11.0.3", "gfx1101"},
               {"10.1.1", "gfx1012"}, {"10.1.2", "gfx1011"},  {"10.3.3", "gfx1035"},
               {"10.3.5", "gfx1034"}, {"10.3.7", "gfx1036"},  {"9.4.0", "gfx906"},
               {"9.4.1", "gfx908"},   {"9.4.2", "gfx90a"},    {"9.4.4", "gfx942"},
               {"9.0.1", "gfx900"},   {"10.1.10", "gfx1010"}, {"12.1.0", "gfx1250"}};
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        const struct gfx_target *target = gfx_target_by_gc(t, str_from(map[i].gc));
        assert_non_null(target);
        assert_str(target->gfx, map[i].gfx);
    }
    static const char *const none[] = {"", "9.4.3", "9.4", "11.0", "11.0.10", "99.0.0"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_null(gfx_target_by_gc(t, str_from(none[i])));
}

static void test_card_find(void **state)
{
    const struct gfx_tables *t = *state;
    assert_str(gfx_card_name(gfx_card_find(t, 0x744c, 0xcc)), "AMD Radeon RX 7900 XT");
    assert_str(gfx_card_name(gfx_card_find(t, 0x744c, 0xc8)), "AMD Radeon RX 7900 XTX");
    /* A revision that no row has, and none at all: the row of the device. */
    assert_int_equal(gfx_card_find(t, 0x744c, 0x77)->revision, -1);
    assert_int_equal(gfx_card_find(t, 0x744c, -1)->revision, -1);
    assert_null(gfx_card_find(t, 0x0000, -1));
    assert_null(gfx_card_find(t, 0xffff, 0));
    /* Before GCN: known, and explicitly without a target. */
    const struct gfx_card *old = gfx_card_find(t, 0x6718, -1); /* Cayman */
    assert_non_null(old);
    assert_int_equal(gfx_card_gfx(old).n, 0);
    assert_true(gfx_card_generation(old).n > 0);
    for (size_t i = 0; i < t->n_cards; i++)
        assert_ptr_equal(gfx_card_find(t, t->card[i].device, t->card[i].revision), &t->card[i]);
}

static const struct gfx_package *package_of(const struct gfx_tables *t, const char *id)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        if (str_is(t->package[i].id, id))
            return &t->package[i];
    }
    fail_msg("no package %s", id);
    return NULL;
}

static void covers(const struct gfx_tables *t, const char *gfx, const char *list, enum gfx_via via,
                   const char *used)
{
    struct str entry = STR("untouched");
    enum gfx_via got = gfx_covers(t, target_of(t, gfx), str_from(list), &entry);
    if (got != via)
        fail_msg("%s in '%s': %d, not %d", gfx, list, (int)got, (int)via);
    assert_str(entry, via == GFX_VIA_NONE ? "untouched" : used);
    assert_int_equal(gfx_covers(t, target_of(t, gfx), str_from(list), NULL), via);
}

/* Exact, then generic, then an override; never another family, never more registers. */
static void test_covers(void **state)
{
    const struct gfx_tables *t = *state;
    covers(t, "gfx1100", "gfx1030 gfx1100", GFX_VIA_EXACT, "gfx1100");
    covers(t, "gfx90a", "gfx90a:xnack+ gfx90a:xnack-", GFX_VIA_EXACT, "gfx90a:xnack+");
    covers(t, "gfx90a", "gfx90a:xnack+ gfx90a", GFX_VIA_EXACT, "gfx90a");
    covers(t, "gfx90a", "gfx90a gfx90a:xnack+", GFX_VIA_EXACT, "gfx90a");
    covers(t, "gfx1036", "gfx1030 gfx10-3-generic", GFX_VIA_GENERIC, "gfx10-3-generic");
    covers(t, "gfx1036", "gfx1030", GFX_VIA_OVERRIDE, "gfx1030");
    covers(t, "gfx1031", "gfx1100 gfx1030", GFX_VIA_OVERRIDE, "gfx1030");
    covers(t, "gfx1013", "gfx1010:xnack-", GFX_VIA_OVERRIDE, "gfx1010:xnack-");
    covers(t, "gfx1152", "gfx1150 gfx1151", GFX_VIA_OVERRIDE, "gfx1150");
    covers(t, "gfx1152", "gfx1151", GFX_VIA_NONE, NULL);
    covers(t, "gfx1103", "gfx1100 gfx1101", GFX_VIA_NONE, NULL);
    covers(t, "gfx90c", "gfx900", GFX_VIA_NONE, NULL);
    covers(t, "gfx1010", "gfx1030", GFX_VIA_NONE, NULL);
    covers(t, "gfx1030", "gfx1031 gfx1032", GFX_VIA_NONE, NULL);
    covers(t, "gfx1170", "gfx11-generic", GFX_VIA_NONE, NULL);
    covers(t, "gfx908", "gfx9-generic gfx9-4-generic", GFX_VIA_NONE, NULL);
    covers(t, "gfx1100", "gfx110 gfx11001 gfx110X", GFX_VIA_NONE, NULL);
    covers(t, "gfx1100", "", GFX_VIA_NONE, NULL);
}

/* The archive's name says gfx103X, its code does not. */
static void test_a_package_is_matched_by_its_list(void **state)
{
    const struct gfx_tables *t = *state;
    const struct gfx_package *p = package_of(t, "llamacpp-rocm-gfx103X-linux");
    static const char *const in[] = {"gfx1030", "gfx1031", "gfx1032", "gfx1034"};
    static const char *const out[] = {"gfx1033", "gfx1035", "gfx1036"};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        assert_int_equal(gfx_covers(t, target_of(t, in[i]), p->gfx, NULL), GFX_VIA_EXACT);
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        assert_int_not_equal(gfx_covers(t, target_of(t, out[i]), p->gfx, NULL), GFX_VIA_EXACT);
    p = package_of(t, "debian-rocm");
    assert_str(p->gfx,
               "gfx803 gfx900 gfx906 gfx908 gfx90a gfx1010 gfx1030 gfx1100 gfx1101 gfx1102");
    assert_true(p->installable);
    assert_str(
        package_of(t, "debian-vulkan")->locate,
        "llama.cpp-tools llama.cpp-tools-extra libggml0-backend-rpc libggml0-backend-vulkan");
}

static void test_quirk_names(void **state)
{
    const struct gfx_tables *t = *state;
    const struct gfx_target *halo = target_of(t, "gfx1151"), *strix = target_of(t, "gfx1150");
    struct gfx_quirk one = {.gfx = STR("gfx1151 gfx1152")}, any = {.gfx = STR_NONE};
    assert_true(gfx_quirk_names(&one, halo));
    assert_false(gfx_quirk_names(&one, strix));
    assert_false(gfx_quirk_names(&one, NULL));
    assert_true(gfx_quirk_names(&any, strix));
    assert_true(gfx_quirk_names(&any, NULL));
    bool found = false;
    for (size_t i = 0; i < t->n_quirks; i++) {
        const struct gfx_quirk *quirk = &t->quirk[i];
        if (!str_has(quirk->condition, STR("kfd-lacks=cwsr")) || !gfx_quirk_names(quirk, halo))
            continue;
        found = true;
        assert_int_equal(quirk->effect, GFX_BLOCK);
        assert_int_equal(quirk->code, GFXB_E_KERNEL_QUIRK);
        assert_true(quirk->remedy.n > 0);
    }
    assert_true(found);
}

/* An engine that says which releases of the runtime it runs on gets the best that can be installed
 * for the target; one that says nothing, the first of the table. */
static void test_runtimes_are_paired(void **state)
{
    const struct gfx_tables *t = *state;
    const struct gfx_package *rocm10 = package_of(t, "ggml-rocm-10.0-linux");
    const struct gfx_package *rocm7 = package_of(t, "lemonade-rocm-7.14-linux");
    assert_non_null(rocm10);
    assert_non_null(rocm7);
    assert_true(str_is(rocm10->runtime, "therock") && str_is(rocm10->releases, "10.0 7.14"));
    assert_int_equal(rocm7->releases.n, 0);
    assert_true(str_is(gfx_runtime_find(t, rocm10, STR("gfx1151"), true)->tag, "10.0.0"));
    assert_true(str_is(gfx_runtime_find(t, rocm10, STR("gfx1201"), true)->tag, "10.0.0"));
    assert_true(str_is(gfx_runtime_find(t, rocm10, STR("gfx1100"), true)->tag, "7.14.0"));
    assert_true(str_is(gfx_runtime_find(t, rocm10, STR("gfx1100"), false)->tag, "10.0.0"));
    assert_true(str_is(gfx_runtime_find(t, rocm7, STR("gfx1151"), true)->tag, "7.14.0"));
    assert_null(gfx_runtime_find(t, rocm10, STR("gfx803"), false));
}

static void test_table_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        struct str bytes = gfx_table_bytes(gfx_table_name((enum gfx_table)i));
        assert_true(bytes.n > 1000);
        assert_int_equal(bytes.p[0], '#');
        assert_int_equal(bytes.p[bytes.n - 1], '\n');
    }
    assert_int_equal(gfx_table_bytes("models").n, 0);
}

/* ---- tables made by hand ---- */

static const char *const headers[GFX_TABLES] = {
    [GFX_TARGETS] =
        "gfx|family|generation|asics|kind|gc|kfd|generic|covers|elf_mach|vgpr_kib|vulkan|linux|"
        "mesa|atomics|source",
    [GFX_CARDS] = "device|revision|name|asic|gfx|generation|kind|confidence|source",
    [GFX_PACKAGES] =
        ("id|provider|engine|backend|os|arch|gfx|unconfirmed|runtime|glibc|locate|tag|sha256|"
         "size|installable|notes|source"),
    [GFX_QUIRKS] = "id|gfx|condition|effect|code|value|text|remedy|confidence|source",
    [GFX_PROOFS] = "card|gfx|on|package|kernel|driver|date|outcome|tokens_per_second|source",
};

/* A small set that passes every rule. */
static const char *const good_rows[GFX_TABLES] = {
    [GFX_TARGETS] =
        "gfx1030|gfx103X|RDNA2|Navi "
        "21|discrete|10.3.0|100300|gfx10-3-generic|-|0x36|256|yes|-|-|-|S\n"
        "gfx1031|gfx103X|RDNA2|Navi "
        "22|discrete|10.3.2|100301|gfx10-3-generic|-|0x37|256|yes|-|-|-|S\n"
        "gfx1100|gfx110X|RDNA3|Navi 31|discrete|11.0.0|110000|-|-|0x41|384|yes|-|-|-|S\n"
        "gfx10-3-generic|-|RDNA2|-|unknown|-|-|-|gfx1030 gfx1031|0x53|-|-|-|-|-|S\n",
    [GFX_CARDS] = "6718|*|Radeon HD 6970|Cayman|-|TeraScale 3|discrete|verified|S\n"
                  "73df|*|RX 6700|Navi 22|gfx1031|RDNA2|discrete|verified|S\n"
                  "73df|c1|RX 6700 XT|Navi 22|gfx1031|RDNA2|discrete|single|S\n",
    [GFX_PACKAGES] =
        "a|github|llamacpp|rocm|linux|x86_64|gfx1030|gfx1031|therock|2.35|https://h/"
        "a|b1|-|10|yes|-|S\n"
        "b|debian|llamacpp|vulkan|linux|x86_64|-|-|none|-|pkg|-|-|-|yes|-|S\n"
        "c|debian|llamacpp|cpu|linux|x86_64|-|-|none|-|pkg|-|-|-|yes|-|S\n"
        "d|github|llamacpp|vulkan|windows|x86_64|-|-|none|-|https://h/d|b1|-|-|yes|-|S\n"
        "e|github|llamacpp|cpu|windows|x86_64|-|-|none|-|https://h/e|b1|-|-|yes|-|S\n"
        "r|therock|-|runtime|linux|x86_64|gfx1030|-|none|-|https://h/r|7|-|-|no|-|S\n",
    [GFX_QUIRKS] = ("q1|gfx1031|os=linux|override|-|gfx1030|text|-|high|S\n"
                    "q2|-|-|env|-|NAME=1|text|-|low|S\n"),
    [GFX_PROOFS] = "1002:73df|gfx1031|emulated|a|-|e|2026-11-30|proven|-|S\n"
                   "1002:73df|gfx1031|hardware|a|6.1|k|2026-11-30|canary-mismatch|-|S\n"
                   "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|proven|9|S\n"
                   "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|proven|9|T\n"
                   "10de:2335|-|hardware|llamacpp:vulkan|6.1|n|2026-11-30|proven|-|S\n",
};

/* '|' stands for a tab. Owned by the caller. */
static char *table_text(enum gfx_table table, const char *rows)
{
    char *text = NULL;
    assert_true(asprintf(&text, "# comment\n\n%s\n%s", headers[table], rows) > 0);
    for (char *p = text; *p; p++) {
        if (*p == '|')
            *p = '\t';
    }
    return text;
}

/* The good set with one table's rows replaced, read and checked. The first row is in line 4. */
static int set_result(enum gfx_table table, const char *rows, struct gfxb_error *err)
{
    static const char *const files[GFX_TABLES] = {"t.tsv", "c.tsv", "p.tsv", "q.tsv", "k.tsv"};
    struct gfx_table_source source[GFX_TABLES];
    char *text[GFX_TABLES];
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        text[i] = table_text((enum gfx_table)i, i == table ? rows : good_rows[i]);
        source[i] = (struct gfx_table_source){(enum gfx_table)i, files[i], str_from(text[i])};
    }
    struct gfx_tables *t = NULL;
    int result = gfx_tables_from(source, GFX_TABLES, &t, err);
    if (result == 0)
        result = gfx_tables_check(t, err);
    else
        assert_null(t);
    gfx_tables_free(t);
    for (unsigned i = 0; i < GFX_TABLES; i++)
        free(text[i]);
    return result;
}

static void test_the_good_set_is_good(void **state)
{
    (void)state;
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        struct gfxb_error err = {0};
        if (set_result((enum gfx_table)i, good_rows[i], &err) != 0)
            fail_msg("%s", err.text);
    }
}

struct bad_table {
    enum gfx_table table;
    const char *rows;
    const char *where; /* how the sentence begins */
    const char *why;   /* a part of it */
};

static void run_bad(const struct bad_table *bad, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct gfxb_error err = {0};
        int result = set_result(bad[i].table, bad[i].rows, &err);
        if (result != -GFXB_E_TABLE || err.code != GFXB_E_TABLE ||
            strncmp(err.text, bad[i].where, strlen(bad[i].where)) != 0 ||
            !strstr(err.text, bad[i].why))
            fail_msg("case %zu: %d '%s', not '%s...%s'", i, result, err.text, bad[i].where,
                     bad[i].why);
    }
}

#define T1 "gfx1030|gfx103X|RDNA2|Navi 21|discrete|10.3.0|100300|-|-|0x36|256|yes|-|-|-|S\n"

/* One row is wrong in itself: file, line and column are named. */
static void test_bad_rows(void **state)
{
    (void)state;
    static const struct bad_table bad[] = {
        {GFX_TARGETS, "gfx1030|gfx103X\n", "t.tsv:4:", "field"},
        {GFX_TARGETS, T1 "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:5:1 (gfx)",
         "twice"},
        {GFX_TARGETS, T1 "gfx90a|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:5:1",
         "before"},
        {GFX_TARGETS, "gfx1030 gfx1031|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:1",
         "one"},
        {GFX_TARGETS, "gfx90a:xnack+|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:1",
         "one"},
        {GFX_TARGETS, "-|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:1", "one gfx"},
        {GFX_TARGETS, "navi31|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:1", "name"},
        {GFX_TARGETS, "gfx1030|f|g|a|dgpu|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:5 (kind)",
         "none of: unknown, discrete"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|0x1|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:7 (kfd)",
         "decimal"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|1000000|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:7",
         "at most 999999"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|-|-|yes|-|-|-|S\n", "t.tsv:4:10 (elf_mach)",
         "hex"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x136|-|yes|-|-|-|S\n", "t.tsv:4:10", "255"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|x|yes|-|-|-|S\n",
         "t.tsv:4:11 (vgpr_kib)", "decimal"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|6.x|-|-|S\n", "t.tsv:4:13 (linux)",
         "version"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|24..1|-|S\n",
         "t.tsv:4:14 (mesa)", "version"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|ever|S\n",
         "t.tsv:4:15 (atomics)", "decimal"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|maybe|-|-|-|S\n",
         "t.tsv:4:12 (vulkan)", "yes, kernel, no"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|-\n", "t.tsv:4:16 (source)",
         "must have"},
        {GFX_CARDS, "744|*|n|a|-|g|discrete|verified|S\n", "c.tsv:4:1 (device)", "4 hex"},
        {GFX_CARDS, "0x74|*|n|a|-|g|discrete|verified|S\n", "c.tsv:4:1", "4 hex"},
        {GFX_CARDS, "744g|*|n|a|-|g|discrete|verified|S\n", "c.tsv:4:1", "744g"},
        {GFX_CARDS, "744c|*|n|a|-|g|discrete|verified|S\n744c|c|n|a|-|g|discrete|verified|S\n",
         "c.tsv:5:2 (revision)", "2 hex"},
        {GFX_CARDS, "744c|c1|n|a|-|g|discrete|verified|S\n", "c.tsv:4:2", "first row"},
        {GFX_CARDS, "744c|*|n|a|-|g|discrete|verified|S\n744c|*|n|a|-|g|discrete|verified|S\n",
         "c.tsv:5:2", "twice"},
        {GFX_CARDS, "744c|*|n|a|-|g|discrete|verified|S\n744b|*|n|a|-|g|discrete|verified|S\n",
         "c.tsv:5:1", "sorted"},
        {GFX_CARDS, "744c|*|n|a|Navi|g|discrete|verified|S\n", "c.tsv:4:5 (gfx)", "Navi"},
        {GFX_CARDS, "744c|*|n|a|gfx1100 gfx1100|g|discrete|verified|S\n", "c.tsv:4:5", "twice"},
        {GFX_CARDS, "744c|*|n|a|-|g|apu|verified|S\n", "c.tsv:4:7 (kind)", "integrated"},
        {GFX_CARDS, "744c|*|n|a|-|g|discrete|sure|S\n", "c.tsv:4:8 (confidence)", "inferred"},
        {GFX_CARDS, "744c|*|n|a|-|g|discrete|verified|-\n", "c.tsv:4:9 (source)", "must have"},
        {GFX_CARDS, "744c|*|a\001b|a|-|g|discrete|verified|S\n", "c.tsv:4:3 (name)", "control"},
        {GFX_CARDS, "744c|*|a\033[2J|a|-|g|discrete|verified|S\n", "c.tsv:4:3 (name)", "byte 2"},
        {GFX_QUIRKS, "-|-|-|note|-|-|t|-|high|S\n", "q.tsv:4:1 (id)", "must"},
        {GFX_QUIRKS, "b|-|-|note|-|-|t|-|high|S\na|-|-|note|-|-|t|-|high|S\n", "q.tsv:5:1",
         "before 'b'"},
        {GFX_QUIRKS, "b|-|-|note|-|-|t|-|high|S\nb|-|-|note|-|-|t|-|high|S\n", "q.tsv:5:1",
         "twice"},
        {GFX_QUIRKS, "a|gfx1030-gfx1036x!|-|note|-|-|t|-|high|S\n", "q.tsv:4:2 (gfx)", "name"},
        {GFX_QUIRKS, "a|-|-|stop|-|-|t|-|high|S\n", "q.tsv:4:4 (effect)", "block, warn"},
        {GFX_QUIRKS, "a|-|-|block|-|-|t|-|high|S\n", "q.tsv:4:5 (code)", "reason code"},
        {GFX_QUIRKS, "a|-|-|block|ok|-|t|-|high|S\n", "q.tsv:4:5 (code)", "reason code"},
        {GFX_QUIRKS, "a|-|-|block|kernel|-|t|-|high|S\n", "q.tsv:4:5 (code)", "'kernel'"},
        {GFX_QUIRKS, "a|-|-|warn|kernel-quirk|-|t|-|high|S\n", "q.tsv:4:5 (code)", "only a block"},
        {GFX_QUIRKS, "a|-|-|env|-|-|t|-|high|S\n", "q.tsv:4:6 (value)", "NAME=text"},
        {GFX_QUIRKS, "a|-|-|env|-|A B=1|t|-|high|S\n", "q.tsv:4:6 (value)", "NAME=text"},
        {GFX_QUIRKS, "a|-|-|env|-|=1|t|-|high|S\n", "q.tsv:4:6 (value)", "NAME=text"},
        {GFX_QUIRKS, "a|-|-|arg|-|-|t|-|high|S\n", "q.tsv:4:6 (value)", "must"},
        {GFX_QUIRKS, "a|-|-|note|-|x|t|-|high|S\n", "q.tsv:4:6 (value)", "no value"},
        {GFX_QUIRKS, "a|gfx1031|-|override|-|x|t|-|high|S\n", "q.tsv:4:6 (value)", "name"},
        {GFX_QUIRKS, "a|-|-|override|-|gfx1030|t|-|high|S\n", "q.tsv:4:2 (gfx)", "must"},
        {GFX_QUIRKS, "a|-|-|note|-|-|-|-|high|S\n", "q.tsv:4:7 (text)", "must"},
        {GFX_QUIRKS, "a|-|-|note|-|-|t|-|certain|S\n", "q.tsv:4:9 (confidence)", "disputed"},
        {GFX_QUIRKS, "a|-|-|note|-|-|t|-|high|-\n", "q.tsv:4:10 (source)", "must"},
        {GFX_QUIRKS, "a|-|-|note|-|-|t|-|high|S|extra\n", "q.tsv:4:10", "more than"},
    };
    run_bad(bad, sizeof(bad) / sizeof(bad[0]));
}

/* What the rooms below the engines' know of each kind. */
static void test_engines(void **state)
{
    struct gfx_engine first, same, none;
    (void)state;
    assert_true(gfx_engine_at(0, &first));
    assert_true(str_eq(first.name, gfx_engine_default()));
    assert_true(gfx_engine_find(STR_NONE, &same) && str_eq(same.name, first.name));
    assert_true(gfx_engine_find(first.name, &same) && str_eq(same.program, first.program));
    assert_false(gfx_engine_find(STR("none such"), &none));
    assert_false(gfx_engine_at(1000, &none));
    assert_true(gfx_engine_owns_file(&first, STR("libggml-base.so.0")));
    assert_false(gfx_engine_owns_file(&first, STR("libhsa-runtime64.so.1")));
    assert_true(str_is(gfx_engine_backend_file(&first, STR("vulkan")), "libggml-vulkan.so"));
    assert_int_equal(gfx_engine_backend_file(&first, STR("cpu")).n, 0);
}

static void test_bad_package_rows(void **state)
{
    (void)state;
    static const struct bad_table bad[] = {
        {GFX_PACKAGES, "-|github|llamacpp|rocm|linux|x86_64|gfx1030|-|-|-|u|b1|-|-|no|-|S\n",
         "p.tsv:4:1 (id)", "must have"},
        {GFX_PACKAGES,
         "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|-|no|-|S\nb|x|llamacpp|cpu|linux|x86_64|-|-|-"
         "|-|u|-|-|-|no|-|"
         "S\n"
         "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|-|no|-|S\n",
         "p.tsv:6:1 (id)", "first in line 4"},
        {GFX_PACKAGES, "a|-|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|-|no|-|S\n",
         "p.tsv:4:2 (provider)", "must"},
        {GFX_PACKAGES, "a|x|llamacpp|cuda|linux|x86_64|-|-|-|-|u|-|-|-|no|-|S\n",
         "p.tsv:4:4 (backend)", "rocm, vulkan, cpu, runtime"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|macos|x86_64|-|-|-|-|u|-|-|-|no|-|S\n", "p.tsv:4:5 (os)",
         "linux"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|amd64|-|-|-|-|u|-|-|-|no|-|S\n", "p.tsv:4:6 (arch)",
         "aarch64"},
        {GFX_PACKAGES, "a|x|llamacpp|rocm|linux|x86_64|-|-|-|-|u|-|-|-|no|-|S\n", "p.tsv:4:7 (gfx)",
         "must"},
        {GFX_PACKAGES, "a|x|llamacpp|rocm|linux|x86_64|gfx103X|-|-|-|u|-|-|-|no|-|S\n",
         "p.tsv:4:7 (gfx)", "gfx103X"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|gfx1030|-|-|-|u|-|-|-|no|-|S\n", "p.tsv:4:7",
         "no code"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|system 7.14|-|u|-|-|-|no|-|S\n",
         "p.tsv:4:9", "with releases"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|shared|-|u|-|-|-|no|-|S\n",
         "p.tsv:4:9 (runtime)", "therock"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|-|-|-|-|no|-|S\n",
         "p.tsv:4:11 (locate)", "must"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|abc|-|no|-|S\n",
         "p.tsv:4:13 (sha256)", "64"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|-1|no|-|S\n",
         "p.tsv:4:14 (size)", "decimal"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|99999999999999999999|no|-|S\n",
         "p.tsv:4:14 (size)", "at most"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|-|1|-|S\n",
         "p.tsv:4:15 (installable)", "yes"},
        {GFX_PACKAGES, "a|x|llamacpp|cpu|linux|x86_64|-|-|-|-|u|-|-|-|no|-|-\n",
         "p.tsv:4:17 (source)", "must"},
    };
    run_bad(bad, sizeof(bad) / sizeof(bad[0]));
}

#define P1 "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|proven|9|S\n"
#define P(card, gfx, package, kernel, outcome)                                                     \
    card "|" gfx "|hardware|" package "|" kernel "|k|2026-11-30|" outcome "|-|S\n"

/* Forged and contradictory outcomes: each has its sentence. */
static void test_bad_proofs(void **state)
{
    (void)state;
    static const struct bad_table bad[] = {
        {GFX_PROOFS, P("1002:73DF", "gfx1031", "b", "6.1", "proven"), "k.tsv:4:1 (card)", "PCI id"},
        {GFX_PROOFS, P("73df", "gfx1031", "b", "6.1", "proven"), "k.tsv:4:1 (card)", "PCI id"},
        {GFX_PROOFS, P("1002:73df", "gfx1031", "b", "6.1", "fine"), "k.tsv:4:8 (outcome)", "fine"},
        {GFX_PROOFS, "1002:73df|gfx1031|hardware|b|6.1|k|2026-13-30|proven|9|S\n",
         "k.tsv:4:7 (date)", "2026-13-30"},
        {GFX_PROOFS, "1002:73df|gfx1031|hardware|b|6.1|k|yesterday|proven|9|S\n",
         "k.tsv:4:7 (date)", "not a date"},
        {GFX_PROOFS, "1002:73df|gfx1031|dreamt|b|6.1|k|2026-11-30|proven|9|S\n", "k.tsv:4:3 (on)",
         "hardware, emulated"},
        {GFX_PROOFS, "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|engine-hang|9|S\n", "k.tsv:4:9",
         "no speed"},
        {GFX_PROOFS, "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|proven|9000000|S\n",
         "k.tsv:4:9", "at most"},
        {GFX_PROOFS, "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|proven|9|-\n", "k.tsv:4:10",
         "must have"},
        {GFX_PROOFS, P1 P1, "k.tsv:5:1", "twice"},
        {GFX_PROOFS, P1 "1002:73df|gfx1031|hardware|b|6.1|k|2026-11-30|too-slow|-|T\n",
         "k.tsv:5:8 (outcome)", "contradicts"},
        {GFX_PROOFS, P1 P("1002:73df", "gfx1031", "a", "6.1", "engine-crash"), "k.tsv:5:4",
         "sorted"},
        {GFX_PROOFS, P("1002:73df", "gfx1030", "b", "6.1", "proven"),
         "k.tsv:4:", "c.tsv:5 says that the card 1002:73df is 'gfx1031'"},
        {GFX_PROOFS, P("1002:73df", "-", "b", "6.1", "proven"), "k.tsv:4:", "not a target"},
        {GFX_PROOFS, P("1002:73df", "gfx10-3-generic", "b", "6.1", "proven"),
         "k.tsv:4:", "not a target"},
        {GFX_PROOFS, P("1002:6718", "gfx1031", "b", "6.1", "proven"),
         "k.tsv:4:", "1002:6718 is ''"},
        {GFX_PROOFS, P("1002:ffff", "gfx1031", "b", "6.1", "proven"), "k.tsv:4:", "not in c.tsv"},
        {GFX_PROOFS, P("10de:2335", "gfx1031", "b", "6.1", "proven"), "k.tsv:4:", "not a target"},
        {GFX_PROOFS, P("10de:2335", "-", "a", "6.1", "proven"), "k.tsv:4:", "holds no code"},
        {GFX_PROOFS, P("1002:73df", "gfx1031", "c", "6.1", "proven"), "k.tsv:4:", "'c' is no"},
        {GFX_PROOFS, P("1002:73df", "gfx1031", "d", "6.1", "proven"), "k.tsv:4:", "'d' is no"},
        {GFX_PROOFS, P("1002:73df", "gfx1031", "zzz", "6.1", "proven"), "k.tsv:4:", "'zzz' is no"},
        {GFX_PROOFS, P("1002:73df", "gfx1031", "other:rocm", "6.1", "proven"),
         "k.tsv:4:", "'other:rocm'"},
        {GFX_PROOFS, P("1002:73df", "gfx1031", "b", "-", "proven"), "k.tsv:4:", "which kernel"},
        {GFX_PROOFS, "1002:73df|gfx1031|hardware|b|6.1|k|2126-11-30|proven|9|S\n",
         "k.tsv:4:", "yet to come"},
    };
    run_bad(bad, sizeof(bad) / sizeof(bad[0]));
}

/* Failures count apart, emulators for nothing, and a package's rows for that package alone. */
static void test_known(void **state)
{
    (void)state;
    struct gfx_table_source source[GFX_TABLES];
    char *text[GFX_TABLES];
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        text[i] = table_text((enum gfx_table)i, good_rows[i]);
        source[i] = (struct gfx_table_source){(enum gfx_table)i, "t", str_from(text[i])};
    }
    struct gfx_tables *t = NULL;
    assert_int_equal(gfx_tables_from(source, GFX_TABLES, &t, NULL), 0);
    const struct gfx_target *target = gfx_target_find(t, STR("gfx1031"));
    struct gfx_known any = gfx_known_of(t, target, "", "vulkan", STR_NONE);
    struct gfx_known a = gfx_known_of(t, target, "", "rocm", STR("a"));
    struct gfx_known other = gfx_known_of(t, target, "", "vulkan", STR("x"));
    struct gfx_known by_id = gfx_known_of(t, NULL, "10de:2335", "vulkan", STR_NONE);
    assert_true(any.proven == 2 && any.failed == 0 && any.emulated == 0);
    assert_true(a.proven == 0 && a.failed == 1 && a.emulated == 1);
    assert_true(other.proven == 0 && other.failed == 0 && by_id.proven == 1);
    struct buf CLEAN_BUF words = BUF_INIT(400);
    gfx_known_write(&any, &words);
    buf_add_text(&words, "|");
    gfx_known_write(&a, &words);
    buf_add_text(&words, "|");
    gfx_known_write(&other, &words);
    buf_add_text(&words, "|");
    gfx_known_write(&(struct gfx_known){.emulated = 1}, &words);
    assert_string_equal(buf_text(&words),
                        "proven by 2|failed for 1|published|published, proven on an emulator");
    gfx_tables_free(t);
    for (unsigned i = 0; i < GFX_TABLES; i++)
        free(text[i]);
}

#define G "gfx10-3-generic|-|RDNA2|-|unknown|-|-|-|gfx1030|0x53|-|-|-|-|-|S\n"
#define REST                                                                                       \
    "b|debian|llamacpp|vulkan|linux|x86_64|-|-|none|-|p|-|-|-|yes|-|S\n"                           \
    "c|debian|llamacpp|cpu|linux|x86_64|-|-|none|-|p|-|-|-|yes|-|S\n"                              \
    "d|debian|llamacpp|vulkan|windows|x86_64|-|-|none|-|p|-|-|-|yes|-|S\n"                         \
    "e|debian|llamacpp|cpu|windows|x86_64|-|-|none|-|p|-|-|-|yes|-|S\n"

/* Rows that are well-formed but contradict another row: file and line are named. */
static void test_bad_sets(void **state)
{
    (void)state;
    static const struct bad_table bad[] = {
        {GFX_CARDS, "744c|*|n|a|gfx1102|RDNA3|discrete|verified|S\n", "c.tsv:4:", "gfx1102"},
        {GFX_CARDS, "744c|*|n|a|gfx10-3-generic|RDNA2|discrete|verified|S\n",
         "c.tsv:4:", "not a target"},
        {GFX_CARDS, "744c|*|n|a|-|-|discrete|verified|S\n", "c.tsv:4:", "says why"},
        {GFX_PACKAGES, "a|x|llamacpp|rocm|linux|x86_64|gfx1030 gfx9999|-|-|-|u|-|-|-|no|-|S\n" REST,
         "p.tsv:4:", "gfx9999"},
        {GFX_PACKAGES,
         "a|x|llamacpp|rocm|linux|x86_64|gfx1030|gfx9999:xnack-|-|-|u|-|-|-|no|-|S\n" REST,
         "p.tsv:4:", "gfx9999"},
        {GFX_PACKAGES, "a|x|llamacpp|rocm|linux|x86_64|gfx1030|gfx1030|-|-|u|-|-|-|no|-|S\n" REST,
         "p.tsv:4:", "both"},
        {GFX_PACKAGES, "a|x|other|cpu|linux|x86_64|-|-|-|-|u|-|-|-|no|-|S\n" REST,
         "p.tsv:4:", "'other' is not its engine"},
        {GFX_PACKAGES, "a|x|-|cpu|linux|x86_64|-|-|-|-|u|-|-|-|yes|-|S\n" REST,
         "p.tsv:4:", "of which engine"},
        {GFX_PACKAGES, "a|x|llamacpp|runtime|linux|x86_64|gfx1030|-|-|-|u|-|-|-|no|-|S\n" REST,
         "p.tsv:4:", "not its engine"},
        {GFX_PACKAGES, "a|x|llamacpp|rocm|linux|x86_64|gfx1030|-|therock|-|u|-|-|-|no|-|S\n" REST,
         "p.tsv:4:", "no runtime package holds 'gfx1030'"},
        {GFX_PACKAGES,
         "a|x|llamacpp|rocm|linux|x86_64|gfx1030|-|therock|-|u|-|-|-|no|-|S\n" REST
         "r|therock|-|runtime|windows|x86_64|gfx1030|-|none|-|u|-|-|-|no|-|S\n",
         "p.tsv:4:", "no runtime"},
        {GFX_PACKAGES,
         "a|github|llamacpp|rocm|linux|x86_64|gfx1030|-|-|-|http://h|b1|-|-|yes|-|S\n" REST,
         "p.tsv:4:", "exact URL"},
        {GFX_PACKAGES,
         "a|github|llamacpp|rocm|linux|x86_64|gfx1030|-|-|-|https://h|-|-|-|yes|-|S\n" REST,
         "p.tsv:4:", "tag"},
        {GFX_PACKAGES, "c|debian|llamacpp|cpu|linux|x86_64|-|-|none|-|p|-|-|-|yes|-|S\n",
         "p.tsv:4:", "no installable vulkan package for linux"},
        {GFX_PACKAGES,
         "b|debian|llamacpp|vulkan|linux|x86_64|-|-|none|-|p|-|-|-|yes|-|S\n"
         "c|debian|llamacpp|cpu|linux|x86_64|-|-|none|-|p|-|-|-|no|-|S\n",
         "p.tsv:5:", "no installable cpu package for linux"},
        {GFX_QUIRKS, "a|gfx1031 gfx1102|-|note|-|-|t|-|high|S\n", "q.tsv:4:", "gfx1102"},
        {GFX_QUIRKS, "a|gfx1031|-|override|-|gfx1102|t|-|high|S\n", "q.tsv:4:", "gfx1102"},
        {GFX_QUIRKS, "a|gfx1031|-|override|-|gfx1100|t|-|high|S\n", "q.tsv:4:", "substitute"},
    };
    run_bad(bad, sizeof(bad) / sizeof(bad[0]));
    static const struct bad_table targets[] = {
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|gfx10-3-generic|-|0x36|-|yes|-|-|-|S\n",
         "t.tsv:4:", "does not cover"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n" G,
         "t.tsv:5:", "not its generic"},
        {GFX_TARGETS, G, "t.tsv:4:", "'gfx1030' is covered here"},
        {GFX_TARGETS, "gfx1030|-|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "t.tsv:4:", "family"},
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|-|-|-|-|S\n", "t.tsv:4:", "Vulkan"},
        {GFX_TARGETS,
         "gfx1030|f|g|a|discrete|-|100300|-|-|0x36|-|yes|-|-|-|S\n"
         "gfx1031|f|g|a|discrete|-|100300|-|-|0x37|-|yes|-|-|-|S\n",
         "t.tsv:5:", "kfd"},
        /* The cards table names what is gone. */
        {GFX_TARGETS, "gfx1030|f|g|a|discrete|-|-|-|-|0x36|-|yes|-|-|-|S\n", "c.tsv:5:", "gfx1031"},
    };
    run_bad(targets, sizeof(targets) / sizeof(targets[0]));
}

/* An override that has more registers than the target is refused even within a family. */
static void test_an_override_needs_the_same_registers(void **state)
{
    (void)state;
    static const char *const rows =
        "gfx1150|gfx115X|RDNA3.5|-|integrated|-|110500|gfx11-generic|-|0x43|256|yes|-|-|-|S\n"
        "gfx1151|gfx115X|RDNA3.5|-|integrated|-|110501|gfx11-generic|-|0x4a|384|yes|-|-|-|S\n"
        "gfx1152|gfx115X|RDNA3.5|-|integrated|-|110502|gfx11-generic|-|0x55|256|yes|-|-|-|S\n"
        "gfx11-generic|-|RDNA3|-|unknown|-|-|-|gfx1150 gfx1151 gfx1152|0x54|-|-|-|-|-|S\n";
    char *targets = table_text(GFX_TARGETS, rows);
    static const char *const tails[] = {"gfx1150", "gfx1151"};
    for (size_t i = 0; i < 2; i++) {
        char row[128];
        snprintf(row, sizeof(row), "a|gfx1152|-|override|-|%s|t|-|low|S\n", tails[i]);
        char *quirks = table_text(GFX_QUIRKS, row), *cards = table_text(GFX_CARDS, "");
        char *packages = table_text(GFX_PACKAGES, REST), *proofs = table_text(GFX_PROOFS, "");
        struct gfx_table_source source[] = {{GFX_TARGETS, "t", str_from(targets)},
                                            {GFX_QUIRKS, "q", str_from(quirks)},
                                            {GFX_CARDS, "c", str_from(cards)},
                                            {GFX_PACKAGES, "p", str_from(packages)},
                                            {GFX_PROOFS, "k", str_from(proofs)}};
        struct gfx_tables *t = NULL;
        struct gfxb_error err = {0};
        assert_int_equal(gfx_tables_from(source, 5, &t, &err), 0);
        assert_int_equal(gfx_tables_check(t, &err), i == 0 ? 0 : -GFXB_E_TABLE);
        gfx_tables_free(t);
        free(quirks);
        free(cards);
        free(packages);
        free(proofs);
    }
    free(targets);
}

/* No header, a wrong one, nothing at all, NUL bytes, half a file. */
static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        const char *why;
    } bad[] = {
        {{"", 0}, "x.tsv:"},
        {{NULL, 0}, "x.tsv:"},
        {{"# only a comment\n", 17}, "header"},
        {{"device\trevision\n", 16}, "x.tsv:1:"},
        {{"\0\0\0\0", 4}, "x.tsv:1:1"},
        {{"\xff\xfe\n", 3}, "x.tsv:1:"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gfx_table_source source = {GFX_CARDS, "x.tsv", bad[i].bytes};
        struct gfx_tables *t = NULL;
        struct gfxb_error err = {0};
        assert_int_equal(gfx_tables_from(&source, 1, &t, &err), -GFXB_E_TABLE);
        if (!strstr(err.text, bad[i].why))
            fail_msg("case %zu: %s", i, err.text);
        assert_null(t);
    }
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A table in the directory replaces ours as a whole; the others stay; a bad one is named by path.
 */
static void test_override_directory(void **state)
{
    (void)state;
    char dir[] = "/tmp/gfxb-gfx-XXXXXX", path[128];
    assert_non_null(mkdtemp(dir));
    struct gfx_tables *t = NULL;
    struct gfxb_error err = {0};
    assert_int_equal(gfx_tables_new("/nonexistent/directory", &t, &err), 0);
    gfx_tables_free(t);
    assert_int_equal(gfx_tables_new(dir, &t, &err), 0);
    assert_string_equal(t->file[GFX_CARDS], "cards.tsv");
    gfx_tables_free(t);
    t = NULL;

    char *cards = table_text(GFX_CARDS, "abcd|*|My card|Chip|gfx1100|RDNA3|discrete|single|me\n");
    write_file(dir, "cards.tsv", cards);
    free(cards);
    assert_int_equal(gfx_tables_new(dir, &t, &err), 0);
    assert_int_equal(t->n_cards, 1);
    assert_true(t->n_targets > 60);
    assert_str(gfx_card_name(gfx_card_find(t, 0xabcd, 7)), "My card");
    snprintf(path, sizeof(path), "%s/cards.tsv", dir);
    assert_string_equal(t->file[GFX_CARDS], path);
    assert_int_equal(gfx_tables_check(t, &err), 0);
    gfx_tables_free(t);
    t = NULL;

    write_file(dir, "cards.tsv", "nonsense\n");
    assert_int_equal(gfx_tables_new(dir, &t, &err), -GFXB_E_TABLE);
    assert_null(t);
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(gfx_tables_new(dir, &t, &err) < 0);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- queries ---- */

struct expected {
    const char *query;
    enum gfx_query_kind kind;
    const char *targets; /* blank-separated, in table order; "" none */
    bool ambiguous;
};

static void targets_text(const struct gfx_query *query, struct buf *ret)
{
    for (size_t i = 0; i < query->n_targets; i++)
        buf_addf(ret, "%s%.*s", i ? " " : "", STR_ARG(query->target[i]->gfx));
}

static void run_queries(const struct gfx_tables *t, const struct expected *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct gfx_query *query = NULL;
        struct gfxb_error err = {0};
        if (gfx_query_new(t, list[i].query, &query, &err) != 0)
            fail_msg("'%s': %s", list[i].query, err.text);
        struct buf CLEAN_BUF targets = BUF_INIT(4096);
        targets_text(query, &targets);
        if (query->kind != list[i].kind || query->ambiguous != list[i].ambiguous ||
            strcmp(buf_text(&targets), list[i].targets) != 0)
            fail_msg("'%s': kind %d, '%s'%s", list[i].query, (int)query->kind, buf_text(&targets),
                     query->ambiguous ? ", ambiguous" : "");
        if (list[i].kind == GFX_QUERY_NAME || list[i].kind == GFX_QUERY_ID)
            assert_true(query->n_cards > 0);
        gfx_query_free(query);
    }
}

static void test_queries_by_id_and_target(void **state)
{
    static const struct expected list[] = {
        {"1002:744c", GFX_QUERY_ID, "gfx1100", false},
        {"1002:744C:CC", GFX_QUERY_ID, "gfx1100", false},
        {"  1002:744c \n", GFX_QUERY_ID, "gfx1100", false},
        {"0x1002:0x744c", GFX_QUERY_ID, "gfx1100", false},
        {"1002:744c:77", GFX_QUERY_ID, "gfx1100", false},
        {"1002:6718", GFX_QUERY_ID, "", false},
        {"gfx1101", GFX_QUERY_TARGET, "gfx1101", false},
        {"GFX90A", GFX_QUERY_TARGET, "gfx90a", false},
        {"gfx906:sramecc+:xnack-", GFX_QUERY_TARGET, "gfx906", false},
        {"gfx1310", GFX_QUERY_TARGET, "gfx1310", false},
        {"gfx110X", GFX_QUERY_FAMILY, "gfx1100 gfx1101 gfx1102 gfx1103", true},
        {"gfx115x", GFX_QUERY_FAMILY, "gfx1150 gfx1151 gfx1152 gfx1153 gfx1154", true},
        {"gfx94X", GFX_QUERY_FAMILY, "gfx940 gfx941 gfx942", true},
        {"gfx12-generic", GFX_QUERY_FAMILY, "gfx1200 gfx1201", true},
        {"RDNA4", GFX_QUERY_FAMILY, "gfx1200 gfx1201", true},
        {"cdna4", GFX_QUERY_FAMILY, "gfx950", false},
    };
    run_queries(*state, list, sizeof(list) / sizeof(list[0]));
}

static void test_queries_by_name(void **state)
{
    static const struct expected list[] = {
        {"AMD Radeon RX 7800 XT", GFX_QUERY_NAME, "gfx1101", false},
        {"radeon rx 7900 xt", GFX_QUERY_NAME, "gfx1100", false},
        {"RX7900XTX", GFX_QUERY_NAME, "gfx1100", false},
        {"7900xtx", GFX_QUERY_NAME, "gfx1100", false},
        {"Radeon\xe2\x84\xa2 RX 9070 XT", GFX_QUERY_NAME, "gfx1201", false},
        {"AMD Radeon(TM) 780M Graphics", GFX_QUERY_NAME, "gfx1103", false},
        {"AMD Ryzen 7 7840U w/ Radeon 780M Graphics", GFX_QUERY_NAME, "gfx1103", false},
        {"Radeon 8060S", GFX_QUERY_NAME, "gfx1151", false},
        {"Radeon 890M", GFX_QUERY_NAME, "gfx1150", false},
        {"Radeon 680M", GFX_QUERY_NAME, "gfx1035", false},
        {"Radeon RX Vega 64", GFX_QUERY_NAME, "gfx900", false},
        {"Radeon VII", GFX_QUERY_NAME, "gfx906", false},
        {"Instinct MI300X", GFX_QUERY_NAME, "gfx942", false},
        {"mi50", GFX_QUERY_NAME, "gfx906", false},
        {"Radeon RX 580", GFX_QUERY_NAME, "gfx803", false},
        {"Radeon RX 5700 XT", GFX_QUERY_NAME, "gfx1010", false},
        {"Radeon RX 6400", GFX_QUERY_NAME, "gfx1034", false},
        {"Radeon HD 7900 Series", GFX_QUERY_NAME, "gfx600", false},
        {"Radeon HD 7970", GFX_QUERY_NAME, "gfx600", false},
        {"hd7970", GFX_QUERY_NAME, "gfx600", false},
        {"AMD Radeon HD 6900 Series", GFX_QUERY_NAME, "", false},
        {"Radeon R9 290X", GFX_QUERY_NAME, "gfx701", false},
        {"FirePro W7100", GFX_QUERY_NAME, "gfx802", false},
        {"Radeon PRO W7900", GFX_QUERY_NAME, "gfx1100", false},
        {"Navi 31", GFX_QUERY_NAME, "gfx1100", false},
        {"strix halo", GFX_QUERY_NAME, "gfx1151", false},
        /* Names that several chips carry: all of them. */
        {"Radeon 840M", GFX_QUERY_NAME, "gfx1152 gfx1153", true},
        {"RX 6750 GRE", GFX_QUERY_NAME, "gfx1031 gfx1032", true},
        {"Radeon 7900", GFX_QUERY_NAME, "gfx600 gfx1100", true},
    };
    run_queries(*state, list, sizeof(list) / sizeof(list[0]));
}

/* "RX 7900 XT" must not bring the XTX along, and the unnamed iGPU name brings every chip. */
static void test_names_match_whole_words(void **state)
{
    const struct gfx_tables *t = *state;
    struct gfx_query *query = NULL;
    struct gfxb_error err = {0};
    assert_int_equal(gfx_query_new(t, "RX 7900 XT", &query, &err), 0);
    for (size_t i = 0; i < query->n_cards; i++)
        assert_false(str_has(gfx_card_name(query->card[i]), STR("XTX")));
    gfx_query_free(query);
    assert_int_equal(gfx_query_new(t, "AMD Radeon Graphics", &query, &err), 0);
    assert_true(query->ambiguous);
    assert_true(query->n_targets >= 15);
    gfx_query_free(query);
    assert_int_equal(gfx_query_new(t, "gfx1101", &query, &err), 0);
    assert_true(query->n_cards > 0);
    for (size_t i = 0; i < query->n_cards; i++)
        assert_str(gfx_card_gfx(query->card[i]), "gfx1101");
    gfx_query_free(query);
}

static void fails(const struct gfx_tables *t, const char *text, int code, const char *has)
{
    struct gfx_query *query = NULL;
    struct gfxb_error err = {0};
    int result = gfx_query_new(t, text, &query, &err);
    if (result != -code || query || !strstr(err.text, has))
        fail_msg("'%s': %d '%s'", text, result, err.text);
}

static void test_queries_that_find_nothing(void **state)
{
    const struct gfx_tables *t = *state;
    fails(t, "", GFXB_E_USAGE, "PCI id");
    fails(t, "   ", GFXB_E_USAGE, "PCI id");
    fails(t, "a\nb", GFXB_E_GFX_UNKNOWN, "'a'");
    fails(t, "10de:2204", GFXB_E_NOT_AMD, "1002");
    fails(t, "1002:ffff", GFXB_E_GFX_UNKNOWN, "`gfxbridge contribute`");
    fails(t, "gfx9999", GFXB_E_GFX_UNKNOWN, "gfx900");
    fails(t, "gfx906:turbo", GFXB_E_USAGE, "sramecc");
    fails(t, "gfx906:xnack", GFXB_E_USAGE, "xnack+");
    fails(t, "gfx110X:xnack-", GFXB_E_GFX_UNKNOWN, "gfx1100");
    fails(t, "amd", GFXB_E_GFX_UNKNOWN, "1002:xxxx");
    fails(t, "no such card at all", GFXB_E_GFX_UNKNOWN, "no such card");
    fails(t, "RX 7900 XTS", GFXB_E_GFX_UNKNOWN, "RX 7900 XTX");
    fails(t, "Radeon RX 7801 XT", GFXB_E_GFX_UNKNOWN, "RX 7800 XT");
    fails(t, "Radeon HD 7900 XTX", GFXB_E_GFX_UNKNOWN, "HD");
    char huge[4096];
    memset(huge, '9', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    fails(t, huge, GFXB_E_GFX_UNKNOWN, "200 bytes");
    huge[199] = '\0';
    fails(t, huge, GFXB_E_GFX_UNKNOWN, "999");
    memset(huge, 0xff, 199);
    fails(t, huge, GFXB_E_GFX_UNKNOWN, "no AMD GPU");
}

static bool is_rdna(const struct gfx_query *query)
{
    for (size_t i = 0; i < query->n_targets; i++) {
        if (str_starts(query->target[i]->generation, STR("RDNA")))
            return true;
    }
    return false;
}

static void never_rdna(const struct gfx_tables *t, const char *text)
{
    struct gfx_query *query = NULL;
    struct gfxb_error err = {0};
    if (gfx_query_new(t, text, &query, &err) < 0)
        return;
    if (is_rdna(query))
        fail_msg("'%s' gives an RDNA target", text);
    gfx_query_free(query);
}

/* A peer took a Radeon HD 7900 for an RX 7900. Ours does not, however the name is written. */
static void test_old_names_never_give_rdna(void **state)
{
    const struct gfx_tables *t = *state;
    static const char *const brands[] = {"HD", "FirePro", "FireGL"};
    size_t n = 0;
    for (size_t i = 0; i < t->n_cards; i++) {
        for (size_t k = 0; k < 3; k++) {
            if (!str_has_nocase(gfx_card_name(&t->card[i]), str_from(brands[k])))
                continue;
            char text[256];
            snprintf(text, sizeof(text), "%.*s", STR_ARG(gfx_card_name(&t->card[i])));
            never_rdna(t, text);
            n++;
        }
    }
    assert_true(n > 300);
    static const char *const models[] = {
        "7900", "7800", "7700",  "7600",  "6900",  "6800",  "6700",     "6600",    "5700", "5600",
        "5500", "9070", "W7900", "W7500", "W6800", "W5700", "7900 XTX", "6800 XT", "780M"};
    static const char *const forms[] = {"Radeon HD %s", "AMD Radeon HD %s Series",
                                        "HD%s",         "ATI FireGL %s",
                                        "FirePro %s",   "FirePro%s",
                                        "Radeon-HD-%s"};
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
            struct buf CLEAN_BUF text = BUF_INIT(128);
            const char *place = strstr(forms[k], "%s");
            buf_add(&text, forms[k], (size_t)(place - forms[k]));
            buf_add_text(&text, models[i]);
            buf_add_text(&text, place + 2);
            never_rdna(t, buf_text(&text));
        }
    }
}

/* Each retail name of the table finds its own row's target. */
static void test_every_name_finds_its_card(void **state)
{
    const struct gfx_tables *t = *state;
    for (size_t i = 0; i < t->n_cards; i++) {
        const struct gfx_card *card = &t->card[i];
        struct gfx_query *query = NULL;
        struct gfxb_error err = {0};
        char text[256];
        if (gfx_card_name(card).n == 0 || gfx_card_name(card).n > 200)
            continue;
        snprintf(text, sizeof(text), "%.*s", STR_ARG(gfx_card_name(card)));
        if (gfx_query_new(t, text, &query, &err) != 0)
            fail_msg("line %u: %s", card->line, err.text);
        bool found = false;
        for (size_t k = 0; k < query->n_cards; k++)
            found = found || query->card[k] == card;
        if (!found)
            fail_msg("line %u: '%s' does not find its own row", card->line, text);
        gfx_query_free(query);
    }
}

/* ---- the facts that the tables were made from, where they are present ---- */

static void check_device_row(const struct gfx_tables *t, char *line, unsigned number)
{
    struct str rest = str_from(line), field[13];
    unsigned n = 0;
    while (n < 13 && str_cut(&rest, '\t', &field[n]))
        n++;
    assert_int_equal(n, 13);
    struct buf CLEAN_BUF text = BUF_INIT(64);
    buf_addf(&text, "1002:%.*s", STR_ARG(field[0]));
    if (!str_is(field[1], "*"))
        buf_addf(&text, ":%.*s", STR_ARG(field[1]));
    struct gfx_query *query = NULL;
    struct gfxb_error err = {0};
    if (gfx_query_new(t, buf_text(&text), &query, &err) != 0)
        fail_msg("line %u: %s", number, err.text);
    assert_int_equal(query->n_cards, 1);
    const struct gfx_card *card = query->card[0];
    bool none = str_is(field[4], "none") || str_is(field[4], "unknown");
    if (!str_eq(gfx_card_gfx(card), none ? STR_NONE : field[4]))
        fail_msg("line %u: gfx '%.*s', not '%.*s'", number, STR_ARG(gfx_card_gfx(card)),
                 STR_ARG(field[4]));
    if (str_is(field[1], "*") != (card->revision == -1))
        fail_msg("line %u: revision %d", number, card->revision);
    if (!str_is(field[2], "-"))
        assert_true(str_has(gfx_card_name(card), field[2]));
    gfx_query_free(query);
}

static void test_all_device_facts(void **state)
{
    const char *source = getenv("GFXB_TEST_SOURCE");
    char path[4096];
    snprintf(path, sizeof(path), "%s/../shared/facts/devices.tsv", source ? source : ".");
    FILE *f = fopen(path, "r");
    if (!f) {
        print_message("%s is not here\n", path);
        skip();
    }
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    unsigned number = 0, rows = 0;
    while ((length = getline(&line, &capacity, f)) > 0) {
        number++;
        if (line[0] == '#')
            continue;
        line[length - 1] = '\0';
        check_device_row(*state, line, number);
        rows++;
    }
    free(line);
    fclose(f);
    assert_true(rows >= 2194);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_tables_pass_their_check),
        cmocka_unit_test(test_target_find),
        cmocka_unit_test(test_kfd_numbers),
        cmocka_unit_test(test_gc_versions),
        cmocka_unit_test(test_card_find),
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_a_package_is_matched_by_its_list),
        cmocka_unit_test(test_quirk_names),
        cmocka_unit_test(test_runtimes_are_paired),
        cmocka_unit_test(test_table_bytes),
        cmocka_unit_test(test_the_good_set_is_good),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_bad_package_rows),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_bad_proofs),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_an_override_needs_the_same_registers),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_override_directory),
        cmocka_unit_test(test_queries_by_id_and_target),
        cmocka_unit_test(test_queries_by_name),
        cmocka_unit_test(test_names_match_whole_words),
        cmocka_unit_test(test_queries_that_find_nothing),
        cmocka_unit_test(test_old_names_never_give_rdna),
        cmocka_unit_test(test_every_name_finds_its_card),
        cmocka_unit_test(test_all_device_facts),
    };
    return cmocka_run_group_tests(tests, own_setup, own_teardown);
}
