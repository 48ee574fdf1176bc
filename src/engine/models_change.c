/* models_change.c - a file of its own: who only looks for models is linked without what fetches
 * them. */
#include "engine/models.h"

#include <errno.h>

int engine_model_pull(const struct model_env *env, const char *name, struct model *ret_model,
                      struct gfxb_error *err)
{
    return strcmp(name, ENGINE_CANARY) == 0 ? engine_model_find(env, name, ret_model, err)
                                            : model_pull(env, name, ret_model, err);
}

int engine_model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                        struct gfxb_error *err)
{
    if (strcmp(name, ENGINE_CANARY) == 0)
        return error_set(err, EPERM, "%s is part of gfxbridge and cannot be removed", name);
    return model_remove(env, name, ret_bytes, err);
}
