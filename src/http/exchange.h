/*
 * exchange.h - one request and its answer, from the inside. Private to http/.
 *
 * An exchange belongs to its connection. Whoever works on its answer (a relay, a job, a load) is
 * its worker: told when the client leaves, and when there is room for more bytes. A worker puts
 * bytes in with exchange_body and lets them go with exchange_kick, after which neither the exchange
 * nor the worker need exist any more.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "http/request_head.h"

struct connection;

struct exchange_worker_ops {
    void (*cancel)(void *worker);   /* the client has left: let go of the exchange and end */
    void (*writable)(void *worker); /* what was put in has gone out; NULL not wanted */
};

struct serve_exchange {
    struct serve *serve;
    struct connection *connection;
    const struct serve_route *route; /* NULL: none was found */
    struct request_head head;
    struct serve_request request;
    char *rest;                            /* owned: request.rest decoded */
    const struct exchange_worker_ops *ops; /* NULL: nobody works on it */
    void *worker;
    char *fields;         /* owned: more header lines for the answer, each with CRLF; NULL none */
    bool began, ended;    /* the answer's head is in the buffer; its end is */
    bool chunked, events; /* how the answer goes: chunked; as server-sent events */
    int status;
    int64_t at; /* ms of the loop's clock when the request was whole */
};

/* What comes behind "/v1/...": the row of a table, or NULL with the methods that exist there
 * (bits). */
const struct serve_route *exchange_route(enum serve_method method, struct str path,
                                         struct str *ret_rest, unsigned *ret_methods);

/* Begin the answer. length: of the body; negative: a stream. */
void exchange_begin(struct serve_exchange *x, int status, const char *type, int64_t length);
void exchange_body(struct serve_exchange *x, struct str bytes);
void exchange_end(struct serve_exchange *x);
/* The answer cannot be ended as it should: the connection is cut, so that nobody takes it for
 * whole. */
void exchange_cut(struct serve_exchange *x);
/* Let go what was put in. The exchange may be gone afterwards. */
void exchange_kick(struct serve_exchange *x);
/* Bytes that wait for a slow reader. */
size_t exchange_pending(const struct serve_exchange *x);

void exchange_work(struct serve_exchange *x, const struct exchange_worker_ops *ops, void *worker);
/* One more header line for the answer: name must be a literal; a value with control characters is
 * cleaned. */
void exchange_add_field(struct serve_exchange *x, const char *name, const char *value);

/* serve_reply and serve_fail without the kick. */
void exchange_reply(struct serve_exchange *x, int status, const char *type, struct str body,
                    const char *headers);
void exchange_fail(struct serve_exchange *x, int status, const char *code, const char *param,
                   const char *message);

void exchange_free(struct serve_exchange *x); /* without telling a worker */

#endif
