/* request.c - Ollama's chat, generate and embed requests become requests for the engine. */
#include "api/ollama/ollama.h"

#include <errno.h>

/* Model, stream, logprobs and keep_alive of any call. */
static int request_read(const struct dialect_body *body, json_t *root, struct ollama_call *call,
                        struct dialect_error *ret_error)
{
    int code = dialect_body_model(body, true, call->model, ret_error);
    if (code == 0 && !call->model[0])
        code = dialect_fail_at(ret_error, "model", "model is required");
    if (code == 0)
        code = dialect_body_flag(body, "stream", true, &call->stream, ret_error);
    if (code == 0)
        code = dialect_body_flag(body, "logprobs", false, &call->logprobs, ret_error);
    if (code == 0)
        code = ollama_read_keep_alive(json_object_get(root, "keep_alive"), &call->keep_alive,
                                      ret_error);
    return code;
}

/* jansson refuses some bodies that json_scan took: with a NUL in a string, or a number beyond
 * double. */
static int request_load(const struct dialect_body *body, json_t **ret_root,
                        struct dialect_error *ret_error)
{
    json_error_t why;
    *ret_root = json_loadb(body->text.p, body->text.n, 0, &why);
    if (*ret_root)
        return 0;
    return json_error_code(&why) == json_error_out_of_memory
               ? dialect_fail_memory(ret_error)
               : dialect_fail(ret_error, 400, "not a request: %s", why.text);
}

/* The part of a request that chat and generate share. The engine always streams: so its silence is
 * noticed, and there is one way to read its answers. */
static int request_common(json_t *request, json_t *root, struct ollama_call *call,
                          struct dialect_error *ret_error)
{
    bool raw = call->kind == OLLAMA_RAW || call->kind == OLLAMA_INFILL;
    int code =
        ollama_add_options(request, json_object_get(root, "options"), &call->context, ret_error);
    if (code == 0)
        code = ollama_add_format(request, json_object_get(root, "format"), raw, ret_error);
    if (code == 0 && !raw)
        code = ollama_add_think(request, json_object_get(root, "think"), call, ret_error);
    json_t *top = json_object_get(root, "top_logprobs");
    json_int_t n =
        json_is_integer(top) && json_integer_value(top) > 1 ? json_integer_value(top) : 1;
    if (call->logprobs && !raw)
        json_object_set_new(request, "logprobs", json_true());
    if (call->logprobs)
        json_object_set_new(request, raw ? "n_probs" : "top_logprobs", json_integer(n));
    json_object_set_new(request, "stream", json_true());
    json_object_set_new(request, "stream_options", json_pack("{s:b}", "include_usage", 1));
    return code;
}

static int request_finish(int code, json_t *root, json_t *request, json_t **ret_request)
{
    json_decref(root);
    if (code < 0)
        json_decref(request);
    else
        *ret_request = request;
    return code;
}

int ollama_chat_request(const struct dialect_body *body, struct ollama_call *ret_call,
                        json_t **ret_request, struct dialect_error *ret_error)
{
    json_t *root = NULL, *messages = NULL, *request = NULL;
    *ret_call = (struct ollama_call){.kind = OLLAMA_CHAT, .engine_path = "/v1/chat/completions"};
    int code = request_load(body, &root, ret_error);
    if (code == 0)
        code = request_read(body, root, ret_call, ret_error);
    if (code == 0)
        code = ollama_messages(json_object_get(root, "messages"), &messages, ret_error);
    ret_call->empty = code == 0 && json_array_size(messages) == 0;
    if (code < 0 || ret_call->empty) {
        json_decref(messages);
        return request_finish(code, root, NULL, ret_request);
    }
    json_t *tools = json_object_get(root, "tools");
    request = json_pack("{s:o}", "messages", messages);
    if (tools && !json_is_array(tools) && !json_is_null(tools))
        code = dialect_fail_at(ret_error, "tools", "'tools' must be an array");
    else if (json_array_size(tools) > 0)
        json_object_set(request, "tools", tools);
    if (code == 0)
        code = request_common(request, root, ret_call, ret_error);
    return request_finish(code, root, request, ret_request);
}

/* ---- generate ---- */

/* A member of /api/generate that is a text, lent; NULL when it is absent, null or empty. */
static int request_text(const json_t *root, const char *name, json_t **ret,
                        struct dialect_error *ret_error)
{
    json_t *value = json_object_get(root, name);
    *ret = json_string_length(value) > 0 ? value : NULL;
    return !value || json_is_null(value) || json_is_string(value)
               ? 0
               : dialect_fail_at(ret_error, name, "'%s' must be a string", name);
}

/* Texts are lent by the request; NULL where it has none. */
struct request_generate {
    json_t *prompt, *suffix, *system, *template;
    bool raw;
};

