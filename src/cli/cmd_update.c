/* cmd_update.c - fetches a newer signed set of tables, and finds the newest one. */
#include "cli/cli.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

/*
 * A set is one file: the line "gfxbridge-tables 1", the line "signature BASE64", and what the
 * signature is over: "version NUMBER", a line "table NAME.tsv BYTES" for each, an empty line, and
 * the tables one behind the other. tools/sign-tables writes it. Its tables are kept in
 * DATA/tables/NUMBER/.
 */
struct table_set {
    uint64_t version;
    struct gfx_table_source source[GFX_TABLES]; /* views into the file's bytes */
    size_t n;
};

#define TABLE_SET_DIR "tables" /* below the data directory */

enum {
    TABLE_SET_MAX = 64 << 20,
    ED25519_BYTES = 64,
    ED25519_BASE64 = 88, /* of which the last two are padding */
};

const char *cli_newest_tables(struct cli *cli, uint64_t *ret_version)
{
    uint64_t newest = GFXB_TABLES_VERSION, version;
    char *CLEAN_FREE dir = cli->data_dir ? xfs_join(cli->data_dir, TABLE_SET_DIR) : NULL;
    DIR *CLEAN_DIR list = dir ? opendir(dir) : NULL;
    const char *name;
    while ((name = fs_next(list))) {
        if (str_to_u64(str_from(name), 10, &version) == 0 && version > newest)
            newest = version;
    }
    *ret_version = newest;
    return newest == GFXB_TABLES_VERSION
               ? NULL
               : cli_keep(cli, xasprintf("%s/%llu", dir, (unsigned long long)newest));
}

/* Was this signature made over these bytes with the private half of the public key (PEM)? */
static void set_check_signature(struct cli *cli, struct str public_key, struct str bytes,
                                const unsigned char *signature)
{
    BIO *memory = BIO_new_mem_buf(public_key.p, (int)public_key.n);
    EVP_PKEY *key = memory ? PEM_read_bio_PUBKEY(memory, NULL, NULL, NULL) : NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool usable = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
    bool good = usable && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, ED25519_BYTES, (const unsigned char *)bytes.p,
                                 bytes.n) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(memory);
    if (!usable)
        cli_die(cli, EINVAL, "the key is no Ed25519 public key in PEM form");
    if (!good)
        cli_die(cli, GFXB_E_DIGEST_MISMATCH,
                "the signature is not by the key that is trusted here");
}

static void set_malformed(struct cli *cli, const char *what) __attribute__((noreturn));

static void set_malformed(struct cli *cli, const char *what)
{
    cli_die(cli, GFXB_E_TABLE, "this is no set of tables of gfxbridge: %s", what);
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

/* "NAME.tsv BYTES"; the views are filled in when all sizes are known. */
static void set_read_entry(struct cli *cli, struct str entry, struct table_set *set)
{
    struct str name, size;
    uint64_t bytes;
    if (set->n == GFX_TABLES || !str_word(&entry, &name) || !str_word(&entry, &size) ||
        str_to_u64(size, 10, &bytes) < 0 || bytes > TABLE_SET_MAX)
        set_malformed(cli, "a line about a table is wrong");
    for (enum gfx_table i = 0; i < GFX_TABLES; i++) {
        char file[32];
        snprintf(file, sizeof(file), "%s.tsv", gfx_table_name(i));
        if (!str_is(name, file))
            continue;
        set->source[set->n++] =
            (struct gfx_table_source){i, gfx_table_name(i), {NULL, (size_t)bytes}};
        return;
    }
    set_malformed(cli, "it holds a table that this version does not know: get a newer gfxbridge");
}

/* Take a file apart after its signature was checked with this key (PEM). */
static void set_read(struct cli *cli, struct str bytes, struct str key, struct table_set *ret_set)
{
    struct table_set set = {0};
    struct str rest;
    unsigned char signature[ED25519_BYTES + 2];
    if (!set_line(&bytes, STR("gfxbridge-tables "), &rest))
        set_malformed(cli, "it does not begin with gfxbridge-tables");
    if (!str_is(rest, "1"))
        set_malformed(cli, "it has a newer form: get a newer gfxbridge");
    if (!set_line(&bytes, STR("signature "), &rest) || rest.n != ED25519_BASE64 ||
        !str_ends(rest, STR("==")) ||
        EVP_DecodeBlock(signature, (const unsigned char *)rest.p, ED25519_BASE64) !=
            sizeof(signature))
        set_malformed(cli, "it is not signed");
    set_check_signature(cli, key, bytes, signature);
    if (!set_line(&bytes, STR("version "), &rest) || str_to_u64(rest, 10, &set.version) < 0)
        set_malformed(cli, "it has no version");
    while (set_line(&bytes, STR("table "), &rest))
        set_read_entry(cli, rest, &set);
    if (!set_line(&bytes, STR_NONE, &rest) || rest.n)
        set_malformed(cli, "its list of tables has no end");
    for (size_t i = 0; i < set.n; i++) {
        struct str *table = &set.source[i].bytes;
        if (table->n > bytes.n)
            set_malformed(cli, "it is cut short");
        table->p = bytes.p;
        bytes = (struct str){bytes.p + table->n, bytes.n - table->n};
    }
    if (set.n == 0 || bytes.n)
        set_malformed(cli, "it holds something else than its tables");
    *ret_set = set;
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

/* Make it the newest below the data directory, and remove older ones. */
static void set_publish(struct cli *cli, const struct table_set *set)
{
    char name[24];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)set->version);
    char *CLEAN_FREE dir = xfs_join(cli->data_dir, TABLE_SET_DIR);
    char *CLEAN_FREE final = xfs_join(dir, name);
    char *CLEAN_FREE stage = xasprintf("%s/new-%s-%d", dir, name, (int)getpid());
    int result = fs_make_dirs(stage, 0755, &cli->err);
    for (size_t i = 0; i < set->n && result == 0; i++) {
        const struct gfx_table_source *source = &set->source[i];
        char *CLEAN_FREE path = xasprintf("%s/%s.tsv", stage, source->file);
        result = fs_write(path, source->bytes.p, source->bytes.n, 0644, &cli->err);
    }
    if (result == 0)
        result = fs_publish_tree(stage, final, &cli->err);
    fs_remove_tree(stage);
    if (result != -EEXIST) /* another process was first with the same set */
        cli_check(cli, result);
    set_remove_others(dir, name);
}

