/*
 * fuzz_table.c - the TSV reader, the five tables' readers, the rules between them, and people's
 * queries. The first byte chooses: 0-4 the table that the rest replaces, 5 a query against small
 * tables, others the bare TSV reader. Anything goes but a crash, a hang or an error without a
 * sentence.
 */
#include "gfx/gfx.h"

#include <stdlib.h>

/* Small, so that most time goes into the foreign bytes. */
static const char small_targets[] =
    "gfx\tfamily\tgeneration\tasics\tkind\tgc\tkfd\tgeneric\tcovers\telf_mach\tvgpr_kib\tvulkan\t"
    "linux\tmesa\tatomics\tsource\n"
    "gfx900\tgfx90X\tVega\tVega 10\tdiscrete\t9.0.1\t90000\t-\t-\t0x2c\t256\tyes\t-\t-\t-\tS\n"
    "gfx1030\tgfx103X\tRDNA2\tNavi 21\tdiscrete\t10.3.0\t100300\tgfx10-3-generic\t-\t0x36\t256\t"
    "yes\t-\t-\t-\tS\n"
    "gfx1031\tgfx103X\tRDNA2\tNavi 22\tdiscrete\t10.3.2\t100301\tgfx10-3-generic\t-\t0x37\t256\t"
    "yes\t-\t-\t-\tS\n"
    "gfx10-3-generic\t-\tRDNA2\t-\tunknown\t-\t-\t-\tgfx1030 gfx1031\t0x53\t-\t-\t-\t-\t-\tS\n";
static const char small_cards[] =
    "device\trevision\tname\tasic\tgfx\tgeneration\tkind\tconfidence\tsource\n"
    "6718\t*\tRadeon HD 6970 / HD 6950\tCayman\t-\tTeraScale 3\tdiscrete\tverified\tS\n"
    "73bf\t*\tRadeon RX 6800/6800 XT / 6900 XT\tNavi 21\tgfx1030\tRDNA2\tdiscrete\tverified\tS\n"
    "73bf\tc1\tAMD Radeon(TM) RX 6800 XT\tNavi 21\tgfx1030\tRDNA2\tdiscrete\tsingle\tS\n";
static const char small_packages[] =
    "id\tprovider\tengine\tbackend\tos\tarch\tgfx\tunconfirmed\truntime\tglibc\tlocate\ttag\tsha256"
    "\tsize\t"
    "installable\tnotes\tsource\n"
    "a\tgithub\tllamacpp\trocm\tlinux\tx86_64\tgfx1030\t-\ttherock\t2.35\thttps://h/"
    "a\tb1\t-\t1\tyes\t-\tS\n"
    "r\ttherock\t-\truntime\tlinux\tx86_64\tgfx1030\t-\tnone\t-\tr\t7\t-\t-\tno\t-\tS\n";
static const char small_quirks[] =
    "id\tgfx\tcondition\teffect\tcode\tvalue\ttext\tremedy\tconfidence\tsource\n"
    "q\tgfx1031\tos=linux\toverride\t-\tgfx1030\ttext\t-\thigh\tS\n";
static const char small_proofs[] =
    "card\tgfx\ton\tpackage\tkernel\tdriver\tdate\toutcome\ttokens_per_second\tsource\n"
    "1002:73bf\tgfx1030\thardware\ta\t6.1\tamdgpu\t2026-11-30\tproven\t9\tS\n";

static const struct {
    const char *file;
    struct str bytes;
} small[GFX_TABLES] = {
    [GFX_TARGETS] = {"targets", {small_targets, sizeof(small_targets) - 1}},
    [GFX_CARDS] = {"cards", {small_cards, sizeof(small_cards) - 1}},
    [GFX_PACKAGES] = {"packages", {small_packages, sizeof(small_packages) - 1}},
    [GFX_QUIRKS] = {"quirks", {small_quirks, sizeof(small_quirks) - 1}},
    [GFX_PROOFS] = {"proofs", {small_proofs, sizeof(small_proofs) - 1}},
};

static void require(bool good)
{
    if (!good)
        abort();
}

static struct gfx_tables *tables_with(enum gfx_table table, struct str bytes)
{
    struct gfx_table_source source[GFX_TABLES];
    for (unsigned i = 0; i < GFX_TABLES; i++)
        source[i] = (struct gfx_table_source){(enum gfx_table)i, small[i].file,
                                              i == table ? bytes : small[i].bytes};
    struct gfx_tables *t = NULL;
    struct gfxb_error err = {0};
    int result = gfx_tables_from(source, GFX_TABLES, &t, &err);
    require(result == 0 ? t != NULL : t == NULL && err.code != 0 && err.text[0] != '\0');
    return t;
}

static void query(const struct gfx_tables *t, const char *text)
{
    struct gfx_query *q = NULL;
    struct gfxb_error err = {0};
    int result = gfx_query_new(t, text, &q, &err);
    require(result == 0 ? q != NULL : q == NULL && err.text[0] != '\0');
    gfx_query_free(q);
}

/* Every look-up on tables that were accepted. */
static void exercise(const struct gfx_tables *t)
{
    struct gfxb_error err = {0};
    int result = gfx_tables_check(t, &err);
    require(result == 0 || err.text[0] != '\0');
    const struct gfx_target *target = gfx_target_find(t, STR("gfx1031:xnack-"));
    struct str used = STR_NONE;
    for (size_t i = 0; target && i < t->n_packages; i++)
        (void)gfx_covers(t, target, t->package[i].gfx, &used);
    for (size_t i = 0; i < t->n_cards; i++)
        require(gfx_card_find(t, t->card[i].device, t->card[i].revision) == &t->card[i]);
    for (size_t i = 0; i < t->n_targets; i++) {
        require(gfx_target_find(t, t->target[i].gfx) == &t->target[i]);
        (void)gfx_target_by_gc(t, t->target[i].gc);
        (void)gfx_target_by_kfd(t, t->target[i].kfd);
        (void)gfx_known_of(t, &t->target[i], "", "rocm", STR("a"));
    }
    query(t, "Radeon RX 6800 XT");
    query(t, "1002:73bf:c1");
}

static void read_plain(struct str bytes)
{
    static const char *const columns[] = {"a", "b", "c", NULL};
    struct table table;
    struct table_row row;
    struct gfxb_error err = {0};
    table_init(&table, "plain", bytes, columns);
    int result;
    while ((result = table_next(&table, &row, &err)) > 0)
        require(row.n == 3);
    require(result == 0 || err.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str bytes = {(const char *)data + 1, size - 1};
    if (data[0] < GFX_TABLES) {
        struct gfx_tables *t = tables_with((enum gfx_table)data[0], bytes);
        if (t)
            exercise(t);
        gfx_tables_free(t);
    } else if (data[0] == GFX_TABLES) {
        static struct gfx_tables *t; /* once for all executions */
        if (!t)
            t = tables_with(GFX_TARGETS, small[GFX_TARGETS].bytes);
        char *text = str_dup(bytes);
        if (text)
            query(t, text);
        free(text);
    } else {
        read_plain(bytes);
    }
    return 0;
}
