/*
 * The provider "github": one release archive, and where its engine needs one, the ROCm runtime that
 * goes with it, as one transaction: both in one package directory, or neither.
 *
 *   engine/  the release archive
 *   rocm/    TheRock's archive for the GPU's family
 */
#include "package/contents.h"
#include "package/github_api.h"
#include "package/manifest.h"
#include "package/provider.h"
#include "package/runtime.h"
#include "package/store.h"
#include "package/unpack/arrival.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* How a package is laid out. A change of it changes every package's digest. */
#define GITHUB_RECIPE    "gfxbridge archives 1"
#define GITHUB_FACTS_MAX (1u << 16)

/* One archive. Owned but for row. */
struct github_part {
    const struct gfx_package *row;
    char *url;
    char *name;
    char sha256[DIGEST_HEX];
    uint64_t size;     /* 0 unknown */
    const char *trust; /* where its sha256 is from */
    char *directory;   /* in the stage */
    bool arrived;
};

enum { GITHUB_ENGINE, GITHUB_RUNTIME, GITHUB_PARTS };

struct github_job {
    const struct package_env *env;
    const struct gfx_package *row;
    char *cache;
    int cache_lock;
    struct store_stage stage;
    struct github_part part[GITHUB_PARTS];
    char *library_path; /* of the runtime; NULL none */
};

