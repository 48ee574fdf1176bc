/*
 * apt.c - apt with a root of our own: how it is written, how apt and dpkg are run, and what their
 * complaints mean.
 */
#include "package/apt/apt.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define APT_GET           "/usr/bin/apt-get"
#define APT_CACHE         "/usr/bin/apt-cache"
#define APT_STAMP         "updated"
#define APT_SOURCES       "sources/archive.sources"
#define APT_PKGCACHE      "pkgcache.bin"
#define APT_INDEX_SECONDS 3600   /* an index younger than this is not fetched again */
#define APT_QUICK_MS      60000  /* for a command that fetches nothing */
#define APT_STALL_MS      120000 /* a download that brings nothing for so long is ended */
#define APT_UNPACK_MS     900000 /* one .deb; the largest takes some 20 s on a slow disk */
#define APT_WORDS_MAX     256
#define APT_ENV_MAX       12
#define APT_WATCH_MS      1000
#define APT_REPORT_MS     5000
#define APT_TEXT_MAX      (1u << 20)
#define APT_RELEASE_MAX   (8u << 20)

/* ---- apt's and dpkg's programs: absolute paths, a clean environment with the caller's proxies,
 * messages in English, a deadline ---- */

/* What a person set to reach the outside; apt and its transports read the same names. */
static const char *const run_inherited[] = {
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
};

/* A program that brings something from the network into a directory. */
struct run_watch {
    const struct package_env *env; /* its progress, cancel and log */
    const char *dir;               /* where it collects */
    uint64_t total;                /* bytes that dir will hold; 0 not known: no progress is told */
    uint64_t seen;
    int64_t began, grown_at, told_at;
};

/* To the caller's progress function every time, else to the log now and then. */
static void run_tell(struct run_watch *watch, int64_t now)
{
    static const char what[] = "engine packages";
    const struct package_net *net = watch->env->net;
    uint64_t total = watch->total, bytes = watch->seen < total ? watch->seen : total;
    if (net && net->progress) {
        struct fetch_progress progress = package_progress(bytes, total, watch->began);
        net->progress(net->context, what, &progress);
    } else if (now - watch->told_at >= APT_REPORT_MS) {
        watch->told_at = now;
        log_at(watch->env->log, LOG_INFO, "%s: %.0f of %.0f MB", what, (double)bytes / 1e6,
               (double)total / 1e6);
    }
}

/* How much there is of what it fetches. -GFXB_E_INTERRUPTED: the user gives up. */
static int run_look(struct run_watch *watch, int64_t now)
{
    uint64_t bytes = 0;
    if (fs_tree_bytes(watch->dir, &bytes) == 0 && bytes != watch->seen) {
        watch->seen = bytes;
        watch->grown_at = now;
    }
    if (watch->total)
        run_tell(watch, now);
    return package_check_cancel(watch->env, NULL);
}

/* 0 it has ended, -ETIMEDOUT, -GFXB_E_INTERRUPTED, or what waiting says. */
static int run_attend(struct child *child, int deadline_ms, struct run_watch *watch,
                      int *ret_status)
{
    int64_t now = clock_now_ms(), began = now;
    int r = 0;
    if (watch)
        watch->began = watch->grown_at = watch->told_at = now;
    while (r == 0) {
        r = child_wait(child, APT_WATCH_MS, ret_status);
        now = clock_now_ms();
        int looked = r >= 0 && watch ? run_look(watch, now) : 0;
        r = r ?: looked;
        if (r == 0 && now - (watch ? watch->grown_at : began) >= deadline_ms)
            r = -ETIMEDOUT;
    }
    if (r < 0)
        child_end(child, 1000, ret_status);
    return r < 0 ? r : 0;
}

