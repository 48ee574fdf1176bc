/* tables.c - the five tables: embedded, replaced from a directory, read in one pass. */
#include "gfx/rows.h"

#include <errno.h>
#include <stdlib.h>

/* Made by the build from data/NAME.tsv (tools/embed.py). */
extern const char gfx_data_targets[], gfx_data_targets_end[];
extern const char gfx_data_cards[], gfx_data_cards_end[];
extern const char gfx_data_packages[], gfx_data_packages_end[];
extern const char gfx_data_quirks[], gfx_data_quirks_end[];
extern const char gfx_data_proofs[], gfx_data_proofs_end[];

#define TABLE_BYTES_MAX ((size_t)16 << 20) /* far above ours of 0.3 MiB: a mistake, not a table */

static const struct {
    const char *name, *file;
    const char *begin, *end;
    const struct gfx_reader *reader;
} tables[GFX_TABLES] = {
    [GFX_TARGETS] = {"targets", "targets.tsv", gfx_data_targets, gfx_data_targets_end,
                     &gfx_target_reader},
    [GFX_CARDS] = {"cards", "cards.tsv", gfx_data_cards, gfx_data_cards_end, &gfx_card_reader},
    [GFX_PACKAGES] = {"packages", "packages.tsv", gfx_data_packages, gfx_data_packages_end,
                      &gfx_package_reader},
    [GFX_QUIRKS] = {"quirks", "quirks.tsv", gfx_data_quirks, gfx_data_quirks_end,
                    &gfx_quirk_reader},
    [GFX_PROOFS] = {"proofs", "proofs.tsv", gfx_data_proofs, gfx_data_proofs_end,
                    &gfx_proof_reader},
};

#define ROW_BYTES 96 /* of an average line: one allocation is enough for our own tables */

/* The public value, and what it owns. */
struct gfx_set {
    struct gfx_tables view; /* first: gfx_tables_free gets its address */
    struct gfx_rows rows[GFX_TABLES];
    struct buf bytes[GFX_TABLES]; /* of replaced tables */
    char *path[GFX_TABLES];
};

const char *gfx_table_name(enum gfx_table table)
{
    return tables[table].name;
}

static struct str table_embedded(enum gfx_table table)
{
    return (struct str){tables[table].begin, (size_t)(tables[table].end - tables[table].begin)};
}

struct str gfx_table_bytes(const char *name)
{
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        if (strcmp(tables[i].name, name) == 0)
            return table_embedded((enum gfx_table)i);
    }
    return STR_NONE;
}

void gfx_tables_free(struct gfx_tables *t)
{
    struct gfx_set *set = (struct gfx_set *)t;
    for (unsigned i = 0; set && i < GFX_TABLES; i++) {
        free(set->rows[i].p);
        buf_done(&set->bytes[i]);
        free(set->path[i]);
    }
    free(set);
}

/* Names and notes end up on terminals: no control characters in any field. */
static int row_check_text(const struct table *t, const struct table_row *row,
                          struct gfxb_error *err)
{
    for (unsigned column = 0; column < row->n; column++) {
        struct str field = row->field[column];
        for (size_t i = 0; i < field.n; i++) {
            if ((unsigned char)field.p[i] < ' ' || field.p[i] == 0x7f)
                return table_error(t, row, column, err, "a control character (byte %zu)", i + 1);
        }
    }
    return 0;
}

/* Any control character besides those that structure a table? In blocks of a fixed size, which
 * compilers turn into vector instructions: this pass sees every byte of every table. */
static bool bytes_are_text(struct str bytes)
{
    const size_t block = 64;
    unsigned char bad = 0;
    size_t i = 0;
    for (; i + block <= bytes.n; i += block) {
        const unsigned char *c = (const unsigned char *)bytes.p + i;
        for (size_t k = 0; k < block; k++)
            bad |=
                (unsigned char)(((c[k] < ' ') & (c[k] != '\n') & (c[k] != '\t')) | (c[k] == 0x7f));
    }
    for (; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        bad |= (unsigned char)((c < ' ' && c != '\n' && c != '\t') || c == 0x7f);
    }
    return !bad;
}

static int rows_read(struct gfx_rows *rows, const struct gfx_reader *reader, const char *file,
                     struct str bytes, struct gfxb_error *err)
{
    struct table table;
    struct table_row two[2]; /* the row and the one before it */
    const char *titles[TABLE_COLUMNS_MAX + 1];
    gfx_titles(reader->columns, titles);
    table_init(&table, file, bytes, titles);
    bool text = bytes_are_text(bytes);
    rows->item = reader->item;
    int result;
    while ((result = table_next(&table, &two[rows->n % 2], err)) > 0) {
        struct gfx_cursor at = {.table = &table,
                                .row = &two[rows->n % 2],
                                .before = rows->n ? &two[(rows->n + 1) % 2] : NULL,
                                .rows = rows};
        if (rows->n == reader->max)
            return table_error(&table, at.row, 0, err, "more than %zu rows", reader->max);
        void *item = gfx_rows_add(rows, bytes.n / ROW_BYTES);
        if (!item)
            return error_set(err, ENOMEM, "%s: out of memory", file);
        result = text ? 0 : row_check_text(&table, at.row, err);
        result = result ?: gfx_row_read(&at, reader->columns, item, err);
        result = result ?: reader->check(&at, item, err);
        if (result < 0)
            return result;
    }
    return result;
}

