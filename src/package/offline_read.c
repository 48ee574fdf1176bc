#include "package/offline.h"

#include "package/manifest.h"
#include "package/provider.h"
#include "package/store.h"
#include "package/unpack/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

static int bundle_damaged(const char *file, struct gfxb_error *err, const char *what)
{
    return error_set(err, GFXB_E_DIGEST_MISMATCH, "%s is damaged: %s; make or copy it again", file,
                     what);
}

/* Its text file: the header is right, and rest holds the lines about packages. */
static int bundle_read_text(const char *file, const char *dir, struct buf *text,
                            struct str *ret_rest, struct gfxb_error *err)
{
    struct str line = STR_NONE, word = STR_NONE;
    struct utsname system;
    char *CLEAN_FREE path = fs_join(dir, OFFLINE_NAME);
    int result = path ? fs_read(path, OFFLINE_TEXT_MAX, text) : -ENOMEM;
    if (result == -ENOENT)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%s is no bundle of gfxbridge, or it was cut short: make one with "
                         "gfxbridge backends bundle",
                         file);
    if (result < 0)
        return error_set(err, -result, "cannot read %s: %s", file, error_errno_text(-result));
    struct str rest = buf_view(text);
    if (!str_cut(&rest, '\n', &line) || !str_is(line, OFFLINE_FIRST_LINE))
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "%s was made by a newer gfxbridge: install that one here too", file);
    if (!str_cut(&rest, '\n', &line) || !str_word(&line, &word) || !str_is(word, "arch"))
        return bundle_damaged(file, err, "it does not say for which processors it is");
    line = str_trim(line);
    if (uname(&system) == 0 && !str_is(line, system.machine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%s is for %.*s and this computer is %s", file,
                         STR_ARG(line), system.machine);
    *ret_rest = rest;
    return 0;
}

static bool bundle_is_digest(struct str word)
{
    for (size_t i = 0; i < word.n; i++) {
        if (!strchr("0123456789abcdef", word.p[i]))
            return false;
    }
    return word.n == DIGEST_HEX - 1;
}

/* "package DIGEST TREE" */
static bool bundle_read_line(struct str line, char ret_digest[static DIGEST_HEX],
                             struct str *ret_tree)
{
    struct str word = STR_NONE, digest = STR_NONE;
    if (!str_word(&line, &word) || !str_is(word, "package") || !str_word(&line, &digest) ||
        !bundle_is_digest(digest) || !str_word(&line, ret_tree))
        return false;
    snprintf(ret_digest, DIGEST_HEX, "%.*s", STR_ARG(digest));
    return true;
}

/* Its manifest names it, and nothing that is not in it: an engine elsewhere on this computer is not
 * for a file from another one to choose. */
static int bundle_check_manifest(const char *file, const char *dir, const char *digest,
                                 struct gfxb_error *err)
{
    struct package package = {0};
    if (manifest_read(dir, &package) < 0)
        return bundle_damaged(file, err, "a package in it has no manifest");
    struct str outside = package_outside(&package);
    int result = 0;
    if (strcmp(package.digest, digest) != 0)
        result = bundle_damaged(file, err, "a package in it is not the one that it is called");
    else if (outside.n)
        result = error_set(err, GFXB_E_ARCHIVE_UNSAFE,
                           "a package in %s would start %.*s, which is not in it", file,
                           STR_ARG(outside));
    manifest_package_done(&package);
    return result;
}

/* The package is there, whole, and the one that its line says it is. */
static int bundle_check(const struct package_env *env, const char *file, const char *top,
                        struct str line, char ret_digest[static DIGEST_HEX], struct gfxb_error *err)
{
    struct str tree = STR_NONE;
    char hex[DIGEST_HEX];
    if (!bundle_read_line(line, ret_digest, &tree))
        return bundle_damaged(file, err, "a line about a package is wrong");
    char *CLEAN_FREE dir = fs_join(top, ret_digest);
    if (!dir)
        return error_set(err, ENOMEM, "out of memory");
    int result = offline_tree_digest(env, dir, hex, err);
    if (result == -GFXB_E_INTERRUPTED)
        return result;
    if (result < 0 || !str_is(tree, hex))
        return bundle_damaged(file, err, "a package in it is not what was put in");
    return bundle_check_manifest(file, dir, ret_digest, err);
}

static bool bundle_has(const struct package_digests *digests, const char *digest)
{
    for (size_t i = 0; i < digests->n; i++) {
        if (strcmp(digests->digest[i], digest) == 0)
            return true;
    }
    return false;
}

