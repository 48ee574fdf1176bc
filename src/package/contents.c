#include "package/contents.h"
#include "package/closure.h"
#include "package/measure.h"

#include <dirent.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define CONTENTS_DEPTH    6
#define CONTENTS_LIST_MAX (1u << 20)

/* Which file makes a package one of a backend, best backend first. */
static const struct contents_backend {
    const char *backend;
    const char *file;
} contents_backends[] = {
    {"rocm", "libggml-hip.so"},
    {"vulkan", "libggml-vulkan.so"},
    {"cpu", NULL},
};

#define CONTENTS_BACKENDS (sizeof(contents_backends) / sizeof(contents_backends[0]))

/* What was found; paths are relative to the contents' directory and owned. */
struct contents_found {
    char *executable;
    char *backend_dir;
    const struct contents_backend *backend;
    char *library_path; /* NULL none */
};

static void contents_found_done(struct contents_found *found)
{
    free(found->executable);
    free(found->backend_dir);
    free(found->library_path);
}

static bool contents_is_file(const char *dir, const char *below, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s%s%s", dir, below, below[0] ? "/" : "", name);
    return n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The directory, relative to dir, that holds a file of this name; nearest to the top first.
 * -ENOENT: none does. */
static int contents_find(const char *dir, const char *below, const char *name, int depth,
                         char **ret_below)
{
    char path[PATH_MAX];
    if (contents_is_file(dir, below, name)) {
        *ret_below = strdup(below);
        return *ret_below ? 0 : -ENOMEM;
    }
    int n = snprintf(path, sizeof(path), "%s/%s", dir, below);
    DIR *entries = depth > 0 && n > 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;
    const struct dirent *entry;
    int r = -ENOENT;
    while (entries && r == -ENOENT && (entry = readdir(entries))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        char *CLEAN_FREE next = below[0] ? fs_join(below, entry->d_name) : strdup(entry->d_name);
        r = next ? contents_find(dir, next, name, depth - 1, ret_below) : -ENOMEM;
    }
    if (entries)
        closedir(entries);
    return r;
}

static int contents_find_engine(const struct contents *contents, struct contents_found *found,
                                struct gfxb_error *err)
{
    char *CLEAN_FREE below = NULL;
    int r = contents_find(contents->dir, "", "llama-server", CONTENTS_DEPTH, &below);
    if (r == -ENOENT)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no llama-server in %.*s",
                         STR_ARG(contents->what));
    if (r == 0) {
        found->executable = below[0] ? fs_join(below, "llama-server") : strdup("llama-server");
        r = found->executable ? 0 : -ENOMEM;
    }
    return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* The backend that is asked for, or the best that is there, and the directory of its files. */
static int contents_find_backend(const struct contents *contents, struct contents_found *found,
                                 struct gfxb_error *err)
{
    int r = -ENOENT;
    for (size_t i = 0; r == -ENOENT && i < CONTENTS_BACKENDS; i++) {
        const struct contents_backend *b = &contents_backends[i];
        if (contents->backend.n && !str_is(contents->backend, b->backend))
            continue;
        if (b->file) {
            r = contents_find(contents->dir, "", b->file, CONTENTS_DEPTH, &found->backend_dir);
        } else {
            const char *slash = strrchr(found->executable, '/');
            size_t n = slash ? (size_t)(slash - found->executable) : 0;
            found->backend_dir = strndup(found->executable, n);
            r = found->backend_dir ? 0 : -ENOMEM;
        }
        found->backend = b;
    }
    if (r == -ENOENT)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s backend in %.*s",
                         STR_ARG(contents->backend), STR_ARG(contents->what));
    return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

/*
 * HIP opens some of its libraries by name while it runs, so a ROCm engine gets its own directory to
 * look in, and its runtime's. Others do without: what stands in the library path is also found by
 * the GPU driver that Vulkan loads into the process.
 */
static int contents_make_library_path(const struct contents *contents, struct contents_found *found,
                                      struct gfxb_error *err)
{
    struct buf CLEAN_BUF path = BUF_INIT(8 * PATH_MAX);
    if (strcmp(found->backend->backend, "rocm") != 0)
        return 0;
    buf_add_text(&path, found->backend_dir[0] ? found->backend_dir : ".");
    if (contents->library_path.n) {
        buf_add_char(&path, ':');
        buf_add_str(&path, contents->library_path);
    }
    found->library_path = buf_take(&path);
    return found->library_path ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* The program, its backend, and one of each kind of CPU backend. */
static int contents_add_roots(const char *dir, const struct contents_found *found,
                              struct names *roots)
{
    char *CLEAN_FREE path = fs_join(dir, found->backend_dir);
    int r = names_add(roots, str_from(found->executable));
    DIR *entries = path ? opendir(path) : NULL;
    const struct dirent *entry;
    while (entries && r == 0 && (entry = readdir(entries))) {
        struct str name = str_from(entry->d_name);
        bool is_backend = found->backend->file && str_is(name, found->backend->file);
        bool is_cpu = str_starts(name, STR("libggml-cpu")) && str_ends(name, STR(".so"));
        if (!is_backend && !is_cpu)
            continue;
        char *CLEAN_FREE file = found->backend_dir[0] ? fs_join(found->backend_dir, entry->d_name)
                                                      : strdup(entry->d_name);
        r = file ? names_add(roots, str_from(file)) : -ENOMEM;
    }
    if (entries)
        closedir(entries);
    return r;
}

static int contents_check_libraries(const struct package_env *env, const struct contents *contents,
                                    const struct contents_found *found, struct gfxb_error *err)
{
    struct names roots = {0}, missing = {0};
    struct str library_path = str_from(found->library_path);
    int r = contents_add_roots(contents->dir, found, &roots);
    if (r < 0)
        error_set(err, ENOMEM, "out of memory");
    if (r == 0)
        r = closure_find_missing(env, contents->dir, &roots, library_path, &missing, err);
    if (r == 0 && missing.n)
        r = closure_explain(env, contents->dir, library_path, &missing, contents->what, err);
    names_done(&roots);
    names_done(&missing);
    return r;
}

/* "2.9" is below "2.38". */
static bool contents_version_below(const char *a, const char *b)
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

static int contents_check_glibc(const struct package_env *env, const struct contents *contents,
                                const struct inspection *seen, struct gfxb_error *err)
{
    const char *have = gnu_get_libc_version();
    if (seen->own_libc || !seen->glibc[0] || !root_is_live(env->root) ||
        !contents_version_below(have, seen->glibc))
        return 0;
    return error_set(err, GFXB_E_GLIBC_TOO_OLD,
                     "%.*s needs glibc %s and this computer has %s: it cannot run here",
                     STR_ARG(contents->what), seen->glibc, have);
}

static int contents_check_blas(const struct package_env *env, const struct contents *contents,
                               const struct inspection *seen, struct str blas,
                               struct gfxb_error *err)
{
    const struct gfx_target *target =
        env->gfx && env->tables ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    if (!target || seen->blas.rocblas.n == 0 ||
        gfx_covers(env->tables, target, blas, NULL) != GFX_VIA_NONE)
        return 0;
    return error_set(err, GFXB_E_BLAS_KERNELS_MISSING,
                     "the rocBLAS of %.*s has kernels for %.*s and none for %s: the engine would "
                     "abort at the first large matrix product",
                     STR_ARG(contents->what), STR_ARG(blas), env->gfx);
}

char *contents_join(const struct names *names)
{
    struct buf CLEAN_BUF text = BUF_INIT(CONTENTS_LIST_MAX);
    for (size_t i = 0; i < names->n; i++)
        buf_addf(&text, "%s%s", i ? " " : "", names->name[i]);
    return buf_take(&text);
}

/* Measure everything below dir: GPU code, kernel files, what it needs. */
static int contents_inspect(const struct package_env *env, const struct contents *contents,
                            const struct contents_found *found, struct package *package,
                            struct gfxb_error *err)
{
    struct inspection seen = {0};
    struct inspect_options options = {.tables = env->tables, .library_path = found->library_path};
    bool is_rocm = strcmp(found->backend->backend, "rocm") == 0;
    int r = package_inspect(contents->dir, &options, &seen, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < seen.problems.n; i++)
        log_at(env->log, LOG_WARNING, "%.*s: %s", STR_ARG(contents->what), seen.problems.name[i]);
    char *CLEAN_FREE what = str_dup(contents->what);
    char *gfx = contents_join(&seen.gfx);
    char *blas = contents_join(&seen.blas.rocblas);
    if (!gfx || !blas || !what)
        r = error_set(err, ENOMEM, "out of memory");
    if (r == 0)
        r = contents_check_glibc(env, contents, &seen, err);
    if (r == 0 && is_rocm)
        r = measure_check_gfx(env, what, str_from(gfx), err);
    if (r == 0 && is_rocm)
        r = contents_check_blas(env, contents, &seen, str_from(blas), err);
    if (r == 0 && is_rocm) {
        package->gfx = gfx;
        gfx = NULL;
    }
    if (r == 0 && is_rocm && seen.blas.rocblas.n) {
        package->blas = blas;
        blas = NULL;
    }
    free(gfx);
    free(blas);
    package_inspection_done(&seen);
    return r;
}

int contents_describe(const struct package_env *env, const struct contents *contents,
                      struct package *package, struct gfxb_error *err)
{
    struct contents_found found = {0};
    int r = contents_find_engine(contents, &found, err);
    if (r == 0)
        r = contents_find_backend(contents, &found, err);
    if (r == 0)
        r = contents_make_library_path(contents, &found, err);
    if (r == 0)
        r = contents_inspect(env, contents, &found, package, err);
    if (r == 0)
        r = contents_check_libraries(env, contents, &found, err);
    if (r == 0 && !(package->backend = strdup(found.backend->backend)))
        r = error_set(err, ENOMEM, "out of memory");
    if (r == 0) {
        package->executable = found.executable;
        package->backend_dir = found.backend_dir[0] ? found.backend_dir : strdup(".");
        if (!found.backend_dir[0])
            free(found.backend_dir);
        package->library_path = found.library_path;
        found = (struct contents_found){0};
    }
    contents_found_done(&found);
    return r;
}
