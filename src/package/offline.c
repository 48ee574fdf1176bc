/*
 * offline.c - installed packages as one file for a computer without the network.
 *
 * Such a file is a tar, compressed with zstd: DIGEST/... for each package, and at its end the text
 * file OFFLINE_NAME: "gfxbridge-bundle 1", "arch x86_64", and for each package
 * "package DIGEST TREE", where TREE is the offline_tree digest of its directory. Being last it is
 * also the sign that nothing is missing.
 */
#include "package/package_private.h"
#include "package/unpack/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define OFFLINE_NAME       "gfxbridge-bundle"
#define OFFLINE_FIRST_LINE OFFLINE_NAME " 1"
#define OFFLINE_TEXT_MAX   (1u << 20)
#define OFFLINE_BLOCK      (1u << 20)

/* Where one of these paths of the package leads to that is not below its directory. */
struct str package_outside(const struct package *package)
{
    const char *const paths[] = {package->executable, package->loader, package->backend_dir,
                                 package->library_path};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct str rest = str_from(paths[i]), entry;
        while (str_cut(&rest, ':', &entry)) {
            struct buf CLEAN_BUF clean = BUF_INIT(ENTRY_PATH_MAX + 1);
            if (entry.n && entry_path_clean(entry, &clean))
                return entry;
        }
    }
    return STR_NONE;
}

/* ---- one package: its digest, and the package itself into an archive ---- */

/* A directory's digest is the sha256 over every entry, sorted: its kind, path, target, and of a
 * file its sha256. Modes are left out: unpacking sets its own. */
struct offline_tree {
    const struct package_env *env;
    struct digest *digest;
    struct archive *archive; /* where the entries go; NULL: nowhere */
    const char *prefix;      /* their names there begin with it */
};

static int offline_write_failed(struct archive *archive, struct gfxb_error *err)
{
    int code = archive_errno(archive);
    return fs_error(err, code > 0 ? code : EIO, "write", "the bundle");
}

static int offline_add_header(struct archive *archive, const char *name, mode_t mode, uint64_t size,
                              const char *target, struct gfxb_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        xalloc_die();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_size(entry, S_ISREG(mode) ? (la_int64_t)size : 0);
    if (S_ISLNK(mode))
        archive_entry_set_symlink(entry, target);
    int r = archive_write_header(archive, entry);
    archive_entry_free(entry);
    return r == ARCHIVE_OK ? 0 : offline_write_failed(archive, err);
}

static int offline_add_content(const struct offline_tree *tree, const char *path,
                               struct gfxb_error *err)
{
    char *CLEAN_FREE block = xmalloc(OFFLINE_BLOCK);
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = -1;
    int r = 0;
    while (r == 0 && fd >= 0 && (n = read(fd, block, OFFLINE_BLOCK)) > 0) {
        r = archive_write_data(tree->archive, block, (size_t)n) == n
                ? package_check_cancel(tree->env, err)
                : offline_write_failed(tree->archive, err);
    }
    return n < 0 ? fs_error(err, errno, "read", path) : r;
}

static int offline_add_entry(const struct offline_tree *tree, const FTSENT *entry, const char *path,
                             struct gfxb_error *err)
{
    const struct stat *st = entry->fts_statp;
    bool is_file = S_ISREG(st->st_mode), is_link = S_ISLNK(st->st_mode);
    const char *kind = is_file ? "file" : is_link ? "link" : "dir";
    char text[4096] = ""; /* of a file its digest, of a link its target */
    if (is_link && readlink(entry->fts_path, text, sizeof(text) - 1) < 0)
        return fs_error(err, errno, "read the link", entry->fts_path);
    int r = package_check_cancel(tree->env, err);
    if (r == 0 && tree->archive) {
        char *CLEAN_FREE name = xfs_join(tree->prefix, path);
        r = offline_add_header(tree->archive, name, st->st_mode, (uint64_t)st->st_size, text, err);
        if (r == 0 && is_file)
            r = offline_add_content(tree, entry->fts_path, err);
    }
    if (r == 0 && is_file)
        r = digest_file(entry->fts_path, text, err);
    /* NUL ends each part, as no path or target can hold it. */
    digest_add(tree->digest, kind, strlen(kind) + 1);
    digest_add(tree->digest, path, strlen(path) + 1);
    digest_add(tree->digest, text, strlen(text) + 1);
    return r;
}

static int offline_compare(const FTSENT **one, const FTSENT **other)
{
    return strcmp((*one)->fts_name, (*other)->fts_name);
}

static int offline_walk(const struct offline_tree *tree, const char *dir, struct gfxb_error *err)
{
    char *CLEAN_FREE top = xstrdup(dir);
    char *const tops[] = {top, NULL};
    FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, offline_compare);
    if (!walk)
        return fs_error(err, errno, "read", dir);
    int r = 0;
    const FTSENT *entry;
    while (r == 0 && (errno = 0, entry = fts_read(walk))) {
        int info = entry->fts_info;
        if (info == FTS_DNR || info == FTS_ERR || info == FTS_NS)
            r = fs_error(err, entry->fts_errno, "read", entry->fts_path);
        else if (info == FTS_D || info == FTS_F || info == FTS_SL || info == FTS_SLNONE)
            r = entry->fts_level > 0
                    ? offline_add_entry(tree, entry, entry->fts_path + strlen(dir) + 1, err)
                    : 0;
        else if (info != FTS_DP) /* that was seen when it was entered */
            r = error_set(err, EINVAL, "%s is neither a file, a directory nor a link",
                          entry->fts_path);
    }
    if (r == 0 && errno)
        r = fs_error(err, errno, "read", dir);
    fts_close(walk);
    return r;
}

