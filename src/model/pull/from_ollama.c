/*
 * from_ollama.c - from an Ollama registry into a store of ours in Ollama's own layout: blobs first,
 * the manifest last. Ollama's own store is not written to: its server deletes at its start what it
 * did not write itself. What is there already is used where it is, or hard-linked.
 */
#include "model/pull/pull.h"

#define OLLAMA_ACCEPT "Accept: application/vnd.docker.distribution.manifest.v2+json"

struct pull_ollama {
    struct pull pull; /* first: the progress callback's context */
    const struct model_name *name;
    const char *base; /* "https://registry/v2/space/model" */
    const char *store;
    const char *path; /* of the manifest to be */
    struct buf text;
    struct ollama_manifest manifest;
};

/* ---- the manifest ---- */

/* The fetch's own error, in the registry's sense. */
static int pull_ollama_refused(const struct pull_ollama *p, struct gfxb_error *err)
{
    char near[300];
    long status = err->code == GFXB_E_MODEL_UNAVAILABLE ? p->pull.status : 0;
    struct str name = str_from(p->name->repository);
    (void)str_strip(&name, STR("library/"));
    if (status == 404) {
        model_name_nearest_known(p->pull.name, near, sizeof(near));
        return error_set(err, GFXB_E_MODEL_UNKNOWN,
                         "the Ollama registry has no model %.*s:%s; for one of the Hugging Face "
                         "hub say org/name%s%s",
                         STR_ARG(name), p->name->tag, near[0] ? "; the list has " : "", near);
    }
    if (status == 401 || status == 403)
        return error_set(err, GFXB_E_MODEL_GATED,
                         "the Ollama registry gives %s only to its owner: sign in with Ollama and "
                         "pull it there, gfxbridge uses it from Ollama's store",
                         p->pull.name);
    if (status == 412)
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "the Ollama registry gives %s only to a newer version of Ollama: it is "
                         "made for Ollama's own engine. Take a GGUF file of the same model from "
                         "the Hugging Face hub: gfxbridge pull ORG/REPO:QUANT",
                         p->pull.name);
    return -err->code;
}

static int pull_ollama_ask(struct pull_ollama *p, struct gfxb_error *err)
{
    static const char *const headers[] = {OLLAMA_ACCEPT, NULL};
    char *CLEAN_FREE url = xasprintf("%s/manifests/%s", p->base, p->name->tag);
    struct fetch_request request = {.url = url, .what = "the manifest", .headers = headers};
    if (pull_fetch(&p->pull, &request, &p->text, err) < 0)
        return pull_ollama_refused(p, err);
    return ollama_manifest_parse(buf_view(&p->text), &p->manifest, err);
}

static int pull_ollama_check_kind(const struct pull_ollama *p, struct gfxb_error *err)
{
    if (ollama_manifest_find(&p->manifest, "tensor"))
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "%s comes as single tensors, not as a GGUF file: llama.cpp cannot load it",
                         p->pull.name);
    if (ollama_manifest_find(&p->manifest, "adapter"))
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "%s is an adapter on top of another model: gfxbridge runs whole models",
                         p->pull.name);
    if (!ollama_manifest_find(&p->manifest, "model"))
        return error_set(err, GFXB_E_MODEL_UNUSABLE, "%s holds no model (it runs in a cloud?)",
                         p->pull.name);
    return 0;
}

/* ---- blobs ---- */

/* The same blob in Ollama's own store, as a second name for it. */
static bool pull_ollama_take(const struct pull_ollama *p, const struct ollama_layer *layer,
                             const char *path)
{
    const char *const stores[] = {p->pull.env->ollama, p->pull.env->ollama_system};
    for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
        char *CLEAN_FREE theirs = stores[i] ? ollama_blob_path(stores[i], layer->sha256) : NULL;
        if (theirs && hub_cache_has(theirs, layer->size) && access(theirs, R_OK) == 0 &&
            link(theirs, path) == 0)
            return true;
    }
    return false;
}

static int pull_ollama_bring(struct pull_ollama *p, const struct ollama_layer *layer,
                             struct gfxb_error *err)
{
    char *CLEAN_FREE url = xasprintf("%s/blobs/sha256:%s", p->base, layer->sha256);
    char *CLEAN_FREE path = ollama_blob_path(p->store, layer->sha256);
    p->pull.file = layer->kind[0] ? layer->kind : "layer";
    p->pull.sha256 = layer->sha256;
    struct fetch_request request = {.url = url,
                                    .what = p->pull.file,
                                    .sha256 = layer->sha256,
                                    .size = layer->size,
                                    .path = path,
                                    .progress = pull_show};
    if (!hub_cache_has(path, layer->size) && !pull_ollama_take(p, layer, path) &&
        pull_fetch(&p->pull, &request, NULL, err) < 0)
        return pull_ollama_refused(p, err);
    pull_show_whole(&p->pull, layer->size);
    return 0;
}

