/* sse.h - server-sent events, fed in pieces of any size: the lines that matter of them. */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "base/buf.h"

#define SSE_LINE_MAX (4u << 20)

/* field is "data" or "error" (a field of llama-server's own), value the rest of its line. Negative:
 * stop. */
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

#endif
