/*
 * fetch.h - the outward header of fetch/: a URL or mirror + digest -> verified bytes, resumable,
 * with progress.
 *
 * One connection, HTTP/1.1 (on one fast link several connections and HTTP/2 are slower). What
 * breaks on the way is taken up again where it broke; what the server says for good (404, 403, 410)
 * is final at once. Nothing here reads the environment, except that libcurl itself honours the
 * usual *_PROXY variables.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/base.h"
#include "base/digest.h"

#include <stdatomic.h>

/* How this user reaches the world; 0 and NULL are the defaults. All strings are lent. The program
 * must ignore SIGPIPE. */
struct fetch_config {
    /* Base URL (https, http or file) that stands for every host: https://HOST/PATH is fetched as
     * MIRROR/HOST/PATH. A token is never sent to a mirror. */
    const char *mirror;
    const char *ca_file;      /* PEM file of trusted certificates instead of the system's */
    int stall_seconds;        /* 30: that long without 4096 bytes is a stall */
    int tries;                /* 6 in a row without a MiB of progress between them */
    int pause_ms;             /* 1000: before the second try, then doubled, at most 15 s */
    const atomic_int *cancel; /* not 0: "interrupted", within a second. NULL never */
    const struct log *log;    /* why it tries again, what could not be resumed */
};

struct fetch_progress {
    uint64_t bytes;            /* of the file, those of an earlier run included */
    uint64_t total;            /* 0 unknown */
    uint64_t bytes_per_second; /* in the last seconds; 0 not known yet */
    int64_t remaining_seconds; /* -1 unknown */
};

struct fetch_request {
    const char *url;            /* https, http (file through a mirror); before rewriting */
    const char *what;           /* its name in sentences; NULL: the last part of the URL's path */
    const char *const *headers; /* "Name: value", NULL-terminated; to the URL's own host only */
    const char *token;          /* Authorization: Bearer; to the URL's own host only, and only over
                                   TLS or loopback */
    const char *sha256;         /* 64 lower-case hex digits that must come out; NULL unknown */
    uint64_t size;              /* bytes that must come; 0 unknown */
    uint64_t max;               /* more is refused; 0 no limit */
    /* The server has it, its length is known as far as it says (0: it does not) and none of its
     * bytes was taken yet: is there room for what becomes of them? Negative ends the fetch; fill
     * *err. Called again when the file starts over. NULL none. */
    int (*begin)(void *context, uint64_t size, struct gfxb_error *err);
    /*
     * The file to make in an existing directory; NULL none. It appears when complete and verified,
     * not before. Meanwhile bytes collect in PATH.part with PATH.part.from beside it (where they
     * are from), also across runs: the next run asks for the rest with If-Range. A file that is
     * there already and has the right sha256 is taken as it is, without the network. Two processes
     * that fetch to one path do it one after the other.
     */
    const char *path;
    /*
     * Where the bytes collect instead, as another program that shares the directory names it. The
     * digest (then required) stands for where they are from: nothing is kept beside the part, and
     * what is in it is taken for the beginning of that file. NULL: PATH.part.
     */
    const char *part;
    bool scratch;     /* path is a cache that a power cut may damage: not forced to disk */
    bool head;        /* headers only */
    const char *body; /* JSON to POST; NULL: GET. For questions that may be asked twice */
    /* Every header of every answer as it comes; hop counts redirects from 0. NULL none. */
    void (*header)(void *context, int hop, long status, struct str name, struct str value);
    /* At most ten times a second, and at the end. NULL none. */
    void (*progress)(void *context, const struct fetch_progress *progress);
    void *context; /* of begin, header and progress */
};

/* Filled as far as known when the fetch failed too. */
struct fetch_result {
    long status;             /* HTTP status of the last answer; 0 none came, or no HTTP */
    bool limited;            /* that answer: too many requests */
    uint64_t bytes;          /* of the whole file */
    uint64_t size;           /* that the server says it has; 0 not said */
    uint64_t received;       /* body bytes that really came over the network, all tries */
    char sha256[DIGEST_HEX]; /* of the whole file; "" unless it is complete */
};

#define FETCH_RESULT_INIT ((struct fetch_result){0})

/*
 * Fetch one file. config may be NULL. 0, or:
 * offline: the host cannot be found or reached.
 * package-unavailable: the server refuses or lacks it, a used-up request limit (with the time when
 *   it is lifted), server errors, breaks and stalls after all tries, a web page instead of the
 *   file, a redirect that leads nowhere or from https to http.
 * digest-mismatch: complete, but not what was expected, or of another length.
 * disk-full: no room (asked before the first byte when the length is known).
 * interrupted: *cancel was set. What had arrived stays for the next run, as with every failure but
 *   digest-mismatch.
 * -errno: a file that cannot be written; -EINVAL an unusable URL.
 */
int fetch_run(const struct fetch_config *config, const struct fetch_request *request,
              struct fetch_result *ret_result, struct gfxb_error *err);

/* A small answer (JSON, an index page) onto the end of *ret, at most ret->max bytes. The request's
 * path and max are not used. */
int fetch_get(const struct fetch_config *config, const struct fetch_request *request,
              struct buf *ret, struct fetch_result *ret_result, struct gfxb_error *err);

/* Forget what an unfinished fetch to this path left behind. */
void fetch_discard(const char *path);

#endif
