/* load.c - which file a model's name means to the server, and waiting until it is loaded. */
#include "api/serve.h"
#include "base/xalloc.h"

#include <sys/stat.h>

/* ---- which file? ---- */

/* Beside its recipe's, which the session adds: one engine answers all calls that its model can. */
static char **found_args(const struct dialect_model *m, const struct model_known *known,
                         char *const *recipe)
{
    struct engine_words args = {.n = 0};
    engine_kind_of_model(known)->add_serving(m->model.name, m->model.task, recipe, &args);
    return args.word;
}

/* The model and its projector. */
static uint64_t found_bytes(const struct dialect_model *m)
{
    struct stat st;
    bool known = m->model.mmproj && stat(m->model.mmproj, &st) == 0 && st.st_size > 0;
    return m->model.bytes + (known ? (uint64_t)st.st_size : 0);
}

static int found_take(const struct dialect_model *m, const struct model_known *known,
                      struct pool_found *ret_found, struct gfxb_error *err)
{
    struct model_launch launch;
    bool builtin = m->model.origin == MODEL_BUILTIN;
    int result = model_launch_new(&m->gguf, known, 0, m->model.mmproj, &launch, err);
    if (result < 0)
        return result;
    *ret_found = (struct pool_found){.name = xstrdup(m->model.name),
                                     .path = builtin ? NULL : xstrdup(m->model.path),
                                     .mmproj = xstrdup_or_null(m->model.mmproj),
                                     .args = found_args(m, known, launch.args),
                                     .known = known,
                                     .bytes = found_bytes(m)};
    model_launch_done(&launch);
    return 0;
}

int serve_find(void *models, const char *name, struct pool_found *ret_found, struct gfxb_error *err)
{
    struct dialect_model m;
    int result = dialect_model_find(models, name, &m, err);
    if (result < 0)
        return result;
    result = found_take(&m, model_known_find(str_from(m.model.name)), ret_found, err);
    dialect_model_done(&m);
    return result;
}

/* ---- loading ---- */

/* Somebody waits until a model is loaded. */
struct load {
    struct http_exchange *x;
    struct pool_waiter waiter;
    void (*done)(struct http_exchange *x, const struct gfxb_error *why);
};

static void load_end(struct pool_waiter *waiter, const struct gfxb_error *why)
{
    struct load *load = container_of(waiter, struct load, waiter);
    struct http_exchange *x = load->x;
    void (*done)(struct http_exchange *, const struct gfxb_error *) = load->done;
    http_set_worker(x, NULL, NULL);
    free(load);
    done(x, why);
}

static void load_ready(struct pool_waiter *waiter)
{
    load_end(waiter, NULL);
}

static void load_cancel(void *worker)
{
    struct load *load = worker;
    pool_leave(&load->waiter);
    free(load);
}

static const struct http_worker_ops load_worker_ops = {load_cancel, NULL};

void serve_load(struct http_exchange *x, const struct serve_load *wanted)
{
    struct load *load = xcalloc(1, sizeof(*load));
    *load = (struct load){
        .x = x,
        .waiter = {.load_only = true, .ready = load_ready, .failed = load_end},
        .done = wanted->done,
    };
    http_set_worker(x, &load_worker_ops, load);
    struct pool_options options = {.context = wanted->context,
                                   .keep_alive = wanted->keep_alive,
                                   .pin = wanted->pin,
                                   .backend = wanted->backend};
    pool_wait(serve_of(x)->pool, wanted->model, &options, &load->waiter);
}
