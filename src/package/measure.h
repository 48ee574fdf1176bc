/* measure.h - what a package holds is measured before it is published, whatever its provider said.
 * Private to package/. */
#ifndef PACKAGE_MEASURE_H
#define PACKAGE_MEASURE_H

#include "package/package.h"

/*
 * Fill package->gfx and package->blas from the files in dir, for a package whose backend needs code
 * objects (rocm); others stay "not inspected". package->library_path is set before.
 * gfx-not-in-package, blas-kernels-missing: nothing in it serves env->gfx.
 */
int measure_package(const struct package_env *env, const char *dir, struct package *package,
                    struct gfxb_error *err);

/* 0, or gfx-not-in-package when no target of the blank-separated list serves env->gfx. An unknown
 * env->gfx is served by everything. what: whose list it is, for the sentence. */
int measure_check_gfx(const struct package_env *env, const char *what, struct str list,
                      struct gfxb_error *err);

#endif
