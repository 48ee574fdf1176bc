/* cmd_env.c - what makes another program use the proven engine, or the GPU that was proven. */
#include "api/api.h"
#include "cli/cli.h"

/* Made by the build from data/env.tsv. */
extern const char cli_data_env[], cli_data_env_end[];

enum { ENV_FOR = CLI_REQUEST_NEXT };
enum { PROGRAM, VARIABLE, VALUE, TEXT };

/* The programs are those of env.tsv; tests/cli/contract.py compares. */
static const struct cli_option env_options[] = {
    CLI_REQUEST_OPTIONS,
    {"for",
     "comfyui|jan|koboldcpp|lemonade|llama.cpp|lm-studio|localai|ollama|pytorch|ramalama|"
     "text-generation-webui",
     "the program that is to use it"},
    {NULL, NULL, NULL},
};

/* What rows may ask for. Made on first use. */
struct env {
    struct cli *cli;
    const struct plan *plan;
    const struct plan_choice *choice; /* proven; NULL: not asked for yet */
    const char *engine;               /* the wrapper's file */
    const char *program;              /* its name */
    const struct plan_choice *rocm;   /* first one with a target, proven or not */
    struct str family;                /* TheRock's, for its target */
};

static void env_open(struct table *t)
{
    TABLE_OPEN(t, "env.tsv", cli_data_env, "program", "variable", "value", "text", "source");
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

/* Once: a second plan frees the choices of the first. */
static const struct plan *env_plan(struct env *e)
{
    if (!e->plan)
        e->plan = cli_plan(e->cli);
    return e->plan;
}

/* The proven choice. */
static const struct plan_choice *env_choice(struct env *e)
{
    struct cli *cli = e->cli;
    if (e->choice)
        return e->choice;
    if (cli->sysroot)
        cli_die(cli, GFXB_E_USAGE,
                "env works on this computer only: a captured machine runs nothing");
    const struct plan *plan = env_plan(e);
    e->choice = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    if (!e->choice || e->choice->state != PLAN_PROVEN)
        cli_die(cli, GFXB_E_NO_PACKAGE,
                "nothing is proven here yet: gfxbridge run \"hello\" installs and proves the best "
                "backend of this computer");
    return e->choice;
}

static const char *env_engine(struct env *e)
{
    struct gfx_engine engine;
    if (e->engine)
        return e->engine;
    gfx_engine_find(env_choice(e)->engine, &engine);
    e->program = cli_keep(e->cli, xstr_dup(engine.program));
    return e->engine = env_write_wrapper(e->cli, e->choice, e->program);
}

/* "gfx110X-all" of ".../NAME-gfx110X-all-7.14.0.tar.gz" */
static struct str env_family_of(const struct gfx_package *package)
{
    struct str file = package->locate, piece = STR_NONE;
    while (str_cut(&file, '/', &piece))
        ;
    const char *from = piece.n ? memmem(piece.p, piece.n, "gfx", 3) : NULL;
    piece = from ? str_skip(piece, (size_t)(from - piece.p)) : STR_NONE;
    const char *to =
        package->tag.n && piece.n ? memmem(piece.p, piece.n, package->tag.p, package->tag.n) : NULL;
    return to && to > piece.p ? (struct str){piece.p, (size_t)(to - piece.p) - 1} : STR_NONE;
}

/* TheRock's family with the fewest other targets that has code for this computer's GPU. */
static void env_find_family(struct env *e)
{
    const struct gfx_tables *t = cli_tables(e->cli);
    const struct plan *plan = env_plan(e);
    size_t shortest = SIZE_MAX;
    for (size_t i = 0; i < plan->n_choices && !e->rocm; i++) {
        if (plan->choice[i].backend == PLAN_ROCM && plan->choice[i].gfx)
            e->rocm = &plan->choice[i];
    }
    if (!e->rocm)
        cli_die(e->cli, GFXB_E_NO_GPU, "there is no GPU here that a ROCm package is made for");
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *row = &t->package[i];
        struct str family = env_family_of(row);
        if (!str_is(row->backend, "runtime") || row->os != GFX_LINUX || !family.n ||
            !str_list_has(row->gfx, str_from(e->rocm->gfx)) || row->gfx.n >= shortest)
            continue;
        shortest = row->gfx.n;
        e->family = family;
    }
    if (!e->family.n)
        cli_die(e->cli, GFXB_E_GFX_NOT_IN_PACKAGE, "TheRock publishes nothing for %s",
                e->rocm->gfx);
}

