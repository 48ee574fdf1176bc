/*
 * The providers "file" and "system", and package_install_local behind both: an archive or a
 * directory of this computer's disk, or an engine that is installed on it.
 *
 * An archive is unpacked into the store like one from the network. A directory or an installed
 * engine is not copied: its package is a manifest that says where they are, and its digest is
 * made of the engine's files, so that a changed engine is another package.
 */
#include "package/contents.h"
#include "package/libraries.h"
#include "package/manifest.h"
#include "package/measure.h"
#include "package/provider.h"
#include "package/runtime.h"
#include "package/store.h"
#include "package/unpack/unpack.h"
#include "sysroot/sysroot.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define LOCAL_RECIPE    "gfxbridge local 1"
#define LOCAL_TEXT_MAX  (1u << 20)
#define LOCAL_CACHE_MAX (8u << 20)

/* What to install. Owned but for env, request and row. */
struct local_job {
    const struct package_env *env;
    const struct package_local *request;
    const struct gfx_package *row; /* of the tables, when it is that very archive; NULL none */
    char *path;                    /* absolute, links followed */
    const char *name;              /* its last part */
    char sha256[DIGEST_HEX];       /* of an archive */
    char digest[DIGEST_HEX];       /* of the package */
    struct store_stage stage;
    char *library_path;
};

