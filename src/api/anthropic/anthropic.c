/* anthropic.c - Anthropic's calls, and the shape of their errors. */
#include "api/anthropic/anthropic.h"
#include "api/serve.h"

static const char *anthropic_error_type(int status)
{
    switch (status) {
    case 413:
        return "request_too_large";
    case 503:
    case 529:
        return "overloaded_error";
    default:
        return status < 500 ? openai_error_type(status) : "api_error";
    }
}

json_t *anthropic_error(const struct dialect_error *error)
{
    json_t *details = NULL; /* for the library's helpers: they go on without threads */
    if (error->param && strcmp(error->param, "thread") == 0)
        details = json_pack("{s:s, s:[s]}", "error_code", "thread_unsupported_request",
                            "unsupported", "thread");
    return json_pack("{s:s, s:{s:s, s:o, s:o*}}", "type", "error", "error", "type",
                     anthropic_error_type(error->status), "message",
                     report_json_string(error->message), "details", details);
}

static void anthropic_messages(struct http_exchange *x)
{
    chat_serve(x, anthropic_read);
}

static void anthropic_count(struct http_exchange *x)
{
    chat_serve(x, anthropic_read_count);
}

const struct http_route anthropic_routes[] = {
    {HTTP_POST, "/v1/messages", anthropic_messages, 0, 0},
    {HTTP_POST, "/v1/messages/count_tokens", anthropic_count, 0, 0},
    {0},
};
