/* archive.c - the files of an archive as an inspection's files. */
#include "inspect/inspect_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

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

static int spool_fail(int code, struct gfxb_error *err)
{
    return fs_error(err, code, "write", "a temporary file (TMPDIR says in which directory)");
}

/* The rest of an entry whose first block was read. */
static int archive_spool(struct archive_reader *reader, const struct archive_block *first, int fd,
                         struct gfxb_error *err)
{
    struct archive_block block = *first;
    uint64_t size = 0;
    int r;
    if (ftruncate(fd, 0) < 0)
        return spool_fail(errno, err);
    do {
        r = archive_block_write(fd, &block);
        r = r < 0 ? spool_fail(-r, err) : archive_reader_block(reader, &block, &size, err);
    } while (r == 1);
    if (r == 0 && ftruncate(fd, (off_t)size) < 0)
        r = spool_fail(errno, err);
    return r;
}

static int archive_add_file(struct inspector *in, struct archive_reader *reader, const char *path,
                            int *spool, struct gfxb_error *err)
{
    struct archive_block block;
    struct image image;
    uint64_t size;
    if (inspector_note_path(in, path))
        return 0;
    int r = archive_reader_block(reader, &block, &size, err);
    if (r <= 0 || block.offset != 0 || !inspector_wants(block.bytes, block.n))
        return r < 0 ? r : 0;
    r = *spool < 0 ? spool_open(spool, err) : 0;
    if (r == 0)
        r = archive_spool(reader, &block, *spool, err);
    if (r == 0 && image_from_fd(*spool, &image) < 0)
        r = spool_fail(EIO, err);
    return r < 0 ? r : inspector_try(in, path, &image, err);
}

int inspect_archive(struct inspector *in, int fd, struct gfxb_error *err)
{
    struct archive_reader *reader;
    int r = archive_reader_new(fd, NULL, &reader, err);
    if (r < 0)
        return r;
    int CLEAN_CLOSE spool = -1;
    struct archive_item item;
    while ((r = archive_reader_next(reader, &item, err)) == 1) {
        if (item.type != ARCHIVE_FILE)
            continue;
        /* The path is the reader's: it stays until the next entry. */
        r = archive_add_file(in, reader, item.path, &spool, err);
        if (r < 0)
            break;
    }
    archive_reader_free(reader);
    return r;
}
