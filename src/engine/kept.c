#include "engine/kept.h"

#include <dirent.h>
#include <errno.h>

/* The lock is held, so no temporary file is anybody's any more. */
static void kept_sweep(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (str_has(str_from(entry->d_name), STR(".tmp-")))
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

int kept_write(const char *dir, const char *name, const void *bytes, size_t n,
               struct gfxb_error *err)
{
    char *CLEAN_FREE path = fs_join(dir, name);
    char *CLEAN_FREE lock = fs_join(dir, ".lock");
    int CLEAN_CLOSE fd = -1;
    if (!path || !lock)
        return error_set(err, ENOMEM, "out of memory");
    int code = fs_make_dirs(dir, 0755, err);
    if (code == 0)
        code = fs_lock(lock, true, NULL, &fd, err);
    if (code < 0)
        return code;
    kept_sweep(dir);
    return fs_write(path, bytes, n, 0644, err);
}
