/* recipe.c - what a model needs on the engine's command line: data/recipes.tsv. */
#include "gfx/gfx.h"
#include "model/gguf/header.h"
#include "model/model_private.h"

#include <errno.h>
#include <stdio.h>

#define POOLING_RANK 4
#define ARGS_MAX     64

/* Made by the build from data/recipes.tsv. */
extern const char model_data_recipes[], model_data_recipes_end[];

enum { COLUMN_NAME, COLUMN_ENGINE, COLUMN_ARCHITECTURE, COLUMN_TASK, COLUMN_CONTEXT, COLUMN_ARGS };

static const char *const columns[] = {"recipe",  "engine", "architecture", "task",
                                      "context", "args",   "source",       NULL};

static const struct rows recipes = {"recipes.tsv", model_data_recipes, model_data_recipes_end,
                                    columns};

enum model_task model_gguf_task(const struct gguf *gguf)
{
    struct architecture a;
    if (gguf->pooling == POOLING_RANK)
        return MODEL_RERANKING;
    if (gguf->pooling != GGUF_POOLING_NOT_SAID && gguf->pooling != 0)
        return MODEL_EMBEDDING;
    if (architecture_find(str_from(gguf->architecture), &a, NULL) == 0 && a.task != MODEL_CHAT)
        return a.task;
    return gguf->template ? MODEL_CHAT : MODEL_COMPLETION;
}

static int add_arg(struct model_launch *l, struct str word, struct gfxb_error *err)
{
    size_t n = 0;
    while (l->args[n])
        n++;
    if (n == ARGS_MAX)
        return error_set(err, E2BIG, "a model's recipe has more than %d arguments", ARGS_MAX);
    l->args[n] = str_is(word, "{context}") ? xasprintf("%u", l->batch) : xstr_dup(word);
    return 0;
}

static void add_name(struct model_launch *l, struct str name)
{
    char *CLEAN_FREE before = l->recipes;
    l->recipes = xasprintf("%s%s%.*s", before, before[0] ? ", " : "", STR_ARG(name));
}

/* One row that applies. */
static int take_row(struct model_launch *l, const struct gguf *gguf, const struct table *t,
                    const struct table_row *row, uint32_t wanted, struct gfxb_error *err)
{
    struct str rest = row->field[COLUMN_ARGS], word;
    uint64_t context = 0;
    int result = rows_count(t, row, COLUMN_CONTEXT, INT32_MAX, &context, err);
    if (result == 0 && context && !wanted)
        l->context = gguf->context && gguf->context < context ? gguf->context : (uint32_t)context;
    if (result == 0 && str_has(rest, STR("{context}")))
        l->batch = wanted ? wanted : l->context;
    while (result == 0 && str_word(&rest, &word))
        result = add_arg(l, word, err);
    if (result == 0)
        add_name(l, row->field[COLUMN_NAME]);
    return result;
}

static bool row_is_for_task(const struct table_row *row, enum model_task task)
{
    return row->field[COLUMN_TASK].n && str_is(row->field[COLUMN_TASK], model_task_name(task));
}

/* Is it a recipe of the model's kind of engine? */
static bool row_is_for_engine(const struct table_row *row, const struct model_known *known)
{
    struct str engine = known && known->engine.n ? known->engine : gfx_engine_default();
    return str_eq(row->field[COLUMN_ENGINE], engine);
}

static bool row_is_for_model(const struct table_row *row, const struct gguf *gguf,
                             const struct model_known *known, enum model_task task)
{
    if (known && known->recipe.n)
        return str_eq(known->recipe, row->field[COLUMN_NAME]);
    return (task == MODEL_CHAT || task == MODEL_COMPLETION) &&
           str_list_has(row->field[COLUMN_ARCHITECTURE], str_from(gguf->architecture));
}

static int take_rows(struct model_launch *l, const struct gguf *gguf,
                     const struct model_known *known, uint32_t wanted, bool by_task,
                     struct gfxb_error *err)
{
    struct table t;
    struct table_row row;
    int result;
    rows_start(&recipes, &t);
    while ((result = table_next(&t, &row, err)) > 0) {
        if (row_is_for_engine(&row, known) &&
            (by_task ? row_is_for_task(&row, l->task)
                     : row_is_for_model(&row, gguf, known, l->task)))
            result = take_row(l, gguf, &t, &row, wanted, err);
        if (result < 0)
            break;
    }
    return result;
}

static int add_projector(struct model_launch *l, const struct model_known *known, const char *file,
                         struct gfxb_error *err)
{
    struct gfx_engine engine = {.name = STR_NONE};
    if (!file)
        return 0;
    if (!gfx_engine_find(known ? known->engine : STR_NONE, &engine) || !engine.projector_arg.n)
        return error_set(err, GFXB_E_MODEL_UNUSABLE, "a model of %.*s takes no projector",
                         STR_ARG(engine.title));
    return add_arg(l, engine.projector_arg, err) ?: add_arg(l, str_from(file), err);
}

int model_launch_new(const struct gguf *gguf, const struct model_known *known, uint32_t context,
                     const char *mmproj, struct model_launch *ret_launch, struct gfxb_error *err)
{
    /* No engine takes more than the model was trained for. */
    context = gguf->context && gguf->context < context ? gguf->context : context;
    struct model_launch l = {.task = known ? known->task : model_gguf_task(gguf),
                             .context = context,
                             .args = xcalloc(ARGS_MAX + 1, sizeof(char *)),
                             .recipes = xstrdup("")};
    int result = take_rows(&l, gguf, known, context, true, err)
                     ?: take_rows(&l, gguf, known, context, false, err)
                     ?: add_projector(&l, known, mmproj, err);
    if (result < 0) {
        model_launch_done(&l);
        return result;
    }
    *ret_launch = l;
    return 0;
}

void model_launch_done(struct model_launch *launch)
{
    for (size_t i = 0; launch->args && launch->args[i]; i++)
        free(launch->args[i]);
    free(launch->args);
    free(launch->recipes);
    *launch = (struct model_launch){.args = NULL};
}

bool recipe_exists(struct str name)
{
    struct table t;
    struct table_row row;
    return rows_find(&recipes, name, &t, &row, NULL) == 1;
}

/* What makes an engine answer differently than gfxbridge expects belongs to no recipe. */
static int check_row(const struct table *t, const struct table_row *row, struct gfxb_error *err)
{
    struct gfx_engine engine;
    struct str rest = row->field[COLUMN_ARGS], word;
    uint64_t context;
    int result = rows_count(t, row, COLUMN_CONTEXT, INT32_MAX, &context, err);
    if (result == 0 && !gfx_engine_find(row->field[COLUMN_ENGINE], &engine))
        return table_error(t, row, COLUMN_ENGINE, err, "not in engines.tsv");
    bool task = row_is_for_task(row, MODEL_EMBEDDING) || row_is_for_task(row, MODEL_RERANKING);
    if (result == 0 && row->field[COLUMN_TASK].n && !task)
        return table_error(t, row, COLUMN_TASK, err, "neither embedding nor reranking");
    while (result == 0 && str_word(&rest, &word)) {
        if (str_list_has(engine.own_args, word))
            return table_error(t, row, COLUMN_ARGS, err, "'%.*s' is not a recipe's to give",
                               STR_ARG(word));
    }
    return result;
}

int recipes_check(struct gfxb_error *err)
{
    return rows_check(&recipes, check_row, err);
}
