/*
 * Walks from the program over what each file asks for, as far as the files are in the package. Each
 * one is looked at by package_inspect, which knows the loader's rules; only directories outside of
 * the package (a ROCm in /opt) are looked through here.
 */
#include "package/closure.h"
#include "sysroot/sysroot.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define CLOSURE_OS_RELEASE_MAX 65536

struct closure {
    const struct package_env *env;
    const char *dir;
    struct str library_path;
    struct names seen; /* paths that were looked at or wait to be */
    char **waiting;    /* a stack; owned */
    size_t n_waiting;
    struct names *missing;
};

static int closure_push(struct closure *c, const char *path)
{
    if (names_has(&c->seen, str_from(path)))
        return 0;
    int r = names_add(&c->seen, str_from(path));
    char **grown = reallocarray(c->waiting, c->n_waiting + 1, sizeof(*grown));
    if (grown)
        c->waiting = grown;
    char *copy = grown ? strdup(path) : NULL;
    if (r < 0 || !copy) {
        free(copy);
        return r < 0 ? r : -ENOMEM;
    }
    c->waiting[c->n_waiting++] = copy;
    return 0;
}

static struct str closure_dir_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (struct str){path, (size_t)(slash - path)} : STR("");
}

/* The package's library directories as seen from the directory of one of its files. */
static void closure_seen_from(const struct closure *c, struct str from, struct buf *ret)
{
    struct buf CLEAN_BUF up = BUF_INIT(PATH_MAX);
    struct str piece, rest = from, dir, dirs = c->library_path;
    while (from.n && str_cut(&rest, '/', &piece))
        buf_add_text(&up, "../");
    while (str_cut(&dirs, ':', &dir)) {
        if (dir.n == 0 || dir.p[0] == '/')
            continue;
        if (ret->n)
            buf_add_char(ret, ':');
        buf_add_str(ret, buf_view(&up));
        buf_add_str(ret, dir);
    }
}