static int pull_ollama_measure(struct pull_ollama *p, struct gfxb_error *err)
{
    uint64_t missing = 0, weights = 0;
    p->pull.n = p->manifest.n;
    for (size_t i = 0; i < p->manifest.n; i++) {
        const struct ollama_layer *layer = &p->manifest.layer[i];
        char *CLEAN_FREE path = ollama_blob_path(p->store, layer->sha256);
        char *CLEAN_FREE part = xasprintf("%s.part", path);
        p->pull.total += layer->size;
        if (strcmp(layer->kind, "model") == 0 || strcmp(layer->kind, "projector") == 0)
            weights += layer->size;
        missing += pull_missing(path, part, layer->size);
    }
    struct model_offer offer = {p->pull.name, weights};
    return (missing ? model_offer_check(p->pull.env->machine, &offer, 1, 0, err) : 0)
               ?: pull_check_room(&p->pull, p->store, missing, err);
}

/* ---- the way ---- */

/* Under the lock that a removal holds: a blob that both models share may just have gone. */
static int pull_ollama_publish(const struct pull_ollama *p, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = xstr_dup(fs_dir(p->path));
    char *CLEAN_FREE lock = xfs_join(p->store, ".lock");
    int CLEAN_CLOSE fd = -1;
    int r = fs_lock(lock, true, p->pull.env->cancel, &fd, err);
    for (size_t i = 0; r == 0 && i < p->manifest.n; i++) {
        const struct ollama_layer *layer = &p->manifest.layer[i];
        char *CLEAN_FREE path = ollama_blob_path(p->store, layer->sha256);
        if (!hub_cache_has(path, layer->size))
            r = error_set(err, GFXB_E_MODEL_UNAVAILABLE,
                          "%s was removed while %s was pulled: pull it again", layer->kind,
                          p->pull.name);
    }
    struct buf CLEAN_BUF now = BUF_INIT(2 * OLLAMA_MANIFEST_MAX);
    bool same = r == 0 && fs_read(p->path, OLLAMA_MANIFEST_MAX, &now) == 0 &&
                str_eq(buf_view(&now), buf_view(&p->text));
    /* A manifest that is written again makes a server load the model again. */
    return r < 0 || same ? r
                         : fs_make_dirs(dir, 0755, err)
                               ?: fs_write(p->path, p->text.p, p->text.n, 0644, err);
}

static int pull_ollama_run(struct pull_ollama *p, struct model *ret_model, struct gfxb_error *err)
{
    char *CLEAN_FREE blobs = NULL;
    int r = pull_ollama_ask(p, err)
                ?: pull_ollama_check_kind(p, err)
                ?: pull_ollama_measure(p, err)
                ?: stock_make(p->pull.env, STOCK_OLLAMA "/blobs", &blobs, err);
    for (size_t i = 0; r == 0 && i < p->manifest.n; i++)
        r = pull_ollama_bring(p, &p->manifest.layer[i], err);
    r = r ?: pull_ollama_publish(p, err);
    if (r < 0)
        return r;
    const struct ollama_layer *model = ollama_manifest_find(&p->manifest, "model");
    char *CLEAN_FREE path = ollama_blob_path(p->store, model->sha256);
    r = pull_check_file(path, err);
    if (r < 0) {
        error_prefix(err, "%s: ", p->pull.name);
        return r;
    }
    return model_find(p->pull.env, p->pull.name, ret_model, err); /* tags may share their blobs */
}

int pull_ollama(const struct model_env *env, const char *text, const struct model_name *name,
                struct model *ret_model, struct gfxb_error *err)
{
    struct model here;
    /* Ollama keeps its own up to date. */
    if (model_find(env, text, &here, NULL) == 0) {
        if (!here.ours) {
            *ret_model = here;
            return 0;
        }
        model_done(&here);
    }
    struct str host = model_hub_host(MODEL_HUB_OLLAMA);
    char *CLEAN_FREE base = xasprintf("%s/v2/%s", env->ollama_registry, name->repository);
    char *CLEAN_FREE store = stock_path(env, STOCK_OLLAMA);
    char *CLEAN_FREE file = xasprintf("%.*s/%s/%s", STR_ARG(host), name->repository, name->tag);
    char *CLEAN_FREE path = ollama_manifest_path(store, file);
    struct pull_ollama p = {.pull = {.env = env, .name = text, .file = "", .sha256 = ""},
                            .name = name,
                            .base = base,
                            .store = store,
                            .path = path,
                            .text = BUF_INIT(OLLAMA_MANIFEST_MAX)};
    int r = pull_ollama_run(&p, ret_model, err);
    buf_done(&p.text);
    ollama_manifest_done(&p.manifest);
    return r;
}
