/*
 * hub_cache.h - one repository in the Hugging Face hub cache, written as huggingface_hub writes it:
 *
 *   HUB/models--ORG--NAME/blobs/ETAG              the bytes; ETAG.incomplete while they come
 *   HUB/models--ORG--NAME/snapshots/COMMIT/PATH   -> ../../blobs/ETAG
 *   HUB/models--ORG--NAME/refs/main               COMMIT, no newline
 *   HUB/.locks/models--ORG--NAME/ETAG.lock        flock while a blob is made
 *   HUB/blobs/XX/XETHASH                          bytes that repositories share; with
 *                                                 XETHASH.refs (who) and XETHASH.lock
 *
 * Below the repository no link is followed where something is made. Private to model/.
 */
#ifndef MODEL_CACHE_HUB_CACHE_H
#define MODEL_CACHE_HUB_CACHE_H

#include "model/model.h"
#include "model/pull/hub_api.h"

struct hub_cache {
    char *hub;   /* the cache's top; owned, as the others */
    char *name;  /* "models--org--name" */
    char *top;   /* HUB/models--org--name */
    char *locks; /* HUB/.locks/models--org--name */
};

void hub_cache_done(struct hub_cache *c);

/* The names alone: nothing is made. */
int hub_cache_name(const char *hub, const char *repository, struct hub_cache *ret_cache,
                   struct gfxb_error *err);
/* "org/name" of a directory's name, to be freed by the caller; NULL when it is no repository. */
char *hub_cache_repository(const char *directory);

/* Make the repository's directories. */
int hub_cache_make(const struct hub_cache *c, struct gfxb_error *err);

/* "TOP/blobs/ETAG" and "TOP/snapshots/COMMIT/PATH", to be freed by the caller; NULL out of memory.
 */
char *hub_cache_blob(const struct hub_cache *c, const char *etag);
char *hub_cache_link_path(const struct hub_cache *c, const char *commit, const char *path);

/* Is a regular file of this size behind the path, links followed? */
bool hub_cache_has(const char *path, uint64_t size);

/* The lock under which a blob is made; waits for other programs that make the same. */
int hub_cache_lock(const struct model_env *env, const struct hub_cache *c, const char *etag,
                   int *ret_fd, struct gfxb_error *err);

/* A blob that another repository has already: link to it in the shared store. True when it did. */
bool hub_cache_share(const struct hub_cache *c, const struct hub_file *file);

/* Make the snapshot's link, in place of whatever is there and is not that file. */
int hub_cache_link(const struct hub_cache *c, const char *commit, const struct hub_file *file,
                   struct gfxb_error *err);

/* Let "main" be this commit: only when all its files that were asked for are linked. */
int hub_cache_set_main(const struct hub_cache *c, const char *commit, struct gfxb_error *err);

#endif
