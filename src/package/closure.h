/*
 * closure.h - will the engine of a package find every library, and theirs, as it will be started?
 * Private to package/.
 */
#ifndef PACKAGE_CLOSURE_H
#define PACKAGE_CLOSURE_H

#include "inspect/inspect.h"
#include "package/package.h"

/*
 * dir: the package; root: its ELF files that begin it (the program, its backends), relative to dir.
 * library_path: as in struct package. Missing sonames go into *ret_missing, which is empty when all
 * is there or when the computer's libraries are not known (a capture).
 */
int closure_find_missing(const struct package_env *env, const char *dir, const struct names *roots,
                         struct str library_path, struct names *ret_missing,
                         struct gfxb_error *err);

/*
 * library-missing, with a sentence about the first of these: which other version of it is there, or
 * by which command the distribution brings it. what: the package's name for people.
 */
int closure_explain(const struct package_env *env, const char *dir, struct str library_path,
                    const struct names *missing, struct str what, struct gfxb_error *err);

#endif
