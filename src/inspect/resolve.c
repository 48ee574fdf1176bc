/*
 * The order of places does not matter here, only whether there is one. A library counts as found
 * in: the file's run path, its own directory, the package's library directories (what its engine is
 * started with), and the computer's ld.so.cache and default directories.
 */
#include "inspect/resolve.h"
#include "inspect/ldcache.h"
#include "package/manifest.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define RESOLVE_CACHE_MAX (8u << 20)

enum resolve_answer { RESOLVE_NO, RESOLVE_YES, RESOLVE_UNKNOWN };

struct resolver {
    const struct root *host;
    const char *directory;
    struct names library_dirs; /* below the package, "" is the package itself */
    struct buf cache;          /* ld.so.cache */
    int cache_error;
};

/* Where libraries of a package usually are, when nothing says where its engine looks. */
static const char *const resolve_usual_dirs[] = {
    "",
    "bin",
    "lib",
    "lib64",
    "lib/llvm/lib",
    "usr/lib",
    "usr/lib64",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
};

static const char *const resolve_x86_64_dirs[] = {
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    NULL,
};

static const char *const resolve_aarch64_dirs[] = {
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    NULL,
};

static bool resolve_in_package(const struct resolver *rs, struct str below, struct str soname)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%.*s/%.*s", rs->directory, STR_ARG(below),
                     STR_ARG(soname));
    return n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A file of the computer, for the same machine: /usr/lib may hold 32-bit libraries. */
static enum resolve_answer resolve_on_host(const struct resolver *rs, unsigned machine,
                                           const char *path)
{
    struct buf CLEAN_BUF head = BUF_INIT(64);
    int r = root_read(rs->host, path, 20, &head);
    if (r == -ENODATA)
        return RESOLVE_UNKNOWN;
    const unsigned char *p = (const unsigned char *)head.p;
    bool fits = r == 0 && head.n == 20 && elf_begins(p, head.n) && image_u16(p + 18) == machine;
    return fits ? RESOLVE_YES : RESOLVE_NO;
}

static enum resolve_answer resolve_in_host_dirs(const struct resolver *rs, unsigned machine,
                                                struct str soname)
{
    const char *const *dirs =
        machine == ELF_MACHINE_AARCH64 ? resolve_aarch64_dirs : resolve_x86_64_dirs;
    bool unknown = rs->cache_error == -ENODATA;
    for (; *dirs; dirs++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%.*s", *dirs, STR_ARG(soname));
        enum resolve_answer answer = resolve_on_host(rs, machine, path);
        if (answer == RESOLVE_YES)
            return answer;
        unknown = unknown || answer == RESOLVE_UNKNOWN;
    }
    return unknown ? RESOLVE_UNKNOWN : RESOLVE_NO;
}

static enum resolve_answer resolve_by_host(const struct resolver *rs, unsigned machine,
                                           struct str soname)
{
    struct str cached = ldcache_find(buf_view(&rs->cache), machine, soname);
    if (cached.n && resolve_on_host(rs, machine, cached.p) != RESOLVE_NO)
        return RESOLVE_YES;
    return resolve_in_host_dirs(rs, machine, soname);
}

/* One directory of a run path. $ORIGIN is the file's directory. An absolute one is looked up below
 * the package first: a distribution's package is a file tree with its own root. */
static enum resolve_answer resolve_in_run_dir(const struct resolver *rs,
                                              const struct inspector_elf *elf, struct str origin,
                                              struct str dir, struct str soname)
{
    struct str token = str_starts(dir, STR("${ORIGIN}")) ? STR("${ORIGIN}") : STR("$ORIGIN");
    if (str_starts(dir, token)) {
        struct buf CLEAN_BUF path = BUF_INIT(PATH_MAX);
        buf_add_str(&path, origin);
        buf_add_str(&path, (struct str){dir.p + token.n, dir.n - token.n});
        return buf_ok(&path) && resolve_in_package(rs, buf_view(&path), soname) ? RESOLVE_YES
                                                                                : RESOLVE_NO;
    }
    if (!str_starts(dir, STR("/")))
        return RESOLVE_NO;
    if (resolve_in_package(rs, dir, soname))
        return RESOLVE_YES;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%.*s/%.*s", STR_ARG(dir), STR_ARG(soname));
    if (n <= 0 || (size_t)n >= sizeof(path))
        return RESOLVE_NO;
    return resolve_on_host(rs, elf->facts.machine, path) == RESOLVE_YES ? RESOLVE_YES : RESOLVE_NO;
}