static int run_start(const char *const *argv, int out, int complaints, struct child *ret_child,
                     struct gfxb_error *err)
{
    char *env[APT_ENV_MAX + 1] = {xstrdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
                                  xstrdup("LC_ALL=C.UTF-8"),
                                  xstrdup("DEBIAN_FRONTEND=noninteractive")};
    struct child_spec spec = {.argv = argv,
                              .env = (const char *const *)env,
                              .cwd = "/",
                              .out_fd = out,
                              .err_fd = complaints};
    size_t n = 3;
    for (size_t i = 0; i < sizeof(run_inherited) / sizeof(run_inherited[0]); i++) {
        const char *value = getenv(run_inherited[i]);
        if (value)
            env[n++] = xasprintf("%s=%s", run_inherited[i], value);
    }
    int r = child_start(&spec, ret_child, err);
    while (n)
        free(env[--n]);
    return r;
}

static void run_read(int fd, struct buf *ret)
{
    char piece[16384];
    ssize_t n;
    for (off_t at = 0; ret && (n = pread(fd, piece, sizeof(piece), at)) > 0; at += n)
        buf_add(ret, piece, (size_t)n);
}

/*
 * Run to the end. ret_out and ret_complaints (each may be NULL) get stdout and stderr. -EIO when
 * the program says no; -ETIMEDOUT at the deadline, which with a watch begins again whenever
 * something has come; with a watch also -GFXB_E_INTERRUPTED, within a second of *cancel.
 */
static int run_program(const char *const *argv, int deadline_ms, struct run_watch *watch,
                       struct buf *ret_out, struct buf *ret_complaints, struct gfxb_error *err)
{
    /* Not files on the disk: that may be full, which is what will be complained of. */
    int CLEAN_CLOSE out = memfd_create("output", MFD_CLOEXEC);
    int CLEAN_CLOSE complaints = memfd_create("complaints", MFD_CLOEXEC);
    struct child child = CHILD_NONE;
    char how[64];
    int status = 0;
    if (out < 0 || complaints < 0)
        return error_set(err, errno, "cannot make a memory file: %s", error_errno_text(errno));
    int r = run_start(argv, out, complaints, &child, err);
    if (r < 0)
        return r;
    r = run_attend(&child, deadline_ms, watch, &status);
    run_read(out, ret_out);
    run_read(complaints, ret_complaints);
    if (r == -GFXB_E_INTERRUPTED)
        return package_check_cancel(watch->env, err);
    if (r == -ETIMEDOUT)
        return error_set(err, ETIMEDOUT, "%s did not end in time", argv[0]);
    if (r < 0)
        return error_set(err, -r, "cannot wait for %s: %s", argv[0], error_errno_text(-r));
    if (status == 0)
        return 0;
    child_status_text(status, how, sizeof(how));
    return error_set(err, EIO, "%s failed (%s)", argv[0], how);
}

/* ---- the root ---- */

/* Made by the build from apt.conf (tools/embed.py). */
extern const char package_data_apt_conf[];

/* dpkg's name of this computer's architecture: "amd64". */
static int apt_read_arch(char *ret_arch, size_t size, struct gfxb_error *err)
{
    static const char *const argv[] = {"/usr/bin/dpkg", "--print-architecture", NULL};
    struct buf CLEAN_BUF out = BUF_INIT(256);
    int r = run_program(argv, APT_QUICK_MS, NULL, &out, NULL, err);
    if (r < 0)
        return r;
    struct str arch = str_trim(buf_view(&out));
    if (!arch.n || arch.n >= size)
        return error_set(err, GFXB_E_NO_PACKAGE, "dpkg does not say its architecture");
    snprintf(ret_arch, size, "%.*s", STR_ARG(arch));
    return 0;
}

/* Values in apt.conf stand between quotes and know no escapes. */
static bool apt_path_is_plain(const char *path)
{
    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\')
            return false;
    }
    return path[0] == '/';
}

static int apt_write(const struct debian_apt *apt, const char *name, const struct buf *text,
                     struct gfxb_error *err)
{
    char *CLEAN_FREE path = xfs_join(apt->dir, name);
    if (!buf_ok(text))
        return error_set(err, EFBIG, "%s would be too large", path);
    return fs_write(path, buf_text(text), text->n, 0600, err);
}

void debian_apt_forget(const struct debian_apt *apt)
{
    char *CLEAN_FREE stamp = xfs_join(apt->dir, APT_STAMP);
    unlink(stamp);
}

