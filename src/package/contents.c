/* contents.c - what a stage holds: the engine, what it is started with, and whether it can serve.
 */
#include "package/package_private.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <sys/stat.h>

#define CONTENTS_DEPTH    6
#define CONTENTS_LIST_MAX (1u << 20)

/* ---- finding ---- */

static bool contents_is_file(const char *dir, const char *below, const char *name)
{
    char *CLEAN_FREE path = xasprintf("%s/%s/%s", dir, below, name);
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* "below/name", or just the name at the top. */
static char *contents_join(const char *below, const char *name)
{
    return below[0] ? xfs_join(below, name) : xstrdup(name);
}

/* The directory, relative to the stage, that holds a file of this name; above others below it.
 * NULL: none does. To be freed by the caller. */
static char *contents_find_file(const struct install *in, struct str file)
{
    char *CLEAN_FREE name = xstr_dup(file);
    char *const tops[] = {in->stage.dir, NULL};
    FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    char *found = NULL;
    while (walk && !found && (entry = fts_read(walk))) {
        const char *below = entry->fts_path + strlen(in->stage.dir);
        below += *below == '/';
        bool is_left_out = entry->fts_level > CONTENTS_DEPTH ||
                           (entry->fts_level > 0 && entry->fts_name[0] == '.');
        if (entry->fts_info == FTS_D && is_left_out)
            fts_set(walk, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_D && contents_is_file(in->stage.dir, below, name))
            found = xstrdup(below);
    }
    if (walk)
        fts_close(walk);
    return found;
}

/* The kind that is asked for, or the first whose program is there. */
static int contents_find_engine(struct install *in, struct gfx_engine *ret_engine,
                                struct gfxb_error *err)
{
    struct gfx_engine engine = {.program = STR_NONE};
    for (size_t i = 0; gfx_engine_at(i, &engine); i++) {
        if (in->engine.n && !str_eq(in->engine, engine.name))
            continue;
        char *CLEAN_FREE program = xstr_dup(engine.program);
        char *CLEAN_FREE below = contents_find_file(in, engine.program);
        if (!below)
            continue;
        in->package.executable = contents_join(below, program);
        in->package.engine = xstr_dup(engine.name);
        *ret_engine = engine;
        return 0;
    }
    return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s in %.*s",
                     STR_ARG(engine.program), STR_ARG(in->what));
}

/* The backend that is asked for, or the best that is there, and the directory of its files. */
static int contents_find_backend(struct install *in, const struct gfx_engine *engine,
                                 struct gfxb_error *err)
{
    static const char *const backends[] = {"rocm", "vulkan", "cpu"}; /* best first */
    char *dir = NULL;
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]) && !dir; i++) {
        struct str file = gfx_engine_backend_file(engine, str_from(backends[i]));
        if (in->backend.n && !str_is(in->backend, backends[i]))
            continue;
        if (strcmp(backends[i], "cpu") == 0)
            dir = xstr_dup(fs_dir(in->package.executable));
        else if (file.n)
            dir = contents_find_file(in, file);
        if (dir)
            in->package.backend = xstrdup(backends[i]);
    }
    in->package.backend_dir = dir;
    return dir ? 0
               : error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s backend in %.*s",
                           STR_ARG(in->backend), STR_ARG(in->what));
}

static void contents_add_dir(struct buf *path, struct str dir)
{
    if (path->n)
        buf_add_char(path, ':');
    buf_add_str(path, dir.n ? dir : STR("."));
}

/*
 * An archive with a C library of its own beside its own loader is started with that loader.
 *
 * HIP opens some of its libraries by name while it runs, so a ROCm engine gets its own directory to
 * look in, and its runtime's. An engine with a loader of its own has nothing else to look in.
 * Others do without: what stands in the library path is also found by the GPU driver that Vulkan
 * loads into the process.
 */
