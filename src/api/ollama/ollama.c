/*
 * ollama.c - the routes of Ollama's API that need an engine. The routes about models are in
 * models.c.
 */
#include "api/ollama/ollama.h"
#include "api/serve.h"

json_t *ollama_error(const struct dialect_error *error)
{
    return json_pack("{s:o}", "error", report_json_string(error->message));
}

/* The engine's request for this call. NULL: the call is empty, or the body has a fault. */
static json_t *ollama_read(const struct http_exchange *x, struct dialect_body *body,
                           struct ollama_call *ret_call)
{
    dialect_body_read(http_request(x)->body, body);
    return ollama_request(http_route(x)->path, body, ret_call);
}

/* ---- a call without a prompt: load, or unload ---- */

static void ollama_reply_empty(struct http_exchange *x, const struct ollama_call *call,
                               const char *reason)
{
    struct buf CLEAN_BUF out = BUF_INIT(4096);
    if (call->kind == OLLAMA_EMBED) {
        dialect_reply_json(x, 200, json_pack("{s:s, s:[]}", "model", call->model, "embeddings"));
    } else if (call->kind == OLLAMA_EMBEDDINGS) {
        dialect_reply_json(x, 200, json_pack("{s:[]}", "embedding"));
    } else {
        ollama_empty_answer(call, reason, &out);
        http_reply(x, 200, call->stream ? "application/x-ndjson" : DIALECT_JSON_TYPE,
                   buf_view(&out), NULL);
    }
}

static void ollama_loaded(struct http_exchange *x, const struct gfxb_error *why)
{
    struct ollama_call call;
    struct dialect_body body;
    ollama_read(x, &body, &call);
    if (why)
        dialect_error_from(why, &body.error);
    if (!dialect_refuse(x, &body.error))
        ollama_reply_empty(x, &call, "load");
}

static struct pool_options ollama_options(const struct ollama_call *call)
{
    struct pool_options options = SERVE_OPTIONS;
    options.context = call->context;
    options.keep_alive = call->keep_alive;
    return options;
}

static void ollama_empty(struct http_exchange *x, const struct ollama_call *call)
{
    if (call->keep_alive == 0) {
        /* Ollama gives the same answer for a model that is not loaded. */
        (void)pool_unload(serve_of(x)->pool, str_from(call->model), NULL);
        ollama_reply_empty(x, call, "unload");
        return;
    }
    serve_relay(x, &(struct serve_relay){.model = str_from(call->model),
                                         .options = ollama_options(call),
                                         .loaded = ollama_loaded});
}

/* ---- a call with one ---- */

static void ollama_relay(struct http_exchange *x, const struct ollama_call *call,
                         const json_t *request)
{
    bool embed = call->kind == OLLAMA_EMBED || call->kind == OLLAMA_EMBEDDINGS;
    char *CLEAN_FREE text = json_dumps(request, JSON_COMPACT);
    if (!text) {
        struct dialect_error error = {.status = 0};
        dialect_fail_memory(&error);
        dialect_reply_error(x, &error);
        return;
    }
    struct serve_relay relay = {
        .model = str_from(call->model),
        .options = ollama_options(call),
        .call = call->call,
        .body = BUF_INIT(SIZE_MAX / 2),
        .stream = call->stream && !embed,
        .ops = embed ? &ollama_embed_ops : &ollama_answer_ops,
        .filter = embed ? ollama_embed_new(call, NULL) : ollama_answer_new(call, NULL),
    };
    buf_add_text(&relay.body, text);
    serve_relay(x, &relay);
}

static void ollama_ask(struct http_exchange *x)
{
    struct ollama_call call;
    struct dialect_body body;
    json_t *request = ollama_read(x, &body, &call);
    if (request)
        ollama_relay(x, &call, request);
    else if (!dialect_refuse(x, &body.error))
        ollama_empty(x, &call);
    json_decref(request);
}

/* ---- the rest ---- */

/* The version of Ollama's API: programs ask for it and use only what it has. */
#define OLLAMA_API_VERSION "0.33.0"

static void ollama_version(struct http_exchange *x)
{
    dialect_reply_json(x, 200, json_pack("{s:s}", "version", OLLAMA_API_VERSION));
}

static void ollama_not_offered(struct http_exchange *x)
{
    http_fail(x, 501, NULL, NULL,
              "gfxbridge does not support %s. Add models with /api/pull or gfxbridge import.",
              http_route(x)->path);
}

const struct http_route ollama_routes[] = {
    {HTTP_POST, "/api/chat", ollama_ask, 0, 0},
    {HTTP_POST, "/api/generate", ollama_ask, 0, 0},
    {HTTP_POST, "/api/embed", ollama_ask, 0, 0},
    {HTTP_POST, "/api/embeddings", ollama_ask, 0, 0},
    {HTTP_GET, "/api/version", ollama_version, 0, 0},
    {HTTP_POST, "/api/create", ollama_not_offered, HTTP_ANY_BODY, 0},
    {HTTP_POST, "/api/copy", ollama_not_offered, HTTP_ANY_BODY, 0},
    {HTTP_POST, "/api/push", ollama_not_offered, HTTP_ANY_BODY, 0},
    {0},
};
