/* request.c - from options, environment and directories to what the folders below are asked for. */
#include "api/api.h"
#include "cli/cli.h"

#include <inttypes.h>

/* ---- the network ---- */

static const char *net_setting(void *context, const char *name)
{
    return cli_setting(name);
}

void cli_progress_line(const char *what, const struct fetch_progress *p, int64_t seconds)
{
    fprintf(stderr, "%s: %.1f", what, (double)p->bytes / 1e6);
    if (p->total)
        fprintf(stderr, " of %.1f MB (%.0f %%)", (double)p->total / 1e6,
                100.0 * (double)p->bytes / (double)p->total);
    else
        fputs(" MB", stderr);
    if (p->bytes_per_second)
        fprintf(stderr, ", %.1f MB/s", (double)p->bytes_per_second / 1e6);
    if (p->bytes < p->total && seconds >= 0)
        fprintf(stderr, ", %" PRId64 ":%02" PRId64 " left", seconds / 60, seconds % 60);
}

/* One line on a terminal, written over itself. */
static void net_show(void *context, const char *what, const struct fetch_progress *p)
{
    const struct cli *cli = context;
    if (cli->quiet || !isatty(STDERR_FILENO))
        return;
    fputs("\r\033[K", stderr);
    cli_progress_line(what, p, p->remaining_seconds);
    if (p->total && p->bytes >= p->total)
        fputc('\n', stderr);
}

struct package_net cli_package_net(struct cli *cli)
{
    return (struct package_net){
        .fetch = {.mirror = cli_setting("GFXBRIDGE_MIRROR"),
                  .ca_file = cli_setting("GFXBRIDGE_CA_FILE"),
                  .cancel = &cli_cancelled},
        .setting = net_setting,
        .progress = net_show,
        .working = net_show,
        .context = cli,
    };
}

/* ---- models ---- */

/* "DIR/name" of a directory that may be unknown. */
static const char *models_below(struct cli *cli, const char *dir, const char *name)
{
    return dir ? cli_keep(cli, xfs_join(dir, name)) : NULL;
}

/* $name, else BASE/fallback. */
static const char *models_dir(struct cli *cli, const char *name, const char *base,
                              const char *fallback)
{
    const char *value = cli_setting(name);
    return value ? value : models_below(cli, base, fallback);
}

/* A token is one word; anything else in the file is none. */
static const char *models_token(struct cli *cli, const char *hf_home)
{
    enum { TOKEN_MAX = 4096 };
    struct buf CLEAN_BUF text = BUF_INIT(2 * TOKEN_MAX);
    const char *token = cli_setting("HF_TOKEN");
    const char *path = models_dir(cli, "HF_TOKEN_PATH", hf_home, "token");
    struct str word;
    if (token || !path || fs_read(path, TOKEN_MAX, &text) < 0)
        return token;
    struct str rest = buf_view(&text);
    return str_word(&rest, &word) ? cli_keep(cli, xstr_dup(word)) : NULL;
}

/* A base URL without a "/" at its end. */
static const char *models_endpoint(struct cli *cli, const char *name, enum model_hub hub)
{
    const char *value = cli_setting(name);
    struct str url = value ? str_from(value) : model_hub_endpoint(hub);
    return cli_keep(cli, xstr_dup(str_trim_end(url, '/')));
}

/* Lemonade's two folders, as its own settings say. */
static void models_lemonade(struct cli *cli)
{
    enum { CONFIG_MAX = 1 << 20 };
    struct buf CLEAN_BUF text = BUF_INIT(4 * CONFIG_MAX);
    const char *config_home = models_dir(cli, "XDG_CONFIG_HOME", cli_home(), ".config");
    const char *file = models_below(cli, config_home, "lemonade/config.json");
    if (!file || fs_read(file, CONFIG_MAX, &text) < 0)
        return;
    const struct {
        const char *name, **dir;
    } dirs[] = {{"models_dir", &cli->models.lemonade_hub},
                {"extra_models_dir", &cli->models.lemonade}};
    json_t *json = json_loadb(buf_text(&text), text.n, 0, NULL);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        const char *dir = cli_json_text(json, dirs[i].name);
        if (dir[0] == '/')
            *dirs[i].dir = cli_keep(cli, xstrdup(dir));
    }
    json_decref(json);
}