static int local_no_memory(struct gfxb_error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static void local_done(struct local_job *job)
{
    store_stage_done(&job->stage);
    free(job->path);
    free(job->library_path);
}

/* An id of its own making: "file-NAME", without what a manifest or a list cannot hold. */
static char *local_id(const struct local_job *job, const char *provider)
{
    char *id = NULL;
    if (asprintf(&id, "%s-%s", provider, job->name) < 0)
        return NULL;
    for (char *c = id; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            *c = '_';
    }
    return id;
}

static int local_name(const struct local_job *job, const char *provider, struct package *package,
                      struct gfxb_error *err)
{
    package->id = job->row ? str_dup(job->row->id) : local_id(job, provider);
    package->provider = job->row ? str_dup(job->row->provider) : strdup(provider);
    package->version = job->row && job->row->tag.n ? str_dup(job->row->tag) : strdup("local");
    package->digest = strdup(job->digest);
    bool is_all = package->id && package->provider && package->version && package->digest;
    return is_all ? 0 : local_no_memory(err);
}

/* ---- an archive ---- */

/* The row whose archive this is, by its digest; NULL none. */
static const struct gfx_package *local_find_row(const struct package_env *env, const char *sha256)
{
    for (size_t i = 0; env->tables && i < env->tables->n_packages; i++) {
        const struct gfx_package *row = &env->tables->package[i];
        if (str_is(row->sha256, sha256) && !str_is(row->backend, "runtime"))
            return row;
    }
    return NULL;
}

static int local_check_archive(struct local_job *job, struct gfxb_error *err)
{
    int r = digest_file(job->path, job->sha256, err);
    if (r < 0)
        return r;
    if (job->request->sha256 && strcmp(job->request->sha256, job->sha256) != 0)
        return error_set(err, GFXB_E_DIGEST_MISMATCH,
                         "%s is not the file that is wanted: its sha256 is %.16s... where "
                         "%.16s... was expected",
                         job->name, job->sha256, job->request->sha256);
    job->row = local_find_row(job->env, job->sha256);
    if (job->row && job->row->os != GFX_LINUX)
        return error_set(err, GFXB_E_NO_PACKAGE, "%s is not for Linux", job->name);
    return 0;
}

/* The engine without a ROCm runtime of its own runs with the computer's. */
static void local_find_runtime(struct local_job *job, const char *engine)
{
    struct gfxb_error none = {0};
    if (runtime_on_computer(job->env, engine, &job->library_path, &none) < 0)
        job->library_path = NULL;
}

static int local_publish(struct local_job *job, struct gfxb_error *err)
{
    struct package package = {0};
    struct buf CLEAN_BUF facts = BUF_INIT(LOCAL_TEXT_MAX);
    struct contents contents = {
        .dir = job->stage.dir,
        .what = str_from(job->name),
        .engine = job->row ? job->row->engine : STR_NONE,
        .backend = job->request->backend ? str_from(job->request->backend)
                   : job->row            ? job->row->backend
                                         : STR_NONE,
        .library_path = str_from(job->library_path),
    };
    int r = contents_describe(job->env, &contents, &package, err);
    if (r == 0)
        r = local_name(job, "file", &package, err);
    buf_addf(&facts, "part engine file:%s %s\n", job->name, job->sha256);
    if (r == 0)
        r = store_publish(job->env, &job->stage, &package, buf_view(&facts), err);
    manifest_package_done(&package);
    return r;
}

static int local_unpack(struct local_job *job, char **ret_engine, struct gfxb_error *err)
{
    struct unpack_options options = {
        .strip_top = true, .link_copies = true, .cancel = provider_cancel(job->env)};
    char *engine = fs_join(job->stage.dir, "engine");
    if (!engine)
        return local_no_memory(err);
    int r = mkdir(engine, 0755) < 0
                ? error_set(err, errno, "cannot make %s: %s", engine, error_errno_text(errno))
                : unpack_file(job->path, engine, &options, NULL, err);
    if (r == -EBADMSG) { /* the file is at fault, not the computer */
        error_prefix(err, "%s: ", job->name);
        if (err)
            err->code = GFXB_E_PACKAGE_UNAVAILABLE;
        r = -GFXB_E_PACKAGE_UNAVAILABLE;
    }
    if (r < 0)
        free(engine);
    else
        *ret_engine = engine;
    return r;
}

static int local_install_archive(struct local_job *job, uint64_t size, struct gfxb_error *err)
{
    char *CLEAN_FREE engine = NULL;
    struct buf CLEAN_BUF text = BUF_INIT(LOCAL_TEXT_MAX);
    int r = local_check_archive(job, err);
    if (r == 0)
        r = store_stage_new(job->env, 2 * size, &job->stage, err);
    if (r == 0)
        r = local_unpack(job, &engine, err);
    if (r < 0)
        return r;
    local_find_runtime(job, engine);
    buf_addf(&text, LOCAL_RECIPE "\narchive %s\nbackend %s\nruntime %s\n", job->sha256,
             job->request->backend ? job->request->backend : "-",
             job->library_path ? job->library_path : "-");
    if (!buf_ok(&text) || digest_bytes(text.p, text.n, job->digest) < 0)
        return local_no_memory(err);
    return local_publish(job, err);
}

/* ---- an engine in its place ---- */

/* Add the engine files of one directory, as absolute paths. An absent one has none. */
static int local_add_files(const struct gfx_engine *engine, struct names *files, const char *dir)
{
    DIR *entries = opendir(dir);
    const struct dirent *entry;
    int r = 0;
    while (entries && r == 0 && (entry = readdir(entries))) {
        char *CLEAN_FREE path = fs_join(dir, entry->d_name);
        struct str name = str_from(entry->d_name);
        struct stat st;
        if (!path)
            r = -ENOMEM;
        else if ((gfx_engine_owns_file(engine, name) || str_eq(name, engine->program)) &&
                 stat(path, &st) == 0 && S_ISREG(st.st_mode))
            names_add(files, str_from(path));
    }
    if (entries)
        closedir(entries);
    return r;
}

/* Directories below the plugins' one: where distributions put the backends ("backends0"). */
static int local_add_backend_dirs(const struct gfx_engine *engine, struct names *dirs,
                                  const char *dir)
{
    char *CLEAN_FREE plugins = str_dup(engine->plugins);
    char *CLEAN_FREE top = plugins ? fs_join(dir, plugins) : NULL;
    if (plugins && !plugins[0])
        return 0;
    DIR *entries = top ? opendir(top) : NULL;
    const struct dirent *entry;
    int r = top ? 0 : -ENOMEM;
    while (entries && r == 0 && (entry = readdir(entries))) {
        char *CLEAN_FREE path = fs_join(top, entry->d_name);
        struct stat st;
        if (!path)
            r = -ENOMEM;
        else if (entry->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            names_add(dirs, str_from(path));
    }
    if (entries)
        closedir(entries);
    return r;
}

/* Where the computer's loader finds the engine's libraries. */
static int local_add_library_dir(const struct package_env *env, const struct gfx_engine *engine,
                                 struct names *dirs)
{
    struct str rest = engine->loaded, soname;
    struct buf CLEAN_BUF cache = BUF_INIT(LOCAL_CACHE_MAX);
    int r = 0;
    if (root_read(env->root, "/etc/ld.so.cache", LOCAL_CACHE_MAX - 1, &cache) < 0)
        return 0;
#if defined(__aarch64__)
    unsigned machine = 183;
#else
    unsigned machine = 62;
#endif
    while (r == 0 && str_word(&rest, &soname)) {
        struct str path = ldcache_find(buf_view(&cache), machine, soname);
        const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
        if (!slash)
            continue;
        char *CLEAN_FREE dir = str_dup((struct str){path.p, (size_t)(slash - path.p)});
        if (!dir)
            return -ENOMEM;
        names_add(dirs, str_from(dir));
        r = local_add_backend_dirs(engine, dirs, dir);
    }
    return r;
}

/* All files of the engine whose program is `program`. */
static int local_find_files(const struct package_env *env, const struct gfx_engine *engine,
                            const char *program, struct names *ret_files)
{
    struct names dirs = {0};
    const char *slash = strrchr(program, '/');
    char *CLEAN_FREE own = strndup(program, (size_t)(slash - program));
    char *CLEAN_FREE lib = NULL;
    if (!own || asprintf(&lib, "%s/../lib", own) < 0) {
        lib = NULL;
        return -ENOMEM;
    }
    names_add(ret_files, str_from(program));
    names_add(&dirs, str_from(own));
    names_add(&dirs, str_from(lib));
    int r = local_add_library_dir(env, engine, &dirs);
    for (size_t i = 0; r == 0 && i < dirs.n; i++)
        r = local_add_files(engine, ret_files, dirs.name[i]);
    names_done(&dirs);
    return r;
}

static int local_digest_files(const struct names *files, const char *backend,
                              char ret_digest[static DIGEST_HEX], struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(LOCAL_TEXT_MAX);
    buf_addf(&text, LOCAL_RECIPE "\nbackend %s\n", backend);
    for (size_t i = 0; i < files->n; i++) {
        char hex[DIGEST_HEX];
        int r = digest_file(files->name[i], hex, err);
        if (r < 0)
            return r;
        buf_addf(&text, "%s %s\n", hex, files->name[i]);
    }
    if (!buf_ok(&text) || digest_bytes(text.p, text.n, ret_digest) < 0)
        return local_no_memory(err);
    return 0;
}

/* The file of a backend among the engine's files; NULL none. */
static const char *local_backend_file(const struct names *files, struct str name)
{
    for (size_t i = 0; i < files->n && name.n; i++) {
        const char *slash = strrchr(files->name[i], '/');
        if (slash && str_is(name, slash + 1))
            return files->name[i];
    }
    return NULL;
}

/* An engine that has a C library and its loader beside it is started with them. */
static int local_add_loader(const char *program, struct package *package)
{
    char *CLEAN_FREE dir = strndup(program, (size_t)(strrchr(program, '/') - program));
    char *CLEAN_FREE libc = dir ? fs_join(dir, "libc.so.6") : NULL;
    char *CLEAN_FREE loader = dir ? fs_join(dir, CONTENTS_LOADER) : NULL;
    if (!libc || !loader)
        return -ENOMEM;
    if (access(libc, R_OK) < 0 || access(loader, X_OK) < 0)
        return 0;
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", dir, package->library_path ? ":" : "",
                 package->library_path ? package->library_path : "") < 0)
        return -ENOMEM;
    free(package->library_path);
    package->library_path = path;
    package->loader = loader;
    loader = NULL;
    return 0;
}

