/* caches.c - every model file on this disk, whichever program keeps it. */
#include "model/model_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define CACHES_NAMES_MAX 20000 /* entries of one directory that are looked at */
#define CACHES_DEPTH     3
#define HUB_DEPTH        4 /* of directories in a repository of the hub */

/* What all models of one directory have in common; lent. */
struct cache_group {
    enum model_origin origin;
    const char *top;        /* the directory that paths are relative to */
    const char *repository; /* NULL: names come from the files */
    const char *revision;
    const char *name;   /* the name of all that is in it; NULL: by repository or file */
    const char *digest; /* NULL unknown */
    bool ours;          /* in a directory of ours */
    int depth;          /* directories below top that are looked into */
    bool skip_real;     /* files that are no links are still being written */
};

void caches_done(struct caches *c)
{
    for (size_t i = 0; i < c->n; i++)
        model_done(&c->item[i]);
    free(c->item);
    *c = (struct caches){.env = NULL};
}

/* ---- names of a directory ---- */

struct caches_names {
    char **name;
    size_t n;
};

static void caches_names_done(struct caches_names *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->name[i]);
    free(list->name);
}

/* Takes name over. */
static void caches_names_add(struct caches_names *list, char *name)
{
    list->name = xreallocarray(list->name, list->n + 1, sizeof(*list->name));
    list->name[list->n++] = name;
}

static int caches_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void caches_names_sort(struct caches_names *list)
{
    if (list->n)
        qsort(list->name, list->n, sizeof(*list->name), caches_compare_names);
}

/* Sorted, without those that begin with a dot. An absent directory is empty. */
static struct caches_names caches_read_dir(const struct caches *c, const char *path)
{
    struct caches_names list = {NULL, 0};
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    if (!dir && errno != ENOENT && errno != ENOTDIR)
        log_at(c->env->log, LOG_DEBUG, "models in %s are not looked at: %s", path,
               error_errno_text(errno));
    while (list.n < CACHES_NAMES_MAX && (name = fs_next(dir))) {
        if (name[0] != '.')
            caches_names_add(&list, xstrdup(name));
    }
    caches_names_sort(&list);
    return list;
}

void caches_each_dir(struct caches *c, const char *dir,
                     void (*visit)(struct caches *c, const char *dir, const char *name,
                                   void *context),
                     void *context)
{
    struct caches_names list = caches_read_dir(c, dir);
    for (size_t i = 0; i < list.n; i++) {
        struct stat st;
        char *CLEAN_FREE path = xfs_join(dir, list.name[i]);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            visit(c, path, list.name[i], context);
    }
    caches_names_done(&list);
}

/* ---- the models of one directory ---- */

static bool caches_is_usable(const struct cache_group *group, const char *relative,
                             const struct stat *own)
{
    struct str name = str_from(relative);
    return str_ends(name, STR(".gguf")) && !(group->skip_real && S_ISREG(own->st_mode)) &&
           pick_is_safe(name);
}

/* Every usable ".gguf" below top/below, as a path relative to top. */
static void caches_walk(const struct caches *c, const struct cache_group *group, const char *below,
                        int depth, struct caches_names *files)
{
    char *CLEAN_FREE dir = below[0] ? xfs_join(group->top, below) : xstrdup(group->top);
    struct caches_names list = caches_read_dir(c, dir);
    for (size_t i = 0; i < list.n; i++) {
        struct stat st, own;
        char *CLEAN_FREE full = xfs_join(dir, list.name[i]);
        char *CLEAN_FREE path = below[0] ? xfs_join(below, list.name[i]) : xstrdup(list.name[i]);
        if (stat(full, &st) < 0 || lstat(full, &own) < 0)
            continue; /* a link whose file is not there (yet) */
        if (S_ISDIR(st.st_mode) && depth > 0)
            caches_walk(c, group, path, depth - 1, files);
        else if (S_ISREG(st.st_mode) && caches_is_usable(group, path, &own))
            caches_names_add(files, xstrdup(path));
    }
    caches_names_done(&list);
}

/* All parts there? Their sizes together into *bytes. */
static bool caches_has_parts(const struct cache_group *group, const struct caches_names *files,
                             size_t first, uint64_t *bytes)
{
    struct pick_split split;
    unsigned found = 0, index = 0;
    *bytes = 0;
    if (!pick_take_apart(str_from(files->name[first]), &split))
        return false;
    for (size_t i = 0; i < files->n; i++) {
        struct stat st;
        if (!pick_is_part(str_from(files->name[first]), str_from(files->name[i]), &index))
            continue;
        char *CLEAN_FREE path = xfs_join(group->top, files->name[i]);
        if (stat(path, &st) < 0)
            return false;
        *bytes += (uint64_t)st.st_size;
        found++;
    }
    return found == split.count;
}

