/* error.c - what went wrong, with the HTTP status and the code that clients know for it. */
#include "api/dialect.h"

#include <errno.h>
#include <stdio.h>

void dialect_copy(char *ret, size_t size, const char *text)
{
    snprintf(ret, size, "%s", text);
    ret[utf8_whole(str_from(ret)).n] = '\0';
}

void dialect_fail_about(struct dialect_error *error, int status, const char *param,
                        const char *format, ...)
{
    va_list args;
    if (error->status)
        return;
    *error = (struct dialect_error){.status = status, .param = param};
    va_start(args, format);
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    error->message[utf8_whole(str_from(error->message)).n] = '\0';
}

void dialect_fail_memory(struct dialect_error *error)
{
    bool first = error->status == 0;
    dialect_fail(error, 503, "there is not enough memory for this request");
    if (first)
        error->code = "out_of_memory";
}

/* All others are the server's fault: 500. */
static const struct {
    int code, status;
} error_statuses[] = {
    {ENOENT, 404},
    {EINVAL, 400},
    {GFXB_E_USAGE, 400},
    {EPERM, 403},
    {EACCES, 403},
    {EEXIST, 409},
    {ELOOP, 400},
    {EBUSY, 503},
    {EAGAIN, 503},
    {ESHUTDOWN, 503},
    {GFXB_E_INTERRUPTED, 503},
    {GFXB_E_OFFLINE, 502},
    {GFXB_E_PACKAGE_UNAVAILABLE, 502},
    {GFXB_E_MEMORY_TOO_SMALL, 507},
    {GFXB_E_DISK_FULL, 507},
    {GFXB_E_MODEL_UNKNOWN, 404},
    {GFXB_E_MODEL_GATED, 403},
    {GFXB_E_MODEL_UNUSABLE, 400},
    {GFXB_E_MODEL_UNAVAILABLE, 502},
    {GFXB_E_RATE_LIMITED, 429},
    {GFXB_E_REQUEST_POISON, 422}, /* not worth asking again */
    {GFXB_E_MODEL_DAMAGED, 422},  /* nor is this */
    {EMFILE, 503},
    {ENFILE, 503},
    {ENOSPC, 507},
    {ENOMEM, 503},
};

void dialect_error_from(const struct gfxb_error *err, struct dialect_error *ret_error)
{
    int status = 500;
    for (size_t i = 0; i < sizeof(error_statuses) / sizeof(error_statuses[0]); i++) {
        if (error_statuses[i].code == err->code)
            status = error_statuses[i].status;
    }
    *ret_error = (struct dialect_error){.status = 0};
    dialect_fail(ret_error, status, "%s", err->text);
    if (err->code == ENOENT || err->code == GFXB_E_MODEL_UNKNOWN)
        ret_error->code = "model_not_found"; /* the name that clients know */
    else if (err->code >= GFXB_E_GFX_UNKNOWN)
        ret_error->code = gfxb_code_name(err->code);
}

static int error_engine_status(const struct engine_kind *engine, long status, struct str message)
{
    for (const char *const *fault = engine->request_faults; status == 500 && *fault; fault++) {
        if (str_starts(message, str_from(*fault)))
            return 400;
    }
    /* Our key to the engine is not the client's: 401 and 403 are not for it to act on. */
    return status < 400 || status > 599 || status == 401 || status == 403 ? 502 : (int)status;
}

/* Clients know the words before the colon, and "maximum context length". */
static void error_too_long(const struct pool_found *model, uint64_t tokens, uint64_t most,
                           struct dialect_error *ret_error)
{
    uint64_t room = 4096, trained = model->context ? model->context : UINT32_MAX;
    struct buf CLEAN_BUF text = BUF_INIT(sizeof(ret_error->message));
    while (room < tokens + tokens / 8) /* with an answer */
        room *= 2;
    room = room < trained ? room : trained;
    buf_addf(&text, "prompt is too long: %llu tokens > %llu, the maximum context length of %s",
             (unsigned long long)tokens, (unsigned long long)most, model->name);
    if (room > tokens)
        buf_addf(&text, " as it is loaded; gfxbridge load %s --context %llu loads it with more",
                 model->name, (unsigned long long)room);
    else
        buf_addf(&text, ", which was trained for %llu", (unsigned long long)trained);
    dialect_fail(ret_error, 400, "%s", buf_text(&text));
    ret_error->code = "context_length_exceeded";
}

void dialect_error_of_engine(const struct engine_kind *engine, const struct pool_found *model,
                             long status, struct str body, struct dialect_error *ret_error)
{
    json_t *root = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    json_t *error = json_object_get(root, "error");
    const char *message =
        json_string_value(json_is_string(error) ? error : json_object_get(error, "message"));
    const char *type = json_string_value(json_object_get(error, "type"));
    uint64_t tokens, most;
    *ret_error = (struct dialect_error){.status = 0};
    if (engine->read_excess(body, &tokens, &most))
        error_too_long(model, tokens, most, ret_error);
    dialect_fail(ret_error, error_engine_status(engine, status, str_from(message)), "%s",
                 message ? message : "the engine refused the request without a reason");
    if (type && strcmp(type, "not_supported_error") == 0)
        ret_error->code = "not_supported";
    json_decref(root);
}
