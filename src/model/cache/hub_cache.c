/* hub_cache.c - one repository in the Hugging Face hub cache. */
#include "model/model_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define HUB_PREFIX "models--"

bool hub_is_hex(const char *text, size_t digits)
{
    return text && strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

void hub_cache_done(struct hub_cache *c)
{
    free(c->hub);
    free(c->name);
    free(c->top);
    free(c->locks);
    *c = (struct hub_cache){.hub = NULL};
}

int hub_cache_name(const char *hub, const char *repository, struct hub_cache *ret_cache,
                   struct gfxb_error *err)
{
    const char *slash = strchr(repository, '/');
    if (!slash || strchr(slash + 1, '/') || strstr(repository, "--") ||
        !pick_is_safe(str_from(repository)))
        return error_set(err, EINVAL, "\"%.100s\" is no repository: they are called org/name",
                         repository);
    struct hub_cache c = {.hub = xstrdup(hub)};
    c.name = xasprintf(HUB_PREFIX "%.*s--%s", (int)(slash - repository), repository, slash + 1);
    c.top = xfs_join(hub, c.name);
    c.locks = xasprintf("%s/.locks/%s", hub, c.name);
    *ret_cache = c;
    return 0;
}

char *hub_cache_repository(const char *directory)
{
    static const size_t prefix = sizeof(HUB_PREFIX) - 1;
    if (strncmp(directory, HUB_PREFIX, prefix) != 0)
        return NULL;
    const char *org = directory + prefix;
    const char *dashes = strstr(org, "--");
    if (!dashes || dashes == org || !dashes[2] || strstr(dashes + 2, "--"))
        return NULL;
    return xasprintf("%.*s/%s", (int)(dashes - org), org, dashes + 2);
}

/* A directory of the repository's own, not a link to somewhere else. */
static int hub_cache_make_dir(const struct hub_cache *c, const char *name, struct gfxb_error *err)
{
    struct stat st;
    char *CLEAN_FREE path = xfs_join(c->top, name);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return fs_error(err, errno, "make the directory", path);
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "%s is no directory: nothing is written through it", path);
    return 0;
}

int hub_cache_make(const struct hub_cache *c, struct gfxb_error *err)
{
    static const char *const names[] = {"blobs", "refs", "snapshots"};
    int r = fs_make_dirs(c->top, 0755, err);
    for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++)
        r = hub_cache_make_dir(c, names[i], err);
    return r < 0 ? r : fs_make_dirs(c->locks, 0755, err);
}

char *hub_cache_blob(const struct hub_cache *c, const char *etag)
{
    return xasprintf("%s/blobs/%s", c->top, etag);
}

char *hub_cache_link_path(const struct hub_cache *c, const char *commit, const char *path)
{
    return xasprintf("%s/snapshots/%s/%s", c->top, commit, path);
}

bool hub_cache_has(const char *path, uint64_t size)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

int hub_cache_lock(const struct model_env *env, const struct hub_cache *c, const char *etag,
                   int *ret_fd, struct gfxb_error *err)
{
    char *CLEAN_FREE path = xasprintf("%s/%s.lock", c->locks, etag);
    int r = fs_lock(path, false, NULL, ret_fd, err);
    if (r != -EWOULDBLOCK)
        return r;
    log_at(env->log, LOG_INFO, "another program is fetching %.12s... of %s; waiting for it", etag,
           c->name);
    return fs_lock(path, true, env->cancel, ret_fd, err);
}

/* ---- links ---- */

/* The directory of snapshots/COMMIT/PATH, made below the repository without following a link. */
static int hub_cache_open_parent(const struct hub_cache *c, const char *commit, struct str path,
                                 const char **ret_name)
{
    char *CLEAN_FREE top = xfs_join(c->top, "snapshots");
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct str rest = path, part = str_from(commit);
    for (bool more = fd >= 0; more;) {
        char *CLEAN_FREE name = xstr_dup(part);
        bool made = mkdirat(fd, name, 0755) == 0 || errno == EEXIST;
        int next = made ? openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        int code = errno;
        close(fd);
        fd = next;
        if (fd < 0)
            return -code;
        more = rest.n && memchr(rest.p, '/', rest.n) && str_cut(&rest, '/', &part);
    }
    *ret_name = rest.p;
    return fd < 0 ? -errno : fd;
}