/* The shortest words that mean this file: what "pull" would take for it. NULL: there are none. */
static char *caches_name(const struct cache_group *group, const struct caches_names *files,
                         size_t i)
{
    struct str file = str_from(files->name[i]);
    struct str tag = pick_tag(file);
    struct pick_split split;
    char *name;
    if (group->name)
        return xstrdup(group->name);
    if (group->repository && tag.n &&
        pick_model((const char *const *)files->name, files->n, tag) == i)
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

static void caches_add_file(struct caches *c, const struct cache_group *group,
                            const struct caches_names *files, size_t i)
{
    struct model item = {.origin = group->origin, .ours = group->ours};
    struct stat st, own;
    if (!caches_has_parts(group, files, i, &item.bytes))
        return;
    size_t projector =
        pick_projector((const char *const *)files->name, files->n, str_from(files->name[i]));
    item.name = caches_name(group, files, i);
    item.path = xfs_join(group->top, files->name[i]);
    if (!item.name || stat(item.path, &st) < 0 || lstat(item.path, &own) < 0) {
        model_done(&item); /* gone meanwhile */
        return;
    }
    item.file = xstrdup(files->name[i]);
    item.repository = xstrdup_or_null(group->repository);
    item.revision = xstrdup_or_null(group->revision);
    item.digest = xstrdup_or_null(group->digest);
    item.modified = (int64_t)st.st_mtim.tv_sec;
    item.device = st.st_dev;
    item.inode = st.st_ino;
    /* Lemonade is the one that puts files themselves into snapshots. */
    if (group->origin == MODEL_HUB && group->revision && S_ISREG(own.st_mode))
        item.origin = MODEL_LEMONADE;
    if (projector < files->n) {
        item.mmproj = xfs_join(group->top, files->name[projector]);
        item.bytes += stat(item.mmproj, &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    caches_add(c, &item);
}

/* All models of a directory; none when there is none. */
static void caches_add_group(struct caches *c, const struct cache_group *group)
{
    struct caches_names files = {NULL, 0};
    caches_walk(c, group, "", group->depth, &files);
    caches_names_sort(&files);
    for (size_t i = 0; i < files.n; i++) {
        if (pick_is_first_part(str_from(files.name[i])))
            caches_add_file(c, group, &files, i);
    }
    caches_names_done(&files);
}

void caches_add(struct caches *c, struct model *item)
{
    for (size_t i = 0; i < c->n; i++) {
        bool is_same_file = c->item[i].inode == item->inode && c->item[i].device == item->device;
        bool is_older = item->repository && c->item[i].origin == item->origin;
        if ((is_same_file || is_older) && strcmp(c->item[i].name, item->name) == 0) {
            model_done(item);
            return;
        }
    }
    c->item = xreallocarray(c->item, c->n + 1, sizeof(*c->item));
    c->item[c->n++] = *item;
}

/* ---- a Hugging Face hub cache: models of each repository's main first ---- */

struct caches_hub {
    enum model_origin origin;
    const char *repository;
    char main[HUB_COMMIT];
    bool is_main; /* this round takes the main one alone, the next all others */
};

/* Lemonade's mark that files in here are still being written; links into blobs are complete. */
static bool caches_is_unfinished(const char *snapshot)
{
    struct stat st;
    char *CLEAN_FREE path = xfs_join(snapshot, ".download_manifest.json");
    return lstat(path, &st) == 0;
}

static void caches_visit_snapshot(struct caches *c, const char *dir, const char *name,
                                  void *context)
{
    const struct caches_hub *hub = context;
    if ((strcmp(name, hub->main) == 0) != hub->is_main)
        return;
    size_t before = c->n;
    struct cache_group group = {.origin = hub->origin,
                                .top = dir,
                                .repository = hub->repository,
                                .revision = name,
                                .depth = HUB_DEPTH,
                                .skip_real = caches_is_unfinished(dir)};
    caches_add_group(c, &group);
    for (size_t i = before; i < c->n; i++)
        c->item[i].ours = stock_is_ours(c->env, c->item[i].path);
}

static void caches_visit_repository(struct caches *c, const char *dir, const char *name,
                                    void *context)
{
    struct caches_hub hub = {.origin = *(enum model_origin *)context};
    struct buf CLEAN_BUF commit = BUF_INIT(65536);
    char *CLEAN_FREE repository = hub_cache_repository(name);
    char *CLEAN_FREE main = xfs_join(dir, "refs/main");
    char *CLEAN_FREE snapshots = xfs_join(dir, "snapshots");
    if (!repository)
        return;
    hub.repository = repository;
    if (fs_read(main, HUB_COMMIT, &commit) == 0 && hub_is_hex(buf_text(&commit), HUB_COMMIT - 1))
        memcpy(hub.main, buf_text(&commit), HUB_COMMIT);
    for (int round = 0; round < 2; round++) {
        hub.is_main = round == 0;
        caches_each_dir(c, snapshots, caches_visit_snapshot, &hub);
    }
}

static void caches_scan_hub(struct caches *c, const char *hub, enum model_origin origin)
{
    if (hub)
        caches_each_dir(c, hub, caches_visit_repository, &origin);
}

/* ---- all places ---- */

static void caches_visit_lmstudio_model(struct caches *c, const char *dir, const char *name,
                                        void *context)
{
    char *CLEAN_FREE repository = xfs_join(context, name);
    struct cache_group group = {
        .origin = MODEL_LMSTUDIO, .top = dir, .repository = repository, .depth = 1};
    caches_add_group(c, &group);
}

static void caches_visit_lmstudio(struct caches *c, const char *dir, const char *name,
                                  void *context)
{
    char *CLEAN_FREE publisher = xstrdup(name);
    (void)context;
    caches_each_dir(c, dir, caches_visit_lmstudio_model, publisher);
}

static void caches_visit_local(struct caches *c, const char *dir, const char *name, void *context)
{
    (void)context;
    char digest[DIGEST_HEX] = "";
    stock_read_digest(dir, digest);
    struct cache_group group = {.origin = MODEL_LOCAL,
                                .top = dir,
                                .name = name,
                                .digest = digest[0] ? digest : NULL,
                                .ours = true};
    caches_add_group(c, &group);
}

static void caches_scan_ours(struct caches *c)
{
    char *CLEAN_FREE local = stock_path(c->env, STOCK_LOCAL);
    char *CLEAN_FREE ollama = stock_path(c->env, STOCK_OLLAMA);
    caches_each_dir(c, local, caches_visit_local, NULL);
    caches_scan_ollama(c, ollama, true);
}

static void caches_scan_folder(struct caches *c, const char *top, enum model_origin origin)
{
    struct cache_group group = {.origin = origin, .top = top, .depth = CACHES_DEPTH};
    if (top)
        caches_add_group(c, &group);
}

static bool caches_has_name(const struct caches *c, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(c->item[i].name, name) == 0)
            return true;
    }
    return false;
}

/* A second file under a name that is taken gets its origin before it, and a number if need be:
 * "lmstudio/org/name:Q4_K_M", "llamacpp/model.2". */
static void caches_make_unique(struct caches *c)
{
    for (size_t i = 1; i < c->n; i++) {
        const char *origin = model_origin_name(c->item[i].origin);
        char *CLEAN_FREE plain = c->item[i].name;
        c->item[i].name = xstrdup(plain);
        for (unsigned number = 1; caches_has_name(c, i, c->item[i].name); number++) {
            free(c->item[i].name);
            c->item[i].name = number == 1 ? xasprintf("%s/%s", origin, plain)
                                          : xasprintf("%s/%s.%u", origin, plain, number);
        }
    }
}

static int caches_compare(const void *a, const void *b)
{
    return strcmp(((const struct model *)a)->name, ((const struct model *)b)->name);
}

void caches_new(const struct model_env *env, struct caches *ret_caches)
{
    struct caches c = {.env = env};
    if (env->data_dir)
        caches_scan_ours(&c);
    caches_scan_hub(&c, env->hub, MODEL_HUB);
    caches_scan_hub(&c, env->llamacpp_hub, MODEL_LLAMACPP);
    caches_scan_hub(&c, env->lemonade_hub, MODEL_LEMONADE);
    caches_scan_ollama(&c, env->ollama, false);
    caches_scan_ollama(&c, env->ollama_system, false);
    if (env->lmstudio)
        caches_each_dir(&c, env->lmstudio, caches_visit_lmstudio, NULL);
    caches_scan_folder(&c, env->llamacpp, MODEL_LLAMACPP);
    caches_scan_folder(&c, env->lemonade, MODEL_LEMONADE);
    caches_make_unique(&c);
    if (c.n)
        qsort(c.item, c.n, sizeof(*c.item), caches_compare);
    *ret_caches = c;
}
