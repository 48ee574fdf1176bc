/* transcriptions.c - OpenAI's transcriptions: a form with a sound, for engines that take one. The
 * engine gets a form of our own with what was understood. */
#include "api/openai/form.h"
#include "api/openai/openai.h"
#include "api/serve.h"

#include <errno.h>
#include <stdio.h>

#define TRANSCRIPTIONS_FILE_MAX (25u << 20) /* OpenAI's own limit */

static const struct transcriptions_field {
    const char *name;
    enum { FIELD_READ, FIELD_COPIED, FIELD_REFUSED } how;
} transcriptions_fields[] = {
    {"file", FIELD_READ},
    {"model", FIELD_READ},
    {"response_format", FIELD_READ},
    {"stream", FIELD_READ},
    {"language", FIELD_COPIED},
    {"prompt", FIELD_COPIED},
    {"temperature", FIELD_COPIED},
    {"timestamp_granularities[]", FIELD_REFUSED},
    {"timestamp_granularities", FIELD_REFUSED},
    {"include[]", FIELD_REFUSED},
    {"include", FIELD_REFUSED},
    {"chunking_strategy", FIELD_REFUSED},
    {"known_speaker_names[]", FIELD_REFUSED},
    {"known_speaker_references[]", FIELD_REFUSED},
};

/* ---- the answer as plain text ---- */

struct serve_filter {
    struct buf answer;
};

static const char *text_head(struct serve_filter *f, const struct engine_kind *engine)
{
    return "text/plain; charset=utf-8";
}

static int text_feed(struct serve_filter *f, struct str bytes, struct buf *out,
                     struct gfxb_error *err)
{
    buf_add_str(&f->answer, bytes);
    return buf_ok(&f->answer) ? 0 : error_set(err, ENOMEM, "the text does not fit into memory");
}

static int text_end(struct serve_filter *f, struct buf *out, struct gfxb_error *err)
{
    json_t *answer = json_loadb(buf_text(&f->answer), f->answer.n, 0, NULL);
    json_t *text = json_object_get(answer, "text");
    if (json_is_string(text))
        buf_addf(out, "%s\n", json_string_value(text));
    int code = json_is_string(text) ? 0 : error_set(err, EPROTO, "the engine's answer is no text");
    json_decref(answer);
    return code;
}

static void text_reset(struct serve_filter *f)
{
    buf_clear(&f->answer);
}

static void text_free(struct serve_filter *f)
{
    buf_done(&f->answer);
    free(f);
}

static const struct serve_filter_ops text_ops = {
    .head = text_head, .feed = text_feed, .end = text_end, .reset = text_reset, .free = text_free};

/* ---- the request ---- */

/* The value of a part as text; "" when it is absent. A longer one than fits is an error. */
static void transcriptions_text(const struct form *form, const char *name, char *ret, size_t size,
                                struct dialect_error *error)
{
    const struct form_part *part = form_find(form, name);
    struct str value = part ? part->value : STR_NONE;
    ret[0] = '\0';
    if (value.n >= size || (value.n && memchr(value.p, '\0', value.n)))
        dialect_fail_at(error, name, "'%s' is too long or contains a NUL", name);
    else
        snprintf(ret, size, "%.*s", STR_ARG(value));
}

/* The engine's form: *out, behind a boundary that its parts do not hold. */
static void transcriptions_write(const struct form *form, bool stream, const char *boundary,
                                 struct buf *out)
{
    form_add(out, boundary, "response_format", false, STR("json"));
    if (stream)
        form_add(out, boundary, "stream", false, STR("true"));
    for (size_t i = 0; i < sizeof(transcriptions_fields) / sizeof(transcriptions_fields[0]); i++) {
        const struct transcriptions_field *field = &transcriptions_fields[i];
        const struct form_part *part = form_find(form, field->name);
        if (part && field->how == FIELD_COPIED)
            form_add(out, boundary, field->name, false, part->value);
    }
    form_add(out, boundary, "file", true, form_find(form, "file")->value);
    buf_addf(out, "--%s--\r\n", boundary);
}

static void transcriptions_check(const struct form *form, struct dialect_error *error)
{
    const struct form_part *file = form_find(form, "file");
    for (size_t i = 0; i < sizeof(transcriptions_fields) / sizeof(transcriptions_fields[0]); i++) {
        const struct transcriptions_field *field = &transcriptions_fields[i];
        if (field->how == FIELD_REFUSED && form_find(form, field->name))
            dialect_fail_at(error, field->name, "'%s' is not supported", field->name);
    }
    if (!file || !file->file || file->value.n == 0)
        dialect_fail_at(error, "file", "'file' must be a file with a sound");
    else if (file->value.n > TRANSCRIPTIONS_FILE_MAX)
        dialect_fail_about(error, 413, "file", "'file' is larger than 25 MiB");
}

void openai_transcriptions(struct http_exchange *x)
{
    const struct str body = http_request(x)->body;
    struct dialect_error error = {.status = 0};
    struct form form;
    char model[DIALECT_NAME_SIZE], format[32], stream[8], boundary[64];
    form_read(http_header(x, "content-type"), body, &form, &error);
    if (dialect_refuse(x, &error))
        return;
    transcriptions_check(&form, &error);
    transcriptions_text(&form, "model", model, sizeof(model), &error);
    transcriptions_text(&form, "response_format", format, sizeof(format), &error);
    transcriptions_text(&form, "stream", stream, sizeof(stream), &error);
    bool text = strcmp(format, "text") == 0, streams = strcmp(stream, "true") == 0;
    if (!model[0] || !dialect_name_ok(str_from(model)))
        dialect_fail_at(&error, "model", "'model' must be a model's name");
    if (format[0] && !text && strcmp(format, "json") != 0)
        dialect_fail_at(
            &error, "response_format",
            "'response_format' must be \"json\" or \"text\": the engine tells no times");
    if (dialect_refuse(x, &error))
        return;
    do
        chat_id("form", boundary, sizeof(boundary));
    while (str_has(body, str_from(boundary)));
    char *CLEAN_FREE type = xasprintf("multipart/form-data; boundary=%s", boundary);
    struct serve_relay relay = {.model = str_from(model),
                                .options = SERVE_OPTIONS,
                                .call = ENGINE_CALL_TRANSCRIPTIONS,
                                .body = BUF_INIT(SIZE_MAX / 2),
                                .stream = streams,
                                .type = type};
    transcriptions_write(&form, streams, boundary, &relay.body);
    if (text && !streams) {
        relay.ops = &text_ops;
        relay.filter = xcalloc(1, sizeof(*relay.filter));
        relay.filter->answer = (struct buf)BUF_INIT(16 << 20);
    }
    serve_relay(x, &relay);
}
