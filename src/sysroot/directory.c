/*
 * root_dir.c - the live computer through plain paths, a directory through openat2, which keeps
 * absolute and ".." links inside it.
 */
#include "sysroot/root_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define DIR_STUB_MAX 1024 /* bytes of a link that became a file */

static int dir_open(const struct root *root, const char *path, int flags)
{
    int fd;
    if (root->source == ROOT_SOURCE_LIVE) {
        fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int tries = 0;
    do /* -EAGAIN: something was renamed meanwhile, so ".." could not be trusted */
        fd = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
    while (fd < 0 && errno == EAGAIN && ++tries < 8);
    return fd < 0 ? -errno : fd;
}

/* Only what may be opened without side effects: no FIFO, no device. 0 or -errno. */
static int dir_open_regular(const struct root *root, const char *path, struct stat *ret_stat)
{
    if (root->source == ROOT_SOURCE_DIRECTORY) {
        int CLEAN_CLOSE place = dir_open(root, path, O_PATH);
        if (place < 0)
            return place;
        if (fstat(place, ret_stat) < 0)
            return -errno;
        if (!S_ISREG(ret_stat->st_mode))
            return S_ISDIR(ret_stat->st_mode) ? -EISDIR : -EINVAL;
    }
    int fd = dir_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    if (fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode))
        return fd;
    close(fd);
    return S_ISDIR(ret_stat->st_mode) ? -EISDIR : -EINVAL;
}

static int dir_read_fd(int fd, size_t max, struct buf *ret)
{
    while (max > 0) {
        size_t piece = max < 4096 ? max : 4096;
        char *room = buf_room(ret, piece);
        if (!room)
            return -ENOMEM;
        ssize_t n = read(fd, room, piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        buf_grew(ret, (size_t)n);
        max -= (size_t)n;
    }
    return 0;
}

/* The target in a link that became a file; -ENOENT when path is no such file. */
static int dir_read_stub(const struct root *root, const char *path, char *ret_target, size_t size)
{
    struct stat st;
    int CLEAN_CLOSE fd = dir_open_regular(root, path, &st);
    if (fd < 0 || st.st_size < 4 || st.st_size >= DIR_STUB_MAX || (size_t)st.st_size >= size)
        return -ENOENT;
    ssize_t n = read(fd, ret_target, (size_t)st.st_size);
    if (n < 4 || memcmp(ret_target, "../", 3) != 0)
        return -ENOENT;
    if (memchr(ret_target, '\n', (size_t)n) || memchr(ret_target, '\0', (size_t)n))
        return -ENOENT;
    ret_target[n] = '\0';
    return 0;
}

/* Is there no link (a real one) on the way to path? Then ".." can be taken off as text. */
static bool dir_is_plain(const struct root *root, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
    };
    int CLEAN_CLOSE fd = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
    return fd >= 0;
}

/* "dir of the first `end` bytes of path" + "/" + target + rest of path, into path. */
static int dir_splice(const struct root *root, char path[ROOT_PATH_MAX], size_t end,
                      const char *target)
{
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    struct buf CLEAN_BUF text = BUF_INIT(ROOT_PATH_MAX - 1);
    buf_add(&text, path, start);
    if (buf_ok(&text) && dir_is_plain(root, buf_text(&text))) {
        while (strncmp(target, "../", 3) == 0) {
            target += 3;
            while (text.n > 1 && text.p[--text.n - 1] != '/')
                continue;
        }
    }
    buf_add_text(&text, target);
    buf_add_text(&text, path + end);
    if (!buf_ok(&text))
        return -ENAMETOOLONG;
    memcpy(path, text.p, text.n + 1);
    return 0;
}

/* Does prefix lead to a directory (1), to something else (0), or further than such a thing (-1)? */
static int dir_probe(const struct root *root, const char *prefix)
{
    struct stat st;
    int CLEAN_CLOSE fd = dir_open(root, prefix, O_PATH);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    return S_ISDIR(st.st_mode);
}

/*
 * The length of the first prefix of path that is no directory, at most n; by halving, because what
 * lies beyond it cannot be opened either. 0 when all are directories.
 */
static size_t dir_find_end(const struct root *root, const char *path, size_t n)
{
    char prefix[ROOT_PATH_MAX];
    size_t ends[ROOT_PATH_MAX / 2];
    size_t count = 0;
    for (size_t end = 1; end <= n; end++) {
        if (end == n || path[end] == '/')
            ends[count++] = end;
    }
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        memcpy(prefix, path, ends[middle]);
        prefix[ends[middle]] = '\0';
        if (dir_probe(root, prefix) == 1)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count ? ends[low] : 0;
}

/*
 * Put the target of the first link that became a file into path. last: the path's last component
 * counts too. 1 something was replaced, 0 nothing to replace, or -errno.
 */
