/*
 * exchange.h - one request and its answer, from the inside. Private to http/.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "http/request_head.h"

struct connection;

struct http_exchange {
    struct serve *serve;
    struct connection *connection;
    const struct http_route *route; /* NULL: none was found */
    struct request_head head;
    struct http_request request;
    char *rest;                        /* owned: request.rest decoded */
    const struct http_worker_ops *ops; /* NULL: nobody works on it */
    void *worker;
    char *fields;         /* owned: more header lines for the answer, each with CRLF; NULL none */
    bool began, ended;    /* the answer's head is in the buffer; its end is */
    bool chunked, events; /* how the answer goes: chunked; as server-sent events */
    int status;
    int64_t at; /* ms of the loop's clock when the request was whole */
};

/* What comes behind "/v1/...": the row of a table, or NULL with the methods that exist there
 * (bits). */
const struct http_route *exchange_route(enum http_method method, struct str path,
                                        struct str *ret_rest, unsigned *ret_methods);

void exchange_free(struct http_exchange *x); /* without telling a worker */

#endif
