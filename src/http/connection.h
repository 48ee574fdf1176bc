/* connection.h - one client's connection. Private to http/. */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "http/chunks.h"
#include "http/exchange.h"
#include "http/http.h"

enum connection_phase {
    CONNECTION_IDLE,   /* between requests */
    CONNECTION_HEAD,   /* in the middle of a head */
    CONNECTION_BODY,   /* in the middle of a body */
    CONNECTION_ANSWER, /* a request is under way */
    CONNECTION_LINGER, /* answered, and closed on our side: what still comes is read away */
};

struct connection {
    struct loop_source source;
    struct loop_timer timer;
    struct serve *serve;
    struct connection *next, *previous; /* in the list of idle ones, or of busy ones */
    bool listed_idle;
    enum connection_phase phase;
    bool readable, writable;
    bool leaving; /* the client has closed its side at least */
    bool probed;  /* and was sent something to tell which it is */
    bool last;    /* close once the answer is out */
    bool unread;  /* answered before the request was read to its end */
    bool control;
    bool running, dead;
    bool blocked;   /* the client reads slower than we write */
    struct buf in;  /* head, body, and what came behind */
    size_t counted; /* of it in serve.body_bytes */
    size_t looked;  /* of the search for the head's end */
    size_t head_n, body_n;
    struct http_chunks chunks;
    struct buf out;
    size_t sent;     /* of out */
    size_t lingered; /* bytes read away */
    struct http_exchange *exchange;
};

/* Takes fd over; it is closed when there is no memory for it. control: it came over the control
 * socket, which only this user can open. */
void connection_new(struct serve *s, int fd, bool control);
/* Do what can be done now. The connection may be gone afterwards. */
void connection_run(struct connection *c);
/* Tells the worker, closes and frees. */
void connection_close(struct connection *c);

#endif
