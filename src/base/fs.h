/* fs.h - writing: whole or not at all. Plain paths of the live computer. 0 or -errno. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "base/buf.h"
#include "base/error.h"
#include <dirent.h>
#include <stdatomic.h>
#include <sys/types.h>

/* "cannot WHAT PATH: ..." with errno value code, which ENOSPC and EDQUOT turn into disk-full.
 * Returns -err->code. */
int fs_error(struct gfxb_error *err, int code, const char *what, const char *path);

/* Replace path by these bytes: temporary name in the same directory, fsync, rename, fsync of the
 * directory. Nothing of it is left behind on failure. */
int fs_write(const char *path, const void *bytes, size_t n, mode_t mode, struct gfxb_error *err);

/* Remove what a killed fs_write to path left beside it; "DIR/" means all files in DIR. Call with
 * the lock held under which they are written; otherwise a live writer's temporary file goes. */
void fs_sweep_writes(const char *path);

/* fsync the directory that holds path: a name that was made or taken away in it lasts. */
int fs_sync_parent(const char *path);

/* Append a whole regular file to *ret; -EFBIG when it is larger than max. */
int fs_read(const char *path, size_t max, struct buf *ret);

/* The same for what fs_open_below opens. */
int fs_read_below(const char *dir, const char *path, size_t max, struct buf *ret);

/* Open a path below dir, which others may have filled: no link below dir is followed (-ELOOP), and
 * no part may be empty, "." or "..". The descriptor, or -errno. */
int fs_open_below(const char *dir, const char *path, int flags);

/* The next name in a directory, "." and ".." left out; lent until the next call. NULL at the end,
 * and when dir is NULL: "DIR *CLEAN_DIR dir = opendir(path); while ((name = fs_next(dir)))". */
const char *fs_next(DIR *dir);

/* mkdir -p; existing directories keep their mode. */
int fs_make_dirs(const char *path, mode_t mode, struct gfxb_error *err);

/* rm -rf without following links; an absent path is fine. Read-only directories are opened up. */
int fs_remove_tree(const char *path);

/* fsync every file and directory of a tree, then rename it to its final name and fsync the parent.
 * -EEXIST when the final name is taken: the tree stays where it is. */
int fs_publish_tree(const char *stage, const char *final, struct gfxb_error *err);

/* Bytes free for this user on the file system that holds path (or its nearest existing parent). */
int fs_free_bytes(const char *path, uint64_t *ret_bytes);

/* Copy this many bytes from one open file to another, by the kernel where it can. -ECANCELED soon
 * after *cancel is set (NULL never). */
int fs_copy(int in, int out, uint64_t size, const atomic_int *cancel);

/* Bytes that a tree takes on disk (blocks; hard links once). */
int fs_tree_bytes(const char *path, uint64_t *ret_bytes);

/*
 * An exclusive lock on a file (made when absent) that ends with this process. wait false:
 * -EWOULDBLOCK at once when another holds it. wait true: -GFXB_E_INTERRUPTED soon after *cancel is
 * set (NULL never). ret_fd is closed by the caller, which unlocks.
 */
int fs_lock(const char *path, bool wait, const atomic_int *cancel, int *ret_fd,
            struct gfxb_error *err);

/* What a file is that should have been a model or a package, by its first bytes (some 32 of them),
 * and what to do: "a web page, not the file: ..."; NULL: they say nothing of the kind. */
const char *fs_mistaken(struct str beginning);

/* The last part of a path: what stands behind its last "/". */
const char *fs_name(const char *path);
/* What is before it, without the slash; "" for a bare name. */
struct str fs_dir(const char *path);

/* "dir/name", to be freed by the caller; NULL when out of memory. */
char *fs_join(const char *dir, const char *name);

#endif
