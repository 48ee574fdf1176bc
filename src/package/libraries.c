/*
 * libraries.c - will an engine find every library that it and its libraries ask for, as it will be
 * started?
 *
 * The order of directories does not matter here, only whether there is one. A library counts as
 * found in: the file's own directory, the package's library directories (what its engine is started
 * with), the file's run path, and the computer's ld.so.cache and default directories.
 */
#include "package/package_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define LIBRARIES_CACHE_MAX      (8u << 20)
#define LIBRARIES_OS_RELEASE_MAX 65536

/* Where libraries of a package usually are, when nothing says where its engine looks. */
#define LIBRARIES_USUAL_DIRS                                                                       \
    ":bin:lib:lib64:lib/llvm/lib:usr/lib:usr/lib64:lib/x86_64-linux-gnu:lib/aarch64-linux-gnu:"    \
    "usr/lib/x86_64-linux-gnu:usr/lib/aarch64-linux-gnu"

/* The loader's own directories, on any distribution: libraries in them are looked at before they
 * count, as one of another machine does not. */
#define LIBRARIES_HOST_DIRS                                                                        \
    "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib/aarch64-linux-gnu:"                      \
    "/usr/lib/aarch64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib"

enum library_answer { LIBRARY_NO, LIBRARY_YES, LIBRARY_UNKNOWN };

struct libraries {
    const struct root *host;
    const char *dir;      /* of the package; paths are relative to it */
    bool follow;          /* look at the libraries that are found in the package, too */
    struct names dirs;    /* where its engine looks: below dir ("" is dir itself), or absolute */
    struct buf cache;     /* ld.so.cache */
    bool cache_unknown;   /* a capture that does not hold it */
    struct names seen;    /* "device inode" of the files that were looked at */
    struct names waiting; /* files to look at */
    struct names missing; /* sonames */
    bool unknown;         /* something could not be looked up */
};

static void libraries_done(struct libraries *l)
{
    names_done(&l->dirs);
    names_done(&l->seen);
    names_done(&l->waiting);
    names_done(&l->missing);
    buf_done(&l->cache);
}

static void libraries_init(struct libraries *l, const struct root *host, const char *dir)
{
    *l = (struct libraries){.host = host, .dir = dir, .cache = BUF_INIT(LIBRARIES_CACHE_MAX)};
    int r = root_read(host, "/etc/ld.so.cache", LIBRARIES_CACHE_MAX - 1, &l->cache);
    l->cache_unknown = r == -ENODATA;
}

static void libraries_add_dirs(struct libraries *l, struct str list)
{
    struct str dir;
    while (str_cut(&list, ':', &dir))
        names_add(&l->dirs, dir);
}

/* ---- on the computer ---- */

/*
 * Layout of ld.so.cache: glibc's sysdeps/generic/dl-cache.h. Header "glibc-ld.so.cache1.1", u32
 * entries, u32 bytes of text, 20 bytes more; entries of {i32 flags, u32 soname, u32 path, u32
 * unused, u64 hwcap}, both texts counted from the header. An older format may stand before it.
 */
#define LDCACHE_MAGIC  STR("glibc-ld.so.cache1.1")
#define LDCACHE_HEADER 48
#define LDCACHE_ENTRY  24

static uint32_t ldcache_u32(struct str cache, size_t at)
{
    uint32_t number;
    memcpy(&number, cache.p + at, sizeof(number));
    return number;
}

static struct str ldcache_text(struct str cache, uint32_t at)
{
    const char *end = at < cache.n ? memchr(cache.p + at, '\0', cache.n - at) : NULL;
    return end ? (struct str){cache.p + at, (size_t)(end - cache.p) - at} : STR_NONE;
}

struct str ldcache_find(struct str cache, unsigned machine, struct str soname)
{
    /* FLAG_ELF_LIBC6 and the architecture of each entry of this machine. */
    uint32_t flags = machine == ELF_MACHINE_AARCH64 ? 0x0a03 : 0x0303;
    const char *header =
        cache.n ? memmem(cache.p, cache.n, LDCACHE_MAGIC.p, LDCACHE_MAGIC.n) : NULL;
    if (!header)
        return STR_NONE;
    cache = str_skip(cache, (size_t)(header - cache.p));
    if (cache.n < LDCACHE_HEADER)
        return STR_NONE;
    size_t entries = ldcache_u32(cache, LDCACHE_MAGIC.n);
    size_t fit = (cache.n - LDCACHE_HEADER) / LDCACHE_ENTRY;
    for (size_t i = 0; i < entries && i < fit; i++) {
        size_t at = LDCACHE_HEADER + i * LDCACHE_ENTRY;
        if (ldcache_u32(cache, at) == flags &&
            str_eq(ldcache_text(cache, ldcache_u32(cache, at + 4)), soname))
            return ldcache_text(cache, ldcache_u32(cache, at + 8));
    }
    return STR_NONE;
}