/* The digest of a package's directory. archive: its entries go there, below prefix; NULL: nowhere.
 */
static int offline_add_package(const struct package_env *env, const char *dir,
                               struct archive *archive, const char *prefix,
                               char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    struct offline_tree tree = {.env = env, .archive = archive, .prefix = prefix};
    int r = digest_new(&tree.digest, err) ?: offline_walk(&tree, dir, err);
    r = r ?: digest_end(tree.digest, ret_hex, err);
    digest_free(tree.digest);
    return r;
}

/* ---- writing ---- */

static int offline_write_packages(struct archive *archive, const struct package_env *env,
                                  const struct package *const *packages, size_t n,
                                  struct gfxb_error *err)
{
    struct utsname system;
    struct buf CLEAN_BUF text = BUF_INIT(OFFLINE_TEXT_MAX);
    int r = 0;
    uname(&system);
    buf_addf(&text, OFFLINE_FIRST_LINE "\narch %s\n", system.machine);
    for (size_t i = 0; i < n && r == 0; i++) {
        char tree[DIGEST_HEX] = "";
        log_at(env->log, LOG_INFO, "writing %s, %.0f MB", packages[i]->id,
               (double)packages[i]->bytes / 1e6);
        r = offline_add_package(env, packages[i]->dir, archive, packages[i]->digest, tree, err);
        buf_addf(&text, "package %s %s\n", packages[i]->digest, tree);
    }
    r = r ?: offline_add_header(archive, OFFLINE_NAME, S_IFREG | 0644, text.n, NULL, err);
    if (r == 0 && (archive_write_data(archive, text.p, text.n) != (la_ssize_t)text.n ||
                   archive_write_close(archive) != ARCHIVE_OK))
        r = offline_write_failed(archive, err);
    return r;
}

static int offline_write_to(int fd, const struct package_env *env,
                            const struct package *const *packages, size_t n, struct gfxb_error *err)
{
    struct archive *archive = archive_write_new();
    if (!archive)
        xalloc_die();
    int r = archive_write_set_format_pax_restricted(archive) == ARCHIVE_OK &&
                    archive_write_add_filter_zstd(archive) == ARCHIVE_OK &&
                    archive_write_open_fd(archive, fd) == ARCHIVE_OK
                ? offline_write_packages(archive, env, packages, n, err)
                : offline_write_failed(archive, err);
    archive_write_free(archive);
    return r;
}

/* What is outside the store is this computer's own: its package only refers to it. */
static int offline_check_packages(const struct package *const *packages, size_t n,
                                  struct gfxb_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct str outside = package_outside(packages[i]);
        if (outside.n)
            return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                             "%s cannot be bundled: it needs %.*s, which is not in the store; "
                             "bundle another package, or install that on the other computer too",
                             packages[i]->id, STR_ARG(outside));
    }
    return n ? 0
             : error_set(err, GFXB_E_NO_PACKAGE,
                         "nothing is installed that could be bundled: gfxbridge backends install "
                         "%.*s:cpu brings the first",
                         STR_ARG(gfx_engine_default()));
}

int package_write_offline(const struct package_env *env, const struct package *const *packages,
                          size_t n, const char *file, struct gfxb_error *err)
{
    int r = offline_check_packages(packages, n, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE stage = xasprintf("%s.XXXXXX", file);
    int CLEAN_CLOSE fd = mkostemp(stage, O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, "write", file);
    r = offline_write_to(fd, env, packages, n, err);
    if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(stage, file) < 0))
        r = fs_error(err, errno, "write", file);
    if (r < 0)
        unlink(stage);
    return r;
}

/* ---- installing ---- */

/* One file that is installed. */
struct offline_install {
    const struct package_env *env;
    const char *file;
    struct store_stage stage; /* all of it, unpacked */
    struct package_digests found;
};

static int offline_damaged(const struct offline_install *in, const char *what,
                           struct gfxb_error *err)
{
    return error_set(err, GFXB_E_DIGEST_MISMATCH, "%s is damaged: %s; make or copy it again",
                     in->file, what);
}

