/* cmd_table.c - the compatibility tables, and their check. */
#include "cli/cli.h"
#include "engine/engine.h"

#include <errno.h>

/* ---- table: one line a target ---- */

static bool table_has_package(const struct gfx_tables *t, const struct gfx_target *target,
                              enum gfx_os os, bool installable)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *row = &t->package[i];
        if (str_is(row->backend, "rocm") && row->os == os && row->installable >= installable &&
            gfx_covers(t, target, row->gfx, NULL) == GFX_VIA_EXACT)
            return true;
    }
    return false;
}

static unsigned table_count_cards(const struct gfx_tables *t, const struct gfx_target *target)
{
    unsigned n = 0;
    for (size_t i = 0; i < t->n_cards; i++)
        n += str_eq(gfx_card_gfx(&t->card[i]), target->gfx) && t->card[i].revision < 0;
    return n;
}

/* "packaged": one that we install; "elsewhere": only in other programs' packages. */
static const char *table_rocm_state(const struct gfx_tables *t, const struct gfx_target *target,
                                    enum gfx_os os)
{
    if (table_has_package(t, target, os, true))
        return "packaged";
    return table_has_package(t, target, os, false) ? "elsewhere" : "none";
}

static json_t *table_target_json(const struct gfx_tables *t, const struct gfx_target *target,
                                 enum gfx_os os)
{
    json_t *object = json_object();
    json_object_set_new(object, "gfx", report_json_str(target->gfx));
    json_object_set_new(object, "family", report_json_str(target->family));
    json_object_set_new(object, "generation", report_json_str(target->generation));
    json_object_set_new(object, "asics", report_json_str(target->asics));
    json_object_set_new(object, "cards", json_integer(table_count_cards(t, target)));
    json_object_set_new(object, "rocm", json_string(table_rocm_state(t, target, os)));
    json_object_set_new(object, "vulkan", report_json_str(target->vulkan));
    return object;
}

static int table_show(const struct cli *cli, struct gfxb_error *err)
{
    const struct gfx_tables *t = cli->tables;
    json_t *targets = cli->json ? json_array() : NULL;
    if (!targets)
        text_print(stdout, "%-10s %-22s %-9s %5s  %-10s %s", "gfx", "generation", "family", "cards",
                   "ROCm", "Vulkan");
    for (size_t i = 0; i < t->n_targets; i++) {
        const struct gfx_target *target = &t->target[i];
        if (target->covers.n)
            continue;
        if (targets)
            json_array_append_new(targets, table_target_json(t, target, cli->os));
        else
            text_print(stdout, "%-10.*s %-22.22s %-9.*s %5u  %-10s %.*s", STR_ARG(target->gfx),
                       target->generation.p, STR_ARG(target->family), table_count_cards(t, target),
                       table_rocm_state(t, target, cli->os), STR_ARG(target->vulkan));
    }
    if (targets)
        return cli_print_json(json_pack("{s:o}", "targets", targets), err);
    return CLI_DONE;
}

/* ---- table check, table FILE ---- */

static int table_check_conditions(const struct gfx_tables *t, struct gfxb_error *err)
{
    for (size_t i = 0; i < t->n_quirks; i++) {
        struct str bad;
        if (!plan_condition_known(t->quirk[i].condition, &bad))
            return error_set(err, GFXB_E_TABLE, "%s:%u: the condition term '%.*s' is not known",
                             t->file[GFX_QUIRKS], t->quirk[i].line, STR_ARG(bad));
    }
    return 0;
}

int cli_table_check(const struct gfx_tables *tables, struct gfxb_error *err)
{
    int result = gfx_tables_check(tables, err);
    if (result == 0)
        result = table_check_conditions(tables, err);
    return result;
}

static int table_check(const struct cli *cli, const struct gfx_tables *t, struct gfxb_error *err)
{
    int result = cli_table_check(t, err);
    if (result == 0)
        result = plan_remedy_check(err);
    if (result == 0)
        result = engine_causes_check(err);
    if (result == 0)
        result = engine_drivers_check(err);
    if (result == 0)
        result = model_tables_check(err);
    if (result < 0)
        return result;
    if (cli->json)
        return cli_print_json(json_pack("{s:b, s:i, s:i, s:i, s:i}", "ok", 1, "targets",
                                        (int)t->n_targets, "cards", (int)t->n_cards, "packages",
                                        (int)t->n_packages, "quirks", (int)t->n_quirks),
                              err);
    text_print(stdout, "the tables hold: %zu targets, %zu cards, %zu packages, %zu quirks",
               t->n_targets, t->n_cards, t->n_packages, t->n_quirks);
    return CLI_DONE;
}

/* Which table a file is: the one whose embedded header row it has. */
static int table_recognise(struct str bytes, const char *path, enum gfx_table *ret_table,
                           struct gfxb_error *err)
{
    struct str rest = bytes, header = STR_NONE;
    while (str_cut(&rest, '\n', &header) && (header.n == 0 || header.p[0] == '#'))
        header = STR_NONE;
    for (int i = 0; i < GFX_TABLES; i++) {
        struct str own = gfx_table_bytes(gfx_table_name((enum gfx_table)i)), line = STR_NONE;
        while (str_cut(&own, '\n', &line) && (line.n == 0 || line.p[0] == '#'))
            ;
        if (header.n && str_eq(str_trim(line), str_trim(header))) {
            *ret_table = (enum gfx_table)i;
            return 0;
        }
    }
    return error_set(err, GFXB_E_TABLE,
                     "%s has the header row of no table: it must be that of targets, cards, "
                     "packages or quirks (docs/tables.md)",
                     path);
}

/* A table of the user's beside the built-in others. */
static int table_check_file(const struct cli *cli, const char *path, struct gfxb_error *err)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(64 << 20);
    struct gfx_table_source source = {.file = path};
    struct gfx_tables *t = NULL;
    int result = fs_read(path, bytes.max, &bytes);
    if (result < 0)
        return fs_error(err, -result, "read", path);
    source.bytes = buf_view(&bytes);
    result = table_recognise(source.bytes, path, &source.table, err);
    if (result == 0)
        result = gfx_tables_from(&source, 1, &t, err);
    if (result == 0)
        result = table_check(cli, t, err);
    gfx_tables_free(t);
    return result;
}

static int table_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const struct gfx_tables *tables;
    const char *word = args->n_words ? args->word[0] : NULL;
    if (word && strcmp(word, "check") != 0)
        return table_check_file(cli, word, err);
    int result = cli_tables(cli, &tables, err);
    if (result < 0)
        return result;
    return word ? table_check(cli, tables, err) : table_show(cli, err);
}

const struct cli_command cli_command_table = {
    .name = "table",
    .words = "[check|FILE]",
    .max_words = 1,
    .summary = "the compatibility tables; prove them",
    .about = "Without a word: one line a gfx target, with the number of its device ids, whether a "
             "ROCm package holds code for it (packaged: gfxbridge installs it; elsewhere: only "
             "other programs' packages) and whether Vulkan works. check proves every rule of the "
             "tables; FILE proves a table of yours with the built-in others.",
    .any_os = true,
    .run = table_run,
};
