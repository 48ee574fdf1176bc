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

/* "8.0B" by the number of parameters; "" unknown. */
static json_t *models_size(const struct gguf *gguf)
{
    double n = (double)gguf->parameters;
    return n <= 0.0   ? json_string("")
           : n >= 1e9 ? json_sprintf("%.1fB", n / 1e9)
                      : json_sprintf("%.2fM", n / 1e6);
}

static json_t *models_details(const struct dialect_model *m)
{
    const char *quantisation = m->gguf.quantisation[0] ? m->gguf.quantisation : "unknown";
    json_t *family = report_json_string(m->gguf.architecture);
    const char *parent = m->model.alias ? m->model.name : "";
    json_t *details =
        json_pack("{s:s, s:s, s:O, s:[o], s:o, s:s}", "parent_model", parent, "format", "gguf",
                  "family", family, "families", family, "parameter_size", models_size(&m->gguf),
                  "quantization_level", quantisation);
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
    struct str labels = str_from(m->model.labels);
    json_t *words = json_array();
    if (m->model.task == MODEL_EMBEDDING) {
        json_array_append_new(words, json_string("embedding"));
        return words;
    }
    json_array_append_new(words, json_string("completion"));
    if (str_list_has(labels, STR("tools")) || strstr(template, "tool"))
        json_array_append_new(words, json_string("tools"));
    if (str_list_has(labels, STR("reasoning")) || strstr(template, "<think>"))
        json_array_append_new(words, json_string("thinking"));
    if (m->model.mmproj)
        json_array_append_new(words, json_string("vision"));
    return words;
}

static json_t *models_time(int64_t seconds)
{
    return ollama_time(seconds * 1000000000);
}

/* As hex; of the built-in model and of split ones a stand-in that changes with the file. */
static void models_digest(const struct dialect_model *m, char ret_hex[DIGEST_HEX])
{
    struct buf CLEAN_BUF text = BUF_INIT(8192);
    if (m->model.digest && strlen(m->model.digest) == DIGEST_HEX - 1) {
        memcpy(ret_hex, m->model.digest, DIGEST_HEX);
        return;
    }
    buf_addf(&text, "%s %llu %lld", m->model.path, (unsigned long long)m->model.bytes,
             (long long)m->model.modified);
    digest_bytes(buf_text(&text), text.n, ret_hex);
}

static json_t *models_entry(struct http_exchange *x, const struct dialect_model *m)
{
    char digest[DIGEST_HEX];
    models_digest(m, digest);
    return json_pack("{s:o, s:o, s:o, s:I, s:s, s:o, s:o}", "name",
                     models_name(model_shown(&m->model)), "model",
                     models_name(model_shown(&m->model)), "modified_at",
                     models_time(m->model.modified), "size", (json_int_t)m->model.bytes, "digest",
                     digest, "details", models_details(m), "capabilities", models_capabilities(m));
}

static void models_tags(struct http_exchange *x)
{
    json_t *array = dialect_models_json(x, models_entry);
    dialect_reply_json(x, 200, json_pack("{s:o}", "models", array));
}

/* ---- ps ---- */

struct models_ready {
    struct pool *pool;
    json_t *list; /* {name, bytes, gpu, context, expires_at} of each model that is ready */
};

static void models_list_ready(void *context)
{
    struct models_ready *ready = context;
    struct pool_status m;
    for (size_t i = 0; pool_at(ready->pool, i, &m); i++) {
        if (m.state == POOL_READY)
            json_array_append_new(ready->list, json_pack("{s:s, s:I, s:b, s:I, s:I}", "name",
                                                         m.name, "bytes", (json_int_t)m.bytes,
                                                         "gpu", strcmp(m.backend, "cpu") != 0,
                                                         "context", (json_int_t)m.context,
                                                         "expires_at", (json_int_t)m.expires_at));
    }
}

/* A model that stays expires in the far future, as in Ollama. */
#define MODELS_NEVER 4102444800 /* 2100-01-01 */

