/* launch.c - the argv, environment and directory that an engine is started with, by us or by a
 * script. */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define LAUNCH_CACHE_RAM  "256"      /* MiB for prompts of idle slots; the engine's own is 8192 */
#define LAUNCH_PING       "1"        /* s: with a stream open SIGTERM is obeyed only at a ping */
#define LAUNCH_TINY_MODEL (16 << 20) /* bytes */
#define LAUNCH_VERBOSITY  "4"        /* the first level that shows devices and buffers */

__attribute__((format(printf, 2, 3))) static void launch_add(struct launch_words *words,
                                                             const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int n = words->n < LAUNCH_WORDS_MAX ? vasprintf(&text, format, args) : -1;
    va_end(args);
    if (n < 0) {
        words->failed = true;
        return;
    }
    words->word[words->n++] = text;
}

void launch_words_done(struct launch_words *words)
{
    for (size_t i = 0; i < words->n; i++)
        free(words->word[i]);
    *words = (struct launch_words){.n = 0};
}

void launch_done(struct launch *launch)
{
    launch_words_done(&launch->argv);
    launch_words_done(&launch->env);
    free(launch->cwd);
    launch->cwd = NULL;
    sandbox_done(&launch->sandbox);
}

/* A path of the package: relative ones are below its directory. To be freed; NULL out of memory. */
static char *launch_path(const struct package *package, struct str path)
{
    char *text = NULL;
    int n = path.n && path.p[0] == '/' ? asprintf(&text, "%.*s", STR_ARG(path))
                                       : asprintf(&text, "%s/%.*s", package->dir, STR_ARG(path));
    return n < 0 ? NULL : text;
}

/* "lib:lib/llama" as absolute paths. */
static int launch_library_path(const struct package *package, struct buf *ret)
{
    struct str rest = str_from(package->library_path), entry;
    while (str_cut(&rest, ':', &entry)) {
        if (entry.n == 0)
            continue; /* the dynamic loader would take it for the working directory */
        char *CLEAN_FREE path = launch_path(package, entry);
        if (!path)
            return -ENOMEM;
        if (strpbrk(path, ":;$"))
            return -EINVAL; /* the dynamic loader gives these a meaning of their own */
        buf_addf(ret, "%s%s", ret->n ? ":" : "", path);
    }
    return buf_ok(ret) ? 0 : -ENOMEM;
}

int launch_program(const struct package *package, struct launch_words *argv,
                   struct launch_words *env)
{
    struct buf CLEAN_BUF libraries = BUF_INIT(65536);
    char *CLEAN_FREE program = launch_path(package, str_from(package->executable));
    int code = program ? launch_library_path(package, &libraries) : -ENOMEM;
    if (code < 0)
        return code;
    if (!package->loader) {
        launch_add(argv, "%s", program);
        if (libraries.n)
            launch_add(env, "LD_LIBRARY_PATH=%s", buf_text(&libraries));
        return 0;
    }
    char *CLEAN_FREE loader = launch_path(package, str_from(package->loader));
    if (!loader)
        return -ENOMEM;
    launch_add(argv, "%s", loader);
    if (libraries.n) {
        launch_add(argv, "--library-path");
        launch_add(argv, "%s", buf_text(&libraries));
    }
    launch_add(argv, "--argv0");
    launch_add(argv, "llama-server");
    launch_add(argv, "%s", program);
    return 0;
}

static const char *launch_cache(const struct engine_spec *spec, const char *scratch)
{
    return spec->cache_dir ? spec->cache_dir : scratch;
}

/* Nothing is inherited: no LLAMA_*, GGML_*, HSA_*, LD_*, no proxy, no token. */
static void launch_environment(const struct engine_spec *spec, const char *scratch,
                               const struct launch_serving *serving, struct launch_words *env)
{
    const char *cache = launch_cache(spec, scratch);
    launch_add(env, "PATH=/usr/bin:/bin");
    launch_add(env, "LANG=C.UTF-8");
    launch_add(env, "HOME=%s", cache);
    launch_add(env, "XDG_CACHE_HOME=%s", cache);
    launch_add(env, "TMPDIR=%s", scratch);
    /* libgomp's threads spin at every barrier; beside another busy process that made generation
     * 10 times slower (measured: 7 tokens/s of 75). This short a spin costs nothing measurable. */
    launch_add(env, "GOMP_SPINCOUNT=1000");
    if (serving)
        launch_add(env, "LLAMA_API_KEY=%s", serving->key);
    for (size_t i = 0; spec->env && spec->env[i]; i++)
        launch_add(env, "%s", spec->env[i]);
}

