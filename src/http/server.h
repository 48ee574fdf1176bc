/* server.h - the server from the inside. Private to http/. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "api/downloads.h"
#include "http/connection.h"
#include "http/guard.h"
#include "http/jobs.h"
#include "http/listen.h"
#include "session/pool.h"

enum {
    SERVER_SCRATCH = 65536,
    SERVER_LISTENERS = 8,
};

struct server_list {
    struct connection *first, *last;
    size_t n;
};

struct serve {
    struct serve_config config; /* with its defaults filled in */
    struct loop *loop;
    struct guard *guard;
    struct pool *pool;
    struct jobs *jobs;
    struct downloads *downloads;
    struct listener listener[SERVER_LISTENERS];
    size_t n_listeners;
    struct server_list idle, busy;
    uint64_t body_bytes; /* held of all requests */
    struct serve_counters totals;
    int64_t started_at;
    bool draining, ending;
    struct loop_source signals;
    struct loop_timer drain, watchdog;
    int lock;      /* of the control socket; -1 none */
    char date[48]; /* "Date: ...\r\n", of this second */
    int64_t date_at;
    char scratch[SERVER_SCRATCH]; /* for one read at a time */
};

/* serve_run with other engines than the supervisor's: for benches and tests. */
int server_run(const struct serve_config *config, const struct pool_engines *engines,
               struct gfxb_error *err);
/* No more clients; end when the last answer is out. Twice: at once. */
void http_server_drain(struct serve *s);
/* A connection or a job has ended: was it the last? */
void server_check_drained(struct serve *s);

/* Count an answered request, and one that its client has left (status 0). */
void server_count(struct serve *s, const struct http_exchange *x);
/* "Date: Tue, 24 Nov 2026 23:00:00 GMT\r\n" */
const char *server_date(struct serve *s);
/* Into the list of idle or of busy ones, and out of its list. */
void server_list_put(struct serve *s, struct connection *c, bool idle);
void server_list_take(struct serve *s, struct connection *c);

#endif
