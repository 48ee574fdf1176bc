/* caches.c - every model file on this disk, whichever program keeps it. */
#include "model/model_private.h"

#include <errno.h>
#include <sys/stat.h>

#define PATHS_MAX    20000 /* entries of one directory that are looked at */
#define FOLDER_DEPTH 4
#define HUB_DEPTH    5 /* of files in a repository of the hub */

/* What all models of one directory have in common; lent. */
struct cache_group {
    enum model_origin origin;
    const char *top;        /* the directory that paths are relative to */
    const char *repository; /* NULL: names come from the files */
    const char *revision;
    const char *name;   /* the name of all that is in it; NULL: by repository or file */
    const char *digest; /* NULL unknown */
    int depth;          /* levels of files that are looked at */
    bool skip_real;     /* files that are no links are still being written */
};

/* ---- paths ---- */

void paths_done(struct paths *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->item[i]);
    free(list->item);
}

/* Takes path over. */
static void paths_add(struct paths *list, char *path)
{
    list->item = xreallocarray(list->item, list->n + 1, sizeof(*list->item));
    list->item[list->n++] = path;
}

static int paths_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What paths_find looks for. */
struct paths_wanted {
    const struct log *log;
    const char *top;
    int first, last;
    mode_t type;
};

static void paths_walk(const struct paths_wanted *wanted, const char *below, int level,
                       struct paths *found)
{
    char *CLEAN_FREE path = below ? xfs_join(wanted->top, below) : xstrdup(wanted->top);
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    if (!dir && errno != ENOENT && errno != ENOTDIR)
        log_at(wanted->log, LOG_DEBUG, "models in %s are not looked at: %s", path,
               error_errno_text(errno));
    for (size_t n = 0; n < PATHS_MAX && (name = fs_next(dir)); n++) {
        struct stat st;
        char *CLEAN_FREE relative = below ? xfs_join(below, name) : xstrdup(name);
        if (name[0] == '.' || fstatat(dirfd(dir), name, &st, 0) < 0)
            continue; /* such as a link whose file is not there (yet) */
        if ((st.st_mode & S_IFMT) == wanted->type && level >= wanted->first)
            paths_add(found, xstrdup(relative));
        if (S_ISDIR(st.st_mode) && level < wanted->last)
            paths_walk(wanted, relative, level + 1, found);
    }
}

struct paths paths_find(const struct log *log, const char *top, int first, int last, mode_t type)
{
    const struct paths_wanted wanted = {log, top, first, last, type};
    struct paths found = {NULL, 0};
    paths_walk(&wanted, NULL, 1, &found);
    if (found.n)
        qsort(found.item, found.n, sizeof(*found.item), paths_compare);
    return found;
}

/* ---- the models of one directory ---- */

static bool group_has(const struct cache_group *group, const char *file)
{
    char *CLEAN_FREE path = xfs_join(group->top, file);
    struct stat own;
    return str_ends(str_from(file), STR(".gguf")) && pick_is_safe(str_from(file)) &&
           !(group->skip_real && lstat(path, &own) == 0 && S_ISREG(own.st_mode));
}

/* All parts there? Their sizes together into *bytes. */
static bool group_has_parts(const struct cache_group *group, const struct paths *files,
                            size_t first, uint64_t *bytes)
{
    struct pick_split split;
    unsigned found = 0, index = 0;
    if (!pick_take_apart(str_from(files->item[first]), &split))
        return false;
    for (size_t i = 0; i < files->n; i++) {
        struct stat st;
        if (!pick_is_part(str_from(files->item[first]), str_from(files->item[i]), &index))
            continue;
        char *CLEAN_FREE path = xfs_join(group->top, files->item[i]);
        if (stat(path, &st) < 0)
            return false;
        *bytes += (uint64_t)st.st_size;
        found++;
    }
    return found == split.count;
}

/* The shortest words that mean this file: what "pull" would take for it. NULL: there are none. */
static char *group_name(const struct cache_group *group, const struct paths *files, size_t i)
{
    struct str file = str_from(files->item[i]);
    struct str tag = pick_tag(file);
    struct pick_split split;
    char *name;
    if (group->name)
        return xstrdup(group->name);
    if (group->repository && tag.n &&
        pick_model((const char *const *)files->item, files->n, tag) == i)
        name = xasprintf("%s:%.*s", group->repository, STR_ARG(tag));
    else if (group->repository)
        name = xasprintf("%s/%.*s", group->repository, STR_ARG(file));
    else if (pick_take_apart(pick_name(file), &split))
        name = xstr_dup(split.prefix);
    else
        return NULL;
    for (char *p = name; *p; p++) {
        if (*p <= ' ' || *p > '~')
            *p = '_'; /* a name is one word, also in a URL */
    }
    return name;
}

