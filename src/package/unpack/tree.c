/* tree.c - new files below one directory and nowhere else. */
#include "package/unpack/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define TREE_DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int tree_open(const char *directory, struct tree *ret_tree, struct gfxb_error *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, "write into", directory);
    *ret_tree = (struct tree){fd, fd, BUF_INIT(ENTRY_PATH_MAX + 1)};
    return 0;
}

static void tree_forget_parent(struct tree *tree)
{
    if (tree->parent != tree->root && tree->parent >= 0)
        close(tree->parent);
    tree->parent = tree->root;
    buf_clear(&tree->parent_path);
}

void tree_done(struct tree *tree)
{
    tree_forget_parent(tree);
    if (tree->root >= 0)
        close(tree->root);
    buf_done(&tree->parent_path);
    tree->root = tree->parent = -1;
}

/* The directory `name` in `above`, made when it is not there. */
static int tree_enter(int above, const char *name)
{
    int fd = openat(above, name, TREE_DIR_FLAGS);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    if (mkdirat(above, name, 0755) < 0)
        return -errno;
    if (fchmodat(above, name, 0755, 0) < 0) /* whatever the umask */
        return -errno;
    fd = openat(above, name, TREE_DIR_FLAGS);
    return fd >= 0 ? fd : -errno;
}

/* Make directory `path` the parent. */
static int tree_enter_path(struct tree *tree, struct str path)
{
    if (str_eq(buf_view(&tree->parent_path), path))
        return 0;
    tree_forget_parent(tree);
    struct str rest = path, part;
    int at = tree->root;
    while (str_cut(&rest, '/', &part)) {
        char name[ENTRY_NAME_MAX + 1];
        snprintf(name, sizeof(name), "%.*s", STR_ARG(part));
        int next = tree_enter(at, name);
        if (at != tree->root)
            close(at);
        if (next < 0)
            return next;
        at = next;
    }
    tree->parent = at;
    buf_add_str(&tree->parent_path, path);
    return 0;
}

/* Enter the directory of path; *ret_name is its last component. */
static int tree_enter_parent(struct tree *tree, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    *ret_name = slash ? slash + 1 : path;
    return tree_enter_path(tree, slash ? (struct str){path, (size_t)(slash - path)} : STR_NONE);
}

int tree_make_dir(struct tree *tree, const char *path)
{
    return tree_enter_path(tree, str_from(path));
}

int tree_make_file(struct tree *tree, const char *path, int *ret_fd)
{
    const char *name;
    int r = tree_enter_parent(tree, path, &name);
    if (r < 0)
        return r;
    int fd = openat(tree->parent, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int tree_make_symlink(struct tree *tree, const char *path, const char *target)
{
    const char *name;
    int r = tree_enter_parent(tree, path, &name);
    if (r < 0)
        return r;
    return symlinkat(target, tree->parent, name) < 0 ? -errno : 0;
}

int tree_make_hardlink(struct tree *tree, const char *path, const char *existing)
{
    const char *name, *old_name;
    struct stat st;
    int r = tree_enter_parent(tree, existing, &old_name);
    if (r < 0)
        return r;
    int CLEAN_CLOSE from = fcntl(tree->parent, F_DUPFD_CLOEXEC, 0);
    if (from < 0)
        return -errno;
    if (fstatat(from, old_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ELOOP;
    r = tree_enter_parent(tree, path, &name);
    if (r < 0)
        return r;
    return linkat(from, old_name, tree->parent, name, 0) < 0 ? -errno : 0;
}

static int tree_lift_children(struct tree *tree, int from)
{
    DIR *dir = fdopendir(from);
    if (!dir) {
        int r = -errno;
        close(from);
        return r;
    }
    int r = 0;
    for (struct dirent *d = readdir(dir); d && r == 0; d = readdir(dir)) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (renameat2(dirfd(dir), d->d_name, tree->root, d->d_name, RENAME_NOREPLACE) < 0)
            r = -errno;
    }
    closedir(dir);
    return r;
}

int tree_lift(struct tree *tree, const char *top)
{
    char temporary[64];
    tree_forget_parent(tree);
    /* Out of the way of a child with the same name. */
    snprintf(temporary, sizeof(temporary), ".lift-%ld-%lld", (long)getpid(),
             (long long)clock_now_ms());
    if (renameat2(tree->root, top, tree->root, temporary, RENAME_NOREPLACE) < 0)
        return -errno;
    int from = openat(tree->root, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = from < 0 ? -errno : tree_lift_children(tree, from);
    if (r == 0 && unlinkat(tree->root, temporary, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}
