/*
 * gateway_serve.c - the server with an engine that is there already: the gateway alone.
 *
 * gateway_serve PORT SOCKET [REQUESTS_PER_ENGINE]
 */
#include "api/serve.h"

#include <stdio.h>
#include <sys/eventfd.h>

static const char *engine_socket_path;

static int fixed_find(void *context, const char *name, struct pool_found *ret_found,
                      struct gfxb_error *err)
{
    (void)context;
    (void)err;
    *ret_found = (struct pool_found){.name = strdup(name), .path = strdup("/dev/null")};
    return 0;
}

struct fixed {
    int fd;
    bool told;
};

static int fixed_start(void *context, const struct pool_found *found,
                       const struct pool_options *options, void **ret_engine,
                       struct gfxb_error *err)
{
    struct fixed *fixed = calloc(1, sizeof(*fixed));
    (void)context;
    (void)found;
    (void)options;
    if (!fixed)
        return error_set(err, 12, "out of memory");
    fixed->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    *ret_engine = fixed;
    return 0;
}

static void fixed_free(void *engine)
{
    struct fixed *fixed = engine;
    close(fixed->fd);
    free(fixed);
}

static int fixed_fd(const void *engine)
{
    return ((const struct fixed *)engine)->fd;
}

static bool fixed_next(void *engine, struct pool_event *ret_event)
{
    struct fixed *fixed = engine;
    bool told = fixed->told;
    eventfd_t count;
    eventfd_read(fixed->fd, &count);
    fixed->told = true;
    *ret_event = (struct pool_event){.kind = POOL_READY};
    return !told;
}

static bool fixed_endpoint(void *engine, struct pool_endpoint *ret_endpoint)
{
    (void)engine;
    *ret_endpoint = (struct pool_endpoint){
        .generation = 1, .key = "key", .backend = "cpu", .device = "CPU", .package = "double"};
    snprintf(ret_endpoint->socket, sizeof(ret_endpoint->socket), "%s", engine_socket_path);
    return true;
}

static void fixed_began(void *engine, uint64_t generation)
{
    (void)engine;
    (void)generation;
}

static void fixed_ended(void *engine, uint64_t generation, enum pool_outcome outcome)
{
    (void)engine;
    (void)generation;
    (void)outcome;
}

static void print_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    static const struct pool_engines engines = {fixed_find,  fixed_start, fixed_free,
                                                fixed_fd,    fixed_next,  fixed_endpoint,
                                                fixed_began, fixed_ended, NULL};
    const struct log log = {print_line, NULL};
    struct gfxb_error err = {0};
    if (argc < 3)
        return 2;
    engine_socket_path = argv[2];
    struct serve_config config = {
        .port = (unsigned)strtoul(argv[1], NULL, 10),
        .engine_requests = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0,
        .queue = 16384,
        .runtime_dir = argc > 4 ? argv[4] : NULL,
        .log = &log,
    };
    int result = serve_run_with(&config, &engines, &err);
    if (result < 0)
        fprintf(stderr, "gateway_serve: %s\n", err.text);
    return result < 0;
}
