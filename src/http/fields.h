/*
 * fields.h - the lines of an HTTP/1.1 head, read strictly: CRLF only, no folded lines, no
 * blank before the colon, no control characters. What two readers could understand differently is
 * refused (request smuggling). Private to http/; also fuzzed.
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "http/http.h"

struct http_field {
    struct str name;  /* as sent */
    struct str value; /* without blanks at its ends */
};

/* Bytes up to and with the empty line that ends a head, 0 when it is not there yet. from: where to
 * go on looking, kept by the caller between calls. */
size_t http_head_end(struct str bytes, size_t *from);

/* The next line without its CRLF off *rest, which ends with CRLF. False: a bare CR or LF. */
bool http_line(struct str *rest, struct str *ret_line);

/* A line as name and value; false when it is not exactly that. */
bool http_field(struct str line, struct http_field *ret_field);

bool http_is_token(struct str s);
/* 0 and the number, or -EINVAL: digits only, at most 18. */
int http_length(struct str value, uint64_t *ret_length);
/* Does a comma-separated list hold this word (ASCII case ignored)? */
bool http_list_has(struct str list, const char *word);

/* Read the head of an answer, whole as http_head_end found it. 0, or -EPROTO. */
int http_answer_read(struct str bytes, struct http_answer *ret_answer);

#endif
