/* request.c - Ollama's chat, generate and embed requests become requests for the engine. */
#include "api/ollama/ollama.h"

json_t *ollama_member(const json_t *object, const char *name, json_type type,
                      struct dialect_error *error)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string"};
    json_t *value = json_object_get(object, name);
    if (!value || json_is_null(value))
        return NULL;
    if (json_typeof(value) == type)
        return value;
    dialect_fail_at(error, name, "'%s' must be %s", name, kinds[type]);
    return NULL;
}

/* Model, stream, logprobs and keep_alive of any call. */
static void request_read(struct dialect_body *body, const json_t *root, struct ollama_call *call)
{
    dialect_body_model(body, true, call->model);
    if (!call->model[0])
        dialect_fail_at(&body->error, "model", "model is required");
    call->stream = dialect_body_flag(body, "stream", true);
    call->logprobs = dialect_body_flag(body, "logprobs", false);
    call->keep_alive = ollama_keep_alive(json_object_get(root, "keep_alive"), &body->error);
}

/* The members that chat and generate share. The engine always streams: so its silence is noticed,
 * and there is one way to read its answers. */
static void request_common(json_t *request, const json_t *root, struct ollama_call *call,
                           struct dialect_error *error)
{
    bool raw = call->kind == OLLAMA_RAW || call->kind == OLLAMA_INFILL;
    call->context = ollama_add_options(request, root, error);
    ollama_add_format(request, json_object_get(root, "format"), raw, error);
    if (!raw)
        ollama_add_think(request, json_object_get(root, "think"), call, error);
    json_int_t n = json_integer_value(json_object_get(root, "top_logprobs"));
    if (call->logprobs && !raw)
        json_object_set_new(request, "logprobs", json_true());
    if (call->logprobs)
        json_object_set_new(request, raw ? "n_probs" : "top_logprobs", json_integer(n > 1 ? n : 1));
    json_object_set_new(request, "stream", json_true());
    json_object_set_new(request, "stream_options", json_pack("{s:b}", "include_usage", 1));
}

static json_t *request_chat(struct dialect_body *body, const json_t *root, struct ollama_call *call)
{
    json_t *tools = ollama_member(root, "tools", JSON_ARRAY, &body->error);
    json_t *messages = ollama_messages(root, &body->error);
    json_t *request = json_pack("{s:o}", "messages", messages);
    call->empty = json_array_size(messages) == 0;
    if (json_array_size(tools) > 0)
        json_object_set(request, "tools", tools);
    request_common(request, root, call, &body->error);
    return request;
}

/* ---- generate ---- */

/* A member of /api/generate that is a text, lent; NULL when it is absent, null or empty. */
static json_t *request_text(const json_t *root, const char *name, struct dialect_error *error)
{
    json_t *value = ollama_member(root, name, JSON_STRING, error);
    return json_string_length(value) > 0 ? value : NULL;
}

/* The request of a prompt that goes through the model's template. */
static json_t *request_templated(const json_t *root, json_t *prompt, json_t *system,
                                 struct dialect_error *error)
{
    json_t *messages = json_array();
    if (system)
        json_array_append_new(messages,
                              json_pack("{s:s, s:O}", "role", "system", "content", system));
    json_t *content = ollama_content(prompt, root, error);
    json_array_append_new(messages, json_pack("{s:s, s:o}", "role", "user", "content", content));
    return json_pack("{s:o}", "messages", messages);
}

