/* caches.c - every model file on this disk, whichever program keeps it. */
#include "model/model_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define CACHES_NAMES_MAX 20000 /* entries of one directory that are looked at */
#define CACHES_DEPTH     3

void cache_item_done(struct cache_item *item)
{
    free(item->name);
    free(item->path);
    free(item->mmproj);
    free(item->repository);
    free(item->revision);
    free(item->file);
    free(item->digest);
    *item = (struct cache_item){.name = NULL};
}

void caches_done(struct caches *c)
{
    for (size_t i = 0; i < c->n; i++)
        cache_item_done(&c->item[i]);
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
    *list = (struct caches_names){NULL, 0};
}

static int caches_names_add(struct caches_names *list, char *name)
{
    char **grown = name ? reallocarray(list->name, list->n + 1, sizeof(*list->name)) : NULL;
    if (!grown) {
        free(name);
        return -ENOMEM;
    }
    list->name = grown;
    list->name[list->n++] = name;
    return 0;
}

static int caches_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, without those that begin with a dot. An absent directory is empty. */
static int caches_read_dir(const struct caches *c, const char *path, struct caches_names *ret_list)
{
    struct caches_names list = {NULL, 0};
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int r = 0;
    if (!dir && errno != ENOENT && errno != ENOTDIR)
        log_at(c->env->log, LOG_DEBUG, "models in %s are not looked at: %s", path,
               error_errno_text(errno));
    while (r == 0 && dir && list.n < CACHES_NAMES_MAX && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            r = caches_names_add(&list, strdup(entry->d_name));
    }
    if (dir)
        closedir(dir);
    if (r < 0) {
        caches_names_done(&list);
        return r;
    }
    if (list.n)
        qsort(list.name, list.n, sizeof(*list.name), caches_compare_names);
    *ret_list = list;
    return 0;
}

int caches_each_dir(struct caches *c, const char *dir,
                    int (*visit)(struct caches *c, const char *dir, const char *name,
                                 void *context),
                    void *context)
{
    struct caches_names list;
    int r = caches_read_dir(c, dir, &list);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < list.n; i++) {
        struct stat st;
        char *CLEAN_FREE path = fs_join(dir, list.name[i]);
        if (!path)
            r = -ENOMEM;
        else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            r = visit(c, path, list.name[i], context);
    }
    caches_names_done(&list);
    return r;
}

/* ---- the models of one directory ---- */

/* Every usable ".gguf" below top/below, as a path relative to top. */
static int caches_walk(const struct caches *c, const struct cache_group *group, const char *below,
                       int depth, struct caches_names *files)
{
    struct caches_names list;
    char *CLEAN_FREE dir = below[0] ? fs_join(group->top, below) : strdup(group->top);
    int r = dir ? caches_read_dir(c, dir, &list) : -ENOMEM;
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < list.n; i++) {
        struct stat st, own;
        char *path = NULL;
        char *CLEAN_FREE full = fs_join(dir, list.name[i]);
        char *relative = below[0] ? fs_join(below, list.name[i]) : strdup(list.name[i]);
        if (!full || !relative)
            r = -ENOMEM;
        else if (stat(full, &st) < 0 || lstat(full, &own) < 0)
            r = 0; /* a link whose file is not there (yet) */
        else if (S_ISDIR(st.st_mode) && depth > 0)
            r = caches_walk(c, group, relative, depth - 1, files);
        else if (S_ISREG(st.st_mode) && str_ends(str_from(relative), STR(".gguf")) &&
                 !(group->skip_real && S_ISREG(own.st_mode)) && pick_is_safe(str_from(relative)))
            path = relative;
        if (path)
            r = caches_names_add(files, path);
        else
            free(relative);
    }
    caches_names_done(&list);
    return r;
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
        char *CLEAN_FREE path = fs_join(group->top, files->name[i]);
        if (!path || stat(path, &st) < 0)
            return false;
        *bytes += (uint64_t)st.st_size;
        found++;
    }
    return found == split.count;
}

/* The shortest words that mean this file: what "pull" would take for it. */
static char *caches_name(const struct cache_group *group, const struct caches_names *files,
                         size_t i)
{
    struct str file = str_from(files->name[i]);
    struct str tag = pick_tag(file);
    struct pick_split split;
    char *name = NULL;
    int n;
    if (group->name)
        return strdup(group->name);
    if (group->repository && tag.n &&
        pick_model((const char *const *)files->name, files->n, tag) == i)
        n = asprintf(&name, "%s:%.*s", group->repository, STR_ARG(tag));
    else if (group->repository)
        n = asprintf(&name, "%s/%.*s", group->repository, STR_ARG(file));
    else if (pick_take_apart(pick_name(file), &split))
        n = asprintf(&name, "%.*s", STR_ARG(split.prefix));
    else
        n = -1;
    if (n < 0)
        return NULL;
    for (char *p = name; *p; p++) {
        if (*p <= ' ' || *p > '~')
            *p = '_'; /* a name is one word, also in a URL */
    }
    return name;
}

