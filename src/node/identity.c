/* identity.c - the key and the certificate by which other nodes know this computer. */
#include "node/node_private.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <sys/stat.h>

enum { IDENTITY_FILE_MAX = 16384 };

struct node_identity {
    SSL_CTX *context;
    char key[DIGEST_HEX];
};

int node_lock(const char *config_dir, int *ret_fd, struct gfxb_error *err)
{
    if (!config_dir)
        return error_set(err, ENOENT,
                         "no place for keys: this user has no home directory; set XDG_CONFIG_HOME");
    char *CLEAN_FREE path = xfs_join(config_dir, "nodes.lock");
    int result = fs_make_dirs(config_dir, 0700, err);
    return result < 0 ? result : fs_lock(path, true, NULL, ret_fd, err);
}

int node_certificate_key(X509 *certificate, char ret_key[static DIGEST_HEX])
{
    unsigned char *der = NULL;
    int n = certificate ? i2d_X509(certificate, &der) : -1;
    int result = n > 0 ? digest_bytes(der, (size_t)n, ret_key) : -EINVAL;
    OPENSSL_free(der);
    return result;
}

/* No names in it, and dates that every clock is between. */
static X509 *identity_certify(EVP_PKEY *key)
{
    X509 *x = X509_new();
    unsigned char serial[16];
    BIGNUM *number = NULL;
    bool ok = x && X509_set_version(x, X509_VERSION_3) && RAND_bytes(serial, sizeof(serial)) == 1;
    serial[0] &= 0x7f;
    ok = ok && (number = BN_bin2bn(serial, sizeof(serial), NULL)) &&
         BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) &&
         ASN1_TIME_set_string(X509_getm_notBefore(x), "19700101000000Z") &&
         ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z") &&
         X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                    (const unsigned char *)"node", -1, -1, 0) &&
         X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_set_pubkey(x, key) &&
         X509_sign(x, key, EVP_sha256());
    BN_free(number);
    if (!ok) {
        X509_free(x);
        x = NULL;
    }
    return x;
}

static int identity_make(const char *path, struct gfxb_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? identity_certify(key) : NULL;
    BIO *text = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    bool ok = certificate && text &&
              PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) &&
              PEM_write_bio_X509(text, certificate);
    long n = ok ? BIO_get_mem_data(text, &bytes) : 0;
    int result = ok ? fs_write(path, bytes, (size_t)n, 0600, err)
                    : error_set(err, EIO, "libcrypto cannot make a key of this computer");
    BIO_free(text);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return result;
}

/* TLS 1.3 alone, and only what our own certificates need. */
static SSL_CTX *identity_context(EVP_PKEY *key, X509 *certificate)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
        SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256") &&
        SSL_CTX_set1_groups_list(context, "P-256") &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") &&
        SSL_CTX_use_certificate(context, certificate) && SSL_CTX_use_PrivateKey(context, key) &&
        SSL_CTX_set_num_tickets(context, 0)) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_cert_verify_callback(context, tls_verify, NULL);
        SSL_CTX_set_max_cert_list(context, IDENTITY_FILE_MAX);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(context,
                         SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

static int identity_load(const char *path, struct buf *text, struct node_identity **ret_identity,
                         struct gfxb_error *err)
{
    BIO *bio = BIO_new_mem_buf(text->p, (int)text->n);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    struct node_identity *identity = xcalloc(1, sizeof(*identity));
    int result = 0;
    if (key && certificate && X509_check_private_key(certificate, key) == 1 &&
        node_certificate_key(certificate, identity->key) == 0)
        identity->context = identity_context(key, certificate);
    BIO_free(bio);
    X509_free(certificate);
    EVP_PKEY_free(key);
    if (identity->context)
        *ret_identity = identity;
    else {
        free(identity);
        result = error_set(err, EINVAL,
                           "%s does not hold a key of gfxbridge: remove it, and pair every "
                           "node again",
                           path);
    }
    return result;
}

/* With the lock. */
static int identity_read(const char *path, struct buf *text, struct gfxb_error *err)
{
    struct stat st;
    if (stat(path, &st) < 0 && errno == ENOENT) {
        fs_sweep_writes(path);
        int result = identity_make(path, err);
        if (result < 0)
            return result;
    }
    int result = fs_read(path, IDENTITY_FILE_MAX, text);
    if (result < 0)
        return fs_error(err, -result, "read", path);
    if (stat(path, &st) == 0 && (st.st_mode & 077))
        return error_set(err, EPERM,
                         "other users may read the key of this computer: if nobody has, chmod 600 "
                         "%s; else remove it, and pair every node again",
                         path);
    return 0;
}

int node_identity_open(const char *config_dir, struct node_identity **ret_identity,
                       struct gfxb_error *err)
{
    int CLEAN_CLOSE lock = -1;
    struct buf text = BUF_INIT(IDENTITY_FILE_MAX + 1);
    int result = node_lock(config_dir, &lock, err);
    if (result < 0)
        return result;
    char *CLEAN_FREE path = xfs_join(config_dir, "node.pem");
    buf_room(&text, IDENTITY_FILE_MAX); /* it does not move: no copy of the key stays behind */
    result = identity_read(path, &text, err);
    if (result == 0)
        result = identity_load(path, &text, ret_identity, err);
    if (text.p)
        OPENSSL_cleanse(text.p, text.capacity);
    buf_done(&text);
    return result;
}

void node_computer(char ret_computer[static DIGEST_HEX])
{
    struct buf CLEAN_BUF text = BUF_INIT(256);
    ret_computer[0] = '\0';
    buf_add_text(&text, "gfxbridge");
    if (fs_read("/proc/sys/kernel/random/boot_id", 128, &text) < 0 ||
        digest_bytes(text.p, text.n, ret_computer) < 0)
        ret_computer[0] = '\0';
}

void node_identity_free(struct node_identity *identity)
{
    if (identity)
        SSL_CTX_free(identity->context);
    free(identity);
}

const char *node_identity_key(const struct node_identity *identity)
{
    return identity->key;
}

SSL_CTX *node_identity_context(const struct node_identity *identity)
{
    return identity->context;
}
