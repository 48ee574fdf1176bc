/* directories.h - where this user's models are and how others are reached, from the variables that
 * the programs of this field share. */
#ifndef CLI_DIRECTORIES_H
#define CLI_DIRECTORIES_H

#include "cli/cli.h"
#include "model/model.h"

enum { CLI_PLACES_MAX = 16 };

struct cli_places {
    struct model_env env;
    char *owned[CLI_PLACES_MAX];
    size_t n;
};

/*
 * HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME; HF_ENDPOINT; HF_TOKEN,
 * HF_TOKEN_PATH; HF_HUB_OFFLINE; OLLAMA_MODELS; LLAMA_CACHE; GFXBRIDGE_OLLAMA_REGISTRY, and those
 * of net.h. env.machine stays NULL: whether a model fits is not asked unless the caller sets it.
 */
int cli_places_new(struct cli *cli, struct cli_places *ret_places, struct gfxb_error *err);
void cli_places_done(struct cli_places *places);

/* model_find in these places. */
int cli_find_model(struct cli *cli, const char *name, struct model *ret_model,
                   struct gfxb_error *err);

#endif
