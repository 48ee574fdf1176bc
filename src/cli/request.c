/* request.c - from options, environment and directories to what the rooms below are asked for. */
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>
#include <inttypes.h>

/* ---- the network ---- */

static const char *net_setting(void *context, const char *name)
{
    (void)context;
    const char *value = getenv(name);
    return value && *value ? value : NULL;
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
        .fetch = {.mirror = net_setting(NULL, "GFXBRIDGE_MIRROR"),
                  .ca_file = net_setting(NULL, "GFXBRIDGE_CA_FILE")},
        .setting = net_setting,
        .progress = net_show,
        .context = cli,
    };
}

/* ---- directories ---- */

#define TOKEN_MAX  4096
#define CONFIG_MAX (1u << 20)

void cli_models_done(struct cli_models *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->owned[i]);
    *p = (struct cli_models){.n = 0};
}

/* Takes a text over; lends it. NULL stays NULL. */
static const char *models_keep(struct cli_models *p, char *text)
{
    if (text && p->n < CLI_MODELS_MAX)
        p->owned[p->n++] = text;
    return text;
}

/* "DIR/name" of a directory that may be unknown. */
static const char *models_below(struct cli_models *p, const char *dir, const char *name)
{
    return dir ? models_keep(p, xfs_join(dir, name)) : NULL;
}

/* $name, else HOME/fallback. */
static const char *models_dir(struct cli_models *p, const char *name, const char *fallback)
{
    const char *value = net_setting(NULL, name);
    return value ? value : models_below(p, cli_home(), fallback);
}

/* ---- the Hugging Face hub ---- */

static const char *models_hf_home(struct cli_models *p)
{
    const char *home = net_setting(NULL, "HF_HOME");
    return home ? home : models_below(p, models_dir(p, "XDG_CACHE_HOME", ".cache"), "huggingface");
}

static const char *models_hub(struct cli_models *p, const char *hf_home)
{
    const char *hub = net_setting(NULL, "HF_HUB_CACHE");
    if (!hub)
        hub = net_setting(NULL, "HUGGINGFACE_HUB_CACHE");
    return hub ? hub : models_below(p, hf_home, "hub");
}

/* A token is one word; anything else in the file is none. */
static const char *models_token(struct cli_models *p, const char *hf_home)
{
    struct buf CLEAN_BUF text = BUF_INIT(65536);
    const char *token = net_setting(NULL, "HF_TOKEN");
    const char *path = net_setting(NULL, "HF_TOKEN_PATH");
    struct str rest, word;
    if (token)
        return token;
    if (!path)
        path = models_below(p, hf_home, "token");
    if (!path || fs_read(path, TOKEN_MAX, &text) < 0)
        return NULL;
    rest = buf_view(&text);
    return str_word(&rest, &word) ? models_keep(p, xstr_dup(word)) : NULL;
}

static bool models_is_true(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *value = getenv(name);
    for (size_t i = 0; value && i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_eq_nocase(str_from(value), str_from(words[i])))
            return true;
    }
    return false;
}

/* A base URL without a "/" at its end. */
static const char *models_endpoint(struct cli_models *p, const char *name, enum model_hub hub)
{
    const char *value = net_setting(NULL, name);
    struct str url = value ? str_from(value) : model_hub_endpoint(hub);
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    return models_keep(p, xstr_dup(url));
}

/* ---- other programs ---- */

/* Lemonade's two folders, as its own settings say. */
static void models_lemonade(struct cli_models *p)
{
    struct buf CLEAN_BUF text = BUF_INIT(4 * CONFIG_MAX);
    const char *config =
        models_below(p, models_dir(p, "XDG_CONFIG_HOME", ".config"), "lemonade/config.json");
    if (!config || fs_read(config, CONFIG_MAX, &text) < 0)
        return;
    json_t *json = json_loadb(buf_text(&text), text.n, 0, NULL);
    const char *models = json_string_value(json_object_get(json, "models_dir"));
    const char *extra = json_string_value(json_object_get(json, "extra_models_dir"));
    if (models && models[0] == '/')
        p->env.lemonade_hub = models_keep(p, xstrdup(models));
    if (extra && extra[0] == '/')
        p->env.lemonade = models_keep(p, xstrdup(extra));
    json_decref(json);
}

static const char *models_lmstudio(struct cli_models *p)
{
    const char *now = models_below(p, cli_home(), ".lmstudio/models");
    if (now && access(now, F_OK) == 0)
        return now;
    return models_below(p, cli_home(), ".cache/lm-studio/models");
}

/* LLAMA_CACHE may hold either of llama.cpp's layouts. */
static void models_llamacpp(struct cli_models *p)
{
    const char *cache = net_setting(NULL, "LLAMA_CACHE");
    p->env.llamacpp_hub = cache;
    p->env.llamacpp =
        cache ? cache : models_below(p, models_dir(p, "XDG_CACHE_HOME", ".cache"), "llama.cpp");
}

