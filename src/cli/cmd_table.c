/* cmd_table.c - the compatibility tables, and their check. */
#include "cli/cli.h"
#include "peer/peer.h"

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
    json_t *object = support_of(t, target);
    json_object_update_new(
        object,
        json_pack("{s:o, s:o, s:o, s:o, s:i, s:s, s:o}", "gfx", report_json_str(target->gfx),
                  "family", report_json_str(target->family), "generation",
                  report_json_str(target->generation), "asics", report_json_str(target->asics),
                  "cards", (int)table_count_cards(t, target), "rocm",
                  table_rocm_state(t, target, os), "vulkan", report_json_str(target->vulkan)));
    return object;
}

static void table_show(struct cli *cli, bool html)
{
    const struct gfx_tables *t = cli_tables(cli);
    json_t *targets = cli->json || html ? json_array() : NULL;
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
            text_print(stdout, "%-10.*s %-22.*s %-9.*s %5u  %-10s %.*s", STR_ARG(target->gfx),
                       STR_ARG(target->generation), STR_ARG(target->family),
                       table_count_cards(t, target), table_rocm_state(t, target, cli->os),
                       STR_ARG(target->vulkan));
    }
    if (html)
        support_page(t, targets);
    else if (targets)
        cli_print_json(cli, json_pack("{s:o}", "targets", targets));
    if (html)
        json_decref(targets);
}

/* ---- table check, table FILE ---- */

int cli_table_check(const struct gfx_tables *tables, struct gfxb_error *err)
{
    int result = gfx_tables_check(tables, err);
    for (size_t i = 0; result == 0 && i < tables->n_quirks; i++) {
        const struct gfx_quirk *q = &tables->quirk[i];
        struct str bad;
        if (!plan_condition_known(q->condition, &bad))
            result = error_set(err, GFXB_E_TABLE, "%s:%u: the condition term '%.*s' is not known",
                               tables->file[GFX_QUIRKS], q->line, STR_ARG(bad));
    }
    return result;
}

static void table_check(struct cli *cli, const struct gfx_tables *t)
{
    cli_check(cli, cli_table_check(t, &cli->err));
    cli_check(cli, plan_remedy_check(&cli->err));
    cli_check(cli, gfx_aliases_check(t, &cli->err));
    cli_check(cli, engine_causes_check(&cli->err));
    cli_check(cli, engine_drivers_check(&cli->err));
    cli_check(cli, model_tables_check(&cli->err));
    cli_check(cli, peer_rows_check(t, &cli->err));
    if (cli->json)
        cli_print_json(cli, json_pack("{s:b, s:i, s:i, s:i, s:i, s:i}", "ok", 1, "targets",
                                      (int)t->n_targets, "cards", (int)t->n_cards, "packages",
                                      (int)t->n_packages, "quirks", (int)t->n_quirks, "proofs",
                                      (int)t->n_proofs));
    else
        text_print(stdout,
                   "the tables hold: %zu targets, %zu cards, %zu packages, %zu quirks, %zu proofs",
                   t->n_targets, t->n_cards, t->n_packages, t->n_quirks, t->n_proofs);
}

/* The first line that is neither empty nor a comment. */
static struct str table_header(struct str bytes)
{
    struct str line = STR_NONE;
    while (str_cut(&bytes, '\n', &line) && (line.n == 0 || line.p[0] == '#'))
        line = STR_NONE;
    return str_trim(line);
}

/* Which table a file is: the one whose embedded header row it has. */
static enum gfx_table table_recognise(struct cli *cli, struct str bytes, const char *path)
{
    struct str header = table_header(bytes);
    for (enum gfx_table i = 0; i < GFX_TABLES; i++) {
        if (header.n && str_eq(header, table_header(gfx_table_bytes(gfx_table_name(i)))))
            return i;
    }
    cli_die(cli, GFXB_E_TABLE,
            "%s has the header row of no table: it must be that of targets, cards, packages, "
            "quirks or proofs (docs/tables.md)",
            path);
}

/* A table of the user's beside the built-in others. */
static void table_check_file(struct cli *cli, const char *path)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(64 << 20);
    cli_read_file(cli, path, false, &bytes);
    struct gfx_table_source source = {table_recognise(cli, buf_view(&bytes), path), path,
                                      buf_view(&bytes)};
    struct gfx_tables *t = NULL;
    cli_check(cli, gfx_tables_from(&source, 1, &t, &cli->err));
    table_check(cli, t);
    gfx_tables_free(t);
}

enum { TABLE_HTML = 5 }; /* behind those of compare.c, in its order */

static const struct cli_option table_options[] = {
    {"url", "URL", "compare: a running server, http://localhost:13305"},
    {"source", "DIR", "compare: a checkout of the program's sources"},
    {"file", "FILE", "compare: a table of ids, names or targets and what they get"},
    {"report", NULL, "compare: in Markdown, for an issue"},
    {"patch", NULL, "compare: a unified diff that mends the checkout"},
    {"html", NULL, "the table as one page with a search, to standard output"},
    {NULL, NULL, NULL},
};

static int table_run(struct cli *cli, const struct cli_args *args)
{
    bool compare = args->n_words && strcmp(args->word[0], "compare") == 0;
    for (size_t i = 0; i < TABLE_HTML && !compare; i++) {
        if (args->value[i])
            cli_die(cli, GFXB_E_USAGE, "--%s is for table compare", table_options[i].name);
    }
    if (compare)
        return cli_table_compare(cli, args);
    if (args->value[TABLE_HTML] && (args->n_words || cli->json))
        cli_die(cli, GFXB_E_USAGE, "table --html stands alone: gfxbridge table --html >FILE");
    if (args->n_words > 1)
        cli_die(cli, GFXB_E_USAGE, "table does not take '%s' behind '%s'", args->word[1],
                args->word[0]);
    if (args->n_words == 0)
        table_show(cli, args->value[TABLE_HTML] != NULL);
    else if (strcmp(args->word[0], "check") == 0)
        table_check(cli, cli_tables(cli));
    else
        table_check_file(cli, args->word[0]);
    return CLI_DONE;
}

const struct cli_command cli_command_table = {
    .name = "table",
    .words = "[check|compare|FILE] [lemonade|llamacpp-rocm|ollama|rocm-cli]",
    .summary = "the compatibility tables; prove them, compare another program's",
    .about = "Without a word: one line a gfx target, with the number of its device ids, whether a "
             "ROCm package holds code for it (packaged: gfxbridge installs it; elsewhere: only "
             "other programs' packages) and whether Vulkan works. --html writes it as one page "
             "that finds cards "
             "by name, PCI id or gfx, also misspelled ones. check proves every rule of the "
             "tables; FILE proves a table of yours with the built-in others.\n"
             "compare finds the mistakes in another program's tables: of a running Lemonade server "
             "(--url; it is asked, and installs nothing), of a checkout of its sources (--source), "
             "or of a file with two columns (--file). Exit code 1: there are mistakes. --patch "
             "mends a checkout: the patch is compared again, and printed only when no mistake is "
             "left.",
    .options = table_options,
    .any_os = true,
    .run = table_run,
};
