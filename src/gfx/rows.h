/* rows.h - how the four tables are read: growing arrays of rows and checked fields. */
#ifndef GFX_ROWS_H
#define GFX_ROWS_H

#include "gfx/gfx.h"

/* An array of rows that grows geometrically. */
struct gfx_rows {
    char *p;
    size_t n, capacity, item; /* item: bytes of one row */
};

/* A zeroed row at the end; NULL when out of memory. The first addition makes room for `expected`
 * rows at once. */
void *gfx_rows_add(struct gfx_rows *rows, size_t expected);
/* The row before the one that is being read; NULL when that is the first. */
const void *gfx_rows_previous(const struct gfx_rows *rows);

/* One row's position, for the functions below. */
struct gfx_cursor {
    const struct table *table;
    const struct table_row *row;
    const struct table_row *before; /* the row before it; NULL: it is the first */
    const struct gfx_rows *rows;    /* with the row that is being read as the last */
};

/* How one table is read. read fills item, which is zeroed. */
struct gfx_reader {
    const char *const *columns;
    size_t item;
    size_t max; /* rows; bounds what is compared with each other */
    int (*read)(const struct gfx_cursor *at, void *item, struct gfxb_error *err);
};

extern const struct gfx_reader gfx_target_reader, gfx_card_reader, gfx_package_reader,
    gfx_quirk_reader;

/* Words that a field may hold, in the order of an enum; NULL at the end. */
extern const char *const gfx_kind_words[];
extern const char *const gfx_os_words[];

/* Checked fields. All return 0 or -GFXB_E_TABLE with the position in *err. */
int gfx_field_required(const struct gfx_cursor *at, unsigned column, struct gfxb_error *err);
int gfx_field_number(const struct gfx_cursor *at, unsigned column, unsigned base, uint64_t max,
                     uint64_t *ret_value, struct gfxb_error *err);
int gfx_field_word(const struct gfx_cursor *at, unsigned column, const char *const *words,
                   unsigned *ret_index, struct gfxb_error *err);
/* A blank-separated list of at most GFX_LIST_MAX gfx names (features allowed), none twice. */
#define GFX_LIST_MAX 64
int gfx_field_targets(const struct gfx_cursor *at, unsigned column, struct gfxb_error *err);

/* The rows of engines.tsv are whole and different? */
int gfx_engines_check(struct gfxb_error *err);

/* "gfx90a" of "gfx90a:xnack+". */
struct str gfx_name_bare(struct str name);

#endif
