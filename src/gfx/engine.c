/* engine.c - data/engines.tsv: kinds of engine, as the rooms below engine/ know them. */
#include "gfx/rows.h"

/* Made by the build from data/engines.tsv. */
extern const char gfx_data_engines[], gfx_data_engines_end[];

enum { NAME, TITLE, PROGRAM, PROGRAMS, LIBRARIES, CPU = 9, SOURCE = 17 };

static const char *const engine_columns[] = {
    "engine", "title",  "program",  "programs", "libraries",  "loaded",        "plugins",
    "rocm",   "vulkan", "cpu",      "cpu_args", "layers_arg", "projector_arg", "software_env",
    "rpc",    "worker", "own_args", "source",   NULL,
};

static void engine_open(struct table *table)
{
    struct str bytes = {gfx_data_engines, (size_t)(gfx_data_engines_end - gfx_data_engines)};
    table_init(table, "engines.tsv", bytes, engine_columns);
}

bool gfx_engine_at(size_t index, struct gfx_engine *ret_engine)
{
    struct table table;
    struct table_row row;
    engine_open(&table);
    for (size_t i = 0; table_next(&table, &row, NULL) > 0; i++) {
        if (i != index)
            continue;
        /* Its members are the columns, in their order. */
        _Static_assert(sizeof(*ret_engine) == SOURCE * sizeof(row.field[0]), "a column each");
        memcpy(ret_engine, row.field, sizeof(*ret_engine));
        return true;
    }
    return false;
}

bool gfx_engine_find(struct str name, struct gfx_engine *ret_engine)
{
    for (size_t i = 0; gfx_engine_at(i, ret_engine); i++) {
        if (name.n == 0 || str_eq(name, ret_engine->name))
            return true;
    }
    return false;
}

struct str gfx_engine_default(void)
{
    struct gfx_engine engine = {.name = STR_NONE};
    gfx_engine_at(0, &engine);
    return engine.name;
}

struct str gfx_engine_backend_file(const struct gfx_engine *engine, struct str backend)
{
    return str_is(backend, "rocm")     ? engine->rocm
           : str_is(backend, "vulkan") ? engine->vulkan
                                       : STR_NONE;
}

bool gfx_engine_owns_file(const struct gfx_engine *engine, struct str name)
{
    struct str rest = engine->libraries, word;
    while (str_word(&rest, &word)) {
        if (str_starts(name, word))
            return true;
    }
    return false;
}

int gfx_engines_check(struct gfxb_error *err)
{
    static const unsigned required[] = {NAME, TITLE, PROGRAM, PROGRAMS, LIBRARIES, CPU, SOURCE};
    struct table table;
    struct table_row row;
    struct gfx_engine first;
    size_t n = 0;
    int more;
    engine_open(&table);
    while ((more = table_next(&table, &row, err)) > 0) {
        for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
            if (row.field[required[i]].n == 0)
                return table_error(&table, &row, required[i], err, "a row must have this field");
        }
        if (!str_starts(row.field[PROGRAM], row.field[PROGRAMS]))
            return table_error(&table, &row, PROGRAMS, err, "its program does not begin so");
        for (size_t i = 0; i < n && gfx_engine_at(i, &first); i++) {
            if (str_eq(first.name, row.field[NAME]))
                return table_error(&table, &row, NAME, err, "'%.*s' is listed twice",
                                   STR_ARG(first.name));
        }
        n++;
    }
    return more == 0 && n == 0 ? error_set(err, GFXB_E_TABLE, "engines.tsv has no row") : more;
}