static int dir_follow_stub(const struct root *root, char path[ROOT_PATH_MAX], bool last)
{
    char target[DIR_STUB_MAX];
    char prefix[ROOT_PATH_MAX];
    size_t n = strlen(path);
    while (!last && n > 1 && path[n] != '/')
        n--;
    size_t end = dir_find_end(root, path, n);
    if (end == 0)
        return 0;
    memcpy(prefix, path, end);
    prefix[end] = '\0';
    if (dir_read_stub(root, prefix, target, sizeof(target)) < 0)
        return 0;
    int r = dir_splice(root, path, end, target);
    return r < 0 ? r : 1;
}

/*
 * Replace such links on the way to path (and at its end with last), as far as there are any:
 * ret_path names the same thing without them. 1 when anything was replaced, 0, or -errno.
 */
static int dir_follow_stubs(const struct root *root, const char *path, bool last,
                            char ret_path[ROOT_PATH_MAX])
{
    size_t n = strlen(path);
    if (root->source == ROOT_SOURCE_LIVE)
        return 0;
    if (n >= ROOT_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret_path, path, n + 1);
    int replaced = 0;
    for (int i = 0; i < ROOT_LINKS_MAX; i++) {
        int r = dir_follow_stub(root, ret_path, last);
        if (r <= 0)
            return r < 0 ? r : replaced;
        replaced = 1;
    }
    return -ELOOP;
}

static bool dir_is_stub(const struct root *root, const struct buf *b, size_t start)
{
    struct str text = {b->p + start, b->n - start};
    return root->source == ROOT_SOURCE_DIRECTORY && text.n >= 4 && text.n < DIR_STUB_MAX &&
           str_starts(text, STR("../")) && !memchr(text.p, '\n', text.n) &&
           !memchr(text.p, '\0', text.n);
}

static int dir_read_once(const struct root *root, const char *path, size_t max, struct buf *ret)
{
    struct stat st;
    int CLEAN_CLOSE fd = dir_open_regular(root, path, &st);
    return fd < 0 ? fd : dir_read_fd(fd, max, ret);
}

int root_dir_read(const struct root *root, const char *path, size_t max, struct buf *ret)
{
    size_t start = ret->n;
    int r = dir_read_once(root, path, max, ret);
    if (r != -ENOTDIR && (r < 0 || !dir_is_stub(root, ret, start)))
        return r;
    char real[ROOT_PATH_MAX];
    int followed = dir_follow_stubs(root, path, true, real);
    if (followed <= 0)
        return followed < 0 ? followed : r;
    if (ret->n > start) {
        ret->n = start;
        ret->p[start] = '\0';
    }
    return dir_read_once(root, real, max, ret);
}

static int dir_readlink_once(const struct root *root, const char *path, char *ret_target,
                             size_t size)
{
    int CLEAN_CLOSE fd = -1;
    ssize_t n;
    if (root->source == ROOT_SOURCE_LIVE) {
        n = readlink(path, ret_target, size);
    } else {
        fd = dir_open(root, path, O_PATH | O_NOFOLLOW);
        if (fd < 0)
            return fd;
        n = readlinkat(fd, "", ret_target, size);
        if (n < 0 && errno == ENOENT) /* what readlinkat says of an open file that is no link */
            return dir_read_stub(root, path, ret_target, size) == 0 ? 0 : -EINVAL;
    }
    if (n < 0)
        return -errno;
    if ((size_t)n >= size)
        return -E2BIG;
    ret_target[n] = '\0';
    return 0;
}

int root_dir_readlink(const struct root *root, const char *path, char *ret_target, size_t size)
{
    /* Filled only on success: the caller's text stays as it was. */
    char target[ROOT_PATH_MAX];
    int r = dir_readlink_once(root, path, target, sizeof(target));
    if (r == -ENOTDIR) {
        char real[ROOT_PATH_MAX];
        int followed = dir_follow_stubs(root, path, false, real);
        if (followed > 0)
            r = dir_readlink_once(root, real, target, sizeof(target));
    }
    if (r < 0)
        return r;
    size_t n = strlen(target);
    if (n >= size)
        return -E2BIG;
    memcpy(ret_target, target, n + 1);
    return 0;
}

static enum root_kind dir_kind(mode_t mode)
{
    if (S_ISREG(mode))
        return ROOT_FILE;
    if (S_ISDIR(mode))
        return ROOT_DIR;
    if (S_ISLNK(mode))
        return ROOT_LINK;
    return S_ISCHR(mode) ? ROOT_CHAR : ROOT_OTHER;
}

static int dir_stat_once(const struct root *root, const char *path, int flags, struct stat *ret)
{
    if (root->source == ROOT_SOURCE_LIVE)
        return (flags & O_NOFOLLOW ? lstat(path, ret) : stat(path, ret)) < 0 ? -errno : 0;
    int CLEAN_CLOSE fd = dir_open(root, path, O_PATH | flags);
    if (fd < 0)
        return fd;
    return fstat(fd, ret) < 0 ? -errno : 0;
}

