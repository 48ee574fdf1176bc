/* arrival.c - one archive from the network into a directory: fetched, verified, then unpacked. */
#include "package/unpack/arrival.h"
#include "base/xalloc.h"
#include "package/provider.h"

#include <errno.h>
#include <sys/stat.h>

struct arrival_job {
    const struct package_env *env;
    const struct arrival *arrival;
};

static char *arrival_path(const struct arrival *arrival, const char *ending)
{
    return xasprintf("%s/%s.archive%s", arrival->cache, arrival->sha256, ending);
}

/* Is there room for what the archive holds? Its own room is looked at by fetch, on its own file
 * system; where that is the same one, both must fit. */
static int arrival_check_room(void *context, uint64_t size, struct gfxb_error *err)
{
    const struct arrival_job *job = context;
    const struct arrival *a = job->arrival;
    struct stat cache, content, part;
    char *CLEAN_FREE path = arrival_path(a, ".part");
    uint64_t room = 0, have = 0;
    uint64_t need = size * ARRIVAL_GROWTH;
    if (stat(path, &part) == 0)
        have = (uint64_t)part.st_size;
    if (stat(a->cache, &cache) == 0 && stat(a->directory, &content) == 0 &&
        cache.st_dev == content.st_dev && size > have)
        need += size - have;
    if (fs_free_bytes(a->directory, &room) < 0 || room >= need)
        return 0;
    return error_set(err, GFXB_E_DISK_FULL,
                     "%s and what it holds need at least %.1f MB and %.1f MB are free in %s: free "
                     "some space or choose another place with --data-dir",
                     a->what, (double)need / 1e6, (double)room / 1e6, job->env->data_dir);
}

static void arrival_progress(void *context, const struct fetch_progress *progress)
{
    const struct arrival_job *job = context;
    const struct package_net *net = job->env->net;
    if (net && net->progress)
        net->progress(net->context, job->arrival->what, progress);
}

struct fetch_config arrival_config(const struct package_env *env)
{
    struct fetch_config config = {0};
    if (env->net)
        config = env->net->fetch;
    if (!config.log)
        config.log = env->log;
    return config;
}

void arrival_forget(const struct arrival *arrival)
{
    char *CLEAN_FREE path = arrival_path(arrival, "");
    unlink(path);
    fetch_discard(path);
}

/* What the next run cannot use, or what stands in the way of it. */
static bool arrival_is_useless(int result)
{
    return result == -GFXB_E_DIGEST_MISMATCH || result == -GFXB_E_ARCHIVE_UNSAFE ||
           result == -GFXB_E_DISK_FULL || result == -EBADMSG;
}

static int arrival_fetch(struct arrival_job *job, const char *path, uint64_t *ret_size,
                         struct gfxb_error *err)
{
    const struct arrival *arrival = job->arrival;
    struct fetch_config config = arrival_config(job->env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct fetch_request request = {
        .url = arrival->url,
        .what = arrival->what,
        .sha256 = arrival->sha256,
        .size = arrival->size,
        .path = path,
        .scratch = true,
        .begin = arrival_check_room,
        .progress = arrival_progress,
        .context = job,
    };
    int r = fetch_run(&config, &request, &result, err);
    if (r == 0)
        *ret_size = result.bytes;
    fetch_result_done(&result);
    return r;
}

int arrival_run(const struct package_env *env, const struct arrival *arrival, uint64_t *ret_size,
                struct gfxb_error *err)
{
    struct arrival_job job = {.env = env, .arrival = arrival};
    struct unpack_options options = {
        .strip_top = arrival->strip_top, .link_copies = true, .cancel = provider_cancel(env)};
    char *CLEAN_FREE path = arrival_path(arrival, "");
    int r = arrival_fetch(&job, path, ret_size, err);
    bool is_useless = arrival_is_useless(r);
    if (r == 0) {
        r = unpack_file(path, arrival->directory, &options, NULL, err);
        is_useless = arrival_is_useless(r);
        if (r < 0)
            error_prefix(err, "%s: ", arrival->what);
        if (r == -EBADMSG) { /* the right file, and still no good: for good */
            r = -GFXB_E_PACKAGE_UNAVAILABLE;
            if (err)
                err->code = GFXB_E_PACKAGE_UNAVAILABLE;
        }
    }
    if (is_useless)
        arrival_forget(arrival);
    return r;
}