/* A file of the computer, for the same machine: /usr/lib may hold 32-bit libraries. */
static enum library_answer libraries_on_host(const struct libraries *l, unsigned machine,
                                             const char *path)
{
    struct buf CLEAN_BUF head = BUF_INIT(64);
    int r = root_read(l->host, path, 20, &head);
    if (r == -ENODATA)
        return LIBRARY_UNKNOWN;
    const unsigned char *p = (const unsigned char *)head.p;
    bool fits = r == 0 && head.n == 20 && memcmp(p, "\177ELF", 4) == 0 &&
                (unsigned)(p[18] | p[19] << 8) == machine;
    return fits ? LIBRARY_YES : LIBRARY_NO;
}

static enum library_answer libraries_in_host_dir(const struct libraries *l, unsigned machine,
                                                 struct str dir, struct str soname)
{
    char *CLEAN_FREE path = xasprintf("%.*s/%.*s", STR_ARG(dir), STR_ARG(soname));
    return libraries_on_host(l, machine, path);
}

static enum library_answer libraries_by_host(const struct libraries *l, unsigned machine,
                                             struct str soname)
{
    struct str dir, dirs = STR(LIBRARIES_HOST_DIRS);
    struct str cached = ldcache_find(buf_view(&l->cache), machine, soname);
    enum library_answer found = l->cache_unknown ? LIBRARY_UNKNOWN : LIBRARY_NO;
    if (cached.n && libraries_on_host(l, machine, cached.p) != LIBRARY_NO)
        return LIBRARY_YES;
    while (found != LIBRARY_YES && str_cut(&dirs, ':', &dir)) {
        enum library_answer answer = libraries_in_host_dir(l, machine, dir, soname);
        found = answer == LIBRARY_NO ? found : answer;
    }
    return found;
}

bool package_lacks_library(const struct root *root, const char *soname)
{
    struct libraries l;
    libraries_init(&l, root, "");
    enum library_answer answer = libraries_by_host(&l, CONTENTS_MACHINE, str_from(soname));
    libraries_done(&l);
    return answer == LIBRARY_NO;
}

/* ---- in the package ---- */

/* In a directory below the package? It is looked at later, if libraries are followed. */
static bool libraries_in_package(struct libraries *l, struct str below, struct str soname)
{
    struct stat st;
    char *CLEAN_FREE path =
        xasprintf("%.*s%s%.*s", STR_ARG(below), below.n ? "/" : "", STR_ARG(soname));
    char *CLEAN_FREE full = xfs_join(l->dir, path);
    bool found = stat(full, &st) == 0 && S_ISREG(st.st_mode);
    if (found && l->follow)
        names_add(&l->waiting, str_from(path));
    return found;
}

static bool libraries_in_dirs(struct libraries *l, unsigned machine, struct str soname)
{
    bool found = false;
    for (size_t i = 0; i < l->dirs.n && !found; i++) {
        struct str dir = str_from(l->dirs.name[i]);
        found = str_starts(dir, STR("/"))
                    ? libraries_in_host_dir(l, machine, dir, soname) == LIBRARY_YES
                    : libraries_in_package(l, dir, soname);
    }
    return found;
}

/* In one of the directories of a run path? $ORIGIN is the file's directory. An absolute one is
 * looked up below the package first: a distribution's package is a file tree with its own root. */
static bool libraries_in_run_path(struct libraries *l, const struct elf_facts *facts,
                                  struct str origin, struct str soname)
{
    struct str rest = str_from(facts->run_path), dir;
    bool found = false;
    while (!found && str_cut(&rest, ':', &dir)) {
        char *CLEAN_FREE own = NULL;
        if (str_strip(&dir, STR("${ORIGIN}")) || str_strip(&dir, STR("$ORIGIN"))) {
            own = xasprintf("%.*s%.*s", STR_ARG(origin), STR_ARG(dir));
            found = libraries_in_package(l, str_from(own), soname);
        } else if (str_starts(dir, STR("/"))) {
            found = libraries_in_package(l, dir, soname) ||
                    libraries_in_host_dir(l, facts->machine, dir, soname) == LIBRARY_YES;
        }
    }
    return found;
}