static int local_describe_engine(const struct local_job *job, const struct gfx_engine *engine,
                                 const char *program, const struct names *files,
                                 struct package *package, struct gfxb_error *err)
{
    const char *hip = local_backend_file(files, engine->rocm);
    const char *vulkan = local_backend_file(files, engine->vulkan);
    const char *request = job->request->backend;
    const char *backend = request ? request : hip ? "rocm" : vulkan ? "vulkan" : "cpu";
    const char *file = strcmp(backend, "rocm") == 0     ? hip
                       : strcmp(backend, "vulkan") == 0 ? vulkan
                                                        : program;
    if (!file)
        return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "%s has no %s backend", program, backend);
    const char *slash = strrchr(file, '/');
    package->engine = str_dup(engine->name);
    package->backend = strdup(backend);
    package->executable = strdup(program);
    package->backend_dir = strndup(file, (size_t)(slash - file));
    package->library_path = job->library_path ? strdup(job->library_path) : NULL;
    if (!package->engine || !package->backend || !package->executable || !package->backend_dir ||
        (job->library_path && !package->library_path) || local_add_loader(program, package) < 0)
        return local_no_memory(err);
    return measure_package(job->env, file, str_from(file), package, err);
}

static int local_check_engine(const struct local_job *job, const char *program,
                              struct gfxb_error *err)
{
    struct names roots = {0};
    const char *slash = strrchr(program, '/');
    char *CLEAN_FREE dir = strndup(program, (size_t)(slash - program));
    if (!dir)
        return local_no_memory(err);
    names_add(&roots, str_from(slash + 1));
    int r =
        libraries_check(job->env, dir, &roots, str_from(job->library_path), str_from(program), err);
    names_done(&roots);
    return r;
}

