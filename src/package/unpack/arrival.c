#include "package/unpack/arrival.h"
#include "base/stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#define ARRIVAL_RING (8u << 20)

/* The fetching thread is the caller's; the unpacking one is made for each beginning of the file. */
struct arrival_job {
    const struct package_env *env;
    const struct arrival *arrival;
    struct stream *stream;
    pthread_t thread;
    bool running;
    int result;              /* of unpacking, once it was joined */
    struct gfxb_error error; /* of unpacking */
};

static ssize_t arrival_read(void *context, const void **ret_block)
{
    return stream_read(context, ret_block);
}

static void *arrival_unpack(void *context)
{
    struct arrival_job *job = context;
    struct archive_source source = {arrival_read, NULL, job->stream};
    struct unpack_options options = {.strip_top = job->arrival->strip_top, .link_copies = true};
    job->result = unpack_run(&source, job->arrival->directory, &options, NULL, &job->error);
    stream_leave(job->stream);
    return NULL;
}

static int arrival_begin_unpacking(struct arrival_job *job, struct gfxb_error *err)
{
    int r = stream_new(ARRIVAL_RING, &job->stream, err);
    if (r < 0)
        return r;
    r = stream_start(&job->thread, arrival_unpack, job);
    if (r < 0)
        return error_set(err, -r, "cannot start a thread: %s", error_errno_text(-r));
    job->running = true;
    return 0;
}

/* Let it end by itself (result 0), or stop it. */
static void arrival_end_unpacking(struct arrival_job *job, int result)
{
    if (job->running) {
        stream_end(job->stream, result);
        pthread_join(job->thread, NULL);
    }
    job->running = false;
    stream_free(job->stream);
    job->stream = NULL;
}

/*
 * A reader that left early has failed. When the archive is damaged the rest is fetched all the
 * same: its digest tells whether it is the right archive that is damaged, or a wrong one.
 */
static int arrival_write(void *context, const void *bytes, size_t n, struct gfxb_error *err)
{
    struct arrival_job *job = context;
    if (!job->running) {
        int r = job->stream ? 0 : arrival_begin_unpacking(job, err);
        if (r < 0)
            return r;
    }
    if (!job->running || stream_write(job->stream, bytes, n) == 0)
        return 0;
    pthread_join(job->thread, NULL);
    job->running = false;
    if (job->result == -EBADMSG || job->result == 0)
        return 0;
    *err = job->error;
    return job->result;
}

static int arrival_restart(void *context, struct gfxb_error *err)
{
    struct arrival_job *job = context;
    const char *directory = job->arrival->directory;
    arrival_end_unpacking(job, -ECANCELED);
    job->result = 0;
    int r = fs_remove_tree(directory);
    if (r < 0 || mkdir(directory, 0755) < 0)
        return error_set(err, r < 0 ? -r : errno, "cannot empty %s: %s", directory,
                         error_errno_text(r < 0 ? -r : errno));
    return 0;
}

static char *arrival_path(const struct arrival *arrival, const char *ending)
{
    char *path = NULL;
    int n = asprintf(&path, "%s/%s.archive%s", arrival->cache, arrival->sha256, ending);
    return n < 0 ? NULL : path;
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
    if (path && stat(path, &part) == 0)
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
    if (!path)
        return;
    unlink(path);
    fetch_discard(path);
}

/* What the next run cannot use, or what stands in the way of it. */
static bool arrival_is_useless(int result)
{
    return result == -GFXB_E_DIGEST_MISMATCH || result == -GFXB_E_ARCHIVE_UNSAFE ||
           result == -GFXB_E_DISK_FULL || result == -EBADMSG;
}

static int arrival_code(struct gfxb_error *err, int code)
{
    if (err)
        err->code = code;
    return -code;
}

int arrival_run(const struct package_env *env, const struct arrival *arrival, uint64_t *ret_size,
                struct gfxb_error *err)
{
    struct arrival_job job = {.env = env, .arrival = arrival};
    struct fetch_config config = arrival_config(env);
    struct fetch_sink sink = {arrival_write, arrival_restart, &job};
    struct fetch_result result = FETCH_RESULT_INIT;
    char *CLEAN_FREE path = arrival_path(arrival, "");
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    struct fetch_request request = {
        .url = arrival->url,
        .what = arrival->what,
        .sha256 = arrival->sha256,
        .size = arrival->size,
        .path = path,
        .scratch = true,
        .sink = &sink,
        .begin = arrival_check_room,
        .progress = arrival_progress,
        .context = &job,
    };
    int r = fetch_run(&config, &request, &result, err);
    arrival_end_unpacking(&job, r < 0 ? -ECANCELED : 0);
    bool is_useless = arrival_is_useless(r < 0 ? r : job.result);
    if (r == 0 && job.result < 0) {
        r = job.result;
        if (err)
            *err = job.error;
        error_prefix(err, "%s: ", arrival->what);
        if (r == -EBADMSG) /* the right file, and still no good: for good */
            r = arrival_code(err, GFXB_E_PACKAGE_UNAVAILABLE);
    }
    if (r == 0)
        *ret_size = result.bytes;
    if (is_useless)
        arrival_forget(arrival);
    fetch_result_done(&result);
    return r;
}
