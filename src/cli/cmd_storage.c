/* cmd_storage.c - what is kept on the disk, and removing what nothing uses. */
#include "cli/request.h"
#include "sysroot/sysroot.h"

#include <errno.h>

/* What lies directly below the data directory. prune takes caches alone, which are made again when
 * they are needed. */
static const struct storage_place {
    const char *name;
    const char *kind;
} storage_places[] = {
    {"bin", "wrapper"},          {"cache", "caches"},  {"canary", "canary"},
    {"chat-history", "history"}, {"models", "models"}, {"packages", "packages"},
    {"proofs", "proofs"},        {"run", "run"},       {"tables", "tables"},
};

#define STORAGE_DRIVER_CACHE "driver" /* the engines' shader caches */
#define STORAGE_LOCK         ".lock"

struct storage_item {
    const char *kind;
    const char *name;
    uint64_t bytes;
    bool in_use; /* prune leaves it */
    const char *remark;
};

static void storage_print(const struct storage_item *item, json_t *items)
{
    char size[32];
    if (items) {
        json_t *object = json_object();
        json_object_set_new(object, "kind", json_string(item->kind));
        json_object_set_new(object, "name", report_json_text(item->name));
        json_object_set_new(object, "bytes", json_integer((json_int_t)item->bytes));
        json_object_set_new(object, "in_use", json_boolean(item->in_use));
        json_array_append_new(items, object);
        return;
    }
    report_bytes_text(item->bytes, size, sizeof(size));
    text_print(stdout, "%10s  %-9s " TEXT_HANG "%s%s", item->bytes ? size : "0 B", item->kind,
               item->name,
               item->remark   ? item->remark
               : item->in_use ? ""
                              : " (prune removes it)");
}

/* With the same code and kernels inside? An engine is here once for each runtime that the cards of
 * this computer need, under one id. */
static bool storage_is_alike(const struct package *a, const struct package *b)
{
    return strcmp(a->id, b->id) == 0 && str_eq(str_from(a->gfx), str_from(b->gfx)) &&
           str_eq(str_from(a->blas), str_from(b->blas));
}

/* A package is superseded when a newer one that serves the same is there and nobody pinned it. The
 * list is newest first. */
static bool storage_is_used(const struct package_list *list, size_t i)
{
    if (list->item[i].pinned)
        return true;
    for (size_t k = 0; k < i; k++) {
        if (storage_is_alike(&list->item[k], &list->item[i]))
            return false;
    }
    return true;
}

/* The name of a cache: of the engines' drivers, or of a provider that the tables name. */
static bool storage_is_cache(const struct gfx_tables *tables, struct str name)
{
    if (str_is(name, STORAGE_DRIVER_CACHE))
        return true;
    for (size_t i = 0; i < tables->n_packages; i++) {
        if (str_eq(tables->package[i].provider, name))
            return true;
    }
    return false;
}

static bool storage_knows_top(const struct gfx_tables *tables, struct str name)
{
    for (size_t i = 0; i < sizeof(storage_places) / sizeof(storage_places[0]); i++) {
        if (str_is(name, storage_places[i].name))
            return true;
    }
    return false;
}

static bool storage_knows_cache(const struct gfx_tables *tables, struct str name)
{
    if (str_ends(name, STR(STORAGE_LOCK)))
        name.n -= sizeof(STORAGE_LOCK) - 1;
    return storage_is_cache(tables, name);
}

/* What somebody else put into one of our directories: named, never removed, not counted. */
static void storage_list_foreign(const struct gfx_tables *tables, const char *dir,
                                 bool (*knows)(const struct gfx_tables *tables, struct str name),
                                 json_t *items)
{
    DIR *CLEAN_DIR list = opendir(dir);
    const char *name;
    while ((name = fs_next(list))) {
        if (knows(tables, str_from(name)))
            continue;
        char *CLEAN_FREE path = xfs_join(dir, name);
        uint64_t bytes = 0;
        if (fs_tree_bytes(path, &bytes) == 0)
            storage_print(
                &(struct storage_item){"foreign", path, bytes, true, " (not made by gfxbridge)"},
                items);
    }
}

/* Every model on this computer; what other programs put there is not counted as ours. */
static void storage_list_models(struct cli *cli, json_t *items, uint64_t *total)
{
    struct cli_models models;
    struct model_list list;
    cli_models_init(cli, &models);
    model_list_new(&models.env, &list);
    cli_models_done(&models);
    for (size_t i = 0; i < list.n; i++) {
        const struct model *m = &list.item[i];
        storage_print(&(struct storage_item){"model", m->name, m->bytes, true,
                                             m->ours ? NULL : " (not made by gfxbridge)"},
                      items);
        *total += m->ours ? m->bytes : 0;
    }
    model_list_done(&list);
}

