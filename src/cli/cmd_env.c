/* cmd_env.c - what makes another program use the proven engine. */
#include "api/api.h"
#include "base/xalloc.h"
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>

enum { ENV_FOR = CLI_REQUEST_NEXT };

static const struct cli_option env_options[] = {
    CLI_REQUEST_OPTIONS,
    {"for", "lemonade|ollama|llama.cpp", "the program that is to use the proven engine"},
    {NULL, NULL, NULL},
};

/* What makes another program use it: one variable, and in one sentence how. */
struct env_answer {
    char name[64];
    char *value; /* owned */
    char how[400];
};

static int env_tell(const struct cli *cli, const struct env_answer *answer, struct gfxb_error *err)
{
    if (cli->json)
        return cli_print_json(
            json_pack("{s:{s:s}, s:s}", "env", answer->name, answer->value, "how", answer->how),
            err);
    text_print(stderr, "%s", answer->how);
    printf("export %s='", answer->name);
    for (const char *c = answer->value; *c; c++)
        fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, stdout);
    puts("'");
    return CLI_DONE;
}

/* The proven choice's engine as DATA/bin/PROGRAM, where PROGRAM is its own name. */
static int env_write_wrapper(const struct cli *cli, const struct session *session,
                             const struct plan_choice *choice, const char *program, char **ret_file,
                             struct gfxb_error *err)
{
    const struct engine_proof *proof = engine_proofs_find(session->stored, choice->fingerprint);
    struct engine_spec spec = {.package =
                                   &session->packages.item[choice->installed - session->installed]};
    struct buf CLEAN_BUF script = BUF_INIT(1 << 20);
    char title[400];
    char *CLEAN_FREE dir = xfs_join(cli->data_dir, "bin");
    char *file = xfs_join(dir, program);
    engine_spec_choose(&spec, choice);
    if (proof && proof->device[0])
        spec.device = proof->device;
    snprintf(title, sizeof(title), "%s of %s, proven for %s on %s", program, choice->package,
             plan_backend_name(choice->backend), proof ? proof->shown : "this computer");
    int result = engine_wrapper(&spec, title, &script, err);
    if (result == 0)
        result = fs_make_dirs(dir, 0755, err);
    if (result == 0)
        result = fs_write(file, script.p, script.n, 0755, err);
    if (result < 0)
        free(file);
    else
        *ret_file = file;
    return result;
}

static const struct plan_choice *env_proven(const struct session *session)
{
    const struct plan *plan = session->plan;
    const struct plan_choice *choice = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    return choice && choice->state == PLAN_PROVEN ? choice : NULL;
}

static const char *env_upper_backend(enum plan_backend backend)
{
    return backend == PLAN_ROCM ? "ROCM" : backend == PLAN_CPU ? "CPU" : "VULKAN";
}

static int env_engine(struct cli *cli, const struct session *session, bool lemonade,
                      struct gfxb_error *err)
{
    const struct plan_choice *choice = env_proven(session);
    struct env_answer answer = {.name = "PATH"};
    struct gfx_engine engine;
    char *CLEAN_FREE file = NULL;
    if (!choice)
        return error_set(err, GFXB_E_NO_PACKAGE,
                         "nothing is proven here yet: gfxbridge run \"hello\" installs and proves "
                         "the best backend of this computer");
    gfx_engine_find(choice->engine, &engine);
    char *CLEAN_FREE program = xstr_dup(engine.program);
    int result = env_write_wrapper(cli, session, choice, program, &file, err);
    if (result < 0)
        return result;
    const char *backend = plan_backend_name(choice->backend);
    if (lemonade) {
        snprintf(answer.name, sizeof(answer.name), "LEMONADE_LLAMACPP_%s_BIN",
                 env_upper_backend(choice->backend));
        snprintf(answer.how, sizeof(answer.how),
                 "A Lemonade server that is started with this variable runs models of its %s "
                 "backend on the engine that was proven here.",
                 env_upper_backend(choice->backend));
        answer.value = xstrdup(file);
    } else {
        const char *path_now = getenv("PATH");
        snprintf(answer.how, sizeof(answer.how),
                 "In a shell with this variable %s is the engine that was proven here for %s.",
                 program, backend);
        answer.value = xasprintf("%s/bin:%s", cli->data_dir, path_now ? path_now : "/usr/bin");
    }
    result = env_tell(cli, &answer, err);
    free(answer.value);
    return result;
}

/* Ollama starts engines of its own only; its programs may talk to ours instead. */
static int env_ollama(struct cli *cli, struct gfxb_error *err)
{
    char value[32];
    snprintf(value, sizeof(value), "127.0.0.1:%d", SERVE_PORT);
    struct env_answer answer = {
        .name = "OLLAMA_HOST",
        .value = value,
        .how = "With this variable ollama and programs made for it ask the server that "
               "gfxbridge serve starts, which answers on the proven engine.",
    };
    return env_tell(cli, &answer, err);
}

static int env_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const char *program = args->value[ENV_FOR];
    bool lemonade = program && strcmp(program, "lemonade") == 0;
    struct session_request request;
    struct session session = {0};
    if (program && strcmp(program, "ollama") == 0)
        return env_ollama(cli, err);
    if (!program || (!lemonade && strcmp(program, "llama.cpp") != 0))
        return error_set(err, GFXB_E_USAGE,
                         "env needs --for lemonade, --for ollama or --for llama.cpp");
    if (cli->sysroot)
        return error_set(err, GFXB_E_USAGE,
                         "env works on this computer only: a captured machine runs nothing");
    int result = cli_session_request(cli, args, &request, err);
    if (result == 0)
        result = session_plan(&request, &session, err);
    if (result < 0)
        return result;
    result = env_engine(cli, &session, lemonade, err);
    session_done(&session);
    return result;
}

const struct cli_command cli_command_env = {
    .name = "env",
    .words = "",
    .summary = "what makes another program use the proven engine",
    .about = "Prints a line for the shell, eval \"$(gfxbridge env --for llama.cpp)\", and says in "
             "one sentence what it does. For lemonade and llama.cpp the proven engine becomes a "
             "program of the same name in the data directory, with the device, the environment "
             "and the arguments that were proven; for ollama its programs are pointed at gfxbridge "
             "serve.",
    .options = env_options,
    .run = env_run,
};
