/*
 * source_local.c - the sources "file" and "system", and package_install_local before both: an
 * archive or a directory of this computer's disk, or an engine that is installed on it.
 *
 * An archive is unpacked into the store like one from the network. A directory or an installed
 * engine is not copied: its package is a manifest that says where they are, and its digest is made
 * of the engine's files, so that a changed engine is another package.
 */
#include "package/package_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define LOCAL_RECIPE    "gfxbridge local 2"
#define LOCAL_CACHE_MAX (8u << 20)

/* ---- file: an archive ---- */

struct file_job {
    int fd; /* 0: not opened yet. What is hashed is what is unpacked */
    struct stat st;
    char sha256[DIGEST_HEX];
};

/* The row whose archive this is, by its digest; NULL none. */
static const struct gfx_package *file_find_row(const struct package_env *env, const char *sha256)
{
    for (size_t i = 0; env->tables && i < env->tables->n_packages; i++) {
        const struct gfx_package *row = &env->tables->package[i];
        if (str_is(row->sha256, sha256) && !str_is(row->backend, "runtime"))
            return row;
    }
    return NULL;
}

static int file_decide(struct install *in, struct gfxb_error *err)
{
    struct file_job *job = in->job;
    const char *sha256 = in->local->sha256;
    job->fd = open(in->local->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (job->fd < 0 || fstat(job->fd, &job->st) < 0)
        return fs_error(err, errno, "read", in->local->path);
    int r = digest_fd(job->fd, job->sha256, err);
    if (r < 0)
        return r;
    if (sha256 && strcmp(sha256, job->sha256) != 0)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%.*s is not the expected file: its sha256 is %.16s... instead of "
                         "%.16s...",
                         STR_ARG(in->what), job->sha256, sha256);
    if (!in->row)
        in->row = file_find_row(in->env, job->sha256);
    if (in->row && in->row->os != GFX_LINUX)
        return error_set(err, GFXB_E_NO_PACKAGE, "%.*s is not for Linux", STR_ARG(in->what));
    in->engine = in->row ? in->row->engine : STR_NONE;
    if (!in->backend.n && in->row)
        in->backend = in->row->backend;
    in->need = 2 * (uint64_t)job->st.st_size;
    return 0;
}

/* A file that is still being written, or written again, is not the one that was hashed. */
static int file_check_unchanged(const struct install *in, struct gfxb_error *err)
{
    const struct file_job *job = in->job;
    char sha256[DIGEST_HEX];
    struct stat now;
    if (fstat(job->fd, &now) == 0 && now.st_size == job->st.st_size &&
        memcmp(&now.st_ctim, &job->st.st_ctim, sizeof(now.st_ctim)) == 0)
        return 0;
    int r = digest_fd(job->fd, sha256, err); /* renaming it is a change of its inode, too */
    if (r == 0 && strcmp(sha256, job->sha256) != 0)
        r = error_set(err, GFXB_E_DIGEST_MISMATCH,
                      "%.*s changed while it was unpacked: try again when it is complete",
                      STR_ARG(in->what));
    return r;
}

static int file_bring(struct install *in, struct gfxb_error *err)
{
    const struct file_job *job = in->job;
    char *CLEAN_FREE engine = xfs_join(in->stage.dir, "engine");
    char *CLEAN_FREE name = xstr_dup(in->what);
    int r = install_unpack(in, job->fd, name, "engine", err) ?: file_check_unchanged(in, err);
    if (r < 0)
        return r;
    /* An engine without a ROCm runtime of its own runs with the computer's. */
    in->library_path = runtime_on_computer(in->env, engine);
    buf_addf(&in->identity, LOCAL_RECIPE "\narchive %s\nbackend %s\nruntime %s\n", job->sha256,
             in->local->backend ? in->local->backend : "-",
             in->library_path ? in->library_path : "-");
    buf_addf(&in->facts, "part engine file:%s %s\n", name, job->sha256);
    in->package.version = in->row && in->row->tag.n ? xstr_dup(in->row->tag) : xstrdup("local");
    return 0;
}

static void file_finish(struct install *in, int r)
{
    struct file_job *job = in->job;
    if (job->fd > 0)
        close(job->fd);
}

const struct package_source source_file = {
    .name = "file",
    .job_size = sizeof(struct file_job),
    .decide = file_decide,
    .bring = file_bring,
    .finish = file_finish,
};

