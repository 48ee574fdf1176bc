#include "package/offline.h"

#include "package/provider.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>

static bool offline_is_inside(struct str path)
{
    struct buf CLEAN_BUF clean = BUF_INIT(ENTRY_PATH_MAX + 1);
    return !entry_path_clean(path, &clean);
}

struct str package_outside(const struct package *package)
{
    const char *const paths[] = {package->executable, package->loader, package->backend_dir,
                                 package->library_path};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct str rest = str_from(paths[i]), entry;
        while (str_cut(&rest, ':', &entry)) {
            if (entry.n && !offline_is_inside(entry))
                return entry;
        }
    }
    return STR_NONE;
}

static int offline_compare(const FTSENT **one, const FTSENT **other)
{
    return strcmp((*one)->fts_name, (*other)->fts_name);
}

static int offline_visit(const FTSENT *at, size_t top,
                         int (*entry)(void *context, const struct offline_entry *entry,
                                      struct gfxb_error *err),
                         void *context, struct gfxb_error *err)
{
    char target[4096] = "";
    struct offline_entry found = {.path = at->fts_path + top,
                                  .absolute = at->fts_path,
                                  .mode = at->fts_statp->st_mode,
                                  .size = (uint64_t)at->fts_statp->st_size};
    switch (at->fts_info) {
    case FTS_DP: /* seen when it was entered */
        return 0;
    case FTS_D:
    case FTS_F:
        break;
    case FTS_SL:
    case FTS_SLNONE: {
        ssize_t n = readlink(at->fts_accpath, target, sizeof(target) - 1);
        if (n < 0)
            return error_set(err, errno, "cannot read the link %s: %s", at->fts_path,
                             error_errno_text(errno));
        target[n] = '\0';
        found.target = target;
        break;
    }
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return error_set(err, at->fts_errno, "cannot read %s: %s", at->fts_path,
                         error_errno_text(at->fts_errno));
    default:
        return error_set(err, EINVAL, "%s is neither a file, a directory nor a link", at->fts_path);
    }
    return entry(context, &found, err);
}

int offline_walk(const char *dir,
                 int (*entry)(void *context, const struct offline_entry *entry,
                              struct gfxb_error *err),
                 void *context, struct gfxb_error *err)
{
    char *roots[] = {(char *)dir, NULL}; /* fts's type; it does not write there */
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, offline_compare);
    if (!tree)
        return error_set(err, errno, "cannot read %s: %s", dir, error_errno_text(errno));
    int result = 0;
    const FTSENT *at;
    errno = 0;
    while (result == 0 && (at = fts_read(tree))) {
        if (at->fts_level > 0)
            result = offline_visit(at, strlen(dir) + 1, entry, context, err);
        errno = 0;
    }
    if (result == 0 && errno)
        result = error_set(err, errno, "cannot read %s: %s", dir, error_errno_text(errno));
    fts_close(tree);
    return result;
}

struct offline_digest {
    const struct package_env *env;
    struct digest *digest;
};

static int offline_digest_entry(void *context, const struct offline_entry *entry,
                                struct gfxb_error *err)
{
    const struct offline_digest *tree = context;
    char hex[DIGEST_HEX] = "";
    struct buf CLEAN_BUF line = BUF_INIT(16384);
    int result = provider_check_cancel(tree->env, err);
    if (result == 0 && S_ISREG(entry->mode))
        result = digest_file(entry->absolute, hex, err);
    if (result < 0)
        return result;
    const char *kind = S_ISREG(entry->mode) ? "file" : S_ISDIR(entry->mode) ? "dir" : "link";
    /* NUL ends each part, as no path or target can hold it. */
    buf_addf(&line, "%s%c%s%c%s%c", kind, 0, entry->path, 0, entry->target ? entry->target : hex,
             0);
    if (!buf_ok(&line))
        return error_set(err, ENAMETOOLONG, "the path %.60s... is too long", entry->path);
    digest_add(tree->digest, line.p, line.n);
    return 0;
}

int offline_tree_digest(const struct package_env *env, const char *dir,
                        char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    struct offline_digest tree = {.env = env};
    int result = digest_new(&tree.digest, err);
    if (result == 0)
        result = offline_walk(dir, offline_digest_entry, &tree, err);
    if (result == 0)
        result = digest_end(tree.digest, ret_hex, err);
    digest_free(tree.digest);
    return result;
}
