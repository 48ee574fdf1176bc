/* request.c - Anthropic's messages become the chat that the engine is asked. */
#include "api/anthropic/anthropic.h"

#include <stdarg.h>
#include <stdio.h>

/* A part of a request on its way: errors say where it stands. */
struct place {
    struct chat_request *r;
    char path[120];     /* "messages.3.content.1" */
    unsigned where;     /* enum block_where */
    json_t *message;    /* what texts and images are added to; NULL: a user's, made when needed */
    const json_t *turn; /* the assistant's message before: the calls that results belong to */
};

enum block_where {
    IN_SYSTEM = 1,
    IN_USER = 2,
    IN_ASSISTANT = 4,
    IN_RESULT = 8,    /* of a tool */
    IN_DOCUMENT = 16, /* of source "content", and search results */
    ANYWHERE = 31,
};

static void place_fail(const struct place *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void place_fail(const struct place *p, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dialect_fail(p->r->error, 400, "%s: %s", p->path, text);
}

static struct place place_in(const struct place *p, const char *name, size_t i)
{
    struct place inner = *p;
    char *CLEAN_FREE path = xasprintf("%s%s%s.%zu", p->path, p->path[0] ? "." : "", name, i);
    dialect_copy(inner.path, sizeof(inner.path), path);
    return inner;
}

static json_t *place_message(struct place *p)
{
    if (!p->message)
        p->message = chat_add_message(p->r, "user");
    return p->message;
}

/* A text that must be there. */
static const char *place_text(const struct place *p, const json_t *object, const char *name)
{
    if (!json_is_string(chat_get(object, name)))
        place_fail(p, "'%s' must be a string", name);
    return chat_text(object, name);
}

/* ---- blocks of content ---- */

static void blocks_take(struct place *p, const json_t *content);

static void block_text(struct place *p, const json_t *block)
{
    chat_add_text(place_message(p), place_text(p, block, "text"));
}

/* Adds the image of a source; false: the source is none that can be read here. */
static void block_image(struct place *p, const json_t *block)
{
    const json_t *source = chat_get(block, "source");
    const char *type = chat_text(source, "type");
    const char *resize = chat_text(chat_get(block, "transformations"), "oversized_image");
    if (strcmp(type, "base64") != 0)
        place_fail(p,
                   "an image of source '%.40s' is not supported: send it as base64; nothing is "
                   "fetched for a request, and no files are stored",
                   type);
    if (strcmp(resize, "error") == 0)
        place_fail(p, "'transformations.oversized_image' can only be \"downsize\"");
    json_t *url = json_sprintf("data:%s;base64,%s", place_text(p, source, "media_type"),
                               place_text(p, source, "data"));
    if (!url)
        dialect_fail_memory(p->r->error);
    else if (!p->r->error->status)
        chat_add_image(p->r, place_message(p), url, "messages");
    json_decref(url);
}

/* A line of a title before a text that is not the user's own. */
static void block_title(struct place *p, const char *what, const char *title, const char *more)
{
    const char *between = title[0] && more[0] ? " - " : "";
    char *CLEAN_FREE line =
        xasprintf("%s%s%s%s%s:", what, title[0] || more[0] ? ": " : "", title, between, more);
    chat_add_text(place_message(p), line);
}

static void block_no_citations(struct place *p, const json_t *block)
{
    if (json_is_true(json_object_get(chat_get(block, "citations"), "enabled")))
        place_fail(p, "'citations' are not supported");
}

static void block_document(struct place *p, const json_t *block)
{
    const json_t *source = chat_get(block, "source");
    const char *type = chat_text(source, "type");
    block_no_citations(p, block);
    block_title(p, "Document", chat_text(block, "title"), chat_text(block, "context"));
    if (strcmp(type, "text") == 0) {
        chat_add_text(place_message(p), place_text(p, source, "data"));
    } else if (strcmp(type, "content") == 0) {
        p->where = IN_DOCUMENT;
        blocks_take(p, chat_get(source, "content"));
    } else {
        const char *media = chat_text(source, "media_type");
        place_fail(p,
                   "a document of source '%.40s'%s%.60s is not supported: send its text, as a "
                   "source of type 'text' or 'content'",
                   type, media[0] ? " and media_type " : "", media);
    }
}

static void block_search_result(struct place *p, const json_t *block)
{
    block_no_citations(p, block);
    block_title(p, "Search result", chat_text(block, "title"), chat_text(block, "source"));
    p->where = IN_DOCUMENT;
    blocks_take(p, chat_get(block, "content"));
}

static void block_tool_use(struct place *p, const json_t *block)
{
    const char *id = place_text(p, block, "id"), *name = place_text(p, block, "name");
    if (chat_get(block, "toolset_name"))
        place_fail(p, "'toolset_name' is not supported");
    chat_add_call(place_message(p), id, name, chat_get(block, "input"));
}

/* The name of the tool that was called; NULL: there was no such call. */
static const char *block_tool_name(const struct place *p, const char *id)
{
    size_t i;
    json_t *call;
    json_array_foreach(json_object_get(p->turn, "tool_calls"), i, call)
    {
        if (strcmp(chat_text(call, "id"), id) == 0)
            return chat_text(chat_get(call, "function"), "name");
    }
    return NULL;
}

static void block_tool_result(struct place *p, const json_t *block)
{
    const char *id = place_text(p, block, "tool_use_id");
    struct place inner = *p;
    if (chat_get(block, "toolset_name"))
        place_fail(p, "'toolset_name' is not supported");
    inner.where = IN_RESULT;
    inner.message = chat_add_result(p->r, id, block_tool_name(p, id));
    if (json_is_true(json_object_get(block, "is_error")))
        chat_add_text(inner.message, "Error:");
    if (chat_get(block, "content"))
        blocks_take(&inner, chat_get(block, "content"));
    p->message = NULL; /* what follows is a message behind it */
}

static void block_thinking(struct place *p, const json_t *block)
{
    chat_add_thinking(place_message(p), place_text(p, block, "thinking"));
}

/* Thoughts that only Anthropic can read. */
static void block_nothing(struct place *p, const json_t *block)
{
    (void)p;
    (void)block;
}

static const struct block_row {
    const char *type;
    unsigned where;
    void (*read)(struct place *p, const json_t *block);
} block_rows[] = {
    {"text", ANYWHERE, block_text},
    {"image", IN_USER | IN_RESULT | IN_DOCUMENT, block_image},
    {"document", IN_USER | IN_RESULT, block_document},
    {"search_result", IN_USER | IN_RESULT, block_search_result},
    {"tool_result", IN_USER, block_tool_result},
    {"tool_use", IN_ASSISTANT, block_tool_use},
    {"thinking", IN_ASSISTANT, block_thinking},
    {"redacted_thinking", IN_ASSISTANT, block_nothing},
    {NULL, 0, NULL},
};

/* What has no row is refused by its name. */
static void block_take(struct place *p, const json_t *block)
{
    const char *type = chat_text(block, "type");
    const struct block_row *row = block_rows;
    while (row->type && (strcmp(row->type, type) != 0 || !(row->where & p->where)))
        row++;
    if (row->type)
        row->read(p, block);
    else
        place_fail(p, "a block of type '%.60s' is not supported here", type);
}

/* A text, or an array of blocks. */
static void blocks_take(struct place *p, const json_t *content)
{
    size_t i;
    json_t *block;
    if (json_is_string(content))
        chat_add_text(place_message(p), json_string_value(content));
    else if (!json_is_array(content))
        place_fail(p, "'content' must be a string or an array of blocks");
    json_array_foreach((json_t *)content, i, block)
    {
        struct place inner = place_in(p, "content", i);
        block_take(&inner, block);
        if (p->r->error->status)
            return;
        p->message = inner.message;
    }
}

/* ---- messages ---- */

static void read_messages(struct chat_request *r, const json_t *root)
{
    static const struct {
        const char *role;
        enum block_where where;
    } roles[] = {{"user", IN_USER}, {"assistant", IN_ASSISTANT}, {"system", IN_SYSTEM}};
    struct place top = {.r = r};
    size_t i, k = 0;
    json_t *message;
    json_array_foreach(chat_get(root, "messages"), i, message)
    {
        struct place p = place_in(&top, "messages", i);
        for (k = 0; k < 3 && strcmp(roles[k].role, chat_text(message, "role")) != 0;)
            k++;
        if (k == 3) {
            place_fail(&p, "'role' must be \"user\", \"assistant\" or \"system\"");
            return;
        }
        p.where = roles[k].where;
        p.message = p.where == IN_USER ? NULL : chat_add_message(r, roles[k].role);
        if (p.where == IN_ASSISTANT)
            top.turn = p.message;
        blocks_take(&p, chat_get(message, "content"));
    }
    if (i == 0)
        dialect_fail_at(r->error, "messages", "messages: at least one message is required");
}

static void read_system(struct chat_request *r, const json_t *root)
{
    struct place p = {.r = r, .path = "system", .where = IN_SYSTEM};
    const json_t *system = chat_get(root, "system");
    if (!system)
        return;
    p.message = chat_add_message(r, "system");
    blocks_take(&p, system);
}

/* ---- tools ---- */

/* Its examples are shown to the model at the end of its description; NULL: it has neither. */
static json_t *tool_description(const json_t *tool)
{
    json_t *description = chat_get(tool, "description");
    const json_t *examples = chat_get(tool, "input_examples");
    if (json_array_size(examples) == 0)
        return json_incref(description);
    char *CLEAN_FREE text = json_dumps(examples, JSON_COMPACT);
    return json_sprintf("%s\nExamples of its input: %s", chat_text(tool, "description"),
                        text ? text : "");
}

static bool tool_has_caller(const json_t *callers)
{
    size_t i;
    json_t *caller;
    json_array_foreach((json_t *)callers, i, caller)
    {
        if (json_is_string(caller) && strcmp(json_string_value(caller), "direct") == 0)
            return true;
    }
    return !callers;
}

static void read_tool(struct chat_request *r, const json_t *tool, size_t i)
{
    struct place p = place_in(&(struct place){.r = r}, "tools", i);
    const char *type = chat_text(tool, "type");
    if (type[0] && strcmp(type, "custom") != 0) {
        place_fail(&p,
                   "a tool of type '%.60s' is not supported: only tools with an 'input_schema', "
                   "which the client runs itself, are",
                   type);
        return;
    }
    const char *name = place_text(&p, tool, "name");
    if (!json_is_object(chat_get(tool, "input_schema")))
        place_fail(&p, "'input_schema' must be an object");
    if (!tool_has_caller(chat_get(tool, "allowed_callers")))
        place_fail(&p, "'allowed_callers' must contain \"direct\"");
    json_t *description = tool_description(tool);
    chat_add_tool(r, name, description, chat_get(tool, "input_schema"));
    json_decref(description);
}

static void read_tools(struct chat_request *r, const json_t *root)
{
    static const struct {
        const char *type, *mode;
    } modes[] = {{"auto", "auto"}, {"any", "required"}, {"tool", "required"}, {"none", "none"}};
    const json_t *choice = chat_get(root, "tool_choice");
    const char *type = chat_text(choice, "type");
    size_t i, k = 0;
    json_t *tool;
    json_array_foreach(chat_get(root, "tools"), i, tool) read_tool(r, tool, i);
    if (!choice || r->error->status)
        return;
    while (k < 4 && strcmp(modes[k].type, type) != 0)
        k++;
    if (k == 4) {
        dialect_fail_at(r->error, "tool_choice", "tool_choice: 'type' '%.60s' is not known", type);
        return;
    }
    json_t *allowed =
        strcmp(type, "tool") == 0 ? json_pack("[s]", chat_text(choice, "name")) : NULL;
    chat_set_choice(r, modes[k].mode, allowed, "tool_choice");
    json_decref(allowed);
    r->one_call = json_is_true(json_object_get(choice, "disable_parallel_tool_use"));
}

/* ---- how the answer must be ---- */

static const struct chat_field output_fields[] = {
    {"effort", CHAT_FIELD_READ, "s", NULL},
    {"format", CHAT_FIELD_READ, "o", NULL},
    {"task_budget", CHAT_FIELD_REFUSED, NULL, "is not supported in output_config"},
    {0},
};

static void read_format(struct chat_request *r, const json_t *root)
{
    const json_t *format = chat_get(chat_get(root, "output_config"), "format");
    if (!format)
        format = chat_get(root, "output_format"); /* its older name */
    const json_t *schema = chat_get(format, "schema");
    chat_read_fields(r, output_fields, chat_get(root, "output_config"));
    if (!format)
        return;
    if (strcmp(chat_text(format, "type"), "json_schema") != 0 || !json_is_object(schema))
        dialect_fail_at(r->error, "format",
                        "output_config.format must have the type \"json_schema\" and a 'schema' "
                        "that is an object");
    else
        chat_set_schema(r, schema, "output_config.format");
}

static const struct chat_field thinking_fields[] = {
    {"budget_tokens", CHAT_FIELD_COPIED, "n", "thinking_budget_tokens"},
    {"display", CHAT_FIELD_READ, "s", NULL},
    {0},
};

static void read_thinking(struct chat_request *r, const json_t *root, struct anthropic_about *about)
{
    const json_t *thinking = chat_get(root, "thinking");
    const char *type = chat_text(thinking, "type");
    const char *effort = chat_text(chat_get(root, "output_config"), "effort");
    bool on = strcmp(type, "enabled") == 0 || strcmp(type, "adaptive") == 0;
    if (!thinking) {
        if (effort[0])
            json_object_set_new(r->body, "chat_template_kwargs",
                                json_pack("{s:s}", "reasoning_effort", effort));
        return;
    }
    if (!on && strcmp(type, "disabled") != 0)
        dialect_fail_at(r->error, "thinking",
                        "thinking: 'type' must be \"enabled\", \"adaptive\" or \"disabled\", not "
                        "'%.60s'",
                        type);
    if (strcmp(type, "enabled") == 0 && !chat_get(thinking, "budget_tokens"))
        dialect_fail_at(r->error, "thinking", "thinking: 'budget_tokens' is required");
    if (strcmp(type, "enabled") == 0)
        chat_read_fields(r, thinking_fields, thinking);
    about->omit_thinking = strcmp(chat_text(thinking, "display"), "omitted") == 0;
    chat_set_thinking(r, on, effort[0] ? effort : NULL);
}

/* ---- the whole ---- */

static const struct chat_field fields[] = {
    {"model", CHAT_FIELD_READ, "s", NULL},
    {"messages", CHAT_FIELD_READ, "a", NULL},
    {"system", CHAT_FIELD_READ, "sa", NULL},
    {"stream", CHAT_FIELD_READ, "b", NULL},
    {"max_tokens", CHAT_FIELD_COPIED, "n", NULL},
    {"stop_sequences", CHAT_FIELD_COPIED, "a", "stop"},
    {"temperature", CHAT_FIELD_COPIED, "n", NULL},
    {"top_k", CHAT_FIELD_COPIED, "n", NULL},
    {"top_p", CHAT_FIELD_COPIED, "n", NULL},
    {"thinking", CHAT_FIELD_READ, "o", NULL},
    {"tools", CHAT_FIELD_READ, "a", NULL},
    {"tool_choice", CHAT_FIELD_READ, "o", NULL},
    {"output_config", CHAT_FIELD_READ, "o", NULL},
    {"output_format", CHAT_FIELD_READ, "o", NULL},
    {"context_management", CHAT_FIELD_READ, "o", NULL}, /* the answer says that nothing was cut */
    {"cache_control", CHAT_FIELD_IGNORED, "o", NULL},   /* the engine caches by itself */
    {"metadata", CHAT_FIELD_IGNORED, "o", NULL},
    {"service_tier", CHAT_FIELD_IGNORED, "s", NULL},
    {"speed", CHAT_FIELD_IGNORED, "s", NULL},
    {"inference_geo", CHAT_FIELD_IGNORED, "s", NULL},
    {"diagnostics", CHAT_FIELD_IGNORED, "o", NULL},
    {"billing_policy", CHAT_FIELD_IGNORED, NULL, NULL},
    {"fallback_credit_token", CHAT_FIELD_IGNORED, NULL, NULL},
    {"fallbacks", CHAT_FIELD_REFUSED, NULL, "are not supported: one model answers"},
    {"compaction", CHAT_FIELD_REFUSED, NULL, "is not supported"},
    {"thread", CHAT_FIELD_REFUSED, NULL, "is not supported: no messages are stored"},
    {"container", CHAT_FIELD_REFUSED, NULL, "is not supported: no code is run here"},
    {"mcp_servers", CHAT_FIELD_REFUSED, NULL,
     "are not supported: the client must call MCP servers itself"},
    {0},
};

static void read_any(const json_t *root, struct chat_call *call, struct anthropic_about *about)
{
    struct chat_request *r = &call->request;
    chat_read_fields(r, fields, root);
    if (r->error->status)
        return;
    read_system(r, root);
    read_messages(r, root);
    read_tools(r, root);
    read_format(r, root);
    read_thinking(r, root, about);
}

void anthropic_read_count(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    struct anthropic_about about = {.max_tokens = 0};
    (void)body;
    read_any(root, call, &about);
    call->call = ENGINE_CALL_COUNT_TOKENS;
}

void anthropic_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    struct anthropic_about about = {.edits = chat_get(root, "context_management") != NULL};
    double most = json_number_value(chat_get(root, "max_tokens"));
    read_any(root, call, &about);
    if (!chat_get(root, "max_tokens") || most < 0.0)
        dialect_fail_at(&body->error, "max_tokens",
                        "max_tokens: a number, at least 0, is required");
    if (body->error.status)
        return;
    memcpy(about.model, call->model, sizeof(about.model));
    about.stream = call->stream;
    about.max_tokens = (uint64_t)most;
    /* The first event tells the length of the prompt, and the last one the word that ended it. */
    json_object_set_new(call->request.body, "timings_per_token", json_true());
    if (chat_get(root, "stop_sequences"))
        json_object_set_new(call->request.body, "verbose", json_true());
    call->ops = &anthropic_writer_ops;
    call->writer = anthropic_writer_new(&about);
}
