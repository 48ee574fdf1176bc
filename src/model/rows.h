/* rows.h - reading the room's embedded tables. Private to model/. */
#ifndef MODEL_ROWS_H
#define MODEL_ROWS_H

#include "base/base.h"

/* Sorted by their first column, each once, every row with a source (the last column): 0, 1 for the
 * next row, or -GFXB_E_TABLE. *before is the last row's name, empty at first. */
int rows_next(struct table *t, struct str *before, struct table_row *ret_row,
              struct gfxb_error *err);

/* A number of at least 1, or 0 for "-". */
int rows_count(const struct table *t, const struct table_row *row, unsigned column, uint64_t max,
               uint64_t *ret, struct gfxb_error *err);

#endif
