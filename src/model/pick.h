/*
 * pick.h - which files of a repository make up a model. The rules are llama.cpp's, so that the same
 * words mean the same files in both. Private to model/.
 *
 * Paths are relative to the repository's top, sorted by bytes; an index equal to their number means
 * "none".
 */
#ifndef MODEL_PICK_H
#define MODEL_PICK_H

#include "base/base.h"

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

/* A GGUF file that is a model or a part of one, by its name: no projector, matrix or drafter. */
bool pick_is_model(struct str path);

/* The quantisation in a file's name: "Q4_K_M", "UD-Q4_K_XL"; empty when there is none. */
struct str pick_tag(struct str path);

/* The model for a tag; empty: Q4_K_M, else Q8_0, else the first. Of a split one the first part. */
size_t pick_model(const char *const *path, size_t n, struct str tag);

/* Is path[i] the number-th part of what path[first] is a part of? */
bool pick_is_part(struct str first, struct str path, unsigned *ret_index);

/* The projector that goes with a model: the deepest directory above it, then the nearest width. */
size_t pick_projector(const char *const *path, size_t n, struct str model);

#endif
