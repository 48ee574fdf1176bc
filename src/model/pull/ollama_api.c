#include "model/pull/ollama_api.h"
#include "model/pull/hub_api.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#define OLLAMA_TYPE     "application/vnd.ollama.image."
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
    if (!kind && type && str_starts(str_from(type), STR(OLLAMA_TYPE)))
        kind = type + sizeof(OLLAMA_TYPE) - 1;
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
    if (r == 0 && !(m.layer = calloc(n + 1, sizeof(*m.layer))))
        r = -ENOMEM;
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
    if (r == -ENOMEM)
        return error_set(err, ENOMEM, "out of memory");
    return error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                     "the answer is no manifest of an Ollama registry: it lists no usable layers");
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
    char *path = NULL;
    return asprintf(&path, "%s/blobs/sha256-%s", store, sha256) < 0 ? NULL : path;
}
