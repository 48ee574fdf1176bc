/* measure.h - what a package holds is measured before it is published, whatever its provider said.
 * Private to package/. */
#ifndef PACKAGE_MEASURE_H
#define PACKAGE_MEASURE_H

#include "package/package.h"

/*
 * Look into a directory or a single file; package->backend, loader and library_path are set
 * before. Fills package->gfx and package->blas where the backend needs code objects (rocm); others
 * stay "not inspected". what: its name for people. Damaged files are told to the log. Codes:
 * glibc-too-old, gfx-not-in-package and blas-kernels-missing (nothing in it serves env->gfx).
 */
int measure_package(const struct package_env *env, const char *path, struct str what,
                    struct package *package, struct gfxb_error *err);

/* 0, or gfx-not-in-package when no target of the blank-separated list serves env->gfx. An unknown
 * env->gfx is served by everything. what: whose list it is, for the sentence. */
int measure_check_gfx(const struct package_env *env, struct str what, struct str list,
                      struct gfxb_error *err);

#endif
