/*
 * xalloc.h - small allocations that end the program when there is no memory: one sentence on
 * stderr, exit code 1. For fetch and the rooms above it. The core (base to lib) reports ENOMEM, and
 * so does everybody for a large buffer (a body, an image, a file). Not in base/base.h.
 */
#ifndef BASE_XALLOC_H
#define BASE_XALLOC_H

#include "base/base.h"

/* As malloc, calloc, reallocarray, strdup and asprintf, but never NULL. To be freed with free. */
void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xreallocarray(void *old, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrdup_or_null(const char *text) __attribute__((malloc)); /* NULL gives NULL */
char *xasprintf(const char *format, ...)
    __attribute__((format(printf, 1, 2), malloc, returns_nonnull));
char *xstr_dup(struct str s) __attribute__((malloc, returns_nonnull));
char *xfs_join(const char *dir, const char *name) __attribute__((malloc, returns_nonnull));
/* The buffer's content, "" when empty. Ends the program when the buffer has failed, so only for
 * text that cannot reach the buffer's maximum. */
char *xbuf_take(struct buf *b) __attribute__((malloc, returns_nonnull));

/* The program has no memory left: says so and ends it with exit code 1. */
void xalloc_die(void) __attribute__((noreturn));

#endif
