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
#include "sysroot/sysroot.h"

#include "model/gguf/gguf.h"

#include <jansson.h>
#include <stdatomic.h>

/* ---- data/models.tsv: the short list ---- */

enum model_task {
    MODEL_CHAT,
    MODEL_COMPLETION, /* text that goes on: no chat template, or trained to fill in */
    MODEL_EMBEDDING,
    MODEL_RERANKING,
    MODEL_TASKS,
};

/* "chat", "completion", "embedding", "reranking": stable, in JSON. */
const char *model_task_name(enum model_task task);

/* One row; views into the table, which lives as long as the program. */
struct model_known {
    struct str name;       /* "Qwen3-4B-Instruct-2507-GGUF" */
    struct str engine;     /* the kind that runs it, a row of data/engines.tsv; empty: the first */
    struct str recipe;     /* a row of data/recipes.tsv; empty: by the architecture */
    struct str repository; /* "org/repo" */
    struct str file;       /* GGUF in it; of a split model the first part; empty: see tag */
    struct str tag;        /* the quantisation in the file's name; empty with file: the usual one */
    struct str mmproj;     /* projector in it; empty none */
    struct str labels;     /* blank-separated: chat tools vision reasoning coding embedding ... */
    struct str licence;
    struct str source;    /* where the row is from */
    uint64_t bytes;       /* of file(s), as the source says; 0 unknown */
    enum model_task task; /* by the labels */
};

struct model_knowns {
    const struct model_known *item; /* sorted by name */
    size_t n;
};

/* All rows, read once; valid as long as the program runs. */
const struct model_knowns *model_knowns(void);
/* ASCII case does not matter; NULL when it is not listed. */
const struct model_known *model_known_find(struct str name);

/* The rules of the table, for `table check`: -GFXB_E_TABLE with file and line. */
int model_tables_check(struct gfxb_error *err);

/* ---- names: what a word that a user typed for a model can mean ---- */

enum model_name_kind {
    MODEL_NAME_LISTED, /* a row of data/models.tsv */
    MODEL_NAME_HUB,    /* org/repo, org/repo:QUANT, org/repo/file.gguf; with hf.co/ before it too,
                          or the address of a page of it */
    MODEL_NAME_OLLAMA, /* name, name:tag, registry.ollama.ai/namespace/name:tag, or a page of it */
    MODEL_NAME_URL,    /* https://host/file.gguf#sha256=HEX */
    MODEL_NAME_FILE,   /* a path */
};

/* Parts that do not apply are "". */
struct model_name {
    enum model_name_kind kind;
    char repository[200]; /* "org/repo"; Ollama: "library/qwen3" */
    char tag[100];        /* QUANT of the hub, tag of Ollama ("latest" where none was given) */
    char file[400];       /* path inside the repository; the path of a local file; the URL without
                             its fragment */
    bool hosted;          /* its hub is named: no other one is meant */
    char sha256[DIGEST_HEX];         /* of a URL, lower case */
    const struct model_known *known; /* the row of a listed name */
};

/* Do two words name the same model? ASCII case and ":latest" at the end say nothing. */
bool model_name_same(struct str a, struct str b);

/*
 * Strict: each part has its own alphabet and length, no part is "." or "..", none starts with a
 * dash. A path is told by its start ("/", "./", "../", "~" is the shell's business). -EINVAL with
 * one sentence that names the forms there are and the nearest names.
 */
int model_name_parse(const char *text, struct model_name *ret_name, struct gfxb_error *err);

/* The names of data/models.tsv nearest to a mistyped one as "a, b or c", best first, at most three,
 * into ret_text; "" when none is near. */
void model_name_nearest_known(const char *text, char *ret_text, size_t size);

/* May this be a model's name here: letters, digits and "-._:/", no "..", not a path? */
bool model_name_is_plain(const char *text);

/* ---- data/hubs.tsv: where models come from unless the user says otherwise ---- */

enum model_hub { MODEL_HUB_HF, MODEL_HUB_OLLAMA };

/* "https://...", without a "/" at the end; a view into the table. */
struct str model_hub_endpoint(enum model_hub hub);
/* The host in names: "registry.ollama.ai". The table may have more of it after that. */
struct str model_hub_host(enum model_hub hub);

/* ---- what a model needs on the engine's command line ---- */

/* What a model is for: by its pooling and its architecture's row. Name and labels may say more. */
enum model_task model_gguf_task(const struct gguf *gguf);

/* How a model is started, whatever the backend; the plan's choice adds its own. Owned. */
struct model_launch {
    enum model_task task;
    uint32_t context; /* tokens that the recipe wants; 0: as many as are usual and fit */
    uint32_t batch;   /* tokens of one batch; 0: the engine's own */
    char **args;      /* NULL-terminated */
    char *recipes;    /* the rows that had a say: "embedding, embedding-last"; "" none */
};

/*
 * The rows of data/recipes.tsv for this model: those of its task, then the one that known (NULL:
 * not listed) names or its architecture has. context: what the user wants; 0 nothing said. mmproj:
 * projector file; NULL none.
 */
int model_launch_new(const struct gguf *gguf, const struct model_known *known, uint32_t context,
                     const char *mmproj, struct model_launch *ret_launch, struct gfxb_error *err);
void model_launch_done(struct model_launch *launch);

/* ---- can a download fit on this computer at all? ---- */

/* One file, or all parts of one, that a repository offers. */
struct model_offer {
    const char *file; /* its name, for sentences and for the quantisation in it */
    uint64_t bytes;   /* of all its parts, and of its projector */
};

