/*
 * contents.h - what came out of engine archives: where the engine is, what it holds, whether this
 * computer can run it. Private to package/.
 */
#ifndef PACKAGE_CONTENTS_H
#define PACKAGE_CONTENTS_H

#include "package/package.h"

/* The C library's loader: an engine that brings one beside its libc.so.6 is started with it. */
#if defined(__aarch64__)
#define CONTENTS_LOADER "ld-linux-aarch64.so.1"
#else
#define CONTENTS_LOADER "ld-linux-x86-64.so.2"
#endif

/* What a package is to be. Strings are lent. */
struct contents {
    const char *dir;         /* the stage, or what stands for it: paths are relative to it */
    struct str what;         /* its name for people */
    struct str engine;       /* its kind; empty: the first whose program is in it */
    struct str backend;      /* "rocm"; empty: the best that is in it */
    struct str library_path; /* of the ROCm runtime that goes with it; empty none */
};

/*
 * Find the engine below dir and fill engine, backend, executable, loader, backend_dir,
 * library_path, gfx and blas of *package, which are owned by it. Codes: package-unavailable (no
 * engine, no such backend in it), glibc-too-old, library-missing, gfx-not-in-package (env->gfx),
 * blas-kernels-missing.
 */
int contents_describe(const struct package_env *env, const struct contents *contents,
                      struct package *package, struct gfxb_error *err);

#endif