const char *launch_device(const struct engine_spec *spec)
{
    if (spec->device)
        return spec->device;
    return spec->backend == PLAN_CPU ? "none" : NULL;
}

/* A model as small as the canary is slowed down by every further thread: its layers take less time
 * than the threads need to meet. */
static unsigned launch_threads(const struct engine_spec *spec)
{
    struct stat st;
    if (spec->threads)
        return spec->threads;
    if (stat(spec->model, &st) == 0 && st.st_size < LAUNCH_TINY_MODEL)
        return 1;
    return engine_default_threads();
}

/* Does the plan's choice name the device itself? */
static bool launch_names_device(const struct engine_spec *spec)
{
    for (size_t i = 0; spec->args && spec->args[i]; i++) {
        if (strcmp(spec->args[i], "--device") == 0)
            return true;
    }
    return false;
}

static void launch_arguments(const struct engine_spec *spec, const struct launch_serving *serving,
                             struct launch_words *argv)
{
    static const char *const fixed[] = {"--offline",      "--no-webui",     "-lv",
                                        LAUNCH_VERBOSITY, "--log-colors",   "off",
                                        "--cache-ram",    LAUNCH_CACHE_RAM, "--sse-ping-interval",
                                        LAUNCH_PING};
    unsigned slots = spec->slots ? spec->slots : 1;
    launch_add(argv, "-m");
    launch_add(argv, "%s", spec->model);
    launch_add(argv, "--host");
    launch_add(argv, "%s", serving->socket);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        launch_add(argv, "%s", fixed[i]);
    launch_add(argv, "-np");
    launch_add(argv, "%u", slots);
    launch_add(argv, "--threads");
    launch_add(argv, "%u", launch_threads(spec));
    /* The engine's own count, slots + 4, stalls for seconds when there are more connections. */
    launch_add(argv, "--threads-http");
    launch_add(argv, "%u", spec->http_threads ? spec->http_threads : slots + 8);
    if (spec->context) {
        launch_add(argv, "-c");
        launch_add(argv, "%u", spec->context);
    }
    /* Lavapipe compiles the kernels of every type of weights anew for one token, for two, and for
     * many: 31 s for the canary, which has five types; 11 s for one token alone (measured). */
    if (spec->backend == PLAN_VULKAN_SOFTWARE && canary_is(spec->model)) {
        launch_add(argv, "--ubatch-size");
        launch_add(argv, "1");
    }
    if (launch_device(spec) && !launch_names_device(spec)) {
        launch_add(argv, "--device");
        launch_add(argv, "%s", launch_device(spec));
    }
    for (size_t i = 0; spec->args && spec->args[i]; i++)
        launch_add(argv, "%s", spec->args[i]);
}

/* Rows of a table may add to the environment, but never take over what keeps the engine private. */
static int launch_check(const struct engine_spec *spec, struct gfxb_error *err)
{
    static const char *const ours[] = {"PATH=", "LD_", "LLAMA_", "HOME=", "AIP_"};
    static const char harmless[] = "LLAMA_ARG_LOAD_MODE="; /* how a model's file is read */
    static const char *const args[] = {
        "-m",      "--model", "--host",     "--port",         "--api-key",
        "--tools", "--path",  "--log-file", "--api-key-file", "--agent"};
    for (size_t i = 0; spec->env && spec->env[i]; i++) {
        bool taken = !strchr(spec->env[i], '=');
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
            taken = taken || (str_starts(str_from(spec->env[i]), str_from(ours[k])) &&
                              !str_starts(str_from(spec->env[i]), str_from(harmless)));
        if (taken)
            return error_set(err, EINVAL, "the engine's environment cannot be given '%s'",
                             spec->env[i]);
    }
    for (size_t i = 0; spec->args && spec->args[i]; i++) {
        for (size_t k = 0; k < sizeof(args) / sizeof(args[0]); k++) {
            if (strcmp(spec->args[i], args[k]) == 0)
                return error_set(err, EINVAL, "the engine cannot be given the argument '%s'",
                                 spec->args[i]);
        }
    }
    return 0;
}

