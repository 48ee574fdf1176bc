/*
 * mirror_tool.c - the package room alone, for tests/real/mirror.py: packages from release archives.
 *
 *   mirror_tool DATA TABLES install ID [GFX]
 *   mirror_tool DATA TABLES local PATH [BACKEND]
 *   mirror_tool DATA TABLES list     one line a package: its manifest's fields, separated by tabs
 *
 * TABLES is a directory of tables that replace the program's own. Settings come as TOOL_GITHUB,
 * TOOL_API, TOOL_TOKEN, TOOL_THEROCK, TOOL_MIRROR, TOOL_CA in the environment. A failure is one
 * line on stderr, "error: CODE: SENTENCE".
 */
#include "package/package.h"
#include "sysroot/sysroot.h"

#include <signal.h>
#include <stdio.h>

static void tool_say(void *context, enum log_level level, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static const char *tool_setting(void *context, const char *name)
{
    static const char *const names[][2] = {{"GFXBRIDGE_GITHUB", "TOOL_GITHUB"},
                                           {"GFXBRIDGE_GITHUB_API", "TOOL_API"},
                                           {"GFXBRIDGE_THEROCK", "TOOL_THEROCK"},
                                           {"GITHUB_TOKEN", "TOOL_TOKEN"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i][0]) == 0)
            return getenv(names[i][1]);
    }
    return NULL;
}

static int tool_fail(const struct gfxb_error *err)
{
    fprintf(stderr, "error: %s: %s\n", gfxb_code_name(err->code), err->text);
    return 1;
}

static int tool_install(const struct package_env *env, const char *id)
{
    struct gfxb_error err = {0};
    for (size_t i = 0; i < env->tables->n_packages; i++) {
        if (str_is(env->tables->package[i].id, id))
            return package_install(env, &env->tables->package[i], &err) < 0 ? tool_fail(&err) : 0;
    }
    fprintf(stderr, "no row %s\n", id);
    return 2;
}

static int tool_local(const struct package_env *env, const char *path, const char *backend)
{
    struct gfxb_error err = {0};
    char digest[DIGEST_HEX];
    struct package_local request = {.path = path, .backend = backend};
    return package_install_local(env, &request, digest, &err) < 0 ? tool_fail(&err) : 0;
}

static const char *tool_or(const char *text)
{
    return text ? text : "-";
}

static int tool_list(const struct package_env *env)
{
    struct gfxb_error err = {0};
    struct package_list list = {NULL, 0};
    if (package_list_new(env, &list, &err) < 0)
        return tool_fail(&err);
    for (size_t i = 0; i < list.n; i++) {
        const struct package *p = &list.item[i];
        printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p->digest, p->id, p->provider,
               p->backend, p->version, p->executable, p->backend_dir, tool_or(p->library_path),
               tool_or(p->gfx), tool_or(p->blas));
    }
    package_list_done(&list);
    return 0;
}

int main(int argc, char **argv)
{
    struct gfxb_error err = {0};
    struct root *root = NULL;
    struct gfx_tables *tables = NULL;
    const struct log log = {tool_say, NULL};
    if (argc < 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    if (root_new(NULL, &root, &err) < 0 || gfx_tables_new(argv[2], &tables, &err) < 0)
        return tool_fail(&err);
    const struct package_net net = {
        .fetch = {.mirror = getenv("TOOL_MIRROR"),
                  .ca_file = getenv("TOOL_CA"),
                  .pause_ms = 20,
                  .stall_seconds = 2,
                  .tries = 4},
        .setting = tool_setting,
    };
    struct package_env env = {.data_dir = argv[1],
                              .tables = tables,
                              .root = root,
                              .log = &log,
                              .net = &net,
                              .gfx = argc > 5 ? argv[5] : NULL};
    int status = 2;
    if (argc >= 5 && strcmp(argv[3], "install") == 0)
        status = tool_install(&env, argv[4]);
    else if (argc >= 5 && strcmp(argv[3], "local") == 0)
        status = tool_local(&env, argv[4], argc > 5 ? argv[5] : NULL);
    else if (strcmp(argv[3], "list") == 0)
        status = tool_list(&env);
    gfx_tables_free(tables);
    root_free(root);
    return status;
}
