/*
 * directory.c - the live computer through plain paths, and a directory that holds a copy of one,
 * through openat2, which never leaves it.
 */
#include "sysroot/root_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define DIR_STUB_MAX 1024 /* bytes of a link that became a file */

/* In a directory no link is followed: walk.c has done that. Elsewhere the kernel follows them. */
static int dir_open(const struct root *root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
    };
    int fd = root->source == ROOT_SOURCE_LIVE
                 ? open(path, flags | O_CLOEXEC)
                 : (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
    return fd < 0 ? root_result(root, -errno) : fd;
}

/* Only what may be opened without side effects: no FIFO, no device. 0 or -errno. */
static int dir_open_regular(const struct root *root, const char *path)
{
    struct stat st;
    int fd = dir_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

int root_dir_read(const struct root *root, const char *path, uint64_t offset, size_t max,
                  struct buf *ret)
{
    int CLEAN_CLOSE fd = dir_open_regular(root, path);
    if (fd < 0)
        return fd;
    if (offset && lseek(fd, (off_t)offset, SEEK_SET) < 0)
        return -errno;
    while (max > 0) {
        size_t piece = max < 4096 ? max : 4096;
        char *room = buf_room(ret, piece);
        if (!room)
            return root_result(root, -ENOMEM);
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

/* The target of a link that became a small file: "../TARGET" and no newline. */
static bool dir_read_stub(const struct root *root, const char *path, char target[ROOT_PATH_MAX])
{
    int CLEAN_CLOSE fd = dir_open_regular(root, path);
    ssize_t n = fd < 0 ? -1 : read(fd, target, DIR_STUB_MAX);
    if (n < 4 || n == DIR_STUB_MAX || memcmp(target, "../", 3) != 0 ||
        memchr(target, '\n', (size_t)n) || memchr(target, '\0', (size_t)n))
        return false;
    target[n] = '\0';
    return true;
}

/* Directories that many things share: a copy of a part of them says nothing about the rest. */
static bool dir_is_shared(const char *path)
{
    static const char *const shared[] = {
        "/",    "/etc",     "/proc",        "/run",       "/sys",
        "/usr", "/sys/bus", "/sys/bus/pci", "/sys/class", "/sys/devices",
        "/var", "/usr/lib", "/sys/module",  "/usr/share", "/sys/class/drm",
    };
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        if (strcmp(path, shared[i]) == 0)
            return true;
    }
    return false;
}

static enum root_entry_kind dir_kind(const struct root *root, const char *path, int fd,
                                     const struct stat *st, char target[ROOT_PATH_MAX])
{
    if (S_ISDIR(st->st_mode))
        return dir_is_shared(path) ? ROOT_ENTRY_NONE : ROOT_ENTRY_DIR;
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlinkat(fd, "", target, ROOT_PATH_MAX - 1);
        target[n < 0 ? 0 : n] = '\0';
        return ROOT_ENTRY_LINK;
    }
    if (S_ISREG(st->st_mode))
        return root->source == ROOT_SOURCE_DIRECTORY && st->st_size < DIR_STUB_MAX &&
                       dir_read_stub(root, path, target)
                   ? ROOT_ENTRY_LINK
                   : ROOT_ENTRY_FILE;
    return S_ISCHR(st->st_mode) ? ROOT_ENTRY_CHAR : ROOT_ENTRY_OTHER;
}

int root_dir_find(const struct root *root, const char *path, bool follow,
                  char target[ROOT_PATH_MAX], struct root_place *ret_place)
{
    struct stat st;
    int CLEAN_CLOSE fd = dir_open(root, path, O_PATH | (follow ? 0 : O_NOFOLLOW));
    if (fd == -ENOENT || fd == -ENOTDIR) {
        *ret_place = (struct root_place){.is_dir = false};
        return 0;
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return fd < 0 ? fd : -errno;
    enum root_entry_kind kind = dir_kind(root, path, fd, &st, target);
    *ret_place = (struct root_place){
        .is_dir = S_ISDIR(st.st_mode),
        .entry = {.kind = kind,
                  .content = kind == ROOT_ENTRY_LINK ? str_from(target) : STR_NONE,
                  .mode = st.st_mode & 07777,
                  .uid = st.st_uid,
                  .gid = st.st_gid},
    };
    return 0;
}

int root_dir_try_open(const char *path)
{
    int CLEAN_CLOSE fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : 0;
}

int root_dir_list(const struct root *root, const char *path, struct root_names *names)
{
    size_t capacity = 0;
    int fd = dir_open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int code = errno;
        close(fd);
        return -code;
    }
    int r = 0;
    struct dirent *entry;
    while (r == 0 && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = root_names_add(names, &capacity, str_from(entry->d_name));
    }
    if (r == 0 && errno)
        r = -errno;
    closedir(dir);
    return r;
}
