#include "base/base.h"

#include <errno.h>
#include <fts.h>
#include <sys/stat.h>

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
    if (seen->n == seen->capacity) {
        size_t capacity = seen->capacity ? 2 * seen->capacity : 64;
        ino_t *grown = reallocarray(seen->inode, capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        seen->inode = grown;
        seen->capacity = capacity;
    }
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