static void group_add_file(struct caches *c, const struct cache_group *group,
                           const struct paths *files, size_t i)
{
    struct model item = {.origin = group->origin};
    struct stat st;
    size_t projector =
        pick_projector((const char *const *)files->item, files->n, str_from(files->item[i]));
    if (!group_has_parts(group, files, i, &item.bytes))
        return;
    item.name = group_name(group, files, i);
    item.path = xfs_join(group->top, files->item[i]);
    item.file = xstrdup(files->item[i]);
    item.repository = xstrdup_or_null(group->repository);
    item.revision = xstrdup_or_null(group->revision);
    item.digest = xstrdup_or_null(group->digest);
    item.ours = group->revision && stock_is_ours(c->env, item.path);
    /* Lemonade is the one that puts files themselves into snapshots; we do so without links. */
    if (group->origin == MODEL_HUB && !item.ours && lstat(item.path, &st) == 0 &&
        S_ISREG(st.st_mode))
        item.origin = MODEL_LEMONADE;
    if (projector < files->n) {
        item.mmproj = xfs_join(group->top, files->item[projector]);
        item.bytes += stat(item.mmproj, &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    caches_add(c, &item);
}

/* All models of a directory; none when there is none. */
static void caches_add_group(struct caches *c, const struct cache_group *group)
{
    struct paths CLEAN_PATHS all = paths_find(c->env->log, group->top, 1, group->depth, S_IFREG);
    struct paths files = {xcalloc(all.n + 1, sizeof(*files.item)), 0};
    for (size_t i = 0; i < all.n; i++) {
        if (group_has(group, all.item[i]))
            files.item[files.n++] = all.item[i];
    }
    for (size_t i = 0; i < files.n; i++) {
        if (pick_is_first_part(str_from(files.item[i])))
            group_add_file(c, group, &files, i);
    }
    free(files.item); /* the paths are those of `all` */
}

void caches_add(struct caches *c, struct model *item)
{
    struct stat st;
    bool is_known = !item->name || stat(item->path, &st) < 0; /* or gone meanwhile */
    for (size_t i = 0; !is_known && i < c->list.n; i++) {
        const struct model *there = &c->list.item[i];
        bool is_same_file = there->inode == st.st_ino && there->device == st.st_dev;
        bool is_older = item->repository && there->origin == item->origin;
        is_known = (is_same_file || is_older) && strcmp(there->name, item->name) == 0;
    }
    if (is_known) {
        model_done(item);
        return;
    }
    item->ours = item->ours || c->ours;
    item->modified = (int64_t)st.st_mtim.tv_sec;
    item->device = st.st_dev;
    item->inode = st.st_ino;
    c->list.item = xreallocarray(c->list.item, c->list.n + 1, sizeof(*c->list.item));
    c->list.item[c->list.n++] = *item;
}

/* ---- the places ---- */

/* Lemonade's mark that files in here are still being written; links into blobs are complete. */
static bool snapshot_is_unfinished(const char *snapshot)
{
    struct stat st;
    char *CLEAN_FREE path = xfs_join(snapshot, ".download_manifest.json");
    return lstat(path, &st) == 0;
}

/* The models of each snapshot, those of the repository's main first. */
static void scan_repository(struct caches *c, const char *dir, const char *repository,
                            enum model_origin origin)
{
    struct buf CLEAN_BUF commit = BUF_INIT(65536);
    char *CLEAN_FREE main = xfs_join(dir, "refs/main");
    char *CLEAN_FREE snapshots = xfs_join(dir, "snapshots");
    struct paths CLEAN_PATHS revisions = paths_find(c->env->log, snapshots, 1, 1, S_IFDIR);
    (void)fs_read(main, HUB_COMMIT, &commit); /* without it no snapshot is the main one */
    for (size_t i = 0; i < 2 * revisions.n; i++) {
        const char *revision = revisions.item[i % revisions.n];
        if ((strcmp(revision, buf_text(&commit)) == 0) != (i < revisions.n))
            continue;
        char *CLEAN_FREE snapshot = xfs_join(snapshots, revision);
        struct cache_group group = {.origin = origin,
                                    .top = snapshot,
                                    .repository = repository,
                                    .revision = revision,
                                    .depth = HUB_DEPTH,
                                    .skip_real = snapshot_is_unfinished(snapshot)};
        caches_add_group(c, &group);
    }
}

static void scan_hub(struct caches *c, const char *hub, enum model_origin origin)
{
    struct paths CLEAN_PATHS dirs = paths_find(c->env->log, hub, 1, 1, S_IFDIR);
    for (size_t i = 0; i < dirs.n; i++) {
        char *CLEAN_FREE dir = xfs_join(hub, dirs.item[i]);
        char *CLEAN_FREE repository = hub_cache_repository(dirs.item[i]);
        if (repository)
            scan_repository(c, dir, repository, origin);
    }
}

static void scan_lmstudio(struct caches *c, const char *top, enum model_origin origin)
{
    struct paths CLEAN_PATHS dirs = paths_find(c->env->log, top, 2, 2, S_IFDIR);
    for (size_t i = 0; i < dirs.n; i++) {
        char *CLEAN_FREE dir = xfs_join(top, dirs.item[i]);
        struct cache_group group = {
            .origin = origin, .top = dir, .repository = dirs.item[i], .depth = 2};
        caches_add_group(c, &group);
    }
}

static void scan_folder(struct caches *c, const char *top, enum model_origin origin)
{
    struct cache_group group = {.origin = origin, .top = top, .depth = FOLDER_DEPTH};
    caches_add_group(c, &group);
}

static void scan_ours(struct caches *c)
{
    char *CLEAN_FREE local = stock_path(c->env, STOCK_LOCAL);
    char *CLEAN_FREE ollama = stock_path(c->env, STOCK_OLLAMA);
    struct paths CLEAN_PATHS dirs = paths_find(c->env->log, local, 1, 1, S_IFDIR);
    for (size_t i = 0; i < dirs.n; i++) {
        char digest[DIGEST_HEX] = "";
        char *CLEAN_FREE dir = xfs_join(local, dirs.item[i]);
        stock_read_digest(dir, digest);
        struct cache_group group = {.origin = MODEL_LOCAL,
                                    .top = dir,
                                    .name = dirs.item[i],
                                    .digest = digest[0] ? digest : NULL,
                                    .depth = 1};
        caches_add_group(c, &group);
    }
    caches_scan_ollama(c, ollama, MODEL_OLLAMA);
}

static bool caches_has_name(const struct caches *c, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(c->list.item[i].name, name) == 0)
            return true;
    }
    return false;
}

