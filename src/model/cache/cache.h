/*
 * cache.h - the layouts in which programs keep models on this disk, and what is ours in them.
 * Private to model/.
 */
#ifndef MODEL_CACHE_CACHE_H
#define MODEL_CACHE_CACHE_H

#include "base/xalloc.h"
#include "model/model.h"

#include <sys/stat.h>

/* ---- every model file on this disk ---- */

/*
 * What is here, as far as names and sizes tell: headers are not read. labels are NULL; bytes are 0
 * when the header has to tell. Sorted by name, each name once. Places that cannot be read are a
 * line in the log.
 */
void caches_find(const struct model_env *env, struct model_list *ret_list);

/* ---- for the layouts ---- */

/* A search under way. */
struct caches {
    const struct model_env *env;
    bool ours; /* in a directory of ours */
    struct model_list list;
};

/* Add what was found under this name and path, unless it is gone or known. Takes the texts over. */
void caches_add(struct caches *c, struct model *item);

/* The models of an Ollama store. */
void caches_scan_ollama(struct caches *c, const char *store, enum model_origin origin);

struct paths {
    char **item;
    size_t n;
};

/*
 * What lies from `first` to `last` levels below top (1: in it) and is of this type (S_IFDIR,
 * S_IFREG), links followed: paths relative to top, sorted. Names that begin with a dot are left
 * out. An absent directory is empty.
 */
struct paths paths_find(const struct log *log, const char *top, int first, int last, mode_t type);
void paths_done(struct paths *list);

#define CLEAN_PATHS __attribute__((cleanup(paths_done)))

/* ---- one repository in the Hugging Face hub cache ---- */

/*
 * Written as huggingface_hub writes it:
 *
 *   HUB/models--ORG--NAME/blobs/ETAG              the bytes; ETAG.incomplete while they come
 *   HUB/models--ORG--NAME/snapshots/COMMIT/PATH   -> ../../blobs/ETAG
 *   HUB/models--ORG--NAME/refs/main               COMMIT, no newline
 *   HUB/.locks/models--ORG--NAME/ETAG.lock        flock while a blob is made
 *   HUB/blobs/XX/XETHASH                          bytes that repositories share; with
 *                                                 XETHASH.refs (who) and XETHASH.lock
 *
 * Below the repository no link is followed where something is made.
 */

#define HUB_COMMIT 41 /* 40 hex digits and a NUL */

struct hub_file {
    char *path;            /* in the repository; safe to make below a directory of ours; owned */
    char etag[DIGEST_HEX]; /* the blob's name: sha256 of an LFS file, else git's sha1 */
    bool lfs;
    uint64_t size;
    char xet[DIGEST_HEX]; /* its name in a store that repositories share; "" none */
};

/* 40 or 64 lower-case hex digits, as many as digits says? */
bool hub_is_hex(const char *text, size_t digits);

/*
 * How a snapshot gets its files. Where the file system has no links, huggingface_hub moves a blob
 * that it fetched into the snapshot and copies one that was there before, and so do we.
 */
enum hub_way { HUB_SYMLINK, HUB_HARD_LINK, HUB_MOVE };

struct hub_cache {
    char *hub;   /* the cache's top; owned, as the others */
    char *name;  /* "models--org--name" */
    char *top;   /* HUB/models--org--name */
    char *locks; /* HUB/.locks/models--org--name */
    enum hub_way way;
};

void hub_cache_done(struct hub_cache *c);

/* The names alone: nothing is made. */
int hub_cache_name(const char *hub, const char *repository, struct hub_cache *ret_cache,
                   struct gfxb_error *err);
/* "org/name" of a directory's name, to be freed by the caller; NULL when it is no repository. */
char *hub_cache_repository(const char *directory);

/* Find out which way this file system allows, by trying in the cache's top, which is made. */
void hub_cache_find_way(struct hub_cache *c);

/* Make the repository's directories. */
int hub_cache_make(const struct hub_cache *c, struct gfxb_error *err);

/* "TOP/blobs/ETAG" and "TOP/snapshots/COMMIT/PATH", to be freed by the caller. */
char *hub_cache_blob(const struct hub_cache *c, const char *etag);
char *hub_cache_link_path(const struct hub_cache *c, const char *commit, const char *path);

/* Is a regular file of this size behind the path, links followed? */
bool hub_cache_has(const char *path, uint64_t size);

