/*
 * pull.h - bringing a model here: what the ways share, and asking the Hugging Face hub. Private to
 * model/.
 */
#ifndef MODEL_PULL_PULL_H
#define MODEL_PULL_PULL_H

#include "model/model_private.h"

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

/* Bytes of a file that are neither at path nor, begun, at part. */
uint64_t pull_missing(const char *path, const char *part, uint64_t size);

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

/* ---- what the hub's API says about a repository: any bytes may come in ---- */

/* The GGUF files of one commit, sorted by path. */
struct hub_tree {
    char commit[HUB_COMMIT];
    struct hub_file *file;
    size_t n;
    size_t refused; /* paths that lead elsewhere, entries without a usable digest */
};

void hub_tree_done(struct hub_tree *tree);

/* The commit of "/api/models/REPO". */
int hub_info_parse(struct str json, char ret_commit[static HUB_COMMIT], struct gfxb_error *err);

/* Add one page of ".../tree/COMMIT?recursive=true" to the tree. */
int hub_tree_add(struct hub_tree *tree, struct str json, struct gfxb_error *err);
/* After the last page. */
void hub_tree_sort(struct hub_tree *tree);

/*
 * The next page in a Link header's value, to be freed by the caller; NULL when there is none.
 * Always below the base URL, whatever host the header names: the token goes there.
 */
char *hub_next_page(struct str link, const char *base);

/* An ETag without its quotes and "W/" into ret_etag; "" when it does not fit. */
void hub_etag_plain(struct str value, char *ret_etag, size_t size);

/* Add a repository's path to a URL, percent-encoded where it must be. */
void hub_add_path(struct buf *url, const char *path);

/* ---- asking the hub ---- */

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
    const char *path;  /* of the blob to be */
    struct pull *pull; /* whose progress it is */
};

/*
 * Bring one file: an LFS file through PATH.incomplete, with its digest computed as it arrives; a
 * small one that git itself holds is checked against git's digest. The caller has its lock.
 */
int hub_fetch_file(const struct model_env *env, const struct hub_wanted *wanted,
                   struct gfxb_error *err);

#endif
