/*
 * unpack.c - an archive into a directory, with nothing in it that could harm.
 *
 * Every component of a path is opened by itself and never through a link, so that nothing an
 * archive brought before can lead a later entry out; nothing that exists is overwritten.
 */
#include "package/unpack/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

struct unpack {
    struct archive_reader *reader;
    int root; /* the directory */
    struct entry_set seen;
};

static int unpack_refuse(const char *path, const char *why, struct gfxb_error *err)
{
    return error_set(err, GFXB_E_ARCHIVE_UNSAFE, "the archive's entry '%s' %s", path, why);
}

/* A failed write: what it means for the person who waits. */
static int unpack_fail(const char *path, int r, struct gfxb_error *err)
{
    switch (-r) {
    case EEXIST:
        return unpack_refuse(path, "is there twice", err);
    case ENOTDIR:
    case ELOOP:
        return unpack_refuse(path, "leads through a link or a file", err);
    default:
        return fs_error(err, -r, "unpack", path);
    }
}

/* ---- directories ---- */

/* The directory `name` in `above`, made when it is not there, mode 0755 whatever the umask. */
static int unpack_enter(int above, const char *name)
{
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(above, name, flags);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    if (mkdirat(above, name, 0755) < 0 || fchmodat(above, name, 0755, 0) < 0)
        return -errno;
    fd = openat(above, name, flags);
    return fd >= 0 ? fd : -errno;
}

/* A descriptor of the directory with this clean path; missing ones are made. */
static int unpack_open_dir(const struct unpack *u, struct str path)
{
    int at = fcntl(u->root, F_DUPFD_CLOEXEC, 3);
    struct str part;
    while (at >= 0 && path.n && str_cut(&path, '/', &part)) {
        char name[ENTRY_NAME_MAX + 1];
        snprintf(name, sizeof(name), "%.*s", STR_ARG(part));
        int next = unpack_enter(at, name);
        close(at);
        if (next < 0)
            return next;
        at = next;
    }
    return at >= 0 ? at : -errno;
}

/* The directory above a path, and its last component. */
static int unpack_open_parent(const struct unpack *u, const char *path, const char **ret_name)
{
    *ret_name = fs_name(path);
    return unpack_open_dir(u, fs_dir(path));
}

/* ---- entries ---- */

/* zip archives made from build artifacts have lost their modes. */
static bool unpack_is_program(const char *name, int fd)
{
    struct gfx_engine engine;
    struct elf_facts facts;
    for (size_t i = 0; !strchr(name, '.') && gfx_engine_at(i, &engine); i++) {
        if (str_starts(str_from(name), engine.programs))
            return true;
    }
    if (elf_read_file(fd, &facts, NULL) < 0)
        return false;
    bool program = elf_is_program(&facts);
    elf_facts_done(&facts);
    return program;
}

static int unpack_file_entry(struct unpack *u, const struct archive_item *item, int dir,
                             const char *name, struct gfxb_error *err)
{
    int CLEAN_CLOSE fd =
        openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return unpack_fail(item->path, -errno, err);
    int r = archive_reader_save(u->reader, NULL, fd, item->path, err);
    if (r < 0)
        return r;
    bool program = (item->mode & 0111) || unpack_is_program(name, fd);
    return fchmod(fd, program ? 0755 : 0644) < 0 ? unpack_fail(item->path, -errno, err) : 0;
}

static int unpack_hardlink(const struct unpack *u, const struct archive_item *item, int dir,
                           const char *name, struct gfxb_error *err)
{
    const char *old;
    struct stat st;
    int CLEAN_CLOSE from = unpack_open_parent(u, item->target, &old);
    int r = from < 0                                           ? from
            : fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
            : S_ISREG(st.st_mode)                              ? 0
                                                               : -ELOOP;
    if (r == -ENOENT || r == -ELOOP || r == -ENOTDIR)
        return unpack_refuse(item->path, "is a hard link to what is no file of this archive", err);
    if (r == 0 && linkat(from, old, dir, name, 0) < 0)
        r = -errno;
    return r < 0 ? unpack_fail(item->path, r, err) : 0;
}

static int unpack_one(struct unpack *u, const struct archive_item *item, struct gfxb_error *err)
{
    const char *problem = entry_set_add(&u->seen, item->path, item->type == ARCHIVE_DIRECTORY);
    const char *name = NULL;
    if (problem)
        return unpack_refuse(item->path, problem, err);
    int CLEAN_CLOSE dir = item->type == ARCHIVE_DIRECTORY
                              ? unpack_open_dir(u, str_from(item->path))
                              : unpack_open_parent(u, item->path, &name);
    if (dir < 0)
        return unpack_fail(item->path, dir, err);
    switch (item->type) {
    case ARCHIVE_FILE:
        return unpack_file_entry(u, item, dir, name, err);
    case ARCHIVE_HARDLINK:
        return unpack_hardlink(u, item, dir, name, err);
    case ARCHIVE_SYMLINK:
        return symlinkat(item->target, dir, name) < 0 ? unpack_fail(item->path, -errno, err) : 0;
    case ARCHIVE_DIRECTORY:
        break; /* it was made */
    }
    return 0;
}

