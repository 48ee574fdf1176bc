/*
 * launch.c - the argv, environment and directory that an engine is started with, by us or by a
 * script.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>

#define LAUNCH_TINY_MODEL (16 << 20) /* bytes */
#define LAUNCH_PATHS_MAX  65536

void launch_done(struct launch *launch)
{
    engine_words_done(&launch->argv);
    engine_words_done(&launch->env);
    free(launch->cwd);
    launch->cwd = NULL;
    sandbox_done(&launch->sandbox);
}

/* A path of the package: relative ones are below its directory. To be freed. */
static char *launch_path(const struct package *package, struct str path)
{
    return path.n && path.p[0] == '/' ? xstr_dup(path)
                                      : xasprintf("%s/%.*s", package->dir, STR_ARG(path));
}

/* "lib:lib/engine" as absolute paths. */
static int launch_library_path(const struct package *package, struct buf *ret)
{
    struct str rest = str_from(package->library_path), entry;
    while (str_cut(&rest, ':', &entry)) {
        if (entry.n == 0)
            continue; /* the dynamic loader would take it for the working directory */
        char *CLEAN_FREE path = launch_path(package, entry);
        if (strpbrk(path, ":;$"))
            return -EINVAL; /* the dynamic loader gives these a meaning of their own */
        buf_addf(ret, "%s%s", ret->n ? ":" : "", path);
    }
    return buf_ok(ret) ? 0 : -EINVAL;
}

char *launch_worker(const struct package *package)
{
    struct gfx_engine row;
    char *CLEAN_FREE server = launch_path(package, str_from(package->executable));
    struct str rest = STR_NONE, place;
    char *found = NULL;
    if (gfx_engine_find(str_from(package->engine), &row))
        rest = row.worker;
    while (!found && str_word(&rest, &place)) {
        char *CLEAN_FREE pattern = xasprintf("%.*s/%.*s", STR_ARG(fs_dir(server)), STR_ARG(place));
        glob_t places = {.gl_pathc = 0};
        if (glob(pattern, GLOB_NOSORT, NULL, &places) == 0)
            found = xstrdup(places.gl_pathv[0]);
        globfree(&places);
    }
    return found;
}

int engine_has_worker(const struct package *package, struct gfxb_error *err)
{
    struct gfx_engine row;
    char *CLEAN_FREE worker = launch_worker(package);
    char *CLEAN_FREE dir = launch_path(package, str_from(package->backend_dir));
    bool known = gfx_engine_find(str_from(package->engine), &row) && row.rpc.n;
    char *CLEAN_FREE backend = xasprintf("%s/%.*s", dir, STR_ARG(known ? row.rpc : STR_NONE));
    if (worker && known && access(worker, X_OK) == 0 && access(backend, R_OK) == 0)
        return 0;
    return error_set(err, GFXB_E_NO_PACKAGE,
                     "the package %s cannot use several computers: it has no %s; `gfxbridge "
                     "backends install` gets a newer one",
                     package->id, worker ? "backend for workers" : "worker");
}

int launch_program(const struct package *package, const char *executable, struct engine_words *argv,
                   struct engine_words *env, struct gfxb_error *err)
{
    struct buf CLEAN_BUF libraries = BUF_INIT(LAUNCH_PATHS_MAX);
    char *CLEAN_FREE program = launch_path(package, str_from(executable));
    if (launch_library_path(package, &libraries) < 0)
        return error_set(err, EINVAL,
                         "the package's directory %s has a name that the dynamic loader cannot "
                         "search (':', ';' or '$'); choose another --data-dir",
                         package->dir);
    if (!package->loader) {
        engine_words_add(argv, "%s", program);
        if (libraries.n)
            engine_words_add(env, "LD_LIBRARY_PATH=%s", buf_text(&libraries));
        return 0;
    }
    char *CLEAN_FREE loader = launch_path(package, str_from(package->loader));
    engine_words_add(argv, "%s", loader);
    if (libraries.n) {
        engine_words_add(argv, "--library-path");
        engine_words_add(argv, "%s", buf_text(&libraries));
    }
    engine_words_add(argv, "--argv0");
    engine_words_add(argv, "%s", strrchr(program, '/') + 1);
    engine_words_add(argv, "%s", program);
    return 0;
}

static const char *launch_cache(const struct engine_spec *spec, const char *scratch)
{
    return spec->cache_dir ? spec->cache_dir : scratch;
}

/* The package's own names of cards: its libdrm would read this computer's, which may be older. */
static void launch_card_names(const struct package *package, struct engine_words *env)
{
    static const char *const places[] = {"usr/share/libdrm", "share/libdrm", "../share/libdrm"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *CLEAN_FREE dir = launch_path(package, str_from(places[i]));
        char *CLEAN_FREE file = xfs_join(dir, "amdgpu.ids");
        if (access(file, R_OK) == 0) {
            engine_words_add(env, "AMDGPU_ASIC_ID_TABLE_PATHS=%s", dir);
            return;
        }
    }
}

