/* tree.c - the files of a directory as an inspection's files. */
#include "inspect/inspect_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define TREE_DEPTH_MAX 64

struct tree_walk {
    struct inspector *in;
    struct gfxb_error *err;
    struct buf path;  /* of the current entry, relative to the top */
    uint64_t *linked; /* device and inode, in pairs, of files with several names */
    size_t n_linked;
};

static int walk_dir(struct tree_walk *w, int parent, const char *name, unsigned depth);

/* Was this file met under another name? */
static bool walk_met(struct tree_walk *w, const struct stat *st)
{
    if (st->st_nlink < 2)
        return false;
    for (size_t i = 0; i < w->n_linked; i++) {
        if (w->linked[2 * i] == st->st_dev && w->linked[2 * i + 1] == st->st_ino)
            return true;
    }
    w->linked = xreallocarray(w->linked, w->n_linked + 1, 2 * sizeof(*w->linked));
    w->linked[2 * w->n_linked] = st->st_dev;
    w->linked[2 * w->n_linked + 1] = st->st_ino;
    w->n_linked++;
    return false;
}

static int walk_file(struct tree_walk *w, int parent, const char *name, const struct stat *st)
{
    bool is_known = inspector_note_path(w->in, buf_text(&w->path));
    if (!is_known && walk_met(w, st))
        return 0;
    w->in->found.size += (uint64_t)st->st_size;
    if (is_known)
        return 0;
    int CLEAN_CLOSE fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct image image;
    unsigned char head[64];
    size_t n;
    if (fd < 0)
        return error_set(w->err, errno, "%s: %s", buf_text(&w->path), error_errno_text(errno));
    if (image_from_fd(fd, &image) < 0 || image_read_some(&image, 0, head, sizeof(head), &n) < 0 ||
        !inspector_wants(head, n))
        return 0;
    return inspector_try(w->in, buf_text(&w->path), &image, w->err);
}

static int walk_entry(struct tree_walk *w, int parent, const char *name, unsigned depth)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(w->err, errno, "%s: %s", buf_text(&w->path), error_errno_text(errno));
    if (S_ISDIR(st.st_mode))
        return walk_dir(w, parent, name, depth + 1);
    return S_ISREG(st.st_mode) ? walk_file(w, parent, name, &st) : 0;
}

static int walk_names(struct tree_walk *w, int dir, const struct names *entries, unsigned depth)
{
    int r = 0;
    size_t length = w->path.n;
    for (size_t i = 0; i < entries->n && r == 0; i++) {
        if (length)
            buf_add_char(&w->path, '/');
        buf_add_text(&w->path, entries->name[i]);
        if (!buf_ok(&w->path))
            return error_set(w->err, ENAMETOOLONG, "%s: the path is too long", buf_text(&w->path));
        r = walk_entry(w, dir, entries->name[i], depth);
        w->path.n = length;
        w->path.p[length] = '\0';
    }
    return r;
}

/* In the order of names, so that the result does not depend on the file system. */
static int walk_dir(struct tree_walk *w, int parent, const char *name, unsigned depth)
{
    if (depth > TREE_DEPTH_MAX)
        return error_set(w->err, ELOOP, "%s: nested too deeply", buf_text(&w->path));
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int r = error_set(w->err, errno, "%s: %s", depth ? buf_text(&w->path) : name,
                          error_errno_text(errno));
        if (fd >= 0)
            close(fd);
        return r;
    }
    struct names entries = {0};
    for (struct dirent *d = readdir(dir); d; d = readdir(dir)) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            names_add(&entries, str_from(d->d_name));
    }
    int r = entries.n == NAMES_MAX
                ? error_set(w->err, E2BIG, "%s: too many files in it", buf_text(&w->path))
                : walk_names(w, dirfd(dir), &entries, depth);
    names_done(&entries);
    closedir(dir);
    return r;
}

int inspect_tree(struct inspector *in, const char *directory, struct gfxb_error *err)
{
    struct tree_walk w = {.in = in, .err = err, .path = BUF_INIT(PATH_MAX)};
    int r = walk_dir(&w, AT_FDCWD, directory, 0);
    buf_done(&w.path);
    free(w.linked);
    return r;
}

static int beside_file(struct inspector *in, const char *path, struct gfxb_error *err)
{
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct image image;
    if (fd < 0 || image_from_fd(fd, &image) < 0)
        return 0;
    return kpack_index_add(&in->kpack, &image, err);
}

/* Files in the directory of a search path whose names fit its last part. */
static int beside_search(struct inspector *in, const char *directory, const char *search,
                         struct gfxb_error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(search, '/');
    struct str above = slash ? (struct str){search, (size_t)(slash - search)} : STR(".");
    struct str pattern = str_from(slash ? slash + 1 : search);
    if (search[0] == '/' ||
        snprintf(folder, sizeof(folder), "%s/%.*s", directory, STR_ARG(above)) >= PATH_MAX)
        return 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    int r = 0;
    for (struct dirent *d = readdir(dir); d && r == 0; d = readdir(dir)) {
        char *CLEAN_FREE path = xfs_join(folder, d->d_name);
        if (kpack_name_fits(pattern, str_from(d->d_name)))
            r = beside_file(in, path, err);
    }
    closedir(dir);
    return r;
}

int inspect_beside(struct inspector *in, const char *directory, struct gfxb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < in->n_refs && r == 0; i++) {
        const struct names *search = &in->ref[i].ref.search;
        for (size_t j = 0; j < search->n && r == 0; j++)
            r = beside_search(in, directory, search->name[j], err);
    }
    return r;
}
