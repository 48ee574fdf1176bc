/* root.c - apt's private root: its directories, its apt.conf, the host's archive with another
 * suite.
 */
#include "package/apt/apt.h"

#include <errno.h>
#include <stdio.h>

#define ROOT_SOURCES  "sources/archive.sources"
#define ROOT_PKGCACHE "pkgcache.bin"
#define ROOT_TEXT_MAX (1u << 20)
#define ROOT_QUICK_MS 30000

/*
 * Read after the host's own configuration, so that what is not named here (proxies, credentials, CA
 * files, timeouts of transports) stays the host's. Its hooks would run as us: cleared. %1$s is our
 * root. The sandbox user _apt could not read a private data directory; as an ordinary user apt does
 * not change users anyway.
 */
static const char root_conf[] = "#clear APT::Update::Pre-Invoke;\n"
                                "#clear APT::Update::Post-Invoke;\n"
                                "#clear APT::Update::Post-Invoke-Success;\n"
                                "#clear DPkg::Pre-Invoke;\n"
                                "#clear DPkg::Post-Invoke;\n"
                                "#clear DPkg::Pre-Install-Pkgs;\n"
                                "#clear APT::Default-Release;\n"
                                "#clear APT::Architectures;\n"
                                "#clear Acquire::IndexTargets::deb-src;\n"
                                "#clear Acquire::Languages;\n"
                                "APT::Architectures { \"%2$s\"; };\n"
                                "APT::Sandbox::User \"root\";\n"
                                "APT::Install-Recommends \"false\";\n"
                                "APT::Install-Suggests \"false\";\n"
                                "APT::Get::AllowUnauthenticated \"false\";\n"
                                "APT::Keep-Downloaded-Packages \"true\";\n"
                                "APT::Update::Error-Mode \"any\";\n"
                                "Dir::State \"%1$s\";\n"
                                "Dir::State::lists \"%1$s/lists/\";\n"
                                "Dir::State::status \"%1$s/status\";\n"
                                "Dir::State::extended_states \"%1$s/extended_states\";\n"
                                "Dir::Cache \"%1$s\";\n"
                                "Dir::Cache::archives \"%1$s/archives/\";\n"
                                "Dir::Cache::pkgcache \"%1$s/" ROOT_PKGCACHE "\";\n"
                                "Dir::Cache::srcpkgcache \"\";\n"
                                "Dir::Log \"%1$s\";\n"
                                "Dir::Etc::sourcelist \"/dev/null\";\n"
                                "Dir::Etc::sourceparts \"%1$s/sources/\";\n"
                                "Dir::Etc::preferences \"/dev/null\";\n"
                                "Dir::Etc::preferencesparts \"/dev/null\";\n"
                                "Acquire::Languages { \"none\"; };\n"
                                "Acquire::PDiffs \"false\";\n"
                                "Acquire::ForceHash \"SHA256\";\n"
                                "Acquire::Retries \"2\";\n"
                                "Acquire::http::Timeout \"20\";\n"
                                "Acquire::https::Timeout \"20\";\n"
                                "Acquire::AllowInsecureRepositories \"false\";\n"
                                "Acquire::AllowWeakRepositories \"false\";\n"
                                "Acquire::AllowDowngradeToInsecureRepositories \"false\";\n"
                                "quiet \"2\";\n";

/* dpkg's name of this computer's architecture: "amd64". */
static int root_read_arch(char *ret_arch, size_t size, struct gfxb_error *err)
{
    static const char *const argv[] = {"/usr/bin/dpkg", "--print-architecture", NULL};
    struct buf CLEAN_BUF out = BUF_INIT(256);
    int r = debian_run(argv, ROOT_QUICK_MS, NULL, &out, NULL, err);
    if (r < 0)
        return r;
    struct str arch = str_trim(buf_view(&out));
    if (!arch.n || arch.n >= size)
        return error_set(err, GFXB_E_NO_PACKAGE, "dpkg does not say its architecture");
    snprintf(ret_arch, size, "%.*s", STR_ARG(arch));
    return 0;
}

/* Values in apt.conf stand between quotes and know no escapes. */
static bool root_path_is_plain(const char *path)
{
    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\')
            return false;
    }
    return path[0] == '/';
}

int debian_apt_write(const struct debian_apt *apt, const char *name, const struct buf *text,
                     struct gfxb_error *err)
{
    char *CLEAN_FREE path = xfs_join(apt->dir, name);
    if (!buf_ok(text))
        return error_set(err, EFBIG, "%s would be too large", path);
    return fs_write(path, buf_text(text), text->n, 0600, err);
}

