/* canary.c - the built-in model, and its questions with their answers. */
#include "engine/engine_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Embedded by the build: the bytes, and their SHA-256 as text. */
extern const char engine_data_canary_gguf[], engine_data_canary_gguf_end[];
extern const char engine_data_canary_gguf_sha256[];
extern const char engine_data_canary_tsv[], engine_data_canary_tsv_end[];

static const char *const canary_columns[] = {"kind", "prompt", "answer", "source", NULL};

static struct str canary_tsv(void)
{
    return (struct str){engine_data_canary_tsv,
                        (size_t)(engine_data_canary_tsv_end - engine_data_canary_tsv)};
}

int canary_proofs(struct canary_proof ret_proof[static CANARY_PROOFS_MAX], size_t *ret_n,
                  struct gfxb_error *err)
{
    struct table table;
    struct table_row row;
    size_t n = 0;
    int more;
    table_init(&table, "data/canary.tsv", canary_tsv(), canary_columns);
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

const char *engine_canary_version(void)
{
    return engine_data_canary_gguf_sha256;
}

/* Is the file there with exactly the embedded bytes? */
static bool canary_is_written(const char *path, size_t size)
{
    struct stat st;
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size != size)
        return false;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    bool same = memcmp(bytes, engine_data_canary_gguf, size) == 0;
    munmap(bytes, size);
    return same;
}

size_t canary_size(void)
{
    return (size_t)(engine_data_canary_gguf_end - engine_data_canary_gguf);
}

char *canary_file(const char *data_dir)
{
    char *path = NULL;
    return asprintf(&path, "%s/canary/canary-%.16s.gguf", data_dir,
                    engine_data_canary_gguf_sha256) < 0
               ? NULL
               : path;
}

bool canary_is(const char *path)
{
    const char *name = strrchr(path, '/');
    char *CLEAN_FREE own = canary_file("");
    return name && own && strcmp(name, strrchr(own, '/')) == 0;
}

int engine_canary_path(const char *data_dir, char **ret_path, struct gfxb_error *err)
{
    char *path = canary_file(data_dir);
    char *CLEAN_FREE dir = fs_join(data_dir, "canary");
    if (!path || !dir) {
        free(path);
        return error_set(err, ENOMEM, "out of memory");
    }
    int code =
        canary_is_written(path, canary_size())
            ? 0
            : kept_write(dir, strrchr(path, '/') + 1, engine_data_canary_gguf, canary_size(), err);
    if (code < 0) {
        free(path);
        return code;
    }
    *ret_path = path;
    return 0;
}

void canary_difference(struct str got, struct str wanted, char *ret_text, size_t size)
{
    size_t at = 0;
    while (at < got.n && at < wanted.n && got.p[at] == wanted.p[at])
        at++;
    while (at && at < wanted.n && ((unsigned char)wanted.p[at] & 0xc0) == 0x80)
        at--; /* not in the middle of a character */
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
