/* table.c - TSV tables of facts, line by line. */
#include "base/base.h"

#include <stdio.h>

void table_init(struct table *t, const char *name, struct str bytes, const char *const *columns)
{
    *t = (struct table){.name = name, .rest = bytes, .columns = columns};
    while (columns[t->n_columns])
        t->n_columns++;
}

int table_error(const struct table *t, const struct table_row *row, unsigned column,
                struct gfxb_error *err, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    const char *title = column < t->n_columns ? t->columns[column] : "?";
    return error_set(err, GFXB_E_TABLE, "%s:%u:%u (%s): %s", t->name, row->line, column + 1, title,
                     sentence);
}

/* The next line that is not empty and not a comment; false at the end. */
static bool table_next_line(struct table *t, struct str *ret_line)
{
    struct str line;
    while (str_cut(&t->rest, '\n', &line)) {
        t->line++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n && line.p[0] != '#') {
            *ret_line = line;
            return true;
        }
    }
    return false;
}

static int table_split(const struct table *t, struct str line, struct table_row *row,
                       struct gfxb_error *err)
{
    row->n = 0;
    row->line = t->line;
    struct str piece;
    if (memchr(line.p, '\0', line.n))
        return table_error(t, row, 0, err, "a NUL byte in a text table");
    while (str_cut(&line, '\t', &piece)) {
        if (row->n == t->n_columns)
            return table_error(t, row, row->n - 1, err, "more than the %u fields of the header",
                               t->n_columns);
        bool empty = piece.n == 1 && piece.p[0] == '-';
        row->field[row->n++] = empty ? (struct str){piece.p, 0} : piece;
    }
    if (row->n < t->n_columns)
        return table_error(t, row, row->n, err, "the field is missing: %u of %u fields are there",
                           row->n, t->n_columns);
    return 0;
}

static int table_check_header(struct table *t, const struct table_row *row, struct gfxb_error *err)
{
    for (unsigned i = 0; i < t->n_columns; i++) {
        if (!str_is(row->field[i], t->columns[i]))
            return table_error(t, row, i, err, "the header says '%.*s' here",
                               STR_ARG(row->field[i]));
    }
    t->header_seen = true;
    return 0;
}

int table_next(struct table *t, struct table_row *ret_row, struct gfxb_error *err)
{
    struct str line;
    struct table_row row;
    if (!t->header_seen) {
        if (!table_next_line(t, &line)) {
            row.line = t->line;
            return table_error(t, &row, 0, err, "the table is empty: it lacks its header row");
        }
        int result = table_split(t, line, &row, err);
        if (result == 0)
            result = table_check_header(t, &row, err);
        if (result < 0)
            return result;
    }
    if (!table_next_line(t, &line))
        return 0;
    int result = table_split(t, line, ret_row, err);
    return result < 0 ? result : 1;
}
