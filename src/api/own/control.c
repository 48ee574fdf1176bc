/* control.c - the control socket: what status and stop answer. */
#include "api/serve.h"

#include <time.h>

static json_t *control_counters(const struct pool_counters *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "answered",
                     (json_int_t)c->requests[2], "refused", (json_int_t)c->requests[4], "failed",
                     (json_int_t)c->requests[5], "failovers", (json_int_t)c->failovers, "replays",
                     (json_int_t)c->replays, "prompt_tokens", (json_int_t)c->prompt_tokens,
                     "tokens", (json_int_t)c->tokens, "tokens_per_second",
                     c->last.tokens_per_second);
}

static json_t *control_nodes(const struct pool_status *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct pool_node *n = &m->node[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:o, s:o, s:f, s:f}", "name", n->name, "layers",
                                        report_json_bytes(n->layers), "need_bytes",
                                        report_json_bytes(n->need_bytes), "have_bytes",
                                        report_json_bytes(n->have_bytes), "bytes_per_second",
                                        n->bytes_per_second, "round_trip_us", n->round_trip_us));
    }
    return list;
}

static json_t *control_model(const struct pool_status *m)
{
    json_t *model = control_counters(&m->counters);
    json_t *expires = m->expires_at ? json_integer(m->expires_at) : json_null();
    json_object_update_new(
        model,
        json_pack("{s:o, s:s, s:o, s:o, s:o, s:i, s:i, s:b, s:o, s:o, s:o, s:o}", "name",
                  report_json_text(m->name), "state", serve_model_state_name(m->state), "backend",
                  report_json_text(m->backend), "device", report_json_text(m->device), "package",
                  report_json_text(m->package), "active", (int)m->active, "waiting",
                  (int)m->waiting, "pinned", (int)m->pinned, "bytes", report_json_bytes(m->bytes),
                  "expires_at", expires, "model_check",
                  m->checked ? json_string("passed") : json_null(), "nodes", control_nodes(m)));
    return model;
}

static json_t *control_addresses(const struct serve *s)
{
    json_t *list = json_array();
    char address[256];
    for (size_t i = 0; http_server_address(s->http, i, address, sizeof(address)); i++)
        json_array_append_new(list, json_string(address));
    return list;
}

static void control_status(struct http_exchange *x)
{
    const struct serve *s = serve_of(x);
    struct pool_status model;
    json_t *models = json_array();
    for (size_t i = 0; pool_at(s->pool, i, &model); i++)
        json_array_append_new(models, control_model(&model));
    json_t *status = json_pack(
        "{s:i, s:i, s:s, s:o, s:I, s:b, s:i, s:i, s:o, s:o}", "schema", 1, "pid", getpid(),
        "version", GFXB_VERSION, "addresses", control_addresses(s), "uptime_seconds",
        (json_int_t)(time(NULL) - s->started_at), "draining", http_server_is_draining(s->http),
        "connections", (int)http_server_connections(s->http), "waiting", (int)pool_waiting(s->pool),
        "totals", control_counters(pool_totals(s->pool)), "models", models);
    dialect_reply_json(x, 200, status);
}

static void control_stop(struct http_exchange *x)
{
    struct serve *s = serve_of(x);
    http_reply(x, 200, "application/json", STR("{\"stopping\":true}\n"), NULL);
    http_server_drain(s->http);
}

const struct http_route control_routes[] = {
    {HTTP_GET, "/internal/status", control_status, HTTP_CONTROL, 0},
    {HTTP_POST, "/internal/stop", control_stop, HTTP_CONTROL, 0},
    {0},
};
