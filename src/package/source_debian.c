/*
 * The provider "debian": the engine packages of the distribution's own archive, from a newer suite
 * than the installed one, unpacked into a directory and run with their own loader and libc. The
 * row's `locate` names the packages at the root of what is needed; apt finds the rest.
 */
#include "package/apt/apt.h"
#include "package/manifest.h"
#include "package/measure.h"
#include "package/provider.h"
#include "package/store.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdio.h>

#define DEBIAN_OUTPUT_MAX (16u << 20)
#define DEBIAN_KEEP_BYTES (8u << 20) /* larger parts are of no use for another package */
#define DEBIAN_UNPACK_MS  900000     /* one .deb; the largest takes some 20 s on a slow disk */

/* One installation. Everything is owned but env and row. */
struct debian_job {
    const struct package_env *env;
    const struct gfx_package *row;
    struct debian_host host;
    char *cache;
    int cache_lock;
    struct debian_apt apt;     /* of the chosen suite */
    struct debian_parts parts; /* what is to be fetched from it */
};

static void job_forget_choice(struct debian_job *job)
{
    debian_parts_done(&job->parts);
    debian_apt_close(&job->apt);
}

static void job_done(struct debian_job *job)
{
    job_forget_choice(job);
    debian_host_done(&job->host);
    free(job->cache);
    if (job->cache_lock >= 0)
        close(job->cache_lock);
}

/* ---- choosing a suite ---- */

static int job_read_parts(struct debian_job *job, struct gfxb_error *err)
{
    struct buf CLEAN_BUF uris = BUF_INIT(DEBIAN_OUTPUT_MAX);
    struct buf CLEAN_BUF names = BUF_INIT(DEBIAN_OUTPUT_MAX);
    struct buf CLEAN_BUF stanzas = BUF_INIT(DEBIAN_OUTPUT_MAX);
    int r = debian_apt_closure(&job->apt, job->row->locate, &uris, err);
    if (r == 0)
        r = debian_parts_parse(buf_view(&uris), &job->parts, err);
    if (r < 0)
        return r;
    debian_parts_names(&job->parts, &names);
    r = debian_apt_show(&job->apt, buf_view(&names), &stanzas, err);
    if (r == 0)
        debian_parts_add_facts(&job->parts, buf_view(&stanzas));
    return r;
}

/*
 * The host's GPU driver is loaded into the engine's process and was built against the host's libc:
 * on an older libc it would not load. The other way round is what libc promises to support.
 */
static bool job_libc_too_old(const struct debian_job *job)
{
    const struct debian_part *libc = debian_parts_find(&job->parts, STR("libc6"));
    return libc && !str_is(job->row->backend, "cpu") &&
           debian_version_below(libc->version, gnu_get_libc_version());
}

/* Does this suite of this archive have the package, and does it suit this host? */
static int job_try_suite(struct debian_job *job, const struct debian_archive *archive,
                         const char *suite, bool any_libc, struct gfxb_error *err)
{
    int r = debian_apt_open(job->env, job->cache, &job->host, archive, suite, &job->apt, err);
    if (r == 0)
        r = debian_apt_update(&job->apt, err);
    if (r == 0)
        r = job_read_parts(job, err);
    if (r == 0 && job->parts.gfx) /* said before half a gigabyte is fetched; measured afterwards */
        r = measure_check_gfx(job->env, STR("the distribution's package"), str_from(job->parts.gfx),
                              err);
    if (r == 0 && !any_libc && job_libc_too_old(job))
        r = error_set(err, GFXB_E_GLIBC_TOO_OLD,
                      "the packages of %s %s have an older glibc than this computer, so that its "
                      "GPU driver would not load",
                      job->host.distribution->origin, suite);
    if (r < 0)
        job_forget_choice(job);
    return r;
}

/* Is this a reason to look at the next suite? */
static bool job_is_elsewhere(int code)
{
    return code == GFXB_E_PACKAGE_UNAVAILABLE || code == GFXB_E_GLIBC_TOO_OLD ||
           code == GFXB_E_GFX_NOT_IN_PACKAGE;
}

