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

/* ---- a call without a prompt: load, or unload ---- */

static void ollama_reply_empty(struct http_exchange *x, const struct ollama_call *about,
                               const char *reason)
{
    struct buf CLEAN_BUF out = BUF_INIT(4096);
    if (about->kind == OLLAMA_EMBED) {
        dialect_reply_json(x, 200, json_pack("{s:s, s:[]}", "model", about->model, "embeddings"));
    } else if (about->kind == OLLAMA_EMBEDDINGS) {
        dialect_reply_json(x, 200, json_pack("{s:[]}", "embedding"));
    } else {
        ollama_empty_answer(about, reason, &out);
        http_reply(x, 200, about->stream ? "application/x-ndjson" : DIALECT_JSON_TYPE,
                   buf_view(&out), NULL);
    }
}

/* The body of this call, read: false when something is wrong with it. */
static bool ollama_load(struct http_exchange *x, struct dialect_body *body, struct chat_call *call,
                        struct ollama_call *ret_about)
{
    dialect_body_read(http_request(x)->body, body);
    json_t *root = chat_load(body);
    *call = (struct chat_call){.options = SERVE_OPTIONS, .call = ENGINE_CALL_CHAT};
    chat_request_init(&call->request, &body->error);
    if (root)
        ollama_read(http_route(x)->path, body, root, call, ret_about);
    json_decref(root);
    return !body->error.status;
}

/* The answer to a call without a prompt; why: it could not be done, NULL it was. */
static void ollama_tell_empty(struct http_exchange *x, const char *reason,
                              const struct gfxb_error *why)
{
    struct ollama_call about;
    struct chat_call call;
    struct dialect_body body;
    ollama_load(x, &body, &call, &about);
    chat_request_done(&call.request);
    if (why)
        dialect_error_from(why, &body.error);
    if (!dialect_refuse(x, &body.error))
        ollama_reply_empty(x, &about, reason);
}

static void ollama_loaded(struct http_exchange *x, const struct gfxb_error *why)
{
    ollama_tell_empty(x, "load", why);
}

static void ollama_empty(struct http_exchange *x, const struct chat_call *call)
{
    struct str name = str_from(call->model);
    if (call->options.keep_alive != 0) {
        serve_relay(x, &(struct serve_relay){
                           .model = name, .options = call->options, .loaded = ollama_loaded});
        return;
    }
    /* Ollama gives the same answer for a model that is not loaded. */
    (void)serve_unload(x, call->model, NULL);
    ollama_tell_empty(x, "unload", NULL);
}

/* ---- chat, generate ---- */

static void ollama_read_any(const char *path, struct dialect_body *body, const json_t *root,
                            struct chat_call *call)
{
    struct ollama_call about;
    ollama_read(path, body, root, call, &about);
    if (about.empty)
        call->instead = ollama_empty;
    if (body->error.status || about.empty || call->filter)
        return;
    call->ops = &ollama_writer_ops;
    call->writer = ollama_writer_new(&about, NULL);
}

static void ollama_read_chat(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    ollama_read_any("/api/chat", body, root, call);
}

static void ollama_read_generate(struct dialect_body *body, const json_t *root,
                                 struct chat_call *call)
{
    ollama_read_any("/api/generate", body, root, call);
}

static void ollama_chat(struct http_exchange *x)
{
    chat_serve(x, ollama_read_chat);
}

static void ollama_generate(struct http_exchange *x)
{
    chat_serve(x, ollama_read_generate);
}

/* ---- embed ---- */

static void ollama_read_embed(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    ollama_read_any("/api/embed", body, root, call);
}

static void ollama_read_embeddings(struct dialect_body *body, const json_t *root,
                                   struct chat_call *call)
{
    ollama_read_any("/api/embeddings", body, root, call);
}

static void ollama_embed(struct http_exchange *x)
{
    chat_serve(x, ollama_read_embed);
}

static void ollama_embeddings(struct http_exchange *x)
{
    chat_serve(x, ollama_read_embeddings);
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
              "gfxbridge does not support %s: its models stay on this computer.",
              http_route(x)->path);
}

const struct http_route ollama_routes[] = {
    {HTTP_POST, "/api/chat", ollama_chat, 0, 0},
    {HTTP_POST, "/api/generate", ollama_generate, 0, 0},
    {HTTP_POST, "/api/embed", ollama_embed, 0, 0},
    {HTTP_POST, "/api/embeddings", ollama_embeddings, 0, 0},
    {HTTP_GET, "/api/version", ollama_version, 0, 0},
    {HTTP_POST, "/api/push", ollama_not_offered, HTTP_ANY_BODY, 0},
    {0},
};
