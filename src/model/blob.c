/* blob.c - files that clients upload, and the models that they become: both in our store in
 * Ollama's layout. */
#include "model/model_private.h"

#include "model/pull/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define BLOB_UPLOAD ".upload-"
#define BLOB_STEP   (64u << 20) /* bytes after which the disk is looked at again */

struct model_blob {
    char *dir, *path, *temporary; /* temporary NULL: it has its name */
    char sha256[DIGEST_HEX];
    int fd; /* locked, so that nobody takes it for what a killed server left */
    struct digest *digest;
    uint64_t unchecked; /* bytes since the disk had room */
};

char *model_blob_find(const struct model_env *env, const char *sha256)
{
    char *CLEAN_FREE blobs = NULL;
    char *CLEAN_FREE store = env->data_dir ? stock_path(env, STOCK_OLLAMA) : NULL;
    const char *const others[] = {env->ollama, env->ollama_system};
    if (!store || !hub_is_hex(sha256, DIGEST_HEX - 1))
        return NULL;
    char *path = ollama_blob_path(store, sha256);
    bool found = access(path, R_OK) == 0;
    for (size_t i = 0; !found && i < sizeof(others) / sizeof(others[0]); i++) {
        char *CLEAN_FREE theirs = others[i] ? ollama_blob_path(others[i], sha256) : NULL;
        found = theirs && access(theirs, R_OK) == 0 &&
                (blobs || stock_make(env, STOCK_OLLAMA "/blobs", &blobs, NULL) == 0) &&
                link(theirs, path) == 0;
    }
    if (found)
        return path;
    free(path);
    return NULL;
}

/* What killed servers left: nobody holds its lock. */
static void blob_sweep(const char *dir)
{
    DIR *CLEAN_DIR list = opendir(dir);
    const char *name;
    while ((name = fs_next(list))) {
        char *CLEAN_FREE path = xfs_join(dir, name);
        int CLEAN_CLOSE fd = str_starts(str_from(name), STR(BLOB_UPLOAD))
                                 ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
                                 : -1;
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlink(path);
    }
}

/* For this many bytes more; the length of an upload may be unknown. */
static int blob_check_room(const char *dir, uint64_t bytes, struct gfxb_error *err)
{
    uint64_t room = 0;
    if (fs_free_bytes(dir, &room) < 0 || (room >= PULL_SPARE && room - PULL_SPARE >= bytes))
        return 0;
    return error_set(err, GFXB_E_DISK_FULL,
                     "no room for the upload: %.1f GB are free where %s is, and %.1f GB more are "
                     "needed; free some space and send the file again",
                     (double)room / 1e9, dir, (double)bytes / 1e9 + PULL_SPARE / 1e9);
}

/* Its file, locked. The sweep of another upload may remove it before that: then another one. */
static int blob_make(struct model_blob *b, struct gfxb_error *err)
{
    struct stat st = {.st_nlink = 0};
    while (!st.st_nlink) {
        if (b->fd >= 0)
            close(b->fd);
        free(b->temporary);
        b->temporary = xfs_join(b->dir, BLOB_UPLOAD "XXXXXX");
        b->fd = mkostemp(b->temporary, O_CLOEXEC);
        if (b->fd < 0 || fchmod(b->fd, 0644) < 0 || flock(b->fd, LOCK_EX) < 0 ||
            fstat(b->fd, &st) < 0)
            return fs_error(err, errno, "make a file in", b->dir);
    }
    return 0;
}

int model_blob_begin(const struct model_env *env, const char *sha256, uint64_t size,
                     struct model_blob **ret_blob, struct gfxb_error *err)
{
    struct model_blob *b = xcalloc(1, sizeof(*b));
    b->fd = -1;
    int r = stock_make(env, STOCK_OLLAMA "/blobs", &b->dir, err);
    r = r ?: blob_check_room(b->dir, size, err) ?: digest_new(&b->digest, err);
    if (r == 0) {
        char *CLEAN_FREE store = stock_path(env, STOCK_OLLAMA);
        blob_sweep(b->dir);
        memcpy(b->sha256, sha256, DIGEST_HEX);
        b->path = ollama_blob_path(store, sha256);
        r = blob_make(b, err);
    }
    if (r == 0)
        *ret_blob = b;
    else
        model_blob_free(b);
    return r;
}

