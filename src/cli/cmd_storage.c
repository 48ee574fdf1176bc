/* cmd_storage.c - what is kept on the disk, and removing what nothing uses. */
#include "cli/cli.h"

/* What lies directly below the data directory. prune takes caches alone, which are made again when
 * they are needed. A kind of NULL has a list of its own. */
static const struct storage_place {
    const char *name, *kind;
} storage_places[] = {
    {"bin", "wrapper"},   {"cache", "caches"},   {"canary", "canary"}, {"chat-history", "history"},
    {"models", NULL},     {"packages", NULL},    {"proofs", "proofs"}, {"run", "run"},
    {"tables", "tables"}, {"tuned", "settings"},
};

#define STORAGE_DRIVER_CACHE "driver" /* the engines' shader caches */
#define STORAGE_LOCK         ".lock"

enum storage_owner { STORAGE_OURS, STORAGE_UNUSED, STORAGE_FOREIGN };

struct storage {
    const struct gfx_tables *tables;
    json_t *items;  /* NULL: print */
    uint64_t total; /* bytes of what is ours */
};

/* Of ours only what is unused is removed by prune. */
static void storage_add(struct storage *s, const char *kind, const char *name, uint64_t bytes,
                        enum storage_owner owner)
{
    static const char *const remarks[] = {"", " (prune removes it)", " (not made by gfxbridge)"};
    s->total += owner == STORAGE_FOREIGN ? 0 : bytes;
    if (s->items)
        json_array_append_new(s->items,
                              json_pack("{s:s, s:o, s:I, s:b}", "kind", kind, "name",
                                        report_json_text(name), "bytes", (json_int_t)bytes,
                                        "in_use", owner != STORAGE_UNUSED));
    else
        text_print(stdout, "%10s  %-9s " TEXT_HANG "%s%s", report_bytes(bytes).text, kind, name,
                   remarks[owner]);
}

/* ---- what is whose ---- */

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

static bool storage_is_place(const struct gfx_tables *tables, struct str name)
{
    for (size_t i = 0; i < sizeof(storage_places) / sizeof(storage_places[0]); i++) {
        if (str_is(name, storage_places[i].name))
            return true;
    }
    return false;
}

/* Without ".lock", where it ends so. */
static struct str storage_cache_name(struct str name)
{
    return str_ends(name, STR(STORAGE_LOCK)) ? (struct str){name.p, name.n - STR(STORAGE_LOCK).n}
                                             : name;
}

/* A cache of the engines' drivers, or of a provider that the tables name; or the lock of one. */
static bool storage_is_cache(const struct gfx_tables *tables, struct str name)
{
    name = storage_cache_name(name);
    if (str_is(name, STORAGE_DRIVER_CACHE))
        return true;
    for (size_t i = 0; i < tables->n_packages; i++) {
        if (str_eq(tables->package[i].provider, name))
            return true;
    }
    return false;
}

/* ---- list ---- */

static void storage_list_packages(struct storage *s, const struct package_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        storage_add(s, "package", list->item[i].id, list->item[i].bytes,
                    storage_is_used(list, i) ? STORAGE_OURS : STORAGE_UNUSED);
}

static void storage_list_models(struct storage *s, const struct model_env *env)
{
    struct model_list list;
    model_list_new(env, &list);
    for (size_t i = 0; i < list.n; i++)
        storage_add(s, "model", list.item[i].name, list.item[i].bytes,
                    list.item[i].ours ? STORAGE_OURS : STORAGE_FOREIGN);
    model_list_done(&list);
    uint64_t bytes = 0;
    if (model_prune(env, true, &bytes, NULL) == 0 && bytes)
        storage_add(s, "uploads", "files that no model has", bytes, STORAGE_UNUSED);
}

static void storage_list_places(struct storage *s, const char *data_dir)
{
    for (size_t i = 0; i < sizeof(storage_places) / sizeof(storage_places[0]); i++) {
        const struct storage_place *place = &storage_places[i];
        char *CLEAN_FREE dir = xfs_join(data_dir, place->name);
        uint64_t bytes = 0;
        if (place->kind && fs_tree_bytes(dir, &bytes) == 0)
            storage_add(s, place->kind, dir, bytes,
                        strcmp(place->name, "cache") == 0 ? STORAGE_UNUSED : STORAGE_OURS);
    }
}

