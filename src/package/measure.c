#include "package/measure.h"

#include "package/inspect.h"

#include <errno.h>

#define MEASURE_TEXT_MAX 65536

/* The set as blank-separated text, to be freed; NULL when out of memory. */
static char *measure_text(const struct names *set)
{
    struct buf text = BUF_INIT(MEASURE_TEXT_MAX);
    for (size_t i = 0; i < set->n; i++)
        buf_addf(&text, "%s%s", i ? " " : "", set->name[i]);
    return buf_take(&text);
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
    package->gfx = measure_text(&found.gfx);
    /* None at all: its BLAS is elsewhere, on the computer or in a runtime package. */
    if (found.blas.rocblas.n)
        package->blas = measure_text(&found.blas.rocblas);
    if (!package->gfx || (found.blas.rocblas.n && !package->blas))
        r = error_set(err, ENOMEM, "out of memory");
    package_inspection_done(&found);
    return r;
}
