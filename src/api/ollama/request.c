#include "api/ollama/ollama.h"

#include <errno.h>

int ollama_read_call(const struct dialect_body *body, json_t *root, struct ollama_call *call,
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

/* A body that json_scan took and jansson does not: a NUL in a string, a number beyond double. */
static int request_load(const struct dialect_body *body, json_t **ret_root,
                        struct dialect_error *ret_error)
{
    json_error_t why;
    *ret_root = json_loadb(body->text.p, body->text.n, 0, &why);
    return *ret_root ? 0 : dialect_fail(ret_error, 400, "not a request: %s", why.text);
}

static int request_no_memory(struct dialect_error *ret_error)
{
    return dialect_fail(ret_error, 500, "out of memory");
}

/* What all calls that generate something have in common. The engine always streams: so its silence
 * is noticed, and there is one way to read its answers. */
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
    json_int_t n = json_is_integer(top) ? json_integer_value(top) : 0;
    if (code == 0 && call->logprobs) {
        bool chat = !raw;
        if (json_object_set_new(request, chat ? "logprobs" : "n_probs",
                                chat ? json_true() : json_integer(n > 1 ? n : 1)) < 0 ||
            (chat && json_object_set_new(request, "top_logprobs", json_integer(n > 1 ? n : 1)) < 0))
            code = request_no_memory(ret_error);
    }
    if (code == 0 && (json_object_set_new(request, "stream", json_true()) < 0 ||
                      json_object_set_new(request, "stream_options",
                                          json_pack("{s:b}", "include_usage", 1)) < 0))
        code = request_no_memory(ret_error);
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
        code = ollama_read_call(body, root, ret_call, ret_error);
    if (code == 0)
        code = ollama_messages(json_object_get(root, "messages"), &messages, ret_error);
    ret_call->empty = code == 0 && json_array_size(messages) == 0;
    if (code < 0 || ret_call->empty) {
        json_decref(messages);
        return request_finish(code, root, NULL, ret_request);
    }
    const json_t *tools = json_object_get(root, "tools");
    request = json_pack("{s:o}", "messages", messages);
    if (!request)
        code = request_no_memory(ret_error);
    else if (tools && !json_is_array(tools) && !json_is_null(tools))
        code = dialect_fail_at(ret_error, "tools", "'tools' must be an array");
    else if (json_array_size(tools) > 0 && json_object_set(request, "tools", (json_t *)tools) < 0)
        code = request_no_memory(ret_error);
    if (code == 0)
        code = request_common(request, root, ret_call, ret_error);
    return request_finish(code, root, request, ret_request);
}

/* ---- generate ---- */

/* Members of /api/generate that are texts; "" when absent. NULL with *ret_error: another kind. */
static const char *request_text(const json_t *root, const char *name,
                                struct dialect_error *ret_error)
{
    const json_t *value = json_object_get(root, name);
    if (!value || json_is_null(value))
        return "";
    if (!json_is_string(value))
        dialect_fail_at(ret_error, name, "'%s' must be a string", name);
    return json_string_value(value);
}

struct request_generate {
    const char *prompt, *suffix, *system, *template;
    bool raw;
};

static int request_read_generate(const struct dialect_body *body, const json_t *root,
                                 struct request_generate *g, struct dialect_error *ret_error)
{
    g->prompt = request_text(root, "prompt", ret_error);
    g->suffix = request_text(root, "suffix", ret_error);
    g->system = request_text(root, "system", ret_error);
    g->template = request_text(root, "template", ret_error);
    if (!g->prompt || !g->suffix || !g->system || !g->template)
        return -EINVAL;
    if (g->template[0])
        return dialect_fail_at(ret_error, "template",
                               "'template' is not supported: the model's own template is used; "
                               "send a finished prompt with \"raw\": true instead");
    if (json_array_size(json_object_get(root, "context")) > 0)
        return dialect_fail_at(ret_error, "context",
                               "'context' is not supported: send the conversation to /api/chat");
    int code = dialect_body_flag(body, "raw", false, &g->raw, ret_error);
    if (code == 0 && g->raw && g->system[0])
        return dialect_fail_at(ret_error, "raw", "raw mode does not support template or system");
    return code;
}

/* The engine's request for the prompt alone; NULL: out of memory, or a bad image. */
static json_t *request_prompt(const struct request_generate *g, const json_t *root,
                              struct ollama_call *call, struct dialect_error *ret_error)
{
    if (g->suffix[0]) {
        call->kind = OLLAMA_INFILL;
        call->engine_path = "/infill";
        return json_pack("{s:s, s:s}", "input_prefix", g->prompt, "input_suffix", g->suffix);
    }
    if (g->raw) {
        call->kind = OLLAMA_RAW;
        call->engine_path = "/v1/completions";
        return json_pack("{s:s}", "prompt", g->prompt);
    }
    call->engine_path = "/v1/chat/completions";
    json_t *user = json_pack("{s:s, s:o}", "role", "user", "content",
                             ollama_content(g->prompt, json_object_get(root, "images"), ret_error));
    if (!g->system[0])
        return json_pack("{s:[o]}", "messages", user);
    return json_pack("{s:[{s:s, s:s}, o]}", "messages", "role", "system", "content", g->system,
                     user);
}

int ollama_generate_request(const struct dialect_body *body, struct ollama_call *ret_call,
                            json_t **ret_request, struct dialect_error *ret_error)
{
    json_t *root = NULL, *request = NULL;
    struct request_generate g = {.raw = false};
    *ret_call = (struct ollama_call){.kind = OLLAMA_GENERATE};
    int code = request_load(body, &root, ret_error);
    if (code == 0)
        code = ollama_read_call(body, root, ret_call, ret_error);
    if (code == 0)
        code = request_read_generate(body, root, &g, ret_error);
    ret_call->empty = code == 0 && !g.prompt[0] && !g.suffix[0];
    if (code < 0 || ret_call->empty)
        return request_finish(code, root, NULL, ret_request);
    ret_error->status = 0;
    request = request_prompt(&g, root, ret_call, ret_error);
    if (!request)
        code = ret_error->status ? -EINVAL : request_no_memory(ret_error);
    else
        code = request_common(request, root, ret_call, ret_error);
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
        code = ollama_read_call(body, root, ret_call, ret_error);
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
    if (code == 0 && !ret_call->empty) {
        request = json_pack("{s:s, s:O}", "model", ret_call->model, "input", input);
        code = request ? 0 : request_no_memory(ret_error);
    }
    return request_finish(code, root, request, ret_request);
}