static bool models_is_true(const char *name)
{
    struct str value = str_from(getenv(name)), words = STR("1 on yes true"), word;
    while (str_word(&words, &word)) {
        if (str_eq_nocase(value, word))
            return true;
    }
    return false;
}

struct model_env *cli_models(struct cli *cli)
{
    struct model_env *env = &cli->models;
    if (env->log)
        return env; /* filled already */
    const char *home = cli_home(), *hub = cli_setting("HF_HUB_CACHE");
    const char *cache_home = models_dir(cli, "XDG_CACHE_HOME", home, ".cache");
    const char *hf_home = models_dir(cli, "HF_HOME", cache_home, "huggingface");
    const char *lmstudio = models_below(cli, home, ".lmstudio/models");
    if (!lmstudio || access(lmstudio, F_OK) < 0) /* where an older one keeps them */
        lmstudio = models_below(cli, home, ".cache/lm-studio/models");
    *env = (struct model_env){
        .data_dir = cli->data_dir,
        .hub = hub ? hub : models_dir(cli, "HUGGINGFACE_HUB_CACHE", hf_home, "hub"),
        .ollama = models_dir(cli, "OLLAMA_MODELS", home, ".ollama/models"),
        .ollama_system = "/usr/share/ollama/.ollama/models",
        .lmstudio = lmstudio,
        .llamacpp_hub = cli_setting("LLAMA_CACHE"), /* it may hold either of llama.cpp's layouts */
        .llamacpp = models_dir(cli, "LLAMA_CACHE", cache_home, "llama.cpp"),
        .hf_endpoint = models_endpoint(cli, "HF_ENDPOINT", MODEL_HUB_HF),
        .hf_token = models_token(cli, hf_home),
        .ollama_registry = models_endpoint(cli, "GFXBRIDGE_OLLAMA_REGISTRY", MODEL_HUB_OLLAMA),
        .no_network = cli->no_network || models_is_true("HF_HUB_OFFLINE"),
        .files = true,
        .fetch = cli_package_net(cli).fetch,
        .log = &cli->log,
        .cancel = &cli_cancelled,
    };
    models_lemonade(cli);
    return env;
}

/* ---- requests ---- */

static struct plan_request request_read(struct cli *cli, const struct cli_args *args)
{
    const char *backend = args->value[CLI_REQUEST_BACKEND];
    const char *policy = args->value[CLI_REQUEST_POLICY];
    int backend_number = backend ? plan_backend_from_name(backend) : -1;
    int policy_number = policy ? plan_policy_from_name(policy) : PLAN_ROCM_FIRST;
    if (backend && backend_number < 0)
        cli_die(cli, GFXB_E_USAGE,
                "no such backend: '%s'; they are rocm, vulkan, cpu and vulkan-software", backend);
    if (policy_number < 0)
        cli_die(cli, GFXB_E_USAGE,
                "no such policy: '%s'; they are rocm-first, fastest, vulkan and cpu", policy);
    return (struct plan_request){.backend = backend_number,
                                 .policy = (enum plan_policy)policy_number,
                                 .os = cli->os,
                                 .no_network = cli->no_network,
                                 .gpu = args->value[CLI_REQUEST_GPU],
                                 .want_set = args->value[CLI_REQUEST_NODES] != NULL,
                                 .allow_override = args->value[CLI_REQUEST_OVERRIDE] != NULL};
}

static bool request_has_gpu(const struct machine *m, const char *pci)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (strcmp(m->gpu[i].pci, pci) == 0)
            return true;
    }
    return false;
}

bool cli_is_unconfined(void)
{
    const char *request = getenv("GFXBRIDGE_SANDBOX");
    return request && strcmp(request, "off") == 0;
}

