#include "package/measure.h"

#include "inspect/inspect.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <gnu/libc-version.h>

#define MEASURE_LIST_MAX (1u << 20)

static bool measure_serves(const struct package_env *env, struct str list)
{
    const struct gfx_target *target =
        env->gfx && env->tables ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    return !target || gfx_covers(env->tables, target, list, NULL) != GFX_VIA_NONE;
}

int measure_check_gfx(const struct package_env *env, struct str what, struct str list,
                      struct gfxb_error *err)
{
    if (measure_serves(env, list))
        return 0;
    return error_set(err, GFXB_E_GFX_NOT_IN_PACKAGE,
                     "%.*s holds code for %.*s and none that serves %s", STR_ARG(what),
                     STR_ARG(list), env->gfx);
}

static int measure_check_blas(const struct package_env *env, struct str what, const char *blas,
                              struct gfxb_error *err)
{
    if (!blas || measure_serves(env, str_from(blas)))
        return 0;
    return error_set(err, GFXB_E_BLAS_KERNELS_MISSING,
                     "the rocBLAS of %.*s has kernels for %s and none for %s: the engine would "
                     "abort at the first large matrix product",
                     STR_ARG(what), blas, env->gfx);
}

/* "2.9" is below "2.38". */
static bool measure_version_below(const char *a, const char *b)
{
    struct str rest[2] = {str_from(a), str_from(b)};
    for (;;) {
        struct str piece[2] = {STR_NONE, STR_NONE};
        uint64_t number[2] = {0, 0};
        bool more[2];
        for (int i = 0; i < 2; i++) {
            more[i] = str_cut(&rest[i], '.', &piece[i]);
            str_to_u64(piece[i], 10, &number[i]);
        }
        if (!more[0] && !more[1])
            return false;
        if (number[0] != number[1])
            return number[0] < number[1];
    }
}

/* A C library in the package counts when the package is started with it. */
static int measure_check_glibc(const struct package_env *env, struct str what, bool own_libc,
                               const struct inspection *seen, struct gfxb_error *err)
{
    const char *have = gnu_get_libc_version();
    if (own_libc || !seen->glibc[0] || !root_is_live(env->root) ||
        !measure_version_below(have, seen->glibc))
        return 0;
    return error_set(err, GFXB_E_GLIBC_TOO_OLD,
                     "%.*s needs glibc %s and this computer has %s: it cannot run here",
                     STR_ARG(what), seen->glibc, have);
}

/* Blank-separated; to be freed by the caller; NULL out of memory. */
static char *measure_join(const struct names *names)
{
    struct buf CLEAN_BUF text = BUF_INIT(MEASURE_LIST_MAX);
    for (size_t i = 0; i < names->n; i++)
        buf_addf(&text, "%s%s", i ? " " : "", names->name[i]);
    return buf_take(&text);
}

static int measure_targets(const struct package_env *env, struct str what,
                           const struct inspection *seen, struct package *package,
                           struct gfxb_error *err)
{
    package->gfx = measure_join(&seen->gfx);
    /* None at all: its BLAS is elsewhere, on the computer or in a runtime package. */
    if (seen->blas.rocblas.n)
        package->blas = measure_join(&seen->blas.rocblas);
    if (!package->gfx || (seen->blas.rocblas.n && !package->blas))
        return error_set(err, ENOMEM, "out of memory");
    int r = measure_check_gfx(env, what, str_from(package->gfx), err);
    return r < 0 ? r : measure_check_blas(env, what, package->blas, err);
}

int measure_package(const struct package_env *env, const char *path, struct str what,
                    struct package *package, struct gfxb_error *err)
{
    struct inspection seen = {0};
    bool is_rocm = strcmp(package->backend, "rocm") == 0;
    if (is_rocm)
        log_at(env->log, LOG_INFO, "looking which GPU targets are inside");
    int r = inspect_path(path, env->tables, false, &seen, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < seen.problems.n; i++)
        log_at(env->log, LOG_WARNING, "%.*s: %s", STR_ARG(what), seen.problems.name[i]);
    r = measure_check_glibc(env, what, seen.own_libc && package->loader, &seen, err);
    if (r == 0 && is_rocm)
        r = measure_targets(env, what, &seen, package, err);
    inspection_done(&seen);
    return r;
}
