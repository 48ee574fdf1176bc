/* remove.c - deletes what we wrote of a model, and nothing else. */
#include "model/model_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define REMOVE_DEPTH        6     /* of a snapshot's directories */
#define REMOVE_BLOB_SECONDS 86400 /* for what comes after an upload */

/* ---- the hub cache ---- */

/* Is there a link to this blob anywhere below the snapshots? */
static bool remove_is_linked(const char *dir, const struct stat *blob, int depth)
{
    DIR *CLEAN_DIR list = opendir(dir);
    const char *name;
    bool found = false;
    while (!found && (name = fs_next(list))) {
        struct stat own, st;
        char *CLEAN_FREE path = xfs_join(dir, name);
        if (lstat(path, &own) < 0)
            continue;
        if (S_ISDIR(own.st_mode))
            found = depth > 0 && remove_is_linked(path, blob, depth - 1);
        else
            found = stat(path, &st) == 0 && st.st_ino == blob->st_ino && st.st_dev == blob->st_dev;
    }
    return found;
}

/* A link that is still one, to the blob that we gave it; or one whose blob is gone; or the file
 * that we put in its place. */
static bool remove_is_our_link(const struct stock_file *file, const struct stat *own)
{
    struct stat at, blob;
    if (!file->made || !S_ISLNK(own->st_mode))
        return file->made && stock_is_file(file, own);
    if (stat(file->link, &at) < 0 || !file->blob)
        return true;
    return stat(file->blob, &blob) == 0 && at.st_ino == blob.st_ino && at.st_dev == blob.st_dev;
}

/* Directories that hold nothing any more, up to and without `top`. */
static void remove_empty_dirs(const char *path, const char *top)
{
    char *CLEAN_FREE at = xstrdup(path);
    char *slash;
    while ((slash = strrchr(at, '/'))) {
        *slash = '\0';
        if (strlen(at) <= strlen(top) || rmdir(at) < 0)
            return;
    }
}

static void remove_link(const struct stock_file *file, const char *snapshots, uint64_t *ret_bytes)
{
    struct stat own;
    if (file->made)
        fs_sweep_writes(file->link);
    if (lstat(file->link, &own) < 0 || !remove_is_our_link(file, &own) || unlink(file->link) < 0)
        return;
    if (S_ISREG(own.st_mode) && own.st_nlink < 2)
        *ret_bytes += (uint64_t)own.st_size;
    remove_empty_dirs(file->link, snapshots);
}

/* Unless somebody is fetching it right now. */
static void remove_blob(const struct hub_cache *c, const struct stock_file *file,
                        const char *snapshots, uint64_t *ret_bytes)
{
    struct stat st;
    char *CLEAN_FREE part = xasprintf("%s.incomplete", file->blob);
    char *CLEAN_FREE lock = xasprintf("%s%s.lock", c->locks, strrchr(file->blob, '/'));
    int CLEAN_CLOSE fd = -1;
    if (fs_lock(lock, false, NULL, &fd, NULL) < 0 && access(lock, F_OK) == 0)
        return;
    if (file->inode == 0 && lstat(part, &st) == 0 && S_ISREG(st.st_mode) && unlink(part) == 0)
        *ret_bytes += (uint64_t)st.st_size;
    if (lstat(file->blob, &st) < 0 || !S_ISREG(st.st_mode) ||
        (st.st_ino != file->inode && !stock_is_file(file, &st)) ||
        remove_is_linked(snapshots, &st, REMOVE_DEPTH))
        return;
    if (unlink(file->blob) == 0)
        *ret_bytes += (uint64_t)st.st_size;
}

/* A repository of which nothing is left; "main" goes with the commit that it names. */
static void remove_repository(const struct hub_cache *c)
{
    static const char *const dirs[] = {"snapshots", "refs", "blobs", ""};
    struct buf CLEAN_BUF commit = BUF_INIT(65536);
    char *CLEAN_FREE main = xfs_join(c->top, "refs/main");
    int r = fs_read(main, HUB_COMMIT, &commit);
    char *CLEAN_FREE snapshot = xasprintf("%s/snapshots/%s", c->top, buf_text(&commit));
    if (r == 0 && access(snapshot, F_OK) < 0)
        unlink(main);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char *CLEAN_FREE dir = xfs_join(c->top, dirs[i]);
        rmdir(dir);
    }
}

