#include "cli/directories.h"
#include "cli/net.h"

#include <errno.h>

#define PLACES_TOKEN_MAX  4096
#define PLACES_CONFIG_MAX (1u << 20)

void cli_places_done(struct cli_places *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->owned[i]);
    *p = (struct cli_places){.n = 0};
}

static const char *places_setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Takes a text over; lends it. NULL stays NULL. */
static const char *places_keep(struct cli_places *p, char *text)
{
    if (text && p->n < CLI_PLACES_MAX)
        p->owned[p->n++] = text;
    return text;
}

/* "DIR/name" of a directory that may be unknown. */
static const char *places_below(struct cli_places *p, const char *dir, const char *name)
{
    return dir ? places_keep(p, fs_join(dir, name)) : NULL;
}

/* $name, else HOME/fallback. */
static const char *places_dir(struct cli_places *p, const char *name, const char *fallback)
{
    const char *value = places_setting(name);
    return value ? value : places_below(p, cli_home(), fallback);
}

/* ---- the Hugging Face hub ---- */

static const char *places_hf_home(struct cli_places *p)
{
    const char *home = places_setting("HF_HOME");
    return home ? home : places_below(p, places_dir(p, "XDG_CACHE_HOME", ".cache"), "huggingface");
}

static const char *places_hub(struct cli_places *p, const char *hf_home)
{
    const char *hub = places_setting("HF_HUB_CACHE");
    if (!hub)
        hub = places_setting("HUGGINGFACE_HUB_CACHE");
    return hub ? hub : places_below(p, hf_home, "hub");
}

/* A token is one word; anything else in the file is none. */
static const char *places_token(struct cli_places *p, const char *hf_home)
{
    struct buf CLEAN_BUF text = BUF_INIT(65536);
    const char *token = places_setting("HF_TOKEN");
    const char *path = places_setting("HF_TOKEN_PATH");
    struct str rest, word;
    if (token)
        return token;
    if (!path)
        path = places_below(p, hf_home, "token");
    if (!path || fs_read(path, PLACES_TOKEN_MAX, &text) < 0)
        return NULL;
    rest = buf_view(&text);
    return str_word(&rest, &word) ? places_keep(p, str_dup(word)) : NULL;
}

static bool places_is_true(const char *name)
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
static const char *places_endpoint(struct cli_places *p, const char *name, enum model_hub hub)
{
    const char *value = places_setting(name);
    struct str url = value ? str_from(value) : model_hub_endpoint(hub);
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    return places_keep(p, str_dup(url));
}

/* ---- other programs ---- */

/* Lemonade's two folders, as its own settings say. */
static void places_lemonade(struct cli_places *p)
{
    struct buf CLEAN_BUF text = BUF_INIT(4 * PLACES_CONFIG_MAX);
    const char *config =
        places_below(p, places_dir(p, "XDG_CONFIG_HOME", ".config"), "lemonade/config.json");
    if (!config || fs_read(config, PLACES_CONFIG_MAX, &text) < 0)
        return;
    json_t *json = json_loadb(buf_text(&text), text.n, 0, NULL);
    const char *models = json_string_value(json_object_get(json, "models_dir"));
    const char *extra = json_string_value(json_object_get(json, "extra_models_dir"));
    if (models && models[0] == '/')
        p->env.lemonade_hub = places_keep(p, strdup(models));
    if (extra && extra[0] == '/')
        p->env.lemonade = places_keep(p, strdup(extra));
    json_decref(json);
}

static const char *places_lmstudio(struct cli_places *p)
{
    const char *now = places_below(p, cli_home(), ".lmstudio/models");
    if (now && access(now, F_OK) == 0)
        return now;
    return places_below(p, cli_home(), ".cache/lm-studio/models");
}

/* LLAMA_CACHE may hold either of llama.cpp's layouts. */
static void places_llamacpp(struct cli_places *p)
{
    const char *cache = places_setting("LLAMA_CACHE");
    p->env.llamacpp_hub = cache;
    p->env.llamacpp =
        cache ? cache : places_below(p, places_dir(p, "XDG_CACHE_HOME", ".cache"), "llama.cpp");
}

int cli_places_new(struct cli *cli, struct cli_places *ret_places, struct gfxb_error *err)
{
    struct cli_places p = {.n = 0};
    const char *hf_home = places_hf_home(&p);
    p.env.data_dir = cli->data_dir;
    p.env.hub = places_hub(&p, hf_home);
    p.env.ollama = places_dir(&p, "OLLAMA_MODELS", ".ollama/models");
    p.env.ollama_system = "/usr/share/ollama/.ollama/models";
    p.env.lmstudio = places_lmstudio(&p);
    places_llamacpp(&p);
    places_lemonade(&p);
    p.env.hf_endpoint = places_endpoint(&p, "HF_ENDPOINT", MODEL_HUB_HF);
    p.env.hf_token = places_token(&p, hf_home);
    p.env.ollama_registry = places_endpoint(&p, "GFXBRIDGE_OLLAMA_REGISTRY", MODEL_HUB_OLLAMA);
    p.env.no_network = cli->no_network || places_is_true("HF_HUB_OFFLINE");
    p.env.fetch = cli_package_net(cli).fetch;
    p.env.log = &cli->log;
    p.env.cancel = &cli_cancelled;
    if (!p.env.hf_endpoint || !p.env.ollama_registry) {
        cli_places_done(&p);
        return error_set(err, ENOMEM, "out of memory");
    }
    *ret_places = p;
    return 0;
}

int cli_find_model(struct cli *cli, const char *name, struct model *ret_model,
                   struct gfxb_error *err)
{
    struct cli_places places;
    int result = cli_places_new(cli, &places, err);
    if (result < 0)
        return result;
    result = engine_model_find(&places.env, name, ret_model, err);
    cli_places_done(&places);
    return result;
}
