/*
 * openai.c - OpenAI's calls, Anthropic's, and the engine's own: they are its dialects already. The
 * body goes to it as it came, once it has been looked over; its answer comes back as it is, with
 * our name of the model in it (the engine's alias). Its errors get the shape that is documented.
 */
#include "api/dialect.h"

/* Where a route's call is at the engine. */
static const struct openai_call {
    const char *path, *engine_path;
} openai_calls[] = {
    {"/v1/chat/completions", "/v1/chat/completions"},
    {"/v1/completions", "/v1/completions"},
    {"/v1/embeddings", "/v1/embeddings"},
    {"/v1/responses", "/v1/responses"},
    {"/v1/rerank", "/v1/rerank"},
    {"/v1/reranking", "/v1/rerank"},
    {"/v1/tokenize", "/tokenize"},
    {"/v1/detokenize", "/detokenize"},
    {"/v1/messages", "/v1/messages"},
    {"/v1/messages/count_tokens", "/v1/messages/count_tokens"},
    {"/tokenize", "/tokenize"},
    {"/detokenize", "/detokenize"},
    {"/apply-template", "/apply-template"},
    {"/infill", "/infill"},
    {"/completion", "/completion"},
    {"/rerank", "/v1/rerank"},
};

static const char *openai_engine_path(const char *path)
{
    for (size_t i = 0; i < sizeof(openai_calls) / sizeof(openai_calls[0]); i++) {
        if (strcmp(openai_calls[i].path, path) == 0)
            return openai_calls[i].engine_path;
    }
    return NULL;
}

static void openai_refused(struct serve_filter *f, int *status, struct str body, struct buf *out)
{
    struct dialect_error error;
    dialect_error_of_engine(*status, body, &error);
    *status = error.status;
    dialect_error_body(DIALECT_OPENAI, &error, out);
}

static void anthropic_refused(struct serve_filter *f, int *status, struct str body, struct buf *out)
{
    struct dialect_error error;
    dialect_error_of_engine(*status, body, &error);
    *status = error.status;
    dialect_error_body(DIALECT_ANTHROPIC, &error, out);
}

static const struct serve_filter_ops openai_ops = {.refused = openai_refused};
static const struct serve_filter_ops anthropic_ops = {.refused = anthropic_refused};

static void openai_relay(struct http_exchange *x)
{
    const struct http_request *request = http_request(x);
    struct dialect_body body;
    struct dialect_error error;
    char model[DIALECT_NAME_SIZE];
    bool stream = false;
    int code = dialect_body_read(request->body, &body, &error);
    if (code == 0)
        code = dialect_body_model(&body, false, model, &error);
    if (code == 0)
        code = dialect_body_flag(&body, "stream", false, &stream, &error);
    if (code < 0) {
        dialect_reply_error(x, &error);
        return;
    }
    bool anthropic = dialect_of_path(request->path) == DIALECT_ANTHROPIC;
    struct serve_relay relay = {
        .model = str_from(model),
        .keep_alive = SERVE_KEEP_DEFAULT,
        .engine_path = openai_engine_path(http_route_path(x)),
        .body = BUF_INIT(body.text.n + 1),
        .stream = stream,
        .ops = anthropic ? &anthropic_ops : &openai_ops,
    };
    buf_add_str(&relay.body, body.text);
    serve_relay(x, &relay);
}

const struct http_route openai_routes[] = {
    {HTTP_POST, "/v1/chat/completions", openai_relay, 0},
    {HTTP_POST, "/v1/completions", openai_relay, 0},
    {HTTP_POST, "/v1/embeddings", openai_relay, 0},
    {HTTP_POST, "/v1/responses", openai_relay, 0},
    {HTTP_POST, "/v1/rerank", openai_relay, 0},
    {HTTP_POST, "/v1/reranking", openai_relay, 0},
    {HTTP_POST, "/v1/tokenize", openai_relay, 0},
    {HTTP_POST, "/v1/detokenize", openai_relay, 0},
    {HTTP_POST, "/v1/messages", openai_relay, 0},
    {HTTP_POST, "/v1/messages/count_tokens", openai_relay, 0},
    {HTTP_POST, "/tokenize", openai_relay, 0},
    {HTTP_POST, "/detokenize", openai_relay, 0},
    {HTTP_POST, "/apply-template", openai_relay, 0},
    {HTTP_POST, "/infill", openai_relay, 0},
    {HTTP_POST, "/completion", openai_relay, 0},
    {HTTP_POST, "/rerank", openai_relay, 0},
    {HTTP_METHODS, NULL, NULL, 0},
};
