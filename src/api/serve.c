/* serve.c - the server: HTTP in front, models and downloads behind. */
#include "api/serve.h"

#include <stdio.h>
#include <time.h>

enum { SERVE_THREADS = 32 }; /* downloads, look-ups of names */

struct serve *serve_of(const struct http_exchange *x)
{
    return http_user(x);
}

/* ---- what http/ asks ---- */

static void serve_failure(void *user, const struct http_failure *failure, struct buf *out)
{
    struct dialect_error error = {
        .status = failure->status, .code = failure->code, .param = failure->param};
    (void)user;
    dialect_copy(error.message, sizeof(error.message), failure->message);
    if (failure->code && strcmp(failure->code, "not_found") == 0)
        error.path = failure->path;
    dialect_error_body(dialect_of_path(failure->path), &error, out);
}

static void serve_over(void *user, int status)
{
    struct serve *s = user;
    int digit = status / 100;
    pool_totals(s->pool)->requests[digit >= 0 && digit <= 5 ? digit : 0]++;
}

static void serve_draining(void *user)
{
    struct serve *s = user;
    downloads_cancel(s->downloads);
    pool_drain(s->pool);
}

static bool serve_busy(void *user)
{
    struct serve *s = user;
    return downloads_count(s->downloads) > 0;
}

static void serve_ended(void *context)
{
    struct serve *s = context;
    http_server_stop(s->http);
}

static void serve_end(void *user)
{
    struct serve *s = user;
    pool_end(s->pool, serve_ended, s);
}

static const struct http_server_ops serve_ops = {serve_failure, serve_over, serve_draining,
                                                 serve_busy, serve_end};

/* Clients of other servers know these prefixes. */
static const struct http_alias serve_aliases[] = {
    {"/api/v1/", "/v1/"}, {"/api/v0/", "/v1/"}, {"/v0/", "/v1/"}, {NULL, NULL}};

/* What the libraries of OpenAI and Anthropic send from a page. */
#define SERVE_ALLOWED_HEADERS                                                                      \
    "authorization, content-type, x-api-key, anthropic-version, anthropic-beta, "                  \
    "x-stainless-arch, x-stainless-lang, x-stainless-os, x-stainless-package-version, "            \
    "x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, "                  \
    "x-stainless-timeout"

/* ---- the beginning and the end ---- */

static void serve_defaults(struct serve_config *c)
{
    c->default_model = c->default_model ? c->default_model : "canary";
    c->keep_alive = c->keep_alive ? c->keep_alive : SERVE_KEEP_SECONDS;
    c->slots = c->slots ? c->slots : 4;
    c->engine_requests = c->engine_requests ? c->engine_requests : 64;
    c->queue = c->queue ? c->queue : 1024;
}

static int serve_listen(struct serve *s, struct gfxb_error *err)
{
    const struct serve_config *c = &s->config;
    struct http_server_config http = {
        .host = c->host,
        .port = c->port,
        .keys = c->keys,
        .allowed_hosts = c->allowed_hosts,
        .allowed_origins = c->allowed_origins,
        .allowed_headers = SERVE_ALLOWED_HEADERS,
        .exposed_headers = "x-gfxbridge-backend, x-gfxbridge-device",
        .runtime_dir = c->runtime_dir,
        .connections = c->connections,
        .max_body = c->max_body,
        .drain_ms = c->drain_ms,
        .routes = serve_dialects,
        .aliases = serve_aliases,
        .ops = &serve_ops,
        .user = s,
        .log = c->log,
    };
    int result = http_server_new(&http, &s->http, err);
    if (result == 0)
        s->loop = http_server_loop(s->http);
    return result;
}

static int serve_make_pool(struct serve *s, const struct pool_config *own, struct gfxb_error *err)
{
    const struct serve_config *c = &s->config;
    struct pool_config pool = *own;
    int result = work_new(s->loop, SERVE_THREADS, 1, &s->work, err);
    pool.loop = s->loop;
    pool.work = s->work;
    pool.log = c->log;
    pool.request = c->request;
    pool.pinned = c->pinned;
    pool.default_model = c->default_model;
    pool.keep_alive = c->keep_alive;
    pool.slots = c->slots;
    pool.engine_requests = c->engine_requests;
    pool.queue = c->queue;
    pool.max_models = c->max_models;
    if (result == 0)
        s->pool = pool_new(&pool);
    return result;
}

int serve_run_with(const struct serve_config *config, const struct pool_config *pool,
                   struct gfxb_error *err)
{
    struct serve *s = xcalloc(1, sizeof(*s));
    s->config = *config;
    s->started_at = time(NULL);
    serve_defaults(&s->config);
    int result = serve_listen(s, err);
    if (result == 0)
        result = serve_make_pool(s, pool, err);
    s->downloads = downloads_new(s);
    if (result == 0) {
        pool_load_pinned(s->pool);
        http_server_run(s->http);
    }
    pool_free(s->pool);
    downloads_free(s->downloads);
    work_free(s->work);
    http_server_free(s->http);
    free(s);
    return result;
}

/* Everything that is logged goes to the ring, too. */
int serve_run(const struct serve_config *config, struct gfxb_error *err)
{
    struct log_ring *ring = log_ring_new(config->log);
    struct serve_config own = *config;
    struct session_request request = *config->request;
    struct model_env models = *config->models;
    own.log = request.log = models.log = log_ring_log(ring);
    own.request = &request;
    own.models = &models;
    const struct pool_config pool = {.find = serve_find, .find_context = &models};
    int result = serve_run_with(&own, &pool, err);
    log_ring_free(ring);
    return result;
}
