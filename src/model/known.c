/* known.c - the short list of models and the places where models come from: embedded tables. */
#include "gfx/gfx.h"
#include "model/gguf/header.h"
#include "model/model_private.h"

#include <pthread.h>

/* ---- rows ---- */

void rows_start(const struct rows *rows, struct table *t)
{
    table_init(t, rows->file, (struct str){rows->begin, (size_t)(rows->end - rows->begin)},
               rows->columns);
}

int rows_find(const struct rows *rows, struct str name, struct table *t, struct table_row *ret_row,
              struct gfxb_error *err)
{
    int result;
    rows_start(rows, t);
    while ((result = table_next(t, ret_row, err)) > 0) {
        if (str_eq(ret_row->field[0], name))
            break;
    }
    return result;
}

static int rows_check_one(const struct table *t, const struct table_row *row, struct str before,
                          struct gfxb_error *err)
{
    if (row->field[0].n == 0)
        return table_error(t, row, 0, err, "no name");
    if (before.n && str_compare(before, row->field[0]) >= 0)
        return table_error(t, row, 0, err, "not behind '%.*s': rows are sorted, each once",
                           STR_ARG(before));
    if (row->field[row->n - 1].n == 0)
        return table_error(t, row, row->n - 1, err, "the row has no source");
    return 0;
}

int rows_check(const struct rows *rows,
               int (*check)(const struct table *t, const struct table_row *row,
                            struct gfxb_error *err),
               struct gfxb_error *err)
{
    struct table t;
    struct table_row row;
    struct str before = STR_NONE;
    int result;
    rows_start(rows, &t);
    while ((result = table_next(&t, &row, err)) > 0) {
        result = rows_check_one(&t, &row, before, err) ?: check(&t, &row, err);
        if (result < 0)
            break;
        before = row.field[0];
    }
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

int rows_task(const struct table *t, const struct table_row *row, unsigned column, struct str word,
              enum model_task *ret, struct gfxb_error *err)
{
    for (int task = 0; task < MODEL_TASKS; task++) {
        if (str_is(word, model_task_name((enum model_task)task))) {
            *ret = (enum model_task)task;
            return 0;
        }
    }
    return table_error(t, row, column, err, "'%.*s' is no task", STR_ARG(word));
}

/* ---- models.tsv ---- */

/* Made by the build from data/models.tsv. */
extern const char model_data_models[], model_data_models_end[];

enum {
    COLUMN_NAME,
    COLUMN_ENGINE,
    COLUMN_RECIPE,
    COLUMN_REPOSITORY,
    COLUMN_FILE,
    COLUMN_MMPROJ,
    COLUMN_LABELS,
    COLUMN_LICENCE,
    COLUMN_BYTES,
    COLUMN_SOURCE
};

static const char *const columns[] = {"name",   "engine",  "recipe", "repository", "file", "mmproj",
                                      "labels", "licence", "bytes",  "source",     NULL};
static const struct rows models = {"models.tsv", model_data_models, model_data_models_end, columns};

/* The first label says what a model is for; the others what else it can do. */
static int read_labels(const struct table *t, const struct table_row *row,
                       enum model_task *ret_task, struct gfxb_error *err)
{
    const struct str others = STR("tools vision reasoning coding");
    struct str rest = row->field[COLUMN_LABELS], word;
    if (!str_word(&rest, &word))
        return table_error(t, row, COLUMN_LABELS, err, "no label");
    int result = rows_task(t, row, COLUMN_LABELS, word, ret_task, err);
    while (result == 0 && str_word(&rest, &word)) {
        if (!str_list_has(others, word))
            result = table_error(t, row, COLUMN_LABELS, err, "'%.*s' is no label", STR_ARG(word));
    }
    return result;
}

static int read_row(const struct table *t, const struct table_row *row, struct model_known *ret,
                    struct gfxb_error *err)
{
    const struct str *field = row->field;
    struct model_known known = {.name = field[COLUMN_NAME],
                                .engine = field[COLUMN_ENGINE],
                                .recipe = field[COLUMN_RECIPE],
                                .repository = field[COLUMN_REPOSITORY],
                                .file = field[COLUMN_FILE],
                                .mmproj = field[COLUMN_MMPROJ],
                                .labels = field[COLUMN_LABELS],
                                .licence = field[COLUMN_LICENCE],
                                .source = field[COLUMN_SOURCE]};
    if (!str_ends(known.file, STR(".gguf"))) {
        known.tag = known.file;
        known.file = STR_NONE;
    }
    int result = rows_count(t, row, COLUMN_BYTES, INT64_MAX, &known.bytes, err)
                     ?: read_labels(t, row, &known.task, err);
    if (result == 0)
        *ret = known;
    return result;
}

static struct model_knowns all_rows;

/* As far as the rows are right: model_tables_check says what is wrong with them. */
static void read_once(void)
{
    struct model_known *item = NULL;
    size_t n = 0;
    struct table t;
    struct table_row row;
    rows_start(&models, &t);
    while (table_next(&t, &row, NULL) > 0) {
        item = xreallocarray(item, n + 1, sizeof(*item));
        if (read_row(&t, &row, &item[n], NULL) < 0)
            break;
        n++;
    }
    all_rows = (struct model_knowns){item, n};
}

const struct model_knowns *model_knowns(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_once);
    return &all_rows;
}

