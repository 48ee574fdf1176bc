/* store.c - stages, packages and caches on disk: locked while made, renamed when complete. */
#include "package/package_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define STORE_CACHE_SECONDS (24 * 60 * 60)
#define STORE_MARGIN        (64u << 20) /* left free on the disk beside what a package needs */

int store_check_place(const struct package_env *env, uint64_t need_bytes, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = xfs_join(env->data_dir, "packages");
    struct statvfs vfs;
    uint64_t free_bytes = 0;
    int r = fs_make_dirs(dir, 0755, err);
    if (r < 0)
        return r;
    if (statvfs(dir, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC))
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "no engine can be started from %s, its file system is mounted noexec: "
                         "choose another place with --data-dir",
                         dir);
    need_bytes += need_bytes ? STORE_MARGIN : 0;
    if (fs_free_bytes(dir, &free_bytes) == 0 && free_bytes < need_bytes)
        return error_set(err, GFXB_E_DISK_FULL,
                         "the package needs %.1f MB in %s and %.1f MB are free: free some space "
                         "or choose another place with --data-dir",
                         (double)need_bytes / 1e6, dir, (double)free_bytes / 1e6);
    return 0;
}

/* Lock a directory without waiting. Between its making and its locking somebody may have taken it
 * for a leftover and removed it: -ESTALE. */
static int store_lock_dir(const char *dir, int *ret_fd)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESTALE : -errno;
    struct stat ours, there;
    int result = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        result = -errno;
    else if (fstat(fd, &ours) < 0 || stat(dir, &there) < 0 || ours.st_ino != there.st_ino)
        result = -ESTALE;
    if (result < 0)
        close(fd);
    else
        *ret_fd = fd;
    return result;
}

static int store_make_stage(const char *packages, struct store_stage *ret_stage)
{
    int result = -ESTALE;
    for (int attempt = 0; attempt < 8 && (result == -ESTALE || result == -EWOULDBLOCK); attempt++) {
        char *dir = xasprintf("%s/" STORE_STAGE_PREFIX "%ld-XXXXXX", packages, (long)getpid());
        int fd = -1;
        result = mkdtemp(dir) ? store_lock_dir(dir, &fd) : -errno;
        if (result == 0)
            *ret_stage = (struct store_stage){dir, fd};
        else
            free(dir);
    }
    return result;
}

int store_stage_new(const struct package_env *env, uint64_t need_bytes,
                    struct store_stage *ret_stage, struct gfxb_error *err)
{
    int r = store_check_place(env, need_bytes, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE packages = xfs_join(env->data_dir, "packages");
    r = store_make_stage(packages, ret_stage);
    return r < 0 ? fs_error(err, -r, "make a directory in", packages) : 0;
}

void store_stage_done(struct store_stage *stage)
{
    if (stage->dir)
        fs_remove_tree(stage->dir);
    if (stage->lock_fd >= 0)
        close(stage->lock_fd);
    free(stage->dir);
    *stage = STORE_STAGE_NONE;
}

int store_discard(const struct package_env *env, const char *dir, struct gfxb_error *err)
{
    struct store_stage stage = STORE_STAGE_NONE;
    int r = store_stage_new(env, 0, &stage, err);
    if (r < 0)
        return r;
    /* Onto the empty stage: from here on it is a leftover, whatever happens to us. */
    if (rename(dir, stage.dir) < 0)
        r = fs_error(err, errno, "remove", dir);
    store_stage_done(&stage);
    return r;
}

/* What has the name of a package but no manifest that can be read is damaged: out of the way. */
static int store_discard_damaged(const struct package_env *env, const char *dir,
                                 struct gfxb_error *err)
{
    struct package CLEAN_PACKAGE there = {0};
    if (access(dir, F_OK) < 0)
        return 0;
    int r = manifest_read(dir, &there);
    if (manifest_is_unknown(r))
        return fs_error(err, -r, "read", dir);
    return r < 0 ? store_discard(env, dir, err) : 0;
}

int store_publish(const struct package_env *env, struct store_stage *stage, struct package *package,
                  struct gfxb_error *err)
{
    char *CLEAN_FREE final = xasprintf("%s/packages/%s", env->data_dir, package->digest);
    int r = fs_tree_bytes(stage->dir, &package->bytes);
    if (r < 0)
        return fs_error(err, -r, "measure", stage->dir);
    package->installed = (int64_t)time(NULL);
    r = manifest_write(stage->dir, package, err) ?: store_discard_damaged(env, final, err);
    if (r < 0)
        return r;
    if (fchmod(stage->lock_fd, 0755) < 0)
        return fs_error(err, errno, "open up", stage->dir);
    r = fs_publish_tree(stage->dir, final, err);
    if (r == 0) { /* renamed: nothing is left to remove */
        free(stage->dir);
        stage->dir = NULL;
    }
    return r == -EEXIST ? 0 : r;
}

void store_sweep_stage(const char *dir)
{
    int fd = -1;
    if (store_lock_dir(dir, &fd) < 0)
        return;
    fs_remove_tree(dir);
    close(fd);
}

int store_cache_open(const struct package_env *env, const char *source, char **ret_dir,
                     int *ret_lock_fd, struct gfxb_error *err)
{
    char *CLEAN_FREE cache = xfs_join(env->data_dir, "cache");
    char *CLEAN_FREE dir = xfs_join(cache, source);
    char *CLEAN_FREE lock = xasprintf("%s.lock", dir);
    int CLEAN_CLOSE fd = -1;
    int r = fs_make_dirs(cache, 0755, err) ?: fs_lock(lock, false, NULL, &fd, err);
    if (r == -EWOULDBLOCK) {
        log_at(env->log, LOG_INFO, "another gfxbridge is installing; waiting until it is done");
        r = fs_lock(lock, true, package_cancel(env), &fd, err);
    }
    r = r ?: fs_make_dirs(dir, 0700, err);
    if (r < 0)
        return r;
    utimensat(AT_FDCWD, dir, NULL, 0); /* in use now: see store_sweep_cache */
    *ret_dir = dir;
    dir = NULL;
    *ret_lock_fd = fd;
    fd = -1;
    return 0;
}

static bool store_is_old(const char *path)
{
    struct stat st;
    time_t now = time(NULL);
    return stat(path, &st) == 0 &&
           (st.st_mtime > now + STORE_CACHE_SECONDS || st.st_mtime < now - STORE_CACHE_SECONDS);
}

void store_sweep_cache(const struct package_env *env, const char *source)
{
    char *CLEAN_FREE dir = xasprintf("%s/cache/%s", env->data_dir, source);
    char *CLEAN_FREE lock = xasprintf("%s.lock", dir);
    int CLEAN_CLOSE fd = -1;
    if (!store_is_old(dir) || fs_lock(lock, false, NULL, &fd, NULL) < 0)
        return;
    if (store_is_old(dir))
        fs_remove_tree(dir);
    unlink(lock); /* under its lock: fs_lock looks whether its file is still the one there */
}
