/* anthropic.c - Anthropic's calls, which the engine speaks already, and the shape of their errors.
 */
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
    return json_pack("{s:s, s:{s:s, s:o}}", "type", "error", "error", "type",
                     anthropic_error_type(error->status), "message",
                     report_json_string(error->message));
}

const struct http_route anthropic_routes[] = {
    {HTTP_POST, "/v1/messages", dialect_pass, 0, ENGINE_CALL_MESSAGES},
    {HTTP_POST, "/v1/messages/count_tokens", dialect_pass, 0, ENGINE_CALL_COUNT_TOKENS},
    {0},
};
