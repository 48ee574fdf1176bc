/* models.c - models (OpenAI's list with Lemonade's fields), pull and delete. */
#include "api/lemonade/lemonade.h"

#include <errno.h>
#include <math.h>

/* ---- models ---- */

/* Lemonade's labels. Its clients choose models by them. */
static json_t *models_labels(struct str labels)
{
    json_t *words = json_array();
    struct str word;
    while (str_word(&labels, &word)) {
        if (str_is(word, "tools"))
            word = STR("tool-calling");
        else if (str_is(word, "embedding"))
            word = STR("embeddings");
        json_array_append_new(words, report_json_str(word));
    }
    return words;
}

/* The fields of both kinds of entries. */
static json_t *models_entry(json_t *id, json_t *checkpoint, struct str labels, uint64_t bytes,
                            int64_t created, const char *source, bool here)
{
    json_t *main = json_incref(checkpoint);
    return json_pack("{s:o, s:s, s:I, s:s, s:o, s:{s:o}, s:[], s:s, s:{}, s:o, s:f, s:s, s:s, s:b, "
                     "s:b, s:b}",
                     "id", id, "object", "model", "created", (json_int_t)created, "owned_by",
                     "gfxbridge", "checkpoint", checkpoint, "checkpoints", "main", main,
                     "components", "recipe", LEMONADE_RECIPE, "recipe_options", "labels",
                     models_labels(labels), "size", round((double)bytes / 1e7) / 100.0, "source",
                     source, "registry_source", "gfxbridge", "suggested", 1, "downloaded",
                     (int)here, "update_available", 0);
}

/* Lemonade's name for the hub; our own names for other origins. */
static const char *models_source(enum model_origin origin)
{
    return origin == MODEL_HUB ? "huggingface" : model_origin_name(origin);
}

static json_t *models_full_entry(struct http_exchange *x, const struct dialect_model *m)
{
    const char *checkpoint = m->model.repository ? m->model.repository : m->model.name;
    json_t *entry =
        models_entry(report_json_string(model_shown(&m->model)), report_json_string(checkpoint),
                     str_from(m->model.labels), m->model.bytes, m->model.modified,
                     models_source(m->model.origin), true);
    uint32_t context = dialect_model_context(x, m);
    if (context)
        json_object_set_new(entry, "context_length", json_integer(context));
    if (m->gguf.context)
        json_object_set_new(entry, "max_context_window", json_integer(m->gguf.context));
    /* ours */
    json_object_set_new(entry, "origin", json_string(model_origin_name(m->model.origin)));
    json_object_set_new(entry, "ours", json_boolean(m->model.ours));
    json_object_set_new(entry, "task", json_string(model_task_name(m->model.task)));
    json_object_set_new(entry, "licence", report_json_text(m->model.licence));
    return entry;
}

/* {ok, where: "gpu"|"part"|"cpu"|null, need_bytes, have_bytes}: would a model of this size run
 * here? An estimate before the download. null: unknown. */
static json_t *models_fit(const struct machine *m, uint64_t bytes)
{
    uint64_t all = m ? plan_memory_most(m) : 0;
    if (!all || !bytes)
        return json_null();
    uint64_t gpu = plan_memory_gpu(m), need = model_offer_need(bytes);
    bool fits = need <= all, on_gpu = fits && gpu;
    const char *where = on_gpu ? need <= gpu ? "gpu" : "part" : "cpu";
    return json_pack("{s:b, s:o, s:o, s:o}", "ok", (int)fits, "where",
                     report_json_text(fits ? where : NULL), "need_bytes", report_json_bytes(need),
                     "have_bytes", report_json_bytes(on_gpu ? gpu : all));
}

static json_t *models_known_entry(const struct machine *machine, const struct model_known *k)
{
    json_t *entry = models_entry(report_json_str(k->name), report_json_str(k->repository),
                                 k->labels, k->bytes, 0, models_source(MODEL_HUB), false);
    /* ours */
    json_object_set_new(entry, "task", json_string(model_task_name(k->task)));
    json_object_set_new(entry, "licence", report_json_str(k->licence));
    json_object_set_new(entry, "fit", models_fit(machine, k->bytes));
    return entry;
}

