#include "engine/maps.h"

/* The user-space libraries of ROCm that must be of one release: HIP and what it loads, and what
 * libggml-hip.so needs (the NEEDED entries of Debian's and of TheRock's libraries). */
static const char *const maps_rocm_names[] = {
    "libamdhip64.so",       "libhiprtc.so",
    "libhsa-runtime64.so",  "libamd_comgr.so",
    "libhsakmt.so",         "librocblas.so",
    "libhipblas.so",        "libhipblaslt.so",
    "librocsolver.so",      "librocsparse.so",
    "libhipsparse.so",      "librocroller.so",
    "librocm_kpack.so",     "librocprofiler-register.so",
    "libhipblas-common.so",
};

static bool maps_is_rocm(struct str name)
{
    for (size_t i = 0; i < sizeof(maps_rocm_names) / sizeof(maps_rocm_names[0]); i++) {
        struct str known = str_from(maps_rocm_names[i]);
        if (str_starts(name, known) && (name.n == known.n || name.p[known.n] == '.'))
            return true;
    }
    return false;
}

/* "/opt/rocm-7.2.0" of "/opt/rocm-7.2.0/lib/x.so": everything before the first directory that is
 * called lib, lib32 or lib64. The file's own directory where there is none. */
static struct str maps_tree_of(struct str path, struct str package_dir)
{
    if (package_dir.n && str_starts(path, package_dir) && path.n > package_dir.n &&
        path.p[package_dir.n] == '/')
        return package_dir;
    size_t last = 0;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '/')
            continue;
        struct str rest = {path.p + i + 1, path.n - i - 1};
        if (str_starts(rest, STR("lib/")) || str_starts(rest, STR("lib64/")) ||
            str_starts(rest, STR("lib32/")))
            return (struct str){path.p, i};
        last = i;
    }
    return (struct str){path.p, last};
}

static bool maps_has(const struct maps *maps, struct str path)
{
    for (size_t i = 0; i < maps->n; i++) {
        if (str_eq(maps->item[i].path, path))
            return true;
    }
    return false;
}

void maps_parse(struct str text, struct str package_dir, struct maps *ret_maps)
{
    struct maps maps = {.n = 0};
    struct str line;
    while (maps.n < MAPS_LIBRARIES_MAX && str_cut(&text, '\n', &line)) {
        const char *slash = line.n ? memchr(line.p, '/', line.n) : NULL;
        if (!slash)
            continue;
        struct str path = {slash, line.n - (size_t)(slash - line.p)};
        if (str_ends(path, STR(" (deleted)")))
            path.n -= strlen(" (deleted)");
        const char *base = memrchr(path.p, '/', path.n);
        struct str name = {base + 1, path.n - (size_t)(base + 1 - path.p)};
        if (!maps_is_rocm(name) || maps_has(&maps, path))
            continue;
        maps.item[maps.n++] = (struct maps_library){path, name, maps_tree_of(path, package_dir)};
    }
    *ret_maps = maps;
}

bool maps_are_mixed(const struct maps *maps, const struct maps_library **ret_a,
                    const struct maps_library **ret_b)
{
    for (size_t i = 1; i < maps->n; i++) {
        if (!str_eq(maps->item[i].tree, maps->item[0].tree)) {
            *ret_a = &maps->item[0];
            *ret_b = &maps->item[i];
            return true;
        }
    }
    return false;
}
