/*
 * source_debian.c - the source "debian": the engine packages of the distribution's own archive,
 * from a newer suite than the installed one, unpacked into a directory and run with their own
 * loader and libc. The row's `locate` names the packages at the root of what is needed; apt finds
 * the rest.
 */
#include "package/apt/apt.h"
#include "package/package_private.h"

#include <errno.h>

#define DEBIAN_OUTPUT_MAX (16u << 20)
#define DEBIAN_KEEP_BYTES (8u << 20) /* larger parts are of no use for another package */

struct debian_job {
    struct debian_host host;
    struct debian_apt apt;     /* of the chosen suite */
    struct debian_parts parts; /* what to fetch from it */
    bool is_again;
};

static void debian_forget_choice(struct debian_job *job)
{
    debian_parts_done(&job->parts);
    debian_apt_close(&job->apt);
}

/* ---- can it work here? ---- */

/* Are apt and dpkg there? */
static int debian_check_programs(struct gfxb_error *err)
{
    static const char *const programs[] = {"/usr/bin/apt-get", "/usr/bin/apt-cache",
                                           "/usr/bin/dpkg-deb", "/usr/bin/dpkg"};
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (access(programs[i], X_OK) < 0)
            return error_set(err, GFXB_E_NO_PACKAGE,
                             "%s is not on this computer, so engine packages of the distribution "
                             "cannot be fetched: use another package source (github, file, "
                             "system)",
                             programs[i]);
    }
    return 0;
}

static int debian_usable(const struct package_env *env, struct gfxb_error *err)
{
    struct debian_host host = {0};
    int r = debian_host_new(env->root, &host, err);
    debian_host_done(&host);
    if (!root_is_live(env->root)) /* what a capture does not hold is no reason against it */
        return r == -ENODATA ? 0 : r;
    return r < 0 ? r : debian_check_programs(err);
}

/* ---- choosing a suite ---- */

static int debian_read_parts(struct install *in, struct gfxb_error *err)
{
    struct debian_job *job = in->job;
    struct buf CLEAN_BUF uris = BUF_INIT(DEBIAN_OUTPUT_MAX);
    struct buf CLEAN_BUF names = BUF_INIT(DEBIAN_OUTPUT_MAX);
    struct buf CLEAN_BUF stanzas = BUF_INIT(DEBIAN_OUTPUT_MAX);
    int r = debian_apt_closure(&job->apt, in->row->locate, &uris, err);
    r = r ?: debian_parts_parse(buf_view(&uris), &job->parts, err);
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
static bool debian_libc_is_too_old(const struct install *in)
{
    const struct debian_job *job = in->job;
    const struct debian_part *libc = debian_parts_find(&job->parts, STR("libc6"));
    const char *have = package_glibc(in->env);
    return libc && have && !str_is(in->backend, "cpu") &&
           package_version_below(libc->version, have);
}

/* Does this suite of this archive have the package, and does it suit this host? */
static int debian_try_suite(struct install *in, const struct debian_archive *archive,
                            const char *suite, bool any_libc, struct gfxb_error *err)
{
    struct debian_job *job = in->job;
    int r = debian_apt_open(in->env, in->cache, &job->host, archive, suite, &job->apt, err);
    r = r ?: debian_apt_update(&job->apt, err) ?: debian_read_parts(in, err);
    if (r == 0 && job->parts.gfx) /* said before half a gigabyte is fetched; measured afterwards */
        r = contents_check_gfx(in->env, STR("the distribution's package"), str_from(job->parts.gfx),
                               err);
    if (r == 0 && !any_libc && debian_libc_is_too_old(in))
        r = error_set(err, GFXB_E_GLIBC_TOO_OLD,
                      "the packages of %s %s have an older glibc than %s computer, so that its "
                      "GPU driver would not load",
                      job->host.distribution->origin, suite, in->env->other ? "the other" : "this");
    if (r < 0)
        debian_forget_choice(job);
    return r;
}

/* Is this a reason to look at the next suite? */
static bool debian_is_elsewhere(int code)
{
    return code == GFXB_E_PACKAGE_UNAVAILABLE || code == GFXB_E_GLIBC_TOO_OLD ||
           code == GFXB_E_GFX_NOT_IN_PACKAGE;
}

/* Which of two failures tells the user more: the first is about the likeliest archive, unless a
 * later one has the package, or is about this computer and not about an archive. */
static bool debian_tells_more(int now, int before)
{
    return !before ||
           (before == GFXB_E_PACKAGE_UNAVAILABLE && now != before && now != GFXB_E_OFFLINE) ||
           (!debian_is_elsewhere(now) && now != GFXB_E_OFFLINE);
}

/* The first suite of the first archive that will do. */
static int debian_choose(struct install *in, bool any_libc, struct gfxb_error *err)
{
    const struct debian_host *host = &((struct debian_job *)in->job)->host;
    struct gfxb_error kept = {0};
    int r = -GFXB_E_PACKAGE_UNAVAILABLE;
    for (size_t i = 0; i < host->n_archives && debian_is_elsewhere(-r); i++) {
        const char *const *suite = host->distribution->suite;
        for (; *suite && debian_is_elsewhere(-r); suite++) {
            struct gfxb_error now = {0};
            r = debian_try_suite(in, &host->archive[i], *suite, any_libc, &now);
            if (r == 0)
                return 0;
            log_at(in->env->log, LOG_DEBUG, "%s", now.text);
            if (debian_tells_more(now.code, kept.code))
                kept = now;
        }
    }
    if (kept.code == GFXB_E_GLIBC_TOO_OLD && !any_libc) {
        log_at(in->env->log, LOG_WARNING, "%s; trying it anyway", kept.text);
        return debian_choose(in, true, err);
    }
    return error_set(err, kept.code, "%s", kept.text);
}

static int debian_decide(struct install *in, struct gfxb_error *err)
{
    struct debian_job *job = in->job;
    int r = job->host.distribution ? 0 : debian_host_new(in->env->root, &job->host, err);
    r = r ?: debian_choose(in, false, err);
    in->need = job->parts.download_bytes + job->parts.installed_bytes;
    return r;
}

/* ---- from parts to a package ---- */

static int debian_unpack(const struct install *in, struct gfxb_error *err)
{
    const struct debian_job *job = in->job;
    const struct debian_parts *parts = &job->parts;
    log_at(in->env->log, LOG_INFO, "unpacking %zu parts, %.0f MB", parts->n,
           (double)parts->installed_bytes / 1e6);
    const int64_t began = clock_now_ms();
    uint64_t bytes = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < parts->n; i++) {
        r = package_check_cancel(in->env, err);
        r = r ?: debian_apt_unpack(&job->apt, &parts->part[i], in->stage.dir, err);
        bytes += parts->part[i].size;
        if (r == 0)
            package_tell(in->env, "unpacking", bytes, parts->download_bytes, began);
    }
    return r;
}