void cli_models_init(struct cli *cli, struct cli_models *ret_models)
{
    struct cli_models p = {.n = 0};
    const char *hf_home = models_hf_home(&p);
    p.env.data_dir = cli->data_dir;
    p.env.hub = models_hub(&p, hf_home);
    p.env.ollama = models_dir(&p, "OLLAMA_MODELS", ".ollama/models");
    p.env.ollama_system = "/usr/share/ollama/.ollama/models";
    p.env.lmstudio = models_lmstudio(&p);
    models_llamacpp(&p);
    models_lemonade(&p);
    p.env.hf_endpoint = models_endpoint(&p, "HF_ENDPOINT", MODEL_HUB_HF);
    p.env.hf_token = models_token(&p, hf_home);
    p.env.ollama_registry = models_endpoint(&p, "GFXBRIDGE_OLLAMA_REGISTRY", MODEL_HUB_OLLAMA);
    p.env.no_network = cli->no_network || models_is_true("HF_HUB_OFFLINE");
    p.env.fetch = cli_package_net(cli).fetch;
    p.env.log = &cli->log;
    p.env.cancel = &cli_cancelled;
    *ret_models = p;
}

int cli_find_model(struct cli *cli, const char *name, struct model *ret_model,
                   struct gfxb_error *err)
{
    struct cli_models models;
    cli_models_init(cli, &models);
    int result = engine_model_find(&models.env, name, ret_model, err);
    cli_models_done(&models);
    return result;
}

/* ---- requests ---- */

static int request_read(const struct cli *cli, const struct cli_args *args,
                        struct plan_request *request, struct gfxb_error *err)
{
    const char *backend = args->value[CLI_REQUEST_BACKEND];
    const char *policy = args->value[CLI_REQUEST_POLICY];
    *request = (struct plan_request){.backend = -1,
                                     .policy = PLAN_ROCM_FIRST,
                                     .os = cli->os,
                                     .no_network = cli->no_network,
                                     .gpu = args->value[CLI_REQUEST_GPU],
                                     .allow_override = args->value[CLI_REQUEST_OVERRIDE] != NULL};
    if (backend && (request->backend = plan_backend_from_name(backend)) < 0)
        return error_set(err, GFXB_E_USAGE,
                         "no such backend: '%s'; they are rocm, vulkan, cpu and vulkan-software",
                         backend);
    int number = policy ? plan_policy_from_name(policy) : PLAN_ROCM_FIRST;
    if (number < 0)
        return error_set(err, GFXB_E_USAGE,
                         "no such policy: '%s'; they are rocm-first, fastest, vulkan and cpu",
                         policy);
    request->policy = (enum plan_policy)number;
    return 0;
}

static int request_check_gpu(const struct machine *m, const char *pci, struct gfxb_error *err)
{
    for (size_t i = 0; pci && i < m->n_gpus; i++) {
        if (strcmp(m->gpu[i].pci, pci) == 0)
            return 0;
    }
    return !pci ? 0
                : error_set(err, GFXB_E_USAGE,
                            "no GPU has the PCI address '%s'; gfxbridge detect lists them", pci);
}

bool cli_is_unconfined(void)
{
    const char *request = getenv("GFXBRIDGE_SANDBOX");
    return request && strcmp(request, "off") == 0;
}

int cli_session_request(struct cli *cli, const struct cli_args *args,
                        struct session_request *ret_request, struct gfxb_error *err)
{
    struct session_request r = {.log = &cli->log, .net = cli_package_net(cli)};
    int result = request_read(cli, args, &r.request, err);
    if (result == 0)
        result = cli_machine(cli, &r.machine, err);
    if (result < 0)
        return result;
    result = request_check_gpu(r.machine, r.request.gpu, err);
    if (result < 0)
        return result;
    result = cli->sysroot ? 0 : cli_need_data_dir(cli, err);
    if (result < 0)
        return result;
    r.cancel = &cli_cancelled;
    r.tables = cli->tables;
    r.root = cli->root;
    r.data_dir = cli->sysroot && !cli->data_dir_given ? NULL : cli->data_dir;
    r.runtime_dir = cli->runtime_dir;
    r.unconfined = cli_is_unconfined();
    *ret_request = r;
    return 0;
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
               TEXT_GOOD "path:" TEXT_END " %s on %s, package %s %s, proven on this computer",
               plan_backend_name(session->running->backend), device, session->package->id,
               session->package->version ? session->package->version : "");
    cli_why_not(session->plan, session->running);
    for (char *const *w = session->running->warning; *w; w++)
        text_print(stderr, "note: %s", *w);
}

int cli_nowhere(const struct cli *cli, const struct session *session, int result,
                const struct gfxb_error *err)
{
    if (!session->plan || session->plan->chosen >= 0 || result == -GFXB_E_INTERRUPTED)
        return result;
    text_print(stderr, "gfxbridge: %s", err->text);
    for (size_t i = 0; cli->verbose && i < session->plan->n_choices; i++) {
        const struct plan_choice *c = &session->plan->choice[i];
        text_print(stderr, "not %s: %s", plan_backend_name(c->backend), c->reason);
    }
    return session->proof_failed ? CLI_PROOF_FAILED : CLI_NOTHING_USABLE;
}
