#include "package/runtime.h"
#include "inspect/inspect.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* Below the runtime: where its libraries are. */
static const char *const runtime_library_dirs[] = {"lib", "lib/llvm/lib", "lib/rocm_sysdeps/lib"};

/* What no engine asks for while it runs. lib and .kpack must stay beside each other. */
static const char *const runtime_left_out[] = {"clients",   "include",          "share/doc",
                                               "share/man", "lib/llvm/include", "lib/cmake"};

#define RUNTIME_COUNT(array) (sizeof(array) / sizeof((array)[0]))

int runtime_choose(const struct package_env *env, const struct gfx_package *engine,
                   const struct gfx_package **ret_row, struct gfxb_error *err)
{
    const struct gfx_target *target =
        env->gfx ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    if (!target)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "%.*s needs a ROCm runtime for the GPU's gfx target, which is not known",
                         STR_ARG(engine->id));
    for (size_t i = 0; i < env->tables->n_packages; i++) {
        const struct gfx_package *row = &env->tables->package[i];
        if (str_is(row->backend, "runtime") && row->installable && row->os == engine->os &&
            str_eq(row->arch, engine->arch) &&
            gfx_covers(env->tables, target, row->gfx, NULL) == GFX_VIA_EXACT) {
            *ret_row = row;
            return 0;
        }
    }
    return error_set(err, GFXB_E_NO_PACKAGE,
                     "%.*s needs a ROCm runtime, and none that holds %s can be installed",
                     STR_ARG(engine->id), env->gfx);
}

int runtime_url(const struct package_env *env, const struct gfx_package *row, char **ret_url,
                struct gfxb_error *err)
{
    struct str base = str_from(env->net ? env->net->therock : NULL);
    const char *slash = row->locate.n ? memrchr(row->locate.p, '/', row->locate.n) : NULL;
    struct buf CLEAN_BUF url = BUF_INIT(8192);
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    if (base.n && slash) {
        buf_add_str(&url, base);
        buf_add_str(&url, (struct str){slash, row->locate.n - (size_t)(slash - row->locate.p)});
    } else {
        buf_add_str(&url, row->locate);
    }
    char *text = buf_take(&url);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    *ret_url = text;
    return 0;
}

static bool runtime_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void runtime_leave_out(const char *dir)
{
    for (size_t i = 0; i < RUNTIME_COUNT(runtime_left_out); i++) {
        char *CLEAN_FREE path = NULL;
        if (asprintf(&path, "%s/" RUNTIME_DIR "/%s", dir, runtime_left_out[i]) >= 0)
            fs_remove_tree(path);
        else
            path = NULL;
    }
}

int runtime_settle(const char *dir, char **ret_library_path, struct gfxb_error *err)
{
    struct buf CLEAN_BUF list = BUF_INIT(4096);
    for (size_t i = 0; i < RUNTIME_COUNT(runtime_library_dirs); i++) {
        char *CLEAN_FREE path = NULL;
        if (asprintf(&path, "%s/" RUNTIME_DIR "/%s", dir, runtime_library_dirs[i]) < 0) {
            path = NULL;
            return error_set(err, ENOMEM, "out of memory");
        }
        if (runtime_is_dir(path))
            buf_addf(&list, "%s" RUNTIME_DIR "/%s", list.n ? ":" : "", runtime_library_dirs[i]);
    }
    if (!list.n)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the archive of the ROCm runtime has no directory lib");
    runtime_leave_out(dir);
    *ret_library_path = buf_take(&list);
    return *ret_library_path ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* ---- a ROCm on the computer ---- */

/* The HIP runtime that the engine's files ask for: "libamdhip64.so.7"; "" when none is named. */
static int runtime_wanted(const struct package_env *env, const char *dir, char *ret_soname,
                          size_t size, struct gfxb_error *err)
{
    struct inspection seen = {0};
    int r = inspect_path(dir, env->tables, false, &seen, err);
    if (r < 0)
        return r;
    ret_soname[0] = '\0';
    for (size_t i = 0; i < seen.needed.n && !ret_soname[0]; i++) {
        if (str_starts(str_from(seen.needed.name[i]), STR("libamdhip64.so.")))
            snprintf(ret_soname, size, "%s", seen.needed.name[i]);
    }
    inspection_done(&seen);
    return 0;
}

static bool runtime_has_file(const struct root *root, const char *below, const char *name)
{
    char path[PATH_MAX];
    struct root_stat st;
    int n = snprintf(path, sizeof(path), "%s/%s", below, name);
    return n > 0 && (size_t)n < sizeof(path) && root_stat(root, path, &st) == 0 &&
           st.kind == ROOT_FILE;
}

/* Kernel files of rocBLAS are named for their target: TensileLibrary_lazy_gfx1100.dat. */
static bool runtime_has_kernels(const struct package_env *env, const char *lib)
{
    struct root_names names = {0};
    char path[PATH_MAX];
    bool found = false;
    if (!env->gfx)
        return true;
    int n = snprintf(path, sizeof(path), "%s/rocblas/library", lib);
    if (n <= 0 || (size_t)n >= sizeof(path) || root_list(env->root, path, &names) < 0)
        return false;
    for (size_t i = 0; i < names.n && !found; i++) {
        const char *at = strstr(names.name[i], env->gfx);
        found = at && !strchr("0123456789abcdef", at[strlen(env->gfx)]);
    }
    root_names_done(&names);
    return found;
}

static bool runtime_serves(const struct package_env *env, const char *top, const char *soname,
                           char **ret_library_path)
{
    char *CLEAN_FREE lib = fs_join(top, "lib");
    if (!lib || !runtime_has_file(env->root, lib, soname) || !runtime_has_kernels(env, lib))
        return false;
    return asprintf(ret_library_path, "%s:%s/llvm/lib", lib, lib) >= 0;
}

int runtime_on_computer(const struct package_env *env, const char *dir, char **ret_library_path,
                        struct gfxb_error *err)
{
    struct root_names names = {0};
    char soname[64], *found = NULL;
    int r = runtime_wanted(env, dir, soname, sizeof(soname), err);
    if (r < 0)
        return r;
    if (soname[0] && root_list(env->root, "/opt", &names) == 0) {
        for (size_t i = names.n; i > 0 && !found; i--) { /* rocm-7.2 before rocm-6.4 */
            char *CLEAN_FREE top = fs_join("/opt", names.name[i - 1]);
            if (!top || strncmp(names.name[i - 1], "rocm", 4) != 0 ||
                !runtime_serves(env, top, soname, &found))
                found = NULL;
        }
        root_names_done(&names);
    }
    if (found) {
        *ret_library_path = found;
        return 0;
    }
    return error_set(err, ENOENT, "no ROCm below /opt brings %s%s%s",
                     soname[0] ? soname : "a HIP runtime", env->gfx ? " and kernels for " : "",
                     env->gfx ? env->gfx : "");
}
