/* list.h - from files found to models: names, headers, what they are for. Private to model/. */
#ifndef MODEL_LIST_H
#define MODEL_LIST_H

#include "model/cache/caches.h"

/* The item that this name means: by its own name, by the list's, or as "org/repo" with the
 * quantisation that a pull would take. NULL: none. */
const struct cache_item *list_match(const struct caches *c, const char *name);

/* No model of that name: model-unknown, with how to get it and the nearest names. */
int list_nothing(const struct caches *c, const char *name, struct gfxb_error *err);

/* Read the header and make a model of it. Fails for what no engine runs. */
int list_fill(const struct cache_item *item, const struct model_knowns *knowns,
              struct model *ret_model, struct gfxb_error *err);

/* The model of the list whose first file has this path. */
int list_find_path(const struct model_env *env, const char *path, struct model *ret_model,
                   struct gfxb_error *err);

#endif
