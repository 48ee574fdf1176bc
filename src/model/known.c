/* known.c - the short list of models and the places where models come from: embedded tables. */
#include "gfx/gfx.h"
#include "model/gguf/header.h"
#include "model/model_private.h"

#include <pthread.h>

/* ---- rows ---- */

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

/* The first label says what a model is for; the others what else it can do. */
static int read_labels(const struct table *t, const struct table_row *row,
                       enum model_task *ret_task, struct gfxb_error *err)
{
    const struct str others = STR("tools vision reasoning coding");
    struct str rest = row->field[COLUMN_LABELS], word;
    int task = 0;
    if (!str_word(&rest, &word))
        return table_error(t, row, COLUMN_LABELS, err, "no label");
    while (task < MODEL_TASKS && !str_is(word, model_task_name((enum model_task)task)))
        task++;
    if (task == MODEL_TASKS)
        return table_error(t, row, COLUMN_LABELS, err, "'%.*s' is no task", STR_ARG(word));
    while (str_word(&rest, &word)) {
        if (!str_list_has(others, word))
            return table_error(t, row, COLUMN_LABELS, err, "'%.*s' is no label", STR_ARG(word));
    }
    *ret_task = (enum model_task)task;
    return 0;
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
    int result = rows_count(t, row, COLUMN_BYTES, INT64_MAX, &known.bytes, err);
    if (result == 0)
        result = read_labels(t, row, &known.task, err);
    if (result == 0)
        *ret = known;
    return result;
}

static int read_rows(struct model_known **ret_item, size_t *ret_n, struct gfxb_error *err)
{
    struct str bytes = {model_data_models, (size_t)(model_data_models_end - model_data_models)};
    struct model_known *item = NULL;
    size_t n = 0;
    struct table t;
    struct table_row row;
    struct str before = STR_NONE;
    int result;
    table_init(&t, "models.tsv", bytes, columns);
    while ((result = rows_next(&t, &before, &row, err)) > 0) {
        item = xreallocarray(item, n + 1, sizeof(*item));
        result = read_row(&t, &row, &item[n], err);
        if (result < 0)
            break;
        n++;
    }
    *ret_item = item;
    *ret_n = n;
    return result;
}

static struct model_knowns all_rows;

static void read_once(void)
{
    struct model_known *item;
    size_t n;
    (void)read_rows(&item, &n, NULL); /* model_tables_check says what is wrong with them */
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

#define CHECK_FAIL(known, format, ...)                                                             \
    error_set(err, GFXB_E_TABLE, "models.tsv: '%.*s' " format, STR_ARG((known)->name), __VA_ARGS__)

static int check_one(const struct model_known *k, struct gfxb_error *err)
{
    struct str rest = k->repository, org;
    if (!str_cut(&rest, '/', &org) || !org.n || !rest.n || memchr(rest.p, '/', rest.n))
        return CHECK_FAIL(k, "has no repository of the form %s", "org/repo");
    if (!str_eq(model_known_find(k->name)->name, k->name))
        return CHECK_FAIL(k, "is there twice, but for the %s", "case");
    if (k->recipe.n && !recipe_exists(k->recipe))
        return CHECK_FAIL(k, "names the recipe '%.*s', which is not in recipes.tsv",
                          STR_ARG(k->recipe));
    if (str_list_has(k->labels, STR("vision")) != (k->mmproj.n > 0))
        return CHECK_FAIL(k, "has a projector and no label '%s', or the other way round", "vision");
    return 0;
}

int model_tables_check(struct gfxb_error *err)
{
    struct model_known *CLEAN_FREE item = NULL;
    size_t n = 0;
    int result = architectures_check(err);
    if (result == 0)
        result = recipes_check(err);
    if (result == 0)
        result = read_rows(&item, &n, err);
    for (size_t i = 0; result == 0 && i < n; i++)
        result = check_one(&item[i], err);
    return result;
}

/* ---- hubs.tsv ---- */

/* Made by the build from data/hubs.tsv (tools/embed.py). */
extern const char model_data_hubs[], model_data_hubs_end[];

enum { HUBS_NAME, HUBS_HOST, HUBS_ENDPOINT };

static struct str hubs_field(enum model_hub hub, unsigned column)
{
    static const char *const hub_columns[] = {"hub", "host", "endpoint", "source", NULL};
    static const char *const names[] = {[MODEL_HUB_HF] = "hub", [MODEL_HUB_OLLAMA] = "ollama"};
    struct str bytes = {model_data_hubs, (size_t)(model_data_hubs_end - model_data_hubs)};
    struct table table;
    struct table_row row;
    table_init(&table, "hubs.tsv", bytes, hub_columns);
    while (table_next(&table, &row, NULL) == 1) {
        if (str_is(row.field[HUBS_NAME], names[hub]))
            return row.field[column];
    }
    return STR_NONE;
}

struct str model_hub_endpoint(enum model_hub hub)
{
    return hubs_field(hub, HUBS_ENDPOINT);
}

struct str model_hub_host(enum model_hub hub)
{
    return hubs_field(hub, HUBS_HOST);
}
