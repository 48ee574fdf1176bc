/* responses.c - OpenAI's /v1/responses: a request becomes a chat. Nothing is stored: a response
 * cannot be asked for again. */
#include "api/openai/openai.h"
#include "api/serve.h"

#include <stdio.h>

#define NOT_STORED "is not supported: gfxbridge stores no responses; send the whole input"

/* The members of a request. Those that only tell OpenAI's service something are passed over. */
static const struct chat_field responses_fields[] = {
    {"background", CHAT_FIELD_REFUSED, NULL, NOT_STORED},
    {"context_management", CHAT_FIELD_REFUSED, NULL, "is not supported"},
    {"conversation", CHAT_FIELD_REFUSED, NULL, NOT_STORED},
    {"include", CHAT_FIELD_READ, "a", NULL},
    {"input", CHAT_FIELD_READ, "sa", NULL},
    {"instructions", CHAT_FIELD_READ, "s", NULL},
    {"max_output_tokens", CHAT_FIELD_COPIED, "n", "max_tokens"},
    {"max_tool_calls", CHAT_FIELD_IGNORED, "n", NULL}, /* of OpenAI's own tools */
    {"metadata", CHAT_FIELD_READ, "o", NULL},
    {"model", CHAT_FIELD_READ, "s", NULL},
    {"moderation", CHAT_FIELD_REFUSED, NULL, "is not supported"},
    {"parallel_tool_calls", CHAT_FIELD_READ, "b", NULL},
    {"previous_response_id", CHAT_FIELD_REFUSED, NULL, NOT_STORED},
    {"prompt", CHAT_FIELD_REFUSED, NULL, "is not supported: gfxbridge stores no prompt templates"},
    {"prompt_cache_key", CHAT_FIELD_IGNORED, "s", NULL},
    {"prompt_cache_options", CHAT_FIELD_IGNORED, "o", NULL},
    {"prompt_cache_retention", CHAT_FIELD_IGNORED, "s", NULL},
    {"reasoning", CHAT_FIELD_READ, "o", NULL},
    {"safety_identifier", CHAT_FIELD_IGNORED, "s", NULL},
    {"service_tier", CHAT_FIELD_IGNORED, "s", NULL},
    {"store", CHAT_FIELD_IGNORED, "b", NULL},
    {"stream", CHAT_FIELD_READ, "b", NULL},
    {"stream_options", CHAT_FIELD_IGNORED, "o", NULL}, /* include_obfuscation */
    {"temperature", CHAT_FIELD_COPIED, "n", NULL},
    {"text", CHAT_FIELD_READ, "o", NULL},
    {"tool_choice", CHAT_FIELD_READ, "so", NULL},
    {"tools", CHAT_FIELD_READ, "a", NULL},
    {"top_logprobs", CHAT_FIELD_READ, "n", NULL},
    {"top_p", CHAT_FIELD_COPIED, "n", NULL},
    {"truncation", CHAT_FIELD_READ, "s", NULL},
    {"user", CHAT_FIELD_IGNORED, "s", NULL},
    /* the engine's own */
    {"seed", CHAT_FIELD_COPIED, "n", NULL},
    {"top_k", CHAT_FIELD_COPIED, "n", NULL},
    {"min_p", CHAT_FIELD_COPIED, "n", NULL},
    {"presence_penalty", CHAT_FIELD_COPIED, "n", NULL},
    {"frequency_penalty", CHAT_FIELD_COPIED, "n", NULL},
    {"repeat_penalty", CHAT_FIELD_COPIED, "n", NULL},
    {"chat_template_kwargs", CHAT_FIELD_COPIED, "o", NULL},
    {0},
};

/* One of these words; NULL: none, with the error filled. */
static const char *responses_word(struct chat_request *r, const char *param, struct str words,
                                  const char *word)
{
    if (str_list_has(words, str_from(word)))
        return word;
    dialect_fail_at(r->error, param, "'%s' must be one of: %.*s; not '%s'", param, STR_ARG(words),
                    word);
    return NULL;
}

/* ---- content ---- */

/* Where in the input something is, for errors. */
struct input_place {
    struct chat_request *r;
    size_t item, part;
};

static void input_refuse(const struct input_place *at, const char *what, const char *why)
{
    dialect_fail_at(at->r->error, "input", "input[%zu].content[%zu]: '%s' %s", at->item, at->part,
                    what, why);
}

static void input_image(const struct input_place *at, json_t *message, json_t *part)
{
    if (chat_get(part, "file_id"))
        input_refuse(at, "file_id", "is not supported: gfxbridge stores no files");
    else
        chat_add_image(at->r, message, json_object_get(part, "image_url"), "input");
}

