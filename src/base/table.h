/*
 * table.h - TSV tables of facts: lines of fields separated by single tabs, UTF-8. Lines that start
 * with '#' and empty lines are comments. The first other line names the columns. Every later line
 * is a row with exactly that many fields; '-' is the empty field. Errors name file, line, column.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/error.h"
#include "base/str.h"

#define TABLE_COLUMNS_MAX 24

struct table_row {
    unsigned line;
    unsigned n;
    struct str field[TABLE_COLUMNS_MAX]; /* views into the table's bytes; "-" is given as empty */
};

/* A reader over bytes that the caller keeps alive. name is for error messages (lent). */
struct table {
    const char *name;
    struct str rest;
    unsigned line;
    const char *const *columns; /* expected names, NULL-terminated */
    unsigned n_columns;
    bool header_seen;
};

void table_init(struct table *t, const char *name, struct str bytes, const char *const *columns);

/* The same for a table that the build has put between two symbols (tools/embed.py), with its
 * columns. */
#define TABLE_OPEN(t, name, symbol, ...)                                                           \
    do {                                                                                           \
        static const char *const columns_of_it[] = {__VA_ARGS__, NULL};                            \
        table_init(t, name, (struct str){symbol, (size_t)(symbol##_end - symbol)}, columns_of_it); \
    } while (0)

/* 1: *ret_row is the next row; 0: the end; -GFXB_E_TABLE with file:line:column in *err. */
int table_next(struct table *t, struct table_row *ret_row, struct gfxb_error *err);

/* "name:line:column (column's name): sentence"; column counts from 0 here and from 1 in the text.
 * Returns -GFXB_E_TABLE. */
int table_error(const struct table *t, const struct table_row *row, unsigned column,
                struct gfxb_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
