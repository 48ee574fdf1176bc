#include "base/signature.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

/* base64 of 64 bytes is 88 characters, the last two of them padding. */
enum { SIGNATURE_TEXT = 88, SIGNATURE_PADDING = 2 };

int signature_from_text(struct str base64, unsigned char ret_signature[static SIGNATURE_BYTES])
{
    unsigned char decoded[SIGNATURE_BYTES + SIGNATURE_PADDING];
    if (base64.n != SIGNATURE_TEXT || !str_ends(base64, STR("==")) ||
        EVP_DecodeBlock(decoded, (const unsigned char *)base64.p, SIGNATURE_TEXT) !=
            sizeof(decoded))
        return -EINVAL;
    memcpy(ret_signature, decoded, SIGNATURE_BYTES);
    return 0;
}

static EVP_PKEY *signature_read_key(struct str pem)
{
    BIO *memory = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = memory ? PEM_read_bio_PUBKEY(memory, NULL, NULL, NULL) : NULL;
    BIO_free(memory);
    if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

int signature_check(struct str public_key, struct str bytes,
                    const unsigned char signature[static SIGNATURE_BYTES], struct gfxb_error *err)
{
    EVP_PKEY *key = signature_read_key(public_key);
    if (!key)
        return error_set(err, EINVAL, "the key is no Ed25519 public key in PEM form");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, SIGNATURE_BYTES,
                                 (const unsigned char *)bytes.p, bytes.n) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good ? 0
                : error_set(err, GFXB_E_DIGEST_MISMATCH,
                            "the signature is not by the key that is trusted here");
}