static void set_publish(struct gfx_set *set)
{
    struct gfx_tables *view = &set->view;
    view->target = (const void *)set->rows[GFX_TARGETS].p;
    view->n_targets = set->rows[GFX_TARGETS].n;
    view->card = (const void *)set->rows[GFX_CARDS].p;
    view->n_cards = set->rows[GFX_CARDS].n;
    view->package = (const void *)set->rows[GFX_PACKAGES].p;
    view->n_packages = set->rows[GFX_PACKAGES].n;
    view->quirk = (const void *)set->rows[GFX_QUIRKS].p;
    view->n_quirks = set->rows[GFX_QUIRKS].n;
    view->proof = (const void *)set->rows[GFX_PROOFS].p;
    view->n_proofs = set->rows[GFX_PROOFS].n;
}

static int set_read(struct gfx_set *set, const struct gfx_table_source *source, size_t n,
                    struct gfxb_error *err)
{
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        struct str bytes = table_embedded((enum gfx_table)i);
        set->view.file[i] = tables[i].file;
        for (size_t k = 0; k < n; k++) {
            if (source[k].table == (enum gfx_table)i) {
                bytes = source[k].bytes;
                set->view.file[i] = source[k].file;
            }
        }
        int result = rows_read(&set->rows[i], tables[i].reader, set->view.file[i], bytes, err);
        if (result < 0)
            return result;
    }
    set_publish(set);
    return 0;
}

static struct gfx_set *set_new(void)
{
    struct gfx_set *set = calloc(1, sizeof(*set));
    for (unsigned i = 0; set && i < GFX_TABLES; i++)
        set->bytes[i] = BUF_INIT(TABLE_BYTES_MAX);
    return set;
}

int gfx_tables_from(const struct gfx_table_source *source, size_t n, struct gfx_tables **ret_tables,
                    struct gfxb_error *err)
{
    struct gfx_set *set = set_new();
    if (!set)
        return error_set(err, ENOMEM, "out of memory");
    int result = set_read(set, source, n, err);
    if (result < 0) {
        gfx_tables_free(&set->view);
        return result;
    }
    *ret_tables = &set->view;
    return 0;
}

/* DIR/NAME.tsv where it exists: 1 read, 0 absent. */
static int set_read_file(struct gfx_set *set, enum gfx_table table, const char *dir,
                         struct gfxb_error *err)
{
    set->path[table] = fs_join(dir, tables[table].file);
    if (!set->path[table])
        return error_set(err, ENOMEM, "out of memory");
    int result = fs_read(set->path[table], TABLE_BYTES_MAX, &set->bytes[table]);
    if (result == -ENOENT || result == -ENOTDIR)
        return 0;
    if (result < 0)
        return fs_error(err, -result, "read the table", set->path[table]);
    return 1;
}

/* From the first of these directories that holds it: 1 read, 0 in none. */
static int set_find_file(struct gfx_set *set, enum gfx_table table, const char *const *dirs,
                         size_t n, struct gfxb_error *err)
{
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        free(set->path[table]);
        set->path[table] = NULL;
        if (dirs[i])
            result = set_read_file(set, table, dirs[i], err);
    }
    return result;
}

int gfx_tables_layered(const char *const *dirs, size_t n_dirs, struct gfx_tables **ret_tables,
                       struct gfxb_error *err)
{
    struct gfx_set *set = set_new();
    if (!set)
        return error_set(err, ENOMEM, "out of memory");
    struct gfx_table_source source[GFX_TABLES];
    size_t n = 0;
    int result = 0;
    for (unsigned i = 0; result >= 0 && i < GFX_TABLES; i++) {
        result = set_find_file(set, (enum gfx_table)i, dirs, n_dirs, err);
        if (result > 0)
            source[n++] = (struct gfx_table_source){(enum gfx_table)i, set->path[i],
                                                    buf_view(&set->bytes[i])};
    }
    if (result >= 0)
        result = set_read(set, source, n, err);
    if (result < 0) {
        gfx_tables_free(&set->view);
        return result;
    }
    *ret_tables = &set->view;
    return 0;
}

int gfx_tables_new(const char *override_dir, struct gfx_tables **ret_tables, struct gfxb_error *err)
{
    return gfx_tables_layered(&override_dir, 1, ret_tables, err);
}
