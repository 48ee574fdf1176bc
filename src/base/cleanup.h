/* cleanup.h - macros for the cleanup attribute: heap memory, descriptors, buffers, directories. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_dir(DIR *const *dir)
{
    if (*dir)
        closedir(*dir);
}

/* char *CLEAN_FREE name = NULL; int CLEAN_CLOSE fd = -1; struct buf CLEAN_BUF b = BUF_INIT(max);
 * DIR *CLEAN_DIR dir = opendir(path); */
#define CLEAN_FREE  __attribute__((cleanup(cleanup_free)))
#define CLEAN_CLOSE __attribute__((cleanup(cleanup_close)))
#define CLEAN_BUF   __attribute__((cleanup(buf_done)))
#define CLEAN_DIR   __attribute__((cleanup(cleanup_dir)))

#endif
