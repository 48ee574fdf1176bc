/* request.c - Ollama's chat, generate and embed requests become requests for the engine. */
#include "api/ollama/ollama.h"
#include "api/vectors.h"

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

/* Model, stream and keep_alive of any call. */
static void request_read(struct dialect_body *body, const json_t *root, struct ollama_call *about)
{
    dialect_body_model(body, true, about->model);
    if (!about->model[0])
        dialect_fail_at(&body->error, "model", "model is required");
    about->stream = dialect_body_flag(body, "stream", true);
    about->keep_alive = ollama_keep_alive(json_object_get(root, "keep_alive"), &body->error);
}

/* The members that chat and generate share. */
static void request_common(struct chat_request *r, const json_t *root, struct ollama_call *about)
{
    bool raw = about->kind == OLLAMA_RAW || about->kind == OLLAMA_INFILL;
    double top = json_number_value(chat_get(root, "top_logprobs"));
    about->context = ollama_add_options(r->body, root, r->error);
    ollama_add_format(r, chat_get(root, "format"), raw);
    if (!raw)
        ollama_add_think(r, chat_get(root, "think"));
    if (!json_is_true(json_object_get(root, "logprobs")))
        return;
    if (raw)
        json_object_set_new(r->body, "n_probs", json_integer(top > 1.0 ? (json_int_t)top : 1));
    else
        chat_set_logprobs(r, (unsigned)top);
}

#define COMMON_FIELDS                                                                              \
    {"model", CHAT_FIELD_READ, "s", NULL}, {"name", CHAT_FIELD_READ, "s", NULL},                   \
        {"stream", CHAT_FIELD_READ, "b", NULL}, {"format", CHAT_FIELD_READ, NULL, NULL},           \
        {"options", CHAT_FIELD_READ, "o", NULL}, {"think", CHAT_FIELD_READ, NULL, NULL},           \
        {"keep_alive", CHAT_FIELD_READ, NULL, NULL}, {"logprobs", CHAT_FIELD_READ, "b", NULL},     \
        {"top_logprobs", CHAT_FIELD_READ, "n",                                                     \
         NULL}, /* Nothing is cut off in silence: what is too long is refused. */                  \
        {"truncate", CHAT_FIELD_IGNORED, "b", NULL},                                               \
    {                                                                                              \
        "shift", CHAT_FIELD_IGNORED, "b", NULL                                                     \
    }

static const struct chat_field chat_fields[] = {
    COMMON_FIELDS,
    {"messages", CHAT_FIELD_READ, "a", NULL},
    {"tools", CHAT_FIELD_READ, "a", NULL},
    {0},
};

static void request_tool(struct chat_request *r, const json_t *tool)
{
    const json_t *function = chat_get(tool, "function");
    const char *type = chat_text(tool, "type"), *name = chat_text(function, "name");
    if (type[0] && strcmp(type, "function") != 0)
        dialect_fail_at(r->error, "tools", "'tools': the type '%.60s' is not supported", type);
    else if (!name[0])
        dialect_fail_at(r->error, "tools", "'tools': each needs a function with a name");
    else
        chat_add_tool(r, name, chat_get(function, "description"), chat_get(function, "parameters"));
}

static void request_chat(struct chat_call *call, const json_t *root, struct ollama_call *about)
{
    struct chat_request *r = &call->request;
    json_t *tool;
    size_t i;
    chat_read_fields(r, chat_fields, root);
    json_array_foreach(chat_get(root, "tools"), i, tool) request_tool(r, tool);
    ollama_add_messages(r, root);
    about->empty = json_array_size(r->messages) == 0;
    request_common(r, root, about);
}

/* ---- generate ---- */

static const struct chat_field generate_fields[] = {
    COMMON_FIELDS,
    {"prompt", CHAT_FIELD_READ, "s", NULL},
    {"suffix", CHAT_FIELD_READ, "s", NULL},
    {"system", CHAT_FIELD_READ, "s", NULL},
    {"raw", CHAT_FIELD_READ, "b", NULL},
    {"images", CHAT_FIELD_READ, "a", NULL},
    {"template", CHAT_FIELD_REFUSED, NULL,
     "is not supported: the model's own template is used; send a finished prompt with \"raw\": "
     "true instead"},
    {"context", CHAT_FIELD_REFUSED, NULL, "is not supported: send the conversation to /api/chat"},
    {"width", CHAT_FIELD_REFUSED, NULL, "is not supported: no images are made here"},
    {"height", CHAT_FIELD_REFUSED, NULL, "is not supported: no images are made here"},
    {"steps", CHAT_FIELD_REFUSED, NULL, "is not supported: no images are made here"},
    {0},
};

