/*
 * source_github.c - the source "github": one release archive, and where its engine needs one, the
 * ROCm runtime that goes with it: both in one package directory, or neither.
 *
 *   engine/  the release archive
 *   rocm/    TheRock's archive for the GPU's family
 */
#include "package/package_private.h"

#include <errno.h>
#include <inttypes.h>

/* How a package is laid out. A change of it changes every package's digest. */
#define GITHUB_RECIPE "gfxbridge archives 2"

struct github_job {
    struct archive_part engine, runtime;
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

/* The digest that must come out: the row's, else the release's own. */
static int github_find_digest(const struct install *in, const struct gfx_package *row,
                              struct archive_part *part, struct gfxb_error *err)
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
                           struct archive_part *part, struct gfxb_error *err)
{
    const char *slash = row->locate.n ? memrchr(row->locate.p, '/', row->locate.n) : NULL;
    part->url = url;
    if (!slash)
        return error_set(err, GFXB_E_NO_PACKAGE, "where to get %.*s is not known",
                         STR_ARG(row->id));
    size_t n = row->locate.n - (size_t)(slash + 1 - row->locate.p);
    part->name = xstr_dup((struct str){slash + 1, n});
    return github_find_digest(in, row, part, err);
}

/* Before the engine is fetched: is its runtime there at all, and how large is it? */
static int github_ask_for_runtime(const struct install *in, struct archive_part *part,
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
        if (r == 0)
            r = github_set_part(in, runtime, runtime_url(in->env, runtime), &job->runtime, err);
        if (r == 0)
            r = github_ask_for_runtime(in, &job->runtime, err);
    }
    if (r < 0)
        return r;
    in->what = str_from(job->engine.name);
    in->need = archive_need(in, job->engine.size + job->runtime.size);
    return 0;
}

/* ---- into the stage ---- */

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
    int r = archive_bring(in, &job->runtime, RUNTIME_DIR, err);
    return r < 0 ? r : runtime_settle(in->stage.dir, &in->library_path, err);
}

static void github_add_fact(struct install *in, const char *name, const struct archive_part *part)
{
    if (part->has_arrived)
        buf_addf(&in->facts, "part %s %s %s %" PRIu64 " %s\n", name, part->url, part->sha256,
                 part->size, part->trust);
}

static int github_bring(struct install *in, struct gfxb_error *err)
{
    struct github_job *job = in->job;
    int r = archive_bring(in, &job->engine, "engine", err);
    if (r == 0)
        r = github_bring_runtime(in, err);
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
 * of no use to a later try, or stand in the way of others on a full disk. */
static void github_finish(struct install *in, int r)
{
    struct github_job *job = in->job;
    struct archive_part *const parts[] = {&job->engine, &job->runtime};
    bool is_done = r == -GFXB_E_DISK_FULL ||
                   (in->was_brought && r != -GFXB_E_LIBRARY_MISSING && r != -GFXB_E_INTERRUPTED);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (is_done && parts[i]->has_arrived)
            archive_forget(in, parts[i]);
        archive_part_done(parts[i]);
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
