/*
 * request_head.h - the head of a request, read strictly. Without I/O. Private to http/; also
 * fuzzed.
 */
#ifndef HTTP_REQUEST_HEAD_H
#define HTTP_REQUEST_HEAD_H

#include "http/fields.h"
#include "http/http.h"

enum { REQUEST_FIELDS_MAX = 96, REQUEST_HEAD_MAX = 16384 };

/* Views into the head's bytes, which may move: offsets are kept, not pointers. */
struct request_span {
    uint16_t at, n; /* n 0: absent or empty */
};

/* The fields that the core itself looks at. */
enum request_known {
    REQUEST_HOST,
    REQUEST_ORIGIN,
    REQUEST_TYPE,
    REQUEST_AUTHORIZATION,
    REQUEST_API_KEY,
    REQUEST_KNOWN,
};

struct request_head {
    enum http_method method;
    bool minor_0;   /* HTTP/1.0 */
    bool keep;      /* the client wants to send another one */
    bool chunked;   /* the body has that coding */
    bool continues; /* Expect: 100-continue */
    bool host_given;
    uint64_t length; /* of the body; 0 also when chunked */
    struct request_span path, query, fields, known[REQUEST_KNOWN];
};

/* Read a whole head (as http_head_end found it, at most REQUEST_HEAD_MAX bytes). 0, or the status
 * to refuse it with, negative; *ret_why is a sentence. */
int request_head_read(struct str bytes, struct request_head *ret_head, const char **ret_why);

/* A field of the head by its lower-case name; the empty view when absent. */
struct str request_head_field(struct str bytes, const struct request_head *head, const char *name);

static inline struct str request_span_view(const char *bytes, struct request_span span)
{
    return (struct str){bytes + span.at, span.n};
}

#endif