int remove_record(const struct model_env *env, const struct stock_record *record,
                  uint64_t *ret_bytes)
{
    struct hub_cache cache;
    int r = hub_cache_name(env->hub, record->repository, &cache, NULL);
    if (r < 0)
        return r;
    char *CLEAN_FREE snapshots = xfs_join(cache.top, "snapshots");
    char *CLEAN_FREE blobs = xfs_join(cache.top, "blobs/");
    for (size_t i = 0; i < record->n; i++) {
        const struct stock_file *file = &record->file[i];
        /* A record of another cache (HF_HOME has changed since) is not this one's business. */
        if (!str_starts(str_from(file->link), str_from(snapshots)))
            continue;
        remove_link(file, snapshots, ret_bytes);
        if (file->blob && str_starts(str_from(file->blob), str_from(blobs)))
            remove_blob(&cache, file, snapshots, ret_bytes);
    }
    stock_forget_record(env, record->file[0].link);
    remove_repository(&cache);
    hub_cache_done(&cache);
    return 0;
}

/* Is it the record of this file of a repository? file NULL: of one that was never finished. */
static bool remove_is_wanted(const struct stock_record *record, const char *repository,
                             const char *file)
{
    const char *link = record->file[0].link;
    char *CLEAN_FREE end = file ? xfs_join("", file) : NULL;
    return str_eq_nocase(str_from(record->repository), str_from(repository)) &&
           (end ? str_ends(str_from(link), str_from(end)) : access(link, F_OK) < 0);
}

/* How many records that was. */
static size_t remove_records(const struct model_env *env, const char *repository, const char *file,
                             uint64_t *ret_bytes)
{
    char *CLEAN_FREE dir = stock_path(env, STOCK_PULLED);
    struct paths CLEAN_PATHS files = paths_find(env->log, dir, 1, 1, S_IFREG);
    size_t n = 0;
    for (size_t i = 0; i < files.n; i++) {
        struct stock_record record;
        char *CLEAN_FREE path = xfs_join(dir, files.item[i]);
        if (stock_read_record(path, &record) < 0)
            continue;
        n += remove_is_wanted(&record, repository, file) &&
             remove_record(env, &record, ret_bytes) == 0;
        stock_record_done(&record);
    }
    return n;
}

/* ---- our own stores ---- */

static int remove_local(const struct model_env *env, const struct model *item, uint64_t *ret_bytes,
                        struct gfxb_error *err)
{
    char *CLEAN_FREE local = stock_path(env, STOCK_LOCAL);
    char *CLEAN_FREE dir = xfs_join(local, item->name);
    char *CLEAN_FREE stage = NULL;
    int CLEAN_CLOSE lock = -1;
    int r = stock_stage(env, &stage, &lock, err);
    if (r < 0)
        return r;
    /* Gone at once, whatever happens while its files are deleted: rename onto the empty stage. */
    if (rename(dir, stage) < 0)
        r = -errno;
    if (r == 0)
        r = fs_remove_tree(stage);
    else
        rmdir(stage);
    if (r < 0)
        return fs_error(err, -r, "remove", dir);
    *ret_bytes += item->bytes;
    return 0;
}

static bool manifest_names(const char *path, const char *sha256)
{
    struct ollama_manifest manifest;
    bool found = false;
    if (ollama_manifest_read(path, &manifest) < 0)
        return true; /* it might */
    for (size_t i = 0; i < manifest.n; i++)
        found = found || strcmp(manifest.layer[i].sha256, sha256) == 0;
    ollama_manifest_done(&manifest);
    return found;
}

/* Does another model of the store need this blob? */
static bool remove_is_needed(const char *store, const char *sha256)
{
    struct paths CLEAN_PATHS files = ollama_manifests(NULL, store);
    bool found = false;
    for (size_t i = 0; !found && i < files.n; i++) {
        char *CLEAN_FREE path = xasprintf("%s/manifests/%s", store, files.item[i]);
        found = manifest_names(path, sha256);
    }
    return found;
}

static int remove_ollama(const struct model_env *env, const struct model *item, uint64_t *ret_bytes,
                         struct gfxb_error *err)
{
    struct ollama_manifest manifest;
    char *CLEAN_FREE store = stock_path(env, STOCK_OLLAMA);
    char *CLEAN_FREE all = xfs_join(store, "manifests");
    char *CLEAN_FREE path = xfs_join(all, item->file);
    char *CLEAN_FREE lock_path = xfs_join(store, ".lock");
    int CLEAN_CLOSE lock = -1;
    int r = fs_lock(lock_path, true, env->cancel, &lock, err);
    if (r < 0)
        return r;
    r = ollama_manifest_read(path, &manifest);
    if (r == 0 && unlink(path) < 0) {
        r = -errno;
        ollama_manifest_done(&manifest);
    }
    if (r < 0)
        return fs_error(err, -r, "remove", path);
    remove_empty_dirs(path, all);
    for (size_t i = 0; i < manifest.n; i++) {
        struct stat st;
        char *CLEAN_FREE blob = ollama_blob_path(store, manifest.layer[i].sha256);
        if (lstat(blob, &st) == 0 && !remove_is_needed(store, manifest.layer[i].sha256) &&
            unlink(blob) == 0 && st.st_nlink == 1)
            *ret_bytes += (uint64_t)st.st_size;
    }
    ollama_manifest_done(&manifest);
    return 0;
}

