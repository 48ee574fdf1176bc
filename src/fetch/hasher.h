/*
 * hasher.h - the SHA-256 of what arrives, computed beside its arrival: a thread hashes while the
 * caller decrypts and writes. Small files never start one. Private to fetch/.
 */
#ifndef FETCH_HASHER_H
#define FETCH_HASHER_H

#include "base/digest.h"

struct hasher;

int hasher_new(struct hasher **ret_hasher, struct gfxb_error *err);
/* Also in the middle. NULL is fine. */
void hasher_free(struct hasher *h);
/* The bytes are copied. */
void hasher_add(struct hasher *h, const void *bytes, size_t n);
/* Waits for what is still to be hashed; the object can only be freed afterwards. */
int hasher_end(struct hasher *h, char ret_hex[static DIGEST_HEX], struct gfxb_error *err);

#endif
