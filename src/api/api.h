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

/* What is NULL or 0 has its default. */
struct serve_config {
    /* Where clients come, and who may. Routes, aliases, ops, user, log and what pages may send and
     * read are the server's own. */
    struct http_server_config http;
    /* The models that are loaded: 5 minutes without use, 4 slots, 64 requests at an engine and 1024
     * in the queue, the canary for requests without a model. loop, work, log and request are the
     * server's own; find and engines, too, but for benches and tests. */
    struct pool_config pool;
    const struct session_request *request; /* of every session; model NULL */
    const struct model_env *models;        /* where models are; its data_dir is the request's */
    const struct log *log;
};

enum { SERVE_PORT = 13305 }; /* where the command line listens */

/*
 * Serve until SIGTERM, SIGINT or SIGHUP (which are blocked from here on), or until somebody asks
 * over the control socket, then drain. Sockets handed over by the service manager (LISTEN_FDS) are
 * taken instead of host and port. -EADDRINUSE names who holds the port, or the server of this user
 * that runs already, by process and program.
 */
int serve_run(const struct serve_config *config, struct gfxb_error *err);

/*
 * ---- options that are stored for models (model_options_read), for those who ask an engine
 * themselves ----
 */

/* Those of a name and of the models that it stands for; a new reference. ret_model: the last of
 * these models, to be freed. */
json_t *serve_options_of(const struct model_env *env, const char *name, char **ret_model);
/* Into a request for the engine those that it leaves out: sampling, the system text, a
 * conversation. */
void serve_options_fill(const json_t *stored, json_t *request);
/* Those that a model is loaded with, as far as *options says nothing. */
void serve_options_pool(const json_t *stored, struct pool_options *options);

#endif