int model_blob_add(struct model_blob *b, struct str bytes, struct gfxb_error *err)
{
    b->unchecked += bytes.n;
    if (b->unchecked >= BLOB_STEP) {
        int r = blob_check_room(b->dir, bytes.n, err);
        if (r < 0)
            return r;
        b->unchecked = 0;
    }
    digest_add(b->digest, bytes.p, bytes.n);
    while (bytes.n) {
        ssize_t n = write(b->fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR)
            return fs_error(err, errno, "write", b->temporary);
        bytes = str_skip(bytes, n > 0 ? (size_t)n : 0);
    }
    return 0;
}

int model_blob_end(struct model_blob *b, struct gfxb_error *err)
{
    char came[DIGEST_HEX];
    int r = digest_end(b->digest, came, err);
    if (r < 0)
        return r;
    if (strcmp(came, b->sha256) != 0)
        return error_set(err, EINVAL, "digest mismatch, expected \"sha256:%s\", got \"sha256:%s\"",
                         b->sha256, came);
    if (fsync(b->fd) < 0 || rename(b->temporary, b->path) < 0)
        return fs_error(err, errno, "write", b->path);
    free(b->temporary);
    b->temporary = NULL;
    fs_sync_parent(b->path);
    return 0;
}

void model_blob_free(struct model_blob *b)
{
    if (!b)
        return;
    if (b->temporary && b->fd >= 0)
        unlink(b->temporary);
    if (b->fd >= 0)
        close(b->fd);
    digest_free(b->digest);
    free(b->temporary);
    free(b->path);
    free(b->dir);
    free(b);
}

/* ---- models made of blobs ---- */

/* Which of a model's files this is, by its header. */
static int blob_kind(const char *path, const char *file, const char **ret_kind,
                     struct gfxb_error *err)
{
    struct gguf gguf;
    int r = gguf_read(path, &gguf, err);
    if (r == 0) {
        *ret_kind = gguf.kind == GGUF_PROJECTOR ? "projector" : "model";
        r = gguf.kind == GGUF_PROJECTOR ? 0 : gguf_require_model(&gguf, file, err);
        gguf_done(&gguf);
    }
    if (r < 0)
        error_prefix(err, "%s: ", file);
    return r;
}

static json_t *blob_layer(const char *type, const char *sha256, uint64_t size)
{
    return json_pack("{s:s, s:s+, s:I}", "mediaType", type, "digest", "sha256:", sha256, "size",
                     (json_int_t)size);
}

/* The layers of these files: one model, and at most one projector. */
static int blob_layers(const struct model_env *env, const struct model_file *file, size_t n,
                       json_t *layers, struct gfxb_error *err)
{
    size_t n_models = 0, n_projectors = 0;
    for (size_t i = 0; i < n; i++) {
        char *CLEAN_FREE path = model_blob_find(env, file[i].sha256);
        const char *kind = NULL;
        struct stat st;
        if (!path || stat(path, &st) < 0)
            return error_set(err, EINVAL,
                             "%s: no blob sha256:%s is here: send it to /api/blobs first",
                             file[i].name, file[i].sha256);
        int r = blob_kind(path, file[i].name, &kind, err);
        if (r < 0)
            return r;
        bool is_model = strcmp(kind, "model") == 0;
        n_models += is_model;
        n_projectors += !is_model;
        char *CLEAN_FREE type = xasprintf(OLLAMA_MEDIA_TYPE "%s", kind);
        json_array_append_new(layers, blob_layer(type, file[i].sha256, (uint64_t)st.st_size));
    }
    if (n_models == 1 && n_projectors <= 1)
        return 0;
    return error_set(err, EINVAL,
                     "a model is made of one GGUF file, and of at most one projector: these are "
                     "%zu and %zu",
                     n_models, n_projectors);
}

