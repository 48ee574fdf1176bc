#include "http/chunks.h"

#include <errno.h>

enum {
    CHUNKS_SIZE,    /* digits of a size */
    CHUNKS_SIZE_LF, /* behind its CR */
    CHUNKS_DATA,    /* content */
    CHUNKS_DATA_CR, /* behind the content */
    CHUNKS_DATA_LF, /* behind its CR */
    CHUNKS_LAST_CR, /* behind the last size: the end, or a trailer */
    CHUNKS_LAST_LF, /* behind its CR */
    CHUNKS_ENDED,
};

enum { CHUNKS_DIGITS_MAX = 8 };

static int chunks_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int chunks_size(struct http_chunks *chunks, char c)
{
    int digit = chunks_digit(c);
    if (digit >= 0 && chunks->digits < CHUNKS_DIGITS_MAX) {
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        chunks->digits++;
        return 0;
    }
    if (c != '\r' || !chunks->digits)
        return -EINVAL;
    chunks->state = CHUNKS_SIZE_LF;
    return 0;
}

/* One byte that is not content. */
static int chunks_mark(struct http_chunks *chunks, char c)
{
    switch (chunks->state) {
    case CHUNKS_SIZE:
        return chunks_size(chunks, c);
    case CHUNKS_SIZE_LF:
        chunks->state = chunks->left ? CHUNKS_DATA : CHUNKS_LAST_CR;
        chunks->digits = 0;
        return c == '\n' ? 0 : -EINVAL;
    case CHUNKS_DATA_CR:
        chunks->state = CHUNKS_DATA_LF;
        return c == '\r' ? 0 : -EINVAL;
    case CHUNKS_DATA_LF:
        chunks->state = CHUNKS_SIZE;
        return c == '\n' ? 0 : -EINVAL;
    case CHUNKS_LAST_CR:
        chunks->state = CHUNKS_LAST_LF;
        return c == '\r' ? 0 : -EINVAL;
    default:
        chunks->state = CHUNKS_ENDED;
        return c == '\n' ? 0 : -EINVAL;
    }
}

int http_chunks_take(struct http_chunks *chunks, char *bytes, size_t n, size_t *ret_n,
                     size_t *ret_used)
{
    size_t in = 0, out = 0;
    while (in < n && chunks->state != CHUNKS_ENDED) {
        if (chunks->state != CHUNKS_DATA) {
            if (chunks_mark(chunks, bytes[in++]) < 0)
                return -EINVAL;
            continue;
        }
        size_t piece = n - in < chunks->left ? n - in : (size_t)chunks->left;
        memmove(bytes + out, bytes + in, piece);
        in += piece;
        out += piece;
        chunks->left -= piece;
        if (!chunks->left)
            chunks->state = CHUNKS_DATA_CR;
    }
    *ret_n = out;
    *ret_used = in;
    return chunks->state == CHUNKS_ENDED;
}
