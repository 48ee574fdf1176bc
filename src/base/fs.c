/* fs.c - files that are written whole or not at all, trees, locks, space on the disk. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define FS_TEMPORARY ".tmp-"

#define FS_LOCK_POLL_MIN_MS 20
#define FS_LOCK_POLL_MAX_MS 200

#define FS_COPY_PIECE (4u << 20) /* between two looks at *cancel */

char *fs_join(const char *dir, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

const char *fs_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct str fs_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    return (struct str){path, slash ? (size_t)(slash - path) : 0};
}

/* The directory part of a path: "." for a bare name. To be freed by the caller. */
static char *fs_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    if (slash == path)
        return strdup("/");
    return strndup(path, (size_t)(slash - path));
}

int fs_sync_parent(const char *path)
{
    char *CLEAN_FREE parent = fs_parent(path);
    int CLEAN_CLOSE fd = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int fs_write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        n -= (size_t)written;
    }
    return 0;
}

int fs_error(struct gfxb_error *err, int code, const char *what, const char *path)
{
    if (code == ENOSPC || code == EDQUOT)
        return error_set(err, GFXB_E_DISK_FULL,
                         "cannot %s %s: the file system is full; free some space and try again",
                         what, path);
    return error_set(err, code, "cannot %s %s: %s", what, path, error_errno_text(code));
}

int fs_write(const char *path, const void *bytes, size_t n, mode_t mode, struct gfxb_error *err)
{
    char *CLEAN_FREE temporary = NULL;
    if (asprintf(&temporary, "%s" FS_TEMPORARY "XXXXXX", path) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int CLEAN_CLOSE fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, "write", path);
    int result = fs_write_all(fd, bytes, n);
    if (result == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        result = -errno;
    if (result == 0 && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, 0) < 0)
        result = -errno;
    if (result < 0) {
        unlink(temporary);
        return fs_error(err, -result, "write", path);
    }
    result = fs_sync_parent(path);
    return result < 0 ? fs_error(err, -result, "write", path) : 0;
}

const char *fs_next(DIR *dir)
{
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    }
    return NULL;
}

void fs_sweep_writes(const char *path)
{
    struct str name = str_from(fs_name(path));
    char *CLEAN_FREE parent = fs_parent(path);
    DIR *CLEAN_DIR list = parent ? opendir(parent) : NULL;
    const char *entry;
    while ((entry = fs_next(list))) {
        struct str found = str_from(entry), end = {found.p + name.n, found.n - name.n};
        if (name.n ? str_starts(found, name) && str_starts(end, STR(FS_TEMPORARY))
                   : str_has(found, STR(FS_TEMPORARY)))
            unlinkat(dirfd(list), entry, 0);
    }
}

static int fs_read_fd(int fd, size_t max, struct buf *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    char piece[16384];
    for (size_t left = max;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        buf_add(ret, piece, (size_t)n);
        if ((size_t)n > left || !buf_ok(ret))
            return -EFBIG;
        left -= (size_t)n;
    }
}

int fs_read(const char *path, size_t max, struct buf *ret)
{
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fs_read_fd(fd, max, ret);
}

int fs_read_below(const char *dir, const char *path, size_t max, struct buf *ret)
{
    int CLEAN_CLOSE fd = fs_open_below(dir, path, O_RDONLY | O_NONBLOCK);
    return fd < 0 ? fd : fs_read_fd(fd, max, ret);
}

int fs_open_below(const char *dir, const char *path, int flags)
{
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct str rest = str_from(path), name;
    while (fd >= 0 && str_cut(&rest, '/', &name)) {
        int CLEAN_CLOSE above = fd;
        char part[NAME_MAX + 1], link;
        if (name.n > NAME_MAX)
            return -ENAMETOOLONG;
        if (name.n == 0 || str_is(name, ".") || str_is(name, ".."))
            return -EINVAL;
        snprintf(part, sizeof(part), "%.*s", STR_ARG(name));
        fd = openat(above, part, (rest.n ? O_PATH | O_DIRECTORY : flags) | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOTDIR)
            errno = readlinkat(above, part, &link, 1) < 0 ? ENOTDIR : ELOOP;
    }
    return fd < 0 ? -errno : fd;
}

