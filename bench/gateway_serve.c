/*
 * gateway_serve.c - the server with an engine that is there already: the gateway alone.
 *
 * gateway_serve PORT SOCKET [REQUESTS_PER_ENGINE]
 */
#include "api/api.h"
#include "session/session_private.h"

#include <stdio.h>

static const char *engine_socket_path;

static int fixed_find(void *context, const char *name, struct pool_found *ret_found,
                      struct gfxb_error *err)
{
    (void)context;
    (void)name;
    (void)err;
    *ret_found = (struct pool_found){.name = strdup("double"), .path = strdup("/dev/null")};
    return 0;
}

/* An engine that is there: it is up when it is asked to be. */
struct fixed {
    struct pool_model *model;
    struct session_news news;
};

static int fixed_open(struct pool_model *m, void **ret_engine, struct gfxb_error *err)
{
    struct fixed *fixed = calloc(1, sizeof(*fixed));
    if (!fixed)
        return error_set(err, 12, "out of memory");
    fixed->model = m;
    *ret_engine = fixed;
    return 0;
}

static void fixed_tell(void *engine)
{
    struct fixed *fixed = engine;
    pool_news(fixed->model, &fixed->news);
}

static void fixed_order(void *engine, const struct session_order *order)
{
    struct fixed *fixed = engine;
    struct session_history history = order->history;
    session_history_done(&history);
    free(order->fingerprint);
    if (order->kind == SESSION_REJECT)
        return;
    fixed->news =
        (struct session_news){.event = order->kind == SESSION_BRING_UP ? SESSION_EV_UP
                                       : order->kind == SESSION_PROVE  ? SESSION_EV_JUDGED
                                                                       : SESSION_EV_ENDED,
                              .endpoint = {.backend = "cpu", .device = "CPU", .package = "double"},
                              .key = "key",
                              .fingerprint = "double"};
    snprintf(fixed->news.socket, sizeof(fixed->news.socket), "%s", engine_socket_path);
    loop_post(fixed->model->pool->config.loop, fixed_tell, fixed);
}

static void fixed_traffic(void *engine, unsigned requests, bool answered)
{
    (void)engine;
    (void)requests;
    (void)answered;
}

static void fixed_close(void *engine)
{
    free(engine);
}

static void print_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    static const struct session_engines engines = {fixed_open, fixed_order, fixed_traffic,
                                                   fixed_close};
    static const struct session_request request;
    static const struct model_env models;
    const struct log log = {print_line, NULL};
    struct gfxb_error err = {0};
    if (argc < 3)
        return 2;
    engine_socket_path = argv[2];
    struct serve_config config = {
        .http = {.port = (unsigned)strtoul(argv[1], NULL, 10),
                 .runtime_dir = argc > 4 ? argv[4] : NULL},
        .pool = {.find = fixed_find,
                 .engines = &engines,
                 .engine_requests = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0,
                 .queue = 16384},
        .request = &request,
        .models = &models,
        .log = &log,
    };
    int result = serve_run(&config, &err);
    if (result < 0)
        fprintf(stderr, "gateway_serve: %s\n", err.text);
    return result < 0;
}
