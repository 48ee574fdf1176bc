/* target.c - data/targets.tsv: LLVM targets, generic targets, how Linux names them. */
#include "gfx/rows.h"

#include <errno.h>
#include <stdio.h>

enum { GFX, ATOMICS = 14 }; /* columns that are looked at beside the others */

static const char *const vulkan_words[] = {"", "yes", "kernel", "no", NULL};

#define COLUMN(title, field, member) GFX_COLUMN(title, field, struct gfx_target, member)

static const struct gfx_column target_columns[] = {
    {COLUMN("gfx", TARGETS, gfx)},
    {COLUMN("family", TEXT, family)},
    {COLUMN("generation", TEXT, generation)},
    {COLUMN("asics", TEXT, asics)},
    {COLUMN("kind", WORD, kind), .words = gfx_kind_words},
    {COLUMN("gc", TEXT, gc)},
    {COLUMN("kfd", NUMBER, kfd), .max = 999999},
    {COLUMN("generic", TARGETS, generic)},
    {COLUMN("covers", TARGETS, covers)},
    {COLUMN("elf_mach", HEX, elf_mach), .max = 0xff},
    {COLUMN("vgpr_kib", NUMBER, vgpr_kib), .max = 65536},
    {COLUMN("vulkan", ONE_OF, vulkan), .words = vulkan_words},
    {COLUMN("linux", VERSION, linux_first)},
    {COLUMN("mesa", VERSION, mesa_first)},
    {COLUMN("atomics", TEXT, atomics)},
    {COLUMN("source", REQUIRED, source)},
    {.title = NULL},
};

/* The order of the table: gfx90a before gfx1010. */
static int target_compare(struct str a, struct str b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return str_compare(a, b);
}

static int target_check_key(const struct gfx_cursor *at, struct gfxb_error *err)
{
    struct str gfx = at->row->field[GFX];
    struct str rest = gfx, word;
    if (!str_word(&rest, &word) || !str_eq(word, gfx) || str_has(gfx, STR(":")))
        return GFX_BAD(at, GFX, "'%.*s' is not one gfx target", STR_ARG(gfx));
    const struct gfx_target *before = gfx_rows_previous(at->rows);
    if (!before || target_compare(before->gfx, gfx) < 0)
        return 0;
    if (str_eq(before->gfx, gfx))
        return GFX_BAD(at, GFX, "'%.*s' is listed twice", STR_ARG(gfx));
    return GFX_BAD(at, GFX, "'%.*s' must stand before '%.*s'", STR_ARG(gfx), STR_ARG(before->gfx));
}

static int target_check(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_target *target = item;
    uint64_t number;
    bool firmware = target->atomics.n && !str_is(target->atomics, "always");
    target->line = at->row->line;
    return target_check_key(at, err)
               ?: (firmware ? gfx_field_number(at, ATOMICS, 10, UINT32_MAX, &number, err) : 0);
}

const struct gfx_reader gfx_target_reader = {target_columns, sizeof(struct gfx_target), 1024,
                                             target_check};

const struct gfx_target *gfx_target_find(const struct gfx_tables *t, struct str name)
{
    struct str gfx = gfx_name_bare(name);
    size_t low = 0, high = t->n_targets;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = target_compare(t->target[middle].gfx, gfx);
        if (order == 0)
            return &t->target[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct gfx_target *gfx_target_by_kfd(const struct gfx_tables *t, uint32_t version)
{
    for (size_t i = 0; version && i < t->n_targets; i++) {
        if (t->target[i].kfd == version)
            return &t->target[i];
    }
    return NULL;
}

int gfx_kfd_name(uint32_t version, char *ret_name, size_t size)
{
    uint32_t major = version / 10000, minor = version / 100 % 100, stepping = version % 100;
    if (major == 0 || major > 99 || minor > 0xf || stepping > 0xf)
        return -EINVAL;
    char name[16];
    int n = snprintf(name, sizeof(name), "gfx%u%x%x", major, minor, stepping);
    if (n < 0 || (size_t)n >= size)
        return -E2BIG;
    memcpy(ret_name, name, (size_t)n + 1);
    return 0;
}

const struct gfx_target *gfx_target_by_gc(const struct gfx_tables *t, struct str gc)
{
    const struct gfx_target *found = NULL;
    for (size_t i = 0; gc.n && i < t->n_targets; i++) {
        if (!str_list_has(t->target[i].gc, gc))
            continue;
        if (found)
            return NULL;
        found = &t->target[i];
    }
    return found;
}

/* The entry of the list whose bare name is gfx; one without features wins: it loads in any mode. */
static bool list_find(struct str list, struct str gfx, struct str *ret_entry)
{
    bool found = false;
    struct str word;
    while (gfx.n && str_word(&list, &word)) {
        if (!str_eq(gfx_name_bare(word), gfx) || (found && word.n > gfx.n))
            continue;
        *ret_entry = word;
        found = true;
    }
    return found;
}

static bool override_find(const struct gfx_tables *t, const struct gfx_target *target,
                          struct str list, struct str *ret_entry)
{
    for (size_t i = 0; i < t->n_quirks; i++) {
        const struct gfx_quirk *quirk = &t->quirk[i];
        if (quirk->effect == GFX_OVERRIDE && gfx_quirk_names(quirk, target) &&
            list_find(list, quirk->value, ret_entry))
            return true;
    }
    return false;
}

enum gfx_via gfx_covers(const struct gfx_tables *t, const struct gfx_target *target,
                        struct str list, struct str *ret_used)
{
    struct str entry = STR_NONE;
    enum gfx_via via = GFX_VIA_NONE;
    if (list_find(list, target->gfx, &entry))
        via = GFX_VIA_EXACT;
    else if (list_find(list, target->generic, &entry))
        via = GFX_VIA_GENERIC;
    else if (override_find(t, target, list, &entry))
        via = GFX_VIA_OVERRIDE;
    if (via != GFX_VIA_NONE && ret_used)
        *ret_used = entry;
    return via;
}
