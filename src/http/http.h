/*
 * http.h - the outward header of http/: a server, a client for unix sockets and a strict parser, on
 * libuv's event loop. It knows no model.
 *
 * One thread runs the loop, and everything here is called in that thread unless it says otherwise.
 * Nothing blocks there: what blocks is a handler with HTTP_BLOCKS, or runs with work_run.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/base.h"

#include <stdatomic.h>

/* ---- the loop: one thread's descriptors, timers, and calls from other threads ---- */

struct loop;
struct loop_handle; /* libuv's part of a source or a timer: freed by the loop, later than its owner
                     */

enum loop_events {
    LOOP_READ = 1,  /* bytes, or their end */
    LOOP_WRITE = 2, /* room for bytes; ask for it only while bytes wait */
    LOOP_LEAVE = 4, /* the peer has closed its sending side at least */
    LOOP_BROKEN =
        8 /* an error, or both sides are closed; always told, once, and nothing after it */
};

/* A descriptor that is watched; part of its owner. */
struct loop_source {
    int fd;
    /* events: LOOP_ bits. Level-triggered: told in each turn until it is dealt with, or no longer
     * asked for. */
    void (*ready)(struct loop_source *source, unsigned events);
    unsigned known; /* the owner's: what it was told and has not used up, as far as it knows */
    struct loop_handle *handle; /* NULL: not watched yet */
};

/* Part of its owner; all zero is a valid timer that is not set. */
struct loop_timer {
    int64_t
        at; /* when it is due, ms of loop_now; 0: not set; INT64_MAX: not before it is set again */
    void (*due)(struct loop_timer *timer);
    struct loop_handle *handle;
};

int loop_new(struct loop **ret_loop, struct gfxb_error *err);
void loop_free(struct loop *loop);

/* From now on these events are wanted, and no others. 0 or -errno. */
int loop_watch(struct loop *loop, struct loop_source *source, unsigned events);
/* No more events, not even of the present turn. Closes fd. The source may be freed at once. */
void loop_close(struct loop *loop, struct loop_source *source);

/* Due in ms from now; setting it again moves it. Cheap when it moves later. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms);
/* Not due any more. The timer may be freed at once. */
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
int64_t loop_now(const struct loop *loop); /* ms, as of this turn */

/* From any thread: call fn in the loop's thread soon. */
void loop_post(struct loop *loop, void (*fn)(void *context), void *context);

/* Until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* ---- work: a bounded number of threads for what blocks ---- */

struct work;

/* At most `most` threads at a time, of which `kept` are made now and stay: with one or more of them
 * work_run cannot fail. -EAGAIN: not even these can be made. */
int work_new(struct loop *loop, unsigned most, unsigned kept, struct work **ret_work,
             struct gfxb_error *err);
/* Only after the last done. NULL is fine. */
void work_free(struct work *work);
/*
 * Run fn(context) on a thread, as soon as one is free, then done(context) in the loop's thread. 0,
 * or -EAGAIN when there is no thread and none can be made; nothing is called then.
 */
int work_run(struct work *work, void (*fn)(void *context), void (*done)(void *context),
             void *context);

/* ---- server-sent events, fed in pieces of any size ---- */

/* The last event of an answer can hold its whole prompt. */
#define SSE_LINE_MAX (64u << 20)

/* field is "data" or "error" (some servers have it for errors), value the rest of its line.
 * Negative: stop. */
typedef int sse_take(void *context, struct str field, struct str value);

struct sse {
    struct buf line; /* a line that has not ended yet */
    sse_take *take;
    void *context;
};

void sse_init(struct sse *sse, sse_take *take, void *context);
void sse_done(struct sse *sse);
/* 0, take's negative value, or -EMSGSIZE for a line without end. Comments are pings: passed over.
 */
int sse_feed(struct sse *sse, struct str bytes);

/*
 * ---- the client: calls to one program over its unix socket ----
 *
 * An endpoint keeps the connections to one socket. A connection is used again only after an answer
 * that left it clean. One that turns out to be closed before a byte of the next answer came is
 * replaced without telling anybody.
 */

struct http_endpoint;
struct http_call; /* one request and its answer */

