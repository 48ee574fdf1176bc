#include "model/rows.h"

int rows_next(struct table *t, struct str *before, struct table_row *ret_row,
              struct gfxb_error *err)
{
    int result = table_next(t, ret_row, err);
    if (result <= 0)
        return result;
    if (ret_row->field[0].n == 0)
        return table_error(t, ret_row, 0, err, "no name");
    if (before->n && str_compare(*before, ret_row->field[0]) >= 0)
        return table_error(t, ret_row, 0, err, "not behind '%.*s': rows are sorted, each once",
                           STR_ARG(*before));
    if (ret_row->field[ret_row->n - 1].n == 0)
        return table_error(t, ret_row, ret_row->n - 1, err, "the row has no source");
    *before = ret_row->field[0];
    return result;
}

int rows_count(const struct table *t, const struct table_row *row, unsigned column, uint64_t max,
               uint64_t *ret, struct gfxb_error *err)
{
    uint64_t value = 0;
    if (row->field[column].n &&
        (str_to_u64(row->field[column], 10, &value) < 0 || value == 0 || value > max))
        return table_error(t, row, column, err, "no number from 1 to %llu",
                           (unsigned long long)max);
    *ret = value;
    return 0;
}
