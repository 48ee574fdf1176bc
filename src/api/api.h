/*
 * api.h - the outward header of serve/: HTTP <-> engines. One address for every program on this
 * computer; which card, backend, package and process answers is decided by plan and proof.
 *
 * One thread runs the event loop and every handler; handlers never block. What blocks (downloads,
 * deletes, plans) runs as a job on a thread of its own. Engines are kept by the pool, which loads a
 * model on first use.
 *
 * A dialect is a table of routes. A handler looks at the request and does exactly one of
 * http_reply, http_fail, serve_relay, serve_load, http_job_start before it returns.
 */
#ifndef API_API_H
#define API_API_H

#include "base/base.h"
#include "engine/engine.h"
#include "http/http.h"
#include "model/model.h"
#include "session/session.h"

struct serve; /* the server with its models, downloads and counters */

/* Tables end with a NULL path; the list ends with a NULL table. First match counts. */
extern const struct http_route *const serve_dialects[];

/* The server that a request came to, or that a job belongs to. */
struct serve *serve_of(const struct http_exchange *x);
struct serve *job_serve(const struct http_job *job);

/*
 * What turns the engine's bytes into the client's, without any I/O of its own. One object lives for
 * one answer; all calls come from the loop's thread. As long as it has put nothing out, its answer
 * has not begun: when it ends so, what end puts out is sent as a whole.
 */
struct serve_filter;
struct serve_filter_ops {
    /* Each may be NULL: then the bytes pass as they are, nothing is added, ...
     *
     * The engine accepts: before the first feed. *type holds the engine's content type and may be
     * replaced by a literal. NULL: leave it. */
    void (*head)(struct serve_filter *f, const struct engine_kind *engine, struct str engine_type,
                 const char **type);
    /* Some bytes of the engine's body -> bytes for the client (may be none). Negative: the exchange
     * fails with err. -EPROTO: an answer that is none, which counts against the engine. */
    int (*feed)(struct serve_filter *f, struct str bytes, struct buf *out, struct gfxb_error *err);
    /* The engine's body has ended as it should. */
    int (*end)(struct serve_filter *f, struct buf *out, struct gfxb_error *err);
    /* The engine was lost after the answer had begun: a last piece that says so in the dialect's
     * words. NULL: dialect_error_event. */
    void (*fail)(struct serve_filter *f, const struct gfxb_error *why, struct buf *out);
    void (*free)(struct serve_filter *f);
    /* The engine was lost before a byte went to the client: forget this attempt, another follows.
     * NULL: once it was fed it cannot. */
    void (*reset)(struct serve_filter *f);
};

struct serve_relay {
    struct str model;      /* as the client named it, lent until serve_relay returns; empty: the
                              one that was used last, else the default one */
    unsigned context;      /* tokens that the client wants at least; 0 no request */
    int64_t keep_alive;    /* seconds that the model stays after its last use, POOL_KEEP_ */
    enum engine_call call; /* what its engine is asked */
    struct buf body;       /* for the engine; taken over */
    bool stream;           /* the client asked for a stream */
    const struct serve_filter_ops *ops; /* NULL: bytes pass as they are */
    struct serve_filter *filter;        /* taken over */
};

/* Ask an engine that runs the model (loaded when need be) and pass its answer on. */
void serve_relay(struct http_exchange *x, struct serve_relay *relay);

struct serve_load {
    struct str model;
    unsigned context;
    int64_t keep_alive;
    int pin;     /* 1 pin, 0 unpin, -1 leave as it is */
    int backend; /* enum plan_backend, or -1: as planned */
    /* Called in the loop once it is ready (why NULL) or cannot be; answers x. A client that leaves
     * meanwhile is not told to it. */
    void (*done)(struct http_exchange *x, const struct gfxb_error *why);
};

/* Load a model, then answer. */
void serve_load(struct http_exchange *x, const struct serve_load *load);
/* 0, or -ENOENT when it is not loaded. name empty: all. Requests under way are finished first. Loop
 * only. */
int serve_unload(struct serve *s, struct str name, struct gfxb_error *err);

/* ---- what is there: read in the loop's thread ---- */

size_t serve_model_count(const struct serve *s);
/* False behind the last one. */
bool serve_model_at(const struct serve *s, size_t index, struct pool_status *ret_model);
const struct pool_counters *serve_totals(const struct serve *s);
int64_t serve_started_at(const struct serve *s); /* unix seconds */
size_t serve_connections(const struct serve *s);
/* Machine, tables, data directory, request: as the command line has set them. Its strings live as
 * long as the server. */
const struct session_request *serve_path_request(const struct serve *s);
/* Where models are, likewise. */
const struct model_env *serve_model_env(const struct serve *s);

/* ---- the server ---- */

struct serve_config {
    const char *host;                   /* NULL 127.0.0.1 */
    unsigned port;                      /* 0: any free one; default SERVE_PORT */
    const char *const *keys;            /* NULL-terminated; NULL none */
    const char *const *allowed_hosts;   /* beyond the loopback's names; "*" any; NULL none */
    const char *const *allowed_origins; /* beyond local ones; "*" any; NULL none */
    const char *const *pinned;          /* models that are loaded at the start and stay */
    const char *default_model;          /* for requests without one; NULL: the canary */
    int64_t keep_alive;                 /* seconds; POOL_KEEP_FOREVER; 0: SERVE_KEEP_SECONDS */
    unsigned slots;                     /* answers at a time of one engine; 0: 4 */
    unsigned engine_requests;           /* requests at a time that one engine gets; 0: 64 */
    unsigned queue;                     /* requests that may wait; 0: 1024 */
    unsigned connections;               /* 0: as many as descriptors allow, at most 8192 */
    unsigned max_models;                /* loaded at a time, whatever the memory; 0: no limit */
    size_t max_body;                    /* bytes; 0: 64 MiB */
    unsigned drain_ms;                  /* for answers under way after SIGTERM; 0: 30 s */
    const struct session_request *path; /* model NULL */
    const struct model_env *models;     /* where models are; its data_dir is path's */
    const char *runtime_dir;            /* of the lock and address files */
    const struct log *log;
};

#define SERVE_PORT 13305
enum { SERVE_KEEP_SECONDS = 300 };

/*
 * Serve until SIGTERM, SIGINT or SIGHUP (which are blocked from here on), or until somebody asks
 * over the control socket, then drain. Sockets handed over by the service manager (LISTEN_FDS) are
 * taken instead of host and port. -EADDRINUSE names who holds the port, or the server of this user
 * that runs already, by process and program.
 */
int serve_run(const struct serve_config *config, struct gfxb_error *err);

#endif
