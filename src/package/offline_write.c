#include "package/offline.h"

#include "package/provider.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/* One bundle being written. */
struct offline_writer {
    struct archive *archive;
    const struct package_env *env;
    const char *prefix; /* the package's digest */
};

static int writer_failed(struct offline_writer *w, struct gfxb_error *err)
{
    int code = archive_errno(w->archive);
    if (code == ENOSPC || code == EDQUOT)
        return error_set(err, GFXB_E_DISK_FULL, "the disk is full: the bundle was not made");
    return error_set(err, code > 0 ? code : EIO, "cannot write the bundle: %s",
                     archive_error_string(w->archive));
}

static int writer_content(struct offline_writer *w, const char *path, struct gfxb_error *err)
{
    char *CLEAN_FREE block = malloc(1 << 20);
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (!block)
        return error_set(err, ENOMEM, "out of memory");
    if (fd < 0)
        return error_set(err, errno, "cannot read %s: %s", path, error_errno_text(errno));
    for (;;) {
        ssize_t n = read(fd, block, 1 << 20);
        if (n < 0)
            return error_set(err, errno, "cannot read %s: %s", path, error_errno_text(errno));
        if (n == 0)
            return 0;
        int result = provider_check_cancel(w->env, err);
        if (result < 0)
            return result;
        if (archive_write_data(w->archive, block, (size_t)n) != n)
            return writer_failed(w, err);
    }
}

static int writer_add(struct offline_writer *w, struct archive_entry *entry, const char *name,
                      const struct offline_entry *from, struct gfxb_error *err)
{
    archive_entry_set_pathname(entry, name);
    archive_entry_set_mode(entry, from->mode);
    archive_entry_set_size(entry, S_ISREG(from->mode) ? (la_int64_t)from->size : 0);
    if (from->target)
        archive_entry_set_symlink(entry, from->target);
    return archive_write_header(w->archive, entry) == ARCHIVE_OK ? 0 : writer_failed(w, err);
}

static int writer_entry(void *context, const struct offline_entry *from, struct gfxb_error *err)
{
    struct offline_writer *w = context;
    char *CLEAN_FREE name = fs_join(w->prefix, from->path);
    struct archive_entry *entry = archive_entry_new();
    int result = name && entry ? writer_add(w, entry, name, from, err)
                               : error_set(err, ENOMEM, "out of memory");
    if (result == 0 && S_ISREG(from->mode))
        result = writer_content(w, from->absolute, err);
    archive_entry_free(entry);
    return result;
}

static int writer_end(struct offline_writer *w, const struct buf *text, struct gfxb_error *err)
{
    struct offline_entry last = {.mode = S_IFREG | 0644, .size = text->n};
    struct archive_entry *entry = archive_entry_new();
    int result = entry && buf_ok(text) ? writer_add(w, entry, OFFLINE_NAME, &last, err)
                                       : error_set(err, ENOMEM, "out of memory");
    if (result == 0 && archive_write_data(w->archive, text->p, text->n) != (la_ssize_t)text->n)
        result = writer_failed(w, err);
    archive_entry_free(entry);
    if (result == 0 && archive_write_close(w->archive) != ARCHIVE_OK)
        result = writer_failed(w, err);
    return result;
}

static int writer_packages(struct offline_writer *w, const struct package *const *packages,
                           size_t n, struct gfxb_error *err)
{
    struct utsname system;
    struct buf CLEAN_BUF text = BUF_INIT(OFFLINE_TEXT_MAX);
    uname(&system);
    buf_addf(&text, OFFLINE_FIRST_LINE "\narch %s\n", system.machine);
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        char tree[DIGEST_HEX];
        w->prefix = packages[i]->digest;
        log_at(w->env->log, LOG_INFO, "writing %s, %.0f MB", packages[i]->id,
               (double)packages[i]->bytes / 1e6);
        result = offline_tree_digest(w->env, packages[i]->dir, tree, err);
        if (result == 0)
            result = offline_walk(packages[i]->dir, writer_entry, w, err);
        buf_addf(&text, "package %s %s\n", packages[i]->digest, tree);
    }
    return result < 0 ? result : writer_end(w, &text, err);
}

static int writer_open(struct offline_writer *w, int fd, struct gfxb_error *err)
{
    w->archive = archive_write_new();
    if (!w->archive)
        return error_set(err, ENOMEM, "out of memory");
    if (archive_write_set_format_pax_restricted(w->archive) != ARCHIVE_OK ||
        archive_write_add_filter_zstd(w->archive) != ARCHIVE_OK ||
        archive_write_open_fd(w->archive, fd) != ARCHIVE_OK)
        return writer_failed(w, err);
    return 0;
}

/* What is outside the store is this computer's own: its package only refers to it. */
static int bundle_check(const struct package *const *packages, size_t n, struct gfxb_error *err)
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

int package_bundle(const struct package_env *env, const struct package *const *packages, size_t n,
                   const char *file, struct gfxb_error *err)
{
    struct offline_writer w = {.env = env};
    char *CLEAN_FREE stage = NULL;
    int result = bundle_check(packages, n, err);
    if (result < 0)
        return result;
    if (asprintf(&stage, "%s.XXXXXX", file) < 0) {
        stage = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    int CLEAN_CLOSE fd = mkostemp(stage, O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "cannot write %s: %s", file, error_errno_text(errno));
    result = writer_open(&w, fd, err);
    if (result == 0)
        result = writer_packages(&w, packages, n, err);
    archive_write_free(w.archive);
    if (result == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(stage, file) < 0))
        result = error_set(err, errno, "cannot write %s: %s", file, error_errno_text(errno));
    if (result < 0)
        unlink(stage);
    return result;
}
