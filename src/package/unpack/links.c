/* links.c - shared libraries that an archive without links stored once for each of their names. */
#include "package/unpack/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* "libx.so" of "libx.so.1.2"; empty when it is no shared library's name. */
static struct str links_stem(struct str name)
{
    const char *so = memmem(name.p, name.n, ".so", 3);
    if (!so || !str_starts(name, STR("lib")))
        return STR_NONE;
    size_t n = (size_t)(so - name.p) + 3;
    return n == name.n || name.p[n] == '.' ? (struct str){name.p, n} : STR_NONE;
}

/* 1 the same content, 0 not, or -errno. */
static int links_same_content(int dir, const char *a, const char *b)
{
    int CLEAN_CLOSE fd_a = openat(dir, a, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int CLEAN_CLOSE fd_b = openat(dir, b, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char hex_a[DIGEST_HEX], hex_b[DIGEST_HEX];
    if (fd_a < 0 || fd_b < 0)
        return -errno;
    int r = digest_fd(fd_a, hex_a, NULL);
    if (r == 0)
        r = digest_fd(fd_b, hex_b, NULL);
    return r < 0 ? r : strcmp(hex_a, hex_b) == 0;
}

/* Replace `copy` by a link to `real` when they are two files with the same content. */
static int links_replace(int dir, const char *copy, const char *real)
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
    return 0;
}

/* The names of one directory are sorted: those of a library follow each other, the longer ones of a
 * chain (libx.so, libx.so.1, libx.so.1.2) later. Each is compared with every later one. */
static int links_one_dir(int dir, const struct names *libraries)
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
                r = links_replace(dir, libraries->name[i], libraries->name[j]);
        }
    }
    return r;
}

/* The libraries of one directory. */
static int links_look_at(const char *path)
{
    struct names libraries = {0};
    struct stat st;
    DIR *dir = opendir(path);
    const struct dirent *entry;
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        if (links_stem(str_from(entry->d_name)).n &&
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            names_add(&libraries, str_from(entry->d_name));
    }
    int r = links_one_dir(dirfd(dir), &libraries);
    names_done(&libraries);
    closedir(dir);
    return r;
}

int unpack_link_copies(const char *directory, struct gfxb_error *err)
{
    char *CLEAN_FREE top = xstrdup(directory);
    char *const tops[] = {top, NULL};
    FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *entry;
    int r = walk ? 0 : -errno;
    while (r == 0 && (entry = fts_read(walk))) {
        if (entry->fts_info == FTS_DP) /* left: nothing of it will be read any more */
            r = links_look_at(entry->fts_path);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            r = -entry->fts_errno;
    }
    if (walk)
        fts_close(walk);
    return r < 0 ? fs_error(err, -r, "turn copies of libraries into links in", directory) : 0;
}
