/* request.c - a chat on its way to the engine, put together message by message. */
#include "api/chat/chat.h"

#include <openssl/evp.h>
#include <stdio.h>

json_t *chat_load(struct dialect_body *body)
{
    json_error_t why;
    json_t *root = NULL;
    if (body->error.status)
        return NULL;
    /* jansson refuses some bodies that json_scan took: with a NUL in a string, or a number beyond
     * double. */
    root = json_loadb(body->text.p, body->text.n, 0, &why);
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        dialect_fail_memory(&body->error);
    else if (!root)
        dialect_fail(&body->error, 400, "not a request: %s", why.text);
    return root;
}

/* Objects in these arrays, and in the arrays in them: messages, their parts and calls, tools. */
static size_t chat_objects(const json_t *array)
{
    size_t i, n = 0;
    json_t *item, *value;
    const char *name;
    json_array_foreach((json_t *)array, i, item)
    {
        n += json_is_object(item);
        json_object_foreach(item, name, value) n += json_is_array(value) ? chat_objects(value) : 0;
    }
    return n;
}

void chat_check_size(const json_t *root, struct dialect_error *error)
{
    static const char *const members[] = {"messages", "input", "system", "tools"};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (chat_objects(json_object_get(root, members[i])) > CHAT_OBJECTS_MAX)
            dialect_fail_at(error, members[i], "'%s' has more than %d messages, parts or tools",
                            members[i], CHAT_OBJECTS_MAX);
    }
}

void chat_request_init(struct chat_request *r, struct dialect_error *error)
{
    *r = (struct chat_request){.messages = json_array(), .error = error};
    r->body = json_pack("{s:o}", "messages", r->messages);
}

void chat_request_done(struct chat_request *r)
{
    json_decref(r->body);
}

/* ---- members ---- */