/* A second file under a name that is taken gets its origin before it, and a number if need be:
 * "lmstudio/org/name:Q4_K_M", "llamacpp/model.2". */
static void caches_make_unique(struct caches *c)
{
    for (size_t i = 1; i < c->list.n; i++) {
        struct model *item = &c->list.item[i];
        const char *origin = model_origin_name(item->origin);
        char *CLEAN_FREE plain = item->name;
        item->name = xstrdup(plain);
        for (unsigned number = 1; caches_has_name(c, i, item->name); number++) {
            free(item->name);
            item->name = number == 1 ? xasprintf("%s/%s", origin, plain)
                                     : xasprintf("%s/%s.%u", origin, plain, number);
        }
    }
}

void caches_find(const struct model_env *env, struct model_list *ret_list)
{
    const struct {
        const char *top;
        void (*scan)(struct caches *c, const char *top, enum model_origin origin);
        enum model_origin origin;
    } places[] = {
        {env->hub, scan_hub, MODEL_HUB},
        {env->llamacpp_hub, scan_hub, MODEL_LLAMACPP},
        {env->lemonade_hub, scan_hub, MODEL_LEMONADE},
        {env->ollama, caches_scan_ollama, MODEL_OLLAMA},
        {env->ollama_system, caches_scan_ollama, MODEL_OLLAMA},
        {env->lmstudio, scan_lmstudio, MODEL_LMSTUDIO},
        {env->llamacpp, scan_folder, MODEL_LLAMACPP},
        {env->lemonade, scan_folder, MODEL_LEMONADE},
    };
    struct caches c = {.env = env};
    if (env->data_dir) {
        c.ours = true;
        scan_ours(&c);
        c.ours = false;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i].top)
            places[i].scan(&c, places[i].top, places[i].origin);
    }
    caches_make_unique(&c);
    list_sort(&c.list);
    *ret_list = c.list;
}