enum http_framing {
    HTTP_LENGTH,  /* the body has a known length */
    HTTP_CHUNKED, /* until the last chunk */
    HTTP_CLOSE,   /* until the peer closes */
};

/* The head of an answer. */
struct http_answer {
    int status;
    enum http_framing framing;
    uint64_t length;
    bool keep;       /* the connection may be used again */
    struct str type; /* Content-Type; empty: none */
};

/* http_call_cancel may be called within head and body. */
struct http_call_ops {
    void (*head)(void *owner, const struct http_answer *answer); /* answer lent */
    void (*body)(void *owner, struct str bytes);
    void (*end)(void *owner); /* whole; the call is gone afterwards */
    /* The call is gone afterwards. code: -errno; -ETIMEDOUT: silent for too long; -EPROTO: no HTTP;
     * -EPERM: another process than the expected one listens there. local: the failure is our own
     * (no descriptor, no memory) and says nothing about the peer. */
    void (*broken)(void *owner, int code, bool local);
};

struct http_call_request {
    const char *path;
    struct str body;  /* lent until the end; n 0 without p: GET */
    const char *type; /* of the body; NULL: JSON */
    int gap_ms;       /* no byte for so long: broken with -ETIMEDOUT; 0 never */
    const struct http_call_ops *ops;
    void *owner;
};

/* key: of the Authorization; NULL none. pid: of the process that must have made the socket; 0: any.
 * -ENAMETOOLONG: no socket can have that name. */
int http_endpoint_new(struct loop *loop, const char *socket, const char *key, int pid,
                      struct http_endpoint **ret_endpoint);
/* Only once no call is under way; one that is just being told its end counts as ended. NULL is
 * fine. */
void http_endpoint_free(struct http_endpoint *endpoint);

/* Nothing is told before the end of the loop's turn. */
struct http_call *http_call_start(struct http_endpoint *endpoint,
                                  const struct http_call_request *request);
/* Close the connection: the peer stops its work. No more is told. */
void http_call_cancel(struct http_call *call);
/* Do not read for a while: the peer has to wait. */
void http_call_pause(struct http_call *call, bool pause);

/* ---- one call, waited for: on a loop of its own, from any thread ---- */

struct http_ask {
    const char *socket;
    const char *key;  /* NULL none */
    const char *path; /* "/x" */
    struct str body;  /* JSON to POST; n 0 without p: GET */
    int pid;          /* of the process that must have made the socket; 0 any */
    int pidfd;        /* when this process has ended the answer is not waited for; -1 none */
    const atomic_int *cancel; /* NULL never */
    /* Bytes of the answer's body as they come; NULL: not wanted. Negative: stop and return that. */
    int (*on_bytes)(void *context, struct str bytes);
    /* The monotonic ms (clock_now_ms) at which to give up as things stand now, asked for again and
     * again; 0 never. NULL: never. */
    int64_t (*until)(void *context);
    void *context;
};

/*
 * 0 and the HTTP status when a whole answer was received; on_bytes' own negative value;
 * -ECONNREFUSED (nobody listens), -ECONNRESET (cut off, or the process has ended),
 * -ETIMEDOUT, -EINTR (cancelled), -EPROTO (no HTTP), -EPERM (another process listens), or what this
 * process lacks: -EMFILE, -ENFILE, -ENOMEM.
 */
int http_ask(const struct http_ask *ask, int *ret_status);
/* Is this result of a call our own failure, which says nothing about the peer? */
bool http_is_local(int code);

/* ---- routes ---- */

struct http_exchange; /* one request and its answer */

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_HEAD, /* handled as GET; the body is not sent */
    HTTP_OPTIONS,
    HTTP_METHODS, /* none of these: answered with 405 */
};

enum http_route_flags {
    HTTP_NO_KEY = 1,   /* answered without a key (liveness, the web page's files) */
    HTTP_ANY_BODY = 2, /* the body need not be JSON, and may be absent */
    HTTP_CONTROL = 4,  /* only there over the control socket of this user */
    /* The handler runs on a thread, at most HTTP_JOBS_MAX at a time that have not answered yet
     * (more: 503). */
    HTTP_BLOCKS = 8,
    /* With HTTP_BLOCKS: the handler begins once the head is there, and takes the body, of any
     * length, with http_receive. */
    HTTP_RECEIVES = 16,
};

