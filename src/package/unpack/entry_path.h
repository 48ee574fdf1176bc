/*
 * entry_path.h - names of archive entries: which may be written below a directory, and where links
 * may lead. Pure: no file is touched. Private to package/.
 */
#ifndef PACKAGE_UNPACK_ENTRY_PATH_H
#define PACKAGE_UNPACK_ENTRY_PATH_H

#include "base/base.h"

#define ENTRY_PATH_MAX                                                                             \
    2048 /* bytes; far below PATH_MAX, so that the store's own path fits before */
#define ENTRY_NAME_MAX  255 /* bytes of one component */
#define ENTRY_DEPTH_MAX 64

/*
 * The entry's name as a relative path without "." components, doubled or trailing slashes, appended
 * to *ret; "" for the archive's top itself ("./"). NULL, or what is wrong with the name as the rest
 * of a sentence: "is absolute", "leads out of the archive with '..'", ...
 */
const char *entry_path_clean(struct str name, struct buf *ret);

/*
 * May a symbolic link at this clean path point to target? NULL, or what is wrong. Allowed are
 * relative targets that go up only at their beginning and never above the top: then no chain of
 * links can lead out, whatever they pass through. *ret_reaches_top (may be NULL): the target goes
 * up exactly to the top.
 */
const char *entry_link_problem(struct str path, struct str target, bool *ret_reaches_top);

/* The name as text for a sentence: what is not printable ASCII as \xNN, long ones cut. */
void entry_path_show(struct str name, char *ret_text, size_t size);

/* Order of two paths with ASCII capitals taken as small letters; 0: on some file systems they are
 * the same file. */
int entry_path_compare_folded(const char *a, const char *b);

#endif
