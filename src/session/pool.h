/*
 * pool.h - the models that are loaded, and who waits for them. Loaded on first use, several at a
 * time by memory, the least recently used one goes first. Private to session/; the loop's thread
 * only.
 */
#ifndef SESSION_POOL_H
#define SESSION_POOL_H

#include "api/api.h"
#include "http/http.h"
#include "session/pool_engines.h"

struct pool;
struct pool_model;
struct pool_lane;

struct pool_request {
    struct str model; /* empty: the one that was used last, else the default */
    unsigned context;
    int64_t keep_alive;
    int pin;     /* 1, 0, -1 as it is */
    int backend; /* -1 any */
};

/* Somebody who waits for a model; part of its owner. */
struct pool_waiter {
    struct pool_waiter *next, *previous;
    struct pool_model *model; /* NULL: not waiting, not active */
    struct pool_lane *lane;   /* while active */
    bool load_only;           /* only wants to know that it is ready */
    unsigned attempts;
    /* The engine is there: send the request to the lane, and call pool_done or pool_again later.
     * With load_only the waiter is out of the pool already. May come from within pool_wait. */
    void (*ready)(struct pool_waiter *waiter);
    /* It is not to be had; the waiter is out of the pool. May come from within pool_wait. */
    void (*failed)(struct pool_waiter *waiter, const struct gfxb_error *why);
};

int pool_new(struct serve *s, const struct pool_engines *engines, struct pool **ret_pool,
             struct gfxb_error *err);
/* Only when pool_idle. */
void pool_free(struct pool *pool);
/* Unload everything; done is called (in the loop) once nothing of it runs any more. */
void pool_end(struct pool *pool, void (*done)(void *context), void *context);

void pool_wait(struct pool *pool, const struct pool_request *request, struct pool_waiter *waiter);
/* Out of the queue, or of activity when the client left. */
void pool_leave(struct pool_waiter *waiter);
void pool_done(struct pool_waiter *waiter, enum pool_outcome outcome);
/* The engine was lost: to the front of the queue. */
void pool_again(struct pool_waiter *waiter, enum pool_outcome outcome);

struct http_endpoint *pool_upstream(const struct pool_waiter *waiter);
const struct pool_endpoint *pool_endpoint(const struct pool_waiter *waiter);
/* Why its engine was lost, where that is known already; NULL it is not. */
const struct gfxb_error *pool_lost(const struct pool_waiter *waiter);
struct serve_counters *pool_counters(const struct pool_waiter *waiter); /* of its model */
const char *pool_name(const struct pool_waiter *waiter);                /* of its model */

int pool_unload(struct pool *pool, struct str name, struct gfxb_error *err);
void pool_load_pinned(struct pool *pool);

size_t pool_count(const struct pool *pool);
bool pool_at(const struct pool *pool, size_t index, struct serve_model *ret_model);
/* Requests that wait, of all models. */
size_t pool_waiting(const struct pool *pool);

#endif
