#include "cli/wish.h"

#include <dirent.h>
#include <errno.h>

/* What lies directly below the data directory, and whether prune may take it. */
static const struct storage_place {
    const char *name;
    const char *kind;
    bool prune; /* made again when it is needed */
} storage_places[] = {
    {"cache", "caches", true},
    {"canary", "canary", false},
    {"packages", "packages", false},
    {"proofs", "proofs", false},
};

struct storage_item {
    const char *kind;
    const char *name;
    uint64_t bytes;
    bool in_use;
};

static void storage_print(const struct storage_item *item, json_t *items)
{
    char size[32];
    if (items) {
        json_t *object = json_object();
        json_object_set_new(object, "kind", json_string(item->kind));
        json_object_set_new(object, "name", cli_json_text(item->name));
        json_object_set_new(object, "bytes", json_integer((json_int_t)item->bytes));
        json_object_set_new(object, "in_use", json_boolean(item->in_use));
        json_array_append_new(items, object);
        return;
    }
    cli_bytes_text(item->bytes, size, sizeof(size));
    printf("%10s  %-9s %s%s\n", item->bytes ? size : "0 B", item->kind, item->name,
           item->in_use ? "" : " (prune removes it)");
}

/* A package is superseded when a newer one of the same id is there and nobody pinned it. The list
 * is newest first. */
static bool storage_is_used(const struct package_list *list, size_t i)
{
    if (list->item[i].pinned)
        return true;
    for (size_t k = 0; k < i; k++) {
        if (strcmp(list->item[k].id, list->item[i].id) == 0)
            return false;
    }
    return true;
}

static int storage_list(struct cli *cli, const struct package_list *list, struct gfxb_error *err)
{
    json_t *items = cli->json ? json_array() : NULL;
    uint64_t total = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct package *p = &list->item[i];
        storage_print(&(struct storage_item){"package", p->id, p->bytes, storage_is_used(list, i)},
                      items);
        total += p->bytes;
    }
    for (size_t i = 0; i < sizeof(storage_places) / sizeof(storage_places[0]); i++) {
        const struct storage_place *place = &storage_places[i];
        char *CLEAN_FREE dir = fs_join(cli->data_dir, place->name);
        uint64_t bytes = 0;
        if (!dir || strcmp(place->kind, "packages") == 0 || fs_tree_bytes(dir, &bytes) < 0)
            continue;
        storage_print(&(struct storage_item){place->kind, dir, bytes, !place->prune}, items);
        total += bytes;
    }
    if (items)
        return cli_print_json(json_pack("{s:s, s:o, s:I}", "data_dir", cli->data_dir, "items",
                                        items, "total_bytes", (json_int_t)total),
                              err);
    char size[32];
    cli_bytes_text(total, size, sizeof(size));
    printf("%10s  in %s, all of it made by gfxbridge\n", total ? size : "0 B", cli->data_dir);
    return CLI_DONE;
}

static int storage_prune(struct cli *cli, const struct package_env *env,
                         const struct package_list *list, struct gfxb_error *err)
{
    int result = 0;
    for (size_t i = 0; i < list->n && result == 0; i++) {
        if (storage_is_used(list, i))
            continue;
        log_at(&cli->log, LOG_INFO, "removing %s %.12s", list->item[i].id, list->item[i].digest);
        result = package_remove(env, list->item[i].digest, err);
    }
    for (size_t i = 0; i < sizeof(storage_places) / sizeof(storage_places[0]); i++) {
        const struct storage_place *place = &storage_places[i];
        char *CLEAN_FREE dir = place->prune ? fs_join(cli->data_dir, place->name) : NULL;
        if (!dir || result < 0)
            continue;
        result = fs_remove_tree(dir);
        if (result < 0)
            error_set(err, -result, "cannot remove %s: %s", dir, error_errno_text(-result));
    }
    return result;
}

static int storage_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const char *verb = args->n_words ? args->word[0] : "list";
    bool prune = strcmp(verb, "prune") == 0;
    if (!prune && strcmp(verb, "list") != 0)
        return error_set(err, GFXB_E_USAGE, "no such word: storage %s; it is prune or nothing",
                         verb);
    const struct root *root;
    const struct gfx_tables *tables;
    struct package_list list;
    int result = cli_root(cli, &root, err);
    if (result == 0)
        result = cli_tables(cli, &tables, err);
    if (result < 0)
        return result;
    struct package_env env = {
        .data_dir = cli->data_dir, .tables = tables, .root = root, .log = &cli->log};
    result = package_list_new(&env, &list, err);
    if (result < 0)
        return result;
    if (prune)
        result = storage_prune(cli, &env, &list, err);
    else
        result = storage_list(cli, &list, err);
    package_list_done(&list);
    return result;
}

const struct cli_command cli_command_storage = {
    .name = "storage",
    .words = "[prune]",
    .max_words = 1,
    .summary = "what packages, models and proofs take on disk",
    .about = "Lists what gfxbridge keeps in its data directory and what each takes. prune removes\n"
             "caches and packages that a newer one of the same kind replaced; nothing that is in\n"
             "use, and nothing that gfxbridge did not make.",
    .run = storage_run,
};
