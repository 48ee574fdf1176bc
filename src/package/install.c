/* install.c - the one transaction by which a package comes into the store, whatever its source. */
#include "package/package_private.h"
#include "package/unpack/unpack.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define INSTALL_TEXT_MAX (1u << 20)

const struct package_source *const package_sources[] = {
    &source_debian, &source_github, &source_system, &source_file, NULL,
};

/* ---- what of env everybody needs ---- */

const atomic_int *package_cancel(const struct package_env *env)
{
    return env->net ? env->net->fetch.cancel : NULL;
}

int package_check_cancel(const struct package_env *env, struct gfxb_error *err)
{
    const atomic_int *cancel = package_cancel(env);
    return cancel && *cancel ? error_set(err, GFXB_E_INTERRUPTED, "interrupted") : 0;
}

struct fetch_progress package_progress(uint64_t bytes, uint64_t total, int64_t began)
{
    uint64_t per_second = bytes * 1000 / (uint64_t)(clock_now_ms() - began + 1);
    return (struct fetch_progress){
        bytes, total, per_second,
        per_second && bytes <= total ? (int64_t)((total - bytes) / per_second) : -1};
}

void package_tell(const struct package_env *env, const char *what, uint64_t bytes, uint64_t total,
                  int64_t began)
{
    const struct fetch_progress progress = package_progress(bytes, total, began);
    if (env->net && env->net->working)
        env->net->working(env->net->context, what, &progress);
}

const char *package_setting(const struct package_env *env, const char *name)
{
    const struct package_net *net = env->net;
    const char *value = net && net->setting ? net->setting(net->context, name) : NULL;
    return value && *value ? value : NULL;
}

struct fetch_config package_fetch_config(const struct package_env *env)
{
    struct fetch_config config = {0};
    if (env->net)
        config = env->net->fetch;
    if (!config.log)
        config.log = env->log;
    return config;
}

int package_check_data_dir(const struct package_env *env, struct gfxb_error *err)
{
    return env->data_dir[0] == '/'
               ? 0
               : error_set(err, EINVAL, "\"%s\" is not an absolute path", env->data_dir);
}

const char *package_glibc(const struct package_env *env)
{
    if (env->other)
        return env->other_glibc[0] ? env->other_glibc : NULL;
    return root_is_live(env->root) ? gnu_get_libc_version() : NULL;
}

/* NULL: there is no such source. */
static const struct package_source *install_source(struct str name)
{
    for (size_t i = 0; package_sources[i]; i++) {
        if (str_is(name, package_sources[i]->name))
            return package_sources[i];
    }
    return NULL;
}

bool package_find(const struct package_env *env, const struct gfx_package *row,
                  char ret_digest[static DIGEST_HEX])
{
    const struct package_source *source = install_source(row->provider);
    struct package_list CLEAN_PACKAGES list = {NULL, 0};
    if (package_list_new(env, &list, NULL) < 0)
        return false;
    for (size_t i = 0; i < list.n; i++) {
        const struct package *package = &list.item[i];
        if (!str_is(row->id, package->id) || (env->other && package_outside(package).n) ||
            (source && source->serves && !source->serves(env, row, package)))
            continue;
        memcpy(ret_digest, package->digest, DIGEST_HEX);
        return true;
    }
    return false;
}

/* ---- the transaction ---- */

/* An id of its own making where no row has one: "file-NAME", without what a manifest or a list
 * cannot hold. */
static void install_name(struct install *in, const char *digest)
{
    struct package *package = &in->package;
    const struct gfx_package *row = in->row;
    package->id =
        row ? xstr_dup(row->id) : xasprintf("%s-%.*s", in->source->name, STR_ARG(in->what));
    for (char *c = package->id; !row && *c; c++)
        *c = (unsigned char)*c <= ' ' || *c == 0x7f ? '_' : *c;
    package->provider = row ? xstr_dup(row->provider) : xstrdup(in->source->name);
    package->digest = xstrdup(digest);
    if (!package->version)
        package->version = row && row->tag.n ? xstr_dup(row->tag) : xstrdup("unknown");
}

static int install_once(struct install *in, char ret_digest[static DIGEST_HEX],
                        struct gfxb_error *err)
{
    int r = in->source->decide(in, err) ?: store_stage_new(in->env, in->need, &in->stage, err);
    r = r ?: in->source->bring(in, err);
    if (r < 0)
        return r;
    in->was_brought = true;
    if (!in->package.executable)
        r = contents_find(in, err);
    r = r ?: contents_check(in, err);
    if (r < 0)
        return r;
    if (!buf_ok(&in->identity) || !buf_ok(&in->facts))
        return error_set(err, E2BIG, "%.*s has too many parts", STR_ARG(in->what));
    r = digest_bytes(in->identity.p, in->identity.n, ret_digest);
    if (r < 0)
        return error_set(err, -r, "libcrypto offers no SHA-256 here");
    install_name(in, ret_digest);
    in->package.facts = xbuf_take(&in->facts);
    return store_publish(in->env, &in->stage, &in->package, err);
}