/* The lock under which a blob is made; waits for other programs that make the same. */
int hub_cache_lock(const struct model_env *env, const struct hub_cache *c, const char *etag,
                   int *ret_fd, struct gfxb_error *err);

/* A blob that another repository has already: link to it in the shared store. True when it did. */
bool hub_cache_share(const struct hub_cache *c, const struct hub_file *file);

/* Make the snapshot's link, in place of whatever is there and is not that file. Call with the
 * blob's lock. ours: the blob may
 * be moved. A file in the link's place has the blob's time. */
int hub_cache_link(const struct hub_cache *c, const char *commit, const struct hub_file *file,
                   bool ours, const atomic_int *cancel, struct gfxb_error *err);

/* Let "main" be this commit: only when all its files that were asked for are linked. */
int hub_cache_set_main(const struct hub_cache *c, const char *commit, struct gfxb_error *err);

/* ---- manifests of an Ollama registry or store: which blobs make a model ---- */

#define OLLAMA_MEDIA_TYPE   "application/vnd.ollama.image." /* and a layer's kind */
#define OLLAMA_LAYERS_MAX   256
#define OLLAMA_MANIFEST_MAX (1u << 20) /* bytes */

struct ollama_layer {
    char kind[16]; /* "model", "projector", "template", "license" ...; "config"; "" another type */
    char sha256[DIGEST_HEX];
    uint64_t size;
};

struct ollama_manifest {
    struct ollama_layer *layer; /* the config is the last one */
    size_t n;
};

int ollama_manifest_parse(struct str json, struct ollama_manifest *ret_manifest,
                          struct gfxb_error *err);
/* The same of a file. */
int ollama_manifest_read(const char *path, struct ollama_manifest *ret_manifest);
void ollama_manifest_done(struct ollama_manifest *manifest);

/* The first layer of a kind; NULL none. */
const struct ollama_layer *ollama_manifest_find(const struct ollama_manifest *manifest,
                                                const char *kind);

/* The manifests of a store, as paths below STORE/manifests: HOST/NAMESPACE/MODEL/TAG. */
struct paths ollama_manifests(const struct log *log, const char *store);

/* "STORE/manifests/FILE", spelled as the one that is there: names of models have no case. To be
 * freed. */
char *ollama_manifest_path(const char *store, const char *file);
/* "STORE/blobs/sha256-HEX", to be freed by the caller. */
char *ollama_blob_path(const char *store, const char *sha256);

/* ---- what is ours ---- */

/*
 * Below the data directory, DATA/models:
 *
 *   pulled/HEX.json   what a pull wrote into the hub cache, by a hash of its first link's path
 *   local/NAME/       one imported or fetched model, with its parts and projector
 *   ollama/           models of an Ollama registry, in the layout of Ollama's own store
 *   parts/            files of plain URLs while they come
 */

#define STOCK_PULLED "pulled"
#define STOCK_LOCAL  "local"
#define STOCK_OLLAMA "ollama"
#define STOCK_PARTS  "parts"

/* "DATA/models/NAME", to be freed by the caller. */
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
    /* The same of its bytes and its time, in seconds; of a file that stands in the link's place,
     * too. */
    uint64_t bytes;
    int64_t modified;
};

struct stock_record {
    char *repository;        /* owned */
    struct stock_file *file; /* the first is the model's own */
    size_t n;
};

void stock_record_done(struct stock_record *record);
/* Adds a file; its texts are copied. blob NULL as above. */
void stock_record_add(struct stock_record *record, const char *link, bool made, const char *blob);
/* The file of this link; NULL: none. */
const struct stock_file *stock_record_find(const struct stock_record *record, const char *link);

/* Is it the file that we recorded? By its size and time: some file systems give inode numbers that
 * last until they are unmounted, and keep times to two seconds. */
bool stock_is_file(const struct stock_file *file, const struct stat *st);

/* Did a pull of ours make this link, or the file in its place, as the first of a model? */
bool stock_is_ours(const struct model_env *env, const char *link);
/* -ENOENT: nothing of ours; -EBADMSG: no record. */
int stock_load_record(const struct model_env *env, const char *link,
                      struct stock_record *ret_record);
/* The same of a file of the directory of records. */
int stock_read_record(const char *path, struct stock_record *ret_record);
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
