/*
 * package_tool.c - the package room alone, for tests/real/debian.py: installs one package of the
 * distribution's archive into a data directory, or lists and removes what is there.
 *
 *   package_tool DATA install ID BACKEND "ROOT PACKAGES"
 *   package_tool DATA list        one line a package: digest id backend version
 *   package_tool DATA command ID  the engine's command line, one word a line, its directory first
 *   package_tool DATA remove DIGEST
 *
 * TOOL_MIRROR in the environment is the mirror, TOOL_GFX the target that it is for; SIGINT cancels.
 */
#include "package/package.h"
#include "sysroot/sysroot.h"

#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>

static atomic_int tool_cancelled;

static void tool_cancel(int number)
{
    tool_cancelled = number;
}

static void tool_say(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static int tool_fail(const struct gfxb_error *err)
{
    fprintf(stderr, "error: %s: %s\n", gfxb_code_name(err->code), err->text);
    return 1;
}

static int tool_install(const struct package_env *env, char **argv)
{
    struct gfxb_error err = {0};
    struct utsname system;
    uname(&system);
    struct gfx_package row = {
        .id = str_from(argv[0]),
        .provider = STR("debian"),
        .backend = str_from(argv[1]),
        .os = GFX_LINUX,
        .arch = str_from(system.machine),
        .locate = str_from(argv[2]),
        .installable = true,
    };
    return package_install(env, &row, &err) < 0 ? tool_fail(&err) : 0;
}

static void tool_print_command(const struct package *p)
{
    printf("%s/%s\n%s/%s\n--library-path\n", p->dir, p->backend_dir, p->dir, p->loader);
    struct str rest = str_from(p->library_path), dir;
    for (const char *colon = ""; str_cut(&rest, ':', &dir); colon = ":")
        printf("%s%s/%.*s", colon, p->dir, STR_ARG(dir));
    printf("\n--argv0\nllama-server\n%s/%s\n", p->dir, p->executable);
}

static int tool_list(const struct package_env *env, const char *command_id)
{
    struct gfxb_error err = {0};
    struct package_list list = {NULL, 0};
    if (package_list_new(env, &list, &err) < 0)
        return tool_fail(&err);
    const struct package *found = NULL;
    for (size_t i = 0; i < list.n; i++) {
        const struct package *p = &list.item[i];
        if (!command_id)
            printf("%s %s %s %s\n", p->digest, p->id, p->backend, p->version);
        else if (!found && strcmp(p->id, command_id) == 0)
            found = p;
    }
    if (found)
        tool_print_command(found);
    package_list_done(&list);
    return command_id && !found ? 1 : 0;
}

static int tool_remove(const struct package_env *env, const char *digest)
{
    struct gfxb_error err = {0};
    return package_remove(env, digest, &err) < 0 ? tool_fail(&err) : 0;
}

int main(int argc, char **argv)
{
    struct gfxb_error err = {0};
    struct root *root = NULL;
    const struct log log = {tool_say, NULL};
    struct gfx_tables *tables = NULL;
    if (argc < 3 || root_new(NULL, &root, &err) < 0 || gfx_tables_new(NULL, &tables, &err) < 0)
        return 2;
    const struct sigaction action = {.sa_handler = tool_cancel};
    sigaction(SIGINT, &action, NULL);
    const struct package_net net = {
        .fetch = {.mirror = getenv("TOOL_MIRROR"), .cancel = &tool_cancelled}};
    struct package_env env = {.data_dir = argv[1],
                              .tables = tables,
                              .root = root,
                              .log = &log,
                              .net = &net,
                              .gfx = getenv("TOOL_GFX")};
    int status = 2;
    if (argc == 6 && strcmp(argv[2], "install") == 0)
        status = tool_install(&env, argv + 3);
    else if (argc == 3 && strcmp(argv[2], "list") == 0)
        status = tool_list(&env, NULL);
    else if (argc == 4 && strcmp(argv[2], "command") == 0)
        status = tool_list(&env, argv[3]);
    else if (argc == 4 && strcmp(argv[2], "remove") == 0)
        status = tool_remove(&env, argv[3]);
    gfx_tables_free(tables);
    root_free(root);
    return status;
}
