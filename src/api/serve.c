/* serve.c - the server: HTTP in front, models and downloads behind. */
#include "api/serve.h"

#include <time.h>

enum {
    SERVE_THREADS = 8, /* look-ups of names */
    SERVE_KEEP_SECONDS = 300,
};

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
    dialect_error_body(dialect_of_path(failure->meant ? str_from(failure->meant) : failure->path),
                       &error, out);
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
                                                 serve_end};

/* Clients of other servers know these prefixes. */
static const struct http_alias serve_aliases[] = {
    {"/api/v1/", "/v1/"}, {"/api/v0/", "/v1/"}, {"/v0/", "/v1/"}, {NULL, NULL}};

/* ---- the beginning and the end ---- */

static int serve_listen(struct serve *s, struct http_server_config http, struct gfxb_error *err)
{
    http.routes = serve_dialects;
    http.aliases = serve_aliases;
    http.ops = &serve_ops;
    http.user = s;
    http.log = log_ring_log(s->log);
    int result = http_server_new(&http, &s->http, err);
    if (result < 0)
        return result;
    s->loop = http_server_loop(s->http);
    return work_new(s->loop, SERVE_THREADS, 1, &s->work, err);
}

static void serve_make_pool(struct serve *s, struct pool_config pool)
{
    pool.loop = s->loop;
    pool.work = s->work;
    pool.log = log_ring_log(s->log);
    pool.request = &s->request;
    if (!pool.find) {
        pool.find = serve_find;
        pool.find_context = &s->models;
    }
    pool.default_model = s->default_model = pool.default_model ? pool.default_model : "canary";
    pool.keep_alive = pool.keep_alive ? pool.keep_alive : SERVE_KEEP_SECONDS;
    pool.slots = pool.slots ? pool.slots : SESSION_SLOTS;
    pool.engine_requests = pool.engine_requests ? pool.engine_requests : 64;
    pool.queue = pool.queue ? pool.queue : 1024;
    s->request.slots = pool.slots; /* what plans are made for */
    s->pool = pool_new(&pool);
}

int serve_run(const struct serve_config *config, struct gfxb_error *err)
{
    struct serve *s = xcalloc(1, sizeof(*s));
    *s = (struct serve){.log = log_ring_new(config->log),
                        .request = *config->request,
                        .models = *config->models,
                        .started_at = time(NULL)};
    s->models.files = false; /* clients name models, never files of our directory */
    s->request.log = s->models.log = log_ring_log(s->log);
    int result = serve_listen(s, config->http, err);
    if (result == 0) {
        serve_make_pool(s, config->pool);
        s->downloads = downloads_new(s->loop);
        pool_load_pinned(s->pool);
        http_server_run(s->http);
    }
    pool_free(s->pool);
    downloads_free(s->downloads);
    work_free(s->work);
    http_server_free(s->http);
    log_ring_free(s->log);
    json_decref(s->options);
    free(s);
    return result;
}
