/* signature.h - Ed25519 signatures through libcrypto. Not part of the core. */
#ifndef BASE_SIGNATURE_H
#define BASE_SIGNATURE_H

#include "base/base.h"

#define SIGNATURE_BYTES 64

/* base64 text to a signature; -EINVAL when it is none. */
int signature_from_text(struct str base64, unsigned char ret_signature[static SIGNATURE_BYTES]);

/* Was this made over these bytes with the private half of the public key (PEM)? 0 yes;
 * -GFXB_E_DIGEST_MISMATCH no; -EINVAL no usable key. */
int signature_check(struct str public_key, struct str bytes,
                    const unsigned char signature[static SIGNATURE_BYTES], struct gfxb_error *err);

#endif
