/*
 * unpack.h - an archive (tar.gz, tar.zst, tar.xz, zip) into a directory, with nothing in it that
 * could harm: refused are absolute names, '..', links that lead out of the tree, devices, FIFOs,
 * set-id bits, names with control characters, entries that would overwrite another one or collide
 * with it where capitals do not count, and archives that grow beyond all measure. Private to
 * package/.
 */
#ifndef PACKAGE_UNPACK_UNPACK_H
#define PACKAGE_UNPACK_UNPACK_H

#include "base/xalloc.h"
#include "inspect/inspect.h"

#include <stdatomic.h>

struct unpack_options {
    const struct archive_limits *limits; /* NULL: defaults */
    bool strip_top;   /* where everything is below one directory, leave that directory out */
    bool link_copies; /* replace libx.so and libx.so.1 by links where they are copies of libx.so.1.2
                       */
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
};

struct unpack_result {
    uint64_t entries;
    uint64_t bytes;       /* content written */
    uint64_t saved_bytes; /* content that became links */
};

/*
 * Unpack an open file, from its beginning, below an existing directory. Files get mode 0755 when
 * the archive says executable or when they are programs (ELF programs; an engine's, by their
 * names), else 0644; owners, times and other attributes are not taken over.
 *
 * -GFXB_E_ARCHIVE_UNSAFE names the entry; -GFXB_E_DISK_FULL; -GFXB_E_INTERRUPTED; -EBADMSG damaged
 * or no archive. After a failure the directory holds what was written
 * so far: the caller removes it. ret_result may be NULL.
 */
int unpack_run(int fd, const char *directory, const struct unpack_options *options,
               struct unpack_result *ret_result, struct gfxb_error *err);

/* The same from a file of this name. */
int unpack_file(const char *archive, const char *directory, const struct unpack_options *options,
                struct unpack_result *ret_result, struct gfxb_error *err);

/*
 * In every directory below: where a shared library is stored more than once under its names
 * (libx.so, libx.so.1, libx.so.1.2), keep the longest name and make the others links to it.
 * *ret_saved grows by the bytes saved.
 */
int unpack_link_copies(const char *directory, uint64_t *ret_saved, struct gfxb_error *err);

/* ---- entry_set.c: the paths that an archive has brought so far, to refuse what would overwrite
 * ---- */

struct entry_set {
    void *tree; /* of search.h */
};

/*
 * Add a clean path and the directories above it. NULL, or what is wrong as the rest of a sentence:
 * it is there already (only a directory may come again), differs from another only in capitals, or
 * a file stands where it needs a directory.
 */
const char *entry_set_add(struct entry_set *set, const char *path, bool directory);
void entry_set_done(struct entry_set *set);

/* ---- tree.c: new files below one directory and nowhere else. Every component of a path is opened
 * by itself and never through a link, so that nothing an archive brought before can lead a later
 * entry out; nothing that exists is overwritten ---- */

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

/* Move all that is in the directory `top` up into the root and remove it. */
int tree_lift(struct tree *tree, const char *top);

#endif
