/* part.c - the beginning of a file that is being fetched, kept across runs until it is whole. */
#include "fetch/fetch_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define PART_FROM_MAX 65536 /* bytes of PATH.part.from */
#define PART_WAIT_MS  100
#define PART_HELD     (128u << 10) /* one large write costs half of many small ones */

/* The lock, or -ESTALE when the file was published or removed by the one who had it before. */
static int part_lock(const struct fetch_config *config, struct part *part, struct gfxb_error *err)
{
    while (flock(part->fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fs_error(err, errno, "write", part->path);
        if (!part->waited)
            log_at(config->log, LOG_INFO, "another process is fetching %s; waiting for it",
                   part->path);
        part->waited = true;
        if (config->cancel && *config->cancel)
            return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
        struct timespec pause = {0, PART_WAIT_MS * 1000000l};
        nanosleep(&pause, NULL);
    }
    struct stat ours, there;
    if (fstat(part->fd, &ours) < 0 || stat(part->path, &there) < 0 || ours.st_ino != there.st_ino ||
        ours.st_dev != there.st_dev)
        return -ESTALE;
    if (!S_ISREG(ours.st_mode))
        return fs_error(err, EINVAL, "write", part->path);
    part->n = (uint64_t)ours.st_size;
    return 0;
}

void part_forget(struct part *part)
{
    free(part->validator);
    part->validator = NULL;
    part->total = 0;
}

/* What is not readable is not known. */
static void part_load_origin(struct part *part)
{
    struct buf CLEAN_BUF text = BUF_INIT(4 * PART_FROM_MAX); /* fs_read asks for room ahead */
    (void)fs_read(part->from, PART_FROM_MAX, &text);
    struct str rest = buf_view(&text);
    struct str line, key;
    while (str_cut(&rest, '\n', &line)) {
        (void)str_cut(&line, ' ', &key);
        char **slot = str_is(key, "url")         ? &part->url
                      : str_is(key, "validator") ? &part->validator
                      : str_is(key, "sha256")    ? &part->sha256
                                                 : NULL;
        if (slot && !*slot)
            *slot = xstr_dup(line);
        if (str_is(key, "total") && str_to_u64(line, 10, &part->total) < 0)
            part->total = 0;
    }
}

int part_open(const struct fetch_config *config, const char *path, const char *name,
              struct part *ret_part, struct gfxb_error *err)
{
    struct part part = PART_NONE;
    int r = -ESTALE;
    part.path = name ? xstrdup(name) : xasprintf("%s.part", path);
    part.from = name ? NULL : xasprintf("%s.from", part.path);
    while (r == -ESTALE) {
        part.fd = open(part.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
        r = part.fd < 0 ? fs_error(err, errno, "write", part.path) : part_lock(config, &part, err);
        if (r < 0 && part.fd >= 0) {
            close(part.fd);
            part.fd = -1;
        }
    }
    if (r == 0 && part.from) {
        fs_sweep_writes(part.from); /* written under the lock that is ours now */
        part_load_origin(&part);
    }
    if (r < 0)
        part_done(&part);
    else
        *ret_part = part;
    return r;
}

int part_settle(struct part *part, struct gfxb_error *err)
{
    const char *p = part->held;
    while (part->n_held) {
        ssize_t written = pwrite(part->fd, p, part->n_held, (off_t)(part->n - part->n_held));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            part->n -= part->n_held;
            part->n_held = 0;
            return fs_error(err, errno, "write", part->path);
        }
        p += written;
        part->n_held -= (size_t)written;
    }
    return 0;
}

void part_done(struct part *part)
{
    if (part->fd >= 0)
        (void)part_settle(part, NULL); /* what is missing is fetched by the next run */
    free(part->held);
    if (part->fd >= 0 && part->n == 0) {
        if (part->from)
            unlink(part->from);
        unlink(part->path);
    }
    if (part->fd >= 0)
        close(part->fd);
    free(part->path);
    free(part->from);
    free(part->url);
    free(part->validator);
    free(part->sha256);
    *part = PART_NONE;
}

/* Header values hold no line breaks; a URL that does is not written. */
static void part_add_line(struct buf *text, const char *key, const char *value)
{
    if (value && *value && !strpbrk(value, "\r\n"))
        buf_addf(text, "%s %s\n", key, value);
}

int part_save_origin(const struct part *part, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(PART_FROM_MAX);
    if (!part->from)
        return 0;
    part_add_line(&text, "url", part->url);
    part_add_line(&text, "validator", part->validator);
    part_add_line(&text, "sha256", part->sha256);
    if (part->total)
        buf_addf(&text, "total %" PRIu64 "\n", part->total);
    if (!buf_ok(&text))
        return error_set(err, EINVAL, "the address of %s is too long", part->path);
    return fs_write(part->from, buf_text(&text), text.n, 0644, err);
}

int part_clear(struct part *part, struct gfxb_error *err)
{
    part_forget(part);
    part->n -= part->n_held;
    part->n_held = 0;
    if (ftruncate(part->fd, 0) < 0)
        return fs_error(err, errno, "write", part->path);
    part->n = 0;
    return 0;
}

int part_add(struct part *part, const void *bytes, size_t n, struct gfxb_error *err)
{
    const char *p = bytes;
    if (!part->held)
        part->held = xmalloc(PART_HELD);
    while (n) {
        size_t room = PART_HELD - (size_t)(part->n % PART_HELD);
        size_t taken = n < room ? n : room;
        memcpy(part->held + part->n_held, p, taken);
        p += taken;
        n -= taken;
        part->n += taken;
        part->n_held += taken;
        int r = taken == room ? part_settle(part, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int part_publish(struct part *part, const char *path, struct gfxb_error *err)
{
    int r = part_settle(part, err);
    if (r < 0)
        return r;
    if (part->durable && fsync(part->fd) < 0)
        return fs_error(err, errno, "write", part->path);
    if (rename(part->path, path) < 0)
        return fs_error(err, errno, "write", path);
    if (part->from)
        unlink(part->from);
    r = part->durable ? fs_sync_parent(path) : 0;
    if (r < 0)
        return fs_error(err, -r, "write", path);
    close(part->fd);
    part->fd = -1;
    return 0;
}
