#include "api/serve.h"

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
    struct load *load = calloc(1, sizeof(*load));
    if (!load) {
        http_fail(x, 503, "out_of_memory", NULL, "out of memory");
        return;
    }
    *load = (struct load){
        .x = x,
        .waiter = {.load_only = true, .ready = load_ready, .failed = load_end},
        .done = wanted->done,
    };
    http_set_worker(x, &load_worker_ops, load);
    struct pool_request request = {.model = wanted->model,
                                   .context = wanted->context,
                                   .keep_alive = wanted->keep_alive,
                                   .pin = wanted->pin,
                                   .backend = wanted->backend};
    pool_wait(serve_of(x)->pool, &request, &load->waiter);
}

int serve_unload(struct serve *s, struct str name, struct gfxb_error *err)
{
    return pool_unload(s->pool, name, err);
}
