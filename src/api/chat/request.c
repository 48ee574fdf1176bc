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

/* To a text member of an object, on a line of its own. */
static void chat_append(json_t *object, const char *name, const char *text)
{
    const char *before = chat_text(object, name);
    json_object_set_new(object, name,
                        json_sprintf("%s%s%s", before, before[0] && text[0] ? "\n" : "", text));
}

/* The content as an array of parts. */
static json_t *chat_parts(json_t *message)
{
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
    if (json_is_array(content))
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
        object = json_string_length(arguments) > 0 ? json_pack("{s:O}", "arguments", arguments)
                                                   : json_object();
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

void chat_add_tool(struct chat_request *r, const char *name, const json_t *description,
                   const json_t *parameters)
{
    chat_check_schema(parameters, false, "tools", r->error);
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

static bool choice_has(const json_t *names, const json_t *tool)
{
    const char *name = chat_text(json_object_get(tool, "function"), "name");
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)names, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), name) == 0)
            return true;
    }
    return false;
}

/* The engine knows no names: it is shown the tools that may be called, and no others. */
void chat_set_choice(struct chat_request *r, const char *mode, const json_t *allowed,
                     const char *param)
{
    json_t *tools = json_object_get(r->body, "tools");
    size_t n = json_array_size(tools);
    for (size_t i = n; allowed && i-- > 0;) {
        if (!choice_has(allowed, json_array_get(tools, i)))
            json_array_remove(tools, i);
    }
    if (allowed && json_array_size(tools) < json_array_size(allowed))
        dialect_fail_at(r->error, param, "'%s' names a tool that is not in 'tools'", param);
    else if (strcmp(mode, "required") == 0 && n == 0)
        dialect_fail_at(r->error, param, "'%s' asks for a tool, but there are no 'tools'", param);
    if (n)
        json_object_set_new(r->body, "tool_choice", json_string(mode));
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

/* Content in front of another one's, or behind it: texts stay texts. */
static void fold_join(json_t *message, const json_t *content, bool before)
{
    json_t *own = json_object_get(message, "content");
    if (!content)
        return;
    if (json_is_string(own) && json_is_string(content)) {
        const char *a = json_string_value(before ? content : own);
        const char *b = json_string_value(before ? own : content);
        json_object_set_new(message, "content",
                            json_sprintf("%s%s%s", a, a[0] && b[0] ? "\n\n" : "", b));
        return;
    }
    json_t *other = json_pack("{s:O}", "content", content);
    json_t *first = before ? other : message, *second = before ? message : other;
    json_t *parts = json_copy(chat_parts(first));
    json_array_extend(parts, chat_parts(second));
    json_object_set_new(message, "content", parts);
    json_decref(other);
}

static bool fold_is(const json_t *message, const char *role)
{
    const char *own = chat_text(message, "role");
    return strcmp(strcmp(own, "developer") == 0 ? "system" : own, role) == 0;
}

/* Neighbours of this role become one message, from the i-th message on (to the end if `all`). */
static void fold_neighbours(json_t *messages, const char *role, bool all)
{
    for (size_t i = 0; i + 1 < json_array_size(messages);) {
        json_t *message = json_array_get(messages, i), *next = json_array_get(messages, i + 1);
        bool same = fold_is(message, role) && fold_is(next, role);
        if (same) {
            fold_join(message, json_object_get(next, "content"), false);
            json_array_remove(messages, i + 1);
        } else if (!all) {
            return;
        } else {
            i++;
        }
    }
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
        json_decref(parts);
    }
}

void chat_request_end(struct chat_request *r, bool stream)
{
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

/* The i-th message, of the system, becomes part of a user's. */
static void fold_system(json_t *messages, size_t i)
{
    json_t *message = json_array_get(messages, i), *next = json_array_get(messages, i + 1);
    json_t *before = i ? json_array_get(messages, i - 1) : NULL;
    json_t *content = json_object_get(message, "content");
    if (fold_is(next, "user"))
        fold_join(next, content, true);
    else if (fold_is(before, "user"))
        fold_join(before, content, false);
    else
        json_array_insert_new(messages, i + 1,
                              json_pack("{s:s, s:O*}", "role", "user", "content", content));
    json_array_remove(messages, i);
}

static void fold_messages(json_t *messages, bool no_system)
{
    json_t *message;
    size_t i;
    fold_neighbours(messages, "system", false);
    for (i = json_array_size(messages); i-- > (no_system ? 0 : 1);) {
        if (fold_is(json_array_get(messages, i), "system"))
            fold_system(messages, i);
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
