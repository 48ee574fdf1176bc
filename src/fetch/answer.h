/* answer.h - what the headers of one HTTP answer say. Private to fetch/. */
#ifndef FETCH_ANSWER_H
#define FETCH_ANSWER_H

#include "fetch/fetch.h"

#define ANSWER_VALIDATOR_MAX 512

struct answer {
    long status;
    bool has_length;
    uint64_t length;       /* Content-Length */
    bool has_range;        /* Content-Range with a start */
    uint64_t range_start;
    uint64_t range_total;  /* 0 unknown ("*") */
    bool html;             /* Content-Type says text/html */
    char etag[ANSWER_VALIDATOR_MAX];     /* "" none */
    char modified[ANSWER_VALIDATOR_MAX]; /* Last-Modified; "" none */
    int64_t retry_after;   /* seconds; -1 none */
    int64_t limit_reset;   /* X-RateLimit-Reset, seconds since 1970; 0 none */
    bool limit_used_up;    /* X-RateLimit-Remaining: 0 */
};

void answer_init(struct answer *a);

/* One header line with or without its CRLF. A status line ("HTTP/1.1 200 OK") begins anew. ret_name
 * is empty for a status line and for what is no header. now: seconds since 1970. */
void answer_add_line(struct answer *a, struct str line, int64_t now, struct str *ret_name,
                     struct str *ret_value);

/* What If-Range can carry: a strong ETag, else Last-Modified, else "". */
const char *answer_validator(const struct answer *a);

/* Is this a refusal because a limit of requests is used up? */
bool answer_is_limit(const struct answer *a);
/* When the limit is lifted, seconds since 1970; 0 not said. */
int64_t answer_limit_until(const struct answer *a, int64_t now);

#endif