static void contents_find_loader(struct install *in)
{
    struct package *package = &in->package;
    struct buf CLEAN_BUF path = BUF_INIT(8 * PATH_MAX);
    struct str own = fs_dir(package->executable);
    char *CLEAN_FREE below = contents_find_file(in, STR(CONTENTS_LOADER));
    bool is_rocm = strcmp(package->backend, "rocm") == 0;
    if (below && contents_is_file(in->stage.dir, below, "libc.so.6")) {
        package->loader = contents_join(below, CONTENTS_LOADER);
        contents_add_dir(&path, str_from(below));
        if (!str_is(own, below))
            contents_add_dir(&path, own);
    }
    if (is_rocm && !(package->loader && str_is(own, package->backend_dir)))
        contents_add_dir(&path, str_from(package->backend_dir));
    if ((is_rocm || package->loader) && in->library_path)
        contents_add_dir(&path, str_from(in->library_path));
    if (path.n)
        package->library_path = xbuf_take(&path);
}

int contents_find(struct install *in, struct gfxb_error *err)
{
    struct gfx_engine engine;
    int r = contents_find_engine(in, &engine, err) ?: contents_find_backend(in, &engine, err);
    if (r < 0)
        return r;
    contents_find_loader(in);
    if (!in->package.backend_dir[0]) {
        free(in->package.backend_dir);
        in->package.backend_dir = xstrdup(".");
    }
    return 0;
}

/* ---- measuring ---- */

static bool contents_serves(const struct package_env *env, struct str list)
{
    const struct gfx_target *target =
        env->gfx && env->tables ? gfx_target_find(env->tables, str_from(env->gfx)) : NULL;
    return !target || gfx_covers(env->tables, target, list, NULL) != GFX_VIA_NONE;
}

int contents_check_gfx(const struct package_env *env, struct str what, struct str list,
                       struct gfxb_error *err)
{
    if (contents_serves(env, list))
        return 0;
    return error_set(err, GFXB_E_GFX_NOT_IN_PACKAGE,
                     "%.*s holds code for %.*s and none that serves %s", STR_ARG(what),
                     STR_ARG(list), env->gfx);
}

/* "2.43-7" -> 2, 43 */
static bool contents_two_numbers(const char *version, uint64_t ret_number[2])
{
    struct str rest = str_from(version), piece;
    if (!str_cut(&rest, '.', &piece) || str_to_u64(piece, 10, &ret_number[0]) < 0)
        return false;
    size_t digits = rest.n ? strspn(rest.p, "0123456789") : 0;
    return str_to_u64((struct str){rest.p, digits}, 10, &ret_number[1]) == 0;
}

bool package_version_below(const char *version, const char *other)
{
    uint64_t a[2], b[2];
    if (!contents_two_numbers(version, a) || !contents_two_numbers(other, b))
        return false;
    return a[0] != b[0] ? a[0] < b[0] : a[1] < b[1];
}

/* A C library in the package counts when the package is started with it. */
static int contents_check_glibc(const struct install *in, const struct inspection *seen,
                                struct gfxb_error *err)
{
    const char *have = package_glibc(in->env);
    bool own_libc = seen->own_libc && in->package.loader;
    if (own_libc || !have || !seen->glibc[0] || !package_version_below(have, seen->glibc))
        return 0;
    return error_set(err, GFXB_E_GLIBC_TOO_OLD,
                     in->env->other
                         ? "%.*s needs glibc %s and the other computer has %s: it cannot run there"
                         : "%.*s needs glibc %s and this computer has %s: it cannot run here",
                     STR_ARG(in->what), seen->glibc, have);
}

/* Blank-separated; to be freed by the caller. */
static char *contents_words(const struct names *names)
{
    struct buf CLEAN_BUF text = BUF_INIT(CONTENTS_LIST_MAX);
    for (size_t i = 0; i < names->n; i++)
        buf_addf(&text, "%s%s", i ? " " : "", names->name[i]);
    return xbuf_take(&text);
}