enum { HTTP_JOBS_MAX = 16 };

struct http_route {
    enum http_method method;
    /* "/v1/models" or "/v1/models/" followed by "*": the rest of the path, which is not empty and
     * may hold slashes, is in the request. */
    const char *path;
    void (*handle)(struct http_exchange *x);
    unsigned flags;
    int about; /* a value of the handler's own */
};

/* ---- requests: everything is lent until the exchange ends ---- */

struct http_request {
    enum http_method method;
    struct str path;  /* as sent, without the query; no "%" escapes, "//" or ".." get this far */
    struct str rest;  /* what "*" stood for, with %XX decoded; never holds control characters */
    struct str query; /* behind "?"; may be empty */
    struct str body;  /* whole; not looked into */
    int64_t at;       /* ms of the loop's clock when it was whole */
};

const struct http_request *http_request(const struct http_exchange *x);
/* The server's user, of its configuration. */
void *http_user(const struct http_exchange *x);
/* Its row of the tables. */
const struct http_route *http_route(const struct http_exchange *x);
/* A header's value, by its lower-case name; the empty view when absent. */
struct str http_header(const struct http_exchange *x, const char *name);
/* A piece of a path or a query without its %XX, and with `plus` for each "+". False: it does not
 * fit, or it is broken or holds control characters. */
bool http_decode(struct str text, char plus, char *ret, size_t size);

/*
 * ---- answers ----
 *
 * A handler, before it returns, gives the whole answer (http_reply, http_fail), or names a worker
 * that answers later: with one of these, or with http_begin, http_send and http_end. What was put
 * in goes out at the end of the loop's turn. Until http_end, a reply or a failure the exchange
 * stays, or the worker is told that the client has left; after one of them neither is used any
 * more.
 *
 * A handler that blocks (HTTP_BLOCKS) answers in the same words, from its thread: http_reply,
 * http_fail, http_begin and http_send, which do nothing once the client has left. It names no
 * worker. Its return ends a stream; without an answer it is an error 500. The exchange stays until
 * it returns, which may be long after its answer.
 */

enum { HTTP_HIGH_WATER = 65536 }; /* bytes for one slow reader before its source has to wait */

/* The whole answer. The body is copied. headers: lines of "name: value\r\n", NULL none. */
void http_reply(struct http_exchange *x, int status, const char *type, struct str body,
                const char *headers);
/* An error in the shape that the server's user gives it. param: the field that it is about; NULL
 * none. */