/* One file of a snapshot, and how it is put there. */
struct hub_put {
    enum hub_way way;
    bool ours;          /* the blob may be moved */
    const char *target; /* of a symbolic link */
    const char *blob;
    const atomic_int *cancel;
};

/* A copy of the blob that also has its time. */
static int hub_cache_copy(const struct hub_put *put, int dir, const char *name)
{
    struct stat st;
    int CLEAN_CLOSE in = open(put->blob, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int CLEAN_CLOSE out =
        openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (in < 0 || out < 0 || fstat(in, &st) < 0)
        return -errno;
    int r = fs_copy(in, out, (uint64_t)st.st_size, put->cancel);
    if (r < 0)
        return r;
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    return futimens(out, times) < 0 || fsync(out) < 0 ? -errno : 0;
}

/* Under a name of its own first (fs_sweep_writes finds it), then in place of what is there. */
static int hub_cache_put(const struct hub_put *put, int dir, const char *name)
{
    char *CLEAN_FREE temporary = xasprintf("%.200s.tmp-%d", name, (int)getpid());
    int r = 0;
    unlinkat(dir, temporary, 0);
    if (put->way == HUB_SYMLINK)
        r = symlinkat(put->target, dir, temporary) < 0 ? -errno : 0;
    else if (put->way == HUB_HARD_LINK)
        r = linkat(AT_FDCWD, put->blob, dir, temporary, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
    else if (!put->ours)
        r = hub_cache_copy(put, dir, temporary);
    bool moved = put->way == HUB_MOVE && put->ours;
    if (r == 0 && (moved ? renameat(AT_FDCWD, put->blob, dir, name)
                         : renameat(dir, temporary, dir, name)) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir, temporary, 0);
    return r == 0 && fsync(dir) < 0 ? -errno : r;
}

/* As Linux and its network file systems say that there are no such links, or that they may not be
 * made. What else is wrong, such as a full disk, says nothing about links. */
static bool hub_cache_has_no_links(int code)
{
    return code == EPERM || code == EOPNOTSUPP || code == ENOSYS || code == EACCES ||
           code == EINVAL;
}

void hub_cache_find_way(struct hub_cache *c)
{
    char *CLEAN_FREE link_path = xasprintf("%s/.gfxbridge-%d.link", c->hub, (int)getpid());
    char *CLEAN_FREE file = xasprintf("%s/.gfxbridge-%d.file", c->hub, (int)getpid());
    (void)fs_make_dirs(c->hub, 0755, NULL);
    unlink(link_path); /* of a process that had this number and was killed */
    if (symlink("x", link_path) < 0 && hub_cache_has_no_links(errno)) {
        int CLEAN_CLOSE fd = open(file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0) /* else nothing can be written here at all: hub_cache_make says why */
            c->way = link(file, link_path) == 0 ? HUB_HARD_LINK : HUB_MOVE;
        unlink(file);
    }
    unlink(link_path);
}

int hub_cache_link(const struct hub_cache *c, const char *commit, const struct hub_file *file,
                   bool ours, const atomic_int *cancel, struct gfxb_error *err)
{
    struct buf CLEAN_BUF target = BUF_INIT(4096); /* paths have PICK_PATH_MAX bytes at most */
    char *CLEAN_FREE path = hub_cache_link_path(c, commit, file->path);
    if (!hub_is_hex(commit, HUB_COMMIT - 1) || !pick_is_safe(str_from(file->path)))
        return error_set(err, EINVAL, "%s is no place for a file of %s", path, c->name);
    if (hub_cache_has(path, file->size))
        return 0;
    buf_add_text(&target, "../../");
    for (const char *p = file->path; *p; p++) {
        if (*p == '/')
            buf_add_text(&target, "../");
    }
    buf_addf(&target, "blobs/%s", file->etag);
    const char *name = NULL;
    int CLEAN_CLOSE dir = hub_cache_open_parent(c, commit, str_from(file->path), &name);
    char *CLEAN_FREE blob = hub_cache_blob(c, file->etag);
    const struct hub_put put = {c->way, ours, buf_text(&target), blob, cancel};
    if (dir >= 0)
        fs_sweep_writes(path);
    int r = dir < 0 ? dir : hub_cache_put(&put, dir, name);
    if (r == -ECANCELED)
        return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    return r < 0 ? fs_error(err, -r, c->way == HUB_MOVE ? "write" : "make the link", path) : 0;
}

int hub_cache_set_main(const struct hub_cache *c, const char *commit, struct gfxb_error *err)
{
    struct buf CLEAN_BUF now = BUF_INIT(65536);
    char *CLEAN_FREE path = xfs_join(c->top, "refs/main");
    if (fs_read(path, HUB_COMMIT, &now) == 0 && str_is(buf_view(&now), commit))
        return 0;
    return fs_write(path, commit, strlen(commit), 0644, err);
}

/* ---- the store that repositories share ---- */

#define SHARED_MARKER  ".huggingface-shared-blobs"
#define SHARED_VERSION "1\n"

static bool shared_is_store(const struct hub_cache *c)
{
    struct buf CLEAN_BUF version = BUF_INIT(65536);
    char *CLEAN_FREE marker = xfs_join(c->hub, "blobs/" SHARED_MARKER);
    struct stat st;
    return lstat(marker, &st) == 0 && S_ISREG(st.st_mode) &&
           fs_read(marker, sizeof(SHARED_VERSION), &version) == 0 &&
           str_is(buf_view(&version), SHARED_VERSION);
}

static bool shared_has(const char *path, uint64_t size)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size &&
           access(path, R_OK) == 0;
}

/* One line "REPOSITORY/blobs/ETAG", on disk before the link is there. */
static int shared_add_user(const struct hub_cache *c, const char *store, const char *etag)
{
    char *CLEAN_FREE path = xasprintf("%s.refs", store);
    char *CLEAN_FREE line = xasprintf("%s/blobs/%s\n", c->name, etag);
    struct stat st;
    int CLEAN_CLOSE fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    size_t n = strlen(line);
    ssize_t written = write(fd, line, n);
    if (written < 0 || fsync(fd) < 0)
        return -errno;
    return (size_t)written == n ? 0 : -EIO;
}

static int shared_put_link(const struct hub_cache *c, const struct hub_file *file)
{
    char *CLEAN_FREE target = xasprintf("../../blobs/%.2s/%s", file->xet, file->xet);
    char *CLEAN_FREE blobs = xfs_join(c->top, "blobs");
    int CLEAN_CLOSE dir = open(blobs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const struct hub_put put = {.way = HUB_SYMLINK, .target = target};
    return dir < 0 ? -errno : hub_cache_put(&put, dir, file->etag);
}

bool hub_cache_share(const struct hub_cache *c, const struct hub_file *file)
{
    int CLEAN_CLOSE fd = -1;
    if (!file->xet[0] || c->way != HUB_SYMLINK || !shared_is_store(c))
        return false;
    char *CLEAN_FREE store = xasprintf("%s/blobs/%.2s/%s", c->hub, file->xet, file->xet);
    char *CLEAN_FREE lock = xasprintf("%s.lock", store);
    if (!shared_has(store, file->size) || fs_lock(lock, false, NULL, &fd, NULL) < 0 ||
        !shared_has(store, file->size))
        return false;
    return shared_add_user(c, store, file->etag) == 0 && shared_put_link(c, file) == 0;
}