/* Memory that files of this many bytes need at least: the weights, and what even a small model
 * needs beside them. */
uint64_t model_offer_need(uint64_t bytes);

/*
 * Before the first byte: offer[chosen] will be pulled. 0 when it can run here, if need be with
 * layers on the CPU, or when nothing is known about this computer's memory.
 * -GFXB_E_MEMORY_TOO_SMALL with both sizes and, where one of the others fits, the largest of them
 * by name.
 */
int model_offer_check(const struct machine *m, const struct model_offer *offer, size_t n,
                      size_t chosen, struct gfxb_error *err);

/* ---- models on this disk ---- */

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
    bool
        files; /* a name ending in ".gguf" may be a file of the working directory: not a server's */
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
    char *alias;  /* another name of it, which it was looked up or is listed by; NULL none */
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
    char *file;   /* in its repository; of Ollama's its manifest, below manifests/; NULL unknown */
    dev_t device; /* with inode: the same file under two names */
    ino_t inode;
};

void model_done(struct model *model);
/* Its alias, else its name; lent. */
const char *model_shown(const struct model *model);
/* Everything is copied. */
void model_copy(const struct model *model, struct model *ret_copy);

/* Sizes and times of change of this file, or of all parts of a split model, as text: to see whether
 * they are the same ones later. To be freed; NULL: one of them is not there. */
char *model_files_state(const char *path);

struct model_list {
    struct model *item;
    size_t n;
};

/* Everything that is complete in all places, sorted by name. A place that cannot be read is a line
 * in env->log, not an error. */
void model_list_new(const struct model_env *env, struct model_list *ret_list);
void model_list_done(struct model_list *list);

/* The model of this name on this disk, or a file of that path. -ENOENT with the nearest names. */
int model_find(const struct model_env *env, const char *name, struct model *ret_model,
               struct gfxb_error *err);

/*
 * ---- other names and options that the user gave models: DATA/models/options.tsv ----
 *
 * {"NAME": {"KEY": value}}. The key "model" makes NAME an alias of that model. The other keys are
 * Ollama's names of options ("temperature", "num_ctx", "stop" ...), "system", "messages",
 * "backend", "license": requests that leave them out get them.
 */

#define MODEL_OPTION_MODEL "model"

/* The table's path, to be freed; NULL without a data directory. */
char *model_options_path(const struct model_env *env);
/* All of it; a new reference. Damaged: -GFXB_E_TABLE with file, line and column. */
int model_options_read(const struct model_env *env, json_t **ret_all, struct gfxb_error *err);
/* Puts these in place of the options of one name, in any case; NULL or an empty object: of nothing.
 */
int model_options_write(const struct model_env *env, const char *name, json_t *options,
                        struct gfxb_error *err);
/* The name in the table that this word means, by its case and ":latest" as any name; NULL none.
 * Lent. */
const char *model_options_name(const json_t *all, const char *word);
/*
 * From alias to alias to the name of a model (lent by `name` or `all`), with the options of all of
 * them, where the first one that has an option counts; a new reference. -ELOOP: there is no end.
 */
int model_options_follow(const json_t *all, const char *name, const char **ret_model,
                         json_t **ret_options, struct gfxb_error *err);

/*
 * The file that says which file the model's name means: a repository's "main", an Ollama manifest.
 * When it changes the name must be looked up again. To be freed by the caller; NULL: the file
 * itself.
 */
char *model_named_by(const struct model *model);

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
 * ---- files that clients upload (blobs), and models made of them: in our store in Ollama's layout
 * ----
 */

struct model_blob; /* one on its way */

/* The path of a blob that is here, in Ollama's store too; to be freed. NULL: none. */
char *model_blob_find(const struct model_env *env, const char *sha256);
/* size: 0 unknown. disk-full when there is no room for it, from model_blob_add too. Nothing has its
 * name before model_blob_end has compared the digest (-EINVAL). */
int model_blob_begin(const struct model_env *env, const char *sha256, uint64_t size,
                     struct model_blob **ret_blob, struct gfxb_error *err);
int model_blob_add(struct model_blob *blob, struct str bytes, struct gfxb_error *err);
int model_blob_end(struct model_blob *blob, struct gfxb_error *err);
void model_blob_free(struct model_blob *blob); /* NULL is fine; one that did not end is removed */

struct model_file {
    const char *name;   /* for sentences */
    const char *sha256; /* of its blob */
};

/* Let a GGUF file, and its projector, be the model of this name, which replaces one that was made
 * so before. -EINVAL: a blob is missing, or these are not the files of one model. */
int model_create(const struct model_env *env, const char *name, const struct model_file *file,
                 size_t n, struct gfxb_error *err);
/* 1: the model, which is ours in Ollama's layout, has this name as well, in place of what had it
 * there; each goes alone. 0: its layout or the name does not allow that. */
int model_add_name(const struct model_env *env, const struct model *model, const char *name,
                   struct gfxb_error *err);

/* Delete uploads, and layers of models of Ollama's, that no model of ours has and nobody wrote for
 * a day. list: nothing is deleted. ret_bytes: of them. */
int model_prune(const struct model_env *env, bool list, uint64_t *ret_bytes,
                struct gfxb_error *err);

/*
 * Delete what we wrote of this model; ret_bytes (may be NULL) is what that freed. -EPERM with a
 * sentence that names the owner of everybody else's. Files that another model here needs too stay.
 */
int model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                 struct gfxb_error *err);

#endif
