/* rundir.c - the private directory of one running engine. */
#include "engine/engine_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>

#define RUNDIR_PREFIX "engine-"
#define RUNDIR_TAIL   "/" RUNDIR_PREFIX "01234567/e.sock"

/* A 0700 directory in /tmp for data directories with long names. /tmp is everybody's: what is there
 * under our name must be a directory of ours that nobody else can enter. */
static int rundir_short_base(char **ret_base, struct gfxb_error *err)
{
    char *base = xasprintf("/tmp/gfxbridge-%u", (unsigned)geteuid());
    struct stat st;
    int code = mkdir(base, 0700) < 0 && errno != EEXIST ? errno : 0;
    if (code == 0 && lstat(base, &st) < 0)
        code = errno;
    if (code == 0 && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)))
        code = EPERM;
    if (code != 0) {
        code =
            error_set(err, code,
                      "the run directory's path is too long for a unix socket, or holds a comma, "
                      "and %s cannot be used instead: %s; set XDG_RUNTIME_DIR to a shorter one",
                      base, error_errno_text(code));
        free(base);
        return code;
    }
    *ret_base = base;
    return 0;
}

/* Remove what killed processes left. The gate is held, so nobody makes one meanwhile. */
static void rundir_sweep(const char *base)
{
    DIR *CLEAN_DIR dir = opendir(base);
    const char *name;
    while ((name = fs_next(dir))) {
        if (!str_starts(str_from(name), STR(RUNDIR_PREFIX)))
            continue;
        char *CLEAN_FREE path = xfs_join(base, name);
        char *CLEAN_FREE lock = xfs_join(path, "lock");
        int CLEAN_CLOSE fd = -1;
        if (fs_lock(lock, false, NULL, &fd, NULL) == 0)
            fs_remove_tree(path);
    }
}

static int rundir_make(const char *base, struct rundir *rundir, struct gfxb_error *err)
{
    uint32_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return error_set(err, errno, "no random numbers: %s", error_errno_text(errno));
    rundir->path = xasprintf("%s/" RUNDIR_PREFIX "%08x", base, number);
    if (mkdir(rundir->path, 0700) < 0) {
        int code = fs_error(err, errno, "make the run directory", rundir->path);
        free(rundir->path); /* not ours to remove */
        rundir->path = NULL;
        return code;
    }
    rundir->socket = xfs_join(rundir->path, "e.sock");
    rundir->log = xfs_join(rundir->path, "log");
    char *CLEAN_FREE lock = xfs_join(rundir->path, "lock");
    return fs_lock(lock, false, NULL, &rundir->lock_fd, err);
}

/* Can a socket in a run directory below base have a name that the kernel takes, and that the
 * engine, which splits its list of hosts at commas, understands? */
static bool rundir_suits(const char *base)
{
    const struct sockaddr_un *address = NULL;
    return strlen(base) + sizeof(RUNDIR_TAIL) <= sizeof(address->sun_path) && !strchr(base, ',');
}

/* The directory that run directories are made in, without symbolic links. To be freed. */
static int rundir_base(const char *runtime_dir, char **ret_base, struct gfxb_error *err)
{
    char *base = realpath(runtime_dir, NULL);
    if (!base) {
        int code = fs_make_dirs(runtime_dir, 0700, err);
        if (code < 0)
            return code;
        base = realpath(runtime_dir, NULL);
    }
    if (!base)
        return fs_error(err, errno, "use the run directory", runtime_dir);
    if (!rundir_suits(base)) {
        free(base);
        return rundir_short_base(ret_base, err);
    }
    *ret_base = base;
    return 0;
}

char *engine_failed_log(const char *runtime_dir)
{
    return xfs_join(runtime_dir, "failed-engine.log");
}

char **engine_logs(const char *runtime_dir)
{
    struct engine_words paths = {.n = 0};
    char *CLEAN_FREE failed = engine_failed_log(runtime_dir);
    char *CLEAN_FREE base = NULL;
    const char *name;
    if (access(runtime_dir, F_OK) < 0 || rundir_base(runtime_dir, &base, NULL) < 0)
        return NULL;
    DIR *CLEAN_DIR dir = opendir(base);
    while ((name = fs_next(dir))) {
        if (str_starts(str_from(name), STR(RUNDIR_PREFIX)))
            engine_words_add(&paths, "%s/%s/log", base, name);
    }
    if (access(failed, F_OK) == 0)
        engine_words_add(&paths, "%s", failed);
    return paths.word;
}

static int rundir_open_in(const char *base, const atomic_int *cancel, struct rundir *ret_rundir,
                          struct gfxb_error *err)
{
    char *CLEAN_FREE gate_path = xfs_join(base, ".lock");
    int CLEAN_CLOSE gate = -1;
    int code = fs_lock(gate_path, true, cancel, &gate, err);
    if (code < 0)
        return code;
    rundir_sweep(base);
    struct rundir rundir = RUNDIR_NONE;
    code = rundir_make(base, &rundir, err);
    if (code < 0)
        rundir_close(&rundir);
    else
        *ret_rundir = rundir;
    return code;
}

int rundir_open(const char *runtime_dir, const atomic_int *cancel, struct rundir *ret_rundir,
                struct gfxb_error *err)
{
    char *CLEAN_FREE base = NULL;
    int code = rundir_base(runtime_dir, &base, err);
    return code < 0 ? code : rundir_open_in(base, cancel, ret_rundir, err);
}

struct engine_kept {
    struct rundir dir;
};

int engine_kept_open(const char *dir, struct engine_kept **ret_kept, struct gfxb_error *err)
{
    struct rundir rundir = RUNDIR_NONE;
    int code = fs_make_dirs(dir, 0700, err);
    if (code == 0)
        code = rundir_open_in(dir, NULL, &rundir, err);
    if (code < 0)
        return code;
    struct engine_kept *kept = xcalloc(1, sizeof(*kept));
    kept->dir = rundir;
    *ret_kept = kept;
    return 0;
}

const char *engine_kept_path(const struct engine_kept *kept)
{
    return kept->dir.path;
}

void engine_kept_close(struct engine_kept *kept)
{
    if (kept)
        rundir_close(&kept->dir);
    free(kept);
}

void rundir_close(struct rundir *rundir)
{
    if (rundir->path)
        fs_remove_tree(rundir->path);
    if (rundir->lock_fd >= 0)
        close(rundir->lock_fd);
    free(rundir->path);
    free(rundir->socket);
    free(rundir->log);
    *rundir = RUNDIR_NONE;
}