/* ---- system: an engine in its place ---- */

struct system_job {
    struct gfx_engine engine;
    char *program;      /* absolute */
    struct names files; /* of the engine, absolute */
};

/* Add the engine files of one directory, as absolute paths. An absent one has none. */
static void system_add_files(struct system_job *job, const char *dir)
{
    DIR *CLEAN_DIR entries = opendir(dir);
    const char *entry;
    while ((entry = fs_next(entries))) {
        struct str name = str_from(entry);
        struct stat st;
        if (!gfx_engine_owns_file(&job->engine, name) && !str_eq(name, job->engine.program))
            continue;
        char *CLEAN_FREE path = xfs_join(dir, entry);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            names_add(&job->files, str_from(path));
    }
}

/* Of the directories below the plugins' one: where distributions put the backends ("backends0"). */
static void system_add_plugins(struct system_job *job, struct str lib)
{
    char *CLEAN_FREE top = xasprintf("%.*s/%.*s", STR_ARG(lib), STR_ARG(job->engine.plugins));
    DIR *CLEAN_DIR entries = job->engine.plugins.n ? opendir(top) : NULL;
    const char *entry;
    while ((entry = fs_next(entries))) {
        char *CLEAN_FREE dir = xfs_join(top, entry);
        if (entry[0] != '.')
            system_add_files(job, dir);
    }
}

/* All files of the engine: beside its program, and where the computer's loader finds its libraries.
 */
static void system_find_files(const struct install *in)
{
    struct system_job *job = in->job;
    struct buf CLEAN_BUF cache = BUF_INIT(LOCAL_CACHE_MAX);
    char *CLEAN_FREE own = xstr_dup(fs_dir(job->program));
    char *CLEAN_FREE lib = xasprintf("%s/../lib", own);
    struct str rest = job->engine.loaded, soname;
    names_add(&job->files, str_from(job->program));
    system_add_files(job, own);
    system_add_files(job, lib);
    if (root_read(in->env->root, "/etc/ld.so.cache", LOCAL_CACHE_MAX - 1, &cache) < 0)
        return;
    while (str_word(&rest, &soname)) {
        struct str path = ldcache_find(buf_view(&cache), CONTENTS_MACHINE, soname);
        if (!path.n) /* else it ends with a NUL in the cache */
            continue;
        char *CLEAN_FREE dir = xstr_dup(fs_dir(path.p));
        system_add_files(job, dir);
        system_add_plugins(job, str_from(dir));
    }
}

/* The file of a backend among the engine's files; NULL none. */
static const char *system_backend_file(const struct system_job *job, struct str name)
{
    for (size_t i = 0; i < job->files.n && name.n; i++) {
        if (str_is(name, fs_name(job->files.name[i])))
            return job->files.name[i];
    }
    return NULL;
}

/* An engine that has a C library and its loader beside it is started with them. */
static void system_add_loader(struct package *package)
{
    char *CLEAN_FREE dir = xstr_dup(fs_dir(package->executable));
    char *CLEAN_FREE libc = xfs_join(dir, "libc.so.6");
    char *CLEAN_FREE loader = xfs_join(dir, CONTENTS_LOADER);
    if (access(libc, R_OK) < 0 || access(loader, X_OK) < 0)
        return;
    char *path =
        package->library_path ? xasprintf("%s:%s", dir, package->library_path) : xstrdup(dir);
    free(package->library_path);
    package->library_path = path;
    package->loader = xstrdup(loader);
}

/* The backend that is asked for, or the best that is there. */
static int system_describe(struct install *in, struct gfxb_error *err)
{
    const struct system_job *job = in->job;
    struct package *package = &in->package;
    const char *hip = system_backend_file(job, job->engine.rocm);
    const char *vulkan = system_backend_file(job, job->engine.vulkan);
    const char *best = hip ? "rocm" : vulkan ? "vulkan" : "cpu";
    package->backend = in->backend.n ? xstr_dup(in->backend) : xstrdup(best);
    const char *file = strcmp(package->backend, "rocm") == 0     ? hip
                       : strcmp(package->backend, "vulkan") == 0 ? vulkan
                                                                 : job->program;
    if (!file)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "%s has no %s backend", job->program,
                         package->backend);
    in->library_path = hip ? runtime_on_computer(in->env, hip) : NULL;
    package->engine = xstr_dup(job->engine.name);
    package->executable = xstrdup(job->program);
    package->backend_dir = xstr_dup(fs_dir(file));
    package->library_path = xstrdup_or_null(in->library_path);
    package->version = xstrdup("local");
    system_add_loader(package);
    return 0;
}

