/* rows.h - how the five tables are read: growing arrays of rows and checked fields. */
#ifndef GFX_ROWS_H
#define GFX_ROWS_H

#include "gfx/gfx.h"
#include "gfx/name.h"

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

/* What a field of a column holds, and how it is kept in the row's struct. */
enum gfx_field {
    GFX_FIELD_OTHER,    /* the table's own check reads it */
    GFX_FIELD_TEXT,     /* struct str */
    GFX_FIELD_REQUIRED, /* struct str, not empty */
    GFX_FIELD_TARGETS,  /* struct str: at most GFX_LIST_MAX gfx names, none twice */
    GFX_FIELD_VERSION,  /* struct str: "6.12", or nothing */
    GFX_FIELD_ONE_OF,   /* struct str: one of words */
    GFX_FIELD_WORD,     /* bool or unsigned: the index among words */
    GFX_FIELD_NUMBER,   /* an unsigned type: decimal, at most max; empty is 0 */
    GFX_FIELD_HEX,      /* the same in hexadecimal digits, never empty */
};

struct gfx_column {
    const char *title;
    enum gfx_field field;
    size_t offset, size; /* of the member */
    const char *const *words;
    uint64_t max;
};

/* {GFX_COLUMN("size", NUMBER, struct gfx_package, size), .max = 9} */
#define GFX_COLUMN(name, kind, type, member)                                                       \
    .title = name, .field = GFX_FIELD_##kind, .offset = offsetof(type, member),                    \
    .size = sizeof(((type *)0)->member)

/* How one table is read: its columns (the last has no title), then the rules of its own. */
struct gfx_reader {
    const struct gfx_column *columns;
    size_t item;
    size_t max; /* rows; bounds what is compared with each other */
    int (*check)(const struct gfx_cursor *at, void *item, struct gfxb_error *err);
};

extern const struct gfx_reader gfx_target_reader, gfx_card_reader, gfx_package_reader,
    gfx_quirk_reader, gfx_proof_reader;

/* The titles, for table_init. */
void gfx_titles(const struct gfx_column *columns,
                const char *ret_titles[static TABLE_COLUMNS_MAX + 1]);
/* Check a row's fields and put them into item, which is zeroed. */
int gfx_row_read(const struct gfx_cursor *at, const struct gfx_column *columns, void *item,
                 struct gfxb_error *err);

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
/* An error at a column of the row that is being read. */
#define GFX_BAD(at, column, ...) table_error((at)->table, (at)->row, column, err, __VA_ARGS__)

struct gfx_alias_match {
    struct gfx_alias alias;
    struct gfx_name rest; /* the words around its name, perhaps a card's */
    bool maker;           /* the text names the maker's processors: "Ryzen" */
};

/* The row with the longest name that stands in the text. A processor is none where the text speaks
 * of cards or of other makers, unless it names AMD's processors too. */
bool gfx_alias_find(struct str text, struct gfx_alias_match *ret_match);

/* Does a row of names.tsv say of the word that it tells no GPU from another? */
bool gfx_alias_is_word(struct str word);

/* Is the word a unit, so that the number before it is an amount and no model? */
bool gfx_alias_is_unit(struct str word);

/* The rows of engines.tsv are whole and different? */
int gfx_engines_check(struct gfxb_error *err);

/* The backend of the package that a row is about: of packages.tsv (*ret_row), or as KIND:BACKEND
 * says; empty: neither. */
struct str gfx_proof_backend(const struct gfx_tables *t, const struct gfx_proof *proof,
                             const struct gfx_package **ret_row);

/* "gfx90a" of "gfx90a:xnack+". */
struct str gfx_name_bare(struct str name);

#endif