int fs_make_dirs(const char *path, mode_t mode, struct gfxb_error *err)
{
    char *CLEAN_FREE copy = strdup(path);
    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    for (char *slash = copy + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char kept = *slash;
        *slash = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return fs_error(err, errno, "make the directory", copy);
        *slash = kept;
        if (kept == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return fs_error(err, errno, "make the directory", path);
    return S_ISDIR(st.st_mode) ? 0 : fs_error(err, ENOTDIR, "make the directory", path);
}

static int fs_remove_at(int parent, const char *name);

/* Call visit for every entry of a directory, until it fails. Takes the descriptor over. */
static int fs_each_entry(int fd, int (*visit)(int dir, const char *name))
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int result = -errno;
        close(fd);
        return result;
    }
    int result = 0;
    const char *name;
    while (result == 0 && (name = fs_next(dir)))
        result = visit(dirfd(dir), name);
    closedir(dir);
    return result;
}

/* Depth is bounded by what we unpacked ourselves: archives are capped at 64 levels. */
static int fs_remove_at(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    fchmod(fd, 0700); /* a read-only directory does not let its entries go */
    int result = fs_each_entry(fd, fs_remove_at);
    if (result == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        result = -errno;
    return result;
}

int fs_remove_tree(const char *path)
{
    return fs_remove_at(AT_FDCWD, path);
}

/* fsync one entry, with everything below it; links have nothing of their own to be synced. */
static int fs_sync_at(int parent, const char *name)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return 0;
    int CLEAN_CLOSE fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (S_ISDIR(st.st_mode)) {
        int walk = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        int result = walk < 0 ? -errno : fs_each_entry(walk, fs_sync_at);
        if (result < 0)
            return result;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* Rename a directory to a name that must be free. Network file systems do not know the flag: there
 * rename's own refusal to replace a directory that holds something has to do. */
static int fs_rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, 0) == 0)
        return 0;
    return errno == ENOTEMPTY ? -EEXIST : -errno;
}

int fs_publish_tree(const char *stage, const char *final, struct gfxb_error *err)
{
    int result = fs_sync_at(AT_FDCWD, stage);
    if (result == 0)
        result = fs_rename_new(stage, final);
    if (result == 0)
        result = fs_sync_parent(final);
    return result < 0 ? fs_error(err, -result, "publish", final) : 0;
}

int fs_free_bytes(const char *path, uint64_t *ret_bytes)
{
    char *CLEAN_FREE at = strdup(path);
    struct statvfs vfs;
    while (at && statvfs(at, &vfs) < 0) {
        if (errno != ENOENT || strcmp(at, "/") == 0 || strcmp(at, ".") == 0)
            return -errno;
        char *parent = fs_parent(at);
        free(at);
        at = parent;
    }
    if (!at)
        return -ENOMEM;
    *ret_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return 0;
}

const char *fs_mistaken(struct str beginning)
{
    static const struct {
        struct str begins;
        const char *what;
    } kinds[] = {
#define PAGE   "a web page, not the file: its address is another one, or asks for a login"
#define ANSWER "a server's answer, not the file: read it, it says why"
        {STR("version https://git-lfs"),
         "a Git LFS pointer, not the file: git lfs pull fetches the file itself"},
        {STR("# xet version"), "a Xet pointer, not the file: download the file itself"},
        {STR("<!doctype"), PAGE},
        {STR("<html"), PAGE},
        {STR("<head"), PAGE},
        {STR("<?xml"), ANSWER},
        {STR("{\"error"), ANSWER},
        {STR("entry not found"), ANSWER},
        {STR("repository not found"), ANSWER},
        {STR("invalid username or password"), ANSWER},
        {STR("access to model"), ANSWER},
        {STR("not found"), ANSWER},
        {STR("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
         "empty at its beginning: a download that has not ended"},
        {STR("PK\3\4"), "a zip archive, or a model of PyTorch"},
        {STR("\x1f\x8b"), "a gzip archive: unpack it"},
        {STR("\x28\xb5\x2f\xfd"), "a zstd archive: unpack it"},
        {STR("gguf"), "a model: gfxbridge import takes it"},
#undef PAGE
#undef ANSWER
    };
    beginning = str_trim(beginning);
    if (str_starts(beginning, STR("\xef\xbb\xbf"))) /* a byte order mark */
        beginning = str_trim((struct str){beginning.p + 3, beginning.n - 3});
    if (beginning.n > 9 && beginning.p[8] == '{' && beginning.p[7] == '\0')
        return "a safetensors file: llama.cpp's convert_hf_to_gguf.py makes a GGUF file of a model";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct str head = {beginning.p, kinds[i].begins.n};
        if (beginning.n >= head.n && str_eq_nocase(head, kinds[i].begins))
            return kinds[i].what;
    }
    return NULL;
}

