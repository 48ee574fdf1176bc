/*
 * archive_reader.h - one pass over a tar.gz, tar.zst, tar.xz or zip, with limits: entries with
 * clean names, their content a block at a time. Nothing is written. Private to inspect/.
 */
#ifndef INSPECT_ARCHIVE_READER_H
#define INSPECT_ARCHIVE_READER_H

#include "package/unpack/entry_path.h"
#include <sys/types.h>

/* What an archive may hold. A zero takes the default. */
struct archive_limits {
    uint64_t max_bytes;   /* of all content together; default 64 GiB */
    uint64_t max_entries; /* default 250,000 */
    uint64_t max_ratio;   /* content over archive bytes, beyond ratio_free; default 500 */
    uint64_t ratio_free;  /* content that is not measured by the ratio; default 1 GiB */
};

/*
 * Where an archive's bytes come from. read lends the next block: its length, 0 at the end, or
 * -errno. With seek (whence as in lseek; the new position or -errno) zip archives keep their modes
 * and links, which stand at their end; NULL: read in one pass, as while bytes still arrive.
 */
struct archive_source {
    ssize_t (*read)(void *context, const void **ret_block);
    int64_t (*seek)(void *context, int64_t offset, int whence);
    void *context;
};

enum archive_entry_type { ARCHIVE_FILE, ARCHIVE_DIRECTORY, ARCHIVE_SYMLINK, ARCHIVE_HARDLINK };

/* An entry; texts are valid until the next one. */
struct archive_item {
    enum archive_entry_type type;
    const char *path;   /* clean; never "" */
    const char *target; /* of a link: a symlink's as it is, a hard link's as a clean path */
    unsigned mode;      /* permission bits; a made-up 0664 in a zip read without seek */
};

/* A block of content. Between blocks there may be a hole, which reads as zeros. */
struct archive_block {
    const void *bytes;
    size_t n;
    uint64_t offset;
};

struct archive_reader;

/* source and limits (NULL: all defaults) are copied; the source's context is lent. */
int archive_reader_new(const struct archive_source *source, const struct archive_limits *limits,
                       struct archive_reader **ret_reader, struct gfxb_error *err);
void archive_reader_free(struct archive_reader *reader);

/*
 * 1 and the next entry, 0 at the end. -GFXB_E_ARCHIVE_UNSAFE: an entry that must not be written
 * (a name that leads out, a device, a set-id bit ...) or a limit reached, named in the sentence.
 * -EBADMSG: not an archive of a known kind, or damaged.
 */
int archive_reader_next(struct archive_reader *reader, struct archive_item *ret_item,
                        struct gfxb_error *err);

/* 1 and the next block of the entry's content, 0 at its end. *ret_size then is the content's size
 * with a hole at its end. Errors as above. */
int archive_reader_block(struct archive_reader *reader, struct archive_block *ret_block,
                         uint64_t *ret_size, struct gfxb_error *err);

/* Read the source to its end, whatever follows the archive there. */
int archive_reader_drain(struct archive_reader *reader, struct gfxb_error *err);

uint64_t archive_reader_entries(const struct archive_reader *reader);
uint64_t archive_reader_bytes(const struct archive_reader *reader); /* content so far */

/* A source that reads an open file from its beginning. context must live as long as it. */
struct archive_file {
    int fd; /* lent */
    char block[65536 * 4];
};
struct archive_source archive_file_source(struct archive_file *file);

#endif
