/* runtime.h - the ROCm that an engine without one runs with. Private to package/. */
#ifndef PACKAGE_RUNTIME_H
#define PACKAGE_RUNTIME_H

#include "package/package.h"

/* Where it is in a package. */
#define RUNTIME_DIR "rocm"

/* The row of the runtime archive for env->gfx on this row's system. no-package: there is none, or
 * the target is not known. */
int runtime_choose(const struct package_env *env, const struct gfx_package *engine,
                   const struct gfx_package **ret_row, struct gfxb_error *err);

/* Its URL, with the user's base. To be freed by the caller. */
int runtime_url(const struct package_env *env, const struct gfx_package *row, char **ret_url,
                struct gfxb_error *err);

/* Make the unpacked runtime in dir/RUNTIME_DIR what an engine needs: leave out headers and the
 * like; *ret_library_path gets its library directories, relative to dir. Owned by the caller. */
int runtime_settle(const char *dir, char **ret_library_path, struct gfxb_error *err);

/*
 * A ROCm of this computer that has what the engine files in `dir` ask for, and BLAS kernels for
 * env->gfx where that is known: its library directories, absolute; owned by the caller. The newest
 * first. -ENOENT: none; *err says of which library.
 */
int runtime_on_computer(const struct package_env *env, const char *dir, char **ret_library_path,
                        struct gfxb_error *err);

#endif
