/*
 * downloads.h - pulls, installs and proofs, which go on when the client that asked for them has
 * left. A page that is reloaded, or another program, finds them here. Private to api/; the loop's
 * thread only, except where it says otherwise.
 */
#ifndef API_DOWNLOADS_H
#define API_DOWNLOADS_H

#include "api/api.h"
#include "model/model.h"

#include <jansson.h>

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

#endif
