#include "model/gguf/architecture.h"

#include "model/rows.h"

/* Made by the build from data/architectures.tsv. */
extern const char model_data_architectures[], model_data_architectures_end[];

enum { COLUMN_NAME, COLUMN_TASK, COLUMN_PERIOD, COLUMN_FIRST, COLUMN_WINDOW };

static const char *const columns[] = {"architecture", "task",   "period", "first",
                                      "window",       "source", NULL};

static void table_start(struct table *t)
{
    struct str bytes = {model_data_architectures,
                        (size_t)(model_data_architectures_end - model_data_architectures)};
    table_init(t, "architectures.tsv", bytes, columns);
}

static int read_task(const struct table *t, const struct table_row *row, enum model_task *ret,
                     struct gfxb_error *err)
{
    *ret = MODEL_CHAT;
    if (row->field[COLUMN_TASK].n == 0)
        return 0;
    for (int task = 0; task < MODEL_TASKS; task++) {
        if (str_is(row->field[COLUMN_TASK], model_task_name((enum model_task)task))) {
            *ret = (enum model_task)task;
            return 0;
        }
    }
    return table_error(t, row, COLUMN_TASK, err, "no task");
}

static int read_row(const struct table *t, const struct table_row *row, struct architecture *ret,
                    struct gfxb_error *err)
{
    struct architecture a = {.first = str_is(row->field[COLUMN_FIRST], "first")};
    uint64_t period = 0, window = 0;
    int result = read_task(t, row, &a.task, err);
    if (result == 0)
        result = rows_count(t, row, COLUMN_PERIOD, 64, &period, err);
    if (result == 0)
        result = rows_count(t, row, COLUMN_WINDOW, 1 << 20, &window, err);
    a.period = (uint32_t)period;
    a.window = (uint32_t)window;
    if (result == 0 && row->field[COLUMN_FIRST].n && !a.first)
        result = table_error(t, row, COLUMN_FIRST, err, "neither 'first' nor '-'");
    if (result == 0)
        *ret = a;
    return result;
}

int architecture_find(struct str name, struct architecture *ret_row, struct gfxb_error *err)
{
    struct table t;
    struct table_row row;
    int result;
    table_start(&t);
    while ((result = table_next(&t, &row, err)) > 0) {
        if (str_eq(row.field[COLUMN_NAME], name))
            return read_row(&t, &row, ret_row, err);
    }
    if (result == 0)
        *ret_row = (struct architecture){.task = MODEL_CHAT};
    return result;
}

int architectures_check(struct gfxb_error *err)
{
    struct table t;
    struct table_row row;
    struct str before = STR_NONE;
    int result;
    table_start(&t);
    while ((result = rows_next(&t, &before, &row, err)) > 0) {
        struct architecture a;
        result = read_row(&t, &row, &a, err);
        if (result < 0)
            break;
    }
    return result;
}
