/*
 * openai.c - OpenAI's calls and the engine's own. The engine speaks this dialect already: once a
 * body has been looked over it is passed on as it came, and so is the answer, with our name of the
 * model in it (the engine's alias).
 */
#include "api/openai/openai.h"
#include "api/serve.h"

void dialect_pass(struct http_exchange *x)
{
    struct dialect_body body;
    char model[DIALECT_NAME_SIZE];
    dialect_body_read(http_request(x)->body, &body);
    dialect_body_model(&body, false, model);
    bool stream = dialect_body_flag(&body, "stream", false);
    if (dialect_refuse(x, &body.error))
        return;
    struct serve_relay relay = {
        .model = str_from(model),
        .options = SERVE_OPTIONS,
        .call = (enum engine_call)http_route(x)->about,
        .body = BUF_INIT(SIZE_MAX / 2),
        .stream = stream,
    };
    buf_add_str(&relay.body, body.text);
    serve_relay(x, &relay);
}

const char *openai_error_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

json_t *openai_error(const struct dialect_error *error)
{
    return json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message",
                     report_json_string(error->message), "type", openai_error_type(error->status),
                     "param", error->param, "code", error->code);
}

static void openai_chat(struct http_exchange *x)
{
    chat_serve(x, completion_read);
}

/* The engine's own calls go to it as they came. An answer by some schemas never ends. */
static void own_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    openai_check_schemas(root, &body->error);
    call->as_it_came = true;
}

static void own_read_completion(struct dialect_body *body, const json_t *root,
                                struct chat_call *call)
{
    own_read(body, root, call);
    call->call = ENGINE_CALL_COMPLETION;
}

static void own_read_infill(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    own_read(body, root, call);
    call->call = ENGINE_CALL_INFILL;
}

static void own_read_template(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    own_read(body, root, call);
    openai_check_tools(chat_get(root, "tools"), &body->error);
    call->call = ENGINE_CALL_TEMPLATE;
}

static void openai_own(struct http_exchange *x)
{
    chat_read *const reads[] = {[ENGINE_CALL_TEMPLATE] = own_read_template,
                                [ENGINE_CALL_INFILL] = own_read_infill,
                                [ENGINE_CALL_COMPLETION] = own_read_completion};
    chat_serve(x, reads[http_route(x)->about]);
}

/* A completion goes to the engine as it came, but for what the engine would pass over. */
static void text_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    static const struct chat_field fields[] = {
        {"echo", CHAT_FIELD_REFUSED, NULL, "is not supported"},
        {"suffix", CHAT_FIELD_REFUSED, NULL, "is not supported: /infill takes one"},
        {0},
    };
    chat_read_fields(&call->request, fields, root);
    if (json_number_value(chat_get(root, "best_of")) > 1.0)
        dialect_fail_at(&body->error, "best_of", "'best_of' is not supported");
    own_read(body, root, call);
    call->call = ENGINE_CALL_COMPLETIONS;
}

static void openai_text(struct http_exchange *x)
{
    chat_serve(x, text_read);
}

static void openai_embeddings(struct http_exchange *x)
{
    chat_serve(x, embeddings_read);
}

static void openai_rerank(struct http_exchange *x)
{
    chat_serve(x, rerank_read);
}

const struct http_route openai_routes[] = {
    {HTTP_POST, "/v1/chat/completions", openai_chat, 0, 0},
    {HTTP_POST, "/v1/completions", openai_text, 0, 0},
    {HTTP_POST, "/v1/embeddings", openai_embeddings, 0, 0},
    {HTTP_POST, "/v1/rerank", openai_rerank, 0, 0},
    {HTTP_POST, "/v1/reranking", openai_rerank, 0, 0},
    {HTTP_POST, "/v1/audio/transcriptions", openai_transcriptions, HTTP_ANY_BODY, 0},
    {HTTP_POST, "/v1/tokenize", dialect_pass, 0, ENGINE_CALL_TOKENIZE},
    {HTTP_POST, "/v1/detokenize", dialect_pass, 0, ENGINE_CALL_DETOKENIZE},
    {HTTP_POST, "/tokenize", dialect_pass, 0, ENGINE_CALL_TOKENIZE},
    {HTTP_POST, "/detokenize", dialect_pass, 0, ENGINE_CALL_DETOKENIZE},
    {HTTP_POST, "/apply-template", openai_own, 0, ENGINE_CALL_TEMPLATE},
    {HTTP_POST, "/infill", openai_own, 0, ENGINE_CALL_INFILL},
    {HTTP_POST, "/completion", openai_own, 0, ENGINE_CALL_COMPLETION},
    {HTTP_POST, "/rerank", openai_rerank, 0, 0},
    {0},
};
