/*
 * ollama_api.h - manifests of an Ollama registry or store: which blobs make a model. Any bytes may
 * come in. Private to model/.
 */
#ifndef MODEL_PULL_OLLAMA_API_H
#define MODEL_PULL_OLLAMA_API_H

#include "base/base.h"
#include "base/digest.h"

#define OLLAMA_LAYERS_MAX 256

struct ollama_layer {
    char kind[16]; /* "model", "projector", "template", "license" ...; "config"; "" another type */
    char sha256[DIGEST_HEX];
    uint64_t size;
};

struct ollama_manifest {
    struct ollama_layer *layer; /* the config is the last one */
    size_t n;
};

int ollama_manifest_parse(struct str json, struct ollama_manifest *ret_manifest,
                          struct gfxb_error *err);
void ollama_manifest_done(struct ollama_manifest *manifest);

/* The first layer of a kind; NULL none. */
const struct ollama_layer *ollama_manifest_find(const struct ollama_manifest *manifest,
                                                const char *kind);

/* "STORE/blobs/sha256-HEX", to be freed by the caller; NULL when out of memory. */
char *ollama_blob_path(const char *store, const char *sha256);

#endif
