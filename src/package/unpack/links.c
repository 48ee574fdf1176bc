/* links.c - shared libraries that an archive without links stored once for each of their names. */
#include "package/unpack/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINKS_PIECE 131072
#define LINKS_DEPTH ENTRY_DEPTH_MAX

/* "libx.so" of "libx.so.1.2"; empty when it is no shared library's name. */
static struct str links_stem(struct str name)
{
    const char *so = memmem(name.p, name.n, ".so", 3);
    if (!so || !str_starts(name, STR("lib")))
        return STR_NONE;
    size_t n = (size_t)(so - name.p) + 3;
    return n == name.n || name.p[n] == '.' ? (struct str){name.p, n} : STR_NONE;
}

static int links_read_piece(int fd, char *piece, size_t *ret_n)
{
    size_t done = 0;
    while (done < LINKS_PIECE) {
        ssize_t n = read(fd, piece + done, LINKS_PIECE - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_n = done;
    return 0;
}

/* 1 the same content, 0 not, or -errno. */
static int links_same_content(int dir, const char *a, const char *b)
{
    int CLEAN_CLOSE fd_a = openat(dir, a, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int CLEAN_CLOSE fd_b = openat(dir, b, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd_a < 0 || fd_b < 0)
        return -errno;
    char *CLEAN_FREE pieces = xmalloc(2 * LINKS_PIECE);
    size_t n_a = 1, n_b = 1;
    while (n_a) {
        int r = links_read_piece(fd_a, pieces, &n_a);
        if (r == 0)
            r = links_read_piece(fd_b, pieces + LINKS_PIECE, &n_b);
        if (r < 0)
            return r;
        if (n_a != n_b || memcmp(pieces, pieces + LINKS_PIECE, n_a) != 0)
            return 0;
    }
    return 1;
}

/* Replace `copy` by a link to `real` when they are two files with the same content. */
static int links_replace(int dir, const char *copy, const char *real, uint64_t *saved)
{
    struct stat c, f;
    if (fstatat(dir, copy, &c, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(dir, real, &f, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(c.st_mode) || !S_ISREG(f.st_mode) || c.st_size != f.st_size ||
        c.st_ino == f.st_ino || c.st_size == 0)
        return 0;
    int r = links_same_content(dir, copy, real);
    if (r <= 0)
        return r;
    char temporary[NAME_MAX + 1];
    snprintf(temporary, sizeof(temporary), ".link-%ld", (long)getpid());
    if (symlinkat(real, dir, temporary) < 0)
        return -errno;
    if (renameat(dir, temporary, dir, copy) < 0) {
        r = -errno;
        unlinkat(dir, temporary, 0);
        return r;
    }
    *saved += (uint64_t)c.st_size;
    return 0;
}

/* The names of one directory are sorted: those of a library follow each other, the longer ones of a
 * chain (libx.so, libx.so.1, libx.so.1.2) later. Each is compared with every later one. */
static int links_one_dir(int dir, const struct names *libraries, uint64_t *saved)
{
    int r = 0;
    for (size_t i = 0; i < libraries->n && r == 0; i++) {
        struct str name = str_from(libraries->name[i]);
        struct str stem = links_stem(name);
        size_t last = i;
        while (last + 1 < libraries->n &&
               str_eq(links_stem(str_from(libraries->name[last + 1])), stem))
            last++;
        /* The longest first: what is linked to it is a link already when its own turn comes. */
        for (size_t j = last; j > i && r == 0; j--) {
            struct str other = str_from(libraries->name[j]);
            if (str_starts(other, name) && other.p[name.n] == '.')
                r = links_replace(dir, libraries->name[i], libraries->name[j], saved);
        }
    }
    return r;
}

static int links_walk(int parent, const char *name, unsigned depth, uint64_t *saved);

static int links_walk_entries(DIR *dir, unsigned depth, uint64_t *saved)
{
    struct names libraries = {0};
    int r = 0;
    for (struct dirent *d = readdir(dir); d && r == 0; d = readdir(dir)) {
        struct stat st;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = -errno;
        else if (S_ISDIR(st.st_mode))
            r = links_walk(dirfd(dir), d->d_name, depth + 1, saved);
        else if (S_ISREG(st.st_mode) && links_stem(str_from(d->d_name)).n)
            names_add(&libraries, str_from(d->d_name));
    }
    if (r == 0)
        r = links_one_dir(dirfd(dir), &libraries, saved);
    names_done(&libraries);
    return r;
}

static int links_walk(int parent, const char *name, unsigned depth, uint64_t *saved)
{
    if (depth > LINKS_DEPTH)
        return -ELOOP;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = links_walk_entries(dir, depth, saved);
    closedir(dir);
    return r;
}

int unpack_link_copies(const char *directory, uint64_t *ret_saved, struct gfxb_error *err)
{
    int r = links_walk(AT_FDCWD, directory, 0, ret_saved);
    return r < 0 ? fs_error(err, -r, "turn copies of libraries into links in", directory) : 0;
}
