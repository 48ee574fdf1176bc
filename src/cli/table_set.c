/* table_set.c - sets of newer tables: signed, checked, published. */
#include "cli/table_set.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

char *table_set_newest(const char *data_dir, uint64_t *ret_version)
{
    uint64_t newest = GFXB_TABLES_VERSION, version;
    char *CLEAN_FREE dir = data_dir ? xfs_join(data_dir, TABLE_SET_DIR) : NULL;
    DIR *CLEAN_DIR list = dir ? opendir(dir) : NULL;
    const char *name;
    while ((name = fs_next(list))) {
        if (str_to_u64(str_from(name), 10, &version) == 0 && version > newest)
            newest = version;
    }
    *ret_version = newest;
    return newest == GFXB_TABLES_VERSION ? NULL
                                         : xasprintf("%s/%llu", dir, (unsigned long long)newest);
}

/* ---- Ed25519 signatures ---- */

#define SIGNATURE_BYTES 64

/* base64 of 64 bytes is 88 characters, the last two of them padding. */
enum { SIGNATURE_TEXT = 88, SIGNATURE_PADDING = 2 };

/* base64 text to a signature; -EINVAL when it is none. */
static int signature_from_text(struct str base64,
                               unsigned char ret_signature[static SIGNATURE_BYTES])
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

/* Was this made over these bytes with the private half of the public key (PEM)? 0 yes;
 * -GFXB_E_DIGEST_MISMATCH no; -EINVAL no usable key. */
static int signature_check(struct str public_key, struct str bytes,
                           const unsigned char signature[static SIGNATURE_BYTES],
                           struct gfxb_error *err)
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

/* ---- a set ---- */

static int set_malformed(struct gfxb_error *err, const char *what)
{
    return error_set(err, GFXB_E_TABLE, "this is no set of tables of gfxbridge: %s", what);
}

/* Cut the next line that begins with this word off; ret_rest is what follows the word. */
static bool set_line(struct str *bytes, struct str word, struct str *ret_rest)
{
    struct str line, after = *bytes;
    if (!str_cut(&after, '\n', &line) || !str_starts(line, word))
        return false;
    *ret_rest = str_trim((struct str){line.p + word.n, line.n - word.n});
    *bytes = after;
    return true;
}

static bool set_find_table(struct str file, enum gfx_table *ret_table)
{
    struct str name = file;
    if (!str_ends(file, STR(".tsv")))
        return false;
    name.n -= STR(".tsv").n;
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        if (str_is(name, gfx_table_name((enum gfx_table)i))) {
            *ret_table = (enum gfx_table)i;
            return true;
        }
    }
    return false;
}

/* "NAME.tsv BYTES"; the views are filled in when all sizes are known. */
static int set_read_entry(struct str entry, struct table_set *set, struct gfxb_error *err)
{
    struct str name, size;
    uint64_t bytes;
    if (set->n == GFX_TABLES || !str_word(&entry, &name) || !str_word(&entry, &size) ||
        str_to_u64(size, 10, &bytes) < 0 || bytes > TABLE_SET_MAX)
        return set_malformed(err, "a line about a table is wrong");
    struct gfx_table_source *source = &set->source[set->n++];
    if (!set_find_table(name, &source->table))
        return set_malformed(err, "it holds a table that this version does not know: get a newer "
                                  "gfxbridge");
    source->file = gfx_table_name(source->table);
    source->bytes.n = (size_t)bytes;
    return 0;
}

int table_set_read(struct str bytes, struct str key, struct table_set *ret_set,
                   struct gfxb_error *err)
{
    struct table_set set = {0};
    struct str rest;
    unsigned char signature[SIGNATURE_BYTES];
    if (!set_line(&bytes, STR("gfxbridge-tables "), &rest))
        return set_malformed(err, "it does not begin with gfxbridge-tables");
    if (!str_is(rest, "1"))
        return set_malformed(err, "it has a newer form: get a newer gfxbridge");
    if (!set_line(&bytes, STR("signature "), &rest) || signature_from_text(rest, signature) < 0)
        return set_malformed(err, "it is not signed");
    int result = signature_check(key, bytes, signature, err);
    if (result < 0)
        return result;
    if (!set_line(&bytes, STR("version "), &rest) || str_to_u64(rest, 10, &set.version) < 0)
        return set_malformed(err, "it has no version");
    while (result == 0 && set_line(&bytes, STR("table "), &rest))
        result = set_read_entry(rest, &set, err);
    if (result < 0)
        return result;
    if (!set_line(&bytes, STR_NONE, &rest) || rest.n)
        return set_malformed(err, "its list of tables has no end");
    for (size_t i = 0; i < set.n; i++) {
        struct str *table = &set.source[i].bytes;
        if (table->n > bytes.n)
            return set_malformed(err, "it is cut short");
        table->p = bytes.p;
        bytes = (struct str){bytes.p + table->n, bytes.n - table->n};
    }
    if (set.n == 0 || bytes.n)
        return set_malformed(err, "it holds something else than its tables");
    *ret_set = set;
    return 0;
}

static int set_write_tables(const char *dir, const struct table_set *set, struct gfxb_error *err)
{
    int result = 0;
    for (size_t i = 0; i < set->n && result == 0; i++) {
        const struct gfx_table_source *source = &set->source[i];
        char *CLEAN_FREE path = xasprintf("%s/%s.tsv", dir, gfx_table_name(source->table));
        result = fs_write(path, source->bytes.p, source->bytes.n, 0644, err);
    }
    return result;
}

/* Everything in DATA/tables but this version. */
static void set_remove_others(const char *dir, const char *keep)
{
    DIR *CLEAN_DIR list = opendir(dir);
    const char *name;
    while ((name = fs_next(list))) {
        char *CLEAN_FREE path = xfs_join(dir, name);
        if (name[0] != '.' && strcmp(name, keep) != 0)
            fs_remove_tree(path);
    }
}

int table_set_publish(const char *data_dir, const struct table_set *set, struct gfxb_error *err)
{
    char name[24];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)set->version);
    char *CLEAN_FREE dir = xfs_join(data_dir, TABLE_SET_DIR);
    char *CLEAN_FREE final = xfs_join(dir, name);
    char *CLEAN_FREE stage = xasprintf("%s/new-%s-%d", dir, name, (int)getpid());
    int result = fs_make_dirs(stage, 0755, err);
    if (result == 0)
        result = set_write_tables(stage, set, err);
    if (result == 0)
        result = fs_publish_tree(stage, final, err);
    if (result == -EEXIST) /* another process was first with the same set */
        result = 0;
    fs_remove_tree(stage);
    if (result == 0)
        set_remove_others(dir, name);
    return result;
}
