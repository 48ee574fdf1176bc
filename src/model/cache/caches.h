/*
 * caches.h - every model file on this disk, in the layouts in which programs keep them. Headers are
 * not read here: what is found is complete as far as names and sizes tell. Private to model/.
 */
#ifndef MODEL_CACHE_CACHES_H
#define MODEL_CACHE_CACHES_H

#include "model/model.h"

#include <sys/types.h>

/* One model; texts are owned, NULL unknown. */
struct cache_item {
    char *name;
    char *path; /* its file; of a split one the first */
    char *mmproj;
    char *repository, *revision;
    char *file;   /* its path in the repository; of Ollama's its manifest, below manifests/ */
    char *digest; /* sha256 of the only file */
    enum model_origin origin;
    bool ours;
    uint64_t bytes; /* of all files; 0: as the header says */
    int64_t modified;
    dev_t device; /* with inode: the same file under two names */
    ino_t inode;
};

struct caches {
    const struct model_env *env;
    struct cache_item *item;
    size_t n;
};

/* Sorted by name, each name once. Places that cannot be read are a line in the log. */
int caches_new(const struct model_env *env, struct caches *ret_caches, struct gfxb_error *err);
void caches_done(struct caches *c);

/* ---- for the layouts ---- */

/* What all models of one directory have in common; lent. */
struct cache_group {
    enum model_origin origin;
    const char *top;        /* the directory that paths are relative to */
    const char *repository; /* NULL: names come from the files */
    const char *revision;
    const char *name;   /* the name of all that is in it; NULL: by repository or file */
    const char *digest; /* NULL unknown */
    bool ours;          /* in a directory of ours */
    int depth;          /* directories below top that are looked into */
    bool skip_real;     /* files that are no links are still being written */
};

/* All models of a directory. 0, also when there is none; -ENOMEM. */
int caches_add_group(struct caches *c, const struct cache_group *group);
/* Takes the item's texts over, also on failure. */
int caches_add(struct caches *c, struct cache_item *item);
void cache_item_done(struct cache_item *item);

/* Call visit for every sub-directory that does not begin with a dot, sorted, until one fails. */
int caches_each_dir(struct caches *c, const char *dir,
                    int (*visit)(struct caches *c, const char *dir, const char *name,
                                 void *context),
                    void *context);

/* The layouts: caches_hub.c, ollama_store.c. An absent directory holds nothing. */
int caches_scan_hub(struct caches *c, const char *hub, enum model_origin origin);
int caches_scan_ollama(struct caches *c, const char *store, bool ours);

#endif
