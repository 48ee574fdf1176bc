/*
 * The store that repositories of one cache share (huggingface_hub, since 2026): HUB/blobs, told by
 * its marker. It is theirs: we only ever add a link of a repository to what is there, with the line
 * in its list of users that keeps it from being collected.
 */
#include "model/cache/hub_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define SHARED_MARKER  ".huggingface-shared-blobs"
#define SHARED_VERSION "1\n"

static bool shared_is_store(const struct hub_cache *c)
{
    struct buf CLEAN_BUF version = BUF_INIT(65536);
    char *CLEAN_FREE marker = fs_join(c->hub, "blobs/" SHARED_MARKER);
    struct stat st;
    return marker && lstat(marker, &st) == 0 && S_ISREG(st.st_mode) &&
           fs_read(marker, sizeof(SHARED_VERSION), &version) == 0 &&
           str_is(buf_view(&version), SHARED_VERSION);
}

static bool shared_has(const char *path, uint64_t size)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size &&
           access(path, R_OK) == 0;
}

/* One line "REPOSITORY/blobs/ETAG", on disk before the link is there. */
static int shared_add_user(const struct hub_cache *c, const char *store, const char *etag)
{
    char *CLEAN_FREE path = NULL;
    char *CLEAN_FREE line = NULL;
    struct stat st;
    if (asprintf(&path, "%s.refs", store) < 0)
        path = NULL;
    if (asprintf(&line, "%s/blobs/%s\n", c->name, etag) < 0)
        line = NULL;
    if (!path || !line)
        return -ENOMEM;
    int CLEAN_CLOSE fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    size_t n = strlen(line);
    ssize_t written = write(fd, line, n);
    if (written < 0 || fsync(fd) < 0)
        return -errno;
    return (size_t)written == n ? 0 : -EIO;
}

static int shared_put_link(const struct hub_cache *c, const struct hub_file *file)
{
    char *CLEAN_FREE target = NULL;
    char *CLEAN_FREE blob = hub_cache_blob(c, file->etag);
    char *CLEAN_FREE temporary = NULL;
    if (asprintf(&target, "../../blobs/%.2s/%s", file->xet, file->xet) < 0)
        target = NULL;
    if (asprintf(&temporary, "%s/blobs/.%s.%d.shared", c->top, file->etag, (int)getpid()) < 0)
        temporary = NULL;
    if (!target || !blob || !temporary)
        return -ENOMEM;
    unlink(temporary);
    if (symlink(target, temporary) < 0)
        return -errno;
    if (rename(temporary, blob) < 0) {
        int code = errno;
        unlink(temporary);
        return -code;
    }
    return 0;
}

bool hub_cache_share(const struct hub_cache *c, const struct hub_file *file)
{
    char *CLEAN_FREE store = NULL;
    char *CLEAN_FREE lock = NULL;
    int CLEAN_CLOSE fd = -1;
    if (!file->xet[0] || !shared_is_store(c))
        return false;
    if (asprintf(&store, "%s/blobs/%.2s/%s", c->hub, file->xet, file->xet) < 0)
        store = NULL;
    if (asprintf(&lock, "%s.lock", store ? store : "") < 0)
        lock = NULL;
    if (!store || !lock || !shared_has(store, file->size) ||
        fs_lock(lock, false, NULL, &fd, NULL) < 0 || !shared_has(store, file->size))
        return false;
    return shared_add_user(c, store, file->etag) == 0 && shared_put_link(c, file) == 0;
}