static enum library_answer libraries_find(struct libraries *l, const char *path,
                                          const struct elf_facts *facts, struct str soname)
{
    struct str origin = fs_dir(path);
    if (str_starts(soname, STR("/"))) /* asked for by path */
        return libraries_on_host(l, facts->machine, soname.p);
    if (libraries_in_package(l, origin, soname) || libraries_in_dirs(l, facts->machine, soname) ||
        libraries_in_run_path(l, facts, origin, soname))
        return LIBRARY_YES;
    return libraries_by_host(l, facts->machine, soname);
}

static int libraries_look_at(struct libraries *l, const char *path, struct gfxb_error *err)
{
    struct elf_facts facts;
    struct stat st;
    char *CLEAN_FREE full = xfs_join(l->dir, path);
    int CLEAN_CLOSE fd = open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fs_error(err, errno, "read", full);
    char *CLEAN_FREE id = xasprintf("%ju %ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    if (!names_add(&l->seen, str_from(id)))
        return 0;
    int r = elf_read_file(fd, &facts, err);
    if (r < 0) {
        error_prefix(err, "%s: ", path);
        return r;
    }
    for (size_t i = 0; i < facts.needed.n; i++) {
        struct str soname = str_from(facts.needed.name[i]);
        enum library_answer answer = libraries_find(l, path, &facts, soname);
        if (answer == LIBRARY_NO)
            names_add(&l->missing, soname);
        l->unknown = l->unknown || answer == LIBRARY_UNKNOWN;
    }
    elf_facts_done(&facts);
    return 0;
}

static int libraries_look_at_all(struct libraries *l, const struct names *roots,
                                 struct gfxb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < roots->n; i++)
        names_add(&l->waiting, str_from(roots->name[i]));
    while (r == 0 && l->waiting.n) {
        char *CLEAN_FREE path = l->waiting.name[--l->waiting.n];
        r = libraries_look_at(l, path, err);
    }
    return r;
}

bool package_find_missing(const struct root *root, const char *path, const struct inspection *found,
                          struct names *ret_missing)
{
    char *CLEAN_FREE dir = realpath(path, NULL);
    struct names CLEAN_NAMES single = {0};
    struct package CLEAN_PACKAGE package = {0};
    struct libraries l;
    if (found->kind == INSPECT_ARCHIVE || !dir)
        return false;
    if (found->kind != INSPECT_PACKAGE) { /* a single file, in the directory where it is */
        if (found->elf.n)
            names_add(&single, str_from(fs_name(dir)));
        dir[fs_dir(dir).n ? fs_dir(dir).n : 1] = '\0';
    }
    libraries_init(&l, root, dir);
    if (manifest_read(dir, &package) == 0)
        libraries_add_dirs(&l, str_from(package.library_path));
    else
        libraries_add_dirs(&l, STR(LIBRARIES_USUAL_DIRS));
    /* Engines are started with the directory of their program in the library path. */
    for (size_t i = 0; i < found->executables.n; i++)
        names_add(&l.dirs, fs_dir(found->executables.name[i]));
    int r = libraries_look_at_all(&l, found->kind == INSPECT_PACKAGE ? &found->elf : &single, NULL);
    bool known = r == 0 && !l.unknown;
    if (known) {
        *ret_missing = l.missing;
        l.missing = (struct names){0};
    }
    libraries_done(&l);
    return known;
}

/* ---- what to do about a missing one ---- */

/* Made by the build from data/libraries.tsv (tools/embed.py). */
extern const char package_data_libraries[];

static struct str libraries_debian_package(struct str soname)
{
    static const char *const columns[] = {"soname", "debian", "source", NULL};
    struct table table;
    struct table_row row;
    table_init(&table, "libraries.tsv", str_from(package_data_libraries), columns);
    while (table_next(&table, &row, NULL) == 1) {
        if (str_eq(row.field[0], soname))
            return row.field[1];
    }
    return STR_NONE;
}