/* A blob that no model names, and that was not written today. */
static bool remove_is_left_over(const char *store, const char *blob, const char *name)
{
    struct stat st;
    struct str sha256 = str_from(name);
    return str_strip(&sha256, STR("sha256-")) && hub_is_hex(sha256.p, DIGEST_HEX - 1) &&
           lstat(blob, &st) == 0 && time(NULL) - st.st_mtime >= REMOVE_BLOB_SECONDS &&
           !remove_is_needed(store, sha256.p);
}

int model_prune(const struct model_env *env, bool list, uint64_t *ret_bytes, struct gfxb_error *err)
{
    char *CLEAN_FREE store = stock_path(env, STOCK_OLLAMA);
    char *CLEAN_FREE blobs = xfs_join(store, "blobs");
    char *CLEAN_FREE lock_path = xfs_join(store, ".lock");
    int CLEAN_CLOSE lock = -1;
    DIR *CLEAN_DIR dir = opendir(blobs);
    int r = !dir || list ? 0 : fs_lock(lock_path, true, env->cancel, &lock, err);
    const char *name;
    *ret_bytes = 0;
    while (r == 0 && (name = fs_next(dir))) {
        char *CLEAN_FREE blob = xfs_join(blobs, name);
        uint64_t bytes = 0;
        if (remove_is_left_over(store, blob, name) && fs_tree_bytes(blob, &bytes) == 0 &&
            (list || unlink(blob) == 0))
            *ret_bytes += bytes;
    }
    return r;
}

/* ---- by name ---- */

static int remove_refuse(const struct model *item, struct gfxb_error *err)
{
    static const char *const how[MODEL_ORIGINS] = {
        [MODEL_HUB] = "another program put it into the Hugging Face cache; that program, or `hf "
                      "cache`, removes it",
        [MODEL_OLLAMA] = "it is Ollama's; `ollama rm` removes it",
        [MODEL_LMSTUDIO] = "it is LM Studio's, which removes it under My Models",
        [MODEL_LLAMACPP] = "llama.cpp put it there; delete the file itself",
        [MODEL_LEMONADE] = "it is Lemonade's; `lemonade delete` removes it",
        [MODEL_LOCAL] = "it is a file of your own; delete the file itself",
    };
    return error_set(err, EPERM, "%s stays: %s (%s)", item->name, how[item->origin], item->path);
}

static int remove_item(const struct model_env *env, const struct model *item, uint64_t *ret_bytes,
                       struct gfxb_error *err)
{
    if (!item->ours)
        return remove_refuse(item, err);
    if (item->origin == MODEL_LOCAL)
        return remove_local(env, item, ret_bytes, err);
    if (item->origin == MODEL_OLLAMA)
        return remove_ollama(env, item, ret_bytes, err);
    remove_records(env, item->repository, item->file, ret_bytes);
    return 0;
}

/* What an unfinished pull of this repository left. False: nothing was there. */
static bool remove_unfinished(const struct model_env *env, const char *name, uint64_t *ret_bytes)
{
    struct model_name parsed;
    return env->data_dir && model_name_parse(name, &parsed, NULL) == 0 &&
           parsed.kind == MODEL_NAME_HUB &&
           remove_records(env, parsed.repository, NULL, ret_bytes) > 0;
}

int model_remove(const struct model_env *env, const char *name, uint64_t *ret_bytes,
                 struct gfxb_error *err)
{
    struct model_list list;
    uint64_t bytes = 0;
    int r = 0;
    caches_find(env, &list);
    const struct model *item = list_match(&list, name);
    if (item)
        r = remove_item(env, item, &bytes, err);
    else if (!remove_unfinished(env, name, &bytes))
        r = list_nothing(&list, name, err);
    model_list_done(&list);
    if (r == 0 && ret_bytes)
        *ret_bytes = bytes;
    return r;
}
