/* ollama_store.c - Ollama's layout: manifests/HOST/NAMESPACE/MODEL/TAG and blobs/sha256-HEX. */
#include "model/cache/cache.h"

#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

/* ---- manifests ---- */

#define OLLAMA_SIZE_MAX (1ll << 50)

void ollama_manifest_done(struct ollama_manifest *manifest)
{
    free(manifest->layer);
    *manifest = (struct ollama_manifest){NULL, 0};
}

static int ollama_layer_parse(const json_t *json, const char *kind, struct ollama_layer *ret_layer)
{
    static const char prefix[] = "sha256:";
    const char *type = json_string_value(json_object_get(json, "mediaType"));
    const char *digest = json_string_value(json_object_get(json, "digest"));
    json_int_t size = json_integer_value(json_object_get(json, "size"));
    struct ollama_layer layer = {.size = (uint64_t)size};
    if (!digest || strncmp(digest, prefix, sizeof(prefix) - 1) != 0 ||
        !hub_is_hex(digest + sizeof(prefix) - 1, DIGEST_HEX - 1) || size < 0 ||
        size > OLLAMA_SIZE_MAX)
        return -EBADMSG;
    memcpy(layer.sha256, digest + sizeof(prefix) - 1, DIGEST_HEX);
    if (!kind && type && str_starts(str_from(type), STR(OLLAMA_MEDIA_TYPE)))
        kind = type + sizeof(OLLAMA_MEDIA_TYPE) - 1;
    if (kind && strlen(kind) < sizeof(layer.kind))
        memcpy(layer.kind, kind, strlen(kind) + 1);
    *ret_layer = layer;
    return 0;
}

int ollama_manifest_parse(struct str json, struct ollama_manifest *ret_manifest,
                          struct gfxb_error *err)
{
    json_t *whole = json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *layers = json_object_get(whole, "layers");
    const json_t *config = json_object_get(whole, "config");
    size_t n = json_array_size(layers);
    struct ollama_manifest m = {NULL, 0};
    int r = json_is_object(config) && n > 0 && n < OLLAMA_LAYERS_MAX ? 0 : -EBADMSG;
    if (r == 0)
        m.layer = xcalloc(n + 1, sizeof(*m.layer));
    for (size_t i = 0; r == 0 && i < n; i++)
        r = ollama_layer_parse(json_array_get(layers, i), NULL, &m.layer[m.n++]);
    if (r == 0)
        r = ollama_layer_parse(config, "config", &m.layer[m.n++]);
    json_decref(whole);
    if (r == 0) {
        *ret_manifest = m;
        return 0;
    }
    ollama_manifest_done(&m);
    return error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                     "the answer is no manifest of an Ollama registry: it lists no usable layers");
}

int ollama_manifest_read(const char *path, struct ollama_manifest *ret_manifest)
{
    struct buf CLEAN_BUF text = BUF_INIT(2 * OLLAMA_MANIFEST_MAX);
    return fs_read(path, OLLAMA_MANIFEST_MAX, &text)
               ?: ollama_manifest_parse(buf_view(&text), ret_manifest, NULL);
}

const struct ollama_layer *ollama_manifest_find(const struct ollama_manifest *manifest,
                                                const char *kind)
{
    for (size_t i = 0; i < manifest->n; i++) {
        if (strcmp(manifest->layer[i].kind, kind) == 0)
            return &manifest->layer[i];
    }
    return NULL;
}

char *ollama_blob_path(const char *store, const char *sha256)
{
    return xasprintf("%s/blobs/sha256-%s", store, sha256);
}

/* ---- models of a store ---- */

struct paths ollama_manifests(const struct log *log, const char *store)
{
    char *CLEAN_FREE top = xfs_join(store, "manifests");
    return paths_find(log, top, 4, 4, S_IFREG);
}

char *ollama_manifest_path(const char *store, const char *file)
{
    struct paths CLEAN_PATHS files = ollama_manifests(NULL, store);
    for (size_t i = 0; i < files.n; i++) {
        if (str_eq_nocase(str_from(files.item[i]), str_from(file)))
            return xasprintf("%s/manifests/%s", store, files.item[i]);
    }
    return xasprintf("%s/manifests/%s", store, file);
}

/* What a user of Ollama types for HOST/NAMESPACE/MODEL/TAG: "qwen3:8b", "user/model:tag",
 * "host/space/model:tag". */
static char *ollama_name(const char *file)
{
    char *CLEAN_FREE ours = xasprintf("%.*s/", STR_ARG(model_hub_host(MODEL_HUB_OLLAMA)));
    struct str rest = str_from(file);
    if (str_strip(&rest, str_from(ours)))
        (void)str_strip(&rest, STR("library/"));
    char *CLEAN_FREE path = xstr_dup(rest);
    return xasprintf("%.*s:%s", STR_ARG(fs_dir(path)), fs_name(path));
}

/* The blob of a layer, when all of it is there. */
static char *ollama_complete_blob(const char *store, const struct ollama_layer *layer)
{
    char *path = layer ? ollama_blob_path(store, layer->sha256) : NULL;
    if (path && hub_cache_has(path, layer->size))
        return path;
    free(path);
    return NULL;
}

static void ollama_add(struct caches *c, const char *store, const char *file,
                       const struct ollama_manifest *manifest)
{
    const struct ollama_layer *model = ollama_manifest_find(manifest, "model");
    const struct ollama_layer *projector = ollama_manifest_find(manifest, "projector");
    struct model item = {.origin = MODEL_OLLAMA};
    /* An adapter changes what its model says: without it this would be another model. */
    if (!model || ollama_manifest_find(manifest, "adapter"))
        return;
    item.path = ollama_complete_blob(store, model);
    item.mmproj = ollama_complete_blob(store, projector);
    if (item.path && (!projector || item.mmproj))
        item.name = ollama_name(file);
    item.digest = xstrdup(model->sha256);
    item.file = xstrdup(file);
    item.bytes = model->size + (projector ? projector->size : 0);
    caches_add(c, &item);
}

void caches_scan_ollama(struct caches *c, const char *store, enum model_origin origin)
{
    struct paths CLEAN_PATHS files = ollama_manifests(c->env->log, store);
    (void)origin;
    for (size_t i = 0; i < files.n; i++) {
        struct ollama_manifest manifest;
        char *CLEAN_FREE path = xasprintf("%s/manifests/%s", store, files.item[i]);
        if (ollama_manifest_read(path, &manifest) < 0)
            continue;
        ollama_add(c, store, files.item[i], &manifest);
        ollama_manifest_done(&manifest);
    }
}