void package_library_remedy(const char *soname, struct str distribution, struct str like,
                            char *ret_command, size_t size)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    static const struct {
        const char *distribution, *command;
    } searches[] = {{"debian", "apt-file search %s"},
                    {"fedora", "dnf install '%s()(64bit)'"},
                    {"suse", "zypper install '%s()(64bit)'"},
                    {"arch", "pacman -F %s"}};
    ret_command[0] = '\0';
    /* It goes into a command for a shell: only what needs no quoting there is taken. */
    if (!soname[0] || soname[0] == '-' || soname[strspn(soname, plain)])
        return;
    for (size_t i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
        struct str name = str_from(searches[i].distribution);
        if (!str_eq(distribution, name) && !str_list_has(like, name))
            continue;
        struct str package = i == 0 ? libraries_debian_package(str_from(soname)) : STR_NONE;
        if (package.n)
            snprintf(ret_command, size, "apt install %.*s", STR_ARG(package));
        else
            snprintf(ret_command, size, searches[i].command, soname);
        return;
    }
}

struct str package_os_value(struct str text, const char *key)
{
    struct str line, name;
    while (str_cut(&text, '\n', &line)) {
        if (!str_cut(&line, '=', &name) || !str_is(str_trim(name), key))
            continue;
        line = str_trim(line);
        if (line.n >= 2 && strchr("\"'", line.p[0]) && line.p[line.n - 1] == line.p[0])
            line = (struct str){line.p + 1, line.n - 2};
        return line;
    }
    return STR_NONE;
}

void package_library_command(const struct root *root, const char *soname, char *ret_command,
                             size_t size)
{
    struct buf CLEAN_BUF os = BUF_INIT(4 * LIBRARIES_OS_RELEASE_MAX);
    char command[256];
    root_read(root, "/etc/os-release", LIBRARIES_OS_RELEASE_MAX, &os);
    package_library_remedy(soname, package_os_value(buf_view(&os), "ID"),
                           package_os_value(buf_view(&os), "ID_LIKE"), command, sizeof(command));
    snprintf(ret_command, size, "%s%s", strstr(command, " install ") ? "sudo " : "", command);
}

/* "libamdhip64.so.6" beside a missing libamdhip64.so.7, from the package's library directories. */
static void libraries_other_version(const struct libraries *l, const char *soname, struct buf *ret)
{
    const char *so = strstr(soname, ".so.");
    for (size_t i = 0; so && i < l->dirs.n && !ret->n; i++) {
        const char *below = l->dirs.name[i];
        char *CLEAN_FREE path = below[0] == '/' ? xstrdup(below) : xfs_join(l->dir, below);
        DIR *CLEAN_DIR entries = opendir(path);
        const char *entry;
        while (!ret->n && (entry = fs_next(entries))) {
            if (strncmp(entry, soname, (size_t)(so - soname) + 4) == 0)
                buf_add_text(ret, entry);
        }
    }
}

static int libraries_explain(const struct libraries *l, struct str what, struct gfxb_error *err)
{
    const char *soname = l->missing.name[0];
    char remedy[256], more[48] = "";
    struct buf CLEAN_BUF other = BUF_INIT(NAME_MAX + 1);
    libraries_other_version(l, soname, &other);
    if (other.n)
        return error_set(err, GFXB_E_LIBRARY_MISSING,
                         "the engine of %.*s needs %s and the ROCm runtime for it brings %s: they "
                         "do not match",
                         STR_ARG(what), soname, buf_text(&other));
    if (l->missing.n > 1)
        snprintf(more, sizeof(more), " (and %zu more libraries)", l->missing.n - 1);
    package_library_command(l->host, soname, remedy, sizeof(remedy));
    return error_set(err, GFXB_E_LIBRARY_MISSING,
                     "the engine of %.*s needs %s%s, which is neither in it nor on %s "
                     "computer%s%s",
                     STR_ARG(what), soname, more, root_is_live(l->host) ? "this" : "the other",
                     remedy[0] ? ": " : "", remedy);
}

int libraries_check(const struct package_env *env, const char *dir, const struct names *roots,
                    struct str library_path, struct str what, struct gfxb_error *err)
{
    struct libraries l;
    libraries_init(&l, env->other ? env->other : env->root, dir);
    l.follow = true;
    libraries_add_dirs(&l, library_path);
    int r = libraries_look_at_all(&l, roots, err);
    if (r == 0 && !l.unknown && l.missing.n)
        r = libraries_explain(&l, what, err);
    libraries_done(&l);
    return r;
}
