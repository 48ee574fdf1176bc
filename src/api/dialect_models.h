/*
 * dialect_models.h - the models of this disk, the built-in one among them, with what their headers
 * say: for the lists and details of all dialects. Reads files: for jobs only.
 */
#ifndef API_DIALECT_MODELS_H
#define API_DIALECT_MODELS_H

#include "api/dialect_routes.h"
#include "model/model.h"

/* Everything is owned. */
struct dialect_model {
    struct model model;
    struct gguf gguf; /* all zero when the header cannot be read */
};

struct dialect_models {
    struct dialect_model *item;
    size_t n;
};

/* All of them, the built-in one first. */
int dialect_models_new(const struct model_env *env, struct dialect_models *ret_models,
                       struct gfxb_error *err);
void dialect_models_done(struct dialect_models *models);

/*
 * One by its name, also as clients write it: with Ollama's ":latest" though it has no tag, without
 * it, or with Lemonade's "user." before it. -GFXB_E_MODEL_UNKNOWN.
 */
int dialect_model_find(const struct model_env *env, const char *name,
                       struct dialect_model *ret_model, struct gfxb_error *err);
void dialect_model_done(struct dialect_model *model);

/* Unload and delete it, when it is ours. */
int dialect_model_delete(struct http_job *job, const char *name, struct gfxb_error *err);

/* The server's places, ready for a pull of this job. */
struct model_env dialect_model_env(struct http_job *job);

/* {ok, where: "gpu"|"part"|"cpu"|null, need_bytes, have_bytes}: would a model of so many bytes run
 * here, as far as can be told before it is downloaded? null: it cannot. */
json_t *dialect_fit_json(const struct machine *m, uint64_t bytes);

/* A model's digest as hex; of the built-in one and of split ones a stand-in that changes with the
 * file. */
void dialect_model_digest(const struct dialect_model *m, char ret_hex[DIGEST_HEX]);

/* "Q4_K_M" or "unknown"; "8.0B" by the number of parameters; "" unknown. */
const char *dialect_model_quantisation(const struct dialect_model *m);
void dialect_model_size_text(const struct dialect_model *m, char ret_text[24]);

/* Does the blank-separated list of labels hold this word? */
bool dialect_model_has(const struct dialect_model *m, const char *label);

#endif
