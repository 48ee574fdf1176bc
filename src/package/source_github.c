/*
 * source_github.c - the source "github": one release archive, and where its engine needs one, the
 * ROCm runtime that goes with it: both in one package directory, or neither.
 *
 *   engine/  the release archive
 *   rocm/    TheRock's archive for the GPU's family
 */
#include "package/package_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

/* How a package is laid out. A change of it changes every package's digest. */
#define GITHUB_RECIPE "gfxbridge archives 2"

/* What archives of this field unpack to, as a multiple of their own size, at least. */
#define GITHUB_GROWTH 2

struct github_part {
    const struct install *in;
    char *url;  /* owned */
    char *name; /* owned; in sentences and in progress */
    char sha256[DIGEST_HEX];
    uint64_t size;     /* 0 unknown */
    const char *trust; /* where its sha256 is from */
    bool has_arrived;
};

struct github_job {
    struct github_part engine, runtime;
};

/* ---- what must come ---- */

/* GFXBRIDGE_GITHUB stands for the rows' https://HOST. */
static char *github_engine_url(const struct package_env *env, struct str locate)
{
    struct str base = str_trim_end(str_from(package_setting(env, "GFXBRIDGE_GITHUB")), '/');
    struct github_asset a;
    if (!base.n || !github_asset_parse(locate, &a))
        return xstr_dup(locate);
    return xasprintf("%.*s/%.*s/%.*s/releases/download/%.*s/%.*s", STR_ARG(base), STR_ARG(a.owner),
                     STR_ARG(a.repository), STR_ARG(a.tag), STR_ARG(a.name));
}

/* Are cache and store on one file system, so that both must fit on it? */
static bool github_is_one_disk(const struct install *in)
{
    struct stat cache, store;
    return stat(in->cache, &cache) < 0 || stat(in->env->data_dir, &store) < 0 ||
           cache.st_dev == store.st_dev;
}

/* Bytes that archives of this size, of which this many are here, and their content take on the
 * store's disk. */
static uint64_t github_need(const struct install *in, uint64_t size, uint64_t have)
{
    uint64_t missing = size > have ? size - have : 0;
    return size * GITHUB_GROWTH + (github_is_one_disk(in) ? missing : 0);
}

/* The digest that must come out: the row's, else the release's own. */
static int github_find_digest(const struct install *in, const struct gfx_package *row,
                              struct github_part *part, struct gfxb_error *err)
{
    struct github_asset asset;
    part->size = row->size;
    if (row->sha256.n == DIGEST_HEX - 1) {
        memcpy(part->sha256, row->sha256.p, DIGEST_HEX - 1);
        part->trust = "table";
        return 0;
    }
    part->trust = "release";
    if (!github_asset_parse(row->locate, &asset))
        return error_set(err, GFXB_E_DIGEST_MISSING,
                         "no sha256 of %s is known: it is not installed, because the download "
                         "could not be verified",
                         part->name);
    log_at(in->env->log, LOG_DEBUG, "asking the release for the sha256 of %s", part->name);
    return github_asset_look_up(in->env, &asset, part->sha256, &part->size, err);
}

static int github_set_part(const struct install *in, const struct gfx_package *row, char *url,
                           struct github_part *part, struct gfxb_error *err)
{
    const char *slash = row->locate.n ? memrchr(row->locate.p, '/', row->locate.n) : NULL;
    part->in = in;
    part->url = url;
    if (!slash)
        return error_set(err, GFXB_E_NO_PACKAGE, "where to get %.*s is not known",
                         STR_ARG(row->id));
    part->name = xstr_dup(str_skip(row->locate, (size_t)(slash + 1 - row->locate.p)));
    return github_find_digest(in, row, part, err);
}