/* "gfx..." as measured and as the table says: a difference is worth a line. */
static void contents_tell_difference(const struct install *in)
{
    struct str rest = in->row ? in->row->gfx : STR_NONE, word;
    while (str_word(&rest, &word)) {
        if (str_list_has(str_from(in->package.gfx), word))
            continue;
        log_at(in->env->log, LOG_WARNING,
               "%.*s holds code for %s, not for %.*s as its table row says", STR_ARG(in->what),
               in->package.gfx, STR_ARG(word));
        return;
    }
}

static int contents_measure_code(struct install *in, const struct inspection *seen,
                                 struct gfxb_error *err)
{
    struct package *package = &in->package;
    package->gfx = contents_words(&seen->gfx);
    /* None at all: its BLAS is elsewhere, on the computer or in a runtime package. */
    package->blas = seen->blas.rocblas.n ? contents_words(&seen->blas.rocblas) : NULL;
    int r = contents_check_gfx(in->env, in->what, str_from(package->gfx), err);
    if (r == 0 && package->blas && !contents_serves(in->env, str_from(package->blas)))
        r = error_set(err, GFXB_E_BLAS_KERNELS_MISSING,
                      "the rocBLAS of %.*s has kernels for %s and none for %s: the engine would "
                      "abort at the first large matrix product",
                      STR_ARG(in->what), package->blas, in->env->gfx);
    if (r == 0)
        contents_tell_difference(in);
    return r;
}

/* The whole package; of an engine that stays where it is the file of its backend. */
static int contents_measure(struct install *in, struct str backend_file, struct gfxb_error *err)
{
    const struct package *package = &in->package;
    struct inspection seen = {0};
    bool is_rocm = strcmp(package->backend, "rocm") == 0;
    char *CLEAN_FREE path = !in->is_in_place ? xstrdup(in->stage.dir)
                            : !backend_file.n
                                ? xstrdup(package->executable)
                                : xasprintf("%s/%.*s", package->backend_dir, STR_ARG(backend_file));
    if (is_rocm)
        log_at(in->env->log, LOG_INFO, "checking which GPU targets are inside");
    int r = inspect_path(path, in->env->tables, false, &seen, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < seen.problems.n; i++)
        log_at(in->env->log, LOG_WARNING, "%.*s: %s", STR_ARG(in->what), seen.problems.name[i]);
    r = contents_check_glibc(in, &seen, err);
    if (r == 0 && is_rocm)
        r = contents_measure_code(in, &seen, err);
    inspection_done(&seen);
    return r;
}

/* The program, its backend, and every CPU backend. */
static void contents_add_roots(const struct package *package, const char *dir,
                               const struct gfx_engine *engine, struct str backend_file,
                               struct names *roots)
{
    char *CLEAN_FREE path = xfs_join(dir, package->backend_dir);
    DIR *CLEAN_DIR entries = opendir(path);
    const char *entry;
    names_add(roots, str_from(package->executable));
    while ((entry = fs_next(entries))) {
        struct str name = str_from(entry);
        bool is_cpu = str_starts(name, engine->cpu) && str_ends(name, STR(".so"));
        char *CLEAN_FREE file = xfs_join(package->backend_dir, entry);
        if (is_cpu || (backend_file.n && str_eq(name, backend_file)))
            names_add(roots, str_from(file));
    }
}

int contents_check(struct install *in, struct gfxb_error *err)
{
    const struct package *package = &in->package;
    const char *dir = in->is_in_place ? "" : in->stage.dir;
    struct gfx_engine engine;
    struct names CLEAN_NAMES roots = {0};
    if (!gfx_engine_find(str_from(package->engine), &engine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%s: an unknown engine", package->engine);
    struct str file = gfx_engine_backend_file(&engine, str_from(package->backend));
    int r = contents_measure(in, file, err);
    if (r < 0)
        return r;
    contents_add_roots(package, dir, &engine, file, &roots);
    return libraries_check(in->env, dir, &roots, str_from(package->library_path), in->what, err);
}
