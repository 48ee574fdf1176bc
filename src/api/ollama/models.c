/* models.c - tags, ps, show, pull and delete: Ollama's calls about models. */
#include "api/ollama/ollama.h"
#include "api/serve.h"

#include <limits.h>
#include <stdio.h>

/* People read the lines of a pull, so there are at most ten a second. */
#define MODELS_GAP_MS 100

/* ---- a model's entry, which tags, ps and show share ---- */

/* Ollama always shows a tag. */
static json_t *models_name(const char *name)
{
    char *CLEAN_FREE tagged = xasprintf("%s%s", name, strchr(name, ':') ? "" : ":latest");
    return report_json_string(tagged);
}

static json_t *models_details(const struct dialect_model *m)
{
    char size[24];
    json_t *family = report_json_string(m->gguf.architecture);
    dialect_model_size_text(m, size);
    json_t *details = json_pack("{s:s, s:s, s:O, s:[o], s:s, s:s}", "parent_model", "", "format",
                                "gguf", "family", family, "families", family, "parameter_size",
                                size, "quantization_level", dialect_model_quantisation(m));
    if (m->gguf.context)
        json_object_set_new(details, "context_length", json_integer(m->gguf.context));
    if (m->gguf.embedding)
        json_object_set_new(details, "embedding_length", json_integer(m->gguf.embedding));
    return details;
}

/* Programs enable features of a model by these words. */
static json_t *models_capabilities(const struct dialect_model *m)
{
    const char *template = m->gguf.template ? m->gguf.template : "";
    json_t *words = json_array();
    if (m->model.task == MODEL_EMBEDDING) {
        json_array_append_new(words, json_string("embedding"));
        return words;
    }
    json_array_append_new(words, json_string("completion"));
    if (dialect_model_has(m, "tools") || strstr(template, "tool"))
        json_array_append_new(words, json_string("tools"));
    if (dialect_model_has(m, "reasoning") || strstr(template, "<think>"))
        json_array_append_new(words, json_string("thinking"));
    if (m->model.mmproj)
        json_array_append_new(words, json_string("vision"));
    return words;
}

static json_t *models_time(int64_t seconds)
{
    char text[OLLAMA_TIME_SIZE];
    ollama_time_text(seconds * 1000000000, text);
    return json_string(text);
}

static json_t *models_entry(const struct dialect_model *m)
{
    char digest[DIGEST_HEX];
    dialect_model_digest(m, digest);
    return json_pack("{s:o, s:o, s:o, s:I, s:s, s:o, s:o}", "name", models_name(m->model.name),
                     "model", models_name(m->model.name), "modified_at",
                     models_time(m->model.modified), "size", (json_int_t)m->model.bytes, "digest",
                     digest, "details", models_details(m), "capabilities", models_capabilities(m));
}

/* ---- tags ---- */

static void models_tags_job(struct http_job *job, void *context)
{
    struct dialect_models models;
    struct gfxb_error err;
    if (dialect_models_new(job_serve(job)->config.models, &models, &err) < 0) {
        dialect_job_error(job, &err);
        return;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < models.n; i++)
        json_array_append_new(array, models_entry(&models.item[i]));
    dialect_models_done(&models);
    dialect_job_json(job, 200, json_pack("{s:o}", "models", array));
}

/* ---- ps ---- */

enum { MODELS_LOADED_MAX = 64 };

/* A copy of the loop's data about loaded models. */
struct models_loaded {
    struct {
        char name[DIALECT_NAME_SIZE];
        bool gpu;
        unsigned context;
        int64_t expires_at;
        uint64_t bytes;
    } item[MODELS_LOADED_MAX];
    size_t n;
};

static void models_copy_loaded(void *user, void *context)
{
    struct serve *s = user;
    struct models_loaded *loaded = context;
    struct pool_status m;
    for (size_t i = 0; loaded->n < MODELS_LOADED_MAX && pool_at(s->pool, i, &m); i++) {
        if (m.state != POOL_READY)
            continue;
        snprintf(loaded->item[loaded->n].name, DIALECT_NAME_SIZE, "%s", m.name);
        loaded->item[loaded->n].gpu = strcmp(m.backend, "cpu") != 0;
        loaded->item[loaded->n].context = m.context;
        loaded->item[loaded->n].expires_at = m.expires_at;
        loaded->item[loaded->n++].bytes = m.bytes;
    }
}

