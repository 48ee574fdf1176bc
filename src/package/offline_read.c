#include "package/offline.h"

#include "package/manifest.h"
#include "package/store.h"
#include "package/unpack.h"

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

static int bundle_publish(const struct package_env *env, const char *dir, struct package *package,
                          struct gfxb_error *err)
{
    struct store_stage stage = STORE_STAGE_NONE;
    struct buf CLEAN_BUF facts = BUF_INIT(OFFLINE_TEXT_MAX);
    if (bundle_facts(dir, &facts) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int result = store_stage_new(env, 0, &stage, err);
    if (result == 0)
        result = bundle_move_children(dir, stage.dir, err);
    if (result == 0)
        result = store_publish(env, &stage, package, buf_view(&facts), err);
    store_stage_done(&stage);
    return result;
}

/* "DIGEST TREE": the package is there, whole, and the one that it says it is. */
static int bundle_take(const struct package_env *env, const char *file, const char *top,
                       struct str line, char ret_digest[static DIGEST_HEX], struct gfxb_error *err)
{
    struct str word = STR_NONE, digest = STR_NONE, tree = STR_NONE;
    char hex[DIGEST_HEX];
    struct package package = {0};
    if (!str_word(&line, &word) || !str_is(word, "package") || !str_word(&line, &digest) ||
        !bundle_is_digest(digest) || !str_word(&line, &tree))
        return bundle_damaged(file, err, "a line about a package is wrong");
    snprintf(ret_digest, DIGEST_HEX, "%.*s", STR_ARG(digest));
    char *CLEAN_FREE dir = fs_join(top, ret_digest);
    if (!dir)
        return error_set(err, ENOMEM, "out of memory");
    if (access(dir, F_OK) < 0 || offline_tree_digest(dir, hex, NULL) < 0 || !str_is(tree, hex))
        return bundle_damaged(file, err, "a package in it is not what was put in");
    if (manifest_read(dir, &package) < 0 || strcmp(package.digest, ret_digest) != 0)
        return bundle_damaged(file, err, "a package in it has no manifest of its own");
    log_at(env->log, LOG_INFO, "installing %s", package.id);
    int result = bundle_publish(env, dir, &package, err);
    manifest_package_done(&package);
    return result;
}

static int bundle_unpacked(const struct package_env *env, const char *file, const char *top,
                           struct package_digests *ret, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(OFFLINE_TEXT_MAX);
    struct str rest = STR_NONE, line = STR_NONE;
    int result = bundle_read_text(file, top, &text, &rest, err);
    while (result == 0 && str_cut(&rest, '\n', &line) && line.n) {
        if (ret->n == PACKAGE_DIGESTS_MAX)
            return bundle_damaged(file, err, "it holds too many packages");
        result = bundle_take(env, file, top, line, ret->digest[ret->n], err);
        if (result == 0)
            ret->n++;
    }
    if (result == 0 && ret->n == 0)
        return bundle_damaged(file, err, "no package is in it");
    return result;
}

int package_install_bundle(const struct package_env *env, const char *file,
                           struct package_digests *ret_digests, struct gfxb_error *err)
{
    static const struct unpack_options options = {.strip_top = false};
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
        result = bundle_unpacked(env, file, stage.dir, &found, err);
    store_stage_done(&stage);
    if (result == 0)
        *ret_digests = found;
    return result;
}