void http_fail(struct http_exchange *x, int status, const char *code, const char *param,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

struct http_worker_ops {
    void (*cancel)(void *worker); /* the client has left: let go of the exchange and end */
    /* What was put in has gone out, after http_pending was above HTTP_HIGH_WATER or the client
     * was slow. NULL not wanted. */
    void (*writable)(void *worker);
};

/* ops NULL: nobody works on it any more. */
void http_set_worker(struct http_exchange *x, const struct http_worker_ops *ops, void *worker);
/* One more header line for the answer: name must be a literal; a value with control characters is
 * cleaned. */
void http_add_header(struct http_exchange *x, const char *name, const char *value);
/* Forget what http_add_header added: another attempt follows. */
void http_drop_headers(struct http_exchange *x);

/* Begin a stream, with status 200. */
void http_begin(struct http_exchange *x, const char *type);
/* On a handler's own thread: waits for a slow reader; -ECANCELED as http_cancelled. Else 0. */
int http_send(struct http_exchange *x, struct str bytes);
void http_end(struct http_exchange *x);
/* The answer cannot be ended as it should: the connection is cut, so that nobody takes it for
 * whole. */
void http_cut(struct http_exchange *x);
/* Bytes that wait for a slow reader. */
size_t http_pending(const struct http_exchange *x);
/* Is the answer that was begun a stream of server-sent events? */
bool http_sends_events(const struct http_exchange *x);

/* ---- for handlers that block, on their thread ---- */

/*
 * HTTP_RECEIVES: waits for the next piece of the body, which replaces what *ret held. A client that
 * sends faster than pieces are taken has to wait. 1, 0 at the body's end, or -ECANCELED as
 * http_cancelled.
 */
int http_receive(struct http_exchange *x, struct buf *ret);
/* Bytes of the body as the head says; 0: it does not. */
uint64_t http_body_length(const struct http_exchange *x);
/* Not 0: the client has left, or the server ends. */
const atomic_int *http_cancelled(const struct http_exchange *x);
/* Run fn in the loop's thread and wait for it. In the loop's thread: call it. */
void http_in_loop(struct http_exchange *x, void (*fn)(void *context), void *context);

/* ---- the server ---- */

struct http_server;

/* An error for a client, before it has a shape. */
struct http_failure {
    struct str path;   /* of the request; empty: it had none that could be read */
    const char *meant; /* of a path that is not there: the one that is; NULL none */
    int status;
    const char *code, *param; /* NULL none */
    const char *message;
};

/* What the server does not know by itself. Each may be NULL. */
struct http_server_ops {
    /* The body of an error: JSON. */
    void (*failure)(void *user, const struct http_failure *failure, struct buf *out);
    /* A request is over; status 0: the client left before its answer was whole. */
    void (*over)(void *user, int status);
    /* The server begins to end: what answers nobody has to stop soon. */
    void (*draining)(void *user);
    /* The last answer is out. End everything, then call http_server_stop. NULL: at once. */
    void (*end)(void *user);
};

/* Paths that begin with one of these prefixes mean the other one, where no table has them. */
struct http_alias {
    const char *prefix, *means; /* "/api/v1/", "/v1/" */
};

struct http_server_config {
    const char *host;                       /* NULL 127.0.0.1 */
    unsigned port;                          /* 0: any free one */
    const char *const *keys;                /* NULL-terminated; NULL none */
    const char *const *allowed_hosts;       /* beyond the loopback's names; "*" any; NULL none */
    const char *const *allowed_origins;     /* beyond local ones; "*" any; NULL none */
    const char *runtime_dir;                /* of lock and control socket; NULL: without */
    unsigned connections;                   /* 0: as many as descriptors allow, at most 8192 */
    size_t max_body;                        /* bytes; 0: 64 MiB */
    unsigned drain_ms;                      /* for answers under way at the end; 0: 30 s */
    const struct http_route *const *routes; /* tables that end with a NULL path; ends with NULL.
                                               The first match counts. */
    const struct http_alias *aliases;       /* ends with a NULL prefix; NULL none */
    const struct http_server_ops *ops;
    void *user;
    const struct log *log;
};

/*
 * Listen: on the sockets that the service manager hands over (LISTEN_FDS), else on host and port;
 * and on runtime_dir/serve.sock, which only this user can open. Clients wait until http_server_run.
 * -EADDRINUSE names who holds the port, or the server of this user that runs already, by process
 * and program. -EACCES: others than this computer could reach the address, and there is no key.
 */
int http_server_new(const struct http_server_config *config, struct http_server **ret_server,
                    struct gfxb_error *err);
void http_server_free(struct http_server *server);
struct loop *http_server_loop(const struct http_server *server);

/* Serve until http_server_stop. SIGTERM, SIGINT and SIGHUP, which http_server_new has blocked,
 * begin the drain. */
void http_server_run(struct http_server *server);
/* No more clients; end when the last answer is out. Twice: at once. */
void http_server_drain(struct http_server *server);
bool http_server_is_draining(const struct http_server *server);
void http_server_stop(struct http_server *server);

size_t http_server_connections(const struct http_server *server);
/* "127.0.0.1:13305", "[::1]:13305" or "unix:PATH" of the index-th TCP or handed-over socket; false
 * behind the last one. */
bool http_server_address(const struct http_server *server, size_t index, char *ret_text,
                         size_t size);

/* The process that listens on a TCP port of this computer. */
struct http_holder {
    unsigned uid;
    int pid;           /* 0: not known, as of other users' processes */
    char program[256]; /* its path; "" unknown */
};

/* Who listens on this port? By /proc; false: nobody. From any thread. */
bool http_find_holder(unsigned port, struct http_holder *ret);

/* ---- the server of this user, asked from outside ---- */

/* "runtime_dir/serve.sock", to be freed; NULL when it is too long for a socket's name. */
char *http_control_path(const char *runtime_dir);

#endif
