/*
 * buf.h - text or bytes that grow, up to a stated maximum. p is NUL-terminated after n bytes from
 * the first addition on. Going over the maximum or out of memory empties nothing and marks the
 * buffer failed: check once at the end with buf_ok, every later addition is ignored.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
    char *p; /* NULL until the first addition */
    size_t n;
    size_t capacity;
    size_t max;
    bool failed;
};

#define BUF_INIT(maximum) ((struct buf){NULL, 0, 0, (maximum), false})

/* For a program that cannot go on without memory, set once before its first thread: what ends it
 * when a buffer that needs at most BUF_SMALL bytes finds no memory. NULL, as in a library: such a
 * buffer fails like any other. */
#define BUF_SMALL (1u << 20)
extern void (*buf_no_memory)(void);

void buf_done(struct buf *b); /* frees; the buffer is empty and usable again */
void buf_clear(struct buf *b);
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_add_char(struct buf *b, char c);
void buf_add_str(struct buf *b, struct str s);
void buf_add_text(struct buf *b, const char *text);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at the end, to be filled by the caller and counted with buf_grew; NULL when
 * there is none. */
char *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);
bool buf_ok(const struct buf *b);
struct str buf_view(const struct buf *b);
/* The content as text, "" when empty: lent until the next addition. */
const char *buf_text(const struct buf *b);
/* Hand the content over (to be freed by the caller); NULL when the buffer had failed. */
char *buf_take(struct buf *b);

/* Room for one more item behind the n of an array (array: where its pointer is) that holds
 * *capacity of them and grows by doubling. False when out of memory. */
bool array_grow(void *array, size_t n, size_t *capacity, size_t item);

#endif