static struct str resolve_dir_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (struct str){path, (size_t)(slash - path)} : STR("");
}

static enum resolve_answer resolve_one(const struct resolver *rs, const struct inspector_elf *elf,
                                       struct str soname)
{
    struct str origin = resolve_dir_name(elf->path);
    if (str_starts(soname, STR("/"))) /* asked for by path */
        return resolve_on_host(rs, elf->facts.machine, soname.p);
    if (resolve_in_package(rs, origin, soname))
        return RESOLVE_YES;
    for (size_t i = 0; i < rs->library_dirs.n; i++) {
        if (resolve_in_package(rs, str_from(rs->library_dirs.name[i]), soname))
            return RESOLVE_YES;
    }
    struct str rest = str_from(elf->facts.run_path), dir;
    while (str_cut(&rest, ':', &dir)) {
        if (resolve_in_run_dir(rs, elf, origin, dir, soname) == RESOLVE_YES)
            return RESOLVE_YES;
    }
    return resolve_by_host(rs, elf->facts.machine, soname);
}

/* Directories from a colon-separated list, relative to the package. */
static int resolve_add_dirs(struct names *dirs, struct str list)
{
    struct str dir;
    int r = 0;
    while (r == 0 && str_cut(&list, ':', &dir)) {
        if (!str_starts(dir, STR("/")))
            r = names_add(dirs, dir);
    }
    return r;
}

static int resolve_find_dirs(struct resolver *rs, const struct inspector *in)
{
    struct package package;
    int r = 0;
    if (in->options->library_path) {
        r = resolve_add_dirs(&rs->library_dirs, str_from(in->options->library_path));
    } else if (manifest_read(rs->directory, &package) == 0) {
        r = resolve_add_dirs(&rs->library_dirs, str_from(package.library_path));
        manifest_package_done(&package);
    } else {
        size_t n = sizeof(resolve_usual_dirs) / sizeof(resolve_usual_dirs[0]);
        for (size_t i = 0; i < n && r == 0; i++)
            r = names_add(&rs->library_dirs, str_from(resolve_usual_dirs[i]));
    }
    /* Engines are started with the directory of their program in the library path. */
    for (size_t i = 0; i < in->found.executables.n && r == 0; i++)
        r = names_add(&rs->library_dirs, resolve_dir_name(in->found.executables.name[i]));
    return r;
}

static int resolve_files(const struct resolver *rs, struct inspector *in)
{
    bool known = true;
    for (size_t i = 0; i < in->n_elf; i++) {
        const struct inspector_elf *elf = &in->elf[i];
        for (size_t j = 0; j < elf->facts.needed.n; j++) {
            struct str soname = str_from(elf->facts.needed.name[j]);
            enum resolve_answer answer = resolve_one(rs, elf, soname);
            if (answer == RESOLVE_UNKNOWN)
                known = false;
            if (answer == RESOLVE_NO && names_add(&in->found.unresolved, soname) == -ENOMEM)
                return -ENOMEM;
        }
    }
    in->found.resolved = known;
    return 0;
}

int resolve_all(struct inspector *in, const char *directory, struct gfxb_error *err)
{
    struct resolver rs = {
        .host = in->options->host, .directory = directory, .cache = BUF_INIT(RESOLVE_CACHE_MAX)};
    rs.cache_error = root_read(rs.host, "/etc/ld.so.cache", RESOLVE_CACHE_MAX - 1, &rs.cache);
    int r = resolve_find_dirs(&rs, in);
    if (r == 0)
        r = resolve_files(&rs, in);
    names_done(&rs.library_dirs);
    buf_done(&rs.cache);
    return r < 0 ? inspector_nomem(err) : 0;
}