/* ---- shared libraries that an archive without links stored once for each of their names ---- */

/* 1 the same content, 0 not, or -errno. */
static int links_same_content(int dir, const char *a, const char *b)
{
    int CLEAN_CLOSE fd_a = openat(dir, a, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int CLEAN_CLOSE fd_b = openat(dir, b, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char hex_a[DIGEST_HEX], hex_b[DIGEST_HEX];
    if (fd_a < 0 || fd_b < 0)
        return -errno;
    int r = digest_fd(fd_a, hex_a, NULL) ?: digest_fd(fd_b, hex_b, NULL);
    return r < 0 ? r : strcmp(hex_a, hex_b) == 0;
}

/* Replace `copy`, where there is one, by a link to `real` when they are two files with the same
 * content. */
static int links_replace(int dir, const char *copy, const char *real)
{
    struct stat c, f;
    if (fstatat(dir, copy, &c, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstatat(dir, real, &f, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(c.st_mode) || !S_ISREG(f.st_mode) || c.st_size != f.st_size ||
        c.st_ino == f.st_ino || c.st_size == 0)
        return 0;
    int r = links_same_content(dir, copy, real);
    if (r <= 0)
        return r;
    char temporary[NAME_MAX + 1];
    snprintf(temporary, sizeof(temporary), ".link-%ld", (long)getpid());
    if (symlinkat(real, dir, temporary) < 0)
        return -errno;
    if (renameat(dir, temporary, dir, copy) < 0) {
        r = -errno;
        unlinkat(dir, temporary, 0);
        return r;
    }
    return 0;
}

/* In one directory: what is stored as libx.so.1 and libx.so beside this libx.so.1.2. */
static int links_replace_all(int dir, const char *real)
{
    char shorter[NAME_MAX + 1];
    const char *so = strstr(real, ".so.");
    int r = 0;
    if (!so || !str_starts(str_from(real), STR("lib")))
        return 0;
    snprintf(shorter, sizeof(shorter), "%s", real);
    for (char *dot; r == 0 && (dot = strrchr(shorter, '.')) > shorter + (so - real);) {
        *dot = '\0';
        r = links_replace(dir, shorter, real);
    }
    return r;
}

/* Longer names first: what is linked to one of them is a link already when its own turn comes. */
static int links_compare(const FTSENT **one, const FTSENT **other)
{
    return strcmp((*other)->fts_name, (*one)->fts_name);
}

/*
 * In every directory below: where a shared library is stored more than once under its names
 * (libx.so, libx.so.1, libx.so.1.2), keep the longest name and make the others links to it.
 */
static int unpack_link_copies(const char *directory, struct gfxb_error *err)
{
    char *CLEAN_FREE top = xstrdup(directory);
    char *const tops[] = {top, NULL};
    FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, links_compare);
    const FTSENT *entry;
    int r = walk ? 0 : -errno;
    while (r == 0 && (entry = fts_read(walk))) {
        if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            r = -entry->fts_errno;
        if (entry->fts_info != FTS_F)
            continue;
        char *CLEAN_FREE above = xstr_dup(fs_dir(entry->fts_path));
        int CLEAN_CLOSE dir = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? -errno : links_replace_all(dir, entry->fts_name);
    }
    if (walk)
        fts_close(walk);
    return r < 0 ? fs_error(err, -r, "turn copies of libraries into links in", directory) : 0;
}

static void unpack_tell(int fd, const struct unpack_options *options, bool done)
{
    struct stat info;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (options->progress && at >= 0 && fstat(fd, &info) == 0)
        options->progress(options->context, /* what is read ahead is not done */
                          (uint64_t)(done                ? info.st_size
                                     : at < info.st_size ? at
                                                         : info.st_size - 1),
                          (uint64_t)info.st_size);
}

int unpack_run(int fd, const char *directory, const struct unpack_options *options,
               struct gfxb_error *err)
{
    struct unpack u = {0};
    struct archive_item item;
    int CLEAN_CLOSE root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fs_error(err, errno, "write into", directory);
    u.root = root;
    int r = archive_reader_new(fd, options->limits, options->cancel, &u.reader, err);
    while (r == 0 && (r = archive_reader_next(u.reader, &item, err)) == 1) {
        r = unpack_one(&u, &item, err);
        unpack_tell(fd, options, false);
    }
    if (r == 0)
        unpack_tell(fd, options, true);
    archive_reader_free(u.reader);
    entry_set_done(&u.seen);
    return r == 0 && options->link_copies ? unpack_link_copies(directory, err) : r;
}

int unpack_file(const char *archive, const char *directory, const struct unpack_options *options,
                struct gfxb_error *err)
{
    int CLEAN_CLOSE fd = open(archive, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fs_error(err, errno, "read", archive) : unpack_run(fd, directory, options, err);
}
