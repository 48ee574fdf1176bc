/*
 * fetch_private.h - one transfer under way. fetch.c repeats exchanges until the file is whole;
 * exchange.c does one, redirects included; body.c takes what arrives; part.c keeps it on disk;
 * hash.c computes its digest; failure.c says what went wrong. Private to fetch/.
 *
 * Results are 0 or negative with the error filled, as everywhere. What may help after a failure is
 * in the transfer's `retry`.
 */
#ifndef FETCH_FETCH_PRIVATE_H
#define FETCH_FETCH_PRIVATE_H

#include "base/xalloc.h"
#include "fetch/fetch.h"

#include <curl/curl.h>
#include <pthread.h>

/* ---- address.c: what of a URL decides ---- */

struct address {
    char *scheme; /* "https", "http", "file" */
    char *host;   /* "" for file */
    char *port;   /* always a number, the scheme's own when none was written; "" for file */
    char *name;   /* the last part of the path, percent signs decoded; "" none */
};

/* -EINVAL: no URL, or of another scheme than the three. */
int address_parse(const char *url, struct address *ret_address, struct gfxb_error *err);
void address_done(struct address *a);

/* Same scheme, host and port? What a secret may not leave. */
bool address_same_origin(const struct address *a, const struct address *b);
/* May a secret be sent there at all: TLS, or this computer itself? */
bool address_takes_secret(const struct address *a);
/* May a redirect lead from one to the other? Not to another protocol, not from TLS to none. */
bool address_may_lead_to(const struct address *from, const struct address *to);

/* The URL to ask for: below the mirror when there is one. To be freed by the caller. */
int address_rewrite(const struct fetch_config *config, const char *url, char **ret_url,
                    struct gfxb_error *err);

/* ---- headers.c: what the headers of one HTTP answer say ---- */

#define HEADERS_VALIDATOR_MAX 512

struct headers {
    long status;
    bool has_length;
    uint64_t length; /* Content-Length */
    bool has_range;  /* Content-Range with a start */
    uint64_t range_start;
    uint64_t range_total;                 /* 0 unknown ("*") */
    bool html;                            /* Content-Type says text/html */
    char etag[HEADERS_VALIDATOR_MAX];     /* "" none */
    char modified[HEADERS_VALIDATOR_MAX]; /* Last-Modified; "" none */
    int64_t retry_after;                  /* seconds; -1 none */
    int64_t limit_reset;                  /* X-RateLimit-Reset, seconds since 1970; 0 none */
    bool limit_used_up;                   /* X-RateLimit-Remaining: 0 */
};

void headers_init(struct headers *a);

/* One header line with or without its CRLF. A status line ("HTTP/1.1 200 OK") starts over. ret_name
 * is empty for a status line and for what is no header. now: seconds since 1970. */
void headers_add_line(struct headers *a, struct str line, int64_t now, struct str *ret_name,
                      struct str *ret_value);

/* What If-Range can carry: a strong ETag, else Last-Modified, else "". */
const char *headers_validator(const struct headers *a);

/* Is this a refusal because a limit of requests is used up? */
bool headers_is_limit(const struct headers *a);
/* When the limit is lifted, seconds since 1970; 0 not said. */
int64_t headers_limit_until(const struct headers *a, int64_t now);

/* ---- part.c: PATH.part, the beginning of a file that is being fetched, and PATH.part.from, where
 * it is from: one "key value" a line. The part is locked while a process works on it. ---- */

struct part {
    int fd;     /* -1: there is none */
    char *path; /* PATH.part */
    char *from; /* PATH.part.from; NULL none is kept */
    uint64_t n; /* bytes in it, those that are held included */
    char *held; /* the last of them, to be written together; NULL: none were yet */
    size_t n_held;
    bool waited;  /* another process had it before us */
    bool durable; /* will be forced to disk; set by the caller once it is open */
    /* Where its bytes are from; texts are owned, NULL or "" unknown. */
    char *url;
    char *validator; /* for If-Range */
    char *sha256;    /* that was asked for */
    uint64_t total;  /* 0 unknown */
};

#define PART_NONE ((struct part){.fd = -1})

/* Make or find it, with what is known about its origin, and wait for its lock. name: the part's own
 * name; NULL: PATH.part, with its origin beside it. */
int part_open(const struct fetch_config *config, const char *path, const char *name,
              struct part *ret_part, struct gfxb_error *err);
/* Close it. An empty part and its origin are removed, another stays for the next run. */
void part_done(struct part *part);

/* Write down where its bytes are from. Without effect where that is not kept. */
int part_save_origin(const struct part *part, struct gfxb_error *err);
/* The file's length and validator are not known (any more). */
void part_forget(struct part *part);

