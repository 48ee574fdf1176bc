/* unpack.c - an archive into a directory, with nothing in it that could harm. */
#include "package/unpack/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct unpack {
    struct archive_reader *reader;
    struct tree tree;
    struct entry_set seen;
    char *top; /* first component of the first entry; owned */
    bool top_is_dir;
    bool several_tops;
    const atomic_int *cancel;
    bool link_to_top; /* a link leads to the archive's top: it would lead out if that were lifted */
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
static bool unpack_is_program(const char *path, int fd)
{
    const char *slash = strrchr(path, '/');
    struct str name = str_from(slash ? slash + 1 : path);
    struct gfx_engine engine;
    for (size_t i = 0; !str_has(name, STR(".")) && gfx_engine_at(i, &engine); i++) {
        if (str_starts(name, engine.programs))
            return true;
    }
    struct elf_facts facts;
    if (elf_read_file(fd, &facts, NULL) < 0)
        return false;
    bool program = elf_is_program(&facts);
    elf_facts_done(&facts);
    return program;
}

static int unpack_one_file(struct unpack *u, const struct archive_item *item,
                           struct gfxb_error *err)
{
    int CLEAN_CLOSE fd = -1;
    int r = tree_make_file(&u->tree, item->path, &fd);
    if (r < 0)
        return unpack_fail(item->path, r, err);
    r = unpack_content(u, item->path, fd, err);
    if (r < 0)
        return r;
    bool program = (item->mode & 0111) || unpack_is_program(item->path, fd);
    if (fchmod(fd, program ? 0755 : 0644) < 0)
        return unpack_fail(item->path, -errno, err);
    return 0;
}

static int unpack_one_hardlink(struct unpack *u, const struct archive_item *item,
                               struct gfxb_error *err)
{
    int r = tree_make_hardlink(&u->tree, item->path, item->target);
    if (r == -ENOENT || r == -ELOOP || r == -ENOTDIR)
        return unpack_refuse(item->path, "is a hard link to what is no file of this archive", err);
    return r < 0 ? unpack_fail(item->path, r, err) : 0;
}

/* Is everything below one directory? */
static void unpack_note_top(struct unpack *u, const struct archive_item *item)
{
    const char *slash = strchr(item->path, '/');
    struct str first = {item->path, slash ? (size_t)(slash - item->path) : strlen(item->path)};
    if (!u->top)
        u->top = xstr_dup(first);
    if (!str_is(first, u->top))
        u->several_tops = true;
    if (slash || item->type == ARCHIVE_DIRECTORY)
        u->top_is_dir = true;
    bool reaches_top = false;
    if (item->type == ARCHIVE_SYMLINK &&
        !entry_link_problem(str_from(item->path), str_from(item->target), &reaches_top) &&
        reaches_top)
        u->link_to_top = true;
}

static int unpack_one(struct unpack *u, const struct archive_item *item, struct gfxb_error *err)
{
    int r = 0;
    unpack_note_top(u, item);
    const char *problem = entry_set_add(&u->seen, item->path, item->type == ARCHIVE_DIRECTORY);
    if (problem)
        return unpack_refuse(item->path, problem, err);
    switch (item->type) {
    case ARCHIVE_FILE:
        return unpack_one_file(u, item, err);
    case ARCHIVE_HARDLINK:
        return unpack_one_hardlink(u, item, err);
    case ARCHIVE_SYMLINK:
        r = tree_make_symlink(&u->tree, item->path, item->target);
        break;
    case ARCHIVE_DIRECTORY:
        r = tree_make_dir(&u->tree, item->path);
        break;
    }
    return r < 0 ? unpack_fail(item->path, r, err) : 0;
}

static int unpack_lift_top(struct unpack *u, struct gfxb_error *err)
{
    if (!u->top || !u->top_is_dir || u->several_tops)
        return 0;
    if (u->link_to_top)
        return error_set(err, GFXB_E_ARCHIVE_UNSAFE,
                         "the archive has a link that leads out of its top directory '%s'", u->top);
    int r = tree_lift(&u->tree, u->top);
    return r < 0 ? unpack_fail(u->top, r, err) : 0;
}

static int unpack_all(struct unpack *u, const struct unpack_options *options,
                      struct gfxb_error *err)
{
    struct archive_item item;
    int r;
    while ((r = archive_reader_next(u->reader, &item, err)) == 1) {
        r = unpack_check_cancel(u, err);
        if (r == 0)
            r = unpack_one(u, &item, err);
        if (r < 0)
            return r;
    }
    if (r == 0 && options->strip_top)
        r = unpack_lift_top(u, err);
    return r;
}

int unpack_run(int fd, const char *directory, const struct unpack_options *options,
               struct unpack_result *ret_result, struct gfxb_error *err)
{
    struct unpack u = {.tree = {.root = -1, .parent = -1}, .cancel = options->cancel};
    struct unpack_result result = {0};
    int r = tree_open(directory, &u.tree, err);
    if (r < 0)
        return r;
    r = archive_reader_new(fd, options->limits, &u.reader, err);
    if (r == 0)
        r = unpack_all(&u, options, err);
    if (u.reader) {
        result.entries = archive_reader_entries(u.reader);
        result.bytes = archive_reader_bytes(u.reader);
    }
    archive_reader_free(u.reader);
    entry_set_done(&u.seen);
    tree_done(&u.tree);
    free(u.top);
    if (r == 0 && options->link_copies)
        r = unpack_link_copies(directory, &result.saved_bytes, err);
    if (r == 0 && ret_result)
        *ret_result = result;
    return r;
}

int unpack_file(const char *archive, const char *directory, const struct unpack_options *options,
                struct unpack_result *ret_result, struct gfxb_error *err)
{
    int CLEAN_CLOSE fd = open(archive, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, "read", archive);
    return unpack_run(fd, directory, options, ret_result, err);
}