struct session_request *cli_read_request(struct cli *cli, const struct cli_args *args)
{
    cli->request = (struct session_request){
        .request = request_read(cli, args),
        .machine = cli_machine(cli),
        .tables = cli_tables(cli),
        .root = cli_root(cli),
        .data_dir = cli->sysroot && !cli->data_dir_given ? NULL : cli->data_dir,
        .runtime_dir = cli->runtime_dir,
        .config_dir = cli->sysroot ? NULL : cli->config_dir,
        .log = &cli->log,
        .net = cli_package_net(cli),
        .cancel = &cli_cancelled,
        .unconfined = cli_is_unconfined(),
    };
    const char *gpu = cli->request.request.gpu;
    if (gpu && !request_has_gpu(cli->machine, gpu))
        cli_die(cli, GFXB_E_USAGE, "no GPU has the PCI address '%s'; gfxbridge detect lists them",
                gpu);
    if (!cli->sysroot)
        cli_need_data_dir(cli);
    return &cli->request;
}

void cli_request_model(struct cli *cli, const struct model *model)
{
    cli->request.model = model->path;
    cli->request.mmproj = model->mmproj;
    cli->request.known = model->name ? model_known_find(str_from(model->name)) : NULL;
}

void cli_request_served(struct cli *cli)
{
    char *CLEAN_FREE path = cli->config_dir ? xfs_join(cli->config_dir, "config.json") : NULL;
    json_t *settings = path ? json_load_file(path, 0, NULL) : NULL;
    json_int_t slots = json_integer_value(json_object_get(settings, "slots"));
    cli->request.slots = slots > 0 && slots <= 256 ? (unsigned)slots : SESSION_SLOTS;
    json_decref(settings);
}

void cli_request_options(struct cli *cli, const char *name)
{
    struct pool_options load = {.context = cli->request.context,
                                .backend = cli->request.request.backend};
    char *CLEAN_FREE model = NULL;
    cli->options = serve_options_of(cli_models(cli), name, &model);
    serve_options_pool(cli->options, &load);
    cli->request.context = load.context;
    cli->request.request.backend = load.backend;
}

json_t *cli_engine_request(const struct cli *cli)
{
    json_t *request = json_pack("{s:[]}", "messages");
    if (cli->options)
        serve_options_fill(cli->options, request);
    return request;
}

const struct plan *cli_plan(struct cli *cli)
{
    session_done(&cli->session);
    cli->session = (struct session){.plan = NULL};
    cli_check(cli, session_plan(&cli->request, &cli->session, &cli->err));
    return cli->session.plan;
}

/* "not rocm: ..." to stderr, one line for every backend that would have come before the chosen one.
 */
static void cli_why_not(const struct plan *plan, const struct plan_choice *chosen)
{
    bool told[PLAN_BACKENDS] = {false};
    told[chosen->backend] = true;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        /* enum plan_backend is in the order of preference; the software one is never preferred. */
        if (told[c->backend] || c->backend > chosen->backend || c->state != PLAN_REJECTED ||
            c->code == GFXB_E_POLICY)
            continue;
        told[c->backend] = true;
        text_print(stderr, "not %s: %s", plan_backend_name(c->backend), c->reason);
    }
}

void cli_tell_choice(const struct session *session)
{
    char device[256];
    engine_placement_text(&session->placement, device, sizeof(device));
    text_print(stderr,
               TEXT_GOOD "path:" TEXT_END " %s on %s, package %s %s, proven on this computer%s%s",
               plan_backend_name(session->running->backend), device, session->package->id,
               session->package->version ? session->package->version : "",
               session->tested ? "; tested now for this model: " : "",
               session->tested ? session->tested : "");
    cli_why_not(session->plan, session->running);
    for (char *const *w = session->running->warning; *w; w++)
        text_print(stderr, "note: %s", *w);
}

void cli_check_bring_up(struct cli *cli, int result)
{
    const struct plan *plan = cli->session.plan;
    if (result >= 0)
        return;
    if (!plan || plan->chosen >= 0 || result == -GFXB_E_INTERRUPTED)
        cli_fail(cli);
    text_print(stderr, "gfxbridge: %s", cli->err.text);
    for (size_t i = 0; cli->verbose && i < plan->n_choices; i++)
        text_print(stderr, "not %s: %s", plan_backend_name(plan->choice[i].backend),
                   plan->choice[i].reason);
    cli_exit(cli, cli->session.proof_failed ? CLI_PROOF_FAILED : CLI_NOTHING_USABLE);
}
