/* contribution_rows.c - the rows of a contribution: into the tables' texts, and held against its
 * own computer and rungs. */
#include "report/report.h"

#include "base/xalloc.h"

#include <errno.h>
#include <stdio.h>

/* The part that has rows for a table; CONTRIBUTION_PARTS: none has. */
static enum contribution_part rows_part(enum gfx_table table)
{
    static const enum contribution_part parts[GFX_TABLES] = {
        [GFX_TARGETS] = CONTRIBUTION_PARTS,     [GFX_CARDS] = CONTRIBUTION_CARDS,
        [GFX_PACKAGES] = CONTRIBUTION_PACKAGES, [GFX_QUIRKS] = CONTRIBUTION_QUIRKS,
        [GFX_PROOFS] = CONTRIBUTION_PROOFS,
    };
    return parts[table];
}

static struct str rows_of(const struct contribution *c, enum gfx_table table)
{
    enum contribution_part part = rows_part(table);
    return part == CONTRIBUTION_PARTS ? STR_NONE : contribution_part(c, part);
}

static struct str row_field(struct str row, unsigned column)
{
    struct str field = STR_NONE;
    for (unsigned i = 0; i <= column; i++)
        field = str_cut(&row, '\t', &field) ? field : STR_NONE;
    return field;
}

/* The table with a row in its place: tables are sorted by their bytes, and packages.tsv, in which a
 * row replaces the one with its id, is not. */
static void rows_put(struct str table, struct str row, bool replace, struct buf *ret)
{
    struct str line;
    bool header = false, put = false;
    while (table.n && str_cut(&table, '\n', &line)) {
        bool is_row = header && line.n && line.p[0] != '#';
        header = header || (line.n && line.p[0] != '#');
        bool same = replace ? str_eq(row_field(line, 0), row_field(row, 0)) : str_eq(line, row);
        bool before = !replace && str_compare(line, row) > 0;
        if (is_row && !put && (same || before))
            buf_addf(ret, "%.*s\n", STR_ARG(row));
        put |= is_row && (same || before);
        if (!is_row || !same)
            buf_addf(ret, "%.*s\n", STR_ARG(line));
    }
    if (!put)
        buf_addf(ret, "%.*s\n", STR_ARG(row));
}

/* Of a package only what it holds may change, and who says so: never where it comes from. */
static int rows_check_package(const struct contribution *c, const struct gfx_tables *before,
                              struct str row, struct gfxb_error *err)
{
    enum { GFX = 6, UNCONFIRMED = 7, SOURCE = 16 };
    struct str id = row_field(row, 0), name = contribution_part(c, CONTRIBUTION_NAME);
    char *CLEAN_FREE own = xasprintf(";contribution:%.*s", STR_ARG(name));
    const struct gfx_package *known = NULL;
    for (size_t i = 0; i < before->n_packages && !known; i++)
        known = str_eq(before->package[i].id, id) ? &before->package[i] : NULL;
    if (!known)
        return error_set(err, EINVAL, "packages.tsv has no row '%.*s' that could be corrected",
                         STR_ARG(id));
    struct str old = {known->id.p, (size_t)(known->source.p + known->source.n - known->id.p)};
    for (unsigned i = 0; i <= SOURCE; i++) {
        struct str was = row_field(old, i), is = row_field(row, i);
        char *CLEAN_FREE signed_source = xasprintf("%.*s%s", STR_ARG(was), own);
        if (i == SOURCE ? !str_eq(is, was) && !str_is(is, signed_source)
                        : i != GFX && i != UNCONFIRMED && !str_eq(is, was))
            return error_set(err, EINVAL,
                             "the row '%.*s' for packages.tsv changes more than its targets, in "
                             "column %u",
                             STR_ARG(id), i + 1);
    }
    return 0;
}

static int rows_merge(const struct contribution *c, enum gfx_table table,
                      struct contribution_tables *tables, struct gfxb_error *err)
{
    struct str rows = rows_of(c, table), row;
    struct gfx_table_source *source = &tables->source[table];
    int r = 0;
    while (r == 0 && rows.n && str_cut(&rows, '\n', &row)) {
        struct buf merged = BUF_INIT(16 << 20);
        if (table == GFX_PACKAGES)
            r = rows_check_package(c, tables->before, row, err);
        rows_put(source->bytes, row, table == GFX_PACKAGES, &merged);
        tables->changed[table] |= !str_eq(buf_view(&merged), source->bytes);
        buf_done(&tables->bytes[table]);
        tables->bytes[table] = merged;
        source->bytes = buf_view(&merged);
        if (r == 0 && !buf_ok(&merged))
            r = error_set(err, E2BIG, "%s would become too large", source->file);
    }
    return r;
}