/* Nothing is inherited: no variable of the engine, HSA_*, LD_*, no proxy, no token. */
static void launch_environment(const struct engine_kind *kind, const struct engine_spec *spec,
                               const char *scratch, const struct engine_serving *serving,
                               struct engine_words *env)
{
    const char *cache = launch_cache(spec, scratch);
    engine_words_add(env, "PATH=/usr/bin:/bin");
    engine_words_add(env, "LANG=C.UTF-8");
    engine_words_add(env, "HOME=%s", cache);
    engine_words_add(env, "XDG_CACHE_HOME=%s", cache);
    engine_words_add(env, "TMPDIR=%s", scratch);
    launch_card_names(spec->package, env);
    for (const char *const *variable = kind->variables; *variable; variable++)
        engine_words_add(env, "%s", *variable);
    for (const char *const *variable = kind->plain_variables; spec->plain && *variable; variable++)
        engine_words_add(env, "%s", *variable);
    if (serving && serving->key)
        engine_words_add(env, "%s=%s", kind->key_variable, serving->key);
    for (size_t i = 0; spec->env && spec->env[i]; i++)
        engine_words_add(env, "%s", spec->env[i]);
}

const char *launch_device(const struct engine_kind *kind, const struct engine_spec *spec)
{
    if (spec->device)
        return spec->device;
    return spec->backend == PLAN_CPU ? kind->no_device : NULL;
}

/* A model as small as the canary is slowed down by every further thread: its layers take less time
 * than the threads need to meet. */
unsigned engine_threads_for(const char *model)
{
    struct stat st;
    return model && stat(model, &st) == 0 && st.st_size < LAUNCH_TINY_MODEL
               ? 1
               : engine_default_threads();
}

/* Does the text begin with one of these? */
static bool launch_begins(const char *const *beginnings, const char *text)
{
    for (; *beginnings; beginnings++) {
        if (str_starts(str_from(text), str_from(*beginnings)))
            return true;
    }
    return false;
}

static bool launch_is_one(const char *const *words, const char *text)
{
    for (; *words; words++) {
        if (strcmp(*words, text) == 0)
            return true;
    }
    return false;
}

/* Rows of a table may add to the environment, but never take over what keeps the engine private. */
static int launch_check(const struct engine_kind *kind, const struct engine_spec *spec,
                        struct gfxb_error *err)
{
    static const char *const ours[] = {"PATH=", "LD_", "HOME=", NULL};
    for (size_t i = 0; spec->env && spec->env[i]; i++) {
        const char *variable = spec->env[i];
        bool own = launch_begins(ours, variable) || launch_begins(kind->own_variables, variable);
        if (!strchr(variable, '=') || (own && !launch_begins(kind->free_variables, variable)))
            return error_set(err, EINVAL, "the engine's environment cannot be given '%s'",
                             variable);
    }
    for (size_t i = 0; spec->args && spec->args[i]; i++) {
        if (launch_is_one(kind->own_arguments, spec->args[i]))
            return error_set(err, EINVAL, "the engine cannot be given the argument '%s'",
                             spec->args[i]);
    }
    return 0;
}

static void launch_arguments(const struct engine_kind *kind, const struct engine_spec *spec,
                             const struct engine_serving *serving, struct engine_words *argv)
{
    if (!serving) {
        engine_words_add(argv, "%s", kind->list_argument);
        return;
    }
    struct engine_serving complete = *serving;
    complete.threads = spec->threads ? spec->threads : engine_threads_for(spec->model);
    if (!serving->socket) {
        kind->add_worker_arguments(spec, &complete, argv);
        return;
    }
    complete.is_canary = canary_is(kind->canary, spec->model);
    kind->add_arguments(spec, &complete, argv);
    for (size_t i = 0; spec->args && spec->args[i]; i++)
        engine_words_add(argv, "%s", spec->args[i]);
}

/* The list of devices is of this computer's alone. */
static enum sandbox_sockets launch_sockets(const struct engine_spec *spec,
                                           const struct engine_serving *serving)
{
    if (!serving)
        return SANDBOX_NO_SOCKETS;
    return !serving->socket  ? SANDBOX_LISTENS
           : spec->n_remotes ? SANDBOX_CONNECTS
                             : SANDBOX_NO_SOCKETS;
}

