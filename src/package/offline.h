/*
 * offline.h - installed packages as one file for a computer without the network. Private to
 * package/; package_bundle and package_install_bundle in package.h are its outside.
 *
 * A bundle is a tar, compressed with zstd: DIGEST/... for each package, and at its end the text
 * file OFFLINE_NAME: "gfxbridge-bundle 1", "arch x86_64", and for each package
 * "package DIGEST TREE", where TREE is offline_tree_digest of its directory. Being last it is also
 * the sign that nothing is missing.
 */
#ifndef PACKAGE_OFFLINE_H
#define PACKAGE_OFFLINE_H

#include "package/package.h"

#define OFFLINE_NAME       "gfxbridge-bundle"
#define OFFLINE_FIRST_LINE OFFLINE_NAME " 1"

enum { OFFLINE_TEXT_MAX = 1 << 20 };

/* One entry below a directory, in the order of offline_walk. path: relative, without "./". */
struct offline_entry {
    const char *path;     /* lent */
    const char *absolute; /* lent */
    mode_t mode;          /* type and permission */
    uint64_t size;
    const char *target; /* of a link, lent; NULL */
};

/* Call back for every directory, file and link below dir, sorted by their bytes. What is none of
 * these is -EINVAL. A negative result of entry ends it. */
int offline_walk(const char *dir,
                 int (*entry)(void *context, const struct offline_entry *entry,
                              struct gfxb_error *err),
                 void *context, struct gfxb_error *err);

/* sha256 over every entry: its kind, path, target, and of a file its sha256. Modes are left out:
 * unpacking sets its own. env's cancel ends it: -GFXB_E_INTERRUPTED. */
int offline_tree_digest(const struct package_env *env, const char *dir,
                        char ret_hex[static DIGEST_HEX], struct gfxb_error *err);

#endif
