/*
 * blas.h - which file of a package is a kernel file of rocBLAS or hipBLASLt, and for which gfx
 * target. An engine has code for a target only where its BLAS libraries have kernels too: without
 * them rocBLAS ends the process. Private to inspect/.
 */
#ifndef INSPECT_BLAS_H
#define INSPECT_BLAS_H

#include "inspect/names.h"

enum blas_library { BLAS_NONE, BLAS_ROCBLAS, BLAS_HIPBLASLT, BLAS_LIBRARIES };

struct blas_file {
    enum blas_library library; /* BLAS_NONE: not below a kernel directory of either */
    struct str gfx;            /* empty: a file for all targets */
    bool index;                /* the file by which the library finds a target's kernels */
};

/* Judge a path inside a package by its names alone. */
struct blas_file blas_classify(struct str path);

/* Targets of one library's kernel files. */
struct blas_targets {
    struct names indexed; /* the library can find them */
    struct names kernels; /* there are kernels */
};

int blas_targets_add(struct blas_targets *targets, const struct blas_file *file);
void blas_targets_done(struct blas_targets *targets);

/* What counts: targets that the index names; libraries from before there was an index have none,
 * there all kernels count. Lent. */
const struct names *blas_targets_served(const struct blas_targets *targets);

#endif
