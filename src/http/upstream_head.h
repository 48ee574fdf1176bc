/* upstream_head.h - the head of an engine's answer. Without I/O. Private to http/; also fuzzed. */
#ifndef HTTP_UPSTREAM_HEAD_H
#define HTTP_UPSTREAM_HEAD_H

#include "http/fields.h"

enum upstream_framing {
    UPSTREAM_LENGTH,  /* so many bytes */
    UPSTREAM_CHUNKED, /* until the last chunk */
    UPSTREAM_CLOSE,   /* until the engine closes */
};

struct upstream_head {
    int status;
    enum upstream_framing framing;
    uint64_t length;
    bool keep;       /* the connection may be used again */
    struct str type; /* Content-Type, a view into the bytes; empty: none */
};

/* Read a whole head as http_head_end found it. 0, or -EPROTO. */
int upstream_head_read(struct str bytes, struct upstream_head *ret_head);

#endif