static void input_file(const struct input_place *at, json_t *message, json_t *part)
{
    const char *name = json_string_value(json_object_get(part, "filename"));
    if (chat_get(part, "file_id") || chat_get(part, "file_url"))
        input_refuse(at, chat_get(part, "file_id") ? "file_id" : "file_url",
                     "is not supported: a file must be in the request, as 'file_data'");
    else if (!chat_add_file(message, name, chat_text(part, "file_data")))
        input_refuse(at, "input_file",
                     "is not a text file as a data: URI; other files (PDF ...) are not supported");
}

static void input_audio(const struct input_place *at, json_t *message, json_t *part)
{
    chat_add_part(message, part); /* as OpenAI's chat has it */
}

static void input_text(const struct input_place *at, json_t *message, json_t *part)
{
    if (json_is_string(json_object_get(part, "text")))
        chat_add_text(message, chat_text(part, "text"));
    else
        input_refuse(at, "text", "must be a string");
}

static void input_refusal(const struct input_place *at, json_t *message, json_t *part)
{
    chat_add_text(message, chat_text(part, "refusal"));
}

static const struct {
    const char *type;
    void (*add)(const struct input_place *at, json_t *message, json_t *part);
} input_parts[] = {
    {"input_text", input_text},   {"output_text", input_text}, {"text", input_text},
    {"input_image", input_image}, {"input_file", input_file},  {"input_audio", input_audio},
    {"refusal", input_refusal},
};

/* A text, or an array of parts. */
static void input_content(struct input_place at, json_t *message, const json_t *content)
{
    json_t *part;
    if (json_is_string(content)) {
        chat_add_text(message, json_string_value(content));
        return;
    }
    if (!json_is_array(content))
        dialect_fail_at(at.r->error, "input",
                        "input[%zu]: the content must be a string or an array of parts", at.item);
    json_array_foreach((json_t *)content, at.part, part)
    {
        const char *type = chat_text(part, "type");
        size_t i = 0, n = sizeof(input_parts) / sizeof(input_parts[0]);
        while (i < n && strcmp(input_parts[i].type, type) != 0)
            i++;
        if (i < n)
            input_parts[i].add(&at, message, part);
        else
            input_refuse(&at, type, "is no type of content that is supported");
    }
}

/* ---- items ---- */

static void input_message(const struct input_place *at, json_t *item)
{
    const char *role = chat_text(item, "role");
    if (strcmp(role, "developer") == 0)
        role = "system";
    if (!str_list_has(STR("user assistant system"), str_from(role)))
        dialect_fail_at(at->r->error, "input", "input[%zu]: '%s' is no role", at->item, role);
    else
        input_content(*at, chat_add_message(at->r, role), json_object_get(item, "content"));
}

/* A text member that an item must have. */
static const char *input_need(const struct input_place *at, json_t *item, const char *name)
{
    const char *text = chat_text(item, name);
    if (!text[0])
        dialect_fail_at(at->r->error, "input", "input[%zu]: '%s' is missing", at->item, name);
    return text;
}

static void input_call(const struct input_place *at, json_t *item)
{
    const char *space = chat_text(item, "namespace");
    json_t *name = json_sprintf("%s%s%s", space, space[0] ? RESPONSES_SPACE : "",
                                input_need(at, item, "name"));
    chat_add_call(chat_add_message(at->r, "assistant"), input_need(at, item, "call_id"),
                  json_string_value(name), json_object_get(item, "arguments"));
    json_decref(name);
}

static void input_result(const struct input_place *at, json_t *item)
{
    json_t *message = chat_add_result(at->r, input_need(at, item, "call_id"), NULL);
    input_content(*at, message, json_object_get(item, "output"));
}

/* Its thoughts stand in the content, or come back in encrypted_content, or are a summary. */
static void input_reasoning(const struct input_place *at, json_t *item)
{
    static const char *const members[] = {"content", "summary"};
    json_t *message = chat_add_message(at->r, "assistant"), *part;
    struct str sealed = str_from(chat_text(item, "encrypted_content"));
    size_t k, found = 0;
    for (size_t i = 0; i < 2 && !found; i++) {
        json_array_foreach(json_object_get(item, members[i]), k, part)
        {
            chat_add_thinking(message, chat_text(part, "text"));
            found++;
        }
        if (!found && str_strip(&sealed, STR(RESPONSES_THOUGHTS))) {
            chat_add_thinking(message, sealed.p);
            found++;
        }
    }
}

static const struct {
    const char *type;
    void (*add)(const struct input_place *at, json_t *item);
} input_items[] = {
    {"message", input_message},
    {"function_call", input_call},
    {"function_call_output", input_result},
    {"reasoning", input_reasoning},
};