static int storage_list(struct cli *cli, const struct package_list *list, struct gfxb_error *err)
{
    json_t *items = cli->json ? json_array() : NULL;
    uint64_t total = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct package *p = &list->item[i];
        storage_print(
            &(struct storage_item){"package", p->id, p->bytes, storage_is_used(list, i), NULL},
            items);
        total += p->bytes;
    }
    storage_list_models(cli, items, &total);
    for (size_t i = 0; i < sizeof(storage_places) / sizeof(storage_places[0]); i++) {
        const struct storage_place *place = &storage_places[i];
        char *CLEAN_FREE dir = xfs_join(cli->data_dir, place->name);
        uint64_t bytes = 0;
        if (strcmp(place->kind, "packages") == 0 || strcmp(place->kind, "models") == 0 ||
            fs_tree_bytes(dir, &bytes) < 0)
            continue;
        storage_print(&(struct storage_item){place->kind, dir, bytes,
                                             strcmp(place->name, "cache") != 0, NULL},
                      items);
        total += bytes;
    }
    char *CLEAN_FREE cache = xfs_join(cli->data_dir, "cache");
    storage_list_foreign(cli->tables, cli->data_dir, storage_knows_top, items);
    storage_list_foreign(cli->tables, cache, storage_knows_cache, items);
    if (items)
        return cli_print_json(json_pack("{s:s, s:o, s:I}", "data_dir", cli->data_dir, "items",
                                        items, "total_bytes", (json_int_t)total),
                              err);
    char size[32];
    report_bytes_text(total, size, sizeof(size));
    text_print(stdout, "%10s  " TEXT_HANG "in gfxbridge's places below %s", total ? size : "0 B",
               cli->data_dir);
    return CLI_DONE;
}

/* One cache and its lock, unless an installation holds the lock: then it is in use. */
static int storage_prune_cache(const struct cli *cli, const char *dir, struct gfxb_error *err)
{
    char *CLEAN_FREE lock = xasprintf("%s" STORAGE_LOCK, dir);
    int CLEAN_CLOSE fd = -1;
    if (access(dir, F_OK) < 0 && access(lock, F_OK) < 0)
        return 0;
    int result = fs_lock(lock, false, NULL, &fd, err);
    if (result == -EWOULDBLOCK) {
        log_at(&cli->log, LOG_WARNING, "%s stays: another gfxbridge is installing", dir);
        return 0;
    }
    if (result < 0)
        return result;
    result = fs_remove_tree(dir);
    unlink(lock); /* under its lock: fs_lock looks whether its file is still the one there */
    return result < 0 ? fs_error(err, -result, "remove", dir) : 0;
}

/* Tables may be a person's own: no name in them leads out of the cache's directory. */
static bool storage_is_name(struct str name)
{
    return name.n && name.p[0] != '.' && !memchr(name.p, '/', name.n);
}

static bool storage_is_repeated(const struct gfx_tables *t, size_t row)
{
    for (size_t i = 0; i < row; i++) {
        if (str_eq(t->package[i].provider, t->package[row].provider))
            return true;
    }
    return false;
}

static int storage_prune_caches(const struct cli *cli, struct gfxb_error *err)
{
    const struct gfx_tables *t = cli->tables;
    char *CLEAN_FREE driver = xfs_join(cli->data_dir, "cache/" STORAGE_DRIVER_CACHE);
    int result = storage_prune_cache(cli, driver, err);
    for (size_t i = 0; result == 0 && i < t->n_packages; i++) {
        if (!storage_is_name(t->package[i].provider) || storage_is_repeated(t, i))
            continue;
        char *CLEAN_FREE dir =
            xasprintf("%s/cache/%.*s", cli->data_dir, STR_ARG(t->package[i].provider));
        result = storage_prune_cache(cli, dir, err);
    }
    return result;
}

static int storage_prune(const struct cli *cli, const struct package_env *env,
                         const struct package_list *list, struct gfxb_error *err)
{
    int result = 0;
    for (size_t i = 0; i < list->n && result == 0; i++) {
        if (storage_is_used(list, i))
            continue;
        log_at(&cli->log, LOG_INFO, "removing %s %.12s", list->item[i].id, list->item[i].digest);
        result = package_remove(env, list->item[i].digest, err);
    }
    return result < 0 ? result : storage_prune_caches(cli, err);
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
    if (result == 0)
        result = cli_need_data_dir(cli, err);
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
    .about = "Lists what gfxbridge keeps in its data directory and what each takes. prune removes "
             "caches and packages that a newer one of the same kind replaced; nothing that is in "
             "use, and nothing that gfxbridge did not make.",
    .run = storage_run,
};