/* Its text file: the header is right, and rest holds the lines about packages. */
static int offline_read_text(const struct offline_install *in, struct buf *text,
                             struct str *ret_rest, struct gfxb_error *err)
{
    struct str line = STR_NONE, word = STR_NONE;
    struct utsname system;
    char *CLEAN_FREE path = xfs_join(in->stage.dir, OFFLINE_NAME);
    int r = fs_read(path, OFFLINE_TEXT_MAX, text);
    if (r == -ENOENT)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not a gfxbridge bundle, or it was cut short: make one with "
                         "gfxbridge backends bundle",
                         in->file);
    if (r < 0)
        return fs_error(err, -r, "read", in->file);
    struct str rest = buf_view(text);
    if (!str_cut(&rest, '\n', &line) || !str_is(line, OFFLINE_FIRST_LINE))
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "%s was made by a newer gfxbridge: update this one", in->file);
    if (!str_cut(&rest, '\n', &line) || !str_word(&line, &word) || !str_is(word, "arch"))
        return offline_damaged(in, "it does not say which processors it is for", err);
    line = str_trim(line);
    if (uname(&system) == 0 && !str_is(line, system.machine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%s is for %.*s and this computer is %s", in->file,
                         STR_ARG(line), system.machine);
    *ret_rest = rest;
    return 0;
}

/* Its manifest names it, and nothing that is not in it: an engine elsewhere on this computer is not
 * for a file from another one to choose. */
static int offline_check_manifest(const struct offline_install *in, const char *dir,
                                  const char *digest, struct gfxb_error *err)
{
    struct package CLEAN_PACKAGE package = {0};
    if (manifest_read(dir, &package) < 0)
        return offline_damaged(in, "a package in it has no manifest", err);
    struct str outside = package_outside(&package);
    if (strcmp(package.digest, digest) != 0)
        return offline_damaged(in, "a package in it has another package's name", err);
    if (outside.n)
        return error_set(err, GFXB_E_ARCHIVE_UNSAFE,
                         "a package in %s would start %.*s, which is not in it", in->file,
                         STR_ARG(outside));
    return 0;
}

bool package_digests_have(const struct package_digests *digests, const char *digest)
{
    for (size_t i = 0; i < digests->n; i++) {
        if (strcmp(digests->digest[i], digest) == 0)
            return true;
    }
    return false;
}

/* "package DIGEST TREE": it is there, whole, and the one that its line says it is. */
static int offline_check_line(struct offline_install *in, struct str line, struct gfxb_error *err)
{
    struct str word = STR_NONE, digest = STR_NONE, tree = STR_NONE;
    char name[DIGEST_HEX], hex[DIGEST_HEX];
    if (in->found.n == PACKAGE_DIGESTS_MAX)
        return offline_damaged(in, "it holds too many packages", err);
    if (!str_word(&line, &word) || !str_is(word, "package") || !str_word(&line, &digest) ||
        !package_is_digest(digest) || !str_word(&line, &tree))
        return offline_damaged(in, "a line about a package is wrong", err);
    snprintf(name, sizeof(name), "%.*s", STR_ARG(digest));
    if (package_digests_have(&in->found, name))
        return offline_damaged(in, "it names a package twice", err);
    char *CLEAN_FREE dir = xfs_join(in->stage.dir, name);
    int r = offline_add_package(in->env, dir, NULL, NULL, hex, err);
    if (r == -GFXB_E_INTERRUPTED)
        return r;
    if (r < 0 || !str_is(tree, hex))
        return offline_damaged(in, "a package in it has changed", err);
    memcpy(in->found.digest[in->found.n++], name, sizeof(name));
    return offline_check_manifest(in, dir, name, err);
}

static int offline_check(struct offline_install *in, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(OFFLINE_TEXT_MAX);
    struct str rest = STR_NONE, line = STR_NONE;
    int r = offline_read_text(in, &text, &rest, err);
    while (r == 0 && str_cut(&rest, '\n', &line) && line.n)
        r = offline_check_line(in, line, err);
    if (r == 0 && in->found.n == 0)
        return offline_damaged(in, "no package is in it", err);
    return r;
}

/* The package's directory, in the stage of all of them, is a stage of its own. */
static int offline_publish(const struct offline_install *in, const char *digest,
                           struct gfxb_error *err)
{
    struct package CLEAN_PACKAGE package = {0};
    struct store_stage stage = {.dir = xfs_join(in->stage.dir, digest)};
    stage.lock_fd = open(stage.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = stage.lock_fd < 0 ? -errno : manifest_read(stage.dir, &package);
    if (r < 0)
        fs_error(err, -r, "read", stage.dir);
    else
        log_at(in->env->log, LOG_INFO, "installing %s", package.id);
    r = r ?: store_publish(in->env, &stage, &package, err);
    store_stage_done(&stage);
    return r;
}

int package_install_offline(const struct package_env *env, const char *file,
                            struct package_digests *ret_digests, struct gfxb_error *err)
{
    const struct unpack_options options = {.cancel = package_cancel(env)};
    struct offline_install in = {.env = env, .file = file, .stage = STORE_STAGE_NONE};
    int r = package_check_data_dir(env, err) ?: store_stage_new(env, 0, &in.stage, err);
    r = r ?: unpack_file(file, in.stage.dir, &options, err);
    if (r == -EBADMSG)
        error_prefix(err, "%s cannot be read: ", file);
    r = r ?: offline_check(&in, err);
    for (size_t i = 0; r == 0 && i < in.found.n; i++)
        r = offline_publish(&in, in.found.digest[i], err);
    store_stage_done(&in.stage);
    if (r == 0)
        *ret_digests = in.found;
    return r;
}
