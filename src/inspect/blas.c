/*
 * blas.c - which gfx targets the kernel files of a BLAS library serve.
 *
 * Names as rocBLAS and hipBLASLt look for them below rocblas/[VERSION/]library and
 * hipblaslt/library: flat (TensileLibrary_lazy_gfx1100.dat, ..._gfx90a-xnack-.hsaco) or with a
 * directory a target (gfx942/TensileManifest.txt).
 */
#include "inspect/inspect_private.h"

/* The last target's name in a file's name that stands after '_' or '-'. */
static struct str blas_gfx_in_name(struct str name)
{
    for (size_t at = name.n; at > 0; at--) {
        struct str tail = {name.p + at - 1, name.n - at + 1};
        if (tail.p[0] != '_' && tail.p[0] != '-')
            continue;
        struct str gfx = names_gfx_prefix((struct str){tail.p + 1, tail.n - 1});
        if (gfx.n)
            return gfx;
    }
    return STR_NONE;
}

static bool blas_is_index(struct str name, bool in_directory)
{
    if (str_starts(name, STR("TensileLibrary_lazy_")) ||
        str_starts(name, STR("TensileLibrary_gfx")))
        return true;
    return in_directory &&
           (str_is(name, "TensileManifest.txt") || str_starts(name, STR("TensileLibrary.")));
}

struct blas_file blas_classify(struct str path)
{
    struct blas_file file = {BLAS_NONE, STR_NONE, false};
    enum blas_library library = BLAS_NONE;
    bool below = false; /* in the library directory */
    struct str part, directory = STR_NONE, name = STR_NONE;
    while (str_cut(&path, '/', &part)) {
        if (str_is(part, "rocblas"))
            library = BLAS_ROCBLAS;
        else if (str_is(part, "hipblaslt"))
            library = BLAS_HIPBLASLT;
        else if (library != BLAS_NONE && str_is(part, "library"))
            below = true;
        else if (below && path.n && !directory.n)
            directory = names_gfx_prefix(part);
        name = part;
    }
    if (!below || str_is(name, "library"))
        return file;
    file.library = library;
    file.gfx = directory.n ? directory : blas_gfx_in_name(name);
    file.index = file.gfx.n && blas_is_index(name, directory.n > 0);
    return file;
}