/* ---- the command ---- */

enum { UPDATE_FROM };

static const struct cli_option update_options[] = {
    {"from", "FILE", "a set that was fetched before, without the network"},
    {NULL, NULL, NULL},
};

extern const char cli_data_update_key[], cli_data_update_key_end[];

/* The key that sets must be signed with: this person's own, else the one that was built in. */
static void update_key(struct cli *cli, struct buf *ret)
{
    char *CLEAN_FREE path = cli->config_dir ? xfs_join(cli->config_dir, "update.pem") : NULL;
    if (!cli_read_file(cli, path, true, ret))
        buf_add(ret, cli_data_update_key, (size_t)(cli_data_update_key_end - cli_data_update_key));
    if (!ret->n)
        cli_die(cli, ENOKEY,
                "no key is trusted to sign tables: this gfxbridge was built without one; put your "
                "source's public key into %s",
                path ? path : "the config directory's update.pem");
}

static void update_fetch(struct cli *cli, struct buf *ret)
{
    const char *given = cli_setting("GFXBRIDGE_UPDATE_URL");
    const char *url = given ? given : GFXB_UPDATE_URL;
    if (cli->no_network)
        cli_die(cli, GFXB_E_OFFLINE,
                "newer tables come over the network: without it give --from FILE");
    if (!url[0])
        cli_die(cli, GFXB_E_USAGE,
                "this gfxbridge was built without an address for newer tables: give --from FILE, "
                "or set GFXBRIDGE_UPDATE_URL");
    struct package_net net = cli_package_net(cli);
    struct fetch_request request = {.url = url, .what = "the tables", .max = TABLE_SET_MAX};
    struct fetch_result fetched = FETCH_RESULT_INIT;
    cli_check(cli, fetch_get(&net.fetch, &request, ret, &fetched, &cli->err));
}

/* Do these tables hold, together with the built-in ones that they do not replace? */
static void update_prove(struct cli *cli, const struct table_set *set)
{
    struct gfx_tables *tables = NULL;
    int result = gfx_tables_from(set->source, set->n, &tables, &cli->err);
    if (result == 0)
        result = cli_table_check(tables, &cli->err);
    gfx_tables_free(tables);
    if (result < 0)
        error_prefix(&cli->err, "the new tables are not taken: ");
    cli_check(cli, result);
}

static int update_run(struct cli *cli, const struct cli_args *args)
{
    struct buf CLEAN_BUF key = BUF_INIT(64 << 10), bytes = BUF_INIT(TABLE_SET_MAX);
    const char *from = args->value[UPDATE_FROM];
    struct table_set set;
    uint64_t have = 0;
    cli_catch_signals();
    cli_need_data_dir(cli);
    update_key(cli, &key);
    if (from)
        cli_read_file(cli, from, false, &bytes);
    else
        update_fetch(cli, &bytes);
    set_read(cli, buf_view(&bytes), buf_view(&key), &set);
    cli_newest_tables(cli, &have);
    if (set.version < have)
        cli_die(cli, GFXB_E_TABLE,
                "these tables are older (version %llu) than those in use (version %llu) and are "
                "not taken",
                (unsigned long long)set.version, (unsigned long long)have);
    bool taken = set.version > have;
    if (taken) {
        update_prove(cli, &set);
        set_publish(cli, &set);
    }
    if (cli->json)
        cli_print_json(cli,
                       json_pack("{s:I, s:b}", "version", (json_int_t)set.version, "taken", taken));
    else
        text_print(stdout,
                   taken ? "The tables are those of version %llu now."
                         : "The tables are up to date: version %llu.",
                   (unsigned long long)set.version);
    return CLI_DONE;
}

const struct cli_command cli_command_update = {
    .name = "update",
    .summary = "newer compatibility tables, signed",
    .about = "Fetches a newer set of tables (cards, targets, packages, quirks), checks its "
             "signature and every rule of table check, and takes it as a whole. --from FILE takes "
             "one without the network. An older set is refused. Your own tables in the config "
             "directory still come first.",
    .options = update_options,
    .run = update_run,
};