/* Another mirror, or another key: what was read from the old one is not fresh any more. */
static int apt_write_sources(const struct debian_apt *apt, const struct buf *text,
                             struct gfxb_error *err)
{
    struct buf CLEAN_BUF old = BUF_INIT(APT_TEXT_MAX);
    char *CLEAN_FREE path = xfs_join(apt->dir, APT_SOURCES);
    if (fs_read(path, APT_TEXT_MAX, &old) == 0 && str_eq(buf_view(&old), buf_view(text)))
        return 0;
    debian_apt_forget(apt);
    return apt_write(apt, APT_SOURCES, text, err);
}

/* https://HOST/PATH -> MIRROR/HOST/PATH, as fetch/ does it for every other source. */
static void apt_add_uris(struct buf *text, const char *uris, const char *mirror)
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

static void apt_add_sources(struct buf *text, const struct debian_apt *apt,
                            const struct debian_host *host, const struct debian_archive *archive,
                            const char *arch)
{
    buf_add_text(text, "Types: deb\n");
    apt_add_uris(text, archive->uris, apt->env->net ? apt->env->net->fetch.mirror : NULL);
    buf_addf(text, "Suites: %s\nComponents: %s\nArchitectures: %s\n", apt->suite,
             host->distribution->components, arch);
    if (archive->signed_by[0])
        buf_addf(text, "Signed-By: %s\n", archive->signed_by);
}

static void apt_add_conf(struct buf *text, const struct debian_apt *apt, const char *arch)
{
    const char *ca_file = apt->env->net ? apt->env->net->fetch.ca_file : NULL;
    struct str rest = str_from(package_data_apt_conf), piece;
    for (bool is_name = false; str_cut(&rest, '@', &piece); is_name = !is_name) {
        if (is_name)
            buf_add_text(text, str_is(piece, "ROOT") ? apt->dir : arch);
        else
            buf_add_str(text, piece);
    }
    if (ca_file)
        buf_addf(text, "Acquire::https::CaInfo \"%s\";\n", ca_file);
}

static int apt_write_all(const struct debian_apt *apt, const struct debian_host *host,
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
    struct buf CLEAN_BUF conf = BUF_INIT(APT_TEXT_MAX);
    struct buf CLEAN_BUF sources = BUF_INIT(APT_TEXT_MAX);
    apt_add_conf(&conf, apt, arch);
    apt_add_sources(&sources, apt, host, archive, arch);
    int r = apt_write(apt, "status", &none, err) ?: apt_write_sources(apt, &sources, err);
    r = r ?: apt_write(apt, "apt.conf", &conf, err);
    return r;
}

int debian_apt_open(const struct package_env *env, const char *cache_dir,
                    const struct debian_host *host, const struct debian_archive *archive,
                    const char *suite, struct debian_apt *ret_apt, struct gfxb_error *err)
{
    char arch[32];
    int r = apt_read_arch(arch, sizeof(arch), err);
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
    if (!apt_path_is_plain(apt.dir))
        r = error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                      "apt cannot work below %s, a name with quotes: choose another place with "
                      "--data-dir",
                      cache_dir);
    else if (env->net && env->net->fetch.ca_file && !apt_path_is_plain(env->net->fetch.ca_file))
        r = error_set(err, EINVAL, "the CA file must be an absolute path without quotes, not %s",
                      env->net->fetch.ca_file);
    else
        r = apt_write_all(&apt, host, archive, arch, err);
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
    char *CLEAN_FREE pkgcache = apt->dir ? xfs_join(apt->dir, APT_PKGCACHE) : NULL;
    if (pkgcache)
        unlink(pkgcache);
    free(apt->dir);
    free(apt->conf);
    *apt = (struct debian_apt){0};
}
/* ---- complaints ---- */

/* Made by the build from complaints.tsv (tools/embed.py). */
extern const char package_data_complaints[];

/* apt's first line that is an error, for people. */
static struct str apt_error_line(struct str text)
{
    struct str line = STR_NONE;
    while (str_cut(&text, '\n', &line)) {
        if (str_starts(line, STR("E: ")))
            return (struct str){line.p + 3, line.n - 3};
    }
    return str_trim(line);
}

