/* inspect_sources.h - where an inspection's files come from. Private to inspect/. */
#ifndef INSPECT_INSPECT_SOURCES_H
#define INSPECT_INSPECT_SOURCES_H

#include "inspect/inspector.h"

/* Every regular file below a directory, links not followed. Sums up found.size. */
int inspect_tree(struct inspector *in, const char *directory, struct gfxb_error *err);

/*
 * Every file of an archive. What needs a look inside (ELF files: their section headers stand at the
 * end) is written to an unlinked temporary file below TMPDIR, else /var/tmp, one at a time.
 */
int inspect_archive(struct inspector *in, int fd, struct gfxb_error *err);

/* The .kpack files that a single library's references lead to, beside it on the disk. */
int inspect_beside(struct inspector *in, const char *directory, struct gfxb_error *err);

#endif