/* What was decided and brought goes; what was asked for stays. */
static void install_reset(struct install *in)
{
    store_stage_done(&in->stage);
    manifest_package_done(&in->package);
    buf_done(&in->identity);
    buf_done(&in->facts);
    free(in->library_path);
    in->library_path = NULL;
    in->was_brought = false;
    in->need = 0;
}

int install_run(struct install *in, char ret_digest[static DIGEST_HEX], struct gfxb_error *err)
{
    const struct package_source *source = in->source;
    struct gfxb_error why = {0};
    int r = 0;
    in->job = xcalloc(1, source->job_size);
    in->cache_lock = -1;
    in->stage = STORE_STAGE_NONE;
    in->identity = in->facts = BUF_INIT(INSTALL_TEXT_MAX);
    in->engine = in->row ? in->row->engine : STR_NONE;
    if (in->local) {
        in->what = str_from(fs_name(in->local->path));
        in->backend = str_from(in->local->backend);
    } else {
        in->what = in->row->id;
        in->backend = in->row->backend;
    }
    if (source->has_cache)
        r = store_cache_open(in->env, source->name, &in->cache, &in->cache_lock, &why);
    /* Another process may have brought it while we waited for the cache. */
    if (r == 0 && !(source->has_cache && package_find(in->env, in->row, ret_digest))) {
        r = install_once(in, ret_digest, &why);
        if (r < 0 && source->again && source->again(in, r)) {
            log_at(in->env->log, LOG_DEBUG, "%s; once more", why.text);
            install_reset(in);
            r = install_once(in, ret_digest, &why);
        }
    }
    source->finish(in, r);
    install_reset(in);
    free(in->job);
    free(in->cache);
    if (in->cache_lock >= 0)
        close(in->cache_lock);
    if (r < 0 && err)
        *err = why;
    return r;
}

/* Of an archive that is being unpacked. */
struct install_archive {
    const struct package_env *env;
    char *what; /* owned: "unpacking NAME" */
    int64_t began, told;
};

static void install_show(void *context, uint64_t bytes, uint64_t total)
{
    enum { GAP_MS = 200 };
    struct install_archive *archive = context;
    if (bytes < total && clock_now_ms() - archive->told < GAP_MS)
        return;
    archive->told = clock_now_ms();
    package_tell(archive->env, archive->what, bytes, total, archive->began);
}

int install_unpack(struct install *in, int fd, const char *name, const char *below,
                   struct gfxb_error *err)
{
    struct install_archive archive = {in->env, NULL, clock_now_ms(), clock_now_ms()};
    const struct unpack_options options = {.link_copies = true,
                                           .cancel = package_cancel(in->env),
                                           .progress = install_show,
                                           .context = &archive};
    char *CLEAN_FREE dir = xfs_join(in->stage.dir, below);
    if (mkdir(dir, 0755) < 0)
        return fs_error(err, errno, "make the directory", dir);
    archive.what = xasprintf("unpacking %s", name);
    int r = unpack_run(fd, dir, &options, err);
    free(archive.what);
    if (r < 0)
        error_prefix(err, "%s: ", name);
    if (r != -EBADMSG)
        return r;
    if (err)
        err->code = GFXB_E_PACKAGE_UNAVAILABLE;
    return -GFXB_E_PACKAGE_UNAVAILABLE;
}

/* ---- from a row to its source ---- */

static int install_check_row(const struct gfx_package *row, struct gfxb_error *err)
{
    struct utsname system;
    if (row->os != GFX_LINUX)
        return error_set(err, GFXB_E_NO_PACKAGE, "%.*s is not for Linux", STR_ARG(row->id));
    if (uname(&system) == 0 && row->arch.n && !str_is(row->arch, system.machine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%.*s is for %.*s and this computer is %s",
                         STR_ARG(row->id), STR_ARG(row->arch), system.machine);
    return 0;
}

int package_provider_usable(const struct package_env *env, struct str provider,
                            struct gfxb_error *err)
{
    const struct package_source *source = install_source(provider);
    if (!source)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "this gfxbridge cannot install packages from \"%.*s\"", STR_ARG(provider));
    return source->usable ? source->usable(env, err) : 0;
}

int package_install(const struct package_env *env, const struct gfx_package *row,
                    struct gfxb_error *err)
{
    struct install in = {.env = env, .row = row, .source = install_source(row->provider)};
    char digest[DIGEST_HEX];
    int r = package_check_data_dir(env, err);
    if (r < 0 || package_find(env, row, digest))
        return r;
    r = install_check_row(row, err);
    if (r == 0 && env->no_network && in.source && in.source->needs_network)
        r = error_set(err, GFXB_E_OFFLINE,
                      "%.*s is not installed and the network may not be used: install it once "
                      "without --no-network",
                      STR_ARG(row->id));
    r = r ?: package_provider_usable(env, row->provider, err) ?: store_check_place(env, 0, err);
    if (r < 0)
        return r;
    if (in.source == &source_file || in.source == &source_system)
        return local_install_row(env, row, err);
    return install_run(&in, digest, err);
}
