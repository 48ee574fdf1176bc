/*
 * inspect.c - a file, an archive or a directory, and what is really inside.
 *
 * An inspector (inspector.c) is given one file after the other, wherever they come from.
 */
#include "inspect/inspect_private.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>

#define TREE_DEPTH_MAX 64

void inspection_done(struct inspection *inspection)
{
    names_done(&inspection->gfx);
    names_done(&inspection->blas.rocblas);
    names_done(&inspection->blas.hipblaslt);
    names_done(&inspection->elf);
    names_done(&inspection->needed);
    names_done(&inspection->executables);
    names_done(&inspection->problems);
    for (size_t i = 0; i < inspection->n_code; i++) {
        free(inspection->code[i].path);
        names_done(&inspection->code[i].gfx);
    }
    free(inspection->code);
    *inspection = (struct inspection){0};
}

const char *inspect_kind_name(enum inspect_kind kind)
{
    static const char *const name[] = {
        [INSPECT_ELF] = "elf",
        [INSPECT_BUNDLE] = "bundle",
        [INSPECT_ARCHIVE] = "archive",
        [INSPECT_PACKAGE] = "package",
    };
    return name[kind];
}

/* ---- a directory ---- */

/* In the order of names, so that the result does not depend on the file system. */
static int tree_compare(const FTSENT **one, const FTSENT **other)
{
    return strcmp((*one)->fts_name, (*other)->fts_name);
}

/* Was the file met under another name? Else its size is added. */
static bool tree_is_met(struct inspector *in, struct names *linked, const struct stat *st)
{
    char *CLEAN_FREE id = xasprintf("%ju %ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
    bool met = st->st_nlink > 1 && !names_add(linked, str_from(id));
    in->found.size += met ? 0 : (uint64_t)st->st_size;
    return met;
}

static int tree_add_file(struct inspector *in, const char *path, const FTSENT *file,
                         struct names *linked, struct gfxb_error *err)
{
    struct image image;
    unsigned char head[64];
    size_t n;
    bool is_met = tree_is_met(in, linked, file->fts_statp);
    if (inspector_note_path(in, path) || is_met)
        return 0;
    int CLEAN_CLOSE fd = open(file->fts_accpath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "%s: %s", path, error_errno_text(errno));
    if (image_from_fd(fd, &image) < 0 || image_read_some(&image, 0, head, sizeof(head), &n) < 0 ||
        !inspector_wants(head, n))
        return 0;
    return inspector_try(in, path, &image, err);
}

/* Every regular file below it, links not followed. */
static int inspect_tree(struct inspector *in, const char *directory, struct gfxb_error *err)
{
    char *CLEAN_FREE top = xstrdup(directory);
    char *const tops[] = {top, NULL};
    FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, tree_compare);
    struct names CLEAN_NAMES linked = {0};
    const FTSENT *entry;
    int r = walk ? 0 : error_set(err, errno, "%s", error_errno_text(errno));
    while (r == 0 && (entry = fts_read(walk))) {
        const char *path = entry->fts_path + strlen(top);
        path += *path == '/';
        if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
            r = error_set(err, entry->fts_errno, "%s: %s", path,
                          error_errno_text(entry->fts_errno));
        else if (entry->fts_level > TREE_DEPTH_MAX)
            r = error_set(err, ELOOP, "%s: nested too deeply", path);
        else if (entry->fts_info == FTS_F)
            r = tree_add_file(in, path, entry, &linked, err);
    }
    if (walk)
        fts_close(walk);
    return r;
}

/* ---- an archive ---- */

#define SPOOL_NAME "a temporary file (TMPDIR says in which directory)"

static int spool_open(int *ret_fd, struct gfxb_error *err)
{
    const char *directory = getenv("TMPDIR");
    if (!directory || directory[0] != '/')
        directory = "/var/tmp"; /* a disk; /tmp is often memory */
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EACCES)) {
        directory = "/tmp";
        fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    if (fd < 0)
        return error_set(err, errno, "no temporary file can be made in %s: %s", directory,
                         error_errno_text(errno));
    *ret_fd = fd;
    return 0;
}

