/* cmd_env.c - what makes another program use the proven engine. */
#include "api/api.h"
#include "cli/cli.h"

enum { ENV_FOR = CLI_REQUEST_NEXT };

static const struct cli_option env_options[] = {
    CLI_REQUEST_OPTIONS,
    {"for", "lemonade|ollama|llama.cpp", "the program that is to use the proven engine"},
    {NULL, NULL, NULL},
};

/* One variable, and in one sentence what it does. */
static void env_tell(struct cli *cli, const char *name, const char *value, const char *how)
{
    if (cli->json) {
        cli_print_json(cli, json_pack("{s:{s:s}, s:s}", "env", name, value, "how", how));
        return;
    }
    text_print(stderr, "%s", how);
    printf("export %s='", name);
    for (const char *c = value; *c; c++)
        fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, stdout);
    puts("'");
}

/* The proven choice's engine as DATA/bin/PROGRAM, where PROGRAM is its own name: that file. */
static const char *env_write_wrapper(struct cli *cli, const struct plan_choice *choice,
                                     const char *program)
{
    const struct session *session = &cli->session;
    const struct engine_proof *proof = engine_proofs_find(session->stored, choice->fingerprint);
    struct engine_spec spec = {.package =
                                   &session->packages.item[choice->installed - session->installed]};
    struct buf CLEAN_BUF script = BUF_INIT(1 << 20);
    char title[400];
    char *CLEAN_FREE dir = xfs_join(cli->data_dir, "bin");
    const char *file = cli_keep(cli, xfs_join(dir, program));
    engine_spec_choose(&spec, choice);
    if (proof && proof->device[0])
        spec.device = proof->device;
    snprintf(title, sizeof(title), "%s of %s, proven for %s on %s", program, choice->package,
             plan_backend_name(choice->backend), proof ? proof->shown : "this computer");
    cli_check(cli, engine_wrapper(&spec, title, &script, &cli->err));
    cli_check(cli, fs_make_dirs(dir, 0755, &cli->err));
    cli_check(cli, fs_write(file, script.p, script.n, 0755, &cli->err));
    return file;
}

static void env_engine(struct cli *cli, bool lemonade)
{
    const struct plan *plan = cli_plan(cli);
    const struct plan_choice *choice = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    struct gfx_engine engine;
    if (!choice || choice->state != PLAN_PROVEN)
        cli_die(cli, GFXB_E_NO_PACKAGE,
                "nothing is proven here yet: gfxbridge run \"hello\" installs and proves the best "
                "backend of this computer");
    gfx_engine_find(choice->engine, &engine);
    const char *program = cli_keep(cli, xstr_dup(engine.program));
    const char *file = env_write_wrapper(cli, choice, program);
    if (lemonade) {
        const char *backend = choice->backend == PLAN_ROCM  ? "ROCM"
                              : choice->backend == PLAN_CPU ? "CPU"
                                                            : "VULKAN";
        char *CLEAN_FREE name = xasprintf("LEMONADE_LLAMACPP_%s_BIN", backend);
        char *CLEAN_FREE how = xasprintf("A Lemonade server that is started with this variable "
                                         "runs models of its %s backend on the engine that was "
                                         "proven here.",
                                         backend);
        env_tell(cli, name, file, how);
    } else {
        const char *path_now = getenv("PATH");
        char *CLEAN_FREE how = xasprintf("In a shell with this variable %s is the engine that was "
                                         "proven here for %s.",
                                         program, plan_backend_name(choice->backend));
        char *CLEAN_FREE path =
            xasprintf("%s/bin:%s", cli->data_dir, path_now ? path_now : "/usr/bin");
        env_tell(cli, "PATH", path, how);
    }
}

static int env_run(struct cli *cli, const struct cli_args *args)
{
    const char *program = args->value[ENV_FOR] ? args->value[ENV_FOR] : "";
    bool lemonade = strcmp(program, "lemonade") == 0;
    if (strcmp(program, "ollama") == 0) {
        /* Ollama starts engines of its own only; its programs may talk to ours instead. */
        char *CLEAN_FREE address = xasprintf("127.0.0.1:%d", SERVE_PORT);
        env_tell(cli, "OLLAMA_HOST", address,
                 "With this variable ollama and programs made for it ask the server that gfxbridge "
                 "serve starts, which answers on the proven engine.");
        return CLI_DONE;
    }
    if (!lemonade && strcmp(program, "llama.cpp") != 0)
        cli_die(cli, GFXB_E_USAGE, "env needs --for lemonade, --for ollama or --for llama.cpp");
    if (cli->sysroot)
        cli_die(cli, GFXB_E_USAGE,
                "env works on this computer only: a captured machine runs nothing");
    cli_read_request(cli, args);
    env_engine(cli, lemonade);
    return CLI_DONE;
}

const struct cli_command cli_command_env = {
    .name = "env",
    .summary = "what makes another program use the proven engine",
    .about = "Prints a line for the shell, eval \"$(gfxbridge env --for llama.cpp)\", and says in "
             "one sentence what it does. For lemonade and llama.cpp the proven engine becomes a "
             "program of the same name in the data directory, with the device, the environment "
             "and the arguments that were proven; for ollama its programs are pointed at gfxbridge "
             "serve.",
    .options = env_options,
    .run = env_run,
};
