/* cmd_update.c - fetches a newer signed set of tables. */
#include "cli/request.h"
#include "cli/table_set.h"

#include <errno.h>

enum { UPDATE_FROM };

static const struct cli_option update_options[] = {
    {"from", "FILE", "a set that was fetched before, without the network"},
    {NULL, NULL, NULL},
};

extern const char cli_data_update_key[], cli_data_update_key_end[];

/* The key that sets must be signed with: this person's own, else the one that was built in. */
static int update_key(const struct cli *cli, struct buf *ret, struct gfxb_error *err)
{
    char *CLEAN_FREE path = cli->config_dir ? xfs_join(cli->config_dir, "update.pem") : NULL;
    int result = path ? fs_read(path, ret->max, ret) : -ENOENT;
    if (result < 0 && result != -ENOENT)
        return fs_error(err, -result, "read", path);
    if (result < 0)
        buf_add(ret, cli_data_update_key, (size_t)(cli_data_update_key_end - cli_data_update_key));
    return ret->n ? 0
                  : error_set(err, ENOKEY,
                              "no key is trusted to sign tables: this gfxbridge was built without "
                              "one; put your source's public key into %s",
                              path ? path : "the config directory's update.pem");
}

static int update_fetch(struct cli *cli, struct buf *ret, struct gfxb_error *err)
{
    const char *given = getenv("GFXBRIDGE_UPDATE_URL");
    const char *url = given && *given ? given : GFXB_UPDATE_URL;
    if (cli->no_network)
        return error_set(err, GFXB_E_OFFLINE,
                         "newer tables come over the network: without it give --from FILE");
    if (!url[0])
        return error_set(err, GFXB_E_USAGE,
                         "this gfxbridge was built without an address for newer tables: give "
                         "--from FILE, or set GFXBRIDGE_UPDATE_URL");
    struct package_net net = cli_package_net(cli);
    struct fetch_request request = {.url = url, .what = "the tables", .max = TABLE_SET_MAX};
    struct fetch_result fetched = FETCH_RESULT_INIT;
    net.fetch.cancel = &cli_cancelled;
    int result = fetch_get(&net.fetch, &request, ret, &fetched, err);
    return result;
}

static int update_read(struct cli *cli, const char *from, struct buf *ret, struct gfxb_error *err)
{
    int result = from ? fs_read(from, ret->max, ret) : update_fetch(cli, ret, err);
    if (from && result < 0)
        fs_error(err, -result, "read", from);
    return result;
}

/* Do these tables hold, together with the built-in ones that they do not replace? */
static int update_prove(const struct table_set *set, struct gfxb_error *err)
{
    struct gfx_tables *tables = NULL;
    int result = gfx_tables_from(set->source, set->n, &tables, err);
    if (result == 0)
        result = cli_table_check(tables, err);
    gfx_tables_free(tables);
    if (result < 0)
        error_prefix(err, "the new tables are not taken: ");
    return result;
}

static int update_tell(const struct cli *cli, uint64_t version, bool taken, struct gfxb_error *err)
{
    if (cli->json)
        return cli_print_json(
            json_pack("{s:I, s:b}", "version", (json_int_t)version, "taken", taken), err);
    text_print(stdout,
               taken ? "The tables are those of version %llu now."
                     : "The tables are up to date: version %llu.",
               (unsigned long long)version);
    return CLI_DONE;
}

static int update_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct buf CLEAN_BUF key = BUF_INIT(64 << 10), bytes = BUF_INIT(TABLE_SET_MAX);
    struct table_set set;
    uint64_t have = 0;
    cli_catch_signals();
    int result = cli_need_data_dir(cli, err);
    if (result == 0)
        result = update_key(cli, &key, err);
    if (result == 0)
        result = update_read(cli, args->value[UPDATE_FROM], &bytes, err);
    if (result == 0)
        result = table_set_read(buf_view(&bytes), buf_view(&key), &set, err);
    if (result < 0)
        return result;
    char *CLEAN_FREE newest = table_set_newest(cli->data_dir, &have);
    if (set.version < have)
        return error_set(err, GFXB_E_TABLE,
                         "these tables are older (version %llu) than those in use (version %llu) "
                         "and are not taken",
                         (unsigned long long)set.version, (unsigned long long)have);
    if (set.version == have)
        return update_tell(cli, have, false, err);
    result = update_prove(&set, err);
    if (result == 0)
        result = table_set_publish(cli->data_dir, &set, err);
    return result < 0 ? result : update_tell(cli, set.version, true, err);
}

const struct cli_command cli_command_update = {
    .name = "update",
    .words = "",
    .summary = "newer compatibility tables, signed",
    .about = "Fetches a newer set of tables (cards, targets, packages, quirks), checks its "
             "signature and every rule of table check, and takes it as a whole. --from FILE takes "
             "one without the network. An older set is refused. Your own tables in the config "
             "directory still come first.",
    .options = update_options,
    .run = update_run,
};
