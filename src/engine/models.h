/*
 * models.h - every model that can be run here: those of model/, and the built-in canary, which has
 * no file until it is asked for. As model_find and its like in model/model.h but for that. Part of
 * engine/engine.h, which includes it.
 */
#ifndef ENGINE_MODELS_H
#define ENGINE_MODELS_H

#include "engine/engine.h"

#define ENGINE_CANARY "canary" /* the built-in model's name */

int engine_model_find(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err);

/* The canary first, whose file is made by the first use. */
int engine_model_list_new(const struct model_env *env, struct model_list *ret_list,
                          struct gfxb_error *err);

/* The canary is there already, and stays: EPERM. */
int engine_model_pull(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err);
int engine_model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                        struct gfxb_error *err);

#endif
