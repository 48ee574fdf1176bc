/* runtime.c - the ROCm that an engine without one runs with: TheRock's archive, or the computer's.
 */
#include "package/package_private.h"

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
    const struct gfx_package *row = gfx_runtime_find(env->tables, engine, target->gfx, true);
    if (row) {
        *ret_row = row;
        return 0;
    }
    return error_set(err, GFXB_E_NO_PACKAGE,
                     "%.*s needs a ROCm runtime, and none for %s can be installed",
                     STR_ARG(engine->id), env->gfx);
}

char *runtime_url(const struct package_env *env, const struct gfx_package *row)
{
    struct str base = str_trim_end(str_from(package_setting(env, "GFXBRIDGE_THEROCK")), '/');
    const char *slash = row->locate.n ? memrchr(row->locate.p, '/', row->locate.n) : NULL;
    if (!base.n || !slash)
        return xstr_dup(row->locate);
    return xasprintf("%.*s%.*s", STR_ARG(base),
                     (int)(row->locate.n - (size_t)(slash - row->locate.p)), slash);
}

int runtime_settle(const char *dir, char **ret_library_path, struct gfxb_error *err)
{
    struct buf CLEAN_BUF list = BUF_INIT(4096);
    for (size_t i = 0; i < RUNTIME_COUNT(runtime_library_dirs); i++) {
        char *CLEAN_FREE path = xasprintf("%s/" RUNTIME_DIR "/%s", dir, runtime_library_dirs[i]);
        if (access(path, X_OK) == 0)
            buf_addf(&list, "%s" RUNTIME_DIR "/%s", list.n ? ":" : "", runtime_library_dirs[i]);
    }
    if (!list.n)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the archive of the ROCm runtime has no directory lib");
    for (size_t i = 0; i < RUNTIME_COUNT(runtime_left_out); i++) {
        char *CLEAN_FREE path = xasprintf("%s/" RUNTIME_DIR "/%s", dir, runtime_left_out[i]);
        fs_remove_tree(path);
    }
    *ret_library_path = xbuf_take(&list);
    return 0;
}

/* ---- a ROCm on the computer ---- */

/* The HIP runtime that the engine's files ask for: "libamdhip64.so.7". NULL: none is named. */
static char *runtime_wanted(const struct package_env *env, const char *path)
{
    struct inspection seen = {0};
    char *soname = NULL;
    if (inspect_path(path, env->tables, false, &seen, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < seen.needed.n && !soname; i++) {
        if (str_starts(str_from(seen.needed.name[i]), STR("libamdhip64.so.")))
            soname = xstrdup(seen.needed.name[i]);
    }
    inspection_done(&seen);
    return soname;
}

/* Kernel files of rocBLAS are named for their target: TensileLibrary_lazy_gfx1100.dat. */
static bool runtime_has_kernels(const struct package_env *env, const char *lib)
{
    struct root_names names = {0};
    char *CLEAN_FREE path = xfs_join(lib, "rocblas/library");
    bool found = !env->gfx;
    if (found || root_list(env->root, path, &names) < 0)
        return found;
    for (size_t i = 0; i < names.n && !found; i++) {
        const char *at = strstr(names.name[i], env->gfx);
        found = at && !strchr("0123456789abcdef", at[strlen(env->gfx)]);
    }
    root_names_done(&names);
    return found;
}

static bool runtime_serves(const struct package_env *env, const char *lib, const char *soname)
{
    char *CLEAN_FREE path = xfs_join(lib, soname);
    struct root_stat st;
    return root_stat(env->root, path, &st) == 0 && st.kind == ROOT_FILE &&
           runtime_has_kernels(env, lib);
}

char *runtime_on_computer(const struct package_env *env, const char *path)
{
    struct root_names names = {0};
    char *CLEAN_FREE soname = runtime_wanted(env, path);
    char *found = NULL;
    if (!soname || env->other || root_list(env->root, "/opt", &names) < 0)
        return NULL;
    for (size_t i = names.n; i > 0 && !found; i--) { /* rocm-7.2 before rocm-6.4 */
        char *CLEAN_FREE lib = xasprintf("/opt/%s/lib", names.name[i - 1]);
        if (strncmp(names.name[i - 1], "rocm", 4) == 0 && runtime_serves(env, lib, soname))
            found = xasprintf("%s:%s/llvm/lib", lib, lib);
    }
    root_names_done(&names);
    return found;
}
