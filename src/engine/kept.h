/* kept.h - files that are kept in a directory of the data directory. Private to engine/. */
#ifndef ENGINE_KEPT_H
#define ENGINE_KEPT_H

#include "base/base.h"

/* fs_write of dir/name, by one process at a time, making dir when absent. What a process that was
 * killed while writing left in dir is removed first. */
int kept_write(const char *dir, const char *name, const void *bytes, size_t n,
               struct gfxb_error *err);

#endif
