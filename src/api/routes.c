/* routes.c - every dialect: its routes, its paths, its errors. A new one is added here. */
#include "api/serve.h"

/* The tables of routes, folder by folder. First match counts. */
const struct http_route *const serve_dialects[] = {
    page_routes,             /* page/ */
    download_routes,         /* own/ */
    backend_routes,          /* own/ */
    log_routes,              /* own/ */
    metrics_routes,          /* own/ */
    gfxbridge_routes,        /* own/ */
    control_routes,          /* own/ */
    openai_routes,           /* openai/ */
    responses_routes,        /* openai/ */
    anthropic_routes,        /* anthropic/ */
    ollama_routes,           /* ollama/ */
    ollama_model_routes,     /* ollama/ */
    ollama_create_routes,    /* ollama/ */
    lemonade_routes,         /* lemonade/ */
    lemonade_model_routes,   /* lemonade/ */
    lemonade_backend_routes, /* lemonade/ */
    lemonade_system_routes,  /* lemonade/ */
    NULL,
};

/* Errors: their JSON, and what stands before and after it within a stream. */
static const struct routes_errors {
    json_t *(*json)(const struct dialect_error *error);
    const char *before, *after;
} routes_errors[] = {
    [DIALECT_OPENAI] = {openai_error, "data: ", "\n\n"},
    [DIALECT_ANTHROPIC] = {anthropic_error, "event: error\ndata: ", "\n\n"},
    [DIALECT_OLLAMA] = {ollama_error, "", "\n"},
    [DIALECT_LEMONADE] = {lemonade_error, "event: error\ndata: ", "\n\n"},
    [DIALECT_OWN] = {openai_error, "data: ", "\n\n"},
};

/* ---- whose path is it? ---- */

enum dialect dialect_of_path(struct str path)
{
    static const char *const models[] = {
        "models",    "chat/",          "completions", "embeddings", "embedding",
        "responses", "rerank",         "reranking",   "tokenize",   "detokenize",
        "infill",    "apply-template", "completion",  "audio/",
    };
    struct str rest = path;
    if (str_starts(path, STR("/gfxbridge/")))
        return DIALECT_OWN;
    if (!str_strip(&rest, STR("/api/v1/")) && !str_strip(&rest, STR("/api/v0/")) &&
        !str_strip(&rest, STR("/v1/")) && !str_strip(&rest, STR("/v0/")))
        return str_starts(path, STR("/api/")) ? DIALECT_OLLAMA : DIALECT_OPENAI;
    if (str_starts(rest, STR("messages")))
        return DIALECT_ANTHROPIC;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        if (str_starts(rest, str_from(models[i])))
            return DIALECT_OPENAI;
    }
    return DIALECT_LEMONADE;
}

/* ---- errors ---- */

void dialect_error_body(enum dialect dialect, const struct dialect_error *error, struct buf *ret)
{
    json_t *value = routes_errors[dialect].json(error);
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
    buf_add_text(ret, routes_errors[dialect].before);
    dialect_error_body(dialect, &error, ret);
    buf_add_text(ret, routes_errors[dialect].after);
}

/* ---- answers ---- */

void dialect_reply_error(struct http_exchange *x, const struct dialect_error *error)
{
    http_fail(x, error->status, error->code, error->param, "%s", error->message);
}

bool dialect_refuse(struct http_exchange *x, const struct dialect_error *error)
{
    if (error->status)
        dialect_reply_error(x, error);
    return error->status != 0;
}

void dialect_reply_failure(struct http_exchange *x, const struct gfxb_error *err)
{
    struct dialect_error error;
    dialect_error_from(err, &error);
    dialect_reply_error(x, &error);
}

void dialect_reply_json(struct http_exchange *x, int status, json_t *value)
{
    char *CLEAN_FREE text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12));
    struct dialect_error error = {.status = 0};
    json_decref(value);
    if (!text)
        dialect_fail_memory(&error);
    if (!dialect_refuse(x, &error))
        http_reply(x, status, DIALECT_JSON_TYPE, str_from(text), NULL);
}

void dialect_stream_json(const struct dialect_stream *stream, const char *before, json_t *value,
                         const char *after)
{
    char *CLEAN_FREE text = json_dumps(value, JSON_COMPACT);
    char *CLEAN_FREE piece = xasprintf("%s%s%s", before, text ? text : "", after);
    json_decref(value);
    if (text)
        http_send(stream->x, str_from(piece));
}

bool dialect_stream_is_due(struct dialect_stream *stream, const struct model_progress *p,
                           int gap_ms)
{
    int64_t now = clock_now_ms();
    bool whole = p->at.total && p->at.bytes >= p->at.total;
    if (!stream->on || (!whole && now - stream->told_at < gap_ms))
        return false;
    stream->told_at = now;
    return true;
}

bool dialect_query(struct str query, const char *name, char *ret, size_t size)
{
    struct str pair, key;
    while (str_cut(&query, '&', &pair)) {
        if (str_cut(&pair, '=', &key) && str_is(key, name))
            return http_decode(pair, ' ', ret, size);
    }
    return false;
}
