/* target.c - data/targets.tsv: LLVM targets, generic targets, how Linux names them. */
#include "gfx/rows.h"

#include <errno.h>
#include <stdio.h>

enum {
    GFX,
    FAMILY,
    GENERATION,
    ASICS,
    KIND,
    GC,
    KFD,
    GENERIC,
    COVERS,
    ELF_MACH,
    VGPR,
    VULKAN,
    LINUX,
    MESA,
    ATOMICS,
    SOURCE
};

static const char *const target_columns[] = {
    "gfx",      "family",   "generation", "asics", "kind", "gc",      "kfd",    "generic", "covers",
    "elf_mach", "vgpr_kib", "vulkan",     "linux", "mesa", "atomics", "source", NULL,
};

static const char *const vulkan_words[] = {"", "yes", "kernel", "no", NULL};

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
        return table_error(at->table, at->row, GFX, err, "'%.*s' is not one gfx target",
                           STR_ARG(gfx));
    const struct gfx_target *before = gfx_rows_previous(at->rows);
    if (!before || target_compare(before->gfx, gfx) < 0)
        return 0;
    if (str_eq(before->gfx, gfx))
        return table_error(at->table, at->row, GFX, err, "'%.*s' is listed twice", STR_ARG(gfx));
    return table_error(at->table, at->row, GFX, err, "'%.*s' must stand before '%.*s'",
                       STR_ARG(gfx), STR_ARG(before->gfx));
}

static int target_read_numbers(const struct gfx_cursor *at, struct gfx_target *target,
                               struct gfxb_error *err)
{
    uint64_t kfd = 0, mach, vgpr = 0;
    int result = gfx_field_number(at, ELF_MACH, 16, 0xff, &mach, err);
    if (result == 0 && at->row->field[KFD].n)
        result = gfx_field_number(at, KFD, 10, 999999, &kfd, err);
    if (result == 0 && at->row->field[VGPR].n)
        result = gfx_field_number(at, VGPR, 10, 65536, &vgpr, err);
    if (result < 0)
        return result;
    target->kfd = (uint32_t)kfd;
    target->elf_mach = (unsigned)mach;
    target->vgpr_kib = (unsigned)vgpr;
    return 0;
}

/* "6.12", "24.1.4", or nothing. */
static int target_check_version(const struct gfx_cursor *at, unsigned column,
                                struct gfxb_error *err)
{
    struct str rest = at->row->field[column], part;
    uint64_t number;
    while (rest.n && str_cut(&rest, '.', &part)) {
        if (str_to_u64(part, 10, &number) < 0)
            return table_error(at->table, at->row, column, err, "'%.*s' is not a version",
                               STR_ARG(at->row->field[column]));
    }
    return 0;
}

static int target_check_atomics(const struct gfx_cursor *at, struct gfxb_error *err)
{
    uint64_t number;
    if (at->row->field[ATOMICS].n == 0 || str_is(at->row->field[ATOMICS], "always"))
        return 0;
    return gfx_field_number(at, ATOMICS, 10, UINT32_MAX, &number, err);
}

static int target_read(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_target *target = item;
    const struct str *field = at->row->field;
    unsigned kind, vulkan;
    int result = gfx_field_targets(at, GFX, err);
    if (result == 0)
        result = target_check_key(at, err);
    if (result == 0)
        result = gfx_field_word(at, KIND, gfx_kind_words, &kind, err);
    if (result == 0)
        result = target_read_numbers(at, target, err);
    if (result == 0)
        result = gfx_field_targets(at, GENERIC, err);
    if (result == 0)
        result = gfx_field_targets(at, COVERS, err);
    if (result == 0)
        result = gfx_field_word(at, VULKAN, vulkan_words, &vulkan, err);
    if (result == 0)
        result = target_check_version(at, LINUX, err);
    if (result == 0)
        result = target_check_version(at, MESA, err);
    if (result == 0)
        result = target_check_atomics(at, err);
    if (result == 0)
        result = gfx_field_required(at, SOURCE, err);
    if (result < 0)
        return result;
    target->gfx = field[GFX];
    target->family = field[FAMILY];
    target->generation = field[GENERATION];
    target->asics = field[ASICS];
    target->kind = (enum gfx_kind)kind;
    target->gc = field[GC];
    target->generic = field[GENERIC];
    target->covers = field[COVERS];
    target->vulkan = field[VULKAN];
    target->linux_first = field[LINUX];
    target->mesa_first = field[MESA];
    target->atomics = field[ATOMICS];
    target->source = field[SOURCE];
    target->line = at->row->line;
    return 0;
}

const struct gfx_reader gfx_target_reader = {target_columns, sizeof(struct gfx_target), 1024,
                                             target_read};

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