static int local_install_engine(struct local_job *job, const struct gfx_engine *engine,
                                const char *program, struct gfxb_error *err)
{
    struct package package = {0};
    struct names files = {0};
    struct buf CLEAN_BUF facts = BUF_INIT(LOCAL_TEXT_MAX);
    int r = local_find_files(job->env, engine, program, &files);
    if (r < 0)
        error_set(err, ENOMEM, "out of memory");
    const char *hip = r == 0 ? local_backend_file(&files, engine->rocm) : NULL;
    if (hip)
        local_find_runtime(job, hip);
    if (r == 0)
        r = local_check_engine(job, program, err);
    if (r == 0)
        r = local_describe_engine(job, engine, program, &files, &package, err);
    if (r == 0)
        r = local_digest_files(&files, package.backend, job->digest, err);
    if (r == 0)
        r = local_name(job, "system", &package, err);
    if (r == 0)
        r = store_stage_new(job->env, 0, &job->stage, err);
    buf_addf(&facts, "part engine file:%s\n", program);
    if (r == 0)
        r = store_publish(job->env, &job->stage, &package, buf_view(&facts), err);
    names_done(&files);
    manifest_package_done(&package);
    return r;
}

/* A directory with an engine's program in it, at the top or in bin. */
static int local_install_directory(struct local_job *job, struct gfxb_error *err)
{
    static const char *const where[] = {"%s/%.*s", "%s/bin/%.*s"};
    struct gfx_engine engine = {.program = STR_NONE};
    for (size_t i = 0; gfx_engine_at(i / 2, &engine); i++) {
        char *CLEAN_FREE program = NULL;
        if (asprintf(&program, where[i % 2], job->path, STR_ARG(engine.program)) < 0)
            program = NULL;
        if (program && access(program, X_OK) == 0)
            return local_install_engine(job, &engine, program, err);
    }
    return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "there is no %.*s in %s",
                     STR_ARG(engine.program), job->path);
}

/* The kind that a program of this name is of; the first where it is called otherwise. */
static int local_install_program(struct local_job *job, struct gfxb_error *err)
{
    struct gfx_engine engine, first;
    for (size_t i = 0; gfx_engine_at(i, &engine); i++) {
        if (str_is(engine.program, job->name))
            return local_install_engine(job, &engine, job->path, err);
    }
    gfx_engine_at(0, &first);
    return local_install_engine(job, &first, job->path, err);
}

static bool local_is_program(const char *path)
{
    unsigned char head[4] = {0};
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(head, 1, sizeof(head), file) : 0;
    if (file)
        fclose(file);
    return n == sizeof(head) && memcmp(head, "\177ELF", 4) == 0;
}

int package_install_local(const struct package_env *env, const struct package_local *request,
                          char ret_digest[static DIGEST_HEX], struct gfxb_error *err)
{
    struct local_job job = {.env = env, .request = request, .stage = STORE_STAGE_NONE};
    struct stat st;
    if (env->data_dir[0] != '/')
        return error_set(err, EINVAL, "\"%s\" is no absolute path", env->data_dir);
    job.path = realpath(request->path, NULL);
    if (!job.path || stat(job.path, &st) < 0) {
        free(job.path);
        return error_set(err, errno, "cannot read %s: %s", request->path, error_errno_text(errno));
    }
    const char *slash = strrchr(job.path, '/');
    job.name = slash ? slash + 1 : job.path;
    int r;
    if (S_ISDIR(st.st_mode))
        r = local_install_directory(&job, err);
    else if (!S_ISREG(st.st_mode))
        r = error_set(err, EINVAL, "%s is neither a file nor a directory", job.path);
    else if (local_is_program(job.path))
        r = local_install_program(&job, err);
    else
        r = local_install_archive(&job, (uint64_t)st.st_size, err);
    if (r == 0)
        memcpy(ret_digest, job.digest, sizeof(job.digest));
    local_done(&job);
    return r;
}

/* ---- as providers of rows, whose `locate` is the path ---- */

static int local_install_row(const struct package_env *env, const struct gfx_package *row,
                             struct gfxb_error *err)
{
    char *CLEAN_FREE path = str_dup(row->locate);
    char *CLEAN_FREE backend = row->backend.n ? str_dup(row->backend) : NULL;
    char *CLEAN_FREE sha256 = row->sha256.n ? str_dup(row->sha256) : NULL;
    char digest[DIGEST_HEX];
    if (!path)
        return local_no_memory(err);
    struct package_local request = {.path = path, .backend = backend, .sha256 = sha256};
    return package_install_local(env, &request, digest, err);
}

const struct provider provider_file = {
    .name = "file",
    .needs_network = false,
    .install = local_install_row,
};

const struct provider provider_system = {
    .name = "system",
    .needs_network = false,
    .install = local_install_row,
};
