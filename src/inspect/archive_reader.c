/* archive_reader.c - one pass over an archive, with limits: clean names, content block by block. */
#include "inspect/inspect_private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>

#define READER_BLOCK (256u << 10)

struct archive_reader {
    struct archive *archive;
    int fd;                   /* lent */
    const atomic_int *cancel; /* lent; NULL none */
    char *block;              /* of it */
    struct archive_limits limits;
    struct archive_entry *entry; /* the current one; lent by archive */
    struct buf path, target;
    uint64_t taken; /* bytes of the file */
    uint64_t entries;
    uint64_t bytes;     /* content of all entries so far, holes included */
    uint64_t entry_end; /* content of the current entry so far */
    int file_error;     /* what reading the file failed with: errno */
    locale_t utf8;      /* libarchive converts names by the thread's locale */
};

static la_int64_t reader_failed(struct archive_reader *reader)
{
    reader->file_error = errno;
    archive_set_error(reader->archive, errno, "%s", error_errno_text(errno));
    return ARCHIVE_FATAL;
}

static la_ssize_t reader_read(struct archive *archive, void *context, const void **ret_block)
{
    struct archive_reader *reader = context;
    ssize_t n;
    do
        n = read(reader->fd, reader->block, READER_BLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return reader_failed(reader);
    reader->taken += (uint64_t)n;
    *ret_block = reader->block;
    return n;
}

/* Without it zip archives would lose their modes and links, which stand at their end. */
static la_int64_t reader_seek(struct archive *archive, void *context, la_int64_t offset, int whence)
{
    struct archive_reader *reader = context;
    off_t at = lseek(reader->fd, offset, whence);
    return at < 0 ? reader_failed(reader) : at;
}

/* libarchive works in the calling thread's locale; names are UTF-8 whatever that is. */
static locale_t reader_enter(const struct archive_reader *reader)
{
    return reader->utf8 ? uselocale(reader->utf8) : (locale_t)0;
}

static void reader_leave(locale_t before)
{
    if (before)
        uselocale(before);
}

static int reader_open(struct archive_reader *reader)
{
    struct archive *a = reader->archive;
    archive_read_support_format_tar(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_xz(a);
    archive_read_support_format_zip(a);
    archive_read_set_seek_callback(a, reader_seek);
    archive_read_set_read_callback(a, reader_read);
    archive_read_set_callback_data(a, reader);
    return archive_read_open1(a);
}

static int reader_fail(struct archive_reader *reader, struct gfxb_error *err)
{
    const char *text = archive_error_string(reader->archive);
    char head[64];
    if (reader->file_error)
        return error_set(err, reader->file_error, "the archive cannot be read: %s",
                         error_errno_text(reader->file_error));
    ssize_t n = pread(reader->fd, head, sizeof(head), 0);
    const char *kind = n > 0 ? fs_mistaken((struct str){head, (size_t)n}) : NULL;
    bool is_archive = n > 1 && (memcmp(head, "PK", 2) == 0 || memcmp(head, "\x1f\x8b", 2) == 0 ||
                                memcmp(head, "\x28\xb5", 2) == 0);
    if (kind && !is_archive)
        return error_set(err, EBADMSG, "it is no archive: it is %s", kind);
    if (text && strstr(text, "runcated"))
        return error_set(err, EBADMSG, "the archive is incomplete: download it again (%s)", text);
    return error_set(err, EBADMSG, "the archive is damaged or of no known kind: %s",
                     text ? text : "no reason given");
}

static struct archive_limits reader_limits(const struct archive_limits *limits)
{
    struct archive_limits l = limits ? *limits : (struct archive_limits){0};
    l.max_bytes = l.max_bytes ? l.max_bytes : UINT64_C(64) << 30;
    l.max_entries = l.max_entries ? l.max_entries : 250000;
    l.max_ratio = l.max_ratio ? l.max_ratio : 500;
    l.ratio_free = l.ratio_free ? l.ratio_free : UINT64_C(1) << 30;
    return l;
}

int archive_reader_new(int fd, const struct archive_limits *limits, const atomic_int *cancel,
                       struct archive_reader **ret_reader, struct gfxb_error *err)
{
    struct archive_reader *reader = xcalloc(1, sizeof(*reader));
    reader->fd = fd;
    reader->cancel = cancel;
    reader->block = xmalloc(READER_BLOCK);
    reader->limits = reader_limits(limits);
    reader->path = BUF_INIT(ENTRY_PATH_MAX + 1);
    reader->target = BUF_INIT(ENTRY_PATH_MAX + 1);
    reader->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    reader->archive = archive_read_new();
    if (!reader->archive)
        xalloc_die();
    locale_t before = reader_enter(reader);
    int r = reader_open(reader);
    reader_leave(before);
    if (r != ARCHIVE_OK) {
        r = reader_fail(reader, err);
        archive_reader_free(reader);
        return r;
    }
    *ret_reader = reader;
    return 0;
}

void archive_reader_free(struct archive_reader *reader)
{
    if (!reader)
        return;
    locale_t before = reader_enter(reader);
    archive_read_free(reader->archive);
    reader_leave(before);
    if (reader->utf8)
        freelocale(reader->utf8);
    buf_done(&reader->path);
    buf_done(&reader->target);
    free(reader->block);
    free(reader);
}

/* "the archive's entry NAME ..." */
static int reader_refuse(const char *name, const char *why, struct gfxb_error *err)
{
    char shown[256];
    entry_path_show(str_from(name), shown, sizeof(shown));
    return error_set(err, GFXB_E_ARCHIVE_UNSAFE, "the archive's entry '%s' %s", shown, why);
}

static int reader_check_kind(const char *name, struct archive_entry *entry, struct gfxb_error *err)
{
    if (archive_entry_is_encrypted(entry))
        return reader_refuse(name, "is encrypted", err);
    switch (archive_entry_filetype(entry)) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
        break;
    case S_IFCHR:
    case S_IFBLK:
        return reader_refuse(name, "is a device", err);
    case S_IFIFO:
        return reader_refuse(name, "is a FIFO", err);
    case S_IFSOCK:
        return reader_refuse(name, "is a socket", err);
    default:
        if (!archive_entry_hardlink(entry))
            return reader_refuse(name, "is of no known type", err);
    }
    /* On a directory the bits only say which group new files get; they are not taken over. */
    if (archive_entry_filetype(entry) != S_IFDIR &&
        (archive_entry_perm(entry) & (S_ISUID | S_ISGID)))
        return reader_refuse(name, "has a set-user-id or set-group-id bit", err);
    return 0;
}

static int reader_take_link(struct archive_reader *reader, const char *name,
                            struct archive_item *item, struct gfxb_error *err)
{
    struct archive_entry *entry = reader->entry;
    const char *hard = archive_entry_hardlink_utf8(entry);
    const char *soft = archive_entry_symlink_utf8(entry);
    hard = hard ? hard : archive_entry_hardlink(entry);
    soft = soft ? soft : archive_entry_symlink(entry);
    buf_clear(&reader->target);
    if (hard) {
        item->type = ARCHIVE_HARDLINK;
        if (entry_path_clean(str_from(hard), &reader->target) || !reader->target.n)
            return reader_refuse(name, "is a hard link to a file outside of the archive", err);
    } else {
        item->type = ARCHIVE_SYMLINK;
        const char *problem = entry_link_problem(buf_view(&reader->path), str_from(soft));
        if (problem) {
            char why[160];
            snprintf(why, sizeof(why), "is a link whose target %s", problem);
            return reader_refuse(name, why, err);
        }
        buf_add_text(&reader->target, soft);
    }
    item->target = buf_text(&reader->target);
    return 0;
}

/* *ret_item from the current entry. 1, or 0 for the archive's top itself, which is passed over. */
static int reader_take_entry(struct archive_reader *reader, struct archive_item *ret_item,
                             struct gfxb_error *err)
{
    struct archive_entry *entry = reader->entry;
    const char *name = archive_entry_pathname_utf8(entry);
    name = name ? name : archive_entry_pathname(entry);
    if (!name)
        return reader_refuse("", "has no name", err);
    buf_clear(&reader->path);
    const char *problem = entry_path_clean(str_from(name), &reader->path);
    if (problem)
        return reader_refuse(name, problem, err);
    int r = reader_check_kind(name, entry, err);
    if (r < 0)
        return r;
    struct archive_item item = {.mode = archive_entry_perm(entry) & 0777};
    bool directory = archive_entry_filetype(entry) == S_IFDIR;
    if (!reader->path.n)
        return directory ? 0 : reader_refuse(name, "names the archive's top itself", err);
    item.path = buf_text(&reader->path);
    if (archive_entry_hardlink(entry) || archive_entry_symlink(entry) ||
        archive_entry_filetype(entry) == S_IFLNK)
        r = reader_take_link(reader, name, &item, err);
    else
        item.type = directory ? ARCHIVE_DIRECTORY : ARCHIVE_FILE;
    if (r < 0)
        return r;
    *ret_item = item;
    return 1;
}

static int reader_check_cancel(const struct archive_reader *reader, struct gfxb_error *err)
{
    bool is_cancelled = reader->cancel && *reader->cancel;
    return is_cancelled ? error_set(err, GFXB_E_INTERRUPTED, "interrupted") : 0;
}

int archive_reader_next(struct archive_reader *reader, struct archive_item *ret_item,
                        struct gfxb_error *err)
{
    int r = reader_check_cancel(reader, err);
    locale_t before = reader_enter(reader);
    while (r == 0) {
        r = archive_read_next_header(reader->archive, &reader->entry);
        if (r == ARCHIVE_EOF) {
            r = reader->entries ? 0 : error_set(err, EBADMSG, "the archive is empty");
            break;
        }
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN) {
            r = reader_fail(reader, err);
            break;
        }
        reader->entry_end = 0;
        if (++reader->entries > reader->limits.max_entries)
            r = error_set(err, GFXB_E_ARCHIVE_UNSAFE, "the archive has more than %llu entries",
                          (unsigned long long)reader->limits.max_entries);
        else
            r = reader_take_entry(reader, ret_item, err);
    }
    reader_leave(before);
    return r;
}