int launch_new(const struct engine_spec *spec, const char *scratch,
               const struct launch_serving *serving, struct launch *ret_launch,
               struct gfxb_error *err)
{
    struct launch launch = {.cwd = NULL, .sandbox = SANDBOX_NONE, .confined = !spec->unconfined};
    int code = launch_check(spec, err);
    if (code == 0 && spec->cache_dir)
        code = fs_make_dirs(spec->cache_dir, 0700, err);
    if (code == 0 && launch.confined)
        code = sandbox_new(spec, scratch, launch_cache(spec, scratch), &launch.sandbox, err);
    if (code < 0)
        return code;
    launch_environment(spec, scratch, serving, &launch.env);
    code = launch_program(spec->package, &launch.argv, &launch.env);
    if (serving)
        launch_arguments(spec, serving, &launch.argv);
    else
        launch_add(&launch.argv, "--list-devices");
    launch.cwd = launch_path(spec->package, str_from(spec->package->backend_dir));
    if (code < 0 || !launch.cwd || launch.argv.failed || launch.env.failed) {
        launch_done(&launch);
        if (code == -EINVAL)
            return error_set(err, EINVAL,
                             "the package's directory %s has a name that the dynamic loader cannot "
                             "search (':', ';' or '$'); choose another --data-dir",
                             spec->package->dir);
        return error_set(err,
                         code < 0     ? -code
                         : launch.cwd ? E2BIG
                                      : ENOMEM,
                         "the engine's command line does not fit");
    }
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
        .before_exec = launch->confined ? sandbox_enter : NULL,
        .context = &launch->sandbox,
    };
}

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

static void wrapper_script(const struct engine_spec *spec, const char *title,
                           const struct launch_words *argv, const struct launch_words *env,
                           struct buf *out)
{
    const char *device = launch_device(spec);
    struct str directory = str_from(spec->package->backend_dir);
    char *CLEAN_FREE own = fs_join(spec->package->dir, spec->package->backend_dir);
    buf_addf(out,
             "#!/bin/sh\n# %s\n# Written by gfxbridge env; it writes it anew.\n"
             "# The engine finds its parts in its own directory: files that are named relative to\n"
             "# this one must be found from there too.\n"
             "here=$(pwd)\nfor word; do\n    shift\n    case $word in\n    -* | /*) ;;\n"
             "    *) [ -e \"$here/$word\" ] && word=$here/$word ;;\n    esac\n"
             "    set -- \"$@\" \"$word\"\ndone\ncd ",
             title);
    wrapper_quote(out, directory.n && directory.p[0] == '/' ? directory.p : own ? own : "");
    buf_add_text(out, " || exit 1\n");
    for (size_t i = 0; i < env->n; i++)
        wrapper_export(out, env->word[i]);
    for (size_t i = 0; spec->env && spec->env[i]; i++)
        wrapper_export(out, spec->env[i]);
    buf_add_text(out, "exec");
    wrapper_words(out, (const char *const *)argv->word);
    if (device)
        wrapper_words(out, (const char *const[]){"--device", device, NULL});
    wrapper_words(out, spec->args);
    buf_add_text(out, " \"$@\"\n");
}

int engine_wrapper(const struct engine_spec *spec, const char *title, struct buf *ret,
                   struct gfxb_error *err)
{
    struct launch_words argv = {.n = 0}, env = {.n = 0};
    int result = launch_program(spec->package, &argv, &env);
    if (result == 0 && !argv.failed && !env.failed)
        wrapper_script(spec, title, &argv, &env, ret);
    bool ok = result == 0 && !argv.failed && !env.failed && buf_ok(ret);
    launch_words_done(&argv);
    launch_words_done(&env);
    return ok ? 0
              : error_set(err, result < 0 ? -result : ENOMEM,
                          "the package's directory %s cannot be named in a script",
                          spec->package->dir);
}
