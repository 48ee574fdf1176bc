/* messages.c - Ollama's messages become OpenAI's: images, calls of tools and their answers. */
#include "api/ollama/ollama.h"

#include <stdio.h>

enum { MESSAGES_OPEN_MAX = 64 }; /* calls of tools without an answer yet */

/* ---- images ---- */

/* The media type of an image, by the first bytes of its base64 text. */
static const char *image_type(struct str text)
{
    static const struct {
        struct str begins;
        const char *type;
    } types[] = {
        {{"iVBORw0KGgo", 11}, "image/png"}, {{"/9j/", 4}, "image/jpeg"},
        {{"R0lGOD", 6}, "image/gif"},       {{"UklGR", 5}, "image/webp"},
        {{"Qk", 2}, "image/bmp"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (str_starts(text, types[i].begins))
            return types[i].type;
    }
    return NULL;
}

/* text ends with a NUL. */
static bool image_is_base64(struct str text)
{
    text = str_trim_end(text, '=');
    return text.n && strspn(text.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789+/") == text.n;
}

/* Returns null for a value that is not an image. */
static json_t *image_part(const json_t *image, struct dialect_error *error)
{
    struct str text = {json_string_value(image), json_string_length(image)};
    const char *type = NULL;
    struct str prefix;
    /* Some clients send the whole data: URI where Ollama wants its end. */
    if (str_starts(text, STR("data:image/")))
        str_cut(&text, ',', &prefix);
    if (text.p && image_is_base64(text))
        type = image_type(text);
    if (!type) {
        dialect_fail_at(error, "images",
                        "an image must be the base64 text of a PNG, JPEG, GIF, WebP or BMP file");
        return json_null();
    }
    struct buf CLEAN_BUF uri = BUF_INIT(SIZE_MAX / 2);
    buf_addf(&uri, "data:%s;base64,", type);
    buf_add_str(&uri, text);
    json_t *url = buf_ok(&uri) ? json_stringn(uri.p, uri.n) : NULL;
    if (!url) {
        dialect_fail_memory(error);
        return json_null();
    }
    return json_pack("{s:s, s:{s:o}}", "type", "image_url", "image_url", "url", url);
}

json_t *ollama_content(json_t *text, const json_t *message, struct dialect_error *error)
{
    size_t i;
    json_t *images = ollama_member(message, "images", JSON_ARRAY, error), *image;
    if (json_array_size(images) == 0)
        return json_incref(text);
    json_t *parts = json_pack("[{s:s, s:O}]", "type", "text", "text", text);
    json_array_foreach(images, i, image)
    {
        json_array_append_new(parts, image_part(image, error));
    }
    return parts;
}

/* ---- calls of tools ---- */

/* Ollama's clients need not repeat the id of a call in its answer, OpenAI's must: so the calls that
 * have no answer yet are remembered by name. */
struct messages_open {
    struct {
        char id[80];
        const char *name; /* lent by the request */
    } call[MESSAGES_OPEN_MAX];
    size_t n;
    unsigned made; /* ids that were made up */
};

static void messages_open_add(struct messages_open *open, const char *id, const char *name)
{
    if (open->n == MESSAGES_OPEN_MAX)
        memmove(&open->call[0], &open->call[1], sizeof(open->call[0]) * --open->n);
    snprintf(open->call[open->n].id, sizeof(open->call[0].id), "%s", id);
    open->call[open->n++].name = name;
}

/* The id of the call that an answer of this tool (NULL: any) belongs to, removed from the list. */
static void messages_open_take(struct messages_open *open, const char *name, char *ret, size_t size)
{
    size_t found = 0;
    for (size_t i = open->n; name && i-- > 0;) {
        if (strcmp(open->call[i].name, name) == 0)
            found = i;
    }
    snprintf(ret, size, "%s", open->n ? open->call[found].id : "call_0");
    if (open->n)
        memmove(&open->call[found], &open->call[found + 1],
                sizeof(open->call[0]) * (--open->n - found));
}

/* {"id", "function":{"name", "arguments":{}}} -> OpenAI's, whose arguments are a text. */
static json_t *messages_call(const json_t *call, struct messages_open *open,
                             struct dialect_error *error)
{
    const json_t *function = json_object_get(call, "function");
    json_t *arguments = json_object_get(function, "arguments");
    const char *name = json_string_value(json_object_get(function, "name"));
    const char *id = json_string_value(json_object_get(call, "id"));
    char made[80];
    if (!name || (arguments && !json_is_object(arguments) && !json_is_string(arguments))) {
        dialect_fail_at(error, "messages",
                        "a tool call needs a function with a name, and arguments as an object");
        return json_null();
    }
    snprintf(made, sizeof(made), "call_%u", open->made++);
    if (!id || !id[0] || strlen(id) >= sizeof(made))
        id = made;
    messages_open_add(open, id, name);
    char *CLEAN_FREE text = json_is_object(arguments) ? json_dumps(arguments, JSON_COMPACT) : NULL;
    json_t *words =
        json_is_string(arguments) ? json_incref(arguments) : json_string(text ? text : "{}");
    if (!words || (json_is_object(arguments) && !text))
        dialect_fail_memory(error);
    return json_pack("{s:s, s:s, s:{s:s, s:o*}}", "id", id, "type", "function", "function", "name",
                     name, "arguments", words);
}

/* ---- messages ---- */

static const char *messages_role(const json_t *message)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer", NULL};
    struct str role = str_from(json_string_value(json_object_get(message, "role")));
    const char *const *known = roles;
    while (*known && !str_eq_nocase(role, str_from(*known)))
        known++;
    return *known;
}

static void messages_add_tool(json_t *theirs, const json_t *message, struct messages_open *open)
{
    const char *id = json_string_value(json_object_get(message, "tool_call_id"));
    const char *name = json_string_value(json_object_get(message, "tool_name"));
    char taken[80];
    messages_open_take(open, name, taken, sizeof(taken));
    json_object_set_new(theirs, "tool_call_id", json_string(id && id[0] ? id : taken));
    if (name)
        json_object_set_new(theirs, "name", json_string(name));
}

static void messages_add_assistant(json_t *theirs, const json_t *message,
                                   struct messages_open *open, struct dialect_error *error)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    json_t *thinking = json_object_get(message, "thinking"), *call;
    size_t i;
    if (json_string_length(thinking) > 0)
        json_object_set(theirs, "reasoning_content", thinking);
    if (json_array_size(calls) == 0)
        return;
    json_t *array = json_array();
    json_object_set_new(theirs, "tool_calls", array);
    json_array_foreach((json_t *)calls, i, call)
    {
        json_array_append_new(array, messages_call(call, open, error));
    }
}

static json_t *messages_one(const json_t *message, struct messages_open *open,
                            struct dialect_error *error)
{
    const char *role = messages_role(message);
    json_t *content = ollama_member(message, "content", JSON_STRING, error);
    if (!role)
        dialect_fail_at(error, "messages",
                        "the role of a message must be system, user, assistant or tool");
    if (error->status)
        return json_null();
    json_t *text = content ? json_incref(content) : json_string("");
    json_t *theirs =
        json_pack("{s:s, s:o}", "role", role, "content", ollama_content(text, message, error));
    json_decref(text);
    if (strcmp(role, "tool") == 0)
        messages_add_tool(theirs, message, open);
    if (strcmp(role, "assistant") == 0)
        messages_add_assistant(theirs, message, open, error);
    return theirs;
}

json_t *ollama_messages(const json_t *root, struct dialect_error *error)
{
    struct messages_open open = {.n = 0};
    json_t *messages = ollama_member(root, "messages", JSON_ARRAY, error);
    json_t *message, *array = json_array();
    size_t i;
    json_array_foreach(messages, i, message)
    {
        json_array_append_new(array, messages_one(message, &open, error));
    }
    return array;
}
