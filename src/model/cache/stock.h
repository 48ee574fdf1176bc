/*
 * stock.h - what is ours below the data directory, DATA/models:
 *
 *   pulled/HEX.json   what a pull wrote into the hub cache, by a hash of its first link's path
 *   local/NAME/       one imported or fetched model, with its parts and projector
 *   ollama/           models of an Ollama registry, in the layout of Ollama's own store
 *   parts/            files of plain URLs while they come
 *
 * Private to model/.
 */
#ifndef MODEL_CACHE_STOCK_H
#define MODEL_CACHE_STOCK_H

#include "model/model.h"

#include <sys/types.h>

#define STOCK_PULLED "pulled"
#define STOCK_LOCAL  "local"
#define STOCK_OLLAMA "ollama"
#define STOCK_PARTS  "parts"

/* "DATA/models/NAME", to be freed by the caller; NULL when out of memory. */
char *stock_path(const struct model_env *env, const char *name);
/* The same, made; -errno when it cannot be. */
int stock_make(const struct model_env *env, const char *name, char **ret_path,
               struct gfxb_error *err);

/* ---- records of what a pull wrote into the hub cache ---- */

struct stock_file {
    char *link;  /* the snapshot's link; owned, as blob */
    bool made;   /* by us; else it was there before */
    char *blob;  /* NULL: somebody else's, or a shared one */
    ino_t inode; /* of the blob that we made; 0: not made yet */
};

struct stock_record {
    char *repository;        /* owned */
    struct stock_file *file; /* the first is the model's own */
    size_t n;
};

void stock_record_done(struct stock_record *record);
/* Adds a file; its texts are copied. blob NULL as above. */
int stock_record_add(struct stock_record *record, const char *link, bool made, const char *blob);
/* The file of this link; NULL: none. */
const struct stock_file *stock_record_find(const struct stock_record *record, const char *link);

/* Did a pull of ours make this link, as the first of a model? */
bool stock_is_ours(const struct model_env *env, const char *link);
/* Call visit for every record, until one fails. */
int stock_each_record(const struct model_env *env,
                      int (*visit)(const struct model_env *env, const struct stock_record *record,
                                   void *context),
                      void *context);
/* -ENOENT: nothing of ours; -EBADMSG: not readable as a record. */
int stock_load_record(const struct model_env *env, const char *link,
                      struct stock_record *ret_record);
int stock_save_record(const struct model_env *env, const struct stock_record *record,
                      struct gfxb_error *err);
void stock_forget_record(const struct model_env *env, const char *link);

/* ---- local models ---- */

/* The sha256 of DIR/about.json into ret_digest; "" when it is not known. */
void stock_read_digest(const char *dir, char ret_digest[static DIGEST_HEX]);
int stock_write_about(const char *dir, const char *from, const char *digest,
                      struct gfxb_error *err);

/* A new directory "DATA/models/local/.stage-XXXXXX", and the lock under which it is filled and
 * published; what killed runs left is swept. */
int stock_stage(const struct model_env *env, char **ret_stage, int *ret_lock,
                struct gfxb_error *err);
/* Make the stage the model of that name. -EEXIST: the name is taken. */
int stock_publish(const struct model_env *env, const char *stage, const char *name,
                  struct gfxb_error *err);

#endif
