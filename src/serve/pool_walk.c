#include "serve/pool_walk.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

enum {
    WALK_CHECK_MS = 5000, /* between two looks at a healthy engine's log */
    WALK_STOP_MS = 200,   /* how late a stop may be seen while nothing else happens */
    WALK_QUEUE = 8,       /* events that wait; a newer one makes older ones pointless */
};

/* One model, kept running by a thread of its own. */
struct walk {
    struct path_request request;
    char *model; /* NULL: the canary */
    char *mmproj, *alias;
    const char *args[16];
    pthread_t thread;
    int event_fd; /* readable: events wait */
    volatile sig_atomic_t stop;
    pthread_mutex_t lock; /* of what follows */
    struct pool_event event[WALK_QUEUE];
    size_t n_events;
    bool ready;
    struct pool_endpoint endpoint;
};

static void walk_tell(struct walk *walk, enum pool_event_kind kind, const struct gfxb_error *why)
{
    pthread_mutex_lock(&walk->lock);
    if (walk->n_events == WALK_QUEUE)
        memmove(walk->event, walk->event + 1, --walk->n_events * sizeof(walk->event[0]));
    struct pool_event *event = &walk->event[walk->n_events++];
    *event = (struct pool_event){.kind = kind};
    if (why)
        event->why = *why;
    walk->ready = kind == POOL_READY;
    pthread_mutex_unlock(&walk->lock);
    eventfd_write(walk->event_fd, 1);
}

static void walk_publish(struct walk *walk, const struct path *path)
{
    pthread_mutex_lock(&walk->lock);
    struct pool_endpoint *e = &walk->endpoint;
    e->generation++;
    e->pid = engine_pid(path->engine);
    snprintf(e->socket, sizeof(e->socket), "%s", engine_socket(path->engine));
    snprintf(e->key, sizeof(e->key), "%s", engine_key(path->engine));
    snprintf(e->backend, sizeof(e->backend), "%s", plan_backend_name(path->running->backend));
    snprintf(e->package, sizeof(e->package), "%s", path->package->id);
    engine_places_text(&path->places, e->device, sizeof(e->device));
    pthread_mutex_unlock(&walk->lock);
    walk_tell(walk, POOL_READY, NULL);
}

/* Until the engine ends, or we are to stop. */
static void walk_watch(const struct walk *walk, struct path *path)
{
    struct pollfd watched = {.fd = engine_pidfd(path->engine), .events = POLLIN};
    struct gfxb_error err;
    int64_t next = child_now_ms() + WALK_CHECK_MS;
    while (!walk->stop) {
        if (poll(&watched, 1, WALK_STOP_MS) > 0)
            return;
        if (child_now_ms() < next)
            continue;
        next = child_now_ms() + WALK_CHECK_MS;
        if (engine_check(path->engine, &err) < 0)
            return;
    }
}

static void *walk_thread(void *argument)
{
    struct walk *walk = argument;
    while (!walk->stop) {
        struct path path = {0};
        struct gfxb_error err = {0};
        int result = path_walk(&walk->request, &path, &err);
        if (result < 0) {
            walk_tell(walk, POOL_FAILED, &err);
            path_done(&path);
            return NULL;
        }
        walk_publish(walk, &path);
        walk_watch(walk, &path);
        if (!walk->stop)
            walk_tell(walk, POOL_LOADING, NULL);
        path_done(&path);
    }
    return NULL;
}

static int walk_find(void *context, const char *name, struct pool_found *ret_found,
                     struct gfxb_error *err)
{
    (void)context;
    bool canary = strcmp(name, "canary") == 0;
    if (!canary && (name[0] != '/' || access(name, R_OK) < 0))
        return error_set(err, ENOENT, "the model '%s' is not on this computer", name);
    *ret_found = (struct pool_found){.name = strdup(name), .path = strdup(canary ? "" : name)};
    return ret_found->name && ret_found->path ? 0 : error_set(err, ENOMEM, "out of memory");
}

static void walk_free(void *engine)
{
    struct walk *walk = engine;
    walk->stop = 1;
    pthread_join(walk->thread, NULL);
    pthread_mutex_destroy(&walk->lock);
    close(walk->event_fd);
    free(walk->model);
    free(walk->mmproj);
    free(walk->alias);
    free(walk);
}

/* The engine's own arguments for this kind of model. */
static void walk_set_args(struct walk *walk, const struct pool_found *found)
{
    size_t n = 0;
    walk->args[n++] = "--alias";
    walk->args[n++] = walk->alias;
    walk->args[n++] = found->ranks ? "--reranking" : "--embeddings";
    if (!found->ranks && !found->embeds) {
        walk->args[n++] = "--pooling"; /* without it a chat ends the engine */
        walk->args[n++] = "mean";
    }
    walk->args[n] = NULL;
}

static int walk_start(void *context, const struct pool_found *found,
                      const struct pool_options *options, void **ret_engine, struct gfxb_error *err)
{
    const struct serve_config *config = context;
    struct walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return error_set(err, ENOMEM, "out of memory");
    walk->request = *config->path;
    walk->model = found->path[0] ? strdup(found->path) : NULL;
    walk->mmproj = found->mmproj ? strdup(found->mmproj) : NULL;
    walk->alias = strdup(found->name);
    walk_set_args(walk, found);
    walk->request.model = walk->model;
    walk->request.mmproj = walk->mmproj;
    walk->request.slots = options->slots;
    walk->request.http_threads = options->http_threads;
    walk->request.context = options->context;
    walk->request.args = walk->args;
    walk->request.cancel = &walk->stop;
    if (options->backend >= 0)
        walk->request.wish.backend = options->backend;
    pthread_mutex_init(&walk->lock, NULL);
    walk->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (walk->event_fd >= 0 && walk->alias &&
        pthread_create(&walk->thread, NULL, walk_thread, walk) == 0) {
        *ret_engine = walk;
        return 0;
    }
    if (walk->event_fd >= 0)
        close(walk->event_fd);
    free(walk->model);
    free(walk->mmproj);
    free(walk->alias);
    free(walk);
    return error_set(err, EAGAIN, "cannot start a thread for the engine");
}

static int walk_fd(const void *engine)
{
    return ((const struct walk *)engine)->event_fd;
}

static bool walk_next(void *engine, struct pool_event *ret_event)
{
    struct walk *walk = engine;
    eventfd_t count;
    pthread_mutex_lock(&walk->lock);
    eventfd_read(walk->event_fd, &count);
    bool any = walk->n_events > 0;
    if (any) {
        *ret_event = walk->event[0];
        memmove(walk->event, walk->event + 1, --walk->n_events * sizeof(walk->event[0]));
    }
    pthread_mutex_unlock(&walk->lock);
    return any;
}

static bool walk_endpoint(void *engine, struct pool_endpoint *ret_endpoint)
{
    struct walk *walk = engine;
    pthread_mutex_lock(&walk->lock);
    bool ready = walk->ready;
    *ret_endpoint = walk->endpoint;
    pthread_mutex_unlock(&walk->lock);
    return ready;
}

static void walk_began(void *engine, uint64_t generation)
{
    (void)engine;
    (void)generation;
}

static void walk_ended(void *engine, uint64_t generation, enum pool_outcome outcome)
{
    (void)engine;
    (void)generation;
    (void)outcome;
}

struct pool_engines pool_walk_engines(const struct serve_config *config)
{
    return (struct pool_engines){walk_find,  walk_start, walk_free,
                                 walk_fd,    walk_next,  walk_endpoint,
                                 walk_began, walk_ended, (void *)(uintptr_t)config};
}