/* What stands for "{name}". */
static void env_add(struct env *e, struct str name, struct buf *ret)
{
    const char *path = getenv("PATH");
    if (str_is(name, "server"))
        buf_addf(ret, "127.0.0.1:%d", SERVE_PORT);
    else if (str_is(name, "engine"))
        buf_add_text(ret, env_engine(e));
    else if (str_is(name, "bin"))
        buf_add_str(ret, fs_dir(env_engine(e)));
    else if (str_is(name, "program") && env_engine(e))
        buf_add_text(ret, e->program);
    else if (str_is(name, "PATH"))
        buf_add_text(ret, path ? path : "/usr/bin");
    else if (str_is(name, "backend"))
        buf_add_text(ret, env_choice(e)->backend == PLAN_ROCM  ? "ROCM"
                          : env_choice(e)->backend == PLAN_CPU ? "CPU"
                                                               : "VULKAN");
    else if (str_is(name, "family") || str_is(name, "gfx"))
        env_find_family(e);
    if (str_is(name, "family"))
        buf_add_str(ret, e->family);
    if (str_is(name, "gfx"))
        buf_add_text(ret, e->rocm->gfx);
}

static void env_fill(struct env *e, struct str text, struct buf *ret)
{
    struct str piece;
    while (str_cut(&text, '{', &piece)) {
        buf_add_str(ret, piece);
        if (text.n && str_cut(&text, '}', &piece))
            env_add(e, piece, ret);
    }
}

/* The variables of a row into *ret. */
static void env_read_row(struct env *e, const struct table_row *row, json_t *ret)
{
    struct buf CLEAN_BUF name = BUF_INIT(4096), CLEAN_BUF value = BUF_INIT(1 << 20);
    if (str_is(row->field[VARIABLE], "*")) {
        for (char **v = env_choice(e)->env; *v; v++) {
            const char *equals = strchr(*v, '=');
            char *CLEAN_FREE one =
                equals ? xstr_dup((struct str){*v, (size_t)(equals - *v)}) : NULL;
            if (one)
                json_object_set_new(ret, one, report_json_text(equals + 1));
        }
        return;
    }
    env_fill(e, row->field[VARIABLE], &name);
    env_fill(e, row->field[VALUE], &value);
    json_object_set_new(ret, buf_text(&name), report_json_text(buf_text(&value)));
}

/* A line for the shell for each variable; in sentences what they do. */
static void env_tell(struct cli *cli, json_t *variables, const char *how)
{
    const char *name;
    json_t *value;
    cli->answer = variables; /* freed with it */
    if (json_object_size(variables) == 0)
        how = "Nothing has to be set: the choice that was proven here needs no environment of its "
              "own.";
    if (cli->json) {
        cli_print_json(cli, json_pack("{s:O, s:s}", "env", variables, "how", how));
        return;
    }
    text_print(stderr, "%s", how);
    json_object_foreach(variables, name, value)
    {
        printf("export %s='", name);
        for (const char *c = json_string_value(value); c && *c; c++)
            fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, stdout);
        puts("'");
    }
}

static int env_run(struct cli *cli, const struct cli_args *args)
{
    const char *program = args->value[ENV_FOR] ? args->value[ENV_FOR] : "";
    struct env e = {.cli = cli};
    struct buf CLEAN_BUF how = BUF_INIT(1 << 16);
    json_t *variables = json_object();
    struct table table;
    struct table_row row;
    bool known = false;
    cli->answer = variables;
    cli_read_request(cli, args);
    for (env_open(&table); table_next(&table, &row, &cli->err) > 0;) {
        if (!str_is(row.field[PROGRAM], program))
            continue;
        known = true;
        env_read_row(&e, &row, variables);
        if (how.n)
            buf_add_char(&how, ' ');
        env_fill(&e, row.field[TEXT], &how);
    }
    if (!known)
        cli_die(cli, GFXB_E_USAGE, "env needs --for and one of: %s", env_options[ENV_FOR].value);
    env_tell(cli, variables, buf_text(&how));
    return CLI_DONE;
}

const struct cli_command cli_command_env = {
    .name = "env",
    .summary = "what makes another program use the proven engine",
    .about =
        "Prints a line for the shell, eval \"$(gfxbridge env --for llama.cpp)\", and says in "
        "one sentence what it does. For lemonade and llama.cpp the proven engine becomes a "
        "program of the same name in the data directory, with the device, the environment "
        "and the arguments that were proven, which ramalama starts too; for ollama its programs "
        "are pointed at gfxbridge serve. jan, koboldcpp, lm-studio, localai and "
        "text-generation-webui run their own engines: they get the environment that keeps them on "
        "the proven GPU. pytorch and comfyui get the index of AMD's wheels for this GPU.",
    .options = env_options,
    .run = env_run,
};
