/* buf.c - text or bytes that grow, up to a stated maximum. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

void (*buf_no_memory)(void);

void buf_done(struct buf *b)
{
    free(b->p);
    *b = BUF_INIT(b->max);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n > b->max || b->n > b->max - n)
        goto fail;
    if (b->n + n + 1 > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity < b->n + n + 1)
            capacity *= 2;
        char *grown = realloc(b->p, capacity);
        if (!grown && buf_no_memory && capacity <= BUF_SMALL)
            buf_no_memory();
        if (!grown)
            goto fail;
        b->p = grown;
        b->capacity = capacity;
    }
    return b->p + b->n;
fail:
    b->failed = true;
    return NULL;
}

void buf_grew(struct buf *b, size_t n)
{
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
    char *room = buf_room(b, n);
    if (!room)
        return;
    if (n)
        memcpy(room, bytes, n);
    buf_grew(b, n);
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_text(struct buf *b, const char *text)
{
    buf_add_str(b, str_from(text));
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char small[256];
    int n = vsnprintf(small, sizeof(small), format, args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof(small)) {
        buf_add(b, small, (size_t)n);
    } else {
        char *room = buf_room(b, (size_t)n);
        if (room) {
            vsnprintf(room, (size_t)n + 1, format, again);
            buf_grew(b, (size_t)n);
        }
    }
    va_end(again);
    va_end(args);
}

bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

struct str buf_view(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

const char *buf_text(const struct buf *b)
{
    return b->p ? b->p : "";
}

char *buf_take(struct buf *b)
{
    char *text = NULL;
    if (!b->failed && (b->p || buf_room(b, 0))) {
        b->p[b->n] = '\0';
        text = b->p;
        b->p = NULL;
    }
    buf_done(b);
    return text;
}

bool array_grow(void *array, size_t n, size_t *capacity, size_t item)
{
    void *p;
    size_t more = *capacity ? *capacity * 2 : 16;
    if (n < *capacity)
        return true;
    memcpy(&p, array, sizeof(p));
    p = reallocarray(p, more, item);
    if (!p)
        return false;
    memcpy(array, &p, sizeof(p));
    *capacity = more;
    return true;
}
