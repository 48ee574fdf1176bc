/* routes.c - the dialects' tables of routes, and how their handlers answer. */
#include "api/dialect.h"

#include "api/downloads.h"
#include "api/own/log_ring.h"

static const char routes_type[] = "application/json; charset=utf-8";

/* First match counts. */
const struct http_route *const serve_dialects[] = {
    page_routes,
    download_routes,
    backend_routes,
    log_routes,
    openai_routes,
    ollama_routes,
    ollama_model_routes,
    lemonade_routes,
    lemonade_model_routes,
    metrics_routes,
    gfxbridge_routes,
    control_routes,
    NULL,
};

void dialect_reply_error(struct http_exchange *x, const struct dialect_error *error)
{
    http_fail(x, error->status, error->code, error->param, "%s", error->message);
}

/* NULL: there is no memory for so long a text. value is taken over. */
static char *routes_text(json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(value);
    return text;
}

void dialect_reply_json(struct http_exchange *x, int status, json_t *value)
{
    char *CLEAN_FREE text = routes_text(value);
    struct dialect_error error;
    if (text) {
        http_reply(x, status, routes_type, str_from(text), NULL);
        return;
    }
    dialect_fail_memory(&error);
    dialect_reply_error(x, &error);
}

void dialect_job_error(struct http_job *job, const struct gfxb_error *err)
{
    struct dialect_error error;
    dialect_error_from(err, &error);
    http_job_fail(job, error.status, error.code, error.param, error.message);
}

void dialect_job_json(struct http_job *job, int status, json_t *value)
{
    char *CLEAN_FREE text = routes_text(value);
    struct dialect_error error;
    if (text) {
        http_job_reply(job, status, routes_type, str_from(text));
        return;
    }
    dialect_fail_memory(&error);
    http_job_fail(job, error.status, error.code, NULL, error.message);
}

/* %XX and + of a query's value. */
static bool query_decode(struct str text, char *ret, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n + 1 < size; i++) {
        uint64_t byte = (unsigned char)text.p[i];
        if (text.p[i] == '+')
            byte = ' ';
        if (text.p[i] == '%') {
            if (i + 2 >= text.n || str_to_u64((struct str){text.p + i + 1, 2}, 16, &byte) < 0 ||
                byte < 0x20)
                return false;
            i += 2;
        }
        ret[n++] = (char)byte;
    }
    ret[n] = '\0';
    return n + 1 < size;
}

bool dialect_query(struct str query, const char *name, char *ret, size_t size)
{
    struct str pair, key;
    while (str_cut(&query, '&', &pair)) {
        if (str_cut(&pair, '=', &key) && str_is(key, name))
            return query_decode(pair, ret, size);
    }
    return false;
}
