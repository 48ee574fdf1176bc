/* error.c - what went wrong, in the shape of each dialect and with the status that it stands for.
 */
#include "api/dialect.h"

#include <errno.h>
#include <stdio.h>

/* ---- making one ---- */

static void error_write(struct dialect_error *error, int status, const char *format, va_list args)
{
    *error = (struct dialect_error){.status = status};
    vsnprintf(error->message, sizeof(error->message), format, args);
    error->message[utf8_whole(str_from(error->message)).n] = '\0';
}

int dialect_fail(struct dialect_error *error, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_write(error, status, format, args);
    va_end(args);
    return -EINVAL;
}

int dialect_fail_at(struct dialect_error *error, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_write(error, 400, format, args);
    va_end(args);
    error->param = param;
    return -EINVAL;
}

int dialect_fail_memory(struct dialect_error *error)
{
    dialect_fail(error, 503, "there is not enough memory for this request");
    error->code = "out_of_memory";
    return -EINVAL;
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
    {ENOSPC, 507},
};

void dialect_error_from(const struct gfxb_error *err, struct dialect_error *ret_error)
{
    int status = 500;
    for (size_t i = 0; i < sizeof(error_statuses) / sizeof(error_statuses[0]); i++) {
        if (error_statuses[i].code == err->code)
            status = error_statuses[i].status;
    }
    dialect_fail(ret_error, status, "%s", err->text);
    if (err->code == ENOENT || err->code == GFXB_E_MODEL_UNKNOWN)
        ret_error->code = "model_not_found"; /* the name that clients know */
    else if (err->code >= GFXB_E_GFX_UNKNOWN)
        ret_error->code = gfxb_code_name(err->code);
}

/* ---- whose it is ---- */

static bool error_path_below(struct str path, struct str *rest, struct str prefix)
{
    if (!str_starts(path, prefix))
        return false;
    *rest = (struct str){path.p + prefix.n, path.n - prefix.n};
    return true;
}

enum dialect dialect_of_path(struct str path)
{
    static const char *const models[] = {
        "models",    "chat/",          "completions", "embeddings", "embedding",
        "responses", "rerank",         "reranking",   "tokenize",   "detokenize",
        "infill",    "apply-template", "completion",
    };
    struct str rest;
    if (error_path_below(path, &rest, STR("/gfxbridge/")))
        return DIALECT_OWN;
    if (!error_path_below(path, &rest, STR("/api/v1/")) &&
        !error_path_below(path, &rest, STR("/api/v0/")) &&
        !error_path_below(path, &rest, STR("/v1/")) && !error_path_below(path, &rest, STR("/v0/")))
        return str_starts(path, STR("/api/")) ? DIALECT_OLLAMA : DIALECT_OPENAI;
    if (str_starts(rest, STR("messages")))
        return DIALECT_ANTHROPIC;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        if (str_starts(rest, str_from(models[i])))
            return DIALECT_OPENAI;
    }
    return DIALECT_LEMONADE;
}

/* ---- writing one ---- */

static const char *error_openai_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static const char *error_anthropic_type(int status)
{
    switch (status) {
    case 413:
        return "request_too_large";
    case 503:
    case 529:
        return "overloaded_error";
    default:
        return status < 500 ? error_openai_type(status) : "api_error";
    }
}

static json_t *error_openai(const struct dialect_error *error)
{
    return json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message",
                     report_json_string(error->message), "type", error_openai_type(error->status),
                     "param", error->param, "code", error->code);
}

static json_t *error_anthropic(const struct dialect_error *error)
{
    return json_pack("{s:s, s:{s:s, s:o}}", "type", "error", "error", "type",
                     error_anthropic_type(error->status), "message",
                     report_json_string(error->message));
}

static json_t *error_ollama(const struct dialect_error *error)
{
    return json_pack("{s:o}", "error", report_json_string(error->message));
}

static json_t *error_lemonade(const struct dialect_error *error)
{
    if (!error->path.n)
        return error_ollama(error);
    return json_pack("{s:{s:o, s:o, s:s}}", "error", "message", report_json_string(error->message),
                     "path", report_json_str(error->path), "type", "not_found");
}

/* How each dialect writes an error, and what stands before and after it within a stream. */
static const struct error_shape {
    json_t *(*json)(const struct dialect_error *error);
    const char *before, *after;
} error_shapes[] = {
    [DIALECT_OPENAI] = {error_openai, "data: ", "\n\n"},
    [DIALECT_ANTHROPIC] = {error_anthropic, "event: error\ndata: ", "\n\n"},
    [DIALECT_OLLAMA] = {error_ollama, "", "\n"},
    [DIALECT_LEMONADE] = {error_lemonade, "event: error\ndata: ", "\n\n"},
    [DIALECT_OWN] = {error_openai, "data: ", "\n\n"},
};

void dialect_error_body(enum dialect dialect, const struct dialect_error *error, struct buf *ret)
{
    json_t *value = error_shapes[dialect].json(error);
    char *CLEAN_FREE text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    buf_add_text(ret, text);
}

void dialect_error_event(enum dialect dialect, bool stream, const struct gfxb_error *why,
                         struct buf *ret)
{
    struct dialect_error error;
    dialect_error_from(why, &error);
    if (!stream)
        return;
    buf_add_text(ret, error_shapes[dialect].before);
    dialect_error_body(dialect, &error, ret);
    buf_add_text(ret, error_shapes[dialect].after);
}

/* ---- the engine's ---- */

/* The engine answers 500 where the request is at fault: by the beginnings of its sentences (Debian
 * llama-server 0.7.0). */
static const char *const error_requests_fault[] = {
    "Failed to parse messages",
    "Failed to parse tool call arguments",
    "Failed to parse tools",
    "image input is not supported",
    "audio input is not",
    "vector::_M_range_check",
    "input (",
    "Failed to load image",
    "[json.exception",
};

static int error_engine_status(long status, struct str message)
{
    if (status == 500) {
        for (size_t i = 0; i < sizeof(error_requests_fault) / sizeof(error_requests_fault[0]);
             i++) {
            if (str_starts(message, str_from(error_requests_fault[i])))
                return 400;
        }
    }
    /* Our key to the engine is not the client's: 401 and 403 are not for it to act on. */
    return status < 400 || status > 599 || status == 401 || status == 403 ? 502 : (int)status;
}

void dialect_error_of_engine(long status, struct str body, struct dialect_error *ret_error)
{
    json_t *root = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    json_t *error = json_object_get(root, "error");
    const char *message =
        json_string_value(json_is_string(error) ? error : json_object_get(error, "message"));
    const char *type = json_string_value(json_object_get(error, "type"));
    dialect_fail(ret_error, error_engine_status(status, str_from(message)), "%s",
                 message ? message : "the engine refused the request without a reason");
    if (type && strcmp(type, "exceed_context_size_error") == 0)
        ret_error->code = "context_length_exceeded";
    else if (type && strcmp(type, "not_supported_error") == 0)
        ret_error->code = "not_supported";
    json_decref(root);
}
