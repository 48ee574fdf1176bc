/* entry_set.h - the paths that an archive has brought so far, to refuse what would overwrite.
 * Private to package/. */
#ifndef PACKAGE_UNPACK_ENTRY_SET_H
#define PACKAGE_UNPACK_ENTRY_SET_H

#include "base/base.h"

struct entry_set {
    void *tree; /* of search.h */
};

/*
 * Add a clean path and the directories above it. NULL, or what is wrong as the rest of a sentence:
 * it is there already (only a directory may come again), differs from another only in capitals, or
 * a file stands where it needs a directory. *ret is -ENOMEM then, or 0.
 */
const char *entry_set_add(struct entry_set *set, const char *path, bool directory, int *ret);
void entry_set_done(struct entry_set *set);

#endif
