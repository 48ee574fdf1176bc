#include "package/contents.h"
#include "package/libraries.h"
#include "package/measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define CONTENTS_DEPTH 6

/* Best first. */
static const char *const contents_backends[] = {"rocm", "vulkan", "cpu"};

#define CONTENTS_BACKENDS (sizeof(contents_backends) / sizeof(contents_backends[0]))

/* What was found; paths are relative to the contents' directory and owned. */
struct contents_found {
    char *executable;
    char *backend_dir;
    struct gfx_engine engine;
    const char *backend;
    struct str backend_file; /* that makes it one of the backend; empty: the CPU's */
    char *loader, *libc_dir; /* NULL: the computer's */
    char *library_path;      /* NULL none */
};

static void contents_found_done(struct contents_found *found)
{
    free(found->executable);
    free(found->backend_dir);
    free(found->loader);
    free(found->libc_dir);
    free(found->library_path);
}

static bool contents_is_file(const char *dir, const char *below, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s%s%s", dir, below, below[0] ? "/" : "", name);
    return n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Not every file system says what an entry is (XFS without ftype, some network ones). */
static bool contents_is_dir(int dir_fd, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
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
        if (entry->d_name[0] == '.' || !contents_is_dir(dirfd(entries), entry))
            continue;
        char *CLEAN_FREE next = below[0] ? fs_join(below, entry->d_name) : strdup(entry->d_name);
        r = next ? contents_find(dir, next, name, depth - 1, ret_below) : -ENOMEM;
    }
    if (entries)
        closedir(entries);
    return r;
}

/* The kind that is asked for, or the first whose program is there. */
static int contents_find_engine(const struct contents *contents, struct contents_found *found,
                                struct gfxb_error *err)
{
    int r = -ENOENT;
    for (size_t i = 0; r == -ENOENT && gfx_engine_at(i, &found->engine); i++) {
        char *CLEAN_FREE program = str_dup(found->engine.program);
        char *CLEAN_FREE below = NULL;
        if (contents->engine.n && !str_eq(contents->engine, found->engine.name))
            continue;
        r = program ? contents_find(contents->dir, "", program, CONTENTS_DEPTH, &below) : -ENOMEM;
        if (r == 0)
            found->executable = below[0] ? fs_join(below, program) : strdup(program);
    }
    if (r == -ENOENT)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s in %.*s",
                         STR_ARG(found->engine.program), STR_ARG(contents->what));
    return r < 0 || !found->executable ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* The backend that is asked for, or the best that is there, and the directory of its files. */
static int contents_find_backend(const struct contents *contents, struct contents_found *found,
                                 struct gfxb_error *err)
{
    int r = -ENOENT;
    for (size_t i = 0; r == -ENOENT && i < CONTENTS_BACKENDS; i++) {
        const char *backend = contents_backends[i];
        struct str name = gfx_engine_backend_file(&found->engine, str_from(backend));
        char *CLEAN_FREE file = name.n ? str_dup(name) : NULL;
        bool is_cpu = strcmp(backend, "cpu") == 0;
        if ((contents->backend.n && !str_is(contents->backend, backend)) || (!is_cpu && !name.n))
            continue;
        if (!is_cpu) {
            r = file ? contents_find(contents->dir, "", file, CONTENTS_DEPTH, &found->backend_dir)
                     : -ENOMEM;
        } else {
            const char *slash = strrchr(found->executable, '/');
            size_t n = slash ? (size_t)(slash - found->executable) : 0;
            found->backend_dir = strndup(found->executable, n);
            r = found->backend_dir ? 0 : -ENOMEM;
        }
        found->backend = backend;
        found->backend_file = name;
    }
    if (r == -ENOENT)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s backend in %.*s",
                         STR_ARG(contents->backend), STR_ARG(contents->what));
    return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* An archive with a C library of its own beside its own loader is started with that loader. */
static int contents_find_loader(const struct contents *contents, struct contents_found *found,
                                struct gfxb_error *err)
{
    char *CLEAN_FREE below = NULL;
    int r = contents_find(contents->dir, "", CONTENTS_LOADER, CONTENTS_DEPTH, &below);
    if (r == -ENOENT || (r == 0 && !contents_is_file(contents->dir, below, "libc.so.6")))
        return 0;
    if (r == 0) {
        found->loader = below[0] ? fs_join(below, CONTENTS_LOADER) : strdup(CONTENTS_LOADER);
        found->libc_dir = below;
        below = NULL;
    }
    return found->loader ? 0 : error_set(err, ENOMEM, "out of memory");
}