/* Empty it. */
int part_clear(struct part *part, struct gfxb_error *err);
/* Add to its end. disk-full when there is no room. A killed process loses what is held: 128 KiB. */
int part_add(struct part *part, const void *bytes, size_t n, struct gfxb_error *err);
/* All of it is in the file afterwards, or n says how much. */
int part_settle(struct part *part, struct gfxb_error *err);
/* Make it the file; a durable one survives a power cut. */
int part_publish(struct part *part, const char *path, struct gfxb_error *err);

/* ---- hash.c: the digest of a file that grows. A thread computes it, which reads what the file
 * holds already; a small file, or one for which there is no thread, is read by the caller. ---- */

struct hash {
    pthread_mutex_t lock; /* over all that changes */
    pthread_cond_t more, done;
    pthread_t thread;
    bool has_thread, stop;
    int fd;
    bool durable; /* will be forced to disk */
    struct digest *digest;
    char *piece;
    uint64_t at, end;  /* bytes in the digest; bytes that the file has */
    uint64_t flushing; /* bytes that the kernel was asked to write out */
    int code;          /* why it could not be read; 0 */
};

#define HASH_NONE                                                                                  \
    ((struct hash){.lock = PTHREAD_MUTEX_INITIALIZER,                                              \
                   .more = PTHREAD_COND_INITIALIZER,                                               \
                   .done = PTHREAD_COND_INITIALIZER})

/* From the beginning of this file, which stays open until hash_stop. */
int hash_start(struct hash *h, int fd, bool durable, struct gfxb_error *err);
/* The file has its first n bytes now. */
void hash_reach(struct hash *h, uint64_t n);
/* How many of them are in the digest. */
uint64_t hash_at(struct hash *h);
void hash_stop(struct hash *h);

/* ---- the transfer ---- */

/* What may help after a failure. */
enum retry {
    RETRY_NEVER,
    RETRY_RESUME,  /* may work later: try again from where it stopped */
    RETRY_RESTART, /* what is there does not belong to what is sent now: from the beginning */
};

struct transfer {
    const struct fetch_config *config;
    const struct fetch_request *request;
    struct fetch_result *result;
    struct gfxb_error *err;
    CURL *curl;
    char *url;          /* owned; after rewriting */
    struct address own; /* of it */
    char *what;         /* owned; its name in sentences */
    bool is_mirrored;
    struct part part;
    struct buf *text;  /* fetch_get: where the bytes go; NULL: into the part, if anywhere */
    size_t text_start; /* what was in it before */
    struct hash hash;  /* of the part, or of a file that was there before */
    bool resumed;      /* a piece was continued: a wrong digest may be the piece's fault */
    int expired;       /* signed links that had expired when we followed them */
    enum retry retry;  /* after the last failure */

    /* This exchange. */
    struct address next; /* where it was redirected to */
    struct headers answer;
    const struct address *here; /* whom we talk to: own, or next */
    int hop;
    uint64_t offset;  /* asked for the bytes from here on */
    bool accepted;    /* the answer's body is the file */
    uint64_t skipped; /* bytes of a body that is not */
    int body;         /* result of the body so far */
    bool cancelled, stalled;

    /* Clocks, in milliseconds of the monotonic clock. */
    int64_t window_start; /* of stall detection */
    uint64_t window_bytes;
    int64_t shown; /* last progress report */
    int64_t rate_start;
    uint64_t rate_at; /* bytes that had come over the network by then */
    uint64_t rate;    /* bytes a second; 0 not known yet */
};

/* How much of the file is here: where the next exchange goes on. */
uint64_t transfer_offset(const struct transfer *t);
/* 0, or -GFXB_E_INTERRUPTED once the caller's cancel is set. */
int transfer_check_cancel(const struct transfer *t);

/* One request with its redirects. */
int exchange_run(struct transfer *t);

/* Wait until all is in the digest, with progress and cancel. */
int hash_end(struct transfer *t, char ret_hex[static DIGEST_HEX]);

/* body.c: forget what is here. */
int body_restart(struct transfer *t);
/* Decide by the headers and the first bytes whether this is the file. */
int body_accept(struct transfer *t, struct str first);
int body_add(struct transfer *t, const char *bytes, size_t n);
/* All n bytes came: are they the right ones? */
int body_check(struct transfer *t, uint64_t n);
void body_show_progress(struct transfer *t, bool last);

/* failure.c: fill the error, and `retry` where trying again may help. Negative. */
int failure_of_curl(struct transfer *t, CURLcode code);
int failure_of_status(struct transfer *t);

#endif
