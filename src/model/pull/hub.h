/*
 * hub.h - asking the Hugging Face hub: what a repository holds, and one file of it. Private to
 * model/.
 */
#ifndef MODEL_PULL_HUB_H
#define MODEL_PULL_HUB_H

#include "model/model.h"
#include "model/pull/hub_api.h"

/* How every request of a pull goes: the caller's way to the network, its cancel and its log. */
struct fetch_config hub_fetch_config(const struct model_env *env);

/* The GGUF files of the repository's main branch. model-unknown, model-gated, model-unavailable,
 * offline, interrupted. */
int hub_look_up(const struct model_env *env, const char *repository, struct hub_tree *ret_tree,
                struct gfxb_error *err);

/* What one file is fetched with. */
struct hub_wanted {
    const char *repository;
    const char *commit;
    const struct hub_file *file;
    const char *path; /* of the blob to be */
    void (*progress)(void *context, const struct fetch_progress *progress);
    void *context;
};

/*
 * Bring one file: an LFS file through PATH.incomplete, with its digest computed as it arrives; a
 * small one that git itself holds is checked against git's digest. The caller has its lock.
 */
int hub_fetch_file(const struct model_env *env, const struct hub_wanted *wanted,
                   struct gfxb_error *err);

#endif