static void models_add_ready(struct http_exchange *x, json_t *ready, json_t *array)
{
    struct dialect_model m;
    const char *name;
    json_int_t bytes, context, expires;
    int gpu;
    json_unpack(ready, "{s:s, s:I, s:b, s:I, s:I}", "name", &name, "bytes", &bytes, "gpu", &gpu,
                "context", &context, "expires_at", &expires);
    if (dialect_model_find(&serve_of(x)->models, name, &m, NULL) < 0)
        return; /* deleted meanwhile */
    json_t *entry = models_entry(x, &m);
    bytes = bytes ? bytes : (json_int_t)m.model.bytes;
    json_object_set_new(entry, "size", json_integer(bytes));
    json_object_set_new(entry, "size_vram", json_integer(gpu ? bytes : 0));
    json_object_set_new(entry, "context_length", json_integer(context));
    json_object_set_new(entry, "expires_at", models_time(expires ? expires : MODELS_NEVER));
    json_array_append_new(array, entry);
    dialect_model_done(&m);
}

static void models_ps(struct http_exchange *x)
{
    struct models_ready ready = {serve_of(x)->pool, json_array()};
    json_t *array = json_array(), *model;
    size_t i;
    http_in_loop(x, models_list_ready, &ready);
    json_array_foreach(ready.list, i, model)
    {
        models_add_ready(x, model, array);
    }
    json_decref(ready.list);
    dialect_reply_json(x, 200, json_pack("{s:o}", "models", array));
}

/* False: it is refused. */
static bool models_read(struct http_exchange *x, char name[DIALECT_NAME_SIZE], bool *stream)
{
    struct dialect_body body;
    dialect_body_read(http_request(x)->body, &body);
    dialect_body_model(&body, true, name);
    if (!name[0])
        dialect_fail_at(&body.error, "model", "model is required");
    *stream = dialect_body_flag(&body, "stream", true);
    return !dialect_refuse(x, &body.error);
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

/* "temperature                    0.7" a line; of a list each value. */
static void models_parameters(const json_t *stored, const char *before, struct buf *ret)
{
    const char *name;
    json_t *value, *one;
    json_object_foreach((json_t *)stored, name, value)
    {
        for (size_t i = 0; ollama_is_option(name); i++) {
            one = json_is_array(value) ? json_array_get(value, i) : i ? NULL : value;
            char *CLEAN_FREE text =
                one ? json_dumps(one, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
            if (!text)
                break;
            buf_addf(ret, "%s%-*s %s\n", before, before[0] ? 0 : 30, name, text);
        }
    }
}

/* From which `ollama create` makes the same again. */
static void models_modelfile(const char *model, const json_t *stored, struct buf *ret)
{
    const char *system = json_string_value(json_object_get(stored, "system"));
    json_t *message;
    size_t i;
    buf_addf(ret, "# Modelfile generated by gfxbridge\nFROM %s\n", model);
    if (system)
        buf_addf(ret, "SYSTEM \"\"\"%s\"\"\"\n", system);
    models_parameters(stored, "PARAMETER ", ret);
    json_array_foreach(json_object_get(stored, "messages"), i, message)
    {
        buf_addf(ret, "MESSAGE %s \"\"\"%s\"\"\"\n",
                 json_string_value(json_object_get(message, "role")),
                 json_string_value(json_object_get(message, "content")));
    }
}

static void models_show(struct http_exchange *x)
{
    char name[DIALECT_NAME_SIZE];
    struct dialect_model m;
    struct gfxb_error err;
    bool stream;
    if (!models_read(x, name, &stream))
        return;
    if (dialect_model_find(&serve_of(x)->models, name, &m, &err) < 0) {
        dialect_reply_failure(x, &err);
        return;
    }
    char *CLEAN_FREE model = NULL;
    json_t *stored = serve_options_of(&serve_of(x)->models, name, &model);
    struct buf CLEAN_BUF parameters = BUF_INIT(SIZE_MAX / 2), file = BUF_INIT(SIZE_MAX / 2);
    models_parameters(stored, "", &parameters);
    models_modelfile(m.model.name, stored, &file);
    struct str lines = str_trim_end(buf_view(&parameters), '\n');
    json_t *answer = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:[], s:o, s:o, s:O*, s:O*}", "modelfile",
        report_json_str(buf_view(&file)), "parameters", report_json_str(lines), "template",
        report_json_string(m.gguf.template), "details", models_details(&m), "model_info",
        models_info(&m.gguf), "tensors", "capabilities", models_capabilities(&m), "modified_at",
        models_time(m.model.modified), "system", json_object_get(stored, "system"), "messages",
        json_object_get(stored, "messages"));
    const char *licence = m.model.licence ? m.model.licence : m.gguf.licence;
    if (licence)
        json_object_set_new(answer, "license", report_json_text(licence));
    if (json_object_get(stored, "license"))
        json_object_set(answer, "license", json_object_get(stored, "license"));
    json_decref(stored);
    dialect_model_done(&m);
    dialect_reply_json(x, 200, answer);
}