/* Count what the entry has grown to, before a byte of it is used. */
static int reader_count(struct archive_reader *reader, uint64_t end, struct gfxb_error *err)
{
    const struct archive_limits *l = &reader->limits;
    if (end <= reader->entry_end)
        return 0;
    uint64_t more = end - reader->entry_end;
    if (more > l->max_bytes || reader->bytes > l->max_bytes - more)
        return error_set(err, GFXB_E_ARCHIVE_UNSAFE,
                         "the archive unpacks to more than %llu bytes, at entry '%s'",
                         (unsigned long long)l->max_bytes, buf_text(&reader->path));
    reader->bytes += more;
    reader->entry_end = end;
    if (reader->bytes > l->ratio_free && reader->bytes / l->max_ratio > reader->taken)
        return error_set(err, GFXB_E_ARCHIVE_UNSAFE,
                         "the archive unpacks to more than %llu times its size, at entry '%s'",
                         (unsigned long long)l->max_ratio, buf_text(&reader->path));
    return 0;
}

int archive_reader_block(struct archive_reader *reader, struct archive_block *ret_block,
                         struct gfxb_error *err)
{
    struct archive_block block;
    la_int64_t offset = 0;
    int r = reader_check_cancel(reader, err);
    if (r < 0)
        return r;
    locale_t before = reader_enter(reader);
    r = archive_read_data_block(reader->archive, &block.bytes, &block.n, &offset);
    reader_leave(before);
    if (r == ARCHIVE_EOF) {
        /* A sparse file may end with a hole. */
        int64_t size =
            archive_entry_size_is_set(reader->entry) ? archive_entry_size(reader->entry) : 0;
        return reader_count(reader, size > 0 ? (uint64_t)size : 0, err);
    }
    if (r != ARCHIVE_OK || offset < 0)
        return reader_fail(reader, err);
    block.offset = (uint64_t)offset;
    r = reader_count(reader, block.offset + block.n, err);
    if (r < 0)
        return r;
    *ret_block = block;
    return 1;
}

/* Write the block where it belongs. 0 or -errno. */
static int reader_write(int fd, const struct archive_block *block)
{
    const char *p = block->bytes;
    for (size_t done = 0; done < block->n;) {
        ssize_t n = pwrite(fd, p + done, block->n - done, (off_t)(block->offset + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int archive_reader_save(struct archive_reader *reader, const struct archive_block *first, int fd,
                        const char *name, struct gfxb_error *err)
{
    struct archive_block block = first ? *first : (struct archive_block){0};
    int r, written;
    do {
        written = reader_write(fd, &block);
        r = written == 0 ? archive_reader_block(reader, &block, err) : 0;
    } while (r == 1);
    /* A hole at the end is part of the content, and no block. */
    if (r == 0 && written == 0 && ftruncate(fd, (off_t)reader->entry_end) < 0)
        written = -errno;
    return written < 0 ? fs_error(err, -written, "write", name) : r;
}