static json_t *request_generate(struct dialect_body *body, const json_t *root,
                                struct ollama_call *call)
{
    json_t *given = request_text(root, "prompt", &body->error);
    json_t *suffix = request_text(root, "suffix", &body->error);
    json_t *system = request_text(root, "system", &body->error);
    bool raw = dialect_body_flag(body, "raw", false);
    if (request_text(root, "template", &body->error))
        dialect_fail_at(&body->error, "template",
                        "'template' is not supported: the model's own template is used; send a "
                        "finished prompt with \"raw\": true instead");
    if (json_array_size(json_object_get(root, "context")) > 0)
        dialect_fail_at(&body->error, "context",
                        "'context' is not supported: send the conversation to /api/chat");
    if (raw && system)
        dialect_fail_at(&body->error, "raw", "raw mode does not support template or system");
    call->empty = !given && !suffix;
    call->kind = suffix ? OLLAMA_INFILL : raw ? OLLAMA_RAW : OLLAMA_GENERATE;
    call->call = suffix ? ENGINE_CALL_INFILL : raw ? ENGINE_CALL_COMPLETIONS : call->call;
    json_t *prompt = given ? json_incref(given) : json_string("");
    json_t *request = suffix
                          ? json_pack("{s:O, s:O}", "input_prefix", prompt, "input_suffix", suffix)
                      : raw ? json_pack("{s:O}", "prompt", prompt)
                            : request_templated(root, prompt, system, &body->error);
    json_decref(prompt);
    request_common(request, root, call, &body->error);
    return request;
}

/* ---- embed ---- */

bool ollama_is_texts(const json_t *value)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)value, i, item)
    {
        if (!json_is_string(item))
            return false;
    }
    return json_is_array(value) || json_is_string(value);
}

static json_t *request_embed(struct dialect_body *body, const json_t *root,
                             struct ollama_call *call)
{
    const char *member = call->kind == OLLAMA_EMBEDDINGS ? "prompt" : "input";
    json_t *input = json_object_get(root, member), *ignored = json_object();
    if (input && !json_is_null(input) && !ollama_is_texts(input))
        dialect_fail_at(&body->error, member, "'%s' must be a string or an array of strings",
                        member);
    call->context = ollama_add_options(ignored, root, &body->error);
    json_decref(ignored);
    /* dialect_body_read has seen that it is a whole number, at least 1. */
    call->dimensions = (unsigned)json_number_value(json_object_get(root, "dimensions"));
    call->empty =
        json_is_string(input) ? json_string_length(input) == 0 : json_array_size(input) == 0;
    return json_pack("{s:s, s:O*}", "model", call->model, "input", input);
}

/* ---- any of them ---- */

static const struct request_row {
    const char *path;
    enum ollama_kind kind;
    enum engine_call call;
    json_t *(*build)(struct dialect_body *body, const json_t *root, struct ollama_call *call);
} request_rows[] = {
    {"/api/chat", OLLAMA_CHAT, ENGINE_CALL_CHAT, request_chat},
    {"/api/generate", OLLAMA_GENERATE, ENGINE_CALL_CHAT, request_generate},
    {"/api/embed", OLLAMA_EMBED, ENGINE_CALL_EMBEDDINGS, request_embed},
    {"/api/embeddings", OLLAMA_EMBEDDINGS, ENGINE_CALL_EMBEDDINGS, request_embed},
};

/* jansson refuses some bodies that json_scan took: with a NUL in a string, or a number beyond
 * double. */
static json_t *request_load(struct dialect_body *body)
{
    json_error_t why;
    json_t *root = json_loadb(body->text.p, body->text.n, 0, &why);
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        dialect_fail_memory(&body->error);
    else if (!root)
        dialect_fail(&body->error, 400, "not a request: %s", why.text);
    return root;
}

json_t *ollama_request(const char *path, struct dialect_body *body, struct ollama_call *ret_call)
{
    const struct request_row *row = request_rows;
    while (strcmp(row->path, path) != 0)
        row++;
    *ret_call = (struct ollama_call){.kind = row->kind, .call = row->call};
    json_t *root = body->error.status ? NULL : request_load(body), *request = NULL;
    if (root) {
        request_read(body, root, ret_call);
        request = row->build(body, root, ret_call);
    }
    json_decref(root);
    if (!body->error.status && !ret_call->empty)
        return request;
    json_decref(request);
    return NULL;
}
