/*
 * name.h - what a word that a user typed for a model can mean. Part of model/model.h.
 */
#ifndef MODEL_NAME_H
#define MODEL_NAME_H

#include "base/base.h"
#include "base/digest.h"

struct model_knowns;

enum model_name_kind {
    MODEL_NAME_LISTED, /* a row of data/models.tsv */
    MODEL_NAME_HUB,    /* org/repo, org/repo:QUANT, org/repo/file.gguf; with hf.co/ before it too */
    MODEL_NAME_OLLAMA, /* name, name:tag, registry.ollama.ai/namespace/name:tag */
    MODEL_NAME_URL,    /* https://host/file.gguf#sha256=HEX */
    MODEL_NAME_FILE,   /* a path */
};

/* Parts that do not apply are "". */
struct model_name {
    enum model_name_kind kind;
    char repository[200]; /* "org/repo"; Ollama: "library/qwen3" */
    char tag[100];        /* QUANT of the hub, tag of Ollama ("latest" where none was given) */
    char file[400];       /* path inside the repository; the path of a local file; the URL without
                             its fragment */
    char host[200];       /* Ollama: another registry's host */
    char sha256[DIGEST_HEX]; /* of a URL, lower case */
    size_t known;            /* index of the row of a listed name */
};

/*
 * Strict: each part has its own alphabet and length, no part is "." or "..", none starts with a
 * dash. A path is told by its start ("/", "./", "../", "~" is the shell's business) or because such
 * a file is there. -EINVAL with one sentence that names the forms there are and the nearest names.
 */
int model_name_parse(const char *text, struct model_name *ret_name, struct gfxb_error *err);

/*
 * The candidates nearest to a mistyped name as "a, b or c", best first, at most three, into
 * ret_text; "" when none is near. name(context, i) gives candidate i of n.
 */
void model_name_nearest(const char *text, size_t n,
                        const char *(*name)(const void *context, size_t i), const void *context,
                        char *ret_text, size_t size);

/* The same of the rows of data/models.tsv. */
void model_name_nearest_known(const struct model_knowns *list, const char *text, char *ret_text,
                              size_t size);

/* May this be a model's name here: letters, digits and "-._:/", no "..", not a path? */
bool model_name_is_plain(const char *text);

#endif
