/* pull.h - bringing a model here: what the ways share, and what a hub answers. Private to model/.
 */
#ifndef MODEL_PULL_PULL_H
#define MODEL_PULL_PULL_H

#include "model/model_private.h"

/* Several files under way, one after the other. */
#define PULL_SPARE (64u << 20) /* bytes that stay free, for records and for other programs */

struct pull {
    const struct model_env *env;
    const char *name;       /* as the user said it */
    const char *file;       /* the one that comes now, as its repository calls it */
    const char *sha256;     /* "" unknown */
    size_t index, n;        /* of the files */
    uint64_t before, total; /* bytes: of the files before this one, and of all */
    long status;            /* HTTP status of the last answer; 0 none */
};

/* One request, in the caller's way to the network: an answer onto the end of a buffer, or a file
 * (answer is NULL). Its context is the struct pull. As fetch_run, but package-unavailable is
 * model-unavailable or rate-limited here. */
int pull_fetch(struct pull *p, struct fetch_request *request, struct buf *answer,
               struct gfxb_error *err);

/* A fetch's progress handed on as the pull's; context is the struct pull. */
void pull_show(void *context, const struct fetch_progress *progress);
/* A file that is here already, or that is here now: its last line. */
void pull_show_whole(struct pull *p, uint64_t bytes);

/* Bytes of a file that are neither at path nor, begun, at part. */
uint64_t pull_missing(const char *path, const char *part, uint64_t size);

/* Is there room for this many more bytes where dir is? disk-full with both sizes. */
int pull_check_room(const struct pull *p, const char *dir, uint64_t bytes, struct gfxb_error *err);

/* Does an engine run this file, by its header? */
int pull_check_file(const char *path, struct gfxb_error *err);

/* The model whose first file this is, as a list would show it; fails for what no engine runs. */
int pull_finish(const struct model_env *env, const char *path, struct model *ret_model,
                struct gfxb_error *err);

/* What becomes a model of our own. */
struct import {
    const char *file;   /* its GGUF file; of a split model the first part, the others beside it */
    const char *as;     /* the file's name in the model; NULL: its own */
    const char *mmproj; /* NULL none */
    const char *name;   /* the model's */
};

/* Link, clone or copy it into a directory of ours. -EEXIST: the name is taken. */
int import_local(const struct pull *p, const struct import *what, struct gfxb_error *err);

/* The ways. */
int pull_hub(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err);
/* Does this answer say that the hub has no such repository, so that the name may be asked for at
 * the Ollama registry? 401 says so only where no token was sent: with one it stands for a private
 * repository. A name of a hub of the user's own goes to a registry of the user's own alone. */
bool pull_hub_lacks(const struct model_env *env, long status, const char *code);
int pull_ollama(const struct model_env *env, const char *text, const struct model_name *name,
                struct model *ret_model, struct gfxb_error *err);
int pull_url(const struct model_env *env, const char *text, const struct model_name *name,
             struct model *ret_model, struct gfxb_error *err);

/* ---- hub.c: what the hub's API says about a repository: any bytes may come in ---- */

#define HUB_URL_MAX 8192

/* The GGUF files of one commit, sorted by path. */
struct hub_tree {
    char commit[HUB_COMMIT];
    struct hub_file *file;
    size_t n;
    size_t refused; /* paths that lead elsewhere, entries without a usable digest */
};

void hub_tree_done(struct hub_tree *tree);

/* The commit of "/api/models/REPO". The hub takes any case: repository gets the hub's own. */
int hub_info_parse(struct str json, char ret_commit[static HUB_COMMIT], char *repository,
                   struct gfxb_error *err);

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

#endif
