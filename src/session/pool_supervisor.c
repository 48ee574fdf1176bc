#include "session/pool_supervisor.h"

#include "api/dialect.h"
#include "session/session.h"
#include "session/supervisor.h"

#include <errno.h>
#include <sys/stat.h>

enum { SUPERVISED_ARGS_MAX = 5 };

static bool supervised_add(char **args, size_t *n, const char *word)
{
    return (args[(*n)++] = strdup(word)) != NULL;
}

static bool supervised_has(char *const *args, const char *word)
{
    for (; args && *args; args++) {
        if (strcmp(*args, word) == 0)
            return true;
    }
    return false;
}

/* Beside its recipe's, which the path adds: what lets one engine answer all calls that its model
 * can. */
static char **supervised_args(const struct dialect_model *m, char *const *recipe)
{
    size_t n = 0;
    char **args = calloc(SUPERVISED_ARGS_MAX + 1, sizeof(*args));
    bool ok =
        args && supervised_add(args, &n, "--alias") && supervised_add(args, &n, m->model.name);
    if (ok && !supervised_has(recipe, "--embeddings") && !supervised_has(recipe, "--reranking"))
        ok = supervised_add(args, &n, "--embeddings");
    if (ok && m->model.task == MODEL_CHAT && !supervised_has(recipe, "--pooling"))
        ok = supervised_add(args, &n, "--pooling") && /* without it a chat ends the engine */
             supervised_add(args, &n, "mean");
    if (ok)
        return args;
    pool_found_done(&(struct pool_found){.args = args});
    return NULL;
}

/* The model and its projector. */
static uint64_t supervised_bytes(const struct dialect_model *m)
{
    struct stat st;
    bool known = m->model.mmproj && stat(m->model.mmproj, &st) == 0 && st.st_size > 0;
    return m->model.bytes + (known ? (uint64_t)st.st_size : 0);
}

static int supervised_take(const struct dialect_model *m, const struct model_known *known,
                           struct pool_found *ret_found, struct gfxb_error *err)
{
    struct model_launch launch;
    bool builtin = m->model.origin == MODEL_BUILTIN;
    const char *mmproj = m->model.mmproj;
    int result = model_launch_new(&m->gguf, known, 0, mmproj, &launch, err);
    if (result < 0)
        return result;
    struct pool_found found = {.name = strdup(m->model.name),
                               .path = builtin ? NULL : strdup(m->model.path),
                               .mmproj = mmproj ? strdup(mmproj) : NULL,
                               .args = supervised_args(m, launch.args),
                               .listed = known != NULL,
                               .bytes = supervised_bytes(m)};
    if (known)
        found.known = *known;
    model_launch_done(&launch);
    if (found.name && (builtin || found.path) && (!mmproj || found.mmproj) && found.args) {
        *ret_found = found;
        return 0;
    }
    pool_found_done(&found);
    return error_set(err, ENOMEM, "out of memory");
}

static int supervised_find(void *context, const char *name, struct pool_found *ret_found,
                           struct gfxb_error *err)
{
    const struct serve_config *config = context;
    struct dialect_model m;
    int result = dialect_model_find(config->models, name, &m, err);
    if (result < 0)
        return result;
    result = supervised_take(&m, model_known_find(str_from(m.model.name)), ret_found, err);
    dialect_model_done(&m);
    return result;
}

static void supervised_free(void *engine)
{
    supervisor_free(engine);
}

static int supervised_start(void *context, const struct pool_found *found,
                            const struct pool_options *options, void **ret_engine,
                            struct gfxb_error *err)
{
    const struct serve_config *config = context;
    struct supervisor *supervisor;
    struct supervisor_spec spec = {.path = *config->path};
    spec.path.model = found->path;
    spec.path.mmproj = found->mmproj;
    spec.path.known = found->listed ? &found->known : NULL;
    spec.path.slots = options->slots;
    spec.path.http_threads = options->http_threads;
    spec.path.context = options->context;
    spec.path.args = (const char *const *)found->args;
    if (options->backend >= 0)
        spec.path.request.backend = options->backend;
    int result = supervisor_new(&spec, &supervisor, err);
    if (result < 0)
        return result;
    supervisor_start(supervisor);
    *ret_engine = supervisor;
    return 0;
}

static int supervised_fd(const void *engine)
{
    return supervisor_fd(engine);
}

static bool supervised_next(void *engine, struct pool_event *ret_event)
{
    struct supervisor_event event;
    if (!supervisor_next_event(engine, &event))
        return false;
    ret_event->why = event.why;
    ret_event->kind = event.state == SUPERVISOR_READY ? POOL_READY : POOL_LOADING;
    /* With something left out it tries that again by itself, and requests may wait for it. */
    if (event.state == SUPERVISOR_BACKING_OFF && event.tried_all)
        ret_event->kind = POOL_FAILED;
    return true;
}

static bool supervised_endpoint(void *engine, struct pool_endpoint *ret_endpoint)
{
    struct supervisor_endpoint e;
    if (!supervisor_endpoint(engine, &e))
        return false;
    *ret_endpoint = (struct pool_endpoint){.generation = e.generation, .pid = e.pid};
    memcpy(ret_endpoint->socket, e.socket, sizeof(e.socket));
    memcpy(ret_endpoint->key, e.key, sizeof(e.key));
    memcpy(ret_endpoint->backend, e.backend, sizeof(e.backend));
    memcpy(ret_endpoint->device, e.device, sizeof(e.device));
    memcpy(ret_endpoint->package, e.package, sizeof(e.package));
    return true;
}

static void supervised_began(void *engine, uint64_t generation)
{
    supervisor_request_began(engine, generation);
}

static void supervised_ended(void *engine, uint64_t generation, enum pool_outcome outcome)
{
    static const enum supervisor_outcome outcomes[] = {
        [POOL_OK] = SUPERVISOR_OK,
        [POOL_BROKEN] = SUPERVISOR_BROKEN,
        [POOL_STALLED] = SUPERVISOR_STALLED,
        [POOL_NONSENSE] = SUPERVISOR_NONSENSE,
        [POOL_CANCELLED] = SUPERVISOR_CANCELLED,
    };
    supervisor_request_ended(engine, generation, outcomes[outcome]);
}

struct pool_engines pool_supervisor_engines(const struct serve_config *config)
{
    return (struct pool_engines){supervised_find,  supervised_start, supervised_free,
                                 supervised_fd,    supervised_next,  supervised_endpoint,
                                 supervised_began, supervised_ended, (void *)(uintptr_t)config};
}