static int archive_add_file(struct inspector *in, struct archive_reader *reader, const char *path,
                            int *spool, struct gfxb_error *err)
{
    struct archive_block block;
    struct image image;
    if (inspector_note_path(in, path))
        return 0;
    int r = archive_reader_block(reader, &block, err);
    if (r <= 0 || block.offset != 0 || !inspector_wants(block.bytes, block.n))
        return r < 0 ? r : 0;
    r = *spool < 0 ? spool_open(spool, err) : 0;
    if (r == 0 && ftruncate(*spool, 0) < 0)
        return fs_error(err, errno, "write", SPOOL_NAME);
    r = r ?: archive_reader_save(reader, &block, *spool, SPOOL_NAME, err);
    if (r == 0 && image_from_fd(*spool, &image) < 0)
        return fs_error(err, EIO, "read", SPOOL_NAME);
    return r < 0 ? r : inspector_try(in, path, &image, err);
}

/* Every file of an archive. What needs a look inside (ELF files: their section headers stand at the
 * end) is written to an unlinked temporary file below TMPDIR, else /var/tmp, one at a time. */
static int inspect_archive(struct inspector *in, int fd, struct gfxb_error *err)
{
    struct archive_reader *reader = NULL;
    struct archive_item item;
    int CLEAN_CLOSE spool = -1;
    int r = archive_reader_new(fd, NULL, NULL, &reader, err);
    while (r == 0 && (r = archive_reader_next(reader, &item, err)) == 1)
        r = item.type == ARCHIVE_FILE ? archive_add_file(in, reader, item.path, &spool, err) : 0;
    archive_reader_free(reader);
    return r;
}

/* ---- one ELF file, bundle or .kpack file ---- */

/* Files in the directory of a search path whose names fit its last part. */
static int beside_search(struct inspector *in, struct str directory, const char *search,
                         struct gfxb_error *err)
{
    struct str above = fs_dir(search), pattern = str_from(fs_name(search));
    char *CLEAN_FREE folder = xasprintf("%.*s/%.*s", STR_ARG(directory), STR_ARG(above));
    DIR *CLEAN_DIR dir = search[0] == '/' ? NULL : opendir(folder);
    const char *name;
    int r = 0;
    while (r == 0 && (name = fs_next(dir))) {
        struct image image;
        if (!kpack_name_fits(pattern, str_from(name)))
            continue;
        int CLEAN_CLOSE fd = openat(dirfd(dir), name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && image_from_fd(fd, &image) == 0)
            r = kpack_index_add(&in->kpack, &image, err);
    }
    return r;
}

/* And the .kpack files that a library's references lead to, beside it on the disk. */
static int inspect_single(struct inspector *in, const char *path, const struct image *image,
                          struct gfxb_error *err)
{
    char *CLEAN_FREE real = realpath(path, NULL);
    int r = inspector_add(in, fs_name(path), image, err);
    for (size_t i = 0; i < in->n_refs && real; i++) {
        const struct names *search = &in->ref[i].ref.search;
        for (size_t j = 0; j < search->n && r == 0; j++)
            r = beside_search(in, fs_dir(real), search->name[j], err);
    }
    return r;
}

static int inspect_file(struct inspector *in, const char *path, int fd, bool digest,
                        struct gfxb_error *err)
{
    struct image image;
    unsigned char head[64];
    size_t n;
    if (image_from_fd(fd, &image) < 0)
        return error_set(err, EINVAL, "neither a file nor a directory");
    int r = image_read_some(&image, 0, head, sizeof(head), &n);
    if (r < 0)
        return error_set(err, -r, "%s", error_errno_text(-r));
    in->found.size = image.size;
    if (digest) /* of the open file, so that what is measured is what is inspected */
        r = digest_fd(fd, in->found.sha256, err);
    if (r < 0)
        return r;
    in->found.kind = INSPECT_ARCHIVE;
    if (bundle_begins(head, n) || kpack_begins(head, n))
        in->found.kind = INSPECT_BUNDLE;
    else if (elf_begins(head, n) || inspector_wants(head, n))
        in->found.kind = INSPECT_ELF;
    return in->found.kind == INSPECT_ARCHIVE ? inspect_archive(in, fd, err)
                                             : inspect_single(in, path, &image, err);
}

int inspect_path(const char *path, const struct gfx_tables *tables, bool digest,
                 struct inspection *ret_inspection, struct gfxb_error *err)
{
    struct stat st;
    struct inspector in = {.tables = tables};
    int r;
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = error_set(err, errno, "%s", error_errno_text(errno));
    } else if (S_ISDIR(st.st_mode)) {
        in.found.kind = INSPECT_PACKAGE;
        r = inspect_tree(&in, path, err);
    } else {
        r = inspect_file(&in, path, fd, digest, err);
    }
    if (r == 0)
        inspector_finish(&in, ret_inspection);
    else
        error_prefix(err, "%s: ", path);
    inspector_done(&in);
    return r;
}
