/*
 * model.h - the outward header of model/: a model name -> GGUF files on disk + what they need.
 *
 * gguf_read looks into a file before any engine does; model_name_parse says what a word that a user
 * typed can mean; model_known are the rows of data/models.tsv; model_list, model_find, model_pull,
 * model_import and model_remove are about this disk; model_launch carries a model to a command
 * line. Every program's store is read, only our own writes are ever removed.
 *
 * Nothing here prints. Nothing is downloaded to find what is on this disk.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/base.h"
#include "base/digest.h"
#include "fetch/fetch.h"
#include "plan/plan.h"

#include "model/gguf/gguf.h"
#include "model/gguf/shape.h"
#include "model/known.h"
#include "model/name.h"
#include "model/pull/hubs.h"
#include "model/pull/offer.h"
#include "model/recipe.h"
#include "sysroot/sysroot.h"

#include <stdatomic.h>

/* Whose files a model consists of. */
enum model_origin {
    MODEL_BUILTIN,  /* the canary model */
    MODEL_HUB,      /* the Hugging Face hub cache */
    MODEL_OLLAMA,   /* Ollama's store */
    MODEL_LMSTUDIO, /* LM Studio's folder */
    MODEL_LLAMACPP, /* llama.cpp's own cache */
    MODEL_LEMONADE, /* Lemonade's folder */
    MODEL_LOCAL,    /* any file that was named, or was imported */
    MODEL_ORIGINS,
};

/* "hub", "ollama", "lmstudio" ...: stable, in JSON. */
const char *model_origin_name(enum model_origin origin);

/* Where a pull stands; lent until the callback returns. */
struct model_progress {
    const char *file;          /* the name that its repository has for it */
    const char *sha256;        /* "" not known */
    size_t index, n;           /* of the files: this one's number from 0, how many */
    struct fetch_progress at;  /* of this file */
    uint64_t bytes, total;     /* of all of them; what was here already counts */
    int64_t remaining_seconds; /* for all of them; -1 unknown */
};

/* Where models are on this computer, and how others are reached. All strings are lent; a NULL place
 * is not looked at. Zero is valid: nothing is found and nothing fetched. */
struct model_env {
    const char *data_dir; /* ours: records of what we wrote, imports, the canary */
    const char *hub;      /* the hub cache: "~/.cache/huggingface/hub" after the usual variables */
    const char *ollama;   /* "~/.ollama/models" */
    const char *ollama_system;     /* "/usr/share/ollama/.ollama/models" */
    const char *lmstudio;          /* "~/.lmstudio/models" */
    const char *llamacpp;          /* "~/.cache/llama.cpp" */
    const char *llamacpp_hub;      /* llama.cpp's own hub cache: $LLAMA_CACHE */
    const char *lemonade;          /* Lemonade's extra folder */
    const char *lemonade_hub;      /* a hub cache that Lemonade was given */
    const char *hf_endpoint;       /* base URL of the hub, without a "/" at the end */
    const char *hf_token;          /* NULL none */
    const char *ollama_registry;   /* base URL of the Ollama registry */
    const struct machine *machine; /* that it must fit on; NULL: not asked */
    bool no_network;
    struct fetch_config fetch;
    const struct log *log;    /* NULL none */
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    /* How a pull goes, at most ten times a second and at each file's end. NULL none. */
    void (*progress)(void *context, const struct model_progress *progress);
    void *context;
};

/* One model that is complete on this disk. All strings are owned. */
struct model {
    char *name;   /* what a user types, and the id in every API: no path, no blanks */
    char *path;   /* its file; of a split model the first one */
    char *mmproj; /* its projector; NULL none */
    enum model_origin origin;
    enum model_task task;
    bool ours;        /* written by us: model_remove may delete it */
    uint64_t bytes;   /* all files of it */
    int64_t modified; /* seconds since 1970 */
    char *digest;     /* sha256 of a model of one file, 64 hex digits; NULL unknown */
    char *repository; /* "org/repo"; NULL unknown */
    char *revision;   /* commit; NULL unknown */
    char *licence;    /* SPDX-like name; NULL unknown */
    char *labels;     /* blank-separated, as in data/models.tsv; "" none */
};

void model_done(struct model *model);

struct model_list {
    struct model *item;
    size_t n;
};

/* Everything that is complete in all places, sorted by name. A place that cannot be read is a line
 * in env->log, not an error. */
int model_list_new(const struct model_env *env, struct model_list *ret_list,
                   struct gfxb_error *err);
void model_list_done(struct model_list *list);

/* The model of this name on this disk, or a file of that path. -ENOENT with the nearest names. */
int model_find(const struct model_env *env, const char *name, struct model *ret_model,
               struct gfxb_error *err);

/*
 * Bring a model here, or find that it is here already. Refused before the first byte of the
 * weights when env->machine cannot run it (model_offer_check).
 */
int model_pull(const struct model_env *env, const char *name, struct model *ret_model,
               struct gfxb_error *err);

/*
 * Take a local GGUF file in, with all its parts, under this name (NULL: the file's), and the
 * projector that goes with it (NULL none). A hard link where one can be made, else a clone that
 * shares its blocks, else a copy. Only what gguf_read accepts as a model is taken.
 */
int model_import(const struct model_env *env, const char *file, const char *mmproj,
                 const char *name, struct model *ret_model, struct gfxb_error *err);

/*
 * Delete what we wrote of this model; ret_bytes (may be NULL) is what that freed. -EPERM with a
 * sentence that names the owner of everybody else's. Files that another model here needs too stay.
 */
int model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                 struct gfxb_error *err);

#endif