int contribution_merge(const struct contribution *c, struct contribution_tables *tables,
                       struct gfxb_error *err)
{
    int r = gfx_tables_from(tables->source, GFX_TABLES, &tables->before, err);
    for (unsigned i = 0; r == 0 && i < GFX_TABLES; i++)
        r = rows_merge(c, (enum gfx_table)i, tables, err);
    return r < 0 ? r : gfx_tables_from(tables->source, GFX_TABLES, &tables->after, err);
}

void contribution_tables_done(struct contribution_tables *tables)
{
    gfx_tables_free(tables->before);
    gfx_tables_free(tables->after);
    for (size_t i = 0; i < GFX_TABLES; i++)
        buf_done(&tables->bytes[i]);
}

/* ---- what the rows say, held against the computer ---- */

struct judge {
    const struct contribution *c;
    const struct machine *m; /* as the tables with the new rows see it */
    const char *source;      /* "contribution:NAME" */
    struct gfxb_error *err;
};

static const struct machine_gpu *judge_gpu(const struct judge *j, struct str card)
{
    for (size_t i = 0; i < j->m->n_gpus; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%04x:%04x", j->m->gpu[i].vendor,
                 (unsigned)j->m->gpu[i].device & 0xffff);
        if (str_is(card, id))
            return &j->m->gpu[i];
    }
    return NULL;
}

static struct str judge_target(const struct machine_gpu *gpu)
{
    return gpu && gpu->target ? gpu->target->gfx : STR_NONE;
}

static int judge_card(const struct judge *j, const struct gfx_card *card)
{
    char id[16];
    snprintf(id, sizeof(id), "1002:%04x", card->device);
    const struct machine_gpu *gpu = judge_gpu(j, str_from(id));
    if (gpu && gpu->kfd_version && str_eq(judge_target(gpu), gfx_card_gfx(card)))
        return 0;
    return error_set(j->err, EINVAL,
                     "the row for cards.tsv says that %s is '%.*s', which no KFD node of this "
                     "computer says",
                     id, STR_ARG(gfx_card_gfx(card)));
}

static int judge_quirk(const struct judge *j, const struct gfx_quirk *quirk)
{
    struct str rest = quirk->gfx, gfx;
    bool all = rest.n > 0;
    while (str_word(&rest, &gfx)) {
        bool here = false;
        for (size_t i = 0; i < j->m->n_gpus; i++)
            here |= str_eq(judge_target(&j->m->gpu[i]), gfx);
        all &= here;
    }
    if (quirk->effect != GFX_WARN && quirk->effect != GFX_NOTE)
        return error_set(j->err, EINVAL,
                         "the row '%.*s' for quirks.tsv has an effect: a contribution warns or "
                         "notes",
                         STR_ARG(quirk->id));
    return all ? 0
               : error_set(j->err, EINVAL,
                           "the row '%.*s' for quirks.tsv is about targets that this computer "
                           "does not have",
                           STR_ARG(quirk->id));
}

static void outcomes_open(const struct judge *j, struct table *ret)
{
    static const char *const columns[] = {"package", "gpu", "rung", "ok", "detail", NULL};
    table_init(ret, "outcomes.tsv", contribution_part(j->c, CONTRIBUTION_OUTCOMES), columns);
}

static int judge_outcomes(const struct judge *j)
{
    struct table table;
    struct table_row row;
    int more = contribution_part(j->c, CONTRIBUTION_OUTCOMES).n > 0;
    outcomes_open(j, &table);
    while (more > 0)
        more = table_next(&table, &row, j->err);
    return more;
}

/* Does the table of outcomes have the rungs of this proof, on a GPU with its id? */
static bool judge_rungs(const struct judge *j, const struct gfx_proof *proof)
{
    struct table table;
    struct table_row row;
    bool listed = false, right = false, proven = str_is(proof->outcome, "proven"), told = false;
    outcomes_open(j, &table);
    while (table_next(&table, &row, NULL) > 0) {
        const struct machine_gpu *gpu = judge_gpu(j, proof->card);
        if (!str_eq(row.field[0], proof->package) || !gpu || !str_is(row.field[1], gpu->pci))
            continue;
        bool ok = str_is(row.field[3], "yes");
        listed |= ok && str_is(row.field[2], "E3");
        right |= ok && str_is(row.field[2], "E4");
        told |= str_is(row.field[2], "outcome") && ok == proven &&
                str_starts(row.field[4], proof->outcome);
    }
    return told && (!proven || (listed && right));
}

static int judge_proof(const struct judge *j, const struct gfx_proof *proof)
{
    const struct machine_gpu *gpu = judge_gpu(j, proof->card);
    const char *why = NULL;
    if (!str_starts(contribution_part(j->c, CONTRIBUTION_MADE), STR("captured ")))
        why = "was not captured on it";
    else if (!gpu || !str_eq(judge_target(gpu), proof->gfx))
        why = "has no such GPU";
    else if (proof->emulated || !str_is(proof->kernel, j->m->host.kernel))
        why = "has another kernel";
    else if (!judge_rungs(j, proof))
        why = "has no such rungs among its outcomes";
    return why ? error_set(j->err, EINVAL,
                           "the row for proofs.tsv says '%.*s' of %.*s on %.*s; the computer %s",
                           STR_ARG(proof->outcome), STR_ARG(proof->package), STR_ARG(proof->card),
                           why)
               : 0;
}