int launch_new(const struct engine_kind *kind, const struct engine_spec *spec, const char *scratch,
               const struct engine_serving *serving, struct launch *ret_launch,
               struct gfxb_error *err)
{
    struct launch launch = {
        .cwd = NULL, .sandbox = SANDBOX_NONE, .confined = !spec->unconfined, .idle = spec->idle};
    int code = launch_check(kind, spec, err);
    if (code == 0 && spec->cache_dir)
        code = fs_make_dirs(spec->cache_dir, 0700, err);
    if (code == 0 && launch.confined)
        code = sandbox_new(spec, launch_sockets(spec, serving), scratch,
                           launch_cache(spec, scratch), &launch.sandbox, err);
    if (code < 0)
        return code;
    char *CLEAN_FREE worker = serving && !serving->socket ? launch_worker(spec->package) : NULL;
    launch.sandbox.memory = worker && spec->backend == PLAN_CPU ? spec->memory : 0;
    launch_environment(kind, spec, scratch, serving, &launch.env);
    code = launch_program(spec->package, worker ? worker : spec->package->executable, &launch.argv,
                          &launch.env, err);
    if (code < 0) {
        launch_done(&launch);
        return code;
    }
    launch_arguments(kind, spec, serving, &launch.argv);
    launch.cwd = launch_path(spec->package, str_from(spec->package->backend_dir));
    *ret_launch = launch;
    return 0;
}

struct child_spec launch_child(struct launch *launch)
{
    return (struct child_spec){
        .argv = (const char *const *)launch->argv.word,
        .env = (const char *const *)launch->env.word,
        .cwd = launch->cwd,
        .out_fd = -1,
        .err_fd = -1,
        .idle = launch->idle,
        .before_exec = launch->confined ? sandbox_enter : NULL,
        .context = &launch->sandbox,
    };
}

/* ---- the proven engine as a program that others can start ---- */

/* A word between single quotes, as sh takes it. */
static void wrapper_quote(struct buf *out, const char *word)
{
    buf_add_char(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            buf_add_text(out, "'\\''");
        else
            buf_add_char(out, *word);
    }
    buf_add_char(out, '\'');
}

static void wrapper_words(struct buf *out, const char *const *words)
{
    for (; words && *words; words++) {
        buf_add_char(out, ' ');
        wrapper_quote(out, *words);
    }
}

/* NAME=value */
static void wrapper_export(struct buf *out, const char *variable)
{
    struct str rest = str_from(variable), name;
    if (!str_cut(&rest, '=', &name))
        return;
    buf_addf(out, "export %.*s=", STR_ARG(name));
    wrapper_quote(out, rest.p);
    buf_add_char(out, '\n');
}

static void wrapper_script(const struct engine_kind *kind, const struct engine_spec *spec,
                           const char *title, const struct engine_words *argv,
                           const struct engine_words *env, struct buf *out)
{
    const char *device = launch_device(kind, spec);
    char *CLEAN_FREE directory = launch_path(spec->package, str_from(spec->package->backend_dir));
    buf_addf(out,
             "#!/bin/sh\n# %s\n# Written by gfxbridge env, which writes it again.\n"
             "# The engine finds its parts in its own directory: files that are named relative to\n"
             "# this one must be found from there too.\n"
             "here=$(pwd)\nfor word; do\n    shift\n    case $word in\n    -* | /*) ;;\n"
             "    *) [ -e \"$here/$word\" ] && word=$here/$word ;;\n    esac\n"
             "    set -- \"$@\" \"$word\"\ndone\ncd ",
             title);
    wrapper_quote(out, directory);
    buf_add_text(out, " || exit 1\n");
    for (size_t i = 0; i < env->n; i++)
        wrapper_export(out, env->word[i]);
    for (size_t i = 0; spec->env && spec->env[i]; i++)
        wrapper_export(out, spec->env[i]);
    buf_add_text(out, "exec");
    wrapper_words(out, (const char *const *)argv->word);
    if (device)
        wrapper_words(out, (const char *const[]){kind->device_argument, device, NULL});
    wrapper_words(out, spec->args);
    buf_add_text(out, " \"$@\"\n");
}

int engine_wrapper(const struct engine_spec *spec, const char *title, struct buf *ret,
                   struct gfxb_error *err)
{
    struct engine_words argv = {.n = 0}, env = {.n = 0};
    const struct engine_kind *kind = engine_kind_of(spec->package->engine, err);
    int code = kind ? launch_program(spec->package, spec->package->executable, &argv, &env, err)
                    : -GFXB_E_NO_PACKAGE;
    if (code == 0)
        wrapper_script(kind, spec, title, &argv, &env, ret);
    engine_words_done(&argv);
    engine_words_done(&env);
    return code < 0 || buf_ok(ret)
               ? code
               : error_set(err, E2BIG, "the script for %s does not fit", spec->package->dir);
}