/* The version is the first root's, which is the engine. Where every part came from is for people
 * and for bug reports. */
static void debian_describe(struct install *in)
{
    const struct debian_job *job = in->job;
    struct str roots = in->row->locate, engine = STR_NONE;
    str_word(&roots, &engine);
    const struct debian_part *part = debian_parts_find(&job->parts, engine);
    in->package.engine = xstr_dup(in->engine);
    in->package.backend = xstr_dup(in->backend);
    in->package.version = xstrdup(part ? part->version : "unknown");
    debian_parts_identity(&job->parts, DEBIAN_RECIPE, &in->identity);
    buf_addf(&in->facts, "origin %s %s\n", job->apt.origin, job->apt.suite);
    for (size_t i = 0; i < job->parts.n; i++) {
        part = &job->parts.part[i];
        buf_addf(&in->facts, "part %s %s %s\n", part->name, part->version, part->sha256);
    }
}

static int debian_bring(struct install *in, struct gfxb_error *err)
{
    const struct debian_job *job = in->job;
    uint64_t bytes = job->parts.download_bytes;
    log_at(in->env->log, LOG_INFO, "fetching %zu parts, %.1f MB, from %s %s", job->parts.n,
           (double)bytes / 1e6, job->apt.origin, job->apt.suite);
    int r = debian_apt_download(&job->apt, in->row->locate, bytes, err) ?: debian_unpack(in, err);
    if (r < 0)
        return r;
    debian_describe(in);
    return debian_recipe_apply(in->stage.dir, &in->package, err);
}

/* Testing moves: what the index named an hour ago may be gone. Once more with a new one. */
static bool debian_again(struct install *in, int r)
{
    struct debian_job *job = in->job;
    if (job->is_again || !job->parts.n ||
        (r != -GFXB_E_PACKAGE_UNAVAILABLE && r != -GFXB_E_DIGEST_MISMATCH))
        return false;
    job->is_again = true;
    debian_apt_forget(&job->apt);
    debian_forget_choice(job);
    return true;
}

static void debian_finish(struct install *in, int r)
{
    struct debian_job *job = in->job;
    /* The small parts stay a day: vulkan needs nearly the same as cpu. */
    for (size_t i = 0; r == 0 && i < job->parts.n; i++) {
        const struct debian_part *part = &job->parts.part[i];
        if (part->size > DEBIAN_KEEP_BYTES)
            debian_apt_drop(&job->apt, part);
    }
    if (r == -GFXB_E_DISK_FULL && in->cache) /* a full disk must not stay full of our cache */
        fs_remove_tree(in->cache);
    debian_forget_choice(job);
    debian_host_done(&job->host);
}

const struct package_source source_debian = {
    .name = "debian",
    .needs_network = true,
    .has_cache = true,
    .job_size = sizeof(struct debian_job),
    .usable = debian_usable,
    .decide = debian_decide,
    .bring = debian_bring,
    .again = debian_again,
    .finish = debian_finish,
};
