#include "package/measure.h"

#include "package/contents.h"
#include "package/inspect.h"

#include <errno.h>

static bool measure_serves(const struct package_env *env, struct str list)
{
    const struct gfx_target *target =
        env->gfx && env->tables ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    return !target || gfx_covers(env->tables, target, list, NULL) != GFX_VIA_NONE;
}

int measure_check_gfx(const struct package_env *env, const char *what, struct str list,
                      struct gfxb_error *err)
{
    if (measure_serves(env, list))
        return 0;
    return error_set(err, GFXB_E_GFX_NOT_IN_PACKAGE,
                     "%s holds code for %.*s and none that serves %s", what, STR_ARG(list),
                     env->gfx);
}

static int measure_check_blas(const struct package_env *env, const struct package *package,
                              struct gfxb_error *err)
{
    if (!package->blas || measure_serves(env, str_from(package->blas)))
        return 0;
    return error_set(err, GFXB_E_BLAS_KERNELS_MISSING,
                     "%s holds BLAS kernels for %s and none that serve %s", package->id,
                     package->blas, env->gfx);
}

int measure_package(const struct package_env *env, const char *dir, struct package *package,
                    struct gfxb_error *err)
{
    if (strcmp(package->backend, "rocm") != 0)
        return 0;
    const struct inspect_options options = {.tables = env->tables,
                                            .library_path = package->library_path};
    struct inspection found = {0};
    log_at(env->log, LOG_INFO, "looking which GPU targets are inside");
    int r = package_inspect(dir, &options, &found, err);
    if (r < 0)
        return r;
    package->gfx = contents_join(&found.gfx);
    /* None at all: its BLAS is elsewhere, on the computer or in a runtime package. */
    if (found.blas.rocblas.n)
        package->blas = contents_join(&found.blas.rocblas);
    if (!package->gfx || (found.blas.rocblas.n && !package->blas))
        r = error_set(err, ENOMEM, "out of memory");
    package_inspection_done(&found);
    if (r == 0)
        r = measure_check_gfx(env, package->id, str_from(package->gfx), err);
    return r < 0 ? r : measure_check_blas(env, package, err);
}
