/*
 * serve.h - the server from the inside: its models, its downloads, its log. Private to api/.
 */
#ifndef API_SERVE_H
#define API_SERVE_H

#include "api/dialect.h"
#include "session/session.h"

struct serve {
    struct serve_config config; /* with its defaults filled in */
    struct http_server *http;
    struct loop *loop; /* the server's */
    struct work *work; /* threads for downloads and look-ups of names */
    struct pool *pool;
    struct downloads *downloads;
    int64_t started_at;
};

/* serve_run with other models and engines than this computer's: for benches and tests. In pool:
 * find, find_context and engines. */
int serve_run_with(const struct serve_config *config, const struct pool_config *pool,
                   struct gfxb_error *err);

/* pool_config.find of the server; models: a struct model_env. */
int serve_find(void *models, const char *name, struct pool_found *ret_found,
               struct gfxb_error *err);

/*
 * ---- downloads: pulls, installs and proofs, which go on when their client has left ----
 *
 * A page that is reloaded, or another program, finds them here. For the loop's thread only, except
 * where it says otherwise.
 */

struct downloads;
struct download;

struct downloads *downloads_new(struct serve *s);
/* Tell all that are under way to stop; what has arrived stays for the next time. */
void downloads_cancel(struct downloads *list);
/* How many are under way: the loop must live until there are none. */
size_t downloads_count(const struct downloads *list);
/* Only when downloads_count is 0. */
void downloads_free(struct downloads *list);

struct download_work {
    const char *type, *name; /* copied; together they are the id, "model:NAME" */
    /* On a thread of its own. 0, or negative with *err filled. */
    int (*run)(struct download *d, void *context, struct gfxb_error *err);
    void *context;               /* taken over, whatever becomes of it */
    void (*free)(void *context); /* on any thread; NULL none */
};

/* Begin, or join the one of the same id that is under way, and answer with what stands in GET
 * /v1/downloads about it. */
void downloads_begin(struct http_exchange *x, const struct download_work *work);

/* Begin to pull a model, whose name dialect_name_ok takes. */
void downloads_start_pull(struct http_exchange *x, const char *name);

/* ---- for the work itself, from its own thread ---- */

/* What the answer of the command line would be; taken over. */
void download_set_result(struct download *d, json_t *result);
/* The server's request for a session, with this download's log, progress and cancel. */
struct session_request download_path_request(struct download *d);

/* ---- the last lines of the log, for those who look at it over HTTP ---- */

struct log_ring;

/* Lines go on to `next` (NULL nobody). */
struct log_ring *log_ring_new(const struct log *next);
void log_ring_free(struct log_ring *ring); /* NULL is taken */
/* Where to write, from any thread; valid as long as the ring. */
const struct log *log_ring_log(const struct log_ring *ring);

#endif
