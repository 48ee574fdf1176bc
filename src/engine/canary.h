/* canary.h - the canary model's questions and answers (data/canary.tsv). Private to engine/. */
#ifndef ENGINE_CANARY_H
#define ENGINE_CANARY_H

#include "engine/engine.h"

#define CANARY_PROOFS_MAX 16

struct canary_proof {
    struct str prompt;
    struct str answer; /* to the byte, with greedy decoding */
};

/* The rows of kind "proof", at most CANARY_PROOFS_MAX, at least one; views that live as long as the
 * program. */
int canary_proofs(struct canary_proof ret_proof[static CANARY_PROOFS_MAX], size_t *ret_n,
                  struct gfxb_error *err);

/* Where its file is once it is written (to be freed; NULL out of memory), and its bytes. */
char *canary_file(const char *data_dir);
size_t canary_size(void);

/* Is this path its file's, by the name? */
bool canary_is(const char *path);

/* Where two texts begin to differ, for a sentence: "at byte 12: '...' instead of '...'". */
void canary_difference(struct str got, struct str wanted, char *ret_text, size_t size);

#endif
