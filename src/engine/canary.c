/* canary.c - the built-in model, and its questions with their answers. */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>

static const char *const canary_columns[] = {"kind", "prompt", "answer", "source", NULL};

int canary_proofs(const struct engine_canary *canary,
                  struct canary_proof ret_proof[static CANARY_PROOFS_MAX], size_t *ret_n,
                  struct gfxb_error *err)
{
    struct table table;
    struct table_row row;
    size_t n = 0;
    int more;
    struct str bytes = {canary->table, (size_t)(canary->table_end - canary->table)};
    table_init(&table, "data/canary.tsv", bytes, canary_columns);
    while ((more = table_next(&table, &row, err)) > 0) {
        if (!str_is(row.field[0], "proof"))
            continue;
        if (n == CANARY_PROOFS_MAX)
            return table_error(&table, &row, 0, err, "more than %d proofs", CANARY_PROOFS_MAX);
        if (row.field[1].n == 0 || row.field[2].n == 0)
            return table_error(&table, &row, 1, err, "a proof needs a prompt and an answer");
        ret_proof[n++] = (struct canary_proof){row.field[1], row.field[2]};
    }
    if (more == 0 && n == 0)
        return error_set(err, GFXB_E_TABLE, "data/canary.tsv has no proof");
    *ret_n = n;
    return more;
}

void engine_canary_version(const struct engine_kind *kind,
                           char ret_version[static ENGINE_CANARY_VERSION_MAX])
{
    snprintf(ret_version, ENGINE_CANARY_VERSION_MAX, "%.32s-%.32s", kind->canary->sha256,
             kind->canary->seeded_sha256);
}

size_t canary_size(const struct engine_canary *canary)
{
    return (size_t)(canary->end - canary->bytes);
}

char *canary_file(const struct engine_canary *canary, const char *data_dir)
{
    return xasprintf("%s/canary/canary-%.16s.%s", data_dir, canary->sha256, canary->suffix);
}

bool canary_is(const struct engine_canary *canary, const char *path)
{
    const char *name = strrchr(path, '/');
    char *CLEAN_FREE own = canary_file(canary, "");
    return name && strcmp(name, strrchr(own, '/')) == 0;
}

/* Is the file there with exactly the embedded bytes? */
static bool canary_is_written(const struct engine_canary *canary, const char *path)
{
    size_t size = canary_size(canary);
    struct buf CLEAN_BUF bytes = BUF_INIT(2 * size + 65536);
    return fs_read(path, size, &bytes) == 0 && bytes.n == size &&
           memcmp(bytes.p, canary->bytes, size) == 0;
}

int engine_canary_path(const struct engine_kind *kind, const char *data_dir,
                       const atomic_int *cancel, char **ret_path, struct gfxb_error *err)
{
    const struct engine_canary *canary = kind->canary;
    char *path = canary_file(canary, data_dir);
    char *CLEAN_FREE dir = xfs_join(data_dir, "canary");
    int code = canary_is_written(canary, path)
                   ? 0
                   : proof_store_write(dir, strrchr(path, '/') + 1, canary->bytes,
                                       canary_size(canary), cancel, err);
    if (code < 0)
        free(path);
    else
        *ret_path = path;
    return code;
}

void canary_difference(struct str got, struct str wanted, char *ret_text, size_t size)
{
    size_t at = 0;
    while (at < got.n && at < wanted.n && got.p[at] == wanted.p[at])
        at++;
    at = utf8_cut(wanted, at).n;
    char shown[2][49];
    struct str part[2] = {{got.p + at, got.n - at}, {wanted.p + at, wanted.n - at}};
    for (size_t k = 0; k < 2; k++) {
        size_t n = part[k].n < 48 ? part[k].n : 48;
        for (size_t i = 0; i < n; i++) {
            char c = part[k].p[i];
            shown[k][i] = c >= ' ' && c <= '~' ? c : '?';
        }
        shown[k][n] = '\0';
    }
    snprintf(ret_text, size, "from byte %zu on '%s' instead of '%s'", at, shown[0], shown[1]);
}
