/* private.h - connections, exchanges and the server from the inside. Private to http/. */
#ifndef HTTP_PRIVATE_H
#define HTTP_PRIVATE_H

#include "http/parser.h"

#include <sys/queue.h>

enum {
    SERVER_SCRATCH = 65536,
    SERVER_LISTENERS = 8,
};

struct connection;
struct job;

/* ---- loop: what is done once, before it waits for events ---- */

/* Part of its owner; all zero but run is one that is not queued. */
struct loop_task {
    LIST_ENTRY(loop_task) link;
    bool queued;
    void (*run)(struct loop_task *task);
};

void loop_later(struct loop *loop, struct loop_task *task);
void loop_not_later(struct loop_task *task);

/* Watch for what is not in source->known. An event that is known and not
 * used yet would be reported in every turn. */
int loop_watch_unknown(struct loop *loop, struct loop_source *source);
/* Read from a socket: how many bytes, 0 for none now, -ENODATA at their end, or -errno. */
ssize_t loop_read(struct loop_source *source, char *bytes, size_t n);

/* ---- guard: the names that the server answers to, the pages that may use it, and keys ---- */

struct guard {
    const char *const *keys, *const *hosts, *const *origins;
    char own_name[256]; /* this computer's; "" unknown */
};

void guard_init(struct guard *guard, const struct http_server_config *config);
/* Is this Host value one of ours? IP addresses are: a page that was lured here by a name of its own
 * (DNS rebinding) sends that name. */
bool guard_host_ok(const struct guard *guard, struct str host);
/* May a page of this origin use the server? Local pages and programs' own schemes may. */
bool guard_origin_ok(const struct guard *guard, struct str origin);
bool guard_has_keys(const struct guard *guard);
/* Is one of the keys in the Authorization or the X-Api-Key value? In a time that tells nothing of
 * the keys. */
bool guard_key_ok(const struct guard *guard, struct str authorization, struct str api_key);
/* A media type that is JSON, whatever its parameters. */
bool guard_type_is_json(struct str type);

/* ---- exchange: one request and its answer; belongs to its connection, then to its job ---- */

struct http_exchange {
    struct http_server *server;
    struct connection *connection;  /* NULL: the client has left, or has its answer */
    struct job *job;                /* its handler runs on a thread; NULL: not so */
    const struct http_route *route; /* NULL: none was found */
    struct request_head head;
    struct http_request request;
    char *bytes;                       /* owned: what head has views into */
    char *rest;                        /* owned: request.rest decoded */
    char *meant;                       /* owned: the path for one that is not there; NULL none */
    struct buf body;                   /* request.body and what came behind */
    const struct http_worker_ops *ops; /* NULL: nobody works on it */
    void *worker;
    struct buf fields;    /* more header lines for the answer, each with CRLF */
    bool began, ended;    /* the answer's head is in the buffer; its end is */
    bool chunked, events; /* how the answer goes: chunked; as server-sent events */
    int status;
};

enum { EXCHANGE_PATH_GUESSED = 256 }; /* bytes of a path for which another one is looked for */

/* The row of a table, or NULL with the methods that exist there (bits). Without control the rows of
 * the control socket are not there. */
const struct http_route *exchange_route(const struct http_server_config *config, bool control,
                                        enum http_method method, struct str path,
                                        struct str *ret_rest, unsigned *ret_methods);
/*
 * The path that was probably meant by one that no table has: a base URL with or without /v1, with a
 * slash too many, or with a whole path in it makes such paths. To be freed; NULL none.
 */
char *exchange_guess(const struct http_server_config *config, bool control, enum http_method method,
                     struct str path);
/* The Allow field of an answer: methods as exchange_route gives them. */
void exchange_add_methods(struct http_exchange *x, unsigned methods);
void exchange_free(struct http_exchange *x); /* without telling a worker */
/* Its connection lets go of it: it is counted, and freed unless its handler still runs. */
void exchange_leave(struct http_exchange *x);

/* ---- connection ---- */

enum connection_phase {
    CONNECTION_IDLE,   /* between requests */
    CONNECTION_HEAD,   /* in the middle of a head */
    CONNECTION_BODY,   /* in the middle of a body */
    CONNECTION_ANSWER, /* a request is under way */
    CONNECTION_LINGER, /* answered, and closed on our side: what still comes is read away */
};

