/*
 * api.h - the outward header of api/: the server. One address for every program on this computer,
 * in the APIs that they speak; which card, backend, package and engine answers is decided by plan
 * and proof.
 *
 * One thread runs the event loop and every handler; handlers never block there. Those of deletes,
 * plans and the like are marked in their routes and run on threads, as downloads do. The pool has
 * the engines and loads a model on first use.
 */
#ifndef API_API_H
#define API_API_H

#include "session/session.h"

struct serve_config {
    const char *host;                      /* NULL 127.0.0.1 */
    unsigned port;                         /* 0: any free one; default SERVE_PORT */
    const char *const *keys;               /* NULL-terminated; NULL none */
    const char *const *allowed_hosts;      /* beyond the loopback's names; "*" any; NULL none */
    const char *const *allowed_origins;    /* beyond local ones; "*" any; NULL none */
    const char *const *pinned;             /* models that are loaded at the start and stay */
    const char *default_model;             /* for requests without one; NULL: the canary */
    int64_t keep_alive;                    /* seconds; POOL_KEEP_FOREVER; 0: SERVE_KEEP_SECONDS */
    unsigned slots;                        /* answers at a time of one engine; 0: 4 */
    unsigned engine_requests;              /* requests at a time that one engine gets; 0: 64 */
    unsigned queue;                        /* requests that may wait; 0: 1024 */
    unsigned connections;                  /* 0: as many as descriptors allow, at most 8192 */
    unsigned max_models;                   /* loaded at a time, whatever the memory; 0: no limit */
    size_t max_body;                       /* bytes; 0: 64 MiB */
    unsigned drain_ms;                     /* for answers under way after SIGTERM; 0: 30 s */
    const struct session_request *request; /* of every session; model NULL */
    const struct model_env *models;        /* where models are; its data_dir is the request's */
    const char *runtime_dir;               /* of the lock and the control socket */
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