/* What somebody else put into one of our directories: named, never removed, not counted. */
static void storage_list_foreign(struct storage *s, const char *dir,
                                 bool (*knows)(const struct gfx_tables *tables, struct str name))
{
    DIR *CLEAN_DIR list = opendir(dir);
    const char *name;
    while ((name = fs_next(list))) {
        char *CLEAN_FREE path = xfs_join(dir, name);
        uint64_t bytes = 0;
        if (!knows(s->tables, str_from(name)) && fs_tree_bytes(path, &bytes) == 0)
            storage_add(s, "foreign", path, bytes, STORAGE_FOREIGN);
    }
}

static void storage_list(struct cli *cli, const struct package_list *packages)
{
    struct storage s = {.tables = cli->tables, .items = cli->json ? json_array() : NULL};
    char *CLEAN_FREE cache = xfs_join(cli->data_dir, "cache");
    storage_list_packages(&s, packages);
    storage_list_models(&s, cli_models(cli));
    storage_list_places(&s, cli->data_dir);
    storage_list_foreign(&s, cli->data_dir, storage_is_place);
    storage_list_foreign(&s, cache, storage_is_cache);
    if (s.items)
        cli_print_json(cli, json_pack("{s:s, s:o, s:I}", "data_dir", cli->data_dir, "items",
                                      s.items, "total_bytes", (json_int_t)s.total));
    else
        text_print(stdout, "%10s  " TEXT_HANG "in gfxbridge's places below %s",
                   report_bytes(s.total).text, cli->data_dir);
}

/* ---- prune ---- */

/* One cache and its lock, unless an installation holds the lock: then it is in use. */
static void storage_prune_cache(struct cli *cli, const char *dir)
{
    char *CLEAN_FREE lock = xasprintf("%s" STORAGE_LOCK, dir);
    int CLEAN_CLOSE fd = -1;
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

static void storage_prune(struct cli *cli, const struct package_env *env,
                          const struct package_list *packages)
{
    char *CLEAN_FREE top = xfs_join(cli->data_dir, "cache");
    for (size_t i = 0; i < packages->n; i++) {
        const struct package *p = &packages->item[i];
        if (storage_is_used(packages, i))
            continue;
        log_at(&cli->log, LOG_INFO, "removing %s %.12s", p->id, p->digest);
        cli_check(cli, package_remove(env, p->digest, &cli->err));
    }
    uint64_t bytes;
    cli_check(cli, model_prune(cli_models(cli), false, &bytes, &cli->err));
    if (bytes)
        log_at(&cli->log, LOG_INFO, "removing %s of uploads that no model has",
               report_bytes(bytes).text);
    DIR *CLEAN_DIR list = opendir(top);
    const char *entry;
    while ((entry = fs_next(list))) {
        struct str name = storage_cache_name(str_from(entry));
        char *CLEAN_FREE dir = xasprintf("%s/%.*s", top, STR_ARG(name));
        bool has_own_entry = name.n < strlen(entry) && access(dir, F_OK) == 0;
        if (storage_is_cache(cli->tables, name) && !has_own_entry)
            storage_prune_cache(cli, dir);
    }
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
    struct package_list packages;
    cli_check(cli, package_list_new(&env, &packages, &cli->err));
    if (prune)
        storage_prune(cli, &env, &packages);
    else
        storage_list(cli, &packages);
    package_list_done(&packages);
    return CLI_DONE;
}

const struct cli_command cli_command_storage = {
    .name = "storage",
    .words = "[prune]",
    .summary = "what packages, models and proofs take on disk",
    .about = "Lists what gfxbridge keeps in its data directory and what each takes. prune removes "
             "caches, packages that a newer one of the same kind replaced, and uploads that no "
             "model has; nothing that is in use, and nothing that gfxbridge did not make.",
    .run = storage_run,
};
