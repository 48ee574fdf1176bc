/*
 * lemonade.c - the calls of Lemonade's API about the server and its loaded models. All fields that
 * Lemonade's clients read are there; a field without a meaning here has a neutral value.
 */
#include "api/lemonade/lemonade.h"

json_t *lemonade_error(const struct dialect_error *error)
{
    if (!error->path.n)
        return ollama_error(error);
    return json_pack("{s:{s:o, s:o, s:s}}", "error", "message", report_json_string(error->message),
                     "path", report_json_str(error->path), "type", "not_found");
}

/* ---- live, health ---- */

static void lemonade_live(struct http_exchange *x)
{
    dialect_reply_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

/* "cpu" or "gpu", as Lemonade knows them. */
static const char *lemonade_device(const struct pool_status *m)
{
    return strcmp(m->backend, "rocm") == 0 || strcmp(m->backend, "vulkan") == 0 ? "gpu" : "cpu";
}

/* null for 0. */
static json_t *lemonade_number(int64_t n)
{
    return n ? json_integer(n) : json_null();
}

static json_t *lemonade_loaded(const struct pool_status *m)
{
    bool ready = m->state == POOL_READY;
    json_t *object = json_pack(
        "{s:o, s:o, s:s, s:{s:I, s:s}, s:s, s:s, s:s, s:b, s:b, s:I, s:b, s:b, s:b, s:b, s:o, s:o}",
        "model_name", report_json_string(m->name), "checkpoint", report_json_string(m->name),
        "recipe", LEMONADE_RECIPE, "recipe_options", "ctx_size", (json_int_t)m->context,
        "llamacpp_backend", m->backend, "device", lemonade_device(m), "type", "llm", "status",
        serve_model_state_name(m->state), "loaded", ready, "pinned", (int)m->pinned, "last_use",
        (json_int_t)m->last_use, "is_busy", m->active > 0, "is_streaming", m->active > 0,
        "backend_alive", ready, "watchdog_reset", 0, "pid", lemonade_number(m->pid),
        "max_context_window", lemonade_number(m->context));
    json_t *ours = json_pack(
        "{s:o, s:o, s:o, s:i, s:i, s:i, s:o, s:o}", "backend", report_json_text(m->backend),
        "device_name", report_json_text(m->device), "package", report_json_text(m->package),
        "waiting", (int)m->waiting, "active", (int)m->active, "slots", (int)m->slots, "bytes",
        report_json_bytes(m->bytes), "expires_at", lemonade_number(m->expires_at));
    json_object_update_new(object, ours);
    return object;
}

static void lemonade_health(struct http_exchange *x)
{
    static const char *const kinds[] = {"llm", "embedding", "reranking",     "transcription",
                                        "tts", "image",     "classification"};
    const struct serve *s = serve_of(x);
    struct pool_status m;
    json_t *loaded = json_array(), *max = json_object(), *pinned = json_object();
    const char *last = NULL;
    int64_t last_use = -1;
    for (size_t i = 0; pool_at(s->pool, i, &m); i++) {
        json_array_append_new(loaded, lemonade_loaded(&m));
        if (m.pinned)
            json_object_set_new(pinned, m.name, json_true());
        if (m.last_use > last_use && m.state != POOL_UNLOADING) {
            last = m.name;
            last_use = m.last_use;
        }
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        json_object_set_new(max, kinds[i], json_integer(-1)); /* as many as there is memory for */
    dialect_reply_json(
        x, 200,
        json_pack("{s:s, s:s, s:n, s:o, s:o, s:o, s:o, s:{}, s:{s:b}, s:b}", "status", "ok",
                  "version", GFXB_VERSION, "websocket_port", "model_loaded", report_json_text(last),
                  "all_models_loaded", loaded, "max_models", max, "pinned_models", pinned,
                  "pinned_helper_models", "telemetry", "enabled", 0, "update_check_done", 1));
}

static void lemonade_stats(struct http_exchange *x)
{
    const struct pool_counters *t = pool_totals(serve_of(x)->pool);
    uint64_t requests = 0;
    for (size_t i = 1; i < sizeof(t->requests) / sizeof(t->requests[0]); i++)
        requests += t->requests[i];
    uint64_t fresh = t->last.prompt_tokens - t->last.cached_tokens;
    dialect_reply_json(
        x, 200,
        json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                  "time_to_first_token", t->first_token_seconds, "tokens_per_second",
                  t->last.tokens_per_second, "input_tokens", (json_int_t)fresh, "output_tokens",
                  (json_int_t)t->last.tokens, "prompt_tokens", (json_int_t)t->last.prompt_tokens,
                  "cache_tokens", (json_int_t)t->last.cached_tokens, "input_tokens_total",
                  (json_int_t)(t->prompt_tokens - t->cached_tokens), "output_tokens_total",
                  (json_int_t)t->tokens, "prompt_tokens_total", (json_int_t)t->prompt_tokens,
                  "cache_tokens_total", (json_int_t)t->cached_tokens, "request_count_total",
                  (json_int_t)requests, "failover_total", (json_int_t)t->failovers));
}

/* ---- load, unload ---- */

void lemonade_read(struct http_exchange *x, bool needed, struct dialect_body *ret_body,
                   char ret_name[DIALECT_NAME_SIZE])
{
    dialect_body_read(http_request(x)->body, ret_body);
    dialect_body_text(ret_body, "model_name", ret_name, DIALECT_NAME_SIZE);
    if (!ret_name[0])
        dialect_body_text(ret_body, "model", ret_name, DIALECT_NAME_SIZE);
    if (!ret_name[0] && needed)
        dialect_fail_at(&ret_body->error, "model_name", "'model_name' is required");
    if (ret_name[0] && !dialect_name_ok(str_from(ret_name)))
        dialect_fail_at(&ret_body->error, "model_name", "not a model's name");
}

static void lemonade_load_done(struct http_exchange *x, const struct gfxb_error *why)
{
    struct dialect_body body;
    struct dialect_error error;
    char name[DIALECT_NAME_SIZE];
    lemonade_read(x, false, &body, name);
    if (!why) {
        dialect_reply_json(x, 200,
                           json_pack("{s:s, s:s, s:s, s:s, s:s+}", "status", "success",
                                     "model_name", name, "checkpoint", name, "recipe",
                                     LEMONADE_RECIPE, "message", "Loaded model: ", name));
        return;
    }
    dialect_error_from(why, &error);
    const char *code = error.status == 404 ? "model_not_found" : "model_load_error";
    dialect_reply_json(x, error.status,
                       json_pack("{s:{s:s, s:o, s:s, s:s, s:s, s:s?}}", "error", "code", code,
                                 "message", report_json_string(error.message), "param", "model",
                                 "requested_model", name, "type", code, "reason", error.code));
}

/* "ctx_size": a number of tokens; -1: automatic. */
static unsigned lemonade_context(struct dialect_body *body)
{
    const struct json_scan_member *m = dialect_body_find(body, "ctx_size");
    uint64_t n = 0;
    if (m && m->kind != JSON_KIND_NULL && !str_is(m->value, "-1") &&
        (str_to_u64(m->value, 10, &n) < 0 || n > 16 << 20))
        dialect_fail_at(&body->error, "ctx_size", "'ctx_size' must be -1 or a number of tokens");
    return (unsigned)n;
}

static void lemonade_read_load(struct dialect_body *body, struct pool_options *ret)
{
    char text[64];
    ret->context = lemonade_context(body);
    dialect_body_text(body, "llamacpp_args", text, sizeof(text));
    if (text[0])
        dialect_fail_at(&body->error, "llamacpp_args", LEMONADE_NO_ARGS);
    dialect_body_text(body, "llamacpp_backend", text, sizeof(text));
    if (text[0] && strcmp(text, "auto") != 0 && (ret->backend = plan_backend_from_name(text)) < 0)
        dialect_fail_at(&body->error, "llamacpp_backend",
                        "no such backend: '%s'; the backends are rocm, vulkan and cpu", text);
    bool pinned = dialect_body_flag(body, "pinned", false);
    ret->pin = dialect_body_find(body, "pinned") ? (int)pinned : -1;
}

static void lemonade_load(struct http_exchange *x)
{
    struct dialect_body body;
    char name[DIALECT_NAME_SIZE];
    struct serve_relay load = {.options = SERVE_OPTIONS, .loaded = lemonade_load_done};
    lemonade_read(x, true, &body, name);
    lemonade_read_load(&body, &load.options);
    if (dialect_refuse(x, &body.error))
        return;
    load.model = str_from(name);
    serve_relay(x, &load);
}

static void lemonade_unload(struct http_exchange *x)
{
    struct dialect_body body = {.n = 0};
    struct gfxb_error why;
    char name[DIALECT_NAME_SIZE] = "";
    if (str_trim(http_request(x)->body).n)
        lemonade_read(x, false, &body, name);
    if (dialect_refuse(x, &body.error))
        return;
    if (serve_unload(x, name, &why) < 0) {
        dialect_reply_json(x, 404, json_pack("{s:s+}", "error", "Model not loaded: ", name));
        return;
    }
    json_t *answer =
        json_pack("{s:s, s:s}", "status", "success", "message",
                  name[0] ? "Model unloaded successfully" : "All models unloaded successfully");
    if (name[0])
        json_object_set_new(answer, "model_name", json_string(name));
    dialect_reply_json(x, 200, answer);
}

const struct http_route lemonade_routes[] = {
    {HTTP_GET, "/live", lemonade_live, HTTP_NO_KEY, 0},
    {HTTP_GET, "/v1/health", lemonade_health, 0, 0},
    {HTTP_GET, "/v1/stats", lemonade_stats, 0, 0},
    {HTTP_POST, "/v1/load", lemonade_load, 0, 0},
    {HTTP_POST, "/v1/unload", lemonade_unload, HTTP_ANY_BODY, 0},
    {0},
};