/* A model that stays expires in the far future, as in Ollama. */
#define MODELS_NEVER 4102444800 /* 2100-01-01 */

static json_t *models_ps_entry(struct http_job *job, const struct models_loaded *loaded, size_t i)
{
    struct dialect_model m = {.model = {.name = NULL}};
    if (dialect_model_find(job_serve(job)->config.models, loaded->item[i].name, &m, NULL) < 0)
        return NULL; /* deleted meanwhile */
    json_t *entry = models_entry(&m);
    uint64_t bytes = loaded->item[i].bytes ? loaded->item[i].bytes : m.model.bytes;
    unsigned context = loaded->item[i].context ? loaded->item[i].context : m.gguf.context;
    int64_t expires = loaded->item[i].expires_at ? loaded->item[i].expires_at : MODELS_NEVER;
    json_object_set_new(entry, "size", json_integer((json_int_t)bytes));
    json_object_set_new(entry, "size_vram",
                        json_integer(loaded->item[i].gpu ? (json_int_t)bytes : 0));
    json_object_set_new(entry, "context_length", json_integer(context));
    json_object_set_new(entry, "expires_at", models_time(expires));
    dialect_model_done(&m);
    return entry;
}

static void models_ps_job(struct http_job *job, void *context)
{
    struct models_loaded *loaded = xcalloc(1, sizeof(*loaded));
    json_t *array = json_array();
    http_job_in_loop(job, models_copy_loaded, loaded);
    for (size_t i = 0; i < loaded->n; i++) {
        json_t *entry = models_ps_entry(job, loaded, i);
        if (entry)
            json_array_append_new(array, entry);
    }
    free(loaded);
    dialect_job_json(job, 200, json_pack("{s:o}", "models", array));
}

/* ---- requests about one model, named in the body ---- */

struct models_request {
    char name[DIALECT_NAME_SIZE];
    bool stream;
};

static void models_start(struct http_exchange *x)
{
    struct dialect_body body;
    struct models_request *request = xmalloc(sizeof(*request));
    dialect_body_read(http_request(x)->body, &body);
    dialect_body_model(&body, true, request->name);
    if (!request->name[0])
        dialect_fail_at(&body.error, "model", "model is required");
    request->stream = dialect_body_flag(&body, "stream", true);
    if (dialect_refuse(x, &body.error))
        free(request);
    else
        http_job_start(x, http_route(x)->job, request, free);
}

/* ---- show ---- */

static void models_number(json_t *info, const char *architecture, const char *key, uint64_t value)
{
    char name[128];
    snprintf(name, sizeof(name), "%s.%s", architecture, key);
    if (value)
        json_object_set_new(info, name, json_integer((json_int_t)value));
}

/* The header's keys that programs read. */
static json_t *models_info(const struct gguf *g)
{
    const char *a = g->architecture ? g->architecture : "";
    json_t *info = json_pack("{s:o, s:o}", "general.architecture", report_json_string(a),
                             "general.name", report_json_text(g->name));
    models_number(info, "general", "parameter_count", g->parameters);
    models_number(info, a, "context_length", g->context);
    models_number(info, a, "block_count", g->layers);
    models_number(info, a, "embedding_length", g->embedding);
    models_number(info, a, "feed_forward_length", g->feed_forward);
    models_number(info, a, "attention.head_count", g->heads);
    models_number(info, a, "attention.head_count_kv", g->heads_kv);
    models_number(info, a, "attention.key_length", g->key_length);
    models_number(info, a, "attention.value_length", g->value_length);
    models_number(info, a, "attention.sliding_window", g->sliding_window);
    models_number(info, a, "expert_count", g->experts);
    models_number(info, a, "expert_used_count", g->experts_used);
    models_number(info, a, "vocab_size", g->vocabulary);
    if (g->tokenizer)
        json_object_set_new(info, "tokenizer.ggml.model", report_json_text(g->tokenizer));
    json_object_set_new(info, "tokenizer.ggml.tokens", json_null());
    return info;
}

