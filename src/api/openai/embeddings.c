/* embeddings.c - OpenAI's embeddings. */
#include "api/openai/openai.h"
#include "api/vectors.h"

static const struct chat_field embeddings_fields[] = {
    {"model", CHAT_FIELD_READ, "s", NULL},           {"input", CHAT_FIELD_READ, "sa", NULL},
    {"encoding_format", CHAT_FIELD_READ, "s", NULL}, {"dimensions", CHAT_FIELD_READ, "n", NULL},
    {"user", CHAT_FIELD_IGNORED, "s", NULL},         {0},
};

/* 's' a text, 't' tokens, 'a' an array of such; 0 none of them, or empty. */
static char embeddings_kind(const json_t *value)
{
    char kind = 0;
    size_t i;
    json_t *item;
    if (json_is_string(value))
        return json_string_length(value) ? 's' : 0;
    json_array_foreach((json_t *)value, i, item)
    {
        char one = json_is_integer(item) ? 'i' : embeddings_kind(item);
        if (!one || one == 'a' || (i > 0 && one != kind))
            return 0;
        kind = one;
    }
    return kind == 'i' ? 't' : kind ? 'a' : 0;
}

void embeddings_read(struct dialect_body *body, const json_t *root, struct chat_call *call)
{
    struct chat_request *r = &call->request;
    json_t *input = chat_get(root, "input");
    const char *format = chat_text(root, "encoding_format");
    /* dialect_body_read has seen that it is a whole number, at least 1. */
    struct vectors_ask ask = {
        .shape = VECTORS_OPENAI,
        .dimensions = (unsigned)json_number_value(chat_get(root, "dimensions")),
        .base64 = strcmp(format, "base64") == 0,
    };
    memcpy(ask.model, call->model, sizeof(ask.model));
    chat_read_fields(r, embeddings_fields, root);
    if (!embeddings_kind(input))
        dialect_fail_at(r->error, "input",
                        "'input' must be a text, an array of texts, an array of tokens or an array "
                        "of arrays of tokens, and none of them may be empty");
    if (format[0] && !ask.base64 && strcmp(format, "float") != 0)
        dialect_fail_at(r->error, "encoding_format",
                        "'encoding_format' must be \"float\" or \"base64\"");
    if (r->error->status)
        return;
    call->call = ENGINE_CALL_EMBEDDINGS;
    call->stream = false;
    call->as_it_came = !ask.dimensions; /* the engine does the rest */
    if (ask.dimensions)
        vectors_request(call, &ask, input);
}
