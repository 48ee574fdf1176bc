/* recipe.c - from unpacked .deb files to a package that starts from where it is. */
#include "package/apt/apt.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>

#define RECIPE_TOP         "usr/lib"
#define RECIPE_DEPTH       4 /* of directories below it */
#define RECIPE_PATH_MAX    16384
#define RECIPE_LIBRARY_MAX (64u << 20)

/* Found while walking usr/lib. */
struct recipe {
    const char *root;
    struct gfx_engine engine;
    struct package *package;   /* gets the executable, the loader, the directory of backends */
    char *libc_dir;            /* owned: usr/lib/<multiarch>: where libc.so.6 is */
    struct names library_dirs; /* every directory that holds shared libraries */
};

static void recipe_keep(char **slot, char *found)
{
    free(*slot);
    *slot = found;
}

/* One file or link, its path relative to the package. */
static void recipe_take_file(struct recipe *recipe, const char *path)
{
    struct str dir = fs_dir(path), name = str_from(fs_name(path));
    if (str_is(name, "libc.so.6"))
        recipe_keep(&recipe->libc_dir, xstr_dup(dir));
    else if (str_starts(name, STR("ld-linux")) && !recipe->package->loader)
        recipe->package->loader = xstrdup(path);
    else if (str_starts(name, recipe->engine.cpu))
        recipe_keep(&recipe->package->backend_dir, xstr_dup(dir));
    else if (str_starts(name, STR("lib")) && str_has(name, STR(".so")))
        names_add(&recipe->library_dirs, dir);
}

/* What is in gconv is named like a library, but nobody links to it. */
static int recipe_walk(struct recipe *recipe, struct gfxb_error *err)
{
    char *CLEAN_FREE top = xfs_join(recipe->root, RECIPE_TOP);
    char *tops[] = {top, NULL};
    FTS *tree = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    int r = tree ? 0 : fs_error(err, errno, "read", top);
    while (r == 0 && (entry = fts_read(tree))) {
        bool is_left_out = entry->fts_name[0] == '.' || entry->fts_level > RECIPE_DEPTH ||
                           strcmp(entry->fts_name, "gconv") == 0;
        if (entry->fts_errno && entry->fts_info != FTS_SLNONE)
            r = fs_error(err, entry->fts_errno, "read", entry->fts_path);
        else if (entry->fts_info == FTS_D && is_left_out)
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info != FTS_D && entry->fts_info != FTS_DP && entry->fts_level > 0 &&
                 entry->fts_name[0] != '.')
            recipe_take_file(recipe, entry->fts_path + strlen(recipe->root) + 1);
    }
    if (tree)
        fts_close(tree);
    return r;
}

/* The directory of the libc first, then the others. */
static char *recipe_library_path(const struct recipe *recipe)
{
    struct buf CLEAN_BUF path = BUF_INIT(RECIPE_PATH_MAX);
    buf_add_text(&path, recipe->libc_dir);
    for (size_t i = 0; i < recipe->library_dirs.n; i++) {
        const char *dir = recipe->library_dirs.name[i];
        if (strcmp(dir, recipe->libc_dir) != 0 && strcmp(dir, recipe->package->backend_dir) != 0)
            buf_addf(&path, ":%s", dir);
    }
    return xbuf_take(&path);
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
        char *CLEAN_FREE path = xfs_join(recipe->root, parts[i]);
        r = fs_remove_tree(path);
    }
    char *CLEAN_FREE gconv = xasprintf("%s/%s/gconv", recipe->root, recipe->libc_dir);
    r = r ?: fs_remove_tree(gconv);
    return r < 0 ? error_set(err, -r, "cannot tidy %s: %s", recipe->root, error_errno_text(-r)) : 0;
}

static int recipe_relocate_library(const struct recipe *recipe, struct str soname,
                                   struct gfxb_error *err)
{
    struct buf CLEAN_BUF library = BUF_INIT(RECIPE_LIBRARY_MAX + 65536);
    char *CLEAN_FREE link =
        xasprintf("%s/%s/%.*s", recipe->root, recipe->libc_dir, STR_ARG(soname));
    char *CLEAN_FREE path = realpath(link, NULL);
    if (!path)
        return 0; /* this one is not there */
    int r = fs_read(path, RECIPE_LIBRARY_MAX, &library);
    if (r < 0)
        return fs_error(err, -r, "read", path);
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
    const struct package *package = recipe->package;
    char *CLEAN_FREE executable = xfs_join(recipe->root, package->executable);
    const char *missing = access(executable, X_OK) < 0 ? package->executable
                          : !recipe->libc_dir          ? "libc.so.6"
                          : !package->loader           ? "the loader ld-linux"
                          : !package->backend_dir      ? "a CPU backend"
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
    struct recipe recipe = {.root = dir, .package = package};
    if (!gfx_engine_find(str_from(package->engine), &recipe.engine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%s: an unknown engine", package->engine);
    package->executable = xasprintf("usr/bin/%.*s", STR_ARG(recipe.engine.program));
    int r = recipe_walk(&recipe, err) ?: recipe_check(&recipe, err);
    r = r ?: recipe_relocate(&recipe, err) ?: recipe_prune(&recipe, err);
    if (r == 0)
        package->library_path = recipe_library_path(&recipe);
    free(recipe.libc_dir);
    names_done(&recipe.library_dirs);
    return r;
}
