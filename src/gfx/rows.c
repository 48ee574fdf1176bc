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
    return GFX_BAD(at, column, "a row must have this field");
}

int gfx_field_number(const struct gfx_cursor *at, unsigned column, unsigned base, uint64_t max,
                     uint64_t *ret_value, struct gfxb_error *err)
{
    struct str text = at->row->field[column];
    uint64_t value = 0;
    if (str_to_u64(text, base, &value) < 0 || value > max)
        return GFX_BAD(at, column, "'%.*s' is not a %s number of at most %llu", STR_ARG(text),
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
    return GFX_BAD(at, column, "'%.*s' is none of: %s", STR_ARG(at->row->field[column]),
                   buf_text(&list));
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
            return GFX_BAD(at, column, "more than %d targets in a list", GFX_LIST_MAX);
        if (!gfx_name_is_valid(gfx_name_bare(word)))
            return GFX_BAD(at, column, "'%.*s' is not the name of a gfx target", STR_ARG(word));
        if (str_list_has(rest, word))
            return GFX_BAD(at, column, "'%.*s' is listed twice", STR_ARG(word));
    }
    return 0;
}

/* "6.12", "24.1.4", or nothing. */
static int gfx_field_version(const struct gfx_cursor *at, unsigned column, struct gfxb_error *err)
{
    struct str rest = at->row->field[column], part;
    uint64_t number;
    while (rest.n && str_cut(&rest, '.', &part)) {
        if (str_to_u64(part, 10, &number) < 0)
            return GFX_BAD(at, column, "'%.*s' is not a version", STR_ARG(at->row->field[column]));
    }
    return 0;
}

/* A number into a member of this size. */
static void field_put(void *member, size_t size, uint64_t value)
{
    uint32_t word = (uint32_t)value;
    bool flag = value != 0;
    memcpy(member,
           size == sizeof(value) ? (void *)&value
           : size == 1           ? (void *)&flag
                                 : &word,
           size);
}

static int field_read(const struct gfx_cursor *at, unsigned i, const struct gfx_column *column,
                      char *item, struct gfxb_error *err)
{
    const struct str *field = &at->row->field[i];
    bool number = column->field == GFX_FIELD_NUMBER || column->field == GFX_FIELD_HEX;
    bool word = column->field == GFX_FIELD_WORD || column->field == GFX_FIELD_ONE_OF;
    uint64_t value = 0;
    unsigned index = 0;
    int result = 0;
    if (column->field == GFX_FIELD_OTHER)
        return 0;
    if (column->field == GFX_FIELD_REQUIRED)
        result = gfx_field_required(at, i, err);
    else if (column->field == GFX_FIELD_TARGETS)
        result = gfx_field_targets(at, i, err);
    else if (column->field == GFX_FIELD_VERSION)
        result = gfx_field_version(at, i, err);
    else if (word)
        result = gfx_field_word(at, i, column->words, &index, err);
    else if (number && (field->n || column->field == GFX_FIELD_HEX))
        result = gfx_field_number(at, i, column->field == GFX_FIELD_HEX ? 16 : 10, column->max,
                                  &value, err);
    if (result < 0)
        return result;
    if (number || column->field == GFX_FIELD_WORD)
        field_put(item + column->offset, column->size, number ? value : index);
    else
        memcpy(item + column->offset, field, sizeof(*field));
    return 0;
}

int gfx_row_read(const struct gfx_cursor *at, const struct gfx_column *columns, void *item,
                 struct gfxb_error *err)
{
    int result = 0;
    for (unsigned i = 0; result == 0 && columns[i].title; i++)
        result = field_read(at, i, &columns[i], item, err);
    return result;
}

void gfx_titles(const struct gfx_column *columns,
                const char *ret_titles[static TABLE_COLUMNS_MAX + 1])
{
    size_t n = 0;
    for (; columns[n].title; n++)
        ret_titles[n] = columns[n].title;
    ret_titles[n] = NULL;
}
