/* archive.c - one archive, from the network or the disk, into a directory of the stage. */
#include "package/package_private.h"
#include "package/unpack/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* What archives of this field unpack to, as a multiple of their own size, at least. */
#define ARCHIVE_GROWTH 2

static char *archive_path(const struct install *in, const struct archive_part *part,
                          const char *ending)
{
    return xasprintf("%s/%s.archive%s", in->cache, part->sha256, ending);
}

/* Are cache and store on one file system, so that both must fit on it? */
static bool archive_is_one_disk(const struct install *in)
{
    struct stat cache, store;
    return stat(in->cache, &cache) < 0 || stat(in->env->data_dir, &store) < 0 ||
           cache.st_dev == store.st_dev;
}

uint64_t archive_need(const struct install *in, uint64_t size)
{
    return size * ARCHIVE_GROWTH + (archive_is_one_disk(in) ? size : 0);
}

/* A part while it is fetched. */
struct archive_fetch {
    const struct install *in;
    const struct archive_part *part;
};

/* Is there room for what the archive holds? Its own room is looked at by fetch, on its own file
 * system; where that is the same one, both must fit. */
static int archive_check_room(void *context, uint64_t size, struct gfxb_error *err)
{
    const struct archive_fetch *fetch = context;
    const struct install *in = fetch->in;
    struct stat part;
    char *CLEAN_FREE path = archive_path(in, fetch->part, ".part");
    uint64_t room = 0, need = size * ARCHIVE_GROWTH;
    uint64_t have = stat(path, &part) == 0 ? (uint64_t)part.st_size : 0;
    if (archive_is_one_disk(in) && size > have)
        need += size - have;
    if (fs_free_bytes(in->stage.dir, &room) < 0 || room >= need)
        return 0;
    return error_set(err, GFXB_E_DISK_FULL,
                     "%s and what it holds need at least %.1f MB and %.1f MB are free in %s: free "
                     "some space or choose another place with --data-dir",
                     fetch->part->name, (double)need / 1e6, (double)room / 1e6, in->env->data_dir);
}

static void archive_progress(void *context, const struct fetch_progress *progress)
{
    const struct archive_fetch *fetch = context;
    const struct package_net *net = fetch->in->env->net;
    if (net && net->progress)
        net->progress(net->context, fetch->part->name, progress);
}

/* Into the cache, or find it there. */
static int archive_fetch(struct install *in, struct archive_part *part, const char *path,
                         struct gfxb_error *err)
{
    struct archive_fetch fetch = {in, part};
    struct fetch_config config = package_fetch_config(in->env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct fetch_request request = {
        .url = part->url,
        .what = part->name,
        .sha256 = part->sha256,
        .size = part->size,
        .path = path,
        .scratch = true,
        .begin = archive_check_room,
        .progress = archive_progress,
        .context = &fetch,
    };
    if (part->size)
        log_at(in->env->log, LOG_INFO, "fetching %s, %.1f MB", part->name,
               (double)part->size / 1e6);
    else
        log_at(in->env->log, LOG_INFO, "fetching %s", part->name);
    int r = fetch_run(&config, &request, &result, err);
    if (r == 0)
        part->size = result.bytes;
    if (r == -GFXB_E_DIGEST_MISMATCH || r == -GFXB_E_DISK_FULL)
        archive_forget(in, part);
    return r;
}

int archive_bring(struct install *in, struct archive_part *part, const char *below,
                  struct gfxb_error *err)
{
    char *CLEAN_FREE path = archive_path(in, part, "");
    int r = archive_fetch(in, part, path, err);
    if (r < 0)
        return r;
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, "read", path);
    r = archive_unpack(in, fd, part->name, below, err);
    if (r == 0)
        part->has_arrived = true;
    else if (r == -GFXB_E_ARCHIVE_UNSAFE || r == -GFXB_E_PACKAGE_UNAVAILABLE ||
             r == -GFXB_E_DISK_FULL) /* it would end like this again, or stands in the way */
        archive_forget(in, part);
    return r;
}

void archive_forget(const struct install *in, const struct archive_part *part)
{
    char *CLEAN_FREE path = archive_path(in, part, "");
    unlink(path);
    fetch_discard(path);
}

void archive_part_done(struct archive_part *part)
{
    free(part->url);
    free(part->name);
}

int archive_unpack(struct install *in, int fd, const char *name, const char *below,
                   struct gfxb_error *err)
{
    const struct unpack_options options = {.link_copies = true, .cancel = package_cancel(in->env)};
    char *CLEAN_FREE dir = xfs_join(in->stage.dir, below);
    if (mkdir(dir, 0755) < 0)
        return fs_error(err, errno, "make the directory", dir);
    int r = unpack_run(fd, dir, &options, err);
    if (r < 0)
        error_prefix(err, "%s: ", name);
    if (r != -EBADMSG)
        return r;
    if (err)
        err->code = GFXB_E_PACKAGE_UNAVAILABLE;
    return -GFXB_E_PACKAGE_UNAVAILABLE;
}
