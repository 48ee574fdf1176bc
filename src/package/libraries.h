/* libraries.h - will an engine find every library? Private to package/. */
#ifndef PACKAGE_LIBRARIES_H
#define PACKAGE_LIBRARIES_H

#include "package/package.h"

/*
 * library-missing when one of these ELF files, or a library of the package that they lead to, asks
 * for what is neither in the package nor on the computer; nothing is said where the computer's
 * libraries are not known (a capture). dir: the package; roots: the program and its backends,
 * relative to dir; library_path: as in struct package; what: the package's name for people.
 */
int libraries_check(const struct package_env *env, const char *dir, const struct names *roots,
                    struct str library_path, struct str what, struct gfxb_error *err);

/* The path of a soname's library for this ELF machine in the bytes of /etc/ld.so.cache; empty when
 * the cache has none, or is none. A view into the bytes, NUL-terminated there. */
struct str ldcache_find(struct str cache, unsigned machine, struct str soname);

#endif
