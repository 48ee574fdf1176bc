/*
 * serve.h - the server from the inside: its models, its downloads, its log. Private to api/.
 */
#ifndef API_SERVE_H
#define API_SERVE_H

#include "api/api.h"
#include "api/dialect.h"

#include <sys/stat.h>

struct serve {
    struct http_server *http;
    struct loop *loop; /* the server's */
    struct work *work; /* threads for look-ups of names */
    struct pool *pool;
    struct downloads *downloads;
    struct log_ring *log;
    struct session_request request; /* of every session */
    struct model_env models;        /* where models are */
    json_t *options;                /* stored for models, as they were read last; NULL not yet */
    struct stat options_at;         /* their file then */
    const char *default_model;      /* as in struct pool_config */
    int64_t started_at;
};

/* The server that a request came to. */
struct serve *serve_of(const struct http_exchange *x);

/* pool_config.find of the server; models: a struct model_env. */
int serve_find(void *models, const char *name, struct pool_found *ret_found,
               struct gfxb_error *err);

/* Tables end with a NULL path; the list ends with a NULL table. First match counts. */
extern const struct http_route *const serve_dialects[];

/* ---- the tables of routes, which routes.c lists ---- */

extern const struct http_route anthropic_routes[];
extern const struct http_route backend_routes[];
extern const struct http_route control_routes[];
extern const struct http_route download_routes[];
extern const struct http_route gfxbridge_routes[];
extern const struct http_route lemonade_backend_routes[];
extern const struct http_route lemonade_model_routes[];
extern const struct http_route lemonade_routes[];
extern const struct http_route lemonade_system_routes[];
extern const struct http_route log_routes[];
extern const struct http_route metrics_routes[];
extern const struct http_route ollama_create_routes[];
extern const struct http_route ollama_model_routes[];
extern const struct http_route ollama_routes[];
extern const struct http_route openai_routes[];
extern const struct http_route page_routes[];
extern const struct http_route responses_routes[];

/*
 * ---- answers ----
 *
 * A handler looks at the request and does exactly one of these before it returns: it answers
 * (http_reply, http_fail, the functions below), or passes the request on to an engine or loads a
 * model (serve_relay). One that blocks (HTTP_BLOCKS) answers, as a whole or as a stream.
 */

/* Answers with the error. */
void dialect_reply_error(struct http_exchange *x, const struct dialect_error *error);
/* The same, if there is one: then the handler is done. */
bool dialect_refuse(struct http_exchange *x, const struct dialect_error *error);
/* Answers with an error of the rooms below. */
void dialect_reply_failure(struct http_exchange *x, const struct gfxb_error *err);

/* A JSON value as the whole answer; value is taken over. */
void dialect_reply_json(struct http_exchange *x, int status, json_t *value);

/* The progress of a call that blocks, told to a client that wants it as a stream. */
struct dialect_stream {
    struct http_exchange *x;
    bool on;         /* the client wants it: begun already */
    int64_t told_at; /* ms: of the last progress */
};

/* Between these two texts, one more value of the stream, which is on; value is taken over. */
void dialect_stream_json(const struct dialect_stream *stream, const char *before, json_t *value,
                         const char *after);
/* Is this progress to be told? People read it: when it is whole, else once in gap_ms. */
bool dialect_stream_is_due(struct dialect_stream *stream, const struct model_progress *p,
                           int gap_ms);

/* A handler: passes the request on to the engine as it came, and the answer back as it is. Its
 * route's `about` is an enum engine_call. */
void dialect_pass(struct http_exchange *x);

/* A member of the query ("show_all=true&x=1") with its %XX decoded; false: it is not there, or does
 * not fit. */
bool dialect_query(struct str query, const char *name, char *ret, size_t size);

/* Of a client without wishes. */
#define SERVE_OPTIONS                                                                              \
    ((struct pool_options){.keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = -1})

