/* names.c - sorted sets of names, of gfx targets in the order of their tables. */
#include "inspect/inspect_private.h"

#define GFX_NAME_MAX 32

static int names_compare_gfx(struct str a, struct str b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return str_compare(a, b);
}

static bool names_insert(struct names *set, struct str name, int (*compare)(struct str, struct str))
{
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(str_from(set->name[middle]), name);
        if (order == 0)
            return false;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (set->n == NAMES_MAX)
        return false;
    if (set->n == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 16;
        set->name = xreallocarray(set->name, set->capacity, sizeof(*set->name));
    }
    memmove(set->name + low + 1, set->name + low, (set->n - low) * sizeof(*set->name));
    set->name[low] = xstr_dup(name);
    set->n++;
    return true;
}

void names_done(struct names *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->name[i]);
    free(set->name);
    *set = (struct names){0};
}

bool names_add(struct names *set, struct str name)
{
    return names_insert(set, name, str_compare);
}

static size_t names_run(struct str s, const char *allowed)
{
    size_t n = 0;
    while (n < s.n && strchr(allowed, s.p[n]) && s.p[n])
        n++;
    return n;
}

struct str names_gfx_prefix(struct str text)
{
    if (!str_starts(text, STR("gfx")))
        return STR_NONE;
    size_t n = 3 + names_run(str_skip(text, 3), "0123456789abcdef");
    if (n == 3)
        return STR_NONE;
    /* Generic targets: gfx11-generic, gfx9-4-generic, gfx12-5-generic. */
    struct str rest = str_skip(text, n);
    size_t middle = 0;
    if (rest.n > 2 && rest.p[0] == '-' && rest.p[1] >= '0' && rest.p[1] <= '9')
        middle = 1 + names_run(str_skip(rest, 1), "0123456789");
    if (str_starts(str_skip(rest, middle), STR("-generic")))
        n += middle + strlen("-generic");
    else if (n < 6)
        return STR_NONE;                       /* "gfx9", "gfx11" alone are no targets */
    else if (str_starts(rest, STR("-strict"))) /* gfx1250-strict of LLVM 24 */
        n += strlen("-strict");
    return n <= GFX_NAME_MAX ? (struct str){text.p, n} : STR_NONE;
}

bool names_add_gfx(struct names *set, struct str target)
{
    struct str name = names_gfx_prefix(target);
    bool ends = name.n == target.n || (name.n < target.n && target.p[name.n] == ':');
    if (!name.n || !ends)
        return false;
    names_insert(set, name, names_compare_gfx);
    return true;
}

void names_add_all_gfx(struct names *set, const struct names *other)
{
    for (size_t i = 0; i < other->n; i++)
        names_add_gfx(set, str_from(other->name[i]));
}
