#include "serve/pool_walk.h"

#include "serve/dialect_models.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

enum {
    WALK_CHECK_MS = 5000,   /* between two looks at a healthy engine's log */
    WALK_STOP_MS = 200,     /* how late a stop may be seen while nothing else happens */
    WALK_TRIES = 6,         /* walks in a row that fail */
    WALK_BACK_OFF_MS = 100, /* before the second of them, twice that before the third ... */
    WALK_ARGS_OWN = 5,      /* words of our own */
    WALK_QUEUE = 8,         /* events that wait; a newer one makes older ones pointless */
};

/* One model, kept running by a thread of its own. */
struct walk {
    struct path_request request;
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

/* What has worked before is tried again: an engine that is killed while it loads proves nothing. */
static bool walk_again(const struct walk *walk, unsigned tries)
{
    if (walk->endpoint.generation == 0 || tries >= WALK_TRIES)
        return false;
    int64_t until = child_now_ms() + (WALK_BACK_OFF_MS << tries);
    while (!walk->stop && child_now_ms() < until)
        poll(NULL, 0, WALK_BACK_OFF_MS / 2);
    return !walk->stop;
}

static void *walk_thread(void *argument)
{
    struct walk *walk = argument;
    unsigned tries = 0;
    while (!walk->stop) {
        struct path path = {0};
        struct gfxb_error err = {0};
        int result = path_walk(&walk->request, &path, &err);
        if (result < 0) {
            path_done(&path);
            if (walk_again(walk, tries++))
                continue;
            walk_tell(walk, POOL_FAILED, &err);
            return NULL;
        }
        tries = 0;
        walk_publish(walk, &path);
        walk_watch(walk, &path);
        if (!walk->stop)
            walk_tell(walk, POOL_LOADING, NULL);
        path_done(&path);
    }
    return NULL;
}

static bool walk_add(char **args, size_t *n, const char *word)
{
    return (args[(*n)++] = strdup(word)) != NULL;
}

static bool walk_has(char *const *args, const char *word)
{
    for (; args && *args; args++) {
        if (strcmp(*args, word) == 0)
            return true;
    }
    return false;
}

/* Its recipe's arguments, and what lets one engine answer all calls that its model can. */
static char **walk_args(const struct dialect_model *m, char *const *recipe)
{
    size_t room = WALK_ARGS_OWN + 1, n = 0;
    for (char *const *arg = recipe; arg && *arg; arg++)
        room++;
    char **args = calloc(room, sizeof(*args));
    bool ok = args && walk_add(args, &n, "--alias") && walk_add(args, &n, m->model.name);
    for (char *const *arg = recipe; ok && arg && *arg; arg++)
        ok = walk_add(args, &n, *arg);
    if (ok && !walk_has(recipe, "--embeddings") && !walk_has(recipe, "--reranking"))
        ok = walk_add(args, &n, "--embeddings");
    if (ok && m->model.task == MODEL_CHAT && !walk_has(recipe, "--pooling"))
        ok = walk_add(args, &n, "--pooling") && /* without it a chat ends the engine */
             walk_add(args, &n, "mean");
    if (ok)
        return args;
    pool_found_done(&(struct pool_found){.args = args});
    return NULL;
}

static int walk_take(const struct dialect_model *m, struct pool_found *ret_found,
                     struct gfxb_error *err)
{
    struct model_launch launch;
    bool builtin = m->model.origin == MODEL_BUILTIN;
    int result = model_launch_new(&m->gguf, NULL, 0, m->model.mmproj, &launch, err);
    if (result < 0)
        return result;
    struct pool_found found = {.name = strdup(m->model.name),
                               .path = builtin ? NULL : strdup(m->model.path),
                               .args = walk_args(m, launch.args),
                               .context = launch.context,
                               .bytes = m->model.bytes};
    model_launch_done(&launch);
    if (found.name && (builtin || found.path) && found.args) {
        *ret_found = found;
        return 0;
    }
    pool_found_done(&found);
    return error_set(err, ENOMEM, "out of memory");
}

static int walk_find(void *context, const char *name, struct pool_found *ret_found,
                     struct gfxb_error *err)
{
    const struct serve_config *config = context;
    struct dialect_model m;
    int result = dialect_model_find(config->models, name, &m, err);
    if (result < 0)
        return result;
    result = walk_take(&m, ret_found, err);
    dialect_model_done(&m);
    return result;
}

static void walk_free(void *engine)
{
    struct walk *walk = engine;
    walk->stop = 1;
    pthread_join(walk->thread, NULL);
    pthread_mutex_destroy(&walk->lock);
    close(walk->event_fd);
    free(walk);
}

static int walk_start(void *context, const struct pool_found *found,
                      const struct pool_options *options, void **ret_engine, struct gfxb_error *err)
{
    const struct serve_config *config = context;
    struct walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return error_set(err, ENOMEM, "out of memory");
    walk->request = *config->path;
    walk->request.model = found->path;
    walk->request.slots = options->slots;
    walk->request.http_threads = options->http_threads;
    walk->request.context = options->context ? options->context : found->context;
    walk->request.args = (const char *const *)found->args;
    walk->request.cancel = &walk->stop;
    if (options->backend >= 0)
        walk->request.wish.backend = options->backend;
    pthread_mutex_init(&walk->lock, NULL);
    walk->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (walk->event_fd >= 0 && pthread_create(&walk->thread, NULL, walk_thread, walk) == 0) {
        *ret_engine = walk;
        return 0;
    }
    if (walk->event_fd >= 0)
        close(walk->event_fd);
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