static void contents_add_dir(struct buf *path, struct str dir)
{
    if (path->n)
        buf_add_char(path, ':');
    buf_add_str(path, dir.n ? dir : STR("."));
}

/*
 * HIP opens some of its libraries by name while it runs, so a ROCm engine gets its own directory to
 * look in, and its runtime's. An engine with a loader of its own has nothing else to look in.
 * Others do without: what stands in the library path is also found by the GPU driver that Vulkan
 * loads into the process.
 */
static int contents_make_library_path(const struct contents *contents, struct contents_found *found,
                                      struct gfxb_error *err)
{
    struct buf CLEAN_BUF path = BUF_INIT(8 * PATH_MAX);
    const char *slash = strrchr(found->executable, '/');
    struct str own = {found->executable, slash ? (size_t)(slash - found->executable) : 0};
    bool is_rocm = strcmp(found->backend, "rocm") == 0;
    if (!is_rocm && !found->loader)
        return 0;
    if (found->loader)
        contents_add_dir(&path, str_from(found->libc_dir));
    if (found->loader && !str_is(own, found->libc_dir))
        contents_add_dir(&path, own);
    if (is_rocm && !(found->loader && str_is(own, found->backend_dir)))
        contents_add_dir(&path, str_from(found->backend_dir));
    if (contents->library_path.n)
        contents_add_dir(&path, contents->library_path);
    found->library_path = buf_take(&path);
    return found->library_path ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* The program, its backend, and one of each kind of CPU backend. */
static int contents_add_roots(const char *dir, const struct contents_found *found,
                              struct names *roots)
{
    char *CLEAN_FREE path = fs_join(dir, found->backend_dir);
    names_add(roots, str_from(found->executable));
    DIR *entries = path ? opendir(path) : NULL;
    const struct dirent *entry;
    int r = 0;
    while (entries && r == 0 && (entry = readdir(entries))) {
        struct str name = str_from(entry->d_name);
        bool is_backend = found->backend_file.n && str_eq(name, found->backend_file);
        bool is_cpu = str_starts(name, found->engine.cpu) && str_ends(name, STR(".so"));
        if (!is_backend && !is_cpu)
            continue;
        char *CLEAN_FREE file = found->backend_dir[0] ? fs_join(found->backend_dir, entry->d_name)
                                                      : strdup(entry->d_name);
        if (file)
            names_add(roots, str_from(file));
        else
            r = -ENOMEM;
    }
    if (entries)
        closedir(entries);
    return r;
}

/* The package as it was found; owned by it from here on. */
static int contents_fill(struct contents_found *found, struct package *package,
                         struct gfxb_error *err)
{
    package->engine = str_dup(found->engine.name);
    package->backend = strdup(found->backend);
    package->executable = found->executable;
    package->backend_dir = found->backend_dir[0] ? found->backend_dir : strdup(".");
    package->loader = found->loader;
    package->library_path = found->library_path;
    if (!found->backend_dir[0])
        free(found->backend_dir);
    free(found->libc_dir);
    *found = (struct contents_found){0};
    return package->engine && package->backend && package->backend_dir
               ? 0
               : error_set(err, ENOMEM, "out of memory");
}

int contents_describe(const struct package_env *env, const struct contents *contents,
                      struct package *package, struct gfxb_error *err)
{
    struct contents_found found = {0};
    struct names roots = {0};
    int r = contents_find_engine(contents, &found, err);
    if (r == 0)
        r = contents_find_backend(contents, &found, err);
    if (r == 0)
        r = contents_find_loader(contents, &found, err);
    if (r == 0)
        r = contents_make_library_path(contents, &found, err);
    if (r == 0 && contents_add_roots(contents->dir, &found, &roots) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    if (r == 0)
        r = contents_fill(&found, package, err);
    if (r == 0)
        r = measure_package(env, contents->dir, contents->what, package, err);
    if (r == 0)
        r = libraries_check(env, contents->dir, &roots, str_from(package->library_path),
                            contents->what, err);
    contents_found_done(&found);
    names_done(&roots);
    return r;
}