/* ---- pull ---- */

static void models_line(const struct dialect_stream *stream, json_t *line)
{
    dialect_stream_json(stream, "", line, "\n");
}

void ollama_status(const struct dialect_stream *stream, const char *status)
{
    if (stream->on)
        models_line(stream, json_pack("{s:s}", "status", status));
}

void ollama_end(const struct dialect_stream *stream, int result, const struct gfxb_error *err)
{
    if (result == 0 && stream->on)
        ollama_status(stream, "success");
    else if (result == 0)
        dialect_reply_json(stream->x, 200, json_pack("{s:s}", "status", "success"));
    else if (stream->on)
        models_line(stream, json_pack("{s:o}", "error", report_json_text(err->text)));
    else
        dialect_reply_failure(stream->x, err);
}

/* Ollama leaves out numbers that are 0. */
void ollama_progress(void *context, const struct model_progress *p)
{
    struct dialect_stream *stream = context;
    if (!dialect_stream_is_due(stream, p, MODELS_GAP_MS))
        return;
    char *CLEAN_FREE status =
        xasprintf("pulling %.*s", p->sha256[0] ? 12 : INT_MAX, p->sha256[0] ? p->sha256 : p->file);
    json_t *line = json_pack("{s:o}", "status", report_json_string(status));
    if (p->sha256[0])
        json_object_set_new(line, "digest", json_sprintf("sha256:%s", p->sha256));
    if (p->at.total)
        json_object_set_new(line, "total", json_integer((json_int_t)p->at.total));
    if (p->at.bytes)
        json_object_set_new(line, "completed", json_integer((json_int_t)p->at.bytes));
    models_line(stream, line);
}

static void models_pull(struct http_exchange *x)
{
    char name[DIALECT_NAME_SIZE];
    struct dialect_stream stream = {.x = x};
    struct model_env env = dialect_model_env(x);
    struct model model = {.name = NULL};
    struct gfxb_error err;
    if (!models_read(x, name, &stream.on))
        return;
    env.progress = ollama_progress;
    env.context = &stream;
    if (stream.on)
        http_begin(x, OLLAMA_STREAM_TYPE);
    ollama_status(&stream, "pulling manifest");
    int code = engine_model_pull(&env, name, &model, &err);
    model_done(&model);
    if (code == 0) {
        ollama_status(&stream, "verifying sha256 digest");
        ollama_status(&stream, "writing manifest");
    }
    ollama_end(&stream, code, &err);
}

static void models_delete(struct http_exchange *x)
{
    char name[DIALECT_NAME_SIZE];
    struct gfxb_error err;
    bool stream;
    if (!models_read(x, name, &stream))
        return;
    if (dialect_model_delete(x, name, &err) < 0)
        dialect_reply_failure(x, &err);
    else
        http_reply(x, 200, DIALECT_JSON_TYPE, STR_NONE, NULL);
}

const struct http_route ollama_model_routes[] = {
    {HTTP_GET, "/api/tags", models_tags, HTTP_BLOCKS, 0},
    {HTTP_GET, "/api/ps", models_ps, HTTP_BLOCKS, 0},
    {HTTP_POST, "/api/show", models_show, HTTP_BLOCKS, 0},
    {HTTP_POST, "/api/pull", models_pull, HTTP_BLOCKS, 0},
    {HTTP_DELETE, "/api/delete", models_delete, HTTP_BLOCKS, 0},
    {0},
};
