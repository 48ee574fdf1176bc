#include "package/apt/recipe.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define RECIPE_DEPTH       4 /* of directories below usr/lib */
#define RECIPE_PATH_MAX    16384
#define RECIPE_LIBRARY_MAX (64u << 20)

/* Found while walking usr/lib; all paths relative to the package, owned. */
struct recipe {
    const char *root;
    struct gfx_engine engine;
    char *executable;
    char *libc_dir; /* usr/lib/<multiarch>: where libc.so.6 is */
    char *loader;
    char *backend_dir;       /* where its CPU backends are */
    struct buf library_path; /* every other directory that holds shared libraries */
};

static void recipe_done(struct recipe *recipe)
{
    free(recipe->executable);
    free(recipe->libc_dir);
    free(recipe->loader);
    free(recipe->backend_dir);
    buf_done(&recipe->library_path);
}

static bool recipe_is_library(struct str name)
{
    return str_starts(name, STR("lib")) && str_has(name, STR(".so"));
}

static int recipe_keep(char **slot, char *found)
{
    if (!found)
        return -ENOMEM;
    free(*slot);
    *slot = found;
    return 0;
}

/* One file of the directory rel. */
static int recipe_take_file(struct recipe *recipe, const char *rel, const char *name,
                            bool *holds_libraries)
{
    struct str s = str_from(name);
    if (str_is(s, "libc.so.6"))
        return recipe_keep(&recipe->libc_dir, strdup(rel));
    if (str_starts(s, STR("ld-linux")) && !recipe->loader)
        return recipe_keep(&recipe->loader, fs_join(rel, name));
    if (str_starts(s, recipe->engine.cpu))
        return recipe_keep(&recipe->backend_dir, strdup(rel));
    if (recipe_is_library(s))
        *holds_libraries = true;
    return 0;
}

static int recipe_walk(struct recipe *recipe, const char *rel, int depth);

/* What is in gconv is named like a library, but nobody links to it. */
static int recipe_take_entry(struct recipe *recipe, const char *rel, const char *name, int depth,
                             bool *holds_libraries)
{
    char *CLEAN_FREE below = fs_join(rel, name);
    char *CLEAN_FREE path = below ? fs_join(recipe->root, below) : NULL;
    struct stat st;
    if (!path)
        return -ENOMEM;
    if (lstat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return recipe_take_file(recipe, rel, name, holds_libraries);
    return depth > 0 && strcmp(name, "gconv") != 0 ? recipe_walk(recipe, below, depth - 1) : 0;
}

static int recipe_walk(struct recipe *recipe, const char *rel, int depth)
{
    char *CLEAN_FREE path = fs_join(recipe->root, rel);
    DIR *dir = path ? opendir(path) : NULL;
    if (!dir)
        return path ? -errno : -ENOMEM;
    bool holds_libraries = false;
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            r = recipe_take_entry(recipe, rel, entry->d_name, depth, &holds_libraries);
    }
    closedir(dir);
    if (holds_libraries)
        buf_addf(&recipe->library_path, ":%s", rel);
    return r;
}

/* The directory of the libc first, then the others. */
static char *recipe_library_path(const struct recipe *recipe)
{
    struct buf path = BUF_INIT(RECIPE_PATH_MAX);
    struct str rest = buf_view(&recipe->library_path), dir;
    buf_add_text(&path, recipe->libc_dir);
    while (str_cut(&rest, ':', &dir)) {
        if (dir.n && !str_is(dir, recipe->libc_dir) && !str_is(dir, recipe->backend_dir))
            buf_addf(&path, ":%.*s", STR_ARG(dir));
    }
    return buf_take(&path);
}

/*
 * The engine looks for backends in a compiled-in directory first. Same length, and no such path can
 * ever exist: "/usr/lib/x86_64-linux-gnu/PLUGINS/..." becomes "/dev/null/86_64-linux-gnu/...".
 * Compilers split long literals, so only the beginning is looked for.
 */
static void recipe_blind(const struct recipe *recipe, struct buf *library, unsigned *ret_found)
{
    static const char nowhere[] = {'/', 'd', 'e', 'v', '/', 'n', 'u', 'l', 'l', '/'};
    struct buf CLEAN_BUF needle = BUF_INIT(RECIPE_PATH_MAX);
    buf_addf(&needle, "/%s/%.*s/", recipe->libc_dir, STR_ARG(recipe->engine.plugins));
    size_t at = 0;
    while (needle.n > sizeof(nowhere) && at < library->n) {
        char *hit = memmem(library->p + at, library->n - at, needle.p, needle.n);
        if (!hit)
            break;
        memcpy(hit, nowhere, sizeof(nowhere));
        at = (size_t)(hit - library->p) + needle.n;
        (*ret_found)++;
    }
}

