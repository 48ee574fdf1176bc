/* apt.c - apt in its private root, and what its complaints mean. */
#include "package/apt/apt.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define APT_GET           "/usr/bin/apt-get"
#define APT_CACHE         "/usr/bin/apt-cache"
#define APT_STAMP         "updated"
#define APT_INDEX_SECONDS 3600   /* an index younger than this is not fetched again */
#define APT_QUICK_MS      60000  /* for a command that fetches nothing */
#define APT_STALL_MS      120000 /* a download that brings nothing for so long is ended */
#define APT_WORDS_MAX     256
#define APT_RELEASE_MAX   (8u << 20)

/* What apt's complaints mean, by their first known phrase. The texts are those of LC_ALL=C. */
static const struct apt_phrase {
    const char *phrase;
    int code;
    const char *sentence;
} apt_phrases[] = {
    {"No space left on device", GFXB_E_DISK_FULL, "the disk is full: free some space"},
    {"NO_PUBKEY", GFXB_E_PACKAGE_UNAVAILABLE,
     "it is signed with a key that this computer does not have: update the distribution's keyring "
     "package"},
    {"is not signed", GFXB_E_PACKAGE_UNAVAILABLE,
     "it is not signed with a key that is trusted here"},
    {"does not have a Release file", GFXB_E_PACKAGE_UNAVAILABLE, "the archive has no such suite"},
    {"is not valid yet", GFXB_E_PACKAGE_UNAVAILABLE, "its date lies ahead: is the clock right?"},
    {"is expired", GFXB_E_PACKAGE_UNAVAILABLE, "its index has expired: is the clock right?"},
    {"Hash Sum mismatch", GFXB_E_DIGEST_MISMATCH,
     "what came is not what the archive signed: a proxy or mirror is broken or being updated; try "
     "again later"},
    {"unexpected size", GFXB_E_DIGEST_MISMATCH,
     "what came is not what the archive signed: a mirror is being updated; try again later"},
    {"Unable to locate package", GFXB_E_PACKAGE_UNAVAILABLE, "it has no such package"},
    {"has no installation candidate", GFXB_E_PACKAGE_UNAVAILABLE, "it has no such package"},
    {"unmet dependencies", GFXB_E_PACKAGE_UNAVAILABLE,
     "the package cannot be installed from it at the moment"},
    {"Unable to satisfy dependencies", GFXB_E_PACKAGE_UNAVAILABLE,
     "the package cannot be installed from it at the moment"},
    {"404  Not Found", GFXB_E_PACKAGE_UNAVAILABLE,
     "a package in the index is gone, the mirror is being updated: try again later"},
    {"401  Unauthorized", GFXB_E_OFFLINE, "the mirror wants a password that this user cannot read"},
    {"Failed to fetch", GFXB_E_OFFLINE,
     "the archive cannot be reached: check the network, and the proxy in apt's configuration"},
};

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
    struct str line = apt_error_line(text);
    for (size_t i = 0; i < sizeof(apt_phrases) / sizeof(apt_phrases[0]); i++) {
        if (str_has(text, str_from(apt_phrases[i].phrase)))
            return error_set(err, apt_phrases[i].code, "%s %s: %s (apt: %.*s)", apt->origin,
                             apt->suite, apt_phrases[i].sentence, STR_ARG(line));
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

/* The command's fixed words, then the packages, of which words is a copy that is cut up. */
static int apt_fill_argv(const char **argv, const char *const *fixed, struct str packages,
                         char *words, struct gfxb_error *err)
{
    struct str word, rest = packages;
    size_t n = 0;
    for (; fixed[n]; n++)
        argv[n] = fixed[n];
    while (str_word(&rest, &word)) {
        if (!apt_is_package_name(word) || n == APT_WORDS_MAX)
            return error_set(err, GFXB_E_TABLE, "\"%.*s\" is not a package name, or one too many",
                             STR_ARG(word));
        argv[n] = words + (word.p - packages.p);
        words[word.p - packages.p + (ptrdiff_t)word.n] = '\0';
        n++;
    }
    argv[n] = NULL;
    return 0;
}

/* Run a command on these packages. into: the directory of the root that it fetches into, with so
 * many bytes in the end (0 not known); NULL: it fetches nothing. */
static int apt_run(const struct debian_apt *apt, const char *const *fixed, struct str packages,
                   const char *into, uint64_t total_bytes, struct buf *ret_out,
                   struct gfxb_error *err)
{
    const char *argv[APT_WORDS_MAX + 1];
    char *CLEAN_FREE words = xstr_dup(packages);
    char *CLEAN_FREE dir = xfs_join(apt->dir, into ? into : "");
    struct buf CLEAN_BUF complaints = BUF_INIT(1u << 20);
    const struct debian_watch watch = {
        .env = apt->env, .what = "engine packages", .dir = dir, .total_bytes = total_bytes};
    int r = apt_fill_argv(argv, fixed, packages, words, err);
    if (r < 0)
        return r;
    r = debian_run(argv, into ? APT_STALL_MS : APT_QUICK_MS, into ? &watch : NULL, ret_out,
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
    DIR *dir = opendir(lists);
    const struct dirent *entry;
    int r = dir ? -ENOENT : -errno;
    while (dir && r == -ENOENT && (entry = readdir(dir))) {
        char *CLEAN_FREE path = xfs_join(lists, entry->d_name);
        if (str_ends(str_from(path), STR("Release")))
            r = fs_read(path, APT_RELEASE_MAX, ret);
    }
    if (dir)
        closedir(dir);
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

void debian_apt_forget(const struct debian_apt *apt)
{
    char *CLEAN_FREE stamp = xfs_join(apt->dir, APT_STAMP);
    unlink(stamp);
}

int debian_apt_update(const struct debian_apt *apt, struct gfxb_error *err)
{
    if (apt_index_is_fresh(apt))
        return apt_check_origin(apt, err);
    const char *const fixed[] = {APT_GET, "-c", apt->conf, "update", NULL};
    struct buf CLEAN_BUF none = BUF_INIT(1);
    log_at(apt->env->log, LOG_INFO, "reading the package index of %s %s", apt->origin, apt->suite);
    int r = apt_run(apt, fixed, STR_NONE, "lists", 0, NULL, err);
    if (r == 0)
        r = apt_check_origin(apt, err);
    return r == 0 ? debian_apt_write(apt, APT_STAMP, &none, err) : r;
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