struct serve_relay {
    struct str model; /* as the client named it, lent until serve_relay returns; empty: the one that
                         was used last, else the default one */
    struct pool_options options;
    /* Not NULL: the model is only loaded. Called in the loop once it is ready (why NULL) or cannot
     * be; answers x. A client that leaves meanwhile is not told to it. */
    void (*loaded)(struct http_exchange *x, const struct gfxb_error *why);
    enum engine_call call; /* what its engine is asked */
    struct buf body;       /* for the engine; taken over */
    struct buf probe;      /* not empty: asked first; if a tool is called in its answer, that is the
                              answer, and the body is not asked; taken over */
    bool stream;           /* the client asked for a stream */
    /* Not NULL: the model's template has refused the body for the (attempt + 1)-th time: another
     * form of it. False: there is none. */
    bool (*fold)(struct buf *body, unsigned attempt);
    const char *type;    /* of the body, lent until serve_relay returns; NULL: JSON */
    bool tools;          /* the model must be able to call some, else: 400 */
    unsigned dimensions; /* of the vectors that are wanted; 0 all. More than there are: 400 */
    const struct serve_filter_ops *ops; /* NULL: bytes pass as they are */
    struct serve_filter *filter;        /* of these; taken over */
};

/* Ask an engine that runs the model (loaded when need be) and pass its answer on. */
void serve_relay(struct http_exchange *x, const struct serve_relay *relay);

/* ---- models ---- */

/* "ready" */
const char *serve_model_state_name(enum pool_state state);

/* Models of this disk, the built-in one among them. Reads files: for handlers that block. */

/* Everything is owned. */
struct dialect_model {
    struct model model;
    struct gguf gguf; /* all zero when the header cannot be read */
};

/* An entry of each of them, the built-in one first. */
json_t *dialect_models_json(struct http_exchange *x,
                            json_t *(*entry)(struct http_exchange *x,
                                             const struct dialect_model *m));

/* Tokens of one request: of the engine that runs it, else what it would be loaded with; 0 unknown.
 */
uint32_t dialect_model_context(struct http_exchange *x, const struct dialect_model *m);

/* One by its name, as engine_model_find. -GFXB_E_MODEL_UNKNOWN. */
int dialect_model_find(const struct model_env *env, const char *name,
                       struct dialect_model *ret_model, struct gfxb_error *err);
void dialect_model_done(struct dialect_model *model);

/*
 * ---- options that are stored for models (model_options_read) ----
 */

/* pool_unload of the model that a name stands for. */
int serve_unload(struct http_exchange *x, const char *name, struct gfxb_error *err);
/* serve_options_of in the loop: the file is read only when it is another one than before. */
json_t *serve_options_now(struct serve *s, const char *name, char **ret_model);
/* Is this a value that may be stored? Else a fault. */
void serve_option_check(const char *name, const json_t *value, struct dialect_error *error);
/* serve_options_fill of a request's text, for calls that have such options. */
void serve_options_apply(const json_t *stored, enum engine_call call, struct buf *body);

/* Unload and delete it, when it is ours. */
int dialect_model_delete(struct http_exchange *x, const char *name, struct gfxb_error *err);

/* The server's model_env, ready for a pull of this call. */
struct model_env dialect_model_env(const struct http_exchange *x);

/* Removes all packages of a backend. -EBUSY while a loaded model runs on it. */
int dialect_remove_backend(struct http_exchange *x, struct package_backend backend,
                           struct gfxb_error *err);

/*
 * ---- downloads: pulls, installs and proofs, which go on when their client has left ----
 *
 * A page that is reloaded, or another program, finds them here. Each is the work of a handler that
 * blocks, which answers first and works then.
 */

struct downloads;
struct download;

struct downloads *downloads_new(struct loop *loop);
/* In the loop: tells all to stop. The downloaded parts stay for the next time. */
void downloads_cancel(struct downloads *list);
void downloads_free(struct downloads *list); /* once none is running */

/* In a handler that blocks: answers with the download's entry of GET /v1/downloads, and begins it.
 * NULL: one of this type and name is running already, or too many are: the handler is done. type: a
 * literal. */
struct download *download_begin(struct http_exchange *x, const char *type, const char *name);
/* The server's request for a session, with this download's log, progress and cancel. */
struct session_request download_request(struct download *d);
/* The work has ended: code 0, or negative with *err. result: as the command line prints it, taken
 * over; NULL none. */
void download_end(struct download *d, int code, const struct gfxb_error *err, json_t *result);

/* All of it for the pull of a model, whose name dialect_name_ok takes. */
void download_pull(struct http_exchange *x, const char *name);

/* ---- the last lines of the log, for those who look at it over HTTP ---- */

struct log_ring;

/* Lines go on to `next` (NULL nobody). */
struct log_ring *log_ring_new(const struct log *next);
void log_ring_free(struct log_ring *ring); /* NULL is taken */
/* Where to write, from any thread; valid as long as the ring. */
const struct log *log_ring_log(const struct log_ring *ring);

#endif