static void responses_input(struct chat_request *r, const json_t *input)
{
    struct input_place at = {.r = r};
    json_t *item;
    if (json_is_string(input))
        chat_add_text(chat_add_message(r, "user"), json_string_value(input));
    else if (json_array_size(input) == 0)
        dialect_fail_at(r->error, "input", "'input' is missing or empty");
    json_array_foreach((json_t *)input, at.item, item)
    {
        const char *type = chat_get(item, "type")   ? chat_text(item, "type")
                           : chat_get(item, "role") ? "message"
                                                    : "item_reference";
        size_t i = 0, n = sizeof(input_items) / sizeof(input_items[0]);
        while (i < n && strcmp(input_items[i].type, type) != 0)
            i++;
        if (i < n)
            input_items[i].add(&at, item);
        else
            dialect_fail_at(r->error, "input", "input[%zu]: items of type '%s' are not supported",
                            at.item, type);
    }
}

/* ---- tools ---- */

/* The functions among the tools, which are taken out of *rest; in a namespace (NULL none) a
 * function is called "SPACE__NAME". */
static void responses_functions(struct chat_request *r, const char *space, const json_t *tools,
                                json_t *rest)
{
    size_t i;
    json_t *tool;
    json_array_foreach((json_t *)tools, i, tool)
    {
        const char *type = chat_text(tool, "type"), *name = chat_text(tool, "name");
        if (strcmp(type, "namespace") == 0 && !space) {
            responses_functions(r, name, json_object_get(tool, "tools"), rest);
        } else if (strcmp(type, "function") != 0) {
            json_array_append(rest, tool);
        } else if (!name[0]) {
            dialect_fail_at(r->error, "tools", "tools[%zu]: 'name' is missing", i);
        } else {
            json_t *whole =
                json_sprintf("%s%s%s", space ? space : "", space ? RESPONSES_SPACE : "", name);
            chat_add_tool(r, json_string_value(whole), chat_get(tool, "description"),
                          chat_get(tool, "parameters"));
            json_decref(whole);
        }
    }
}

/* Agents offer OpenAI's web search beside their functions in every request, and do not need it: it
 * is left out, also of what the answer repeats. Without a function it is what the request is about.
 */
static void responses_tools(struct chat_request *r, json_t *tools)
{
    json_t *rest = json_array(), *kept = json_array(), *other;
    size_t i;
    responses_functions(r, NULL, tools, rest);
    json_array_foreach(tools, i, other)
    {
        if (str_list_has(STR("function namespace"), str_from(chat_text(other, "type"))))
            json_array_append(kept, other);
    }
    json_array_clear(tools);
    json_array_extend(tools, kept);
    json_decref(kept);
    json_array_foreach(rest, i, other)
    {
        const char *type = chat_text(other, "type"), *name = chat_text(other, "name");
        bool offered = str_starts(str_from(type), STR("web_search"));
        if (!offered || !json_object_get(r->body, "tools"))
            dialect_fail_at(r->error, "tools",
                            "'%s'%s%s%s is not supported: gfxbridge has only functions, and no "
                            "tools of its own; turn this one off in the client",
                            type, name[0] ? " (the tool " : "", name, name[0] ? ")" : "");
    }
    json_decref(rest);
}

/* "auto", {"type":"function","name"}, {"type":"allowed_tools","mode","tools":[...]}. */
static void responses_choice(struct chat_request *r, const json_t *choice)
{
    const char *type =
        json_is_string(choice) ? json_string_value(choice) : chat_text(choice, "type");
    json_t *names = NULL, *tool;
    size_t i;
    if (strcmp(type, "function") == 0) {
        names = json_pack("[s]", chat_text(choice, "name"));
        type = "required";
    } else if (strcmp(type, "allowed_tools") == 0) {
        names = json_array();
        json_array_foreach(json_object_get(choice, "tools"), i, tool)
        {
            json_array_append_new(names, json_string(chat_text(tool, "name")));
        }
        type = chat_text(choice, "mode");
    }
    type = responses_word(r, "tool_choice", STR("auto none required"), type);
    if (type)
        chat_set_choice(r, type, names, "tool_choice");
    json_decref(names);
}

/* ---- the rest ---- */

static void responses_format(struct chat_request *r, const json_t *text)
{
    json_t *format = chat_get(text, "format"), *schema = chat_get(format, "schema");
    const char *type = responses_word(r, "text.format", STR("text json_object json_schema"),
                                      format ? chat_text(format, "type") : "text");
    if (!type || strcmp(type, "text") == 0)
        return;
    if (strcmp(type, "json_schema") == 0 && !json_is_object(schema))
        dialect_fail_at(r->error, "text.format", "'text.format.schema' must be an object");
    chat_set_schema(r, strcmp(type, "json_schema") == 0 ? schema : NULL, "text.format");
}