/*
 * What no engine opens: two files in three, each of which would have to be forced to disk. Licences
 * (usr/share/doc) stay. gconv are glibc's character set converters.
 */
static int recipe_prune(const struct recipe *recipe, struct gfxb_error *err)
{
    static const char *const parts[] = {
        "usr/share/locale",  "usr/share/man",     "usr/share/info",
        "usr/share/perl5",   "usr/share/debconf", "usr/share/bash-completion",
        "usr/share/pixmaps", "usr/share/lintian", "usr/sbin",
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *CLEAN_FREE path = fs_join(recipe->root, parts[i]);
        r = path ? fs_remove_tree(path) : -ENOMEM;
    }
    char *CLEAN_FREE libc_dir = fs_join(recipe->root, recipe->libc_dir);
    char *CLEAN_FREE gconv = libc_dir ? fs_join(libc_dir, "gconv") : NULL;
    if (r == 0)
        r = gconv ? fs_remove_tree(gconv) : -ENOMEM;
    return r < 0 ? error_set(err, -r, "cannot tidy %s: %s", recipe->root, error_errno_text(-r)) : 0;
}

static int recipe_relocate_library(const struct recipe *recipe, struct str soname,
                                   struct gfxb_error *err)
{
    char *CLEAN_FREE link = NULL;
    struct buf CLEAN_BUF library = BUF_INIT(RECIPE_LIBRARY_MAX + 65536);
    if (asprintf(&link, "%s/%s/%.*s", recipe->root, recipe->libc_dir, STR_ARG(soname)) < 0) {
        link = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    char *CLEAN_FREE path = realpath(link, NULL);
    if (!path)
        return 0; /* this one is not there */
    int r = fs_read(path, RECIPE_LIBRARY_MAX, &library);
    if (r < 0)
        return error_set(err, -r, "cannot read %s: %s", path, error_errno_text(-r));
    unsigned found = 0;
    recipe_blind(recipe, &library, &found);
    return found ? fs_write(path, library.p, library.n, 0644, err) : 0;
}

/* In whichever of its libraries the directory is compiled in. */
static int recipe_relocate(const struct recipe *recipe, struct gfxb_error *err)
{
    struct str rest = recipe->engine.loaded, soname;
    int r = 0;
    while (r == 0 && recipe->engine.plugins.n && str_word(&rest, &soname))
        r = recipe_relocate_library(recipe, soname, err);
    return r;
}

static int recipe_check(const struct recipe *recipe, struct gfxb_error *err)
{
    char *CLEAN_FREE executable =
        recipe->executable ? fs_join(recipe->root, recipe->executable) : NULL;
    if (!executable)
        return error_set(err, ENOMEM, "out of memory");
    const char *missing = access(executable, X_OK) < 0 ? recipe->executable
                          : !recipe->libc_dir          ? "libc.so.6"
                          : !recipe->loader            ? "the loader ld-linux"
                          : !recipe->backend_dir       ? "a CPU backend"
                                                       : NULL;
    if (missing)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE,
                         "the distribution's engine packages hold no %s where it is expected: a "
                         "newer gfxbridge may know better, or use another package source",
                         missing);
    return 0;
}

int debian_recipe_apply(const char *dir, struct package *package, struct gfxb_error *err)
{
    struct recipe recipe = {.root = dir, .library_path = BUF_INIT(RECIPE_PATH_MAX)};
    if (!gfx_engine_find(str_from(package->engine), &recipe.engine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%s: an engine that is not known",
                         package->engine);
    if (asprintf(&recipe.executable, "usr/bin/%.*s", STR_ARG(recipe.engine.program)) < 0)
        recipe.executable = NULL;
    int r = recipe_walk(&recipe, "usr/lib", RECIPE_DEPTH);
    if (r < 0)
        error_set(err, -r, "cannot read %s/usr/lib: %s", dir, error_errno_text(-r));
    if (r == 0)
        r = recipe_check(&recipe, err);
    if (r == 0)
        r = recipe_relocate(&recipe, err);
    if (r == 0)
        r = recipe_prune(&recipe, err);
    if (r == 0) {
        package->library_path = recipe_library_path(&recipe);
        package->executable = recipe.executable;
        package->loader = recipe.loader;
        package->backend_dir = recipe.backend_dir;
        recipe.executable = NULL;
        recipe.loader = NULL;
        recipe.backend_dir = NULL;
        if (!package->library_path || !package->executable)
            r = error_set(err, ENOMEM, "out of memory");
    }
    recipe_done(&recipe);
    return r;
}
