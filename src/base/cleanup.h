/* cleanup.h - three macros for the cleanup attribute: heap memory, file descriptors, buffers. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

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

/* char *CLEAN_FREE name = NULL; int CLEAN_CLOSE fd = -1; struct buf CLEAN_BUF b = BUF_INIT(max); */
#define CLEAN_FREE  __attribute__((cleanup(cleanup_free)))
#define CLEAN_CLOSE __attribute__((cleanup(cleanup_close)))
#define CLEAN_BUF   __attribute__((cleanup(buf_done)))

#endif
