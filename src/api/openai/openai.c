/*
 * openai.c - OpenAI's calls and the engine's own. The engine speaks this dialect already: once a
 * body has been looked over it is passed on as it came, and so is the answer, with our name of the
 * model in it (the engine's alias).
 */
#include "api/serve.h"

/* What each route asks the engine. */
static const struct openai_call {
    const char *path;
    enum engine_call call;
} openai_calls[] = {
    {"/v1/chat/completions", ENGINE_CALL_CHAT},
    {"/v1/completions", ENGINE_CALL_COMPLETIONS},
    {"/v1/embeddings", ENGINE_CALL_EMBEDDINGS},
    {"/v1/responses", ENGINE_CALL_RESPONSES},
    {"/v1/rerank", ENGINE_CALL_RERANK},
    {"/v1/reranking", ENGINE_CALL_RERANK},
    {"/rerank", ENGINE_CALL_RERANK},
    {"/v1/messages", ENGINE_CALL_MESSAGES},
    {"/v1/messages/count_tokens", ENGINE_CALL_COUNT_TOKENS},
    {"/v1/tokenize", ENGINE_CALL_TOKENIZE},
    {"/tokenize", ENGINE_CALL_TOKENIZE},
    {"/v1/detokenize", ENGINE_CALL_DETOKENIZE},
    {"/detokenize", ENGINE_CALL_DETOKENIZE},
    {"/apply-template", ENGINE_CALL_TEMPLATE},
    {"/infill", ENGINE_CALL_INFILL},
    {"/completion", ENGINE_CALL_COMPLETION},
};

/* ENGINE_CALLS: no such route. */
static enum engine_call openai_call(const char *path)
{
    for (size_t i = 0; i < sizeof(openai_calls) / sizeof(openai_calls[0]); i++) {
        if (strcmp(openai_calls[i].path, path) == 0)
            return openai_calls[i].call;
    }
    return ENGINE_CALLS;
}

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
        .keep_alive = POOL_KEEP_DEFAULT,
        .call = openai_call(http_route(x)->path),
        .body = BUF_INIT(body.text.n + 1),
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

const struct http_route openai_routes[] = {
    {HTTP_POST, "/v1/chat/completions", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/completions", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/embeddings", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/responses", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/rerank", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/reranking", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/tokenize", dialect_pass, 0, NULL},
    {HTTP_POST, "/v1/detokenize", dialect_pass, 0, NULL},
    {HTTP_POST, "/tokenize", dialect_pass, 0, NULL},
    {HTTP_POST, "/detokenize", dialect_pass, 0, NULL},
    {HTTP_POST, "/apply-template", dialect_pass, 0, NULL},
    {HTTP_POST, "/infill", dialect_pass, 0, NULL},
    {HTTP_POST, "/completion", dialect_pass, 0, NULL},
    {HTTP_POST, "/rerank", dialect_pass, 0, NULL},
    {0},
};