static int bundle_check_all(const struct package_env *env, const char *file, const char *top,
                            struct package_digests *ret, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(OFFLINE_TEXT_MAX);
    struct str rest = STR_NONE, line = STR_NONE;
    char digest[DIGEST_HEX];
    int result = bundle_read_text(file, top, &text, &rest, err);
    while (result == 0 && str_cut(&rest, '\n', &line) && line.n) {
        if (ret->n == PACKAGE_DIGESTS_MAX)
            return bundle_damaged(file, err, "it holds too many packages");
        result = bundle_check(env, file, top, line, digest, err);
        if (result == 0 && bundle_has(ret, digest))
            return bundle_damaged(file, err, "it names a package twice");
        if (result == 0)
            memcpy(ret->digest[ret->n++], digest, sizeof(digest));
    }
    if (result == 0 && ret->n == 0)
        return bundle_damaged(file, err, "no package is in it");
    return result;
}

/* The lines of a manifest that say where a package came from, which publishing would forget. */
static int bundle_facts(const char *dir, struct buf *ret)
{
    struct buf CLEAN_BUF text = BUF_INIT(OFFLINE_TEXT_MAX);
    char *CLEAN_FREE path = fs_join(dir, MANIFEST_NAME);
    int result = path ? fs_read(path, OFFLINE_TEXT_MAX, &text) : -ENOMEM;
    struct str rest = buf_view(&text), line;
    while (result == 0 && str_cut(&rest, '\n', &line)) {
        if (str_starts(line, STR("part ")) || str_starts(line, STR("origin ")))
            buf_addf(ret, "%.*s\n", STR_ARG(line));
    }
    return result == 0 && !buf_ok(ret) ? -ENOMEM : result;
}

/* Everything in one directory into another, empty one on the same file system. */
static int bundle_move_children(const char *from, const char *to, struct gfxb_error *err)
{
    DIR *list = opendir(from);
    const struct dirent *entry;
    int result = list ? 0 : -errno;
    while (result == 0 && (entry = readdir(list))) {
        char *CLEAN_FREE old = fs_join(from, entry->d_name);
        char *CLEAN_FREE new = fs_join(to, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!old || !new)
            result = -ENOMEM;
        else if (rename(old, new) < 0)
            result = -errno;
    }
    if (list)
        closedir(list);
    return result < 0
               ? error_set(err, -result, "cannot move %s: %s", from, error_errno_text(-result))
               : 0;
}

static int bundle_publish(const struct package_env *env, const char *top, const char *digest,
                          struct gfxb_error *err)
{
    struct store_stage stage = STORE_STAGE_NONE;
    struct buf CLEAN_BUF facts = BUF_INIT(OFFLINE_TEXT_MAX);
    struct package package = {0};
    char *CLEAN_FREE dir = fs_join(top, digest);
    int result = dir ? manifest_read(dir, &package) : -ENOMEM;
    if (result == 0)
        result = bundle_facts(dir, &facts);
    if (result < 0) {
        manifest_package_done(&package);
        return error_set(err, -result, "cannot read what was unpacked: %s",
                         error_errno_text(-result));
    }
    log_at(env->log, LOG_INFO, "installing %s", package.id);
    result = store_stage_new(env, 0, &stage, err);
    if (result == 0)
        result = bundle_move_children(dir, stage.dir, err);
    if (result == 0)
        result = store_publish(env, &stage, &package, buf_view(&facts), err);
    store_stage_done(&stage);
    manifest_package_done(&package);
    return result;
}

int package_install_bundle(const struct package_env *env, const char *file,
                           struct package_digests *ret_digests, struct gfxb_error *err)
{
    const struct unpack_options options = {.cancel = provider_cancel(env)};
    struct store_stage stage = STORE_STAGE_NONE;
    struct package_digests found = {.n = 0};
    if (env->data_dir[0] != '/')
        return error_set(err, EINVAL, "\"%s\" is no absolute path", env->data_dir);
    int result = store_stage_new(env, 0, &stage, err);
    if (result == 0)
        result = unpack_file(file, stage.dir, &options, NULL, err);
    if (result == -EBADMSG)
        error_prefix(err, "%s cannot be read: ", file);
    if (result == 0)
        result = bundle_check_all(env, file, stage.dir, &found, err);
    for (size_t i = 0; result == 0 && i < found.n; i++)
        result = bundle_publish(env, stage.dir, found.digest[i], err);
    store_stage_done(&stage);
    if (result == 0)
        *ret_digests = found;
    return result;
}