/* Another mirror, or another key: what was read from the old one is not fresh any more. */
static int root_write_sources(const struct debian_apt *apt, const struct buf *text,
                              struct gfxb_error *err)
{
    struct buf CLEAN_BUF old = BUF_INIT(ROOT_TEXT_MAX);
    char *CLEAN_FREE path = xfs_join(apt->dir, ROOT_SOURCES);
    if (fs_read(path, ROOT_TEXT_MAX, &old) == 0 && str_eq(buf_view(&old), buf_view(text)))
        return 0;
    debian_apt_forget(apt);
    return debian_apt_write(apt, ROOT_SOURCES, text, err);
}

/* https://HOST/PATH -> MIRROR/HOST/PATH, as fetch/ does it for every other source. */
static void root_add_uris(struct buf *text, const char *uris, const char *mirror)
{
    struct str rest = str_from(uris), uri;
    buf_add_text(text, "URIs:");
    while (str_word(&rest, &uri)) {
        const char *host = memmem(uri.p, uri.n, "://", 3);
        if (mirror && host)
            buf_addf(text, " %s/%.*s", mirror, (int)(uri.n - (size_t)(host + 3 - uri.p)), host + 3);
        else
            buf_addf(text, " %.*s", STR_ARG(uri));
    }
    buf_add_char(text, '\n');
}

static void root_add_sources(struct buf *text, const struct debian_apt *apt,
                             const struct debian_host *host, const struct debian_archive *archive,
                             const char *arch)
{
    buf_add_text(text, "Types: deb\n");
    root_add_uris(text, archive->uris, apt->env->net ? apt->env->net->fetch.mirror : NULL);
    buf_addf(text, "Suites: %s\nComponents: %s\nArchitectures: %s\n", apt->suite,
             host->distribution->components, arch);
    if (archive->signed_by[0])
        buf_addf(text, "Signed-By: %s\n", archive->signed_by);
}

static void root_add_conf(struct buf *text, const struct debian_apt *apt, const char *arch)
{
    const char *ca_file = apt->env->net ? apt->env->net->fetch.ca_file : NULL;
    buf_addf(text, root_conf, apt->dir, arch);
    if (ca_file)
        buf_addf(text, "Acquire::https::CaInfo \"%s\";\n", ca_file);
}

static int root_write(const struct debian_apt *apt, const struct debian_host *host,
                      const struct debian_archive *archive, const char *arch,
                      struct gfxb_error *err)
{
    static const char *const dirs[] = {"lists/partial", "archives/partial", "nothing/partial",
                                       "sources"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char *CLEAN_FREE path = xfs_join(apt->dir, dirs[i]);
        int r = fs_make_dirs(path, 0700, err);
        if (r < 0)
            return r;
    }
    struct buf CLEAN_BUF none = BUF_INIT(1);
    struct buf CLEAN_BUF conf = BUF_INIT(ROOT_TEXT_MAX);
    struct buf CLEAN_BUF sources = BUF_INIT(ROOT_TEXT_MAX);
    root_add_conf(&conf, apt, arch);
    root_add_sources(&sources, apt, host, archive, arch);
    int r = debian_apt_write(apt, "status", &none, err);
    if (r == 0)
        r = root_write_sources(apt, &sources, err);
    if (r == 0)
        r = debian_apt_write(apt, "apt.conf", &conf, err);
    return r;
}

int debian_apt_open(const struct package_env *env, const char *cache_dir,
                    const struct debian_host *host, const struct debian_archive *archive,
                    const char *suite, struct debian_apt *ret_apt, struct gfxb_error *err)
{
    char arch[32];
    int r = root_read_arch(arch, sizeof(arch), err);
    if (r < 0)
        return r;
    char *CLEAN_FREE cache = realpath(cache_dir, NULL);
    if (!cache)
        return fs_error(err, errno, "read", cache_dir);
    struct debian_apt apt = {.env = env,
                             .dir = xfs_join(cache, suite),
                             .conf = xasprintf("%s/%s/apt.conf", cache, suite),
                             .suite = suite,
                             .origin = host->distribution->origin};
    if (!root_path_is_plain(apt.dir))
        r = error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                      "apt cannot work below %s, a name with quotes: choose another place with "
                      "--data-dir",
                      cache_dir);
    else if (env->net && env->net->fetch.ca_file && !root_path_is_plain(env->net->fetch.ca_file))
        r = error_set(err, EINVAL, "the CA file must be an absolute path without quotes, not %s",
                      env->net->fetch.ca_file);
    else
        r = root_write(&apt, host, archive, arch, err);
    if (r < 0) {
        debian_apt_close(&apt);
        return r;
    }
    *ret_apt = apt;
    return 0;
}

/* apt's own cache of the index is large and rebuilt in a second: it is for one opening only. */
void debian_apt_close(struct debian_apt *apt)
{
    char *CLEAN_FREE pkgcache = apt->dir ? xfs_join(apt->dir, ROOT_PKGCACHE) : NULL;
    if (pkgcache)
        unlink(pkgcache);
    free(apt->dir);
    free(apt->conf);
    *apt = (struct debian_apt){0};
}