/* An engine's program in the directory, at the top or in bin. */
static int system_find_in_directory(struct system_job *job, const char *dir, struct gfxb_error *err)
{
    static const char *const below[] = {"", "bin/"};
    for (size_t i = 0; gfx_engine_at(i / 2, &job->engine); i++) {
        job->program = xasprintf("%s/%s%.*s", dir, below[i % 2], STR_ARG(job->engine.program));
        if (access(job->program, X_OK) == 0)
            return 0;
        free(job->program);
        job->program = NULL;
    }
    return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s in %s",
                     STR_ARG(job->engine.program), dir);
}

/* The kind that a program of this name is of; the first where it is called otherwise. */
static void system_take_program(struct system_job *job, struct str name, const char *path)
{
    job->program = xstrdup(path);
    for (size_t i = 0; gfx_engine_at(i, &job->engine); i++) {
        if (str_eq(job->engine.program, name))
            return;
    }
    gfx_engine_at(0, &job->engine);
}

static int system_decide(struct install *in, struct gfxb_error *err)
{
    struct system_job *job = in->job;
    struct stat st;
    int r = 0;
    if (stat(in->local->path, &st) == 0 && S_ISDIR(st.st_mode))
        r = system_find_in_directory(job, in->local->path, err);
    else
        system_take_program(job, in->what, in->local->path);
    if (r < 0)
        return r;
    in->is_in_place = true;
    system_find_files(in);
    return system_describe(in, err);
}

static int system_bring(struct install *in, struct gfxb_error *err)
{
    const struct system_job *job = in->job;
    buf_addf(&in->identity, LOCAL_RECIPE "\nbackend %s\n", in->package.backend);
    for (size_t i = 0; i < job->files.n; i++) {
        char hex[DIGEST_HEX];
        int r = digest_file(job->files.name[i], hex, err);
        if (r < 0)
            return r;
        buf_addf(&in->identity, "%s %s\n", hex, job->files.name[i]);
    }
    buf_addf(&in->facts, "part engine file:%s\n", job->program);
    return 0;
}

static void system_finish(struct install *in, int r)
{
    struct system_job *job = in->job;
    free(job->program);
    names_done(&job->files);
}

const struct package_source source_system = {
    .name = "system",
    .job_size = sizeof(struct system_job),
    .decide = system_decide,
    .bring = system_bring,
    .finish = system_finish,
};

/* ---- which of the two ---- */

static bool local_is_program(const char *path)
{
    unsigned char head[4] = {0};
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head) &&
           memcmp(head, "\177ELF", sizeof(head)) == 0;
}

static int local_install(const struct package_env *env, const struct gfx_package *row,
                         const struct package_local *request, char ret_digest[static DIGEST_HEX],
                         struct gfxb_error *err)
{
    struct stat st;
    char *CLEAN_FREE path = realpath(request->path, NULL);
    if (!path || stat(path, &st) < 0)
        return fs_error(err, errno, "read", request->path);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s is neither a file nor a directory", path);
    struct package_local local = {path, request->backend, request->sha256};
    bool is_archive = !S_ISDIR(st.st_mode) && !local_is_program(path);
    struct install in = {.env = env,
                         .source = is_archive ? &source_file : &source_system,
                         .row = row,
                         .local = &local};
    return install_run(&in, ret_digest, err);
}

int package_install_local(const struct package_env *env, const struct package_local *request,
                          char ret_digest[static DIGEST_HEX], struct gfxb_error *err)
{
    int r = package_check_data_dir(env, err);
    return r < 0 ? r : local_install(env, NULL, request, ret_digest, err);
}

int local_install_row(const struct package_env *env, const struct gfx_package *row,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE path = xstr_dup(row->locate);
    char *CLEAN_FREE backend = row->backend.n ? xstr_dup(row->backend) : NULL;
    char *CLEAN_FREE sha256 = row->sha256.n ? xstr_dup(row->sha256) : NULL;
    const struct package_local request = {path, backend, sha256};
    char digest[DIGEST_HEX];
    return local_install(env, row, &request, digest, err);
}
