/* digest.h - SHA-256 through libcrypto, fed piece by piece. Not part of the core. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/base.h"

#define DIGEST_HEX 65 /* 64 lower-case hex digits and a NUL */

struct digest; /* one running computation */

int digest_new(struct digest **ret_digest, struct gfxb_error *err);
void digest_free(struct digest *d);
void digest_add(struct digest *d, const void *bytes, size_t n);
/* The result as text; the object can only be freed afterwards. */
int digest_end(struct digest *d, char ret_hex[static DIGEST_HEX], struct gfxb_error *err);

int digest_bytes(const void *bytes, size_t n, char ret_hex[static DIGEST_HEX]);
/* Of a whole open file, wherever its offset stands and stays. */
int digest_fd(int fd, char ret_hex[static DIGEST_HEX], struct gfxb_error *err);
int digest_file(const char *path, char ret_hex[static DIGEST_HEX], struct gfxb_error *err);

#endif