json_t *chat_get(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

const char *chat_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static char field_letter(const json_t *value)
{
    return json_is_string(value)    ? 's'
           : json_is_number(value)  ? 'n'
           : json_is_boolean(value) ? 'b'
           : json_is_object(value)  ? 'o'
                                    : 'a';
}

static const char *field_kind(char letter)
{
    switch (letter) {
    case 's':
        return "a string";
    case 'n':
        return "a number";
    case 'b':
        return "true or false";
    case 'o':
        return "an object";
    default:
        return "an array";
    }
}

static bool field_is_empty(const json_t *value)
{
    return json_is_false(value) || (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

void chat_read_fields(struct chat_request *r, const struct chat_field *fields, const json_t *root)
{
    for (const struct chat_field *field = fields; field->name; field++) {
        json_t *value = chat_get(root, field->name);
        if (!value)
            continue;
        if (field->how == CHAT_FIELD_REFUSED) {
            if (!field_is_empty(value))
                dialect_fail_at(r->error, field->name, "'%s' %s", field->name, field->to);
            continue;
        }
        if (field->types && !strchr(field->types, field_letter(value)))
            dialect_fail_at(r->error, field->name, "'%s' must be %s%s%s", field->name,
                            field_kind(field->types[0]), field->types[1] ? " or " : "",
                            field->types[1] ? field_kind(field->types[1]) : "");
        else if (field->how == CHAT_FIELD_COPIED)
            json_object_set(r->body, field->to ? field->to : field->name, value);
    }
}

/* ---- messages ---- */

json_t *chat_add_message(struct chat_request *r, const char *role)
{
    json_t *last = json_array_get(r->messages, json_array_size(r->messages) - 1);
    if (strcmp(role, "assistant") == 0 && strcmp(chat_text(last, "role"), role) == 0)
        return last;
    json_t *message = json_pack("{s:s, s:s}", "role", role, "content", "");
    json_array_append_new(r->messages, message);
    return message;
}

/* To a text member of an object, on a line of its own. Several texts are an array until chat_join:
 * joined one by one, many would be copied again and again. */
static void chat_append(json_t *object, const char *name, const char *text)
{
    json_t *texts = json_object_get(object, name);
    if (text[0] && json_is_array(texts))
        json_array_append_new(texts, json_string(text));
    else if (text[0])
        json_object_set_new(object, name,
                            json_string_length(texts) > 0 ? json_pack("[O, s]", texts, text)
                                                          : json_string(text));
}

/* The texts that chat_append has put into a member become one. */
static void chat_join(json_t *object, const char *name)
{
    struct buf CLEAN_BUF joined = BUF_INIT(SIZE_MAX / 2);
    json_t *texts = json_object_get(object, name), *text;
    size_t i;
    if (!json_is_string(json_array_get(texts, 0)))
        return;
    json_array_foreach(texts, i, text)
    {
        if (i)
            buf_add_char(&joined, '\n');
        buf_add(&joined, json_string_value(text), json_string_length(text));
    }
    if (buf_ok(&joined))
        json_object_set_new(object, name, json_stringn(buf_text(&joined), joined.n));
}

/* The content as an array of parts. */
static json_t *chat_parts(json_t *message)
{
    chat_join(message, "content");
    json_t *content = json_object_get(message, "content"), *parts = json_array();
    if (json_is_array(content)) {
        json_decref(parts);
        return content;
    }
    if (json_string_length(content) > 0)
        json_array_append_new(parts, json_pack("{s:s, s:O}", "type", "text", "text", content));
    json_object_set_new(message, "content", parts);
    return parts;
}

/* Texts stay one text: some templates take nothing else. */
void chat_add_text(json_t *message, const char *text)
{
    json_t *content = json_object_get(message, "content");
    if (json_is_object(json_array_get(content, 0)))
        json_array_append_new(content, json_pack("{s:s, s:s}", "type", "text", "text", text));
    else
        chat_append(message, "content", text);
}

void chat_add_part(json_t *message, json_t *part)
{
    json_array_append(chat_parts(message), part);
}

void chat_add_image(struct chat_request *r, json_t *message, const json_t *url, const char *param)
{
    struct str text = str_from(json_string_value(url));
    if (!str_starts_nocase(text, STR("data:")))
        dialect_fail_at(r->error, param,
                        "an image must be in the request, as a data: URI: gfxbridge fetches "
                        "nothing, and has no stored files");
    else
        json_array_append_new(chat_parts(message), json_pack("{s:s, s:{s:O}}", "type", "image_url",
                                                             "image_url", "url", url));
}

void chat_add_thinking(json_t *message, const char *text)
{
    if (text[0])
        chat_append(message, "reasoning_content", text);
}

/* Templates want an object, and some engines fail on anything else. */
static json_t *chat_arguments(const json_t *arguments)
{
    json_t *object = json_is_string(arguments) ? json_loads(json_string_value(arguments), 0, NULL)
                                               : json_incref((json_t *)arguments);
    bool good = json_is_object(object);
    if (!good) {
        json_decref(object);
        bool empty = !arguments || json_is_null(arguments) ||
                     (json_is_string(arguments) && json_string_length(arguments) == 0);
        object = empty ? json_object() : json_pack("{s:O}", "arguments", arguments);
    }
    char *CLEAN_FREE text =
        good && json_is_string(arguments) ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text ? json_string(text) : json_incref((json_t *)arguments);
}

void chat_add_call(json_t *message, const char *id, const char *name, const json_t *arguments)
{
    json_t *calls = json_object_get(message, "tool_calls");
    if (!calls) {
        calls = json_array();
        json_object_set_new(message, "tool_calls", calls);
    }
    json_array_append_new(calls, json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", id, "type", "function",
                                           "function", "name", name, "arguments",
                                           chat_arguments(arguments)));
}

json_t *chat_add_result(struct chat_request *r, const char *id, const char *name)
{
    json_t *message = chat_add_message(r, "tool");
    json_object_set_new(message, "tool_call_id", json_string(id));
    if (name)
        json_object_set_new(message, "name", json_string(name));
    return message;
}

/* ---- files ---- */

/* The text that a data: URI of a text type holds, to be freed; NULL: it holds something else. */
static char *file_decode(struct str data)
{
    static const struct str texts = STR("application/json application/xml application/yaml "
                                        "application/x-yaml application/javascript");
    struct str head, type;
    if (!str_cut(&data, ',', &head))
        return NULL;
    bool base64 = str_ends(head, STR(";base64"));
    if (!str_cut(&head, ';', &type) ||
        (!str_starts(type, STR("text/")) && !str_list_has(texts, type)))
        return NULL;
    char *text = xmalloc(data.n + 1);
    if (!base64) {
        if (http_decode(data, '+', text, data.n + 1))
            return text;
        free(text);
        return NULL;
    }
    int n = data.n < INT32_MAX
                ? EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)data.p, (int)data.n)
                : -1;
    if (n < 0) {
        free(text);
        return NULL;
    }
    n -= str_ends(data, STR("==")) ? 2 : str_ends(data, STR("=")) ? 1 : 0;
    text[n] = '\0';
    if (strlen(text) == (size_t)n)
        return text;
    free(text);
    return NULL;
}

