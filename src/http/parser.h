/*
 * parser.h - HTTP/1.1 messages read strictly, without I/O: heads and chunked bodies. CRLF only, no
 * folded lines, no blank before the colon, no control characters: what two readers could understand
 * differently is refused (request smuggling). RFC 9112. Private to http/; also fuzzed.
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include "http/http.h"

enum {
    PARSER_HEAD_MAX = 65536,      /* bytes of a head */
    PARSER_CHUNK_LINE_MAX = 4096, /* bytes of a chunk's size with its extensions; of all trailers */
};

/* Bytes up to and with the empty line that ends a head, 0 when it is not there yet. from: where to
 * go on looking, kept by the caller between calls. */
size_t http_head_end(struct str bytes, size_t *from);
bool http_is_token(struct str s);

/* ---- a request's head ---- */

extern const char *const http_method_names[HTTP_METHODS];

/* The fields that the server itself looks at. */
enum request_known {
    REQUEST_HOST, /* of an address in absolute form: its authority instead */
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
    bool browser; /* a web browser sent it: it has Origin or a field that begins with Sec-Fetch- */
    uint64_t length;                                      /* of the body; 0 also when chunked */
    struct str path, query, fields, known[REQUEST_KNOWN]; /* views into its bytes */
};

/* Read a whole head (as http_head_end found it, at most PARSER_HEAD_MAX bytes). 0, or the status to
 * refuse it with, negative; *ret_why is a sentence. */
int request_head_read(struct str bytes, struct request_head *ret_head, const char **ret_why);
/* A field of the head by its lower-case name; the empty view when absent. */
struct str request_head_field(const struct request_head *head, const char *name);

/* ---- an answer's head ---- */

/* Read a whole head as http_head_end found it. 0, or -EPROTO. Of an interim answer (1xx) too. */
int http_answer_read(struct str bytes, struct http_answer *ret_answer);

/* ---- chunked bodies ---- */

/* All zero: at the beginning. */
struct http_chunks {
    int state;
    unsigned line;   /* bytes of the size line, or of all trailers, so far */
    unsigned digits; /* of the size that is being read */
    uint64_t left;   /* bytes of the chunk that are still to come; less than 4 GiB */
    bool empty;      /* the trailer that is being read has no bytes yet */
    bool colon;      /* it has a colon */
    bool extras;     /* extensions or trailers were read over */
};

/*
 * Take the coding off n bytes, in place; the content is moved to their beginning and *ret_n counts
 * it. *ret_used counts the bytes that belong to this body: all n, or fewer once it has ended.
 * Extensions and trailers are read over. 1 when it has ended, 0 when more is to come, -EINVAL when
 * it is malformed.
 */
int http_chunks_take(struct http_chunks *chunks, char *bytes, size_t n, size_t *ret_n,
                     size_t *ret_used);

#endif