/* Before the engine is fetched: is its runtime there at all, and how large is it? */
static int github_ask_for_runtime(const struct install *in, struct github_part *part,
                                  struct gfxb_error *err)
{
    struct fetch_config config = package_fetch_config(in->env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct fetch_request request = {.url = part->url, .what = part->name, .head = true};
    int r = fetch_run(&config, &request, &result, err);
    if (r == 0 && !part->size)
        part->size = result.size;
    /* Storage that signs its links for GET alone refuses this: the download will tell. */
    if (r < 0 && (result.status == 403 || result.status == 405))
        r = 0;
    return r;
}

static int github_decide(struct install *in, struct gfxb_error *err)
{
    struct github_job *job = in->job;
    const struct gfx_package *runtime = NULL;
    int r = github_set_part(in, in->row, github_engine_url(in->env, in->row->locate), &job->engine,
                            err);
    if (r == 0 && str_is(in->row->runtime, "therock")) {
        r = runtime_choose(in->env, in->row, &runtime, err);
        r = r ?: github_set_part(in, runtime, runtime_url(in->env, runtime), &job->runtime, err);
        r = r ?: github_ask_for_runtime(in, &job->runtime, err);
    }
    if (r < 0)
        return r;
    in->what = str_from(job->engine.name);
    in->need = github_need(in, job->engine.size + job->runtime.size, 0);
    return 0;
}

/* ---- from the network into the stage ---- */

/* Where the part is in the cache. */
static char *github_path(const struct github_part *part, const char *ending)
{
    return xasprintf("%s/%s.archive%s", part->in->cache, part->sha256, ending);
}

static void github_forget(const struct github_part *part)
{
    char *CLEAN_FREE path = github_path(part, "");
    unlink(path);
    fetch_discard(path);
}

/* Is there room for what the archive holds? Its own room is looked at by fetch, on its own file
 * system; where that is the same one, both must fit. */
static int github_check_room(void *context, uint64_t size, struct gfxb_error *err)
{
    const struct github_part *part = context;
    struct stat st;
    char *CLEAN_FREE path = github_path(part, ".part");
    uint64_t room = 0, have = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    uint64_t need = github_need(part->in, size, have);
    if (fs_free_bytes(part->in->stage.dir, &room) < 0 || room >= need)
        return 0;
    return error_set(err, GFXB_E_DISK_FULL,
                     "%s and what it holds need at least %.1f MB and %.1f MB are free in %s: free "
                     "some space or choose another place with --data-dir",
                     part->name, (double)need / 1e6, (double)room / 1e6, part->in->env->data_dir);
}

static void github_progress(void *context, const struct fetch_progress *progress)
{
    const struct github_part *part = context;
    const struct package_net *net = part->in->env->net;
    if (net && net->progress)
        net->progress(net->context, part->name, progress);
}

/* Into the cache, or find it there. */
static int github_fetch(struct github_part *part, const char *path, struct gfxb_error *err)
{
    const struct package_env *env = part->in->env;
    struct fetch_config config = package_fetch_config(env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct fetch_request request = {
        .url = part->url,
        .what = part->name,
        .sha256 = part->sha256,
        .size = part->size,
        .path = path,
        .scratch = true,
        .begin = github_check_room,
        .progress = github_progress,
        .context = part,
    };
    if (part->size)
        log_at(env->log, LOG_INFO, "fetching %s, %.1f MB", part->name, (double)part->size / 1e6);
    else
        log_at(env->log, LOG_INFO, "fetching %s", part->name);
    int r = fetch_run(&config, &request, &result, err);
    if (r == 0)
        part->size = result.bytes;
    return r;
}

/*
 * Fetch it into the cache, verify its digest, unpack it into the stage's directory `below`. What
 * would end the same way again, or blocks others on a full disk, is not kept; what is
 * merely incomplete, or complete and not yet published, stays in the cache for the next run.
 */
static int github_bring_part(struct install *in, struct github_part *part, const char *below,
                             struct gfxb_error *err)
{
    char *CLEAN_FREE path = github_path(part, "");
    int CLEAN_CLOSE fd = -1;
    int r = github_fetch(part, path, err);
    if (r == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return fs_error(err, errno, "read", path);
    r = r ?: install_unpack(in, fd, part->name, below, err);
    if (r == -GFXB_E_DIGEST_MISMATCH || r == -GFXB_E_ARCHIVE_UNSAFE ||
        (fd >= 0 && r == -GFXB_E_PACKAGE_UNAVAILABLE) || r == -GFXB_E_DISK_FULL)
        github_forget(part);
    part->has_arrived = r == 0;
    return r;
}

/* The computer's own where it serves; else the one that was decided on. */
static int github_bring_runtime(struct install *in, struct gfxb_error *err)
{
    struct github_job *job = in->job;
    char *CLEAN_FREE engine = xfs_join(in->stage.dir, "engine");
    bool is_own = str_is(in->row->runtime, "therock");
    if (!is_own && !str_is(in->row->runtime, "system"))
        return 0;
    in->library_path = runtime_on_computer(in->env, engine);
    if (in->library_path)
        log_at(in->env->log, LOG_INFO, "using the ROCm of this computer (%s)", in->library_path);
    if (in->library_path || !is_own) /* one that the loader finds by itself may do */
        return 0;
    int r = github_bring_part(in, &job->runtime, RUNTIME_DIR, err);
    return r < 0 ? r : runtime_settle(in->stage.dir, &in->library_path, err);
}

static void github_add_fact(struct install *in, const char *name, const struct github_part *part)
{
    if (part->has_arrived)
        buf_addf(&in->facts, "part %s %s %s %" PRIu64 " %s\n", name, part->url, part->sha256,
                 part->size, part->trust);
}

static int github_bring(struct install *in, struct gfxb_error *err)
{
    struct github_job *job = in->job;
    int r = github_bring_part(in, &job->engine, "engine", err) ?: github_bring_runtime(in, err);
    if (r < 0)
        return r;
    buf_addf(&in->identity, GITHUB_RECIPE "\nengine %s\n", job->engine.sha256);
    if (job->runtime.has_arrived)
        buf_addf(&in->identity, "runtime %s\n", job->runtime.sha256);
    else if (in->library_path)
        buf_addf(&in->identity, "runtime %s\n", in->library_path);
    github_add_fact(in, "engine", &job->engine);
    github_add_fact(in, "runtime", &job->runtime);
    return 0;
}

/* A missing library can be installed, and what is here need not come again. Else the archives are
 * of no use to a later try, or block others on a full disk. */
static void github_finish(struct install *in, int r)
{
    struct github_job *job = in->job;
    struct github_part *const parts[] = {&job->engine, &job->runtime};
    bool is_done = r == -GFXB_E_DISK_FULL ||
                   (in->was_brought && r != -GFXB_E_LIBRARY_MISSING && r != -GFXB_E_INTERRUPTED);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (is_done && parts[i]->has_arrived)
            github_forget(parts[i]);
        free(parts[i]->url);
        free(parts[i]->name);
    }
}

/* One whose ROCm runtime was fetched for another family of GPUs is not what env->gfx needs: another
 * package with the same id is made beside it. */
static bool github_serves(const struct package_env *env, const struct gfx_package *row,
                          const struct package *package)
{
    const struct gfx_target *target =
        env->gfx ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    return !str_is(row->runtime, "therock") || !target || !package->blas || !package->blas[0] ||
           gfx_covers(env->tables, target, str_from(package->blas), NULL) != GFX_VIA_NONE;
}

const struct package_source source_github = {
    .name = "github",
    .needs_network = true,
    .has_cache = true,
    .job_size = sizeof(struct github_job),
    .serves = github_serves,
    .decide = github_decide,
    .bring = github_bring,
    .finish = github_finish,
};