static int caches_add_file(struct caches *c, const struct cache_group *group,
                           const struct caches_names *files, size_t i)
{
    struct cache_item item = {.origin = group->origin, .ours = group->ours};
    struct stat st, own;
    const char *const *paths = (const char *const *)files->name;
    struct str file = str_from(files->name[i]);
    if (!caches_has_parts(group, files, i, &item.bytes))
        return 0;
    size_t projector = pick_projector(paths, files->n, file);
    item.name = caches_name(group, files, i);
    item.path = fs_join(group->top, files->name[i]);
    item.file = strdup(files->name[i]);
    item.mmproj = projector < files->n ? fs_join(group->top, files->name[projector]) : NULL;
    item.repository = group->repository ? strdup(group->repository) : NULL;
    item.revision = group->revision ? strdup(group->revision) : NULL;
    item.digest = group->digest ? strdup(group->digest) : NULL;
    if (!item.name || !item.path || !item.file || (projector < files->n && !item.mmproj) ||
        (group->repository && !item.repository) || (group->revision && !item.revision) ||
        (group->digest && !item.digest) || stat(item.path, &st) < 0 || lstat(item.path, &own) < 0) {
        cache_item_done(&item);
        return -ENOMEM;
    }
    item.modified = (int64_t)st.st_mtim.tv_sec;
    item.device = st.st_dev;
    item.inode = st.st_ino;
    /* Lemonade is the one that puts files themselves into snapshots. */
    if (group->origin == MODEL_HUB && group->revision && S_ISREG(own.st_mode))
        item.origin = MODEL_LEMONADE;
    if (item.mmproj && stat(item.mmproj, &st) == 0)
        item.bytes += (uint64_t)st.st_size;
    return caches_add(c, &item);
}

int caches_add_group(struct caches *c, const struct cache_group *group)
{
    struct caches_names files = {NULL, 0};
    struct pick_split split;
    int r = caches_walk(c, group, "", group->depth, &files);
    if (r == 0 && files.n)
        qsort(files.name, files.n, sizeof(*files.name), caches_compare_names);
    for (size_t i = 0; r == 0 && i < files.n; i++) {
        struct str file = str_from(files.name[i]);
        if (pick_is_model(file) && pick_take_apart(file, &split) && split.index == 1)
            r = caches_add_file(c, group, &files, i);
    }
    caches_names_done(&files);
    return r;
}

int caches_add(struct caches *c, struct cache_item *item)
{
    for (size_t i = 0; i < c->n; i++) {
        bool is_same_file = c->item[i].inode == item->inode && c->item[i].device == item->device;
        bool is_older = item->repository && c->item[i].origin == item->origin;
        if ((is_same_file || is_older) && strcmp(c->item[i].name, item->name) == 0) {
            cache_item_done(item);
            return 0;
        }
    }
    struct cache_item *grown = reallocarray(c->item, c->n + 1, sizeof(*grown));
    if (!grown) {
        cache_item_done(item);
        return -ENOMEM;
    }
    c->item = grown;
    c->item[c->n++] = *item;
    return 0;
}

/* ---- all places ---- */

static int caches_visit_lmstudio_model(struct caches *c, const char *dir, const char *name,
                                       void *context)
{
    const char *publisher = context;
    char *CLEAN_FREE repository = fs_join(publisher, name);
    struct cache_group group = {
        .origin = MODEL_LMSTUDIO, .top = dir, .repository = repository, .depth = 1};
    return repository ? caches_add_group(c, &group) : -ENOMEM;
}

static int caches_visit_lmstudio(struct caches *c, const char *dir, const char *name, void *context)
{
    char *CLEAN_FREE publisher = strdup(name);
    (void)context;
    return publisher ? caches_each_dir(c, dir, caches_visit_lmstudio_model, publisher) : -ENOMEM;
}

static int caches_visit_local(struct caches *c, const char *dir, const char *name, void *context)
{
    (void)context;
    char digest[DIGEST_HEX] = "";
    stock_read_digest(dir, digest);
    struct cache_group group = {.origin = MODEL_LOCAL,
                                .top = dir,
                                .name = name,
                                .digest = digest[0] ? digest : NULL,
                                .ours = true};
    return caches_add_group(c, &group);
}

static int caches_scan_ours(struct caches *c)
{
    char *CLEAN_FREE local = stock_path(c->env, STOCK_LOCAL);
    char *CLEAN_FREE ollama = stock_path(c->env, STOCK_OLLAMA);
    if (!local || !ollama)
        return -ENOMEM;
    int r = caches_each_dir(c, local, caches_visit_local, NULL);
    return r < 0 ? r : caches_scan_ollama(c, ollama, true);
}