static int apt_failure(const struct debian_apt *apt, struct str text, struct gfxb_error *err)
{
    static const char *const columns[] = {"phrase", "code", "sentence", NULL};
    struct str line = apt_error_line(text);
    struct table table;
    struct table_row row;
    table_init(&table, "complaints.tsv", str_from(package_data_complaints), columns);
    while (table_next(&table, &row, NULL) == 1) {
        if (str_has(text, row.field[0]))
            return error_set(err, error_code_number(row.field[1]), "%s %s: %.*s (apt: %.*s)",
                             apt->origin, apt->suite, STR_ARG(row.field[2]), STR_ARG(line));
    }
    return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "%s %s: apt failed: %.*s", apt->origin,
                     apt->suite, STR_ARG(line));
}

static int apt_verdict(const struct debian_apt *apt, int r, struct str complaints,
                       struct gfxb_error *err)
{
    if (r == -ETIMEDOUT)
        return error_set(err, GFXB_E_OFFLINE,
                         "%s %s: the archive does not answer: check the network, and the proxy in "
                         "apt's configuration",
                         apt->origin, apt->suite);
    return r == -EIO ? apt_failure(apt, complaints, err) : r;
}

/* ---- commands on packages ---- */

/* "name" or "name:arch": never an option, a path or a pattern. */
static bool apt_is_package_name(struct str word)
{
    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || !strchr("+-.:", c)))
            return false;
    }
    return word.n > 0;
}

/* Run a command on these packages. into: the directory of the root that it fetches into, with so
 * many bytes in the end (0 not known); NULL: it fetches nothing. */
static int apt_run(const struct debian_apt *apt, const char *const *fixed, struct str packages,
                   const char *into, uint64_t total, struct buf *ret_out, struct gfxb_error *err)
{
    const char *argv[APT_WORDS_MAX + 1] = {NULL};
    char *CLEAN_FREE words = xstr_dup(packages);
    char *CLEAN_FREE dir = xfs_join(apt->dir, into ? into : "");
    struct buf CLEAN_BUF complaints = BUF_INIT(APT_TEXT_MAX);
    struct run_watch watch = {.env = apt->env, .dir = dir, .total = total};
    struct str word, rest = str_from(words);
    size_t n = 0;
    for (; fixed[n]; n++)
        argv[n] = fixed[n];
    while (str_word(&rest, &word)) {
        if (!apt_is_package_name(word) || n == APT_WORDS_MAX)
            return error_set(err, GFXB_E_TABLE, "\"%.*s\" is not a package name, or one too many",
                             STR_ARG(word));
        argv[n++] = word.p;
    }
    for (char *c = words; *c; c++) /* each word is a text of its own from here on */
        *c = *c == ' ' ? '\0' : *c;
    int r = run_program(argv, into ? APT_STALL_MS : APT_QUICK_MS, into ? &watch : NULL, ret_out,
                        &complaints, err);
    if (r == 0 && ret_out && !buf_ok(ret_out))
        r = error_set(err, EFBIG, "apt's answer is too long");
    return apt_verdict(apt, r, buf_view(&complaints), err);
}

/* ---- the index ---- */

/* The signed Release file in lists/, as apt names it: <archive>_dists_<suite>_InRelease. */
static int apt_read_release(const struct debian_apt *apt, struct buf *ret)
{
    char *CLEAN_FREE lists = xfs_join(apt->dir, "lists");
    DIR *CLEAN_DIR dir = opendir(lists);
    const char *name;
    int r = dir ? -ENOENT : -errno;
    while (r == -ENOENT && (name = fs_next(dir))) {
        char *CLEAN_FREE path = xfs_join(lists, name);
        if (str_ends(str_from(path), STR("Release")))
            r = fs_read(path, APT_RELEASE_MAX, ret);
    }
    return r;
}

