/*
 * unpack.c - an archive into a directory, with nothing in it that could harm.
 *
 * Every component of a path is opened by itself and never through a link, so that nothing an
 * archive brought before can lead a later entry out; nothing that exists is overwritten.
 */
#include "package/unpack/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct unpack {
    struct archive_reader *reader;
    int root; /* the directory */
    struct entry_set seen;
    const atomic_int *cancel;
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

static int unpack_check_cancel(const struct unpack *u, struct gfxb_error *err)
{
    return u->cancel && *u->cancel ? error_set(err, GFXB_E_INTERRUPTED, "interrupted") : 0;
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

static int unpack_content(struct unpack *u, const char *path, int fd, struct gfxb_error *err)
{
    struct archive_block block;
    uint64_t size = 0, end = 0;
    int r;
    while ((r = archive_reader_block(u->reader, &block, &size, err)) == 1) {
        r = archive_block_write(fd, &block);
        if (r < 0)
            return unpack_fail(path, r, err);
        r = unpack_check_cancel(u, err);
        if (r < 0)
            return r;
        if (block.n)
            end = block.offset + block.n;
    }
    if (r == 0 && size > end && ftruncate(fd, (off_t)size) < 0)
        return unpack_fail(path, -errno, err);
    return r;
}

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
    int r = unpack_content(u, item->path, fd, err);
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

int unpack_run(int fd, const char *directory, const struct unpack_options *options,
               struct gfxb_error *err)
{
    struct unpack u = {.cancel = options->cancel};
    struct archive_item item;
    int CLEAN_CLOSE root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fs_error(err, errno, "write into", directory);
    u.root = root;
    int r = archive_reader_new(fd, options->limits, &u.reader, err);
    while (r == 0 && (r = archive_reader_next(u.reader, &item, err)) == 1) {
        r = unpack_check_cancel(&u, err);
        if (r == 0)
            r = unpack_one(&u, &item, err);
    }
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
