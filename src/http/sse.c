/* sse.c - cuts a stream of bytes into the events that a server sends. */
#include "base/base.h"
#include "http/http.h"

#include <errno.h>

void sse_init(struct sse *sse, sse_take *take, void *context)
{
    *sse = (struct sse){.line = BUF_INIT(SSE_LINE_MAX), .take = take, .context = context};
}

void sse_done(struct sse *sse)
{
    buf_done(&sse->line);
}

static int sse_take_line(const struct sse *sse, struct str line)
{
    struct str field;
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    struct str value = line;
    if (line.n == 0 || line.p[0] == ':' || !str_cut(&value, ':', &field))
        return 0;
    if (value.n && value.p[0] == ' ')
        value = (struct str){value.p + 1, value.n - 1};
    if (!str_is(field, "data") && !str_is(field, "error"))
        return 0;
    return sse->take(sse->context, field, value);
}

int sse_feed(struct sse *sse, struct str bytes)
{
    while (bytes.n) {
        const char *end = memchr(bytes.p, '\n', bytes.n);
        struct str piece = {bytes.p, end ? (size_t)(end - bytes.p) : bytes.n};
        bytes = (struct str){bytes.p + piece.n + (end ? 1 : 0), bytes.n - piece.n - (end ? 1 : 0)};
        if (end && sse->line.n == 0) { /* the usual case: nothing to put together */
            int code = sse_take_line(sse, piece);
            if (code < 0)
                return code;
            continue;
        }
        buf_add_str(&sse->line, piece);
        if (!buf_ok(&sse->line))
            return -EMSGSIZE;
        if (!end)
            return 0;
        int code = sse_take_line(sse, buf_view(&sse->line));
        buf_clear(&sse->line);
        if (code < 0)
            return code;
    }
    return 0;
}