bool chat_add_file(json_t *message, const char *name, const char *data)
{
    struct str rest = str_from(data);
    char *CLEAN_FREE decoded = str_strip(&rest, STR("data:")) ? file_decode(rest)
                               : rest.n                       ? xstrdup(data)
                                                              : NULL;
    json_t *words = !decoded ? NULL
                    : name   ? json_sprintf("File %s:\n%s", name, decoded)
                             : json_string(decoded);
    if (words)
        chat_add_text(message, json_string_value(words));
    json_decref(words);
    return words != NULL;
}

/* ---- tools, and what the answer must be ---- */

void chat_check_tool(const char *name, const json_t *parameters, struct dialect_error *error)
{
    if (strlen(name) >= sizeof(((struct chat_block *)NULL)->name))
        dialect_fail_at(error, "tools", "'tools': the name '%.40s...' is too long", name);
    chat_check_schema(parameters, false, "tools", error);
}

void chat_add_tool(struct chat_request *r, const char *name, const json_t *description,
                   const json_t *parameters)
{
    chat_check_tool(name, parameters, r->error);
    json_t *tools = json_object_get(r->body, "tools");
    if (!tools) {
        tools = json_array();
        json_object_set_new(r->body, "tools", tools);
    }
    json_t *schema = parameters ? json_incref((json_t *)parameters)
                                : json_pack("{s:s, s:{}}", "type", "object", "properties");
    json_array_append_new(tools, json_pack("{s:s, s:{s:s, s:O*, s:o}}", "type", "function",
                                           "function", "name", name, "description", description,
                                           "parameters", schema));
}

/* The engine knows no names: it is shown the tools that may be called, and no others. */
void chat_set_choice(struct chat_request *r, const char *mode, const json_t *allowed,
                     const char *param)
{
    json_t *tools = json_object_get(r->body, "tools"), *tool;
    json_t *names = json_object(), *kept = json_array(), *name;
    size_t n = json_array_size(tools), i;
    json_array_foreach((json_t *)allowed, i, name)
    {
        json_object_set_new(names, json_string_value(name) ?: "", json_true());
    }
    json_array_foreach(tools, i, tool)
    {
        if (json_object_get(names, chat_text(json_object_get(tool, "function"), "name")))
            json_array_append(kept, tool);
    }
    if (allowed && n)
        json_object_set(r->body, "tools", kept);
    if (allowed && json_array_size(kept) < json_array_size(allowed))
        dialect_fail_at(r->error, param, "'%s' names a tool that is not in 'tools'", param);
    else if (strcmp(mode, "required") == 0 && n == 0)
        dialect_fail_at(r->error, param, "'%s' asks for a tool, but there are no 'tools'", param);
    if (n)
        json_object_set_new(r->body, "tool_choice", json_string(mode));
    json_decref(names);
    json_decref(kept);
}

void chat_set_schema(struct chat_request *r, const json_t *schema, const char *param)
{
    chat_check_schema(schema, true, param, r->error);
    json_t *format = schema ? json_pack("{s:s, s:{s:s, s:O}}", "type", "json_schema", "json_schema",
                                        "name", "answer", "schema", schema)
                            : json_pack("{s:s}", "type", "json_object");
    json_object_set_new(r->body, "response_format", format);
}

/* The engine gives none at all for 0 alternatives. */
void chat_set_logprobs(struct chat_request *r, unsigned top)
{
    r->no_top = top == 0;
    json_object_set_new(r->body, "logprobs", json_true());
    json_object_set_new(r->body, "top_logprobs", json_integer(top ? top : 1));
}

/* The engine's usage counts one of them alone. */
void chat_set_choices(struct chat_request *r, unsigned n)
{
    json_object_set_new(r->body, "n", json_integer(n));
    if (n > 1)
        json_object_set_new(r->body, "timings_per_token", json_true());
}

void chat_set_thinking(struct chat_request *r, bool on, const char *effort)
{
    r->hide_thinking = !on;
    json_object_set_new(
        r->body, "chat_template_kwargs",
        json_pack("{s:b, s:s*}", "enable_thinking", on, "reasoning_effort", effort));
}

/* ---- the whole ---- */