/* Which of two failures tells the user more: the first is about the likeliest archive, unless a
 * later one has the package, or is about this computer and not about an archive. */
static bool job_tells_more(int now, int before)
{
    return !before ||
           (before == GFXB_E_PACKAGE_UNAVAILABLE && now != before && now != GFXB_E_OFFLINE) ||
           (!job_is_elsewhere(now) && now != GFXB_E_OFFLINE);
}

/* The first suite of the first archive that will do. */
static int job_choose(struct debian_job *job, bool any_libc, struct gfxb_error *err)
{
    struct gfxb_error kept = {0};
    int r = -GFXB_E_PACKAGE_UNAVAILABLE;
    for (size_t i = 0; i < job->host.n_archives && job_is_elsewhere(-r); i++) {
        const char *const *suite = job->host.distribution->suite;
        for (; *suite && job_is_elsewhere(-r); suite++) {
            struct gfxb_error now = {0};
            r = job_try_suite(job, &job->host.archive[i], *suite, any_libc, &now);
            if (r == 0)
                return 0;
            log_at(job->env->log, LOG_DEBUG, "%s", now.text);
            if (job_tells_more(now.code, kept.code))
                kept = now;
        }
    }
    if (kept.code == GFXB_E_GLIBC_TOO_OLD && !any_libc) {
        log_at(job->env->log, LOG_WARNING, "%s; trying all the same", kept.text);
        return job_choose(job, true, err);
    }
    return error_set(err, kept.code, "%s", kept.text);
}

/* ---- from parts to a package ---- */

/* Where apt has put a part; to be freed. */
static char *job_part_path(const struct debian_job *job, const struct debian_part *part)
{
    char *path = NULL;
    return asprintf(&path, "%s/archives/%s", job->apt.dir, part->file) < 0 ? NULL : path;
}

/* The small parts stay a day: vulkan needs nearly the same as cpu. */
static void job_drop_large_parts(const struct debian_job *job)
{
    for (size_t i = 0; i < job->parts.n; i++) {
        const struct debian_part *part = &job->parts.part[i];
        char *CLEAN_FREE path = job_part_path(job, part);
        if (path && part->size > DEBIAN_KEEP_BYTES)
            unlink(path);
    }
}

static int job_unpack_part(const struct debian_job *job, const struct debian_part *part,
                           const char *stage, struct gfxb_error *err)
{
    char *CLEAN_FREE path = job_part_path(job, part);
    char sha256[DIGEST_HEX];
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = digest_file(path, sha256, err);
    if (r < 0)
        return r;
    /* apt has compared it when it came; since then it lay in a cache. */
    if (strcmp(sha256, part->sha256) != 0) {
        unlink(path);
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not what the archive signed: it was removed, try again",
                         part->file);
    }
    const char *const argv[] = {"/usr/bin/dpkg-deb", "-x", path, stage, NULL};
    struct buf CLEAN_BUF complaints = BUF_INIT(1u << 20);
    r = debian_run(argv, DEBIAN_UNPACK_MS, NULL, &complaints, err);
    if (r == -EIO && str_has(buf_view(&complaints), STR("No space left on device")))
        return error_set(err, GFXB_E_DISK_FULL,
                         "the disk is full while unpacking %s: free some "
                         "space",
                         part->file);
    if (r == -EIO)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "cannot unpack %s: %.*s", part->file,
                         STR_ARG(str_trim(buf_view(&complaints))));
    return r;
}

