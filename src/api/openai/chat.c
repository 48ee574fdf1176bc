/* chat.c - OpenAI's /v1/chat/completions. The engine speaks this dialect already: a body goes to it
 * as it came unless something in it has to be said in other words, and so does the answer. What the
 * engine would drop is done here, or refused. */
#include "api/openai/openai.h"

#define AUDIO "is not supported: no engine here speaks"

/* The members of a request that the API defines; the engine has more of its own. */
static const struct chat_field completion_fields[] = {
    {"audio", CHAT_FIELD_REFUSED, NULL, AUDIO},
    {"frequency_penalty", CHAT_FIELD_READ, "n", NULL},
    {"function_call", CHAT_FIELD_REFUSED, NULL, "is not supported: use 'tool_choice'"},
    {"functions", CHAT_FIELD_REFUSED, NULL, "is not supported: use 'tools'"},
    {"logit_bias", CHAT_FIELD_READ, "oa", NULL},
    {"logprobs", CHAT_FIELD_READ, "b", NULL},
    {"max_completion_tokens", CHAT_FIELD_READ, "n", NULL},
    {"max_tokens", CHAT_FIELD_READ, "n", NULL},
    {"messages", CHAT_FIELD_READ, "a", NULL},
    {"metadata", CHAT_FIELD_IGNORED, "o", NULL},
    {"modalities", CHAT_FIELD_READ, "a", NULL},
    {"moderation", CHAT_FIELD_REFUSED, NULL, "is not supported"},
    {"n", CHAT_FIELD_READ, "n", NULL},
    {"parallel_tool_calls", CHAT_FIELD_READ, "b", NULL},
    {"prediction", CHAT_FIELD_IGNORED, "o", NULL}, /* only makes OpenAI's answers faster */
    {"presence_penalty", CHAT_FIELD_READ, "n", NULL},
    {"prompt_cache_key", CHAT_FIELD_IGNORED, "s", NULL},
    {"prompt_cache_options", CHAT_FIELD_IGNORED, "o", NULL},
    {"prompt_cache_retention", CHAT_FIELD_IGNORED, "s", NULL},
    {"reasoning_effort", CHAT_FIELD_READ, "s", NULL},
    {"response_format", CHAT_FIELD_READ, "o", NULL},
    {"safety_identifier", CHAT_FIELD_IGNORED, "s", NULL},
    {"seed", CHAT_FIELD_READ, "n", NULL},
    {"service_tier", CHAT_FIELD_IGNORED, "s", NULL},
    {"stop", CHAT_FIELD_READ, "sa", NULL},
    {"store", CHAT_FIELD_IGNORED, "b", NULL},
    {"stream", CHAT_FIELD_READ, "b", NULL},
    {"stream_options", CHAT_FIELD_READ, "o", NULL},
    {"temperature", CHAT_FIELD_READ, "n", NULL},
    {"tool_choice", CHAT_FIELD_READ, "so", NULL},
    {"tools", CHAT_FIELD_READ, "a", NULL},
    {"top_logprobs", CHAT_FIELD_READ, "n", NULL},
    {"top_p", CHAT_FIELD_READ, "n", NULL},
    {"user", CHAT_FIELD_IGNORED, "s", NULL},
    {"verbosity", CHAT_FIELD_IGNORED, "s", NULL},
    {"web_search_options", CHAT_FIELD_REFUSED, NULL,
     "is not supported: gfxbridge does not search the web"},
    {0},
};

/* ---- messages ---- */

/* A part that the engine does not know in words that it does; false: there are none. */
static bool part_rewrite(json_t *part, const char *type)
{
    json_t *file = json_object_get(part, "file"), *message = json_pack("{s:s}", "content", "");
    const char *text = chat_text(part, "refusal");
    bool known = strcmp(type, "refusal") == 0;
    if (strcmp(type, "file") == 0) {
        known = chat_add_file(message, json_string_value(json_object_get(file, "filename")),
                              chat_text(file, "file_data"));
        text = chat_text(message, "content");
    }
    if (known) {
        json_t *rewritten = json_pack("{s:s, s:s}", "type", "text", "text", text);
        json_object_clear(part);
        json_object_update(part, rewritten);
        json_decref(rewritten);
    }
    json_decref(message);
    return known;
}

/* Returns whether the content of a message was changed. */
static bool message_read(struct chat_request *r, size_t at, json_t *message)
{
    json_t *part;
    size_t i;
    bool changed = false;
    if (!str_list_has(STR("system developer user assistant tool"),
                      str_from(chat_text(message, "role"))))
        dialect_fail_at(r->error, "messages", "messages[%zu]: the role '%s' is not supported", at,
                        chat_text(message, "role"));
    json_array_foreach(json_object_get(message, "content"), i, part)
    {
        const char *type = chat_text(part, "type");
        bool known = str_list_has(STR("text image_url input_audio input_video media_marker"),
                                  str_from(type));
        if (known)
            continue;
        if (chat_get(json_object_get(part, "file"), "file_id"))
            dialect_fail_at(r->error, "messages",
                            "messages[%zu].content[%zu]: 'file_id' is not supported: a file must "
                            "be in the request, as 'file_data'",
                            at, i);
        else if (!part_rewrite(part, type))
            dialect_fail_at(r->error, "messages",
                            "messages[%zu].content[%zu]: '%s' is not supported; of files only text "
                            "is, as a data: URI",
                            at, i, type);
        changed = true;
    }
    if (chat_get(message, "audio"))
        dialect_fail_at(r->error, "messages", "messages[%zu]: 'audio' " AUDIO, at);
    if (chat_get(message, "function_call"))
        dialect_fail_at(r->error, "messages",
                        "messages[%zu]: 'function_call' is not supported: use 'tool_calls'", at);
    return changed;
}