/* The content of these messages in the first one: texts stay a text. */
static void fold_join(const json_t *messages, size_t first, size_t end)
{
    struct buf CLEAN_BUF text = BUF_INIT(SIZE_MAX / 2);
    json_t *parts = json_array();
    bool texts = true;
    for (size_t i = first; i < end; i++) {
        const json_t *content = chat_get(json_array_get(messages, i), "content");
        texts &= !content || json_is_string(content);
        if (text.n && json_string_length(content) > 0)
            buf_add_text(&text, "\n\n");
        if (json_is_string(content))
            buf_add(&text, json_string_value(content), json_string_length(content));
    }
    texts &= buf_ok(&text);
    for (size_t i = first; !texts && i < end; i++)
        json_array_extend(parts, chat_parts(json_array_get(messages, i)));
    json_object_set(json_array_get(messages, first), "content", parts);
    if (texts)
        json_object_set_new(json_array_get(messages, first), "content",
                            json_stringn(buf_text(&text), text.n));
    json_decref(parts);
}

static bool fold_is(const json_t *message, const char *role)
{
    const char *own = chat_text(message, "role");
    return strcmp(strcmp(own, "developer") == 0 ? "system" : own, role) == 0;
}

/* Neighbours of this role become one message: the first ones, or any. */
static void fold_neighbours(json_t *messages, const char *role, bool any)
{
    json_t *folded = json_array();
    for (size_t i = 0, end; i < json_array_size(messages); i = end) {
        end = i + 1;
        while ((any || i == 0) && fold_is(json_array_get(messages, i), role) &&
               fold_is(json_array_get(messages, end), role))
            end++;
        if (end - i > 1)
            fold_join(messages, i, end);
        json_array_append(folded, json_array_get(messages, i));
    }
    json_array_clear(messages);
    json_array_extend(messages, folded);
    json_decref(folded);
}

/* An image in a tool's answer: most templates show images of users only. */
static void request_move_images(json_t *messages)
{
    json_t *moved = NULL;
    for (size_t i = 0; i <= json_array_size(messages); i++) {
        json_t *message = json_array_get(messages, i);
        json_t *content = json_object_get(message, "content");
        if (!fold_is(message, "tool") && moved) {
            json_array_insert_new(messages, i,
                                  json_pack("{s:s, s:o}", "role", "user", "content", moved));
            moved = NULL;
        }
        if (!fold_is(message, "tool") || !json_is_array(content))
            continue;
        json_t *parts = json_incref(content), *part;
        size_t k;
        json_object_set_new(message, "content", json_string(""));
        moved = moved ? moved : json_array();
        json_array_foreach(parts, k, part)
        {
            if (strcmp(chat_text(part, "type"), "text") == 0)
                chat_add_text(message, chat_text(part, "text"));
            else
                json_array_append(moved, part);
        }
        chat_join(message, "content");
        json_decref(parts);
    }
}

void chat_request_end(struct chat_request *r, bool stream)
{
    size_t i;
    json_t *message;
    json_array_foreach(r->messages, i, message)
    {
        chat_join(message, "content");
        chat_join(message, "reasoning_content");
    }
    fold_neighbours(r->messages, "system", false);
    request_move_images(r->messages);
    if (!stream)
        return;
    json_object_set_new(r->body, "stream", json_true());
    json_object_set_new(r->body, "stream_options", json_pack("{s:b}", "include_usage", 1));
}

/* ---- other forms of it, for templates that refuse the usual one ---- */

static void fold_calls(json_t *message)
{
    json_t *call, *function;
    size_t i;
    json_array_foreach(json_object_get(message, "tool_calls"), i, call)
    {
        function = json_object_get(call, "function");
        json_object_set_new(function, "arguments",
                            chat_arguments(json_object_get(function, "arguments")));
    }
}

static void fold_messages(json_t *messages, bool no_system)
{
    json_t *message;
    size_t i;
    fold_neighbours(messages, "system", false);
    for (i = no_system ? 0 : 1; i < json_array_size(messages); i++) {
        message = json_array_get(messages, i);
        if (fold_is(message, "system")) /* it becomes part of a user's */
            json_array_set_new(messages, i,
                               json_pack("{s:s, s:O*}", "role", "user", "content",
                                         json_object_get(message, "content")));
    }
    fold_neighbours(messages, "user", true);
    json_array_foreach(messages, i, message) fold_calls(message);
}

bool chat_fold(struct buf *body, unsigned attempt)
{
    json_t *root = json_loadb(buf_text(body), body->n, 0, NULL);
    json_t *messages = json_object_get(root, "messages");
    json_t *before = json_deep_copy(messages);
    bool changed = false;
    for (; attempt < 2 && !changed && json_is_array(messages); attempt++) {
        fold_messages(messages, attempt == 1);
        changed = !json_equal(messages, before);
    }
    char *CLEAN_FREE text = changed ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(before);
    json_decref(root);
    if (!text)
        return false;
    buf_clear(body);
    buf_add_text(body, text);
    return buf_ok(body);
}