static int request_read_generate(const struct dialect_body *body, const json_t *root,
                                 struct request_generate *g, struct dialect_error *ret_error)
{
    int code = request_text(root, "prompt", &g->prompt, ret_error);
    if (code == 0)
        code = request_text(root, "suffix", &g->suffix, ret_error);
    if (code == 0)
        code = request_text(root, "system", &g->system, ret_error);
    if (code == 0)
        code = request_text(root, "template", &g->template, ret_error);
    if (code == 0 && g->template)
        code = dialect_fail_at(ret_error, "template",
                               "'template' is not supported: the model's own template is used; "
                               "send a finished prompt with \"raw\": true instead");
    if (code == 0 && json_array_size(json_object_get(root, "context")) > 0)
        code = dialect_fail_at(ret_error, "context",
                               "'context' is not supported: send the conversation to /api/chat");
    if (code == 0)
        code = dialect_body_flag(body, "raw", false, &g->raw, ret_error);
    if (code == 0 && g->raw && g->system)
        code = dialect_fail_at(ret_error, "raw", "raw mode does not support template or system");
    return code;
}

/* The engine's request for the prompt alone; NULL with *ret_error: a bad image. */
static json_t *request_prompt(const struct request_generate *g, const json_t *root,
                              struct ollama_call *call, struct dialect_error *ret_error)
{
    json_t *prompt = g->prompt ? json_incref(g->prompt) : json_string("");
    if (g->suffix) {
        call->kind = OLLAMA_INFILL;
        call->engine_path = "/infill";
        return json_pack("{s:o, s:O}", "input_prefix", prompt, "input_suffix", g->suffix);
    }
    if (g->raw) {
        call->kind = OLLAMA_RAW;
        call->engine_path = "/v1/completions";
        return json_pack("{s:o}", "prompt", prompt);
    }
    call->engine_path = "/v1/chat/completions";
    json_t *content = ollama_content(prompt, json_object_get(root, "images"), ret_error);
    json_decref(prompt);
    if (!content)
        return NULL;
    json_t *messages = json_array();
    if (g->system)
        json_array_append_new(messages,
                              json_pack("{s:s, s:O}", "role", "system", "content", g->system));
    json_array_append_new(messages, json_pack("{s:s, s:o}", "role", "user", "content", content));
    return json_pack("{s:o}", "messages", messages);
}

int ollama_generate_request(const struct dialect_body *body, struct ollama_call *ret_call,
                            json_t **ret_request, struct dialect_error *ret_error)
{
    json_t *root = NULL, *request = NULL;
    struct request_generate g = {.raw = false};
    *ret_call = (struct ollama_call){.kind = OLLAMA_GENERATE};
    int code = request_load(body, &root, ret_error);
    if (code == 0)
        code = request_read(body, root, ret_call, ret_error);
    if (code == 0)
        code = request_read_generate(body, root, &g, ret_error);
    ret_call->empty = code == 0 && !g.prompt && !g.suffix;
    if (code < 0 || ret_call->empty)
        return request_finish(code, root, NULL, ret_request);
    request = request_prompt(&g, root, ret_call, ret_error);
    code = request ? request_common(request, root, ret_call, ret_error) : -EINVAL;
    return request_finish(code, root, request, ret_request);
}

/* ---- embed ---- */

static bool request_is_texts(const json_t *input)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)input, i, item)
    {
        if (!json_is_string(item))
            return false;
    }
    return json_is_array(input) || json_is_string(input);
}

int ollama_embed_request(const struct dialect_body *body, bool old, struct ollama_call *ret_call,
                         json_t **ret_request, struct dialect_error *ret_error)
{
    json_t *root = NULL, *request = NULL, *ignored = json_object();
    const char *member = old ? "prompt" : "input";
    *ret_call = (struct ollama_call){.kind = old ? OLLAMA_EMBEDDINGS : OLLAMA_EMBED,
                                     .engine_path = "/v1/embeddings"};
    int code = request_load(body, &root, ret_error);
    if (code == 0)
        code = request_read(body, root, ret_call, ret_error);
    json_t *input = json_object_get(root, member);
    if (code == 0 && input && !json_is_null(input) && !request_is_texts(input))
        code = dialect_fail_at(ret_error, member, "'%s' must be a string or an array of strings",
                               member);
    if (code == 0)
        code = ollama_add_options(ignored, json_object_get(root, "options"), &ret_call->context,
                                  ret_error);
    json_decref(ignored);
    /* dialect_body_read has seen that it is a whole number, at least 1. */
    json_t *dimensions = json_object_get(root, "dimensions");
    ret_call->dimensions = json_is_number(dimensions) ? (unsigned)json_number_value(dimensions) : 0;
    ret_call->empty =
        json_is_string(input) ? json_string_length(input) == 0 : json_array_size(input) == 0;
    if (code == 0 && !ret_call->empty)
        request = json_pack("{s:s, s:O}", "model", ret_call->model, "input", input);
    return request_finish(code, root, request, ret_request);
}
