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
    bool link_copies; /* replace libx.so and libx.so.1 by links where they are copies of libx.so.1.2
                       */
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    /* Bytes of the archive that were read, after each entry and at the end; NULL none. */
    void (*progress)(void *context, uint64_t bytes, uint64_t total);
    void *context;
};

/*
 * Unpack an open file, from its beginning, below an existing directory. Files get mode 0755 when
 * the archive says executable or when they are programs (ELF programs; an engine's, by their
 * names), else 0644; owners, times and other attributes are not taken over.
 *
 * -GFXB_E_ARCHIVE_UNSAFE names the entry; -GFXB_E_DISK_FULL; -GFXB_E_INTERRUPTED; -EBADMSG damaged
 * or no archive. After a failure the directory holds what was written
 * so far: the caller removes it.
 */
int unpack_run(int fd, const char *directory, const struct unpack_options *options,
               struct gfxb_error *err);

/* The same from a file of this name. */
int unpack_file(const char *archive, const char *directory, const struct unpack_options *options,
                struct gfxb_error *err);

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

#endif
