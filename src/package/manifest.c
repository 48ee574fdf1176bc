/* manifest.c - the text file that makes a directory a package. */
#include "package/package_private.h"

#include <errno.h>
#include <inttypes.h>

#define MANIFEST_MAX        (1u << 20)
#define MANIFEST_FIRST_LINE "gfxbridge-package 1"

/* The keys whose values are text, and where they live. */
static const struct manifest_key {
    const char *key;
    size_t offset;
    bool required;
} manifest_keys[] = {
    {"id", offsetof(struct package, id), true},
    {"provider", offsetof(struct package, provider), true},
    {"engine", offsetof(struct package, engine), false},
    {"backend", offsetof(struct package, backend), true},
    {"digest", offsetof(struct package, digest), true},
    {"version", offsetof(struct package, version), true},
    {"executable", offsetof(struct package, executable), true},
    {"loader", offsetof(struct package, loader), false},
    {"library-path", offsetof(struct package, library_path), false},
    {"backend-dir", offsetof(struct package, backend_dir), true},
    {"gfx", offsetof(struct package, gfx), false},
    {"blas", offsetof(struct package, blas), false},
};

#define MANIFEST_KEYS (sizeof(manifest_keys) / sizeof(manifest_keys[0]))

static char **manifest_slot(const struct package *package, const struct manifest_key *key)
{
    return (char **)((uintptr_t)package + key->offset);
}

static bool manifest_value_is_line(const char *value)
{
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    }
    return true;
}

static int manifest_add_key(struct buf *text, const struct package *package,
                            const struct manifest_key *key, struct gfxb_error *err)
{
    const char *value = *manifest_slot(package, key);
    if (!value && !key->required)
        return 0;
    if (!value || !manifest_value_is_line(value))
        return error_set(err, EINVAL, "the package's \"%s\" is missing or not one line", key->key);
    buf_addf(text, "%s %s\n", key->key, value);
    return 0;
}

int manifest_write(const char *dir, const struct package *package, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(MANIFEST_MAX);
    buf_add_text(&text, MANIFEST_FIRST_LINE "\n");
    for (size_t i = 0; i < MANIFEST_KEYS; i++) {
        int r = manifest_add_key(&text, package, &manifest_keys[i], err);
        if (r < 0)
            return r;
    }
    buf_addf(&text, "bytes %" PRIu64 "\ninstalled %" PRId64 "\n", package->bytes,
             package->installed);
    buf_add_str(&text, str_from(package->facts));
    char *CLEAN_FREE path = xfs_join(dir, MANIFEST_NAME);
    if (!buf_ok(&text))
        return error_set(err, EFBIG, "%s would be too large", path);
    return fs_write(path, text.p, text.n, 0644, err);
}

/* One "key value" line into the package, or into its facts. A key that comes twice keeps its first
 * value. */
static int manifest_take_line(struct package *package, struct str line, struct buf *facts)
{
    struct str key = STR_NONE, value = line;
    uint64_t number = 0;
    if (!str_cut(&value, ' ', &key) || !value.p)
        return 0;
    for (size_t i = 0; i < MANIFEST_KEYS; i++) {
        char **slot = manifest_slot(package, &manifest_keys[i]);
        if (!str_is(key, manifest_keys[i].key))
            continue;
        if (!*slot)
            *slot = xstr_dup(value);
        return 0;
    }
    bool is_bytes = str_is(key, "bytes");
    if (!is_bytes && !str_is(key, "installed")) {
        buf_addf(facts, "%.*s\n", STR_ARG(line));
        return 0;
    }
    if (str_to_u64(value, 10, &number) < 0 || number > INT64_MAX)
        return -EBADMSG;
    package->bytes = is_bytes ? number : package->bytes;
    package->installed = is_bytes ? package->installed : (int64_t)number;
    return 0;
}

static int manifest_parse(struct str text, struct package *package)
{
    struct buf CLEAN_BUF facts = BUF_INIT(2 * MANIFEST_MAX);
    struct str line = STR_NONE;
    if (!str_cut(&text, '\n', &line) || !str_is(line, MANIFEST_FIRST_LINE))
        return -EBADMSG;
    while (str_cut(&text, '\n', &line)) {
        int r = manifest_take_line(package, line, &facts);
        if (r < 0)
            return r;
    }
    package->facts = xbuf_take(&facts);
    for (size_t i = 0; i < MANIFEST_KEYS; i++) {
        if (manifest_keys[i].required && !*manifest_slot(package, &manifest_keys[i]))
            return -EBADMSG;
    }
    if (!package->engine) /* it is from before there were several kinds */
        package->engine = xstr_dup(gfx_engine_default());
    return 0;
}

int manifest_read(const char *dir, struct package *ret_package)
{
    struct buf CLEAN_BUF text = BUF_INIT(MANIFEST_MAX);
    struct package package = {0};
    char *CLEAN_FREE path = xfs_join(dir, MANIFEST_NAME);
    package.dir = xstrdup(dir);
    int r = fs_read(path, MANIFEST_MAX, &text) ?: manifest_parse(buf_view(&text), &package);
    if (r < 0) {
        manifest_package_done(&package);
        return r;
    }
    *ret_package = package;
    return 0;
}

bool manifest_is_unknown(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

void manifest_package_done(struct package *package)
{
    free(package->dir);
    free(package->facts);
    for (size_t i = 0; i < MANIFEST_KEYS; i++)
        free(*manifest_slot(package, &manifest_keys[i]));
    *package = (struct package){0};
}
