/* stock.c - what is ours below the data directory: records, local models, stages. */
#include "model/cache/cache.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sys/stat.h>

#define STOCK_ABOUT "about.json"
#define STOCK_STAGE ".stage-"

#define STOCK_TIME_STEP 2 /* seconds, of FAT */

char *stock_path(const struct model_env *env, const char *name)
{
    return xasprintf("%s/models/%s", env->data_dir, name);
}

int stock_make(const struct model_env *env, const char *name, char **ret_path,
               struct gfxb_error *err)
{
    char *path = stock_path(env, name);
    int r = fs_make_dirs(path, 0755, err);
    if (r < 0)
        free(path);
    else
        *ret_path = path;
    return r;
}

/* ---- records ---- */

void stock_record_done(struct stock_record *record)
{
    for (size_t i = 0; i < record->n; i++) {
        free(record->file[i].link);
        free(record->file[i].blob);
    }
    free(record->file);
    free(record->repository);
    *record = (struct stock_record){.file = NULL};
}

void stock_record_add(struct stock_record *record, const char *link, bool made, const char *blob)
{
    record->file = xreallocarray(record->file, record->n + 1, sizeof(*record->file));
    record->file[record->n++] =
        (struct stock_file){.link = xstrdup(link), .made = made, .blob = xstrdup_or_null(blob)};
}

const struct stock_file *stock_record_find(const struct stock_record *record, const char *link)
{
    for (size_t i = 0; i < record->n; i++) {
        if (strcmp(record->file[i].link, link) == 0)
            return &record->file[i];
    }
    return NULL;
}

bool stock_is_file(const struct stock_file *file, const struct stat *st)
{
    return S_ISREG(st->st_mode) && (uint64_t)st->st_size == file->bytes &&
           llabs(st->st_mtim.tv_sec - file->modified) <= STOCK_TIME_STEP;
}

/* A short name for a path: FNV-1a (the numbers are its own). It proves nothing, as a record holds
 * the path itself; a digest would bring libcrypto into every program that lists models. */
static uint64_t stock_hash(const char *text, uint64_t hash)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

/* NULL without a data directory. */
static char *stock_record_path(const struct model_env *env, const char *link)
{
    uint64_t one = stock_hash(link, 0xcbf29ce484222325u), other = stock_hash(link, one);
    if (!env->data_dir)
        return NULL;
    return xasprintf("%s/models/" STOCK_PULLED "/%016" PRIx64 "%016" PRIx64 ".json", env->data_dir,
                     one, other);
}

static int stock_parse_record(json_t *json, struct stock_record *record)
{
    const char *repository;
    json_t *files, *file;
    size_t i;
    if (json_unpack(json, "{s:s, s:o}", "repository", &repository, "files", &files) < 0)
        return -EBADMSG;
    record->repository = xstrdup(repository);
    json_array_foreach(files, i, file)
    {
        const char *link;
        json_t *blob = NULL; /* a text or null */
        int made = 0;
        json_int_t inode = 0, bytes = 0, modified = 0;
        if (json_unpack(file, "{s:s, s?b, s?o, s?I, s?I, s?I}", "link", &link, "made", &made,
                        "blob", &blob, "inode", &inode, "bytes", &bytes, "modified", &modified) < 0)
            return -EBADMSG;
        stock_record_add(record, link, made, json_string_value(blob));
        record->file[i].inode = (ino_t)inode;
        record->file[i].bytes = (uint64_t)bytes;
        record->file[i].modified = modified;
    }
    return record->n ? 0 : -EBADMSG;
}

int stock_read_record(const char *path, struct stock_record *ret_record)
{
    struct stock_record record = {.file = NULL};
    json_t *json = json_load_file(path, 0, NULL);
    int r = json ? stock_parse_record(json, &record) : -ENOENT;
    json_decref(json);
    if (r < 0)
        stock_record_done(&record);
    else
        *ret_record = record;
    return r;
}

int stock_load_record(const struct model_env *env, const char *link,
                      struct stock_record *ret_record)
{
    char *CLEAN_FREE path = stock_record_path(env, link);
    return path ? stock_read_record(path, ret_record) : -ENOENT;
}

bool stock_is_ours(const struct model_env *env, const char *link)
{
    struct stock_record record;
    struct stat st;
    if (stock_load_record(env, link, &record) < 0)
        return false;
    bool is_ours = record.file[0].made && strcmp(record.file[0].link, link) == 0 &&
                   lstat(link, &st) == 0 &&
                   (S_ISLNK(st.st_mode) || stock_is_file(&record.file[0], &st));
    stock_record_done(&record);
    return is_ours;
}