/* "STORE/manifests/HOST/SPACE/MODEL/TAG"; NULL: the name is none of Ollama's. */
static char *blob_manifest_path(const char *store, const char *name)
{
    struct str rest = str_from(name), path = STR_NONE;
    bool named = model_name_is_plain(name) && str_cut(&rest, ':', &path);
    const char *slash = named ? memchr(path.p, '/', path.n) : NULL;
    if (!named || memchr(rest.p ? rest.p : "", ':', rest.n) ||
        memchr(rest.p ? rest.p : "", '/', rest.n) ||
        (slash && memchr(slash + 1, '/', path.n - (size_t)(slash + 1 - path.p))))
        return NULL;
    char *CLEAN_FREE file =
        xasprintf("%.*s/%s%.*s/%.*s", STR_ARG(model_hub_host(MODEL_HUB_OLLAMA)),
                  slash ? "" : "library/", STR_ARG(path), STR_ARG(rest.n ? rest : STR("latest")));
    return ollama_manifest_path(store, file);
}

/* The manifest's last part, which says what Ollama's own programs want to know. */
static int blob_config(const char *store, json_t **ret_layer, struct gfxb_error *err)
{
    static const char config[] = "{\"model_format\":\"gguf\",\"os\":\"linux\","
                                 "\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\","
                                 "\"diff_ids\":[]}}";
    char sha256[DIGEST_HEX];
    digest_bytes(config, sizeof(config) - 1, sha256);
    char *CLEAN_FREE path = ollama_blob_path(store, sha256);
    *ret_layer =
        blob_layer("application/vnd.docker.container.image.v1+json", sha256, sizeof(config) - 1);
    return access(path, F_OK) == 0 ? 0 : fs_write(path, config, sizeof(config) - 1, 0644, err);
}

int model_create(const struct model_env *env, const char *name, const struct model_file *file,
                 size_t n, struct gfxb_error *err)
{
    char *CLEAN_FREE store = stock_path(env, STOCK_OLLAMA);
    char *CLEAN_FREE path = blob_manifest_path(store, name);
    char *CLEAN_FREE lock_path = xfs_join(store, ".lock");
    char *CLEAN_FREE blobs = NULL;
    int CLEAN_CLOSE lock = -1;
    json_t *layers = json_array(), *config = NULL;
    int r = path ? 0
                 : error_set(err, EINVAL,
                             "\"%s\" cannot be a model's name here: NAME, NAME:TAG or "
                             "USER/NAME:TAG",
                             name);
    /* Under the lock that a removal holds: its blobs may just go. */
    r = r ?: stock_make(env, STOCK_OLLAMA "/blobs", &blobs, err)
          ?: fs_lock(lock_path, true, env->cancel, &lock, err)
          ?: blob_layers(env, file, n, layers, err)
          ?: blob_config(store, &config, err);
    json_t *manifest = json_pack("{s:i, s:s, s:o*, s:o}", "schemaVersion", 2, "mediaType",
                                 "application/vnd.docker.distribution.manifest.v2+json", "config",
                                 config, "layers", layers);
    char *CLEAN_FREE text = json_dumps(manifest, JSON_COMPACT);
    json_decref(manifest);
    if (r < 0)
        return r;
    char *CLEAN_FREE dir = xstr_dup(fs_dir(path));
    return fs_make_dirs(dir, 0755, err) ?: fs_write(path, text, strlen(text), 0644, err);
}

int model_add_name(const struct model_env *env, const struct model *model, const char *name,
                   struct gfxb_error *err)
{
    char *CLEAN_FREE store = env->data_dir ? stock_path(env, STOCK_OLLAMA) : NULL;
    char *CLEAN_FREE manifest = model->ours ? model_named_by(model) : NULL;
    char *CLEAN_FREE path = store ? blob_manifest_path(store, name) : NULL;
    struct buf CLEAN_BUF text = BUF_INIT(OLLAMA_MANIFEST_MAX + 1);
    int CLEAN_CLOSE lock = -1;
    if (model->origin != MODEL_OLLAMA || !manifest || !path)
        return 0;
    char *CLEAN_FREE lock_path = xfs_join(store, ".lock");
    char *CLEAN_FREE dir = xstr_dup(fs_dir(path));
    int r = fs_lock(lock_path, true, env->cancel, &lock, err);
    if (r == 0 && (r = fs_read(manifest, OLLAMA_MANIFEST_MAX, &text)) < 0)
        fs_error(err, -r, "read", manifest);
    r = r ?: fs_make_dirs(dir, 0755, err) ?: fs_write(path, text.p, text.n, 0644, err);
    return r ?: 1;
}