const struct model_known *model_known_find(struct str name)
{
    const struct model_knowns *list = model_knowns();
    for (size_t i = 0; i < list->n; i++) {
        if (str_eq_nocase(list->item[i].name, name))
            return &list->item[i];
    }
    return NULL;
}

static int check_row(const struct table *t, const struct table_row *row, struct gfxb_error *err)
{
    struct model_known known;
    int result = read_row(t, row, &known, err);
    if (result < 0)
        return result;
    struct str rest = known.repository, org;
    if (!str_cut(&rest, '/', &org) || !org.n || !rest.n || memchr(rest.p, '/', rest.n))
        return table_error(t, row, COLUMN_REPOSITORY, err, "not of the form org/repo");
    if (!str_eq(model_known_find(known.name)->name, known.name))
        return table_error(t, row, COLUMN_NAME, err, "this name is there twice, but for the case");
    if (known.recipe.n && !recipe_exists(known.recipe))
        return table_error(t, row, COLUMN_RECIPE, err, "not in recipes.tsv");
    if (str_list_has(known.labels, STR("vision")) != (known.mmproj.n > 0))
        return table_error(t, row, COLUMN_MMPROJ, err,
                           "a projector without the label 'vision', or the other way round");
    return 0;
}

int model_tables_check(struct gfxb_error *err)
{
    return architectures_check(err) ?: recipes_check(err) ?: rows_check(&models, check_row, err);
}

/* ---- hubs.tsv ---- */

/* Made by the build from data/hubs.tsv (tools/embed.py). */
extern const char model_data_hubs[], model_data_hubs_end[];

enum { HUBS_NAME, HUBS_HOST, HUBS_ENDPOINT };

static const char *const hub_columns[] = {"hub", "host", "endpoint", "source", NULL};
static const struct rows hubs = {"hubs.tsv", model_data_hubs, model_data_hubs_end, hub_columns};

static struct str hubs_field(enum model_hub hub, unsigned column)
{
    struct table t;
    struct table_row row;
    struct str name = hub == MODEL_HUB_HF ? STR("hub") : STR("ollama");
    return rows_find(&hubs, name, &t, &row, NULL) == 1 ? row.field[column] : STR_NONE;
}

struct str model_hub_endpoint(enum model_hub hub)
{
    return hubs_field(hub, HUBS_ENDPOINT);
}

struct str model_hub_host(enum model_hub hub)
{
    struct str all = hubs_field(hub, HUBS_HOST), host = STR_NONE;
    (void)str_word(&all, &host);
    return host;
}

bool hub_of_host(struct str host, enum model_hub *ret_hub)
{
    for (enum model_hub hub = MODEL_HUB_HF; hub <= MODEL_HUB_OLLAMA; hub++) {
        struct str all = hubs_field(hub, HUBS_HOST), one;
        while (str_word(&all, &one)) {
            if (str_eq_nocase(one, host)) {
                *ret_hub = hub;
                return true;
            }
        }
    }
    return false;
}
