/*
 * metrics.c - GET /metrics in Prometheus' text format 0.0.4. The counters of a model end when it is
 * unloaded; the totals go on.
 */
#include "api/serve.h"

/* Name, type, help, and the value of the server s with its totals t. */
#define METRICS_TOTALS(X)                                                                          \
    X("start_time_seconds", "gauge", "Start of the server, seconds since 1970.", s->started_at)    \
    X("connections", "gauge", "Open connections of clients.", http_server_connections(s->http))    \
    X("models_loaded", "gauge", "Models that are loaded or being loaded.", pool_count(s->pool))    \
    X("request_seconds_total", "counter", "Time of all requests, summed.", t->seconds)             \
    X("prompt_tokens_total", "counter", "Tokens of prompts, with cached ones.", t->prompt_tokens)  \
    X("cached_tokens_total", "counter", "Tokens of prompts that came from the cache.",             \
      t->cached_tokens)                                                                            \
    X("tokens_total", "counter", "Generated tokens.", t->tokens)                                   \
    X("failovers_total", "counter", "Engines that failed while they served.", t->failovers)        \
    X("replays_total", "counter", "Requests that a second engine answered.", t->replays)           \
    X("loads_total", "counter", "Times that a model was loaded.", t->loads)

/* The same of a model m with its counters c. */
#define METRICS_OF_MODEL(X)                                                                        \
    X("model_ready", "gauge", "1 while the model is ready on a proven engine.",                    \
      m->state == POOL_READY)                                                                      \
    X("model_requests_total", "counter", "Requests for the model.", metrics_requests(c))           \
    X("model_requests_active", "gauge", "Requests at its engine.", m->active)                      \
    X("model_requests_waiting", "gauge", "Requests in the queue for it.", m->waiting)              \
    X("model_memory_bytes", "gauge", "Memory that it is expected to use.", m->bytes)               \
    X("model_prompt_tokens_total", "counter", "Tokens of prompts, with cached ones.",              \
      c->prompt_tokens)                                                                            \
    X("model_cached_tokens_total", "counter", "Tokens of prompts that came from the cache.",       \
      c->cached_tokens)                                                                            \
    X("model_tokens_total", "counter", "Generated tokens.", c->tokens)                             \
    X("model_tokens_per_second", "gauge", "Generation speed of the last answer.",                  \
      c->last.tokens_per_second)                                                                   \
    X("model_prompt_tokens_per_second", "gauge", "Prompt speed of the last answer.",               \
      c->last.prompt_per_second)                                                                   \
    X("model_failovers_total", "counter", "Engines that failed while they served it.", c->failovers)

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

static void metrics_totals(struct buf *b, const struct serve *s, const struct pool_counters *t)
{
    static const char *const classes[] = {"left", "1xx", "2xx", "3xx", "4xx", "5xx"};
    metrics_head(b, "info", "gauge", "The program's version.");
    buf_addf(b, "gfxbridge_info{version=\"%s\"} 1\n", GFXB_VERSION);
    metrics_head(b, "requests_total", "counter",
                 "Requests by the class of their status; left: the client disconnected.");
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        buf_addf(b, "gfxbridge_requests_total{status=\"%s\"} %llu\n", classes[i],
                 (unsigned long long)t->requests[i]);
#define METRICS_TOTAL(name, type, help, value)                                                     \
    metrics_head(b, name, type, help);                                                             \
    buf_addf(b, "gfxbridge_%s %.17g\n", name, (double)(value));
    METRICS_TOTALS(METRICS_TOTAL)
}

static void metrics_model(struct buf *b, const char *name, const struct pool_status *m,
                          double value)
{
    buf_addf(b, "gfxbridge_%s{", name);
    metrics_label(b, "model", m->name);
    metrics_label(b, ",backend", m->backend);
    metrics_label(b, ",device", m->device);
    metrics_label(b, ",package", m->package);
    buf_addf(b, "} %.17g\n", value);
}

static uint64_t metrics_requests(const struct pool_counters *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof(c->requests) / sizeof(c->requests[0]); i++)
        n += c->requests[i];
    return n;
}

static void metrics_models(struct buf *b, const struct serve *s)
{
    struct pool_status status;
    const struct pool_status *m = &status;
    const struct pool_counters *c = &status.counters;
#define METRICS_MODELS(name, type, help, value)                                                    \
    metrics_head(b, name, type, help);                                                             \
    for (size_t i = 0; pool_at(s->pool, i, &status); i++)                                          \
        metrics_model(b, name, m, (double)(value));
    METRICS_OF_MODEL(METRICS_MODELS)
}

static void metrics_get(struct http_exchange *x)
{
    const struct serve *s = serve_of(x);
    struct buf CLEAN_BUF b = BUF_INIT(4u << 20);
    struct dialect_error error = {.status = 0};
    metrics_totals(&b, s, pool_totals(s->pool));
    metrics_models(&b, s);
    if (!buf_ok(&b))
        dialect_fail_memory(&error);
    if (!dialect_refuse(x, &error))
        http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b), NULL);
}

const struct http_route metrics_routes[] = {
    {HTTP_GET, "/metrics", metrics_get, 0, 0},
    {0},
};
