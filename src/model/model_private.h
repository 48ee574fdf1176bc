/*
 * model_private.h - what the files of model/ share: which files make up a model, lists, tables.
 */
#ifndef MODEL_MODEL_PRIVATE_H
#define MODEL_MODEL_PRIVATE_H

#include "model/cache/cache.h"

/*
 * ---- pick.c: which files of a repository make up a model ----
 *
 * The rules are llama.cpp's, so that the same words mean the same files in both. Paths are relative
 * to the repository's top, sorted by bytes; an index equal to their number means "none".
 */

#define PICK_PATH_MAX 400

/*
 * May a path that somebody else names be made below one of our directories? Relative, no empty
 * part, none that begins with a dot (".." of course), no backslash and no control character.
 */
bool pick_is_safe(struct str path);

/* The last part of a path. */
struct str pick_name(struct str path);

/* "dir/name-Q4_K_M-00001-of-00003.gguf" taken apart. */
struct pick_split {
    struct str prefix; /* "dir/name-Q4_K_M": without the part's number and ".gguf" */
    unsigned index;    /* from 1 */
    unsigned count;    /* 1 of an unsplit file */
};

/* False for what does not end in ".gguf". */
bool pick_take_apart(struct str path, struct pick_split *ret_split);

/* "DIR/name-00002-of-00003.gguf" for any part of the model; the file itself when it is not split.
 * To be freed by the caller. */
char *pick_part(const char *path, unsigned number);

/* A GGUF file that is a model by its name (no projector, matrix or drafter): not split, or its
 * first part. */
bool pick_is_first_part(struct str path);

/* The quantisation in a file's name: "Q4_K_M", "UD-Q4_K_XL"; empty when there is none. */
struct str pick_tag(struct str path);

/* The model for a tag; empty: Q4_K_M, else Q8_0, else the first. Of a split one the first part. */
size_t pick_model(const char *const *path, size_t n, struct str tag);

/* The file of this path, in this case first, or of this name in any folder. -GFXB_E_MODEL_UNKNOWN
 * (and none): several have the name, which the sentence lists. */
int pick_file(const char *const *path, size_t n, struct str wanted, size_t *ret_index,
              struct gfxb_error *err);

/* Is path[i] the number-th part of what path[first] is a part of? */
bool pick_is_part(struct str first, struct str path, unsigned *ret_index);

/* The projector that goes with a model: the deepest directory above it, then the nearest width. */
size_t pick_projector(const char *const *path, size_t n, struct str model);

/* ---- name.c ---- */

/* Is it the path of a file, or of one in the working directory where env->files says so? */
bool name_is_file(const struct model_env *env, const char *text);

/* As model_name_nearest_known, of these names. */
void name_nearest(const char *text, const struct str *name, size_t n, char *ret_text, size_t size);

/* A name of the hub that says no host, as one of the Ollama registry. False: it cannot be one. */
bool name_as_ollama(const struct model_name *name, struct model_name *ret_name);

/* The hub that this host belongs to. */
bool hub_of_host(struct str host, enum model_hub *ret_hub);

/* ---- list.c: from files found to models ---- */

/* By name. */
void list_sort(struct model_list *list);

/* The item that this name means: by its own name, by the list's, or as "org/repo" with the
 * quantisation that a pull would take. NULL: none. */
struct model *list_match(const struct model_list *list, const char *name);

/* No model of that name: model-unknown, with how to get it and the nearest names. */
int list_nothing(const struct model_list *list, const char *name, struct gfxb_error *err);

/* The model of the list whose first file has this path. */
int list_find_path(const struct model_env *env, const char *path, struct model *ret_model,
                   struct gfxb_error *err);

/* ---- remove.c ---- */

/*
 * The links and blobs of the record, as far as they are still what we made and nothing else needs
 * them, the directories that are empty then, and the record itself. Adds to *ret_bytes what that
 * freed.
 */
int remove_record(const struct model_env *env, const struct stock_record *record,
                  uint64_t *ret_bytes);

/* ---- the embedded tables ---- */

/* A table of data/: sorted by its first column, each name once, every row with a source, which is
 * the last column. */
struct rows {
    const char *file;        /* "models.tsv" */
    const char *begin, *end; /* its bytes, made by the build */
    const char *const *columns;
};

void rows_start(const struct rows *rows, struct table *t);

/* The row of this name: 1, 0 there is none, or -GFXB_E_TABLE. */
int rows_find(const struct rows *rows, struct str name, struct table *t, struct table_row *ret_row,
              struct gfxb_error *err);

/* Is every row right, by the rules of all tables and by `check`? 0 or -GFXB_E_TABLE. */
int rows_check(const struct rows *rows,
               int (*check)(const struct table *t, const struct table_row *row,
                            struct gfxb_error *err),
               struct gfxb_error *err);

/* A number of at least 1, or 0 for "-". */
int rows_count(const struct table *t, const struct table_row *row, unsigned column, uint64_t max,
               uint64_t *ret, struct gfxb_error *err);

/* The task that a word of this column names. */
int rows_task(const struct table *t, const struct table_row *row, unsigned column, struct str word,
              enum model_task *ret, struct gfxb_error *err);

bool recipe_exists(struct str name);
int recipes_check(struct gfxb_error *err);

#endif
