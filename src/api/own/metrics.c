/*
 * metrics.c - GET /metrics in Prometheus' text format 0.0.4. A counter of a model that was unloaded
 * ends with it; the totals go on.
 */
#include "api/dialect.h"

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

static double metrics_requests(const struct pool_counters *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(c->requests) / sizeof(c->requests[0]); i++)
        sum += c->requests[i];
    return (double)sum;
}

static double metrics_model_requests(const struct pool_status *m)
{
    return metrics_requests(&m->counters);
}

static double metrics_model_ready(const struct pool_status *m)
{
    return m->state == POOL_READY;
}

static double metrics_model_active(const struct pool_status *m)
{
    return m->active;
}

static double metrics_model_waiting(const struct pool_status *m)
{
    return m->waiting;
}

static double metrics_model_bytes(const struct pool_status *m)
{
    return (double)m->bytes;
}

static double metrics_model_prompt(const struct pool_status *m)
{
    return (double)m->counters.prompt_tokens;
}

static double metrics_model_cached(const struct pool_status *m)
{
    return (double)m->counters.cached_tokens;
}

static double metrics_model_tokens(const struct pool_status *m)
{
    return (double)m->counters.tokens;
}

static double metrics_model_speed(const struct pool_status *m)
{
    return m->counters.last.tokens_per_second;
}

static double metrics_model_reading(const struct pool_status *m)
{
    return m->counters.last.prompt_per_second;
}

static double metrics_model_failovers(const struct pool_status *m)
{
    return (double)m->counters.failovers;
}

static const struct metrics_row {
    const char *name, *type, *help;
    double (*value)(const struct pool_status *m);
} metrics_rows[] = {
    {"model_ready", "gauge", "1 while the model answers on an engine that was proven.",
     metrics_model_ready},
    {"model_requests_total", "counter", "Requests for the model.", metrics_model_requests},
    {"model_requests_active", "gauge", "Requests at its engine.", metrics_model_active},
    {"model_requests_waiting", "gauge", "Requests in the queue for it.", metrics_model_waiting},
    {"model_memory_bytes", "gauge", "Memory that it is counted with.", metrics_model_bytes},
    {"model_prompt_tokens_total", "counter", "Tokens of prompts, cached ones included.",
     metrics_model_prompt},
    {"model_cached_tokens_total", "counter", "Tokens of prompts that were not read again.",
     metrics_model_cached},
    {"model_tokens_total", "counter", "Tokens that were generated.", metrics_model_tokens},
    {"model_tokens_per_second", "gauge", "Speed of the last answer.", metrics_model_speed},
    {"model_prompt_tokens_per_second", "gauge", "Reading speed of the last prompt.",
     metrics_model_reading},
    {"model_failovers_total", "counter", "Engines that were lost while they served it.",
     metrics_model_failovers},
};

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
        metrics_head(b, row->name, row->type, row->help);
        for (size_t i = 0; serve_model_at(s, i, &m); i++) {
            buf_addf(b, "gfxbridge_%s", row->name);
            metrics_model_labels(b, &m);
            buf_addf(b, " %.17g\n", row->value(&m));
        }
    }
}

/* ---- totals ---- */

static void metrics_status(struct buf *b, const struct pool_counters *t)
{
    static const char *const classes[] = {"left", "1xx", "2xx", "3xx", "4xx", "5xx"};
    metrics_head(b, "requests_total", "counter",
                 "Requests by the class of their status; left: the client went away.");
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        buf_addf(b, "gfxbridge_requests_total{status=\"%s\"} %llu\n", classes[i],
                 (unsigned long long)t->requests[i]);
}

static void metrics_get(struct http_exchange *x)
{
    const struct serve *s = serve_of(x);
    const struct pool_counters *t = serve_totals(s);
    struct buf CLEAN_BUF b = BUF_INIT(4u << 20);
    metrics_head(&b, "info", "gauge", "The program's version.");
    buf_addf(&b, "gfxbridge_info{version=\"%s\"} 1\n", GFXB_VERSION);
    metrics_one(&b, "start_time_seconds", "gauge", "Start of the server, seconds since 1970.",
                (double)serve_started_at(s));
    metrics_one(&b, "connections", "gauge", "Open connections of clients.",
                (double)serve_connections(s));
    metrics_one(&b, "models_loaded", "gauge", "Models that are loaded or being loaded.",
                (double)serve_model_count(s));
    metrics_status(&b, t);
    metrics_one(&b, "request_seconds_total", "counter",
                "Time that requests were under way, summed.", t->seconds);
    metrics_one(&b, "prompt_tokens_total", "counter", "Tokens of prompts, cached ones included.",
                (double)t->prompt_tokens);
    metrics_one(&b, "cached_tokens_total", "counter", "Tokens of prompts that were not read again.",
                (double)t->cached_tokens);
    metrics_one(&b, "tokens_total", "counter", "Tokens that were generated.", (double)t->tokens);
    metrics_one(&b, "failovers_total", "counter", "Engines that were lost while they served.",
                (double)t->failovers);
    metrics_one(&b, "replays_total", "counter",
                "Requests that another engine answered than the first.", (double)t->replays);
    metrics_one(&b, "loads_total", "counter", "Models that were loaded.", (double)t->loads);
    metrics_models(&b, s);
    if (buf_ok(&b))
        http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b), NULL);
    else
        http_fail(x, 500, NULL, NULL, "out of memory");
}

const struct http_route metrics_routes[] = {
    {HTTP_GET, "/metrics", metrics_get, 0, NULL},
    {0},
};