/* The prompt goes through the model's template. */
static void request_templated(struct chat_request *r, const json_t *root)
{
    if (chat_text(root, "system")[0])
        chat_add_text(chat_add_message(r, "system"), chat_text(root, "system"));
    json_t *message = chat_add_message(r, "user");
    chat_add_text(message, chat_text(root, "prompt"));
    ollama_add_images(r, message, root);
}

static void request_generate(struct chat_call *call, const json_t *root, struct ollama_call *about)
{
    struct chat_request *r = &call->request;
    const char *prompt = chat_text(root, "prompt"), *suffix = chat_text(root, "suffix");
    bool raw = json_is_true(json_object_get(root, "raw"));
    chat_read_fields(r, generate_fields, root);
    if (raw && chat_text(root, "system")[0])
        dialect_fail_at(r->error, "raw", "raw mode does not support template or system");
    if ((raw || suffix[0]) && json_array_size(chat_get(root, "images")) > 0)
        dialect_fail_at(r->error, "images",
                        "'images' need the model's template: leave 'raw' and "
                        "'suffix' out");
    about->empty = !prompt[0] && !suffix[0];
    if (suffix[0] || raw) {
        about->kind = suffix[0] ? OLLAMA_INFILL : OLLAMA_RAW;
        call->call = suffix[0] ? ENGINE_CALL_INFILL : ENGINE_CALL_COMPLETIONS;
        json_object_set_new(r->body, suffix[0] ? "input_prefix" : "prompt", json_string(prompt));
        json_object_del(r->body, "messages");
        r->messages = NULL;
    } else {
        about->kind = OLLAMA_GENERATE;
        request_templated(r, root);
    }
    if (suffix[0])
        json_object_set_new(r->body, "input_suffix", json_string(suffix));
    request_common(r, root, about);
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

static const struct chat_field embed_fields[] = {
    {"model", CHAT_FIELD_READ, "s", NULL},
    {"name", CHAT_FIELD_READ, "s", NULL},
    {"input", CHAT_FIELD_READ, "sa", NULL},
    {"prompt", CHAT_FIELD_READ, "s", NULL},
    {"truncate", CHAT_FIELD_READ, "b", NULL},
    {"dimensions", CHAT_FIELD_READ, "n", NULL},
    {"options", CHAT_FIELD_READ, "o", NULL},
    {"keep_alive", CHAT_FIELD_READ, NULL, NULL},
    {0},
};

static void request_embed(struct chat_call *call, const json_t *root, struct ollama_call *about)
{
    struct chat_request *r = &call->request;
    bool one = about->kind == OLLAMA_EMBEDDINGS;
    const char *member = one ? "prompt" : "input";
    json_t *input = chat_get(root, member), *ignored = json_object();
    struct vectors_ask ask = {
        .shape = one ? VECTORS_OLLAMA_ONE : VECTORS_OLLAMA,
        /* dialect_body_read has seen that it is a whole number, at least 1. */
        .dimensions = (unsigned)json_number_value(json_object_get(root, "dimensions")),
        .truncate = !json_is_false(json_object_get(root, "truncate")),
    };
    memcpy(ask.model, about->model, sizeof(ask.model));
    chat_read_fields(r, embed_fields, root);
    if (input && !ollama_is_texts(input))
        dialect_fail_at(r->error, member, "'%s' must be a string or an array of strings", member);
    about->context = ollama_add_options(ignored, root, r->error);
    json_decref(ignored);
    about->stream = false;
    about->empty =
        json_is_string(input) ? json_string_length(input) == 0 : json_array_size(input) == 0;
    if (!about->empty)
        vectors_request(call, &ask, input);
}

/* ---- any of them ---- */

static const struct request_row {
    const char *path;
    enum ollama_kind kind;
    void (*read)(struct chat_call *call, const json_t *root, struct ollama_call *about);
} request_rows[] = {
    {"/api/chat", OLLAMA_CHAT, request_chat},
    {"/api/generate", OLLAMA_GENERATE, request_generate},
    {"/api/embed", OLLAMA_EMBED, request_embed},
    {"/api/embeddings", OLLAMA_EMBEDDINGS, request_embed},
};

void ollama_read(const char *path, struct dialect_body *body, const json_t *root,
                 struct chat_call *call, struct ollama_call *ret_about)
{
    const struct request_row *row = request_rows;
    while (strcmp(row->path, path) != 0)
        row++;
    *ret_about = (struct ollama_call){.kind = row->kind};
    request_read(body, root, ret_about);
    row->read(call, root, ret_about);
    memcpy(call->model, ret_about->model, sizeof(call->model));
    call->stream = ret_about->stream;
    call->options.context = ret_about->context;
    call->options.keep_alive = ret_about->keep_alive;
}