TAILQ_HEAD(connection_list, connection);

struct connection {
    struct loop_source source;
    struct loop_timer timer;
    struct loop_task flush; /* something was put into `out` */
    struct http_server *server;
    TAILQ_ENTRY(connection) link;
    struct connection_list *list; /* that it is in */
    enum connection_phase phase;
    bool probed; /* and was sent something to tell which it is */
    bool last;   /* close once the answer is out */
    bool unread; /* answered before the request was read to its end */
    bool control;
    bool dead;
    bool fed;       /* so much of a body waits for its handler that the client has to wait, too */
    bool blocked;   /* so much waits for the client that the worker may wait too */
    struct buf in;  /* a head as far as it has come; then a body, and what came behind */
    size_t counted; /* bytes of `in` that are part of http_server.body_bytes */
    size_t looked;  /* bytes of `in` that were searched for the head's end */
    size_t body_n;  /* bytes of the body, without its coding */
    struct http_chunks chunks;
    struct buf out;
    size_t sent;     /* bytes of `out` */
    size_t lingered; /* bytes read away */
    int64_t came_at; /* ms of the loop's clock */
    struct http_exchange *exchange;
};

/* Takes fd over. control: it came over the control socket, which only this user can open. */
void connection_new(struct http_server *s, int fd, bool control);
/* Its request has its answer before it was read to its end: what may still come is read away. */
void connection_unread(struct connection *c);
/* Go on with it at the end of the loop's turn. */
void connection_run_later(struct connection *c);
/* Tells the worker, closes and frees. Not from within a handler of its own request. */
void connection_close(struct connection *c);

/* ---- listeners ---- */

struct listener {
    struct loop_source source;
    struct loop_timer again; /* while there is no room for a client */
    struct http_server *server;
    bool control; /* the control socket of this user */
};

/* The service manager's sockets (LISTEN_FDS), else host and port of the configuration. */
int listen_open(struct http_server *s, struct gfxb_error *err);
/* The control socket; s->lock is held while we live. */
int listen_control(struct http_server *s, struct gfxb_error *err);
void listen_address(const struct listener *listener, char *ret_text, size_t size);
void listen_close(struct http_server *s);

/* ---- jobs ---- */

/* Run the exchange's handler on a thread. */
void job_start(struct http_exchange *x);
/* Its answer is whole. */
void job_answered(struct job *job);
/* slow: its thread has to wait for the client. */
void job_tell(struct job *job, bool slow, bool cancelled);
/* HTTP_RECEIVES: more of the body for its handler; whole: the last of it. True: that is enough for
 * now, and its connection runs again when the handler has taken it. */
bool job_feed(struct job *job, struct str bytes, bool whole);
/* On a job's thread, until the client has read enough: 0 or -ECANCELED. Elsewhere 0 at once. */
int job_wait_for_reader(void);
/* All of them are to end soon. */
void jobs_cancel(struct http_server *s);

/* ---- the server ---- */

struct http_server {
    struct http_server_config config; /* with its defaults filled in */
    struct loop *loop;
    struct guard guard;
    struct listener listener[SERVER_LISTENERS];
    size_t n_listeners;
    /* Connections: nothing was asked yet; between two requests; a request is under way. The one
     * that has been there for longest is first. */
    struct connection_list fresh, idle, busy;
    size_t n_connections; /* in all of them */
    uint64_t body_bytes;  /* held of all requests */
    struct work *work;    /* for jobs */
    LIST_HEAD(, job) jobs;
    size_t n_jobs, n_open_jobs; /* all of them; those that are not answered yet */
    bool draining, ending;
    struct loop_source signals;
    struct loop_timer drain, watchdog;
    int lock;      /* of the control socket; -1 none */
    char date[48]; /* "Date: ...\r\n", of this second */
    int64_t date_at;
    char scratch[SERVER_SCRATCH]; /* for one read at a time */
};

/* Ends a server that drains, once no connection and no job is left. */
void server_check_drained(struct http_server *s);

#endif