static void responses_reasoning(struct chat_request *r, const json_t *reasoning)
{
    const char *effort = chat_text(reasoning, "effort");
    if (effort[0] && responses_word(r, "reasoning.effort",
                                    STR("none minimal low medium high xhigh max"), effort))
        chat_set_thinking(r, strcmp(effort, "none") != 0, effort);
}

/* False: no thoughts in encrypted_content. */
static bool responses_include(struct chat_request *r, const json_t *root)
{
    json_t *top = chat_get(root, "top_logprobs"), *one;
    bool encrypted = false, logprobs = top != NULL;
    size_t i;
    json_array_foreach(json_object_get(root, "include"), i, one)
    {
        const char *word = json_is_string(one) ? json_string_value(one) : "";
        responses_word(r, "include",
                       STR("reasoning.encrypted_content message.output_text.logprobs "
                           "message.input_image.image_url web_search_call.results "
                           "web_search_call.action.sources file_search_call.results "
                           "code_interpreter_call.outputs "
                           "computer_call_output.output.image_url"),
                       word);
        encrypted |= strcmp(word, "reasoning.encrypted_content") == 0;
        logprobs |= strcmp(word, "message.output_text.logprobs") == 0;
    }
    if (logprobs)
        chat_set_logprobs(r, (unsigned)json_number_value(top));
    return encrypted;
}

/* What the answer repeats. */
static json_t *responses_shape(const json_t *root)
{
    static const struct {
        const char *name, *otherwise;
    } members[] = {
        {"model", NULL},
        {"background", "false"},
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"max_tool_calls", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"previous_response_id", "null"},
        {"prompt_cache_key", NULL},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"safety_identifier", NULL},
        {"temperature", "null"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_logprobs", "0"},
        {"top_p", "null"},
        {"truncation", "\"disabled\""},
        {"user", NULL},
    };
    json_t *shape = json_pack("{s:b, s:s}", "store", 0, "service_tier", "default"), *tool;
    size_t k;
    json_array_foreach(json_object_get(root, "tools"), k, tool)
    {
        json_object_update_missing_new(tool, json_pack("{s:n, s:n}", "parameters", "strict"));
    }
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *given = chat_get(root, members[i].name);
        if (given)
            json_object_set(shape, members[i].name, given);
        else if (members[i].otherwise)
            json_object_set_new(shape, members[i].name,
                                json_loads(members[i].otherwise, JSON_DECODE_ANY, NULL));
    }
    return shape;
}

void responses_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    struct chat_request *r = &call->request;
    json_t *choice = chat_get(root, "tool_choice"),
           *parallel = chat_get(root, "parallel_tool_calls");
    chat_read_fields(r, responses_fields, root);
    if (r->error->status)
        return;
    if (chat_get(root, "instructions"))
        chat_add_text(chat_add_message(r, "system"), chat_text(root, "instructions"));
    responses_input(r, json_object_get(root, "input"));
    responses_tools(r, json_object_get(root, "tools"));
    if (choice)
        responses_choice(r, choice);
    responses_format(r, json_object_get(root, "text"));
    responses_reasoning(r, json_object_get(root, "reasoning"));
    if (chat_get(root, "truncation"))
        responses_word(r, "truncation", STR("auto disabled"), chat_text(root, "truncation"));
    r->one_call = json_is_false(parallel);
    bool encrypted = responses_include(r, root);
    call->ops = &responses_writer_ops;
    call->writer = responses_writer_new(responses_shape(root), call->stream, encrypted);
}

/* ---- routes ---- */

static void responses_ask(struct http_exchange *x)
{
    chat_serve(x, responses_read);
}

static void responses_not_stored(struct http_exchange *x)
{
    http_fail(x, 404, NULL, NULL, "gfxbridge stores no responses: '%.*s' is not found",
              STR_ARG(http_request(x)->rest));
}

static void responses_not_offered(struct http_exchange *x)
{
    http_fail(x, 501, NULL, NULL, "gfxbridge does not support /v1/responses/%.*s",
              STR_ARG(http_request(x)->rest));
}

const struct http_route responses_routes[] = {
    {HTTP_POST, "/v1/responses", responses_ask, 0, 0},
    {HTTP_POST, "/v1/responses/*", responses_not_offered, HTTP_ANY_BODY, 0},
    {HTTP_GET, "/v1/responses/*", responses_not_stored, 0, 0},
    {HTTP_DELETE, "/v1/responses/*", responses_not_stored, 0, 0},
    {0},
};
