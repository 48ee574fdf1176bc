/*
 * model_use.h - a model file as the path needs it: read, judged and with its recipe before any
 * engine sees it. Part of engine/engine.h, which includes it.
 */
#ifndef ENGINE_MODEL_USE_H
#define ENGINE_MODEL_USE_H

#include "model/model.h"
#include "plan/plan.h"

/* What the user says about a model. All lent; zero but for file is valid. */
struct model_request {
    const char *file;                /* a GGUF file */
    const char *mmproj;              /* its projector; NULL none */
    const struct model_known *known; /* its row of the list; NULL none */
    uint32_t context;                /* tokens; 0: the recipe's, or as many as are usual and fit */
    uint32_t slots;                  /* 0: 1 */
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

/* A choice's arguments and the model's behind them, NULL-terminated; the array is to be freed, its
 * words are lent by both. NULL when out of memory. use NULL: the choice's alone. */
const char **model_use_args(const struct model_use *use, const struct plan_choice *choice);

#endif