static int job_unpack(const struct debian_job *job, const char *stage, struct gfxb_error *err)
{
    log_at(job->env->log, LOG_INFO, "unpacking %zu parts, %.0f MB", job->parts.n,
           (double)job->parts.installed_bytes / 1e6);
    for (size_t i = 0; i < job->parts.n; i++) {
        int r = provider_check_cancel(job->env, err);
        if (r == 0)
            r = job_unpack_part(job, &job->parts.part[i], stage, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int job_describe(const struct debian_job *job, const char *digest, struct package *package,
                        struct gfxb_error *err)
{
    struct str roots = job->row->locate, engine = STR_NONE;
    str_word(&roots, &engine);
    const struct debian_part *part = debian_parts_find(&job->parts, engine);
    package->id = str_dup(job->row->id);
    package->provider = strdup(provider_debian.name);
    package->engine = str_dup(job->row->engine);
    package->backend = str_dup(job->row->backend);
    package->digest = strdup(digest);
    package->version = strdup(part ? part->version : "unknown");
    if (!package->id || !package->provider || !package->engine || !package->backend ||
        !package->digest || !package->version)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

/* Where every part came from, for people and for bug reports. */
static void job_facts(const struct debian_job *job, struct buf *ret)
{
    buf_addf(ret, "origin %s %s\n", job->apt.origin, job->apt.suite);
    for (size_t i = 0; i < job->parts.n; i++) {
        const struct debian_part *part = &job->parts.part[i];
        buf_addf(ret, "part %s %s %s\n", part->name, part->version, part->sha256);
    }
}

static int job_build(const struct debian_job *job, const char *digest, struct store_stage *stage,
                     struct gfxb_error *err)
{
    struct package package = {0};
    struct buf CLEAN_BUF facts = BUF_INIT(DEBIAN_OUTPUT_MAX);
    int r = job_unpack(job, stage->dir, err);
    if (r == 0)
        r = job_describe(job, digest, &package, err);
    if (r == 0)
        r = debian_recipe_apply(stage->dir, &package, err);
    if (r == 0)
        r = measure_package(job->env, stage->dir, job->row->id, &package, err);
    job_facts(job, &facts);
    if (r == 0)
        r = store_publish(job->env, stage, &package, buf_view(&facts), err);
    manifest_package_done(&package);
    return r;
}

static int job_fetch_and_build(const struct debian_job *job, struct gfxb_error *err)
{
    char digest[DIGEST_HEX];
    struct store_stage stage = STORE_STAGE_NONE;
    struct buf CLEAN_BUF identity = BUF_INIT(DEBIAN_OUTPUT_MAX);
    debian_parts_identity(&job->parts, DEBIAN_RECIPE, &identity);
    if (digest_bytes(identity.p, identity.n, digest) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int r = store_stage_new(job->env, job->parts.download_bytes + job->parts.installed_bytes,
                            &stage, err);
    if (r < 0)
        return r;
    log_at(job->env->log, LOG_INFO, "fetching %zu parts, %.1f MB, from %s %s", job->parts.n,
           (double)job->parts.download_bytes / 1e6, job->apt.origin, job->apt.suite);
    r = debian_apt_download(&job->apt, job->row->locate, job->parts.download_bytes, err);
    if (r == 0)
        r = job_build(job, digest, &stage, err);
    if (r == 0)
        job_drop_large_parts(job);
    store_stage_done(&stage);
    return r;
}

static int job_run(struct debian_job *job, struct gfxb_error *err)
{
    int r = job_choose(job, false, err);
    if (r < 0)
        return r;
    r = job_fetch_and_build(job, err);
    if (r != -GFXB_E_PACKAGE_UNAVAILABLE && r != -GFXB_E_DIGEST_MISMATCH)
        return r;
    /* Testing moves: what the index named an hour ago may be gone. Once more with a new one. */
    log_at(job->env->log, LOG_DEBUG, "%s; reading the index again", err ? err->text : "failed");
    debian_apt_forget(&job->apt);
    job_forget_choice(job);
    r = job_choose(job, false, err);
    return r < 0 ? r : job_fetch_and_build(job, err);
}

static int debian_install(const struct package_env *env, const struct gfx_package *row,
                          struct gfxb_error *err)
{
    struct debian_job job = {.env = env, .row = row, .cache_lock = -1};
    int r = debian_host_new(env->root, &job.host, err);
    if (r == 0)
        r = store_cache_open(env, provider_debian.name, &job.cache, &job.cache_lock, err);
    /* Another process may have brought it while we waited for the cache. */
    if (r == 0 && !store_has_id(env, row->id))
        r = job_run(&job, err);
    if (r == -GFXB_E_DISK_FULL) /* a full disk must not stay full of our cache */
        fs_remove_tree(job.cache);
    job_done(&job);
    return r;
}

const struct provider provider_debian = {
    .name = "debian",
    .needs_network = true,
    .install = debian_install,
};