/* A link that became a file at the end of path: what it leads to, or ROOT_LINK when nothing. */
static int dir_stat_stub(const struct root *root, const char *path, struct stat *st)
{
    char real[ROOT_PATH_MAX];
    if (st->st_size < 4 || st->st_size >= DIR_STUB_MAX ||
        dir_follow_stubs(root, path, true, real) <= 0)
        return 0;
    int r = dir_stat_once(root, real, 0, st);
    if (r == -ENOENT || r == -ENOTDIR) {
        *st = (struct stat){.st_mode = S_IFLNK | 0777};
        r = 0;
    }
    return r;
}

static int dir_stat(const struct root *root, const char *path, struct stat *st)
{
    char real[ROOT_PATH_MAX];
    int r = dir_stat_once(root, path, 0, st);
    if (r == -ENOTDIR && dir_follow_stubs(root, path, false, real) > 0) {
        path = real;
        r = dir_stat_once(root, path, 0, st);
    }
    if (r == 0 && root->source == ROOT_SOURCE_DIRECTORY && S_ISREG(st->st_mode))
        return dir_stat_stub(root, path, st);
    if (r == -ENOENT || r == -ELOOP) {
        int seen = dir_stat_once(root, path, O_NOFOLLOW, st);
        r = seen == 0 && S_ISLNK(st->st_mode) ? 0 : r;
    }
    return r;
}

int root_dir_stat(const struct root *root, const char *path, struct root_stat *ret_stat)
{
    struct stat st;
    int r = dir_stat(root, path, &st);
    if (r < 0)
        return r;
    *ret_stat = (struct root_stat){
        .kind = dir_kind(st.st_mode),
        .mode = st.st_mode & 07777,
        .uid = st.st_uid,
        .gid = st.st_gid,
    };
    return 0;
}

static int dir_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int dir_list_fd(int fd, struct root_names *ret_names)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int code = errno;
        close(fd);
        return -code;
    }
    struct root_names names = {NULL, 0};
    size_t capacity = 0;
    int r = 0;
    struct dirent *entry;
    while (r == 0 && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = root_names_add(&names, &capacity, str_from(entry->d_name));
    }
    if (r == 0 && errno)
        r = -errno;
    closedir(dir);
    if (r < 0) {
        root_names_done(&names);
        return r;
    }
    if (names.n)
        qsort(names.name, names.n, sizeof(*names.name), dir_compare_names);
    *ret_names = names;
    return 0;
}

int root_dir_list(const struct root *root, const char *path, struct root_names *ret_names)
{
    int fd = dir_open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (fd == -ENOTDIR) {
        char real[ROOT_PATH_MAX];
        if (dir_follow_stubs(root, path, true, real) > 0)
            fd = dir_open(root, real, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    }
    return fd < 0 ? fd : dir_list_fd(fd, ret_names);
}

int root_dir_try_open(const struct root *root, const char *path)
{
    struct root_stat st;
    int r = root_dir_stat(root, path, &st);
    if (r < 0)
        return r;
    if (root->source == ROOT_SOURCE_DIRECTORY)
        return -ENODATA; /* a copy of a device node opens nothing */
    if (st.kind != ROOT_CHAR)
        return -ENODEV;
    int fd = dir_open(root, path, O_RDWR | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* Directories that many things share: a copy of a part of them says nothing about the rest. */
static const char *const dir_shared[] = {
    "/",    "/etc",     "/proc",        "/run",       "/sys",
    "/usr", "/sys/bus", "/sys/bus/pci", "/sys/class", "/sys/devices",
    "/var", "/usr/lib", "/sys/module",  "/usr/share",
};

static bool dir_is_shared(const char *path)
{
    for (size_t i = 0; i < sizeof(dir_shared) / sizeof(dir_shared[0]); i++) {
        if (strcmp(path, dir_shared[i]) == 0)
            return true;
    }
    return false;
}

/* Cut the last component off: "/a/b" becomes "/a", "/a" becomes "/". */
static void dir_cut_last(char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    path[n] = '\0';
}

bool root_dir_knows(const struct root *root, const char *path)
{
    if (root->source == ROOT_SOURCE_LIVE)
        return true;
    char place[ROOT_PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof(place))
        return false;
    memcpy(place, path, n + 1);
    for (bool first = true;; first = false) {
        struct root_stat st;
        if (root_dir_stat(root, place, &st) == 0) {
            if (st.kind == ROOT_LINK) /* dangling: what it leads to was not copied */
                return false;
            return first || (st.kind == ROOT_DIR && !dir_is_shared(place));
        }
        if (place[0] == '\0' || strcmp(place, "/") == 0)
            return false;
        dir_cut_last(place);
    }
}