static int github_no_memory(struct gfxb_error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static void github_done(struct github_job *job)
{
    for (int i = 0; i < GITHUB_PARTS; i++) {
        free(job->part[i].url);
        free(job->part[i].name);
        free(job->part[i].directory);
    }
    store_stage_done(&job->stage);
    free(job->library_path);
    free(job->cache);
    if (job->cache_lock >= 0)
        close(job->cache_lock);
}

/* ---- what is to be fetched ---- */

static int github_engine_url(const struct package_env *env, struct str locate, char **ret_url,
                             struct gfxb_error *err)
{
    struct buf CLEAN_BUF url = BUF_INIT(8192);
    struct str base = str_from(env->net ? env->net->github : NULL);
    struct github_asset asset;
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    if (base.n && github_asset_parse(locate, &asset) == 0) {
        buf_add_str(&url, base);
        buf_addf(&url, "/%.*s/%.*s/releases/download/%.*s/%.*s", STR_ARG(asset.owner),
                 STR_ARG(asset.repository), STR_ARG(asset.tag), STR_ARG(asset.name));
    } else {
        buf_add_str(&url, locate);
    }
    *ret_url = buf_take(&url);
    return *ret_url ? 0 : github_no_memory(err);
}

/* The digest that must come out: the row's, else the release's own. */
static int github_find_digest(const struct github_job *job, struct github_part *part,
                              struct gfxb_error *err)
{
    const struct gfx_package *row = part->row;
    struct github_asset asset;
    part->size = row->size;
    if (row->sha256.n == DIGEST_HEX - 1) {
        memcpy(part->sha256, row->sha256.p, DIGEST_HEX - 1);
        part->trust = "table";
        return 0;
    }
    part->trust = "release";
    if (github_asset_parse(row->locate, &asset) < 0)
        return error_set(err, GFXB_E_DIGEST_MISSING,
                         "no sha256 of %s is known: it is not installed, since nothing tells "
                         "whether it arrives unchanged",
                         part->name);
    log_at(job->env->log, LOG_DEBUG, "asking the release for the sha256 of %s", part->name);
    return github_asset_look_up(job->env, &asset, part->sha256, &part->size, err);
}

static int github_set_part(struct github_job *job, struct github_part *part,
                           const struct gfx_package *row, struct gfxb_error *err)
{
    const char *slash = row->locate.n ? memrchr(row->locate.p, '/', row->locate.n) : NULL;
    if (!slash)
        return error_set(err, GFXB_E_NO_PACKAGE, "where to get %.*s is not known",
                         STR_ARG(row->id));
    part->row = row;
    part->name =
        str_dup((struct str){slash + 1, row->locate.n - (size_t)(slash + 1 - row->locate.p)});
    if (!part->name)
        return github_no_memory(err);
    int r = str_is(row->backend, "runtime")
                ? runtime_url(job->env, row, &part->url, err)
                : github_engine_url(job->env, row->locate, &part->url, err);
    return r < 0 ? r : github_find_digest(job, part, err);
}

/* Before the engine is fetched: is its runtime there at all, and how large is it? */
static int github_ask_for_runtime(struct github_job *job, struct gfxb_error *err)
{
    struct github_part *part = &job->part[GITHUB_RUNTIME];
    struct fetch_config config = arrival_config(job->env);
    struct fetch_result result = FETCH_RESULT_INIT;
    struct fetch_request request = {.url = part->url, .what = part->name, .head = true};
    int r = fetch_run(&config, &request, &result, err);
    if (r == 0 && !part->size)
        part->size = result.size;
    /* Storage that signs its links for GET alone refuses this: the download will tell. */
    if (r < 0 && (result.status == 403 || result.status == 405))
        r = 0;
    fetch_result_done(&result);
    return r;
}

/* The runtime that is to be fetched; none when the computer's own serves. */
static int github_plan_runtime(struct github_job *job, struct gfxb_error *err)
{
    const struct gfx_package *runtime = NULL;
    if (!str_is(job->row->runtime, "therock"))
        return 0;
    int r = runtime_choose(job->env, job->row, &runtime, err);
    if (r == 0)
        r = github_set_part(job, &job->part[GITHUB_RUNTIME], runtime, err);
    return r < 0 ? r : github_ask_for_runtime(job, err);
}

/* ---- from the network into the stage ---- */

static uint64_t github_need(const struct github_job *job)
{
    struct stat cache, content;
    uint64_t size = job->part[GITHUB_ENGINE].size + job->part[GITHUB_RUNTIME].size;
    bool is_one_disk = stat(job->cache, &cache) < 0 || stat(job->env->data_dir, &content) < 0 ||
                       cache.st_dev == content.st_dev;
    return size * ARRIVAL_GROWTH + (is_one_disk ? size : 0);
}

static struct arrival github_arrival(const struct github_job *job, const struct github_part *part)
{
    return (struct arrival){
        .url = part->url,
        .what = part->name,
        .sha256 = part->sha256,
        .size = part->size,
        .cache = job->cache,
        .directory = part->directory,
        .strip_top = !str_is(part->row->backend, "runtime"), /* TheRock's have no top directory */
    };
}

static int github_bring(struct github_job *job, struct github_part *part, const char *below,
                        struct gfxb_error *err)
{
    part->directory = fs_join(job->stage.dir, below);
    if (!part->directory)
        return github_no_memory(err);
    if (mkdir(part->directory, 0755) < 0)
        return error_set(err, errno, "cannot make %s: %s", part->directory,
                         error_errno_text(errno));
    struct arrival arrival = github_arrival(job, part);
    if (part->size)
        log_at(job->env->log, LOG_INFO, "fetching %s, %.1f MB", part->name,
               (double)part->size / 1e6);
    else
        log_at(job->env->log, LOG_INFO, "fetching %s", part->name);
    int r = arrival_run(job->env, &arrival, &part->size, err);
    part->arrived = r == 0;
    return r;
}

static int github_bring_runtime(struct github_job *job, struct gfxb_error *err)
{
    const char *engine = job->part[GITHUB_ENGINE].directory;
    bool is_own = str_is(job->row->runtime, "therock");
    struct gfxb_error none = {0};
    if (!is_own && !str_is(job->row->runtime, "system"))
        return 0;
    if (runtime_on_computer(job->env, engine, &job->library_path, &none) == 0) {
        log_at(job->env->log, LOG_INFO, "using the ROCm of this computer (%s)", job->library_path);
        return 0;
    }
    if (!is_own) /* one that the loader finds by itself may do: the closure will tell */
        return 0;
    int r = github_bring(job, &job->part[GITHUB_RUNTIME], RUNTIME_DIR, err);
    return r < 0 ? r : runtime_settle(job->stage.dir, &job->library_path, err);
}

/* ---- from the stage to a package ---- */

static int github_digest(const struct github_job *job, char ret_digest[static DIGEST_HEX])
{
    struct buf CLEAN_BUF text = BUF_INIT(GITHUB_FACTS_MAX);
    buf_addf(&text, GITHUB_RECIPE "\nengine %s\n", job->part[GITHUB_ENGINE].sha256);
    if (job->part[GITHUB_RUNTIME].arrived)
        buf_addf(&text, "runtime %s\n", job->part[GITHUB_RUNTIME].sha256);
    else if (job->library_path)
        buf_addf(&text, "runtime %s\n", job->library_path);
    return buf_ok(&text) ? digest_bytes(text.p, text.n, ret_digest) : -ENOMEM;
}

/* "gfx..." as measured and as the table says: a difference is worth a line. */
static void github_tell_difference(const struct github_job *job, const struct package *package)
{
    struct str rest = job->row->gfx, word;
    struct str measured = str_from(package->gfx);
    while (package->gfx && str_word(&rest, &word)) {
        if (!str_list_has(measured, word)) {
            log_at(job->env->log, LOG_WARNING,
                   "%s holds code for %s, not for %.*s as its table row says",
                   job->part[GITHUB_ENGINE].name, package->gfx, STR_ARG(word));
            return;
        }
    }
}

static void github_facts(const struct github_job *job, struct buf *ret)
{
    static const char *const names[] = {"engine", "runtime"};
    for (int i = 0; i < GITHUB_PARTS; i++) {
        const struct github_part *part = &job->part[i];
        if (part->arrived)
            buf_addf(ret, "part %s %s %s %" PRIu64 " %s\n", names[i], part->url, part->sha256,
                     part->size, part->trust);
    }
}

static int github_publish(struct github_job *job, struct gfxb_error *err)
{
    struct package package = {0};
    struct buf CLEAN_BUF facts = BUF_INIT(GITHUB_FACTS_MAX);
    char digest[DIGEST_HEX];
    struct contents contents = {
        .dir = job->stage.dir,
        .what = str_from(job->part[GITHUB_ENGINE].name),
        .engine = job->row->engine,
        .backend = job->row->backend,
        .library_path = str_from(job->library_path),
    };
    int r = contents_describe(job->env, &contents, &package, err);
    if (r == 0) {
        package.id = str_dup(job->row->id);
        package.provider = strdup(provider_github.name);
        package.version = job->row->tag.n ? str_dup(job->row->tag) : strdup("unknown");
        package.digest = github_digest(job, digest) == 0 ? strdup(digest) : NULL;
        if (!package.id || !package.provider || !package.version || !package.digest)
            r = github_no_memory(err);
    }
    github_facts(job, &facts);
    if (r == 0)
        github_tell_difference(job, &package);
    if (r == 0)
        r = store_publish(job->env, &job->stage, &package, buf_view(&facts), err);
    manifest_package_done(&package);
    return r;
}

static void github_forget_archives(const struct github_job *job)
{
    for (int i = 0; i < GITHUB_PARTS; i++) {
        if (!job->part[i].arrived)
            continue;
        struct arrival arrival = github_arrival(job, &job->part[i]);
        arrival_forget(&arrival);
    }
}

/* A missing library can be installed, and what is here need not come again. Else the archives are
 * of no use to a later try, or stand in the way of others on a full disk. */
static bool github_keeps_archives(int result)
{
    return result == -GFXB_E_LIBRARY_MISSING || result == -GFXB_E_INTERRUPTED;
}

static int github_run(struct github_job *job, struct gfxb_error *err)
{
    int r = github_set_part(job, &job->part[GITHUB_ENGINE], job->row, err);
    if (r == 0)
        r = github_plan_runtime(job, err);
    if (r == 0)
        r = store_stage_new(job->env, github_need(job), &job->stage, err);
    if (r == 0)
        r = github_bring(job, &job->part[GITHUB_ENGINE], "engine", err);
    if (r == 0)
        r = github_bring_runtime(job, err);
    if (r < 0 && r != -GFXB_E_DISK_FULL)
        return r;
    if (r == 0)
        r = github_publish(job, err);
    if (!github_keeps_archives(r))
        github_forget_archives(job);
    return r;
}

/*
 * Is it here? One whose ROCm runtime was fetched for another family of GPUs is not what env->gfx
 * needs: another package with the same id is made beside it.
 */
static bool github_has(const struct package_env *env, const struct gfx_package *row)
{
    const struct gfx_target *target =
        env->gfx ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    struct package_list list = {NULL, 0};
    bool found = false;
    if (package_list_new(env, &list, NULL) < 0)
        return false;
    for (size_t i = 0; i < list.n && !found; i++) {
        const struct package *p = &list.item[i];
        bool is_for_it = !str_is(row->runtime, "therock") || !target || !p->blas || !p->blas[0] ||
                         gfx_covers(env->tables, target, str_from(p->blas), NULL) != GFX_VIA_NONE;
        found = str_is(row->id, p->id) && is_for_it;
    }
    package_list_done(&list);
    return found;
}

static int github_install(const struct package_env *env, const struct gfx_package *row,
                          struct gfxb_error *err)
{
    struct github_job job = {.env = env, .row = row, .cache_lock = -1, .stage = STORE_STAGE_NONE};
    int r = store_cache_open(env, provider_github.name, &job.cache, &job.cache_lock, err);
    /* Another process may have brought it while we waited for the cache. */
    if (r == 0 && !github_has(env, row))
        r = github_run(&job, err);
    github_done(&job);
    return r;
}

const struct provider provider_github = {
    .name = "github",
    .needs_network = true,
    .has = github_has,
    .install = github_install,
};
