/*
 * flusher.h - a large file goes to the disk while it arrives: a thread forces out what was written,
 * so that little is left at the end, and lets the memory go that it took. Private to fetch/.
 */
#ifndef FETCH_FLUSHER_H
#define FETCH_FLUSHER_H

#include "base/base.h"

struct flusher;

/* For the file fd (lent). NULL: there can be no thread; all is left to the end. */
struct flusher *flusher_new(int fd);
/* n bytes more were written. NULL is fine here and below. */
void flusher_note(struct flusher *f, size_t n);
/* Ends and frees it; what was written last is still to be forced out. 0, or -errno of what could
 * not be: fsync tells such a failure once, so it is not told again. */
int flusher_end(struct flusher *f);

#endif
