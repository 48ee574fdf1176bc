/* cmd_storage.c - what is kept on the disk, and removing what nothing uses. */
#include "cli/cli.h"

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
    if (items)
        json_array_append_new(items, json_pack("{s:s, s:o, s:I, s:b}", "kind", item->kind, "name",
                                               report_json_text(item->name), "bytes",
                                               (json_int_t)item->bytes, "in_use", item->in_use));
    else
        text_print(stdout, "%10s  %-9s " TEXT_HANG "%s%s", report_bytes(item->bytes).text,
                   item->kind, item->name,
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
static uint64_t storage_list_models(struct cli *cli, json_t *items)
{
    uint64_t ours = 0;
    struct model_list list;
    model_list_new(cli_models(cli), &list);
    for (size_t i = 0; i < list.n; i++) {
        const struct model *m = &list.item[i];
        storage_print(&(struct storage_item){"model", m->name, m->bytes, true,
                                             m->ours ? NULL : " (not made by gfxbridge)"},
                      items);
        ours += m->ours ? m->bytes : 0;
    }
    model_list_done(&list);
    return ours;
}

static uint64_t storage_list_places(const struct cli *cli, json_t *items)
{
    uint64_t total = 0;
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
    return total;
}

static void storage_list(struct cli *cli, const struct package_list *list)
{
    json_t *items = cli->json ? json_array() : NULL;
    char *CLEAN_FREE cache = xfs_join(cli->data_dir, "cache");
    uint64_t total = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct package *p = &list->item[i];
        storage_print(
            &(struct storage_item){"package", p->id, p->bytes, storage_is_used(list, i), NULL},
            items);
        total += p->bytes;
    }
    total += storage_list_models(cli, items);
    total += storage_list_places(cli, items);
    storage_list_foreign(cli->tables, cli->data_dir, storage_knows_top, items);
    storage_list_foreign(cli->tables, cache, storage_knows_cache, items);
    if (items)
        cli_print_json(cli, json_pack("{s:s, s:o, s:I}", "data_dir", cli->data_dir, "items", items,
                                      "total_bytes", (json_int_t)total));
    else
        text_print(stdout, "%10s  " TEXT_HANG "in gfxbridge's places below %s",
                   report_bytes(total).text, cli->data_dir);
}

/* One cache and its lock, unless an installation holds the lock: then it is in use. */
static void storage_prune_cache(struct cli *cli, struct str name)
{
    char *CLEAN_FREE dir = xasprintf("%s/cache/%.*s", cli->data_dir, STR_ARG(name));
    char *CLEAN_FREE lock = xasprintf("%s" STORAGE_LOCK, dir);
    int CLEAN_CLOSE fd = -1;
    if (access(dir, F_OK) < 0 && access(lock, F_OK) < 0)
        return;
    int result = fs_lock(lock, false, NULL, &fd, &cli->err);
    if (result == -EWOULDBLOCK) {
        log_at(&cli->log, LOG_WARNING, "%s stays: another gfxbridge is installing", dir);
        return;
    }
    cli_check(cli, result);
    result = fs_remove_tree(dir);
    unlink(lock); /* under its lock: fs_lock looks whether its file is still the one there */
    if (result < 0)
        cli_check(cli, fs_error(&cli->err, -result, "remove", dir));
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

static void storage_prune_caches(struct cli *cli)
{
    const struct gfx_tables *t = cli->tables;
    storage_prune_cache(cli, STR(STORAGE_DRIVER_CACHE));
    for (size_t i = 0; i < t->n_packages; i++) {
        if (storage_is_name(t->package[i].provider) && !storage_is_repeated(t, i))
            storage_prune_cache(cli, t->package[i].provider);
    }
}

static void storage_prune(struct cli *cli, const struct package_env *env,
                          const struct package_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (storage_is_used(list, i))
            continue;
        log_at(&cli->log, LOG_INFO, "removing %s %.12s", list->item[i].id, list->item[i].digest);
        cli_check(cli, package_remove(env, list->item[i].digest, &cli->err));
    }
    storage_prune_caches(cli);
}

static int storage_run(struct cli *cli, const struct cli_args *args)
{
    const char *verb = args->n_words ? args->word[0] : "list";
    bool prune = strcmp(verb, "prune") == 0;
    if (!prune && strcmp(verb, "list") != 0)
        cli_die(cli, GFXB_E_USAGE, "no such word: storage %s; it is prune or nothing", verb);
    struct package_env env = {.root = cli_root(cli),
                              .tables = cli_tables(cli),
                              .data_dir = cli_need_data_dir(cli),
                              .log = &cli->log};
    struct package_list list;
    cli_check(cli, package_list_new(&env, &list, &cli->err));
    if (prune)
        storage_prune(cli, &env, &list);
    else
        storage_list(cli, &list);
    package_list_done(&list);
    return CLI_DONE;
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
