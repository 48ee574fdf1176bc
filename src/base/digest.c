/* digest.c - SHA-256 through libcrypto. */
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>

struct digest {
    EVP_MD_CTX *context;
};

int digest_new(struct digest **ret_digest, struct gfxb_error *err)
{
    struct digest *d = malloc(sizeof(*d));
    if (!d)
        return error_set(err, ENOMEM, "out of memory");
    d->context = EVP_MD_CTX_new();
    if (!d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1) {
        digest_free(d);
        return error_set(err, EIO, "libcrypto offers no SHA-256 here");
    }
    *ret_digest = d;
    return 0;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->context);
    free(d);
}

void digest_add(struct digest *d, const void *bytes, size_t n)
{
    /* Cannot fail for SHA-256 once initialised; digest_end would tell. */
    EVP_DigestUpdate(d->context, bytes, n);
}

int digest_end(struct digest *d, char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(d->context, raw, &n) != 1 || n != 32)
        return error_set(err, EIO, "libcrypto could not finish a SHA-256");
    for (unsigned i = 0; i < n; i++) {
        ret_hex[2 * i] = digits[raw[i] >> 4];
        ret_hex[2 * i + 1] = digits[raw[i] & 15];
    }
    ret_hex[2 * n] = '\0';
    return 0;
}

int digest_bytes(const void *bytes, size_t n, char ret_hex[static DIGEST_HEX])
{
    struct digest *d;
    int result = digest_new(&d, NULL);
    if (result < 0)
        return result;
    digest_add(d, bytes, n);
    result = digest_end(d, ret_hex, NULL);
    digest_free(d);
    return result;
}

int digest_fd(int fd, char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    enum { PIECE = 1 << 20 };
    char *CLEAN_FREE piece = malloc(PIECE);
    struct digest *d = NULL;
    if (!piece)
        return error_set(err, ENOMEM, "out of memory");
    int result = digest_new(&d, err);
    for (off_t at = 0; result == 0;) {
        ssize_t n = pread(fd, piece, PIECE, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            result = error_set(err, errno, "cannot be read: %s", error_errno_text(errno));
        if (n <= 0)
            break;
        digest_add(d, piece, (size_t)n);
        at += n;
    }
    if (result == 0)
        result = digest_end(d, ret_hex, err);
    digest_free(d);
    return result;
}

int digest_file(const char *path, char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, "read", path);
    int result = digest_fd(fd, ret_hex, err);
    if (result < 0)
        error_prefix(err, "%s: ", path);
    return result;
}
