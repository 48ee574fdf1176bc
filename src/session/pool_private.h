/* pool_private.h - the pool from the inside. Private to the pool's files. */
#ifndef SESSION_POOL_PRIVATE_H
#define SESSION_POOL_PRIVATE_H

#include "api/serve.h"
#include "session/pool.h"

enum {
    POOL_SUSPECT_MS = 50, /* after a useless answer, before the same engine is asked again */
    POOL_FAILED_MS =
        5000,            /* what failed is not tried again for so long, but with another request */
    POOL_ROOM_MS = 1000, /* between two looks whether somebody can make room */
    POOL_NAMES_MAX = 16, /* names that a model was asked for by */
};

/* One start of one engine; lives until the last request to it has ended. */
struct pool_lane {
    struct http_endpoint *upstream;
    struct pool_endpoint endpoint;
    unsigned users;
    bool old; /* the model has a newer one, or none */
};

enum pool_state {
    POOL_STATE_FINDING, /* which file is it? */
    POOL_STATE_ROOM,    /* waits until others have made room */
    POOL_STATE_LOADING, /* its engine is on its way, for the first time or again */
    POOL_STATE_READY,
    POOL_STATE_FAILED,    /* stays a while, so that its error is told at once */
    POOL_STATE_UNLOADING, /* its engine is being ended */
};

struct pool_model {
    struct pool_model *next;
    struct pool *pool;
    enum pool_state state;
    char *names[POOL_NAMES_MAX]; /* as it was asked for; [0] is its own once found */
    size_t n_names;
    struct pool_found found;
    void *engine;
    struct loop_source source;        /* the engine's events */
    struct loop_timer timer;          /* the next thing to look at */
    struct pool_lane *lane;           /* NULL: none is ready */
    struct pool_waiter *first, *last; /* the queue */
    unsigned waiting, active;
    struct gfxb_error why; /* failed; loading: why the engine before was lost, .code 0 none was */
    bool again;            /* load it anew once it is unloaded */
    bool reload;           /* unload it (and load it anew) once nobody uses it */
    bool ending;           /* an engine of it is being ended */
    bool pinned, remove;
    unsigned context; /* that it is, or is to be, loaded with */
    int backend;
    bool worked; /* with these: */
    unsigned worked_context;
    int worked_backend;
    int64_t keep;    /* seconds */
    int64_t used_at; /* ms of the loop's clock */
    int64_t suspect_until;
    int64_t loaded_at, last_use; /* unix seconds */
    int64_t expires_at;
    struct serve_counters counters;
};

struct pool {
    struct serve *serve;
    struct pool_engines engines;
    struct pool_model *models;
    size_t n_models, waiting, working;
    uint64_t budget; /* bytes for all models; 0 unknown */
    bool ending;
    void (*ended)(void *context);
    void *ended_context;
};

struct pool_model *pool_model_new(struct pool *pool, struct str name);
struct pool_model *pool_model_find(const struct pool *pool, struct str name);
/* Out of the list and freed; nobody waits and nothing runs. */
void pool_model_free(struct pool_model *m);
void pool_model_add_name(struct pool_model *m, struct str name);

/* Find its file, make room, start its engine: each calls the next one. */
void pool_model_load(struct pool_model *m);
void pool_model_start(struct pool_model *m);
/* End its engine, requests under way or not. */
void pool_model_unload(struct pool_model *m);
void pool_model_fail(struct pool_model *m, const struct gfxb_error *why);
/* Those who wait for its being loaded, and for nothing else, are told why not. */
void pool_refuse_loads(struct pool_model *m, const struct gfxb_error *why);
/* Hand requests of its queue to its engine, as many as it takes. */
void pool_model_serve(struct pool_model *m);
void pool_lane_release(struct pool_lane *lane);

/* Is there room for it now? Unloads others for it. */
bool pool_room(struct pool_model *m);
/* The model has nothing to do, or others want its place: what now? Sets its timer. */
void pool_rest(struct pool_model *m);
/* Somebody may have made room. */
void pool_look_for_room(struct pool *pool);
void pool_due(struct loop_timer *timer);
/* Is that the end? */
void pool_check_end(struct pool *pool);

#endif