static size_t rows_count(struct str rows)
{
    struct str row;
    size_t n = 0;
    while (rows.n && str_cut(&rows, '\n', &row))
        n++;
    return n;
}

/* Every row that a part has is among those that were judged: it has the contribution's source. */
static int judge_count(const struct judge *j, enum gfx_table table, size_t n)
{
    size_t rows = rows_count(rows_of(j->c, table));
    return rows == n ? 0
                     : error_set(j->err, EINVAL,
                                 "%zu rows for %s.tsv have the source %s, of %zu in the file", n,
                                 gfx_table_name(table), j->source, rows);
}

static int judge_rows(const struct judge *j, const struct gfx_tables *t)
{
    size_t cards = 0, quirks = 0, proofs = 0;
    int r = judge_outcomes(j);
    for (size_t i = 0; r == 0 && i < t->n_cards; i++) {
        if (str_is(gfx_card_source(&t->card[i]), j->source) && ++cards)
            r = judge_card(j, &t->card[i]);
    }
    for (size_t i = 0; r == 0 && i < t->n_quirks; i++) {
        if (str_is(t->quirk[i].source, j->source) && ++quirks)
            r = judge_quirk(j, &t->quirk[i]);
    }
    for (size_t i = 0; r == 0 && i < t->n_proofs; i++) {
        if (str_is(t->proof[i].source, j->source) && ++proofs)
            r = judge_proof(j, &t->proof[i]);
    }
    if (r == 0)
        r = judge_count(j, GFX_CARDS, cards);
    if (r == 0)
        r = judge_count(j, GFX_QUIRKS, quirks);
    return r == 0 ? judge_count(j, GFX_PROOFS, proofs) : r;
}

/* ---- where its facts differ from the tables ---- */

static void differ_gpu(const struct machine_gpu *gpu, json_t *differences)
{
    struct str gfx = judge_target(gpu), known = gfx_card_gfx(gpu->card);
    for (unsigned i = 0; i < gpu->n_notes; i++)
        json_array_append_new(differences, json_sprintf("%s: %s", gpu->pci, gpu->note[i]));
    if (gpu->vendor == 0x1002 && gpu->device >= 0 && !gpu->card)
        json_array_append_new(differences, json_sprintf("%s: 1002:%04x is not in cards.tsv",
                                                        gpu->pci, (unsigned)gpu->device));
    else if (gpu->card && gfx.n && !str_eq(gfx, known))
        json_array_append_new(differences, json_sprintf("%s: it is %.*s; cards.tsv has '%.*s'",
                                                        gpu->pci, STR_ARG(gfx), STR_ARG(known)));
}

static void differ_proof(const struct gfx_tables *before, const struct gfx_proof *proof,
                         json_t *differences)
{
    for (size_t i = 0; i < before->n_proofs; i++) {
        const struct gfx_proof *old = &before->proof[i];
        if (str_eq(old->card, proof->card) && str_eq(old->package, proof->package) &&
            !old->emulated && !str_eq(old->source, proof->source) &&
            str_is(old->outcome, "proven") != str_is(proof->outcome, "proven"))
            json_array_append_new(
                differences,
                json_sprintf("%.*s on %.*s: %.*s here; proofs.tsv:%u has %.*s (%.*s, %.*s)",
                             STR_ARG(proof->package), STR_ARG(proof->card), STR_ARG(proof->outcome),
                             old->line, STR_ARG(old->outcome), STR_ARG(old->kernel),
                             STR_ARG(old->driver)));
    }
}

int contribution_judge(const struct contribution *c, const struct contribution_tables *tables,
                       json_t *differences, struct gfxb_error *err)
{
    struct machine *m = NULL, *before = NULL;
    char *CLEAN_FREE source =
        xasprintf("contribution:%.*s", STR_ARG(contribution_part(c, CONTRIBUTION_NAME)));
    int r = machine_new(c->root, tables->after, &m, err);
    if (r == 0)
        r = machine_new(c->root, tables->before, &before, err);
    if (r == 0)
        r = judge_rows(&(struct judge){c, m, source, err}, tables->after);
    for (size_t i = 0; r == 0 && i < before->n_gpus; i++)
        differ_gpu(&before->gpu[i], differences);
    for (size_t i = 0; r == 0 && i < tables->after->n_proofs; i++) {
        if (str_is(tables->after->proof[i].source, source))
            differ_proof(tables->before, &tables->after->proof[i], differences);
    }
    machine_free(before);
    machine_free(m);
    return r;
}
