/*
 * pool_engines.h - where the pool's engines come from: the supervisor's (pool_supervisor.c), or a
 * bench's own. All but find and free return at once. Private to session/.
 */
#ifndef SESSION_POOL_ENGINES_H
#define SESSION_POOL_ENGINES_H

#include "base/base.h"
#include "model/model.h"

/* A model on this disk. Everything is owned: pool_found_done. */
struct pool_found {
    char *name;   /* as it is called in every answer */
    char *path;   /* NULL: the built-in one */
    char *mmproj; /* its projector; NULL none */
    char **args;  /* of the server's own, beside the recipe's; NULL-terminated; NULL nothing */
    struct model_known known; /* its row of the list */
    bool listed;              /* is there one? */
    uint64_t bytes;           /* memory that it needs; 0 unknown */
};

void pool_found_done(struct pool_found *found);

struct pool_options {
    unsigned slots, http_threads, context;
    int backend; /* enum plan_backend, or -1 */
};

enum pool_event_kind {
    POOL_LOADING, /* it is on its way */
    POOL_READY,   /* ask for its endpoint */
    POOL_FAILED,  /* nothing works now; it may come back by itself */
};

struct pool_event {
    enum pool_event_kind kind;
    struct gfxb_error why;
};

/* A running engine. */
struct pool_endpoint {
    uint64_t generation;
    int pid; /* 0 unknown */
    char socket[108], key[80], backend[24], device[256], package[96];
};

enum pool_outcome {
    POOL_OK,
    POOL_BROKEN,    /* the connection was lost, or it is no HTTP */
    POOL_STALLED,   /* silent for too long */
    POOL_NONSENSE,  /* an answer over sound HTTP that is none */
    POOL_CANCELLED, /* it says nothing about the engine */
};

struct pool_engines {
    /* Blocks: on a thread. -ENOENT: no such model. */
    int (*find)(void *context, const char *name, struct pool_found *ret_found,
                struct gfxb_error *err);
    /* found lives as long as the engine. */
    int (*start)(void *context, const struct pool_found *found, const struct pool_options *options,
                 void **ret_engine, struct gfxb_error *err);
    void (*free)(void *engine);    /* blocks: on a thread */
    int (*fd)(const void *engine); /* readable while events wait */
    bool (*next)(void *engine, struct pool_event *ret_event);
    bool (*endpoint)(void *engine, struct pool_endpoint *ret_endpoint);
    void (*began)(void *engine, uint64_t generation);
    void (*ended)(void *engine, uint64_t generation, enum pool_outcome outcome);
    void *context;
};

#endif