static int caches_scan_folder(struct caches *c, const char *top, enum model_origin origin)
{
    struct cache_group group = {.origin = origin, .top = top, .depth = CACHES_DEPTH};
    return top ? caches_add_group(c, &group) : 0;
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
static int caches_make_unique(struct caches *c)
{
    for (size_t i = 1; i < c->n; i++) {
        const char *origin = model_origin_name(c->item[i].origin);
        char *name = c->item[i].name;
        for (unsigned number = 1; name && caches_has_name(c, i, name); number++) {
            if (name != c->item[i].name)
                free(name);
            int n = number == 1 ? asprintf(&name, "%s/%s", origin, c->item[i].name)
                                : asprintf(&name, "%s/%s.%u", origin, c->item[i].name, number);
            if (n < 0)
                return -ENOMEM;
        }
        if (name == c->item[i].name)
            continue;
        free(c->item[i].name);
        c->item[i].name = name;
    }
    return 0;
}

static int caches_compare(const void *a, const void *b)
{
    return strcmp(((const struct cache_item *)a)->name, ((const struct cache_item *)b)->name);
}

int caches_new(const struct model_env *env, struct caches *ret_caches, struct gfxb_error *err)
{
    struct caches c = {.env = env};
    int r = env->data_dir ? caches_scan_ours(&c) : 0;
    if (r == 0)
        r = caches_scan_hub(&c, env->hub, MODEL_HUB);
    if (r == 0)
        r = caches_scan_hub(&c, env->llamacpp_hub, MODEL_LLAMACPP);
    if (r == 0)
        r = caches_scan_hub(&c, env->lemonade_hub, MODEL_LEMONADE);
    if (r == 0)
        r = caches_scan_ollama(&c, env->ollama, false);
    if (r == 0)
        r = caches_scan_ollama(&c, env->ollama_system, false);
    if (r == 0 && env->lmstudio)
        r = caches_each_dir(&c, env->lmstudio, caches_visit_lmstudio, NULL);
    if (r == 0)
        r = caches_scan_folder(&c, env->llamacpp, MODEL_LLAMACPP);
    if (r == 0)
        r = caches_scan_folder(&c, env->lemonade, MODEL_LEMONADE);
    if (r == 0)
        r = caches_make_unique(&c);
    if (r < 0) {
        caches_done(&c);
        return error_set(err, -r, "cannot look for models: %s", error_errno_text(-r));
    }
    if (c.n)
        qsort(c.item, c.n, sizeof(*c.item), caches_compare);
    *ret_caches = c;
    return 0;
}

/* ---- a Hugging Face hub cache: models of each repository's main first ---- */

#define HUB_DEPTH 4 /* of directories in a repository */

struct caches_hub {
    enum model_origin origin;
    char *repository; /* owned */
    char main[HUB_COMMIT];
    bool is_main; /* this round takes the main one alone, the next all others */
};

/* Lemonade's mark that files in here are still being written; links into blobs are complete. */
static bool caches_is_unfinished(const char *snapshot)
{
    struct stat st;
    char *CLEAN_FREE path = fs_join(snapshot, ".download_manifest.json");
    return path && lstat(path, &st) == 0;
}

static int caches_visit_snapshot(struct caches *c, const char *dir, const char *name, void *context)
{
    const struct caches_hub *hub = context;
    if ((strcmp(name, hub->main) == 0) != hub->is_main)
        return 0;
    size_t before = c->n;
    struct cache_group group = {.origin = hub->origin,
                                .top = dir,
                                .repository = hub->repository,
                                .revision = name,
                                .depth = HUB_DEPTH,
                                .skip_real = caches_is_unfinished(dir)};
    int r = caches_add_group(c, &group);
    for (size_t i = before; r == 0 && i < c->n; i++)
        c->item[i].ours = stock_is_ours(c->env, c->item[i].path);
    return r;
}

static int caches_visit_repository(struct caches *c, const char *dir, const char *name,
                                   void *context)
{
    struct caches_hub hub = {.origin = *(enum model_origin *)context};
    struct buf CLEAN_BUF commit = BUF_INIT(65536);
    char *CLEAN_FREE main = fs_join(dir, "refs/main");
    char *CLEAN_FREE snapshots = fs_join(dir, "snapshots");
    hub.repository = hub_cache_repository(name);
    if (!hub.repository)
        return 0;
    int r = main && snapshots ? 0 : -ENOMEM;
    if (r == 0 && fs_read(main, HUB_COMMIT, &commit) == 0 &&
        hub_is_hex(buf_text(&commit), HUB_COMMIT - 1))
        memcpy(hub.main, buf_text(&commit), HUB_COMMIT);
    for (int round = 0; r == 0 && round < 2; round++) {
        hub.is_main = round == 0;
        r = caches_each_dir(c, snapshots, caches_visit_snapshot, &hub);
    }
    free(hub.repository);
    return r;
}

int caches_scan_hub(struct caches *c, const char *hub, enum model_origin origin)
{
    return hub ? caches_each_dir(c, hub, caches_visit_repository, &origin) : 0;
}