static void models_show_job(struct http_job *job, void *context)
{
    const struct models_request *request = context;
    struct dialect_model m;
    struct gfxb_error err;
    if (dialect_model_find(job_serve(job)->config.models, request->name, &m, &err) < 0) {
        dialect_job_error(job, &err);
        return;
    }
    char *CLEAN_FREE modelfile = xasprintf("# made by gfxbridge\nFROM %s\n", m.model.name);
    json_t *answer = json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:[], s:o, s:o}", "modelfile", report_json_string(modelfile),
        "parameters", "", "template", report_json_string(m.gguf.template), "details",
        models_details(&m), "model_info", models_info(&m.gguf), "tensors", "capabilities",
        models_capabilities(&m), "modified_at", models_time(m.model.modified));
    const char *licence = m.model.licence ? m.model.licence : m.gguf.licence;
    if (licence)
        json_object_set_new(answer, "license", report_json_text(licence));
    dialect_model_done(&m);
    dialect_job_json(job, 200, answer);
}

/* ---- pull ---- */

struct models_pull {
    struct http_job *job;
    bool stream;
    int64_t told_at;
};

static void models_line(const struct models_pull *pull, json_t *line)
{
    char *CLEAN_FREE text = pull->stream ? json_dumps(line, JSON_COMPACT) : NULL;
    struct buf CLEAN_BUF piece = BUF_INIT(65536);
    json_decref(line);
    if (!text)
        return;
    buf_addf(&piece, "%s\n", text);
    http_job_send(pull->job, buf_view(&piece));
}

static void models_status(const struct models_pull *pull, const char *status)
{
    models_line(pull, json_pack("{s:s}", "status", status));
}

/* Ollama leaves out numbers that are 0. */
static void models_progress(void *context, const struct model_progress *p)
{
    struct models_pull *pull = context;
    int64_t now = clock_now_ms();
    bool whole = p->at.total && p->at.bytes >= p->at.total;
    if (!whole && now - pull->told_at < MODELS_GAP_MS)
        return;
    pull->told_at = now;
    char *CLEAN_FREE status =
        xasprintf("pulling %.*s", p->sha256[0] ? 12 : INT_MAX, p->sha256[0] ? p->sha256 : p->file);
    json_t *line = json_pack("{s:o}", "status", report_json_string(status));
    if (p->sha256[0])
        json_object_set_new(line, "digest", json_sprintf("sha256:%s", p->sha256));
    if (p->at.total)
        json_object_set_new(line, "total", json_integer((json_int_t)p->at.total));
    if (p->at.bytes)
        json_object_set_new(line, "completed", json_integer((json_int_t)p->at.bytes));
    models_line(pull, line);
}

static void models_pull_job(struct http_job *job, void *context)
{
    const struct models_request *request = context;
    struct models_pull pull = {.job = job, .stream = request->stream};
    struct model_env env = dialect_model_env(job);
    struct model model = {.name = NULL};
    struct gfxb_error err;
    env.progress = models_progress;
    env.context = &pull;
    if (pull.stream)
        http_job_begin(job, "application/x-ndjson");
    models_status(&pull, "pulling manifest");
    int code = engine_model_pull(&env, request->name, &model, &err);
    model_done(&model);
    if (code < 0 && pull.stream) {
        models_line(&pull, json_pack("{s:o}", "error", report_json_text(err.text)));
    } else if (code < 0) {
        dialect_job_error(job, &err);
    } else if (pull.stream) {
        models_status(&pull, "verifying sha256 digest");
        models_status(&pull, "writing manifest");
        models_status(&pull, "success");
    } else {
        dialect_job_json(job, 200, json_pack("{s:s}", "status", "success"));
    }
}

/* ---- delete ---- */

static void models_delete_job(struct http_job *job, void *context)
{
    const struct models_request *request = context;
    struct gfxb_error err;
    if (dialect_model_delete(job, request->name, &err) < 0)
        dialect_job_error(job, &err);
    else
        http_job_reply(job, 200, "application/json; charset=utf-8", STR_NONE);
}

const struct http_route ollama_model_routes[] = {
    {HTTP_GET, "/api/tags", NULL, 0, models_tags_job},
    {HTTP_GET, "/api/ps", NULL, 0, models_ps_job},
    {HTTP_POST, "/api/show", models_start, 0, models_show_job},
    {HTTP_POST, "/api/pull", models_start, 0, models_pull_job},
    {HTTP_DELETE, "/api/delete", models_start, 0, models_delete_job},
    {0},
};
