/*
 * metrics.c - GET /metrics in Prometheus' text format 0.0.4. The counters of a model end when it is
 * unloaded; the totals go on.
 */
#include "api/serve.h"

/* A label's value: backslash, quote and line feed are escaped. */
static void metrics_label(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "%s=\"", name);
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '"')
            buf_add_char(b, '\\');
        if (*p == '\n')
            buf_add_text(b, "\\n");
        else
            buf_add_char(b, *p);
    }
    buf_add_char(b, '"');
}

static void metrics_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_addf(b, "# HELP gfxbridge_%s %s\n# TYPE gfxbridge_%s %s\n", name, help, name, type);
}

static void metrics_one(struct buf *b, const char *name, const char *type, const char *help,
                        double value)
{
    metrics_head(b, name, type, help);
    buf_addf(b, "gfxbridge_%s %.17g\n", name, value);
}

/* ---- per model ---- */

enum {
    METRICS_READY,
    METRICS_REQUESTS,
    METRICS_ACTIVE,
    METRICS_WAITING,
    METRICS_BYTES,
    METRICS_PROMPT,
    METRICS_CACHED,
    METRICS_TOKENS,
    METRICS_SPEED,
    METRICS_PROMPT_SPEED,
    METRICS_FAILOVERS,
    METRICS_OF_MODEL,
};

static const struct metrics_row {
    const char *name, *type, *help;
} metrics_rows[METRICS_OF_MODEL] = {
    [METRICS_READY] = {"model_ready", "gauge", "1 while the model is ready on a proven engine."},
    [METRICS_REQUESTS] = {"model_requests_total", "counter", "Requests for the model."},
    [METRICS_ACTIVE] = {"model_requests_active", "gauge", "Requests at its engine."},
    [METRICS_WAITING] = {"model_requests_waiting", "gauge", "Requests in the queue for it."},
    [METRICS_BYTES] = {"model_memory_bytes", "gauge", "Memory that it is expected to use."},
    [METRICS_PROMPT] = {"model_prompt_tokens_total", "counter",
                        "Tokens of prompts, with cached ones."},
    [METRICS_CACHED] = {"model_cached_tokens_total", "counter",
                        "Tokens of prompts that came from the cache."},
    [METRICS_TOKENS] = {"model_tokens_total", "counter", "Generated tokens."},
    [METRICS_SPEED] = {"model_tokens_per_second", "gauge", "Generation speed of the last answer."},
    [METRICS_PROMPT_SPEED] = {"model_prompt_tokens_per_second", "gauge",
                              "Prompt speed of the last answer."},
    [METRICS_FAILOVERS] = {"model_failovers_total", "counter",
                           "Engines that failed while they served it."},
};

static void metrics_of_model(const struct pool_status *m, double ret[METRICS_OF_MODEL])
{
    const struct pool_counters *c = &m->counters;
    ret[METRICS_READY] = m->state == POOL_READY;
    ret[METRICS_REQUESTS] = 0;
    for (size_t i = 0; i < sizeof(c->requests) / sizeof(c->requests[0]); i++)
        ret[METRICS_REQUESTS] += (double)c->requests[i];
    ret[METRICS_ACTIVE] = m->active;
    ret[METRICS_WAITING] = m->waiting;
    ret[METRICS_BYTES] = (double)m->bytes;
    ret[METRICS_PROMPT] = (double)c->prompt_tokens;
    ret[METRICS_CACHED] = (double)c->cached_tokens;
    ret[METRICS_TOKENS] = (double)c->tokens;
    ret[METRICS_SPEED] = c->last.tokens_per_second;
    ret[METRICS_PROMPT_SPEED] = c->last.prompt_per_second;
    ret[METRICS_FAILOVERS] = (double)c->failovers;
}

static void metrics_model_labels(struct buf *b, const struct pool_status *m)
{
    buf_add_char(b, '{');
    metrics_label(b, "model", m->name);
    buf_add_char(b, ',');
    metrics_label(b, "backend", m->backend);
    buf_add_char(b, ',');
    metrics_label(b, "device", m->device);
    buf_add_char(b, ',');
    metrics_label(b, "package", m->package);
    buf_add_char(b, '}');
}

static void metrics_models(struct buf *b, const struct serve *s)
{
    for (size_t r = 0; r < sizeof(metrics_rows) / sizeof(metrics_rows[0]); r++) {
        const struct metrics_row *row = &metrics_rows[r];
        struct pool_status m;
        double value[METRICS_OF_MODEL];
        metrics_head(b, row->name, row->type, row->help);
        for (size_t i = 0; pool_at(s->pool, i, &m); i++) {
            buf_addf(b, "gfxbridge_%s", row->name);
            metrics_model_labels(b, &m);
            metrics_of_model(&m, value);
            buf_addf(b, " %.17g\n", value[r]);
        }
    }
}

/* ---- totals ---- */

static void metrics_status(struct buf *b, const struct pool_counters *t)
{
    static const char *const classes[] = {"left", "1xx", "2xx", "3xx", "4xx", "5xx"};
    metrics_head(b, "requests_total", "counter",
                 "Requests by the class of their status; left: the client disconnected.");
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        buf_addf(b, "gfxbridge_requests_total{status=\"%s\"} %llu\n", classes[i],
                 (unsigned long long)t->requests[i]);
}

static void metrics_get(struct http_exchange *x)
{
    const struct serve *s = serve_of(x);
    const struct pool_counters *t = pool_totals(s->pool);
    struct buf CLEAN_BUF b = BUF_INIT(4u << 20);
    metrics_head(&b, "info", "gauge", "The program's version.");
    buf_addf(&b, "gfxbridge_info{version=\"%s\"} 1\n", GFXB_VERSION);
    metrics_one(&b, "start_time_seconds", "gauge", "Start of the server, seconds since 1970.",
                (double)s->started_at);
    metrics_one(&b, "connections", "gauge", "Open connections of clients.",
                (double)http_server_connections(s->http));
    metrics_one(&b, "models_loaded", "gauge", "Models that are loaded or being loaded.",
                (double)pool_count(s->pool));
    metrics_status(&b, t);
    metrics_one(&b, "request_seconds_total", "counter", "Time of all requests, summed.",
                t->seconds);
    metrics_one(&b, "prompt_tokens_total", "counter", "Tokens of prompts, with cached ones.",
                (double)t->prompt_tokens);
    metrics_one(&b, "cached_tokens_total", "counter", "Tokens of prompts that came from the cache.",
                (double)t->cached_tokens);
    metrics_one(&b, "tokens_total", "counter", "Generated tokens.", (double)t->tokens);
    metrics_one(&b, "failovers_total", "counter", "Engines that failed while they served.",
                (double)t->failovers);
    metrics_one(&b, "replays_total", "counter", "Requests that a second engine answered.",
                (double)t->replays);
    metrics_one(&b, "loads_total", "counter", "Times that a model was loaded.", (double)t->loads);
    metrics_models(&b, s);
    struct dialect_error error = {.status = 0};
    if (!buf_ok(&b))
        dialect_fail_memory(&error);
    if (!dialect_refuse(x, &error))
        http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b), NULL);
}

const struct http_route metrics_routes[] = {
    {HTTP_GET, "/metrics", metrics_get, 0, 0},
    {0},
};
