/* models.c - the models of this disk with their headers, for the lists of all dialects. */
#include "api/serve.h"

#include <stdio.h>

/* ---- one ---- */

void dialect_model_done(struct dialect_model *m)
{
    model_done(&m->model);
    gguf_done(&m->gguf);
    *m = (struct dialect_model){.model = {.name = NULL}};
}

/* Reads the header. A damaged file is listed too: show tells what is wrong. */
static void models_read_header(struct dialect_model *m)
{
    if (gguf_read(m->model.path, &m->gguf, NULL) < 0)
        m->gguf = (struct gguf){.kind = GGUF_MODEL};
}

/* Its header is read like the others. If it cannot be written, the first use says why. */
static void models_write_canary(const struct model_env *env)
{
    char *CLEAN_FREE path = NULL;
    engine_canary_path(engine_kind_of_model(NULL), env->data_dir, NULL, &path, NULL);
}

int dialect_model_find(const struct model_env *env, const char *name,
                       struct dialect_model *ret_model, struct gfxb_error *err)
{
    struct dialect_model m = {.model = {.name = NULL}};
    int code = engine_model_find(env, name, &m.model, err);
    if (code < 0)
        return code;
    models_read_header(&m);
    *ret_model = m;
    return 0;
}

/* ---- all ---- */

json_t *dialect_models_json(struct http_exchange *x,
                            json_t *(*entry)(struct http_exchange *x,
                                             const struct dialect_model *m))
{
    const struct model_env *env = &serve_of(x)->models;
    struct model_list list;
    json_t *array = json_array();
    engine_model_list_new(env, &list);
    for (size_t i = 0; i < list.n; i++) {
        struct dialect_model m = {.model = list.item[i]};
        if (m.model.origin == MODEL_BUILTIN)
            models_write_canary(env);
        models_read_header(&m);
        json_array_append_new(array, entry(x, &m));
        gguf_done(&m.gguf);
    }
    model_list_done(&list);
    return array;
}

/* ---- how much one request may use ---- */

struct models_context {
    struct pool *pool;
    const char *name;
    uint32_t context; /* 0: no engine runs it */
};

static void models_look_up_context(void *context)
{
    struct models_context *about = context;
    struct pool_status m;
    for (size_t i = 0; pool_at(about->pool, i, &m); i++) {
        if (strcmp(m.name, about->name) == 0)
            about->context = m.context;
    }
}

uint32_t dialect_model_context(struct http_exchange *x, const struct dialect_model *m)
{
    const struct serve *serve = serve_of(x);
    struct models_context about = {serve->pool, m->model.name, 0};
    struct session_request request = serve->request;
    struct session session;
    http_in_loop(x, models_look_up_context, &about);
    if (about.context || m->model.origin == MODEL_BUILTIN)
        return about.context ? about.context : m->gguf.context;
    request.model = m->model.path;
    request.mmproj = m->model.mmproj;
    request.known = model_known_find(str_from(m->model.name));
    if (session_plan(&request, &session, NULL) < 0)
        return 0;
    const struct plan *plan = session.plan;
    about.context = plan->chosen < 0 ? 0 : plan->choice[plan->chosen].context;
    session_done(&session);
    return about.context;
}

struct model_env dialect_model_env(const struct http_exchange *x)
{
    struct model_env env = serve_of(x)->models;
    env.cancel = http_cancelled(x);
    return env;
}

/* ---- delete ---- */

struct models_unload {
    struct pool *pool;
    const char *name;
};

/* A model that is loaded is unloaded first: its file may be mapped. */
static void models_unload(void *context)
{
    const struct models_unload *unload = context;
    pool_unload(unload->pool, str_from(unload->name), NULL);
}

int dialect_model_delete(struct http_exchange *x, const char *name, struct gfxb_error *err)
{
    struct model_env env = dialect_model_env(x);
    struct dialect_model m;
    int code = dialect_model_find(&env, name, &m, err);
    if (code < 0) /* an alias whose model is gone */
        return engine_model_remove(&env, name, NULL, err);
    if (m.model.ours && !m.model.alias)
        http_in_loop(x, models_unload, &(struct models_unload){serve_of(x)->pool, m.model.name});
    code = engine_model_remove(&env, model_shown(&m.model), NULL, err);
    dialect_model_done(&m);
    return code;
}

/* The arguments stand beside the recipe's, which the session adds. The bytes are the model's and
 * its projector's. */
int serve_find(void *models, const char *name, struct pool_found *ret_found, struct gfxb_error *err)
{
    struct dialect_model m;
    struct engine_words args = {.n = 0};
    struct gguf projector = {.bytes = 0};
    int result = dialect_model_find(models, name, &m, err);
    if (result < 0)
        return result;
    const struct model_known *known = model_known_find(str_from(m.model.name));
    engine_words_add(&args, "%s", engine_kind_of_model(known)->name_argument);
    engine_words_add(&args, "%s", m.model.name);
    if (m.model.mmproj && gguf_read(m.model.mmproj, &projector, NULL) < 0)
        projector = (struct gguf){.bytes = 0};
    *ret_found = (struct pool_found){
        .name = xstrdup(m.model.name),
        .path = m.model.origin == MODEL_BUILTIN ? NULL : xstrdup(m.model.path),
        .mmproj = xstrdup_or_null(m.model.mmproj),
        .named_by = model_named_by(&m.model),
        .args = args.word,
        .known = known,
        .context = m.gguf.context,
        .width = m.gguf.embedding,
        .task = m.model.task,
        .hears = projector.hears,
        .calls = m.gguf.template &&
                 (strstr(m.gguf.template, "tool") || strstr(m.gguf.template, "functions")),
        .bytes = m.model.bytes + projector.bytes,
    };
    gguf_done(&projector);
    dialect_model_done(&m);
    return 0;
}

const char *serve_model_state_name(enum pool_state state)
{
    static const char *const names[] = {
        [POOL_LOADING] = "loading",
        [POOL_READY] = "ready",
        [POOL_FAILING_OVER] = "failing-over",
        [POOL_UNLOADING] = "unloading",
    };
    return names[state];
}
