/* rows.c - growing arrays of rows, and checked fields of a table. */
#include "gfx/rows.h"

#include <stdlib.h>

const char *const gfx_kind_words[] = {"unknown", "discrete", "integrated", "accelerator", NULL};
const char *const gfx_os_words[] = {"linux", "windows", NULL};

void *gfx_rows_add(struct gfx_rows *rows, size_t expected)
{
    if (rows->n == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : expected + 1;
        char *p = reallocarray(rows->p, capacity, rows->item);
        if (!p)
            return NULL;
        rows->p = p;
        rows->capacity = capacity;
    }
    void *row = rows->p + rows->n * rows->item;
    memset(row, 0, rows->item);
    rows->n++;
    return row;
}

const void *gfx_rows_previous(const struct gfx_rows *rows)
{
    return rows->n < 2 ? NULL : rows->p + (rows->n - 2) * rows->item;
}

int gfx_field_required(const struct gfx_cursor *at, unsigned column, struct gfxb_error *err)
{
    if (at->row->field[column].n)
        return 0;
    return table_error(at->table, at->row, column, err, "a row must have this field");
}

int gfx_field_number(const struct gfx_cursor *at, unsigned column, unsigned base, uint64_t max,
                     uint64_t *ret_value, struct gfxb_error *err)
{
    struct str text = at->row->field[column];
    uint64_t value = 0;
    if (str_to_u64(text, base, &value) < 0 || value > max)
        return table_error(at->table, at->row, column, err,
                           "'%.*s' is not a %s number of at most %llu", STR_ARG(text),
                           base == 16 ? "hexadecimal" : "decimal", (unsigned long long)max);
    *ret_value = value;
    return 0;
}

int gfx_field_word(const struct gfx_cursor *at, unsigned column, const char *const *words,
                   unsigned *ret_index, struct gfxb_error *err)
{
    for (unsigned i = 0; words[i]; i++) {
        if (str_is(at->row->field[column], words[i])) {
            *ret_index = i;
            return 0;
        }
    }
    struct buf CLEAN_BUF list = BUF_INIT(256);
    for (unsigned i = 0; words[i]; i++)
        buf_addf(&list, "%s%s", i ? ", " : "", words[i]);
    return table_error(at->table, at->row, column, err, "'%.*s' is none of: %s",
                       STR_ARG(at->row->field[column]), buf_text(&list));
}

struct str gfx_name_bare(struct str name)
{
    const char *colon = name.n ? memchr(name.p, ':', name.n) : NULL;
    return colon ? (struct str){name.p, (size_t)(colon - name.p)} : name;
}

/* "gfx" and a digit, then lower-case letters, digits and '-'. */
static bool gfx_name_is_valid(struct str name)
{
    if (!str_starts(name, STR("gfx")) || name.n < 4 || name.p[3] < '0' || name.p[3] > '9')
        return false;
    for (size_t i = 3; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'))
            return false;
    }
    return true;
}

int gfx_field_targets(const struct gfx_cursor *at, unsigned column, struct gfxb_error *err)
{
    struct str rest = at->row->field[column];
    struct str word;
    for (unsigned n = 0; str_word(&rest, &word); n++) {
        if (n == GFX_LIST_MAX)
            return table_error(at->table, at->row, column, err, "more than %d targets in a list",
                               GFX_LIST_MAX);
        if (!gfx_name_is_valid(gfx_name_bare(word)))
            return table_error(at->table, at->row, column, err,
                               "'%.*s' is not the name of a gfx target", STR_ARG(word));
        if (str_list_has(rest, word))
            return table_error(at->table, at->row, column, err, "'%.*s' is listed twice",
                               STR_ARG(word));
    }
    return 0;
}
