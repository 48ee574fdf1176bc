/* proofs.h - the text of one stored proof. Private to engine/; also fuzzed. */
#ifndef ENGINE_PROOFS_H
#define ENGINE_PROOFS_H

#include "engine/engine.h"

struct proofs_item {
    char *fingerprint; /* owned */
    char day[16];
    struct engine_proof proof;
};

#define PROOFS_DIR      "proofs" /* below the data directory */
#define PROOFS_SUFFIX   ".proof" /* behind the fingerprint's sha256 */
#define PROOFS_NAME     64       /* hex digits of a sha256 */
#define PROOFS_TEXT_MAX (1u << 20)

/* Is it the name of a stored proof's file? */
bool proofs_is_name(const char *name);

/* 0, or -EBADMSG when it is not the text of a proof, or -ENOMEM. */
int proofs_parse(struct str text, struct proofs_item *ret_item);
void proofs_item_done(struct proofs_item *item);
void proofs_print(const char *fingerprint, const char *day, const struct engine_proof *proof,
                  struct buf *ret);

#endif