/* Adds the rows of the short list that are not on this disk. */
static void models_add_known(const struct machine *machine, json_t *array)
{
    const struct model_knowns *all = model_knowns();
    size_t here = json_array_size(array);
    for (size_t i = 0; i < all->n; i++) {
        const struct model_known *k = &all->item[i];
        bool listed = false;
        for (size_t j = 0; j < here && !listed; j++) {
            const json_t *id = json_object_get(json_array_get(array, j), "id");
            listed = str_eq_nocase(str_from(json_string_value(id)), k->name);
        }
        if (!listed)
            json_array_append_new(array, models_known_entry(machine, k));
    }
}

static void models_list(struct http_exchange *x)
{
    const struct model_env *env = &serve_of(x)->models;
    json_t *array = dialect_models_json(x, models_full_entry);
    char all[8];
    if (dialect_query(http_request(x)->query, "show_all", all, sizeof(all)) &&
        strcmp(all, "true") == 0)
        models_add_known(env->machine, array);
    dialect_reply_json(x, 200, json_pack("{s:s, s:o}", "object", "list", "data", array));
}

static void models_one(struct http_exchange *x)
{
    struct str rest = http_request(x)->rest;
    char *CLEAN_FREE name = xstr_dup(rest);
    struct dialect_model m;
    struct gfxb_error err;
    if (str_ends(rest, STR(LEMONADE_OPTIONS))) {
        lemonade_options(x);
    } else if (!dialect_name_ok(rest)) {
        http_fail(x, 404, "model_not_found", "model", "no model has this name");
    } else if (dialect_model_find(&serve_of(x)->models, name, &m, &err) < 0) {
        dialect_reply_failure(x, &err);
    } else {
        dialect_reply_json(x, 200, models_full_entry(x, &m));
        dialect_model_done(&m);
    }
}

/* ---- pull, delete ---- */

static void models_pull_here(struct dialect_stream *stream, const char *name)
{
    struct model_env env = dialect_model_env(stream->x);
    struct model model = {.name = NULL};
    struct gfxb_error err = {.code = 0};
    env.progress = lemonade_progress;
    env.context = stream;
    lemonade_begin(stream);
    if (engine_model_pull(&env, name, &model, &err) == 0) {
        lemonade_end(stream, 200,
                     json_pack("{s:s, s:o}", "status", "success", "model_name",
                               report_json_string(model.name)));
    } else {
        struct dialect_error error;
        dialect_error_from(&err, &error);
        bool unknown = err.code == GFXB_E_MODEL_UNKNOWN || err.code == EINVAL;
        const char *code = unknown ? "unknown_model" : error.code;
        lemonade_end(stream, unknown ? 400 : error.status,
                     json_pack("{s:s?, s:o}", "code", code, "error", report_json_text(err.text)));
    }
    model_done(&model);
}

static void models_pull(struct http_exchange *x)
{
    struct dialect_stream stream = {.x = x};
    struct dialect_body body;
    char name[DIALECT_NAME_SIZE];
    lemonade_read(x, true, &body, name);
    stream.on = dialect_body_flag(&body, "stream", false);
    bool stays = dialect_body_flag(&body, "subscribe", true);
    if (dialect_refuse(x, &body.error))
        return;
    if (stays)
        models_pull_here(&stream, name);
    else
        download_pull(x, name);
}

static void models_delete(struct http_exchange *x)
{
    struct dialect_body body;
    struct gfxb_error err = {.code = 0};
    char name[DIALECT_NAME_SIZE];
    lemonade_read(x, true, &body, name);
    if (dialect_refuse(x, &body.error))
        return;
    int code = dialect_model_delete(x, name, &err);
    if (code == 0)
        dialect_reply_json(
            x, 200,
            json_pack("{s:s, s:s+}", "status", "success", "message", "Deleted model: ", name));
    else if (code == -GFXB_E_MODEL_UNKNOWN)
        dialect_reply_json(x, 422, json_pack("{s:s+}", "error", "Model not found: ", name));
    else
        dialect_reply_failure(x, &err);
}

const struct http_route lemonade_model_routes[] = {
    {HTTP_GET, "/v1/models", models_list, HTTP_BLOCKS, 0},
    {HTTP_GET, "/v1/models/*", models_one, HTTP_BLOCKS, 0},
    {HTTP_POST, "/v1/models/*", lemonade_options, HTTP_BLOCKS, 0},
    {HTTP_DELETE, "/v1/models/*", lemonade_options, HTTP_BLOCKS, 0},
    {HTTP_POST, "/v1/pull", models_pull, HTTP_BLOCKS, 0},
    {HTTP_POST, "/v1/delete", models_delete, HTTP_BLOCKS, 0},
    {0},
};