static int stock_write_json(const char *path, json_t *json, struct gfxb_error *err)
{
    char *CLEAN_FREE text = json ? json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text)
        return error_set(err, EINVAL, "cannot write %s: its texts are no UTF-8", path);
    return fs_write(path, text, strlen(text), 0644, err);
}

int stock_save_record(const struct model_env *env, const struct stock_record *record,
                      struct gfxb_error *err)
{
    char *CLEAN_FREE dir = NULL;
    int r = stock_make(env, STOCK_PULLED, &dir, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE path = stock_record_path(env, record->file[0].link);
    json_t *files = json_array();
    for (size_t i = 0; i < record->n; i++) {
        const struct stock_file *file = &record->file[i];
        json_array_append_new(files,
                              json_pack("{s:s, s:b, s:s?, s:I, s:I, s:I}", "link", file->link,
                                        "made", file->made, "blob", file->blob, "inode",
                                        (json_int_t)file->inode, "bytes", (json_int_t)file->bytes,
                                        "modified", (json_int_t)file->modified));
    }
    return stock_write_json(
        path,
        json_pack("{s:i, s:s, s:o}", "schema", 1, "repository", record->repository, "files", files),
        err);
}

void stock_forget_record(const struct model_env *env, const char *link)
{
    char *CLEAN_FREE path = stock_record_path(env, link);
    if (path)
        unlink(path);
}

/* ---- local models ---- */

void stock_read_digest(const char *dir, char ret_digest[static DIGEST_HEX])
{
    char *CLEAN_FREE path = xfs_join(dir, STOCK_ABOUT);
    json_t *json = json_load_file(path, 0, NULL);
    const char *digest = json_string_value(json_object_get(json, "sha256"));
    ret_digest[0] = '\0';
    if (hub_is_hex(digest, DIGEST_HEX - 1))
        memcpy(ret_digest, digest, DIGEST_HEX);
    json_decref(json);
}

int stock_write_about(const char *dir, const char *from, const char *digest, struct gfxb_error *err)
{
    char *CLEAN_FREE path = xfs_join(dir, STOCK_ABOUT);
    return stock_write_json(path,
                            json_pack("{s:i, s:s, s:s?}", "schema", 1, "from", from, "sha256",
                                      digest && digest[0] ? digest : NULL),
                            err);
}

static void stock_sweep(const char *local)
{
    DIR *CLEAN_DIR dir = opendir(local);
    const char *name;
    while ((name = fs_next(dir))) {
        char *CLEAN_FREE path = xfs_join(local, name);
        if (str_starts(str_from(name), STR(STOCK_STAGE)))
            fs_remove_tree(path);
    }
}

int stock_stage(const struct model_env *env, char **ret_stage, int *ret_lock,
                struct gfxb_error *err)
{
    char *CLEAN_FREE local = NULL;
    int fd = -1;
    int r = stock_make(env, STOCK_LOCAL, &local, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE lock = xfs_join(local, ".lock");
    r = fs_lock(lock, true, env->cancel, &fd, err);
    if (r < 0)
        return r;
    stock_sweep(local);
    char *stage = xfs_join(local, STOCK_STAGE "XXXXXX");
    if (!mkdtemp(stage) || chmod(stage, 0755) < 0) {
        r = fs_error(err, errno, "make a directory in", local);
        free(stage);
        close(fd);
        return r;
    }
    *ret_stage = stage;
    *ret_lock = fd;
    return 0;
}

int stock_publish(const struct model_env *env, const char *stage, const char *name,
                  struct gfxb_error *err)
{
    char *CLEAN_FREE local = stock_path(env, STOCK_LOCAL);
    char *CLEAN_FREE final = xfs_join(local, name);
    DIR *CLEAN_DIR dir = opendir(local);
    const char *other;
    /* Names are found in any case, so two that differ in nothing else would be one too many. */
    while ((other = fs_next(dir)) && !str_eq_nocase(str_from(other), str_from(name)))
        continue;
    int r = other ? -EEXIST : fs_publish_tree(stage, final, err);
    if (r == -EEXIST)
        error_set(err, EEXIST,
                  "a model is called %s already: choose another name with --name, or remove it "
                  "with gfxbridge rm %s",
                  other ? other : name, other ? other : name);
    return r;
}
