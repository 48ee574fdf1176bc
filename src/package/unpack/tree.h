/*
 * tree.h - writing new files below one directory and nowhere else. Every component of a path is
 * opened by itself and never through a link, so that nothing an archive brought before can lead a
 * later entry out; nothing that exists is overwritten. Private to package/.
 */
#ifndef PACKAGE_UNPACK_TREE_H
#define PACKAGE_UNPACK_TREE_H

#include "base/base.h"
#include <sys/types.h>

struct tree {
    int root;   /* the directory */
    int parent; /* of the last path; root, or open by itself */
    struct buf parent_path;
};

/* directory must exist. */
int tree_open(const char *directory, struct tree *ret_tree, struct gfxb_error *err);
void tree_done(struct tree *tree);

/* Paths are clean (entry_path_clean). Missing directories are made, mode 0755. Results: 0 or
 * -errno; -EEXIST it is there, -ENOTDIR or -ELOOP it leads through a file or a link. */
int tree_make_dir(struct tree *tree, const char *path);
int tree_make_file(struct tree *tree, const char *path, int *ret_fd); /* empty, mode 0600 */
int tree_make_symlink(struct tree *tree, const char *path, const char *target);
int tree_make_hardlink(struct tree *tree, const char *path, const char *existing);

/*
 * Move all that is in the directory `top` up into the root and remove it.
 */
int tree_lift(struct tree *tree, const char *top);

#endif
