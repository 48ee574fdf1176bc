/*
 * models.h - models as engines take them: every model that can be run here, with the built-in
 * canary among them, and a model's file read and judged before any engine sees it. Part of
 * engine/engine.h.
 */
#ifndef ENGINE_MODELS_H
#define ENGINE_MODELS_H

#include "engine/kind.h"

/* ---- by name; as model_find and its like in model/model.h, but they also know aliases and the
 * canary, whose file is made by its first use ---- */

#define ENGINE_CANARY "canary" /* the built-in model's name */

int engine_model_find(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err);

/* The canary first, whose file is made by the first use; aliases last. */
void engine_model_list_new(const struct model_env *env, struct model_list *ret_list);

/* The canary is there already, and stays: EPERM. */
int engine_model_pull(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err);
/* An alias goes without its model. -EEXIST: an alias stands for the model. */
int engine_model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                        struct gfxb_error *err);

/*
 * Let a name stand for a model, which may be an alias too, with these options (NULL none). One that
 * is an alias already is replaced. The model's own name: the options become those of the model.
 * -EEXIST: another model has that name; -EINVAL: it is no name, or the model stands for it.
 */
int engine_model_alias(const struct model_env *env, const char *name, const char *model,
                       const json_t *options, struct gfxb_error *err);
/* As Ollama copies: the name stays when the model's own goes, where its layout allows that (a model
 * of ours that came from Ollama's registry or was uploaded); else it is an alias. Errors as above.
 */
int engine_model_copy(const struct model_env *env, const char *name, const char *model,
                      json_t *options, struct gfxb_error *err);

/* ---- one file ---- */

/* What the user says about a model. All lent; zero but for file is valid. */
struct model_request {
    const char *file;                /* a GGUF file */
    const char *mmproj;              /* its projector; NULL none */
    const struct model_known *known; /* its row of the list; NULL none */
    uint32_t context;                /* tokens of one request; 0: the recipe's, or as many as are
                                        usual and fit */
    uint32_t slots;                  /* requests at the same time, at most; 0: 1 */
};

/* Everything is owned. */
struct model_use {
    struct gguf gguf;
    struct fit_model shape;
    struct model_launch launch;
    struct fit_use use; /* as the plan wants it */
};

/* Reads the headers of the file and of its projector. Codes: model-damaged, model-unusable, -errno.
 */
int model_use_new(const struct model_request *request, struct model_use *ret_use,
                  struct gfxb_error *err);
void model_use_done(struct model_use *use);

/* Bytes that a token of an answer reads behind a prompt of `depth` tokens: weights that take part
 * in it, keys and values of 16 bits, states. */
uint64_t model_use_token_bytes(const struct model_use *use, uint32_t depth);

/* What its engine must compute: the types of its matrices, its shapes, and with which attention. */
void model_use_need(const struct engine_kind *kind, const struct model_use *use,
                    struct engine_need *ret_need);

/* A choice's arguments and the model's behind them, NULL-terminated; the caller frees the array,
 * its words are lent by both. use NULL: the choice's alone. */
const char **model_use_args(const struct model_use *use, const struct plan_choice *choice);

#endif
