/*
 * pull.h - what the ways of bringing a model here share: room, progress, and the end of each, a
 * model that is complete. Private to model/.
 */
#ifndef MODEL_PULL_PULL_H
#define MODEL_PULL_PULL_H

#include "model/model.h"

/* Several files under way, one after the other. */
struct pull {
    const struct model_env *env;
    const char *name;       /* as the user said it */
    const char *file;       /* the one that comes now, as its repository calls it */
    const char *sha256;     /* "" unknown */
    size_t index, n;        /* of the files */
    uint64_t before, total; /* bytes: of the files before this one, and of all */
};

/* A fetch's progress handed on as the pull's; context is the struct pull. */
void pull_show(void *context, const struct fetch_progress *progress);
/* A file that is here already, or that is here now: its last line. */
void pull_show_whole(struct pull *p, uint64_t bytes);

/* Is there room for so many bytes more where dir is? disk-full with both sizes. */
int pull_check_room(const struct pull *p, const char *dir, uint64_t bytes, struct gfxb_error *err);

/* Does an engine run this file, by its header? */
int pull_check_file(const char *path, struct gfxb_error *err);

/* The model whose first file this is, as a list would show it; fails for what no engine runs. */
int pull_finish(const struct model_env *env, const char *path, struct model *ret_model,
                struct gfxb_error *err);

/* The ways. */
int pull_hub(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err);
int pull_ollama(const struct model_env *env, const char *text, const struct model_name *name,
                struct model *ret_model, struct gfxb_error *err);
int pull_url(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err);

#endif
