/* messages.c - Ollama's messages become those of api/chat: images, calls of tools and their
 * answers. */
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

static void image_add(struct chat_request *r, json_t *message, const json_t *image)
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
        dialect_fail_at(r->error, "images",
                        "'images': each must be the base64 text of a PNG, JPEG, GIF, WebP or BMP "
                        "file");
        return;
    }
    json_t *url = json_sprintf("data:%s;base64,%s", type, text.p);
    if (url)
        chat_add_image(r, message, url, "images");
    else
        dialect_fail_memory(r->error);
    json_decref(url);
}

void ollama_add_images(struct chat_request *r, json_t *message, const json_t *from)
{
    size_t i;
    json_t *images = ollama_member(from, "images", JSON_ARRAY, r->error), *image;
    json_array_foreach(images, i, image) image_add(r, message, image);
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

/* {"id", "function":{"name", "arguments":{}}} */
static void messages_call(struct chat_request *r, json_t *message, const json_t *call,
                          struct messages_open *open)
{
    const json_t *function = json_object_get(call, "function");
    const json_t *arguments = chat_get(function, "arguments");
    const char *name = chat_text(function, "name"), *id = chat_text(call, "id");
    char made[80];
    if (!name[0] || (arguments && !json_is_object(arguments) && !json_is_string(arguments))) {
        dialect_fail_at(r->error, "messages",
                        "a tool call needs a function with a name, and arguments as an object");
        return;
    }
    snprintf(made, sizeof(made), "call_%u", open->made++);
    if (!id[0] || strlen(id) >= sizeof(made))
        id = made;
    messages_open_add(open, id, name);
    json_t *object = arguments ? json_incref((json_t *)arguments) : json_object();
    chat_add_call(message, id, name, object);
    json_decref(object);
}

/* ---- messages ---- */

/* As api/chat calls it; NULL: there is none. */
static const char *messages_role(const json_t *message)
{
    static const char *const roles[][2] = {{"system", "system"},
                                           {"user", "user"},
                                           {"assistant", "assistant"},
                                           {"tool", "tool"},
                                           {"developer", "system"}};
    struct str role = str_from(chat_text(message, "role"));
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (str_eq_nocase(role, str_from(roles[i][0])))
            return roles[i][1];
    }
    return NULL;
}

static json_t *messages_result(struct chat_request *r, const json_t *message,
                               struct messages_open *open)
{
    const char *id = chat_text(message, "tool_call_id");
    const char *name = json_string_value(json_object_get(message, "tool_name"));
    char taken[80];
    messages_open_take(open, name, taken, sizeof(taken));
    return chat_add_result(r, id[0] ? id : taken, name);
}

static void messages_one(struct chat_request *r, const json_t *message, struct messages_open *open)
{
    const char *role = messages_role(message);
    json_t *content = ollama_member(message, "content", JSON_STRING, r->error);
    json_t *calls = ollama_member(message, "tool_calls", JSON_ARRAY, r->error), *call;
    size_t i;
    if (!role)
        dialect_fail_at(r->error, "messages",
                        "the role of a message must be system, user, assistant or tool");
    if (r->error->status)
        return;
    bool result = strcmp(role, "tool") == 0, own = strcmp(role, "assistant") == 0;
    json_t *theirs = result ? messages_result(r, message, open) : chat_add_message(r, role);
    if (json_string_length(content) > 0)
        chat_add_text(theirs, json_string_value(content));
    ollama_add_images(r, theirs, message);
    if (own)
        chat_add_thinking(theirs, chat_text(message, "thinking"));
    json_array_foreach(own ? calls : NULL, i, call) messages_call(r, theirs, call, open);
}

void ollama_add_messages(struct chat_request *r, const json_t *root)
{
    struct messages_open open = {.n = 0};
    size_t i;
    json_t *message;
    json_array_foreach(chat_get(root, "messages"), i, message) messages_one(r, message, &open);
}
