/*
 * job.h - one fetch under way. run.c repeats exchanges until the file is whole; exchange.c does
 * one, redirects included; body.c takes what arrives; failure.c says what went wrong. Private to
 * fetch/.
 */
#ifndef FETCH_JOB_H
#define FETCH_JOB_H

#include "fetch/address.h"
#include "fetch/fetch.h"
#include "fetch/hasher.h"
#include "fetch/headers.h"
#include "fetch/part.h"

#include <curl/curl.h>

/* How an exchange, or a step of it, ended. The error is filled for all but DONE. */
enum verdict {
    VERDICT_DONE,
    VERDICT_AGAIN,   /* may work later: try again from where it stopped */
    VERDICT_RESTART, /* what is there does not belong to what is sent now: begin anew */
    VERDICT_FINAL,
};

struct job {
    const struct fetch_config *config;
    const struct fetch_request *request;
    struct fetch_result *result;
    struct gfxb_error *err;
    CURL *curl;
    char *url;  /* owned; after rewriting */
    char *what; /* owned; its name in sentences */
    bool is_mirrored;
    struct part part;
    struct part_origin origin; /* what is known about the file; kept beside the part */
    struct hasher *hasher;
    uint64_t at;  /* bytes given to the digest and the sink */
    bool resumed; /* a piece was continued: a wrong digest may be the piece's fault */
    int expired;  /* signed links that had expired when we followed them */

    /* This exchange. */
    struct headers answer;
    struct address here; /* whom we talk to */
    int hop;
    uint64_t offset;      /* asked for the bytes from here on */
    bool accepted;        /* the answer's body is the file */
    uint64_t skipped;     /* bytes of a body that is not */
    enum verdict verdict; /* of the body so far */
    bool cancelled, stalled;

    /* Clocks, in milliseconds of the monotonic clock. */
    int64_t window_start; /* of stall detection */
    uint64_t window_bytes;
    int64_t shown; /* last progress report */
    int64_t rate_start;
    uint64_t rate_at; /* bytes that had come over the network by then */
    uint64_t rate;    /* bytes a second; 0 not known yet */
};

/* How much of the file is at hand: where the next exchange goes on. */
uint64_t job_offset(const struct job *job);
bool transfer_cancelled(const struct job *job);
/* Fill the error and be final. */
enum verdict job_out_of_memory(struct job *job);

/* One request with its redirects. */
enum verdict exchange_run(struct job *job);

/* body.c */
int body_begin(struct job *job); /* a new digest; 0 or negative */
enum verdict body_restart(struct job *job);
/* Give the digest and the sink what a file holds already, up to its byte `end`. */
enum verdict body_replay(struct job *job, int fd, uint64_t end);
enum verdict body_replay_part(struct job *job);
/* Decide by the headers and the first bytes whether this is the file. */
enum verdict body_accept(struct job *job, struct str first);
enum verdict body_add(struct job *job, const char *bytes, size_t n);
/* All bytes came: are they the right ones? */
enum verdict body_check(struct job *job);
void body_show_progress(struct job *job, bool last);

/* failure.c: fill the error. */
enum verdict failure_of_curl(struct job *job, CURLcode code);
enum verdict failure_of_status(struct job *job);

#endif
