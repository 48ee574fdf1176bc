/* wrapper.c - the proven engine as a llama-server that other programs can start. */
#include "engine/launch.h"

#include <errno.h>

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
