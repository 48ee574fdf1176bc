/* headers.h - what the headers of one HTTP answer say. Private to fetch/. */
#ifndef FETCH_HEADERS_H
#define FETCH_HEADERS_H

#include "fetch/fetch.h"

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

/* One header line with or without its CRLF. A status line ("HTTP/1.1 200 OK") begins anew. ret_name
 * is empty for a status line and for what is no header. now: seconds since 1970. */
void headers_add_line(struct headers *a, struct str line, int64_t now, struct str *ret_name,
                      struct str *ret_value);

/* What If-Range can carry: a strong ETag, else Last-Modified, else "". */
const char *headers_validator(const struct headers *a);

/* Is this a refusal because a limit of requests is used up? */
bool headers_is_limit(const struct headers *a);
/* When the limit is lifted, seconds since 1970; 0 not said. */
int64_t headers_limit_until(const struct headers *a, int64_t now);

#endif
