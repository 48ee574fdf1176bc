/* rows.c - data/peers.tsv: what the packages hold that peers choose by their own tables. */
#include "peer/private.h"

/* Made by the build from data/peers.tsv. */
extern const char peer_data_peers[], peer_data_peers_end[];

enum { PEER, TABLE, OS, ASSET, GFX, UNCONFIRMED, SOURCE };

static const struct str rows_packages = STR("packages:");

static struct peer_row *rows_add(struct peer_rows *rows, const struct table_row *row)
{
    if (!array_grow(&rows->row, rows->n, &rows->capacity, sizeof(*rows->row)))
        xalloc_die();
    struct peer_row *new = &rows->row[rows->n++];
    *new = (struct peer_row){
        .peer = row->field[PEER],
        .table = row->field[TABLE],
        .os = row->field[OS].n == 0               ? -1
              : str_is(row->field[OS], "windows") ? GFX_WINDOWS
                                                  : GFX_LINUX,
        .gfx = row->field[GFX],
        .unconfirmed = row->field[UNCONFIRMED],
        .source = row->field[SOURCE],
        .line = row->line,
    };
    return new;
}

/* The file's name with a * where its tag stands: of whatever release it is. */
static char *rows_asset(const struct gfx_package *package)
{
    struct buf asset = BUF_INIT(4096);
    struct str rest = package->locate, piece = STR_NONE;
    while (str_cut(&rest, '/', &piece))
        ;
    while (piece.n) {
        if (package->tag.n && str_strip(&piece, package->tag)) {
            buf_add_char(&asset, '*');
            continue;
        }
        buf_add_char(&asset, piece.p[0]);
        piece = str_skip(piece, 1);
    }
    return xbuf_take(&asset);
}

/* The rows of packages.tsv that a row stands for. */
static int rows_add_packages(const struct gfx_tables *tables, struct peer_rows *rows,
                             const struct table *table, const struct table_row *row,
                             struct gfxb_error *err)
{
    struct str glob = str_skip(row->field[ASSET], rows_packages.n);
    size_t before = rows->n;
    for (size_t i = 0; i < tables->n_packages; i++) {
        const struct gfx_package *package = &tables->package[i];
        if (!peer_glob(glob, package->id))
            continue;
        struct peer_row *new = rows_add(rows, row);
        new->os = (int)package->os;
        new->asset = rows_asset(package);
        new->gfx = package->gfx;
        new->unconfirmed = package->unconfirmed;
        new->source = package->source;
        new->package = package;
        new->line = package->line;
    }
    return rows->n > before
               ? 0
               : table_error(table, row, ASSET, err, "no row of packages.tsv has such an id");
}

static int rows_check(const struct gfx_tables *tables, const struct table *table,
                      const struct table_row *row, struct gfxb_error *err)
{
    struct str os = row->field[OS], word;
    if (os.n && !str_is(os, "linux") && !str_is(os, "windows"))
        return table_error(table, row, OS, err, "'%.*s' is none of: linux, windows", STR_ARG(os));
    for (unsigned c = GFX; c <= UNCONFIRMED; c++) {
        struct str rest = row->field[c];
        while (str_word(&rest, &word)) {
            if (!gfx_target_find(tables, word))
                return table_error(table, row, c, err, "'%.*s' is not in targets.tsv",
                                   STR_ARG(word));
        }
    }
    for (unsigned c = PEER; c <= SOURCE; c++) {
        if (row->field[c].n == 0 && (c == PEER || c == TABLE || c == SOURCE))
            return table_error(table, row, c, err, "the field is empty");
    }
    return 0;
}

int peer_rows_read(const struct gfx_tables *tables, struct peer_rows *ret_rows,
                   struct gfxb_error *err)
{
    struct table table;
    struct table_row row;
    int more;
    TABLE_OPEN(&table, "peers.tsv", peer_data_peers, "peer", "table", "os", "asset", "gfx",
               "unconfirmed", "source");
    while ((more = table_next(&table, &row, err)) > 0) {
        int r = rows_check(tables, &table, &row, err);
        if (r == 0 && str_starts(row.field[ASSET], rows_packages))
            r = rows_add_packages(tables, ret_rows, &table, &row, err);
        else if (r == 0)
            rows_add(ret_rows, &row)->asset =
                row.field[ASSET].n ? xstr_dup(row.field[ASSET]) : NULL;
        if (r < 0)
            return r;
    }
    return more;
}

void peer_rows_done(struct peer_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        free(rows->row[i].asset);
    free(rows->row);
    *rows = (struct peer_rows){.n = 0};
}

int peer_rows_check(const struct gfx_tables *tables, struct gfxb_error *err)
{
    struct peer_rows rows = {.n = 0};
    int r = peer_rows_read(tables, &rows, err);
    peer_rows_done(&rows);
    return r;
}