/* A file of the package by this name, in a directory relative to the package: wait for it too. */
static int closure_try(struct closure *c, struct str dir, const char *soname, bool *ret_found)
{
    char path[PATH_MAX], full[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%.*s%s%s", STR_ARG(dir), dir.n ? "/" : "", soname);
    int m = snprintf(full, sizeof(full), "%s/%s", c->dir, path);
    if (n <= 0 || (size_t)n >= sizeof(path) || m <= 0 || (size_t)m >= sizeof(full) ||
        stat(full, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    *ret_found = true;
    return closure_push(c, path);
}

/* Find a library that the file at `from` asks for inside the package, to follow it. */
static int closure_follow(struct closure *c, struct str from, const char *soname)
{
    struct str dirs = c->library_path, dir;
    bool found = false;
    int r = closure_try(c, from, soname, &found);
    while (r == 0 && !found && str_cut(&dirs, ':', &dir)) {
        if (dir.n && dir.p[0] != '/')
            r = closure_try(c, dir, soname, &found);
    }
    return r;
}

/* In one of the library directories outside of the package? */
static bool closure_is_outside(const struct closure *c, const char *soname)
{
    struct str dirs = c->library_path, dir;
    char path[PATH_MAX];
    struct root_stat st;
    while (str_cut(&dirs, ':', &dir)) {
        int n = snprintf(path, sizeof(path), "%.*s/%s", STR_ARG(dir), soname);
        if (dir.n && dir.p[0] == '/' && n > 0 && (size_t)n < sizeof(path) &&
            root_stat(c->env->root, path, &st) == 0 && st.kind == ROOT_FILE)
            return true;
    }
    return false;
}

static int closure_look_at(struct closure *c, const char *path, struct gfxb_error *err)
{
    struct str from = closure_dir_name(path);
    struct buf CLEAN_BUF dirs = BUF_INIT(8 * PATH_MAX);
    struct inspection found = {0};
    char *CLEAN_FREE full = fs_join(c->dir, path);
    closure_seen_from(c, from, &dirs);
    if (!full || !buf_ok(&dirs))
        return error_set(err, ENOMEM, "out of memory");
    struct inspect_options options = {
        .tables = c->env->tables, .host = c->env->root, .library_path = buf_text(&dirs)};
    int r = package_inspect(full, &options, &found, err);
    if (r < 0) {
        error_prefix(err, "%s: ", path);
        return r;
    }
    for (size_t i = 0; r == 0 && i < found.needed.n; i++)
        r = closure_follow(c, from, found.needed.name[i]);
    for (size_t i = 0; r == 0 && found.resolved && i < found.unresolved.n; i++) {
        if (!closure_is_outside(c, found.unresolved.name[i]))
            r = names_add(c->missing, str_from(found.unresolved.name[i]));
    }
    package_inspection_done(&found);
    return r < 0 ? error_set(err, -r, "out of memory") : 0;
}

int closure_find_missing(const struct package_env *env, const char *dir, const struct names *roots,
                         struct str library_path, struct names *ret_missing, struct gfxb_error *err)
{
    struct names missing = {0};
    struct closure c = {.env = env, .dir = dir, .library_path = library_path, .missing = &missing};
    int r = 0;
    for (size_t i = 0; r == 0 && i < roots->n; i++)
        r = closure_push(&c, roots->name[i]);
    if (r < 0)
        error_set(err, -r, "out of memory");
    while (r == 0 && c.n_waiting) {
        char *CLEAN_FREE path = c.waiting[--c.n_waiting];
        r = closure_look_at(&c, path, err);
    }
    while (c.n_waiting)
        free(c.waiting[--c.n_waiting]);
    free(c.waiting);
    names_done(&c.seen);
    if (r < 0)
        names_done(&missing);
    else
        *ret_missing = missing;
    return r;
}

/* A value of os-release ("ID", "ID_LIKE"), "" unknown. */
static void closure_os_value(struct str text, const char *key, char *ret_value, size_t size)
{
    struct str line, name;
    ret_value[0] = '\0';
    while (str_cut(&text, '\n', &line)) {
        if (!str_cut(&line, '=', &name) || !str_is(name, key))
            continue;
        line = str_trim(line);
        if (line.n >= 2 && line.p[0] == '"')
            line = (struct str){line.p + 1, line.n - 2};
        snprintf(ret_value, size, "%.*s", STR_ARG(line));
        return;
    }
}

/* How the distribution brings a library; "" not known. */
static void closure_remedy(const struct root *root, const char *soname, char *ret_command,
                           size_t size)
{
    struct buf CLEAN_BUF text = BUF_INIT(4 * CLOSURE_OS_RELEASE_MAX);
    char id[64], like[128];
    root_read(root, "/etc/os-release", CLOSURE_OS_RELEASE_MAX, &text);
    closure_os_value(buf_view(&text), "ID", id, sizeof(id));
    closure_os_value(buf_view(&text), "ID_LIKE", like, sizeof(like));
    package_library_remedy(soname, str_from(id), str_from(like), ret_command, size);
}

/* "libamdhip64.so.6" beside a missing libamdhip64.so.7, from the package's library directories. */
static void closure_other_version(const char *dir, struct str library_path, const char *soname,
                                  struct buf *ret)
{
    const char *so = strstr(soname, ".so.");
    struct str below;
    while (so && str_cut(&library_path, ':', &below)) {
        char path[PATH_MAX];
        bool is_outside = below.n && below.p[0] == '/';
        int n = snprintf(path, sizeof(path), "%s%s%.*s", is_outside ? "" : dir,
                         is_outside ? "" : "/", STR_ARG(below));
        DIR *entries = n > 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;
        const struct dirent *entry;
        while (entries && ret->n == 0 && (entry = readdir(entries))) {
            if (strncmp(entry->d_name, soname, (size_t)(so - soname) + 4) == 0)
                buf_add_text(ret, entry->d_name);
        }
        if (entries)
            closedir(entries);
    }
}

int closure_explain(const struct package_env *env, const char *dir, struct str library_path,
                    const struct names *missing, struct str what, struct gfxb_error *err)
{
    const char *soname = missing->name[0];
    char remedy[256], more[48] = "";
    struct buf CLEAN_BUF other = BUF_INIT(NAME_MAX + 1);
    closure_other_version(dir, library_path, soname, &other);
    if (other.n)
        return error_set(err, GFXB_E_LIBRARY_MISSING,
                         "the engine of %.*s needs %s and the ROCm runtime for it brings %s: they "
                         "do not belong together",
                         STR_ARG(what), soname, buf_text(&other));
    if (missing->n > 1)
        snprintf(more, sizeof(more), " (and %zu more libraries)", missing->n - 1);
    closure_remedy(env->root, soname, remedy, sizeof(remedy));
    return error_set(err, GFXB_E_LIBRARY_MISSING,
                     "the engine of %.*s needs %s%s, which is neither in it nor on this "
                     "computer%s%s",
                     STR_ARG(what), soname, more, remedy[0] ? ": " : "", remedy);
}