/* Inodes with several links that were counted already. */
struct fs_seen {
    ino_t *inode;
    size_t n, capacity;
};

static int fs_seen_add(struct fs_seen *seen, ino_t inode, bool *ret_new)
{
    for (size_t i = 0; i < seen->n; i++) {
        if (seen->inode[i] == inode) {
            *ret_new = false;
            return 0;
        }
    }
    if (!array_grow(&seen->inode, seen->n, &seen->capacity, sizeof(*seen->inode)))
        return -ENOMEM;
    seen->inode[seen->n++] = inode;
    *ret_new = true;
    return 0;
}

int fs_tree_bytes(const char *path, uint64_t *ret_bytes)
{
    char *CLEAN_FREE top = strdup(path);
    if (!top)
        return -ENOMEM;
    char *const paths[] = {top, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return -errno;
    struct fs_seen seen = {0};
    uint64_t bytes = 0;
    int result = 0;
    FTSENT *entry;
    while (result == 0 && (entry = fts_read(walk))) {
        if (entry->fts_info == FTS_DP)
            continue;
        if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) {
            result = -entry->fts_errno;
            break;
        }
        bool is_new = true;
        if (entry->fts_statp->st_nlink > 1 && entry->fts_info != FTS_D)
            result = fs_seen_add(&seen, entry->fts_statp->st_ino, &is_new);
        if (is_new)
            bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
    }
    fts_close(walk);
    free(seen.inode);
    if (result == 0)
        *ret_bytes = bytes;
    return result;
}

/* Some bytes by read and write, for file systems between which the kernel does not copy. */
static ssize_t fs_copy_some(int in, int out, size_t most)
{
    char bytes[65536];
    ssize_t got = read(in, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
    for (ssize_t at = 0; at < got;) {
        ssize_t n = write(out, bytes + at, (size_t)(got - at));
        if (n < 0 && errno != EINTR)
            return -1;
        at += n < 0 ? 0 : n;
    }
    return got;
}

int fs_copy(int in, int out, uint64_t size, const atomic_int *cancel)
{
    bool by_kernel = true;
    for (uint64_t at = 0; at < size;) {
        size_t most = size - at < FS_COPY_PIECE ? (size_t)(size - at) : FS_COPY_PIECE;
        ssize_t n =
            by_kernel ? copy_file_range(in, NULL, out, NULL, most, 0) : fs_copy_some(in, out, most);
        if (cancel && *cancel)
            return -ECANCELED;
        if (n > 0)
            at += (uint64_t)n;
        else if (by_kernel)
            by_kernel = n < 0 && errno == EINTR; /* the other way says why, if it fails as well */
        else if (n == 0 || errno != EINTR)
            return n < 0 ? -errno : -EIO;
    }
    return 0;
}

/* One try. 1: got it, but on a file that its last holder has removed; try again. */
static int fs_lock_once(const char *path, int *ret_fd)
{
    struct stat ours, there;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
    if (result == 0 && (fstat(fd, &ours) < 0 || stat(path, &there) < 0 ||
                        ours.st_ino != there.st_ino || ours.st_dev != there.st_dev))
        result = 1;
    if (result == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return result;
}

int fs_lock(const char *path, bool wait, const atomic_int *cancel, int *ret_fd,
            struct gfxb_error *err)
{
    /* Looking now and then, not sleeping in flock: a signal that comes just before flock would set
     * *cancel and wake nobody. */
    long pause_ms = FS_LOCK_POLL_MIN_MS;
    for (;;) {
        int result = fs_lock_once(path, ret_fd);
        if (result == 0)
            return 0;
        if (result == 1 || result == -EINTR)
            continue;
        if (result != -EWOULDBLOCK || !wait)
            return fs_error(err, -result, "lock", path);
        if (cancel && *cancel)
            return error_set(err, GFXB_E_INTERRUPTED,
                             "interrupted while waiting for another gfxbridge that holds %s", path);
        nanosleep(&(struct timespec){.tv_nsec = pause_ms * 1000000}, NULL);
        pause_ms = pause_ms * 2 < FS_LOCK_POLL_MAX_MS ? pause_ms * 2 : FS_LOCK_POLL_MAX_MS;
    }
}