/* Keys are the host's, but a third party's key must not pass for the distribution's archive. */
static int apt_check_origin(const struct debian_apt *apt, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(APT_RELEASE_MAX);
    struct str origin = STR_NONE, stanza;
    int r = apt_read_release(apt, &text);
    struct str rest = buf_view(&text);
    while (r == 0 && !origin.n && deb822_stanza(&rest, &stanza))
        origin = deb822_field(stanza, "Origin");
    if (!origin.n)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the archive's suite %s does not say whose it is", apt->suite);
    if (!str_is(origin, apt->origin))
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the archive with suite %s is %.*s's, not %s's", apt->suite,
                         STR_ARG(origin), apt->origin);
    return 0;
}

/* A stamp file of our own: apt leaves an unchanged index its old time. */
static bool apt_index_is_fresh(const struct debian_apt *apt)
{
    char *CLEAN_FREE stamp = xfs_join(apt->dir, APT_STAMP);
    struct stat st;
    time_t now = time(NULL);
    return stat(stamp, &st) == 0 && st.st_mtime <= now && st.st_mtime > now - APT_INDEX_SECONDS;
}

int debian_apt_update(const struct debian_apt *apt, struct gfxb_error *err)
{
    if (apt_index_is_fresh(apt))
        return apt_check_origin(apt, err);
    const char *const fixed[] = {APT_GET, "-c", apt->conf, "update", NULL};
    struct buf CLEAN_BUF none = BUF_INIT(1);
    log_at(apt->env->log, LOG_INFO, "reading the package index of %s %s", apt->origin, apt->suite);
    int r = apt_run(apt, fixed, STR_NONE, "lists", 0, NULL, err) ?: apt_check_origin(apt, err);
    return r == 0 ? apt_write(apt, APT_STAMP, &none, err) : r;
}

/* ---- packages ---- */

int debian_apt_closure(const struct debian_apt *apt, struct str packages, struct buf *ret_text,
                       struct gfxb_error *err)
{
    /* apt leaves out what it finds downloaded: so it must find nothing. */
    char *CLEAN_FREE nothing = xasprintf("Dir::Cache::archives=%s/nothing/", apt->dir);
    const char *const fixed[] = {APT_GET, "-c",      apt->conf,      "-o",
                                 nothing, "install", "--print-uris", NULL};
    return apt_run(apt, fixed, packages, NULL, 0, ret_text, err);
}

int debian_apt_show(const struct debian_apt *apt, struct str packages, struct buf *ret_text,
                    struct gfxb_error *err)
{
    const char *const fixed[] = {APT_CACHE, "-c", apt->conf, "--no-all-versions", "show", NULL};
    return apt_run(apt, fixed, packages, NULL, 0, ret_text, err);
}

int debian_apt_download(const struct debian_apt *apt, struct str packages, uint64_t total_bytes,
                        struct gfxb_error *err)
{
    const char *const fixed[] = {APT_GET,           "-c", apt->conf, "install", "--yes",
                                 "--download-only", NULL};
    return apt_run(apt, fixed, packages, "archives", total_bytes, NULL, err);
}

/* Where apt has put a part; to be freed. */
static char *apt_part_path(const struct debian_apt *apt, const struct debian_part *part)
{
    return xasprintf("%s/archives/%s", apt->dir, part->file);
}

void debian_apt_drop(const struct debian_apt *apt, const struct debian_part *part)
{
    char *CLEAN_FREE path = apt_part_path(apt, part);
    unlink(path);
}

int debian_apt_unpack(const struct debian_apt *apt, const struct debian_part *part, const char *dir,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE path = apt_part_path(apt, part);
    char sha256[DIGEST_HEX];
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
    const char *const argv[] = {"/usr/bin/dpkg-deb", "-x", path, dir, NULL};
    struct buf CLEAN_BUF complaints = BUF_INIT(APT_TEXT_MAX);
    r = run_program(argv, APT_UNPACK_MS, NULL, NULL, &complaints, err);
    if (r == -EIO && str_has(buf_view(&complaints), STR("No space left on device")))
        return fs_error(err, ENOSPC, "unpack", part->file);
    if (r == -EIO)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "cannot unpack %s: %.*s", part->file,
                         STR_ARG(str_trim(buf_view(&complaints))));
    return r;
}