/* ---- tools, and what the answer must be ---- */

void openai_check_tools(const json_t *tools, struct dialect_error *error)
{
    size_t i;
    json_t *tool;
    json_array_foreach((json_t *)tools, i, tool)
    {
        const json_t *function = json_object_get(tool, "function");
        if (strcmp(chat_text(tool, "type"), "function") != 0)
            dialect_fail_at(error, "tools", "tools[%zu]: '%s' is not supported, only 'function'", i,
                            chat_text(tool, "type"));
        else if (!chat_text(function, "name")[0])
            dialect_fail_at(error, "tools", "tools[%zu]: the function has no 'name'", i);
        chat_check_tool(chat_text(function, "name"), chat_get(function, "parameters"), error);
    }
}

/* {"type":"function","function":{"name"}} or {"type":"allowed_tools","allowed_tools":{"mode",
 * "tools":[...]}}: the engine knows words only. */
static void completion_choice(struct chat_request *r, const json_t *choice)
{
    const char *type = chat_text(choice, "type"), *mode = "required";
    const json_t *allowed = json_object_get(choice, "allowed_tools");
    json_t *names = json_array(), *tool;
    size_t i;
    if (strcmp(type, "function") == 0)
        json_array_append_new(names,
                              json_string(chat_text(json_object_get(choice, "function"), "name")));
    else if (strcmp(type, "allowed_tools") == 0)
        mode = chat_text(allowed, "mode");
    else
        dialect_fail_at(r->error, "tool_choice", "'tool_choice' of type '%s' is not supported",
                        type);
    json_array_foreach(json_object_get(allowed, "tools"), i, tool)
    {
        json_array_append_new(names,
                              json_string(chat_text(json_object_get(tool, "function"), "name")));
    }
    if (!str_list_has(STR("auto required"), str_from(mode)))
        dialect_fail_at(r->error, "tool_choice",
                        "the mode of 'tool_choice' must be auto or required");
    chat_set_choice(r, mode, names, "tool_choice");
    json_decref(names);
}

void openai_check_schemas(const json_t *root, struct dialect_error *error)
{
    const json_t *format = chat_get(root, "response_format");
    chat_check_schema(chat_get(root, "json_schema"), true, "json_schema", error);
    chat_check_schema(chat_get(format, "schema"), true, "response_format", error);
    chat_check_schema(chat_get(chat_get(format, "json_schema"), "schema"), true, "response_format",
                      error);
}

/* What is refused by its value. */
static void completion_check(struct chat_request *r, const json_t *root)
{
    const json_t *schema = json_object_get(root, "response_format");
    const char *format = chat_text(schema, "type");
    const char *effort = chat_text(root, "reasoning_effort");
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(root, "modalities"), i, one)
    {
        if (!json_is_string(one) || strcmp(json_string_value(one), "text") != 0)
            dialect_fail_at(r->error, "modalities", "'modalities': only \"text\" is supported");
    }
    if (format[0] && !str_list_has(STR("text json_object json_schema"), str_from(format)))
        dialect_fail_at(r->error, "response_format",
                        "'response_format' must be of type text, json_object or json_schema, not "
                        "'%s'",
                        format);
    openai_check_schemas(root, r->error);
    if (strcmp(format, "json_schema") == 0 &&
        !json_is_object(json_object_get(
            json_object_get(json_object_get(root, "response_format"), "json_schema"), "schema")))
        dialect_fail_at(r->error, "response_format",
                        "'response_format.json_schema.schema' must be an object");
    if (json_array_size(json_object_get(root, "messages")) == 0)
        dialect_fail_at(r->error, "messages", "'messages' is missing or empty");
    if (effort[0] && !str_list_has(STR("none minimal low medium high xhigh max"), str_from(effort)))
        dialect_fail_at(r->error, "reasoning_effort", "'reasoning_effort' cannot be '%s'", effort);
}

void completion_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    struct chat_request *r = &call->request;
    const json_t *choice = chat_get(root, "tool_choice"), *n = chat_get(root, "n");
    json_t *logprobs = json_object_get(root, "logprobs"), *message;
    bool changed = json_is_object(choice);
    size_t i;
    chat_read_fields(r, completion_fields, root);
    completion_check(r, root);
    json_decref(r->body);
    r->body = json_incref((json_t *)root);
    r->messages = json_object_get(root, "messages");
    openai_check_tools(json_object_get(root, "tools"), r->error);
    json_array_foreach(r->messages, i, message) changed |= message_read(r, i, message);
    if (json_is_object(choice))
        completion_choice(r, choice);
    r->one_call = json_is_false(json_object_get(root, "parallel_tool_calls"));
    bool no_top =
        json_is_true(logprobs) && json_number_value(json_object_get(root, "top_logprobs")) < 1.0;
    bool several = json_number_value(n) > 1.0;
    call->as_it_came = !changed && !no_top && !several;
    if (!no_top && !several && !r->one_call)
        return;
    call->as_it_came = false;
    call->ops = &completion_writer_ops;
    call->writer = completion_writer_new(root, call->stream);
    if (no_top)
        chat_set_logprobs(r, 0);
    if (several)
        chat_set_choices(r, (unsigned)json_number_value(n));
}
