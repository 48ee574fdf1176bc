/* msgpack.c - MessagePack, an item at a time; formats as in its specification. */
#include "inspect/inspect_private.h"

#include <errno.h>

/* Big-endian. */
static int msgpack_number(struct msgpack *m, size_t bytes, uint64_t *ret_value)
{
    if (m->n < bytes)
        return -EBADMSG;
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | m->p[i];
    m->p += bytes;
    m->n -= bytes;
    *ret_value = value;
    return 0;
}

static int msgpack_bytes(struct msgpack *m, uint64_t length, struct str *ret_text)
{
    if (m->n < length)
        return -EBADMSG;
    *ret_text = (struct str){(const char *)m->p, (size_t)length};
    m->p += length;
    m->n -= (size_t)length;
    return 0;
}

/* What a format byte announces. */
static const struct msgpack_form {
    unsigned char first, last; /* of the format bytes */
    enum msgpack_type type;
    unsigned char width; /* bytes of the number that follows, doubled with each format after the
                            first; 0: the number is part of the format byte */
    bool is_length;      /* this many bytes follow */
    unsigned char extra; /* bytes that follow beside */
} msgpack_forms[] = {
    {0x00, 0x7f, MSGPACK_UINT, 0, false, 0},
    {0x80, 0x8f, MSGPACK_MAP, 0, false, 0},
    {0x90, 0x9f, MSGPACK_ARRAY, 0, false, 0},
    {0xa0, 0xbf, MSGPACK_TEXT, 0, true, 0},
    {0xc0, 0xc0, MSGPACK_OTHER, 0, false, 0}, /* nil */
    {0xc2, 0xc3, MSGPACK_OTHER, 0, false, 0}, /* false, true */
    {0xc4, 0xc6, MSGPACK_OTHER, 1, true, 0},  /* binary */
    {0xc7, 0xc9, MSGPACK_OTHER, 1, true, 1},  /* an extension: length, type, data */
    {0xca, 0xcb, MSGPACK_OTHER, 4, false, 0}, /* floating */
    {0xcc, 0xcf, MSGPACK_UINT, 1, false, 0},
    {0xd0, 0xd3, MSGPACK_OTHER, 1, false, 0}, /* signed */
    {0xd4, 0xd8, MSGPACK_OTHER, 1, false, 1}, /* an extension of 1 to 16 bytes, and its type */
    {0xd9, 0xdb, MSGPACK_TEXT, 1, true, 0},
    {0xdc, 0xdd, MSGPACK_ARRAY, 2, false, 0},
    {0xde, 0xdf, MSGPACK_MAP, 2, false, 0},
    {0xe0, 0xff, MSGPACK_OTHER, 0, false, 0}, /* a small negative number */
};

static int msgpack_next(struct msgpack *m, struct msgpack_item *ret_item)
{
    uint64_t format;
    int r = msgpack_number(m, 1, &format);
    const struct msgpack_form *form = NULL;
    for (size_t i = 0; r == 0 && i < sizeof(msgpack_forms) / sizeof(msgpack_forms[0]); i++) {
        if (format >= msgpack_forms[i].first && format <= msgpack_forms[i].last)
            form = &msgpack_forms[i];
    }
    if (!form) /* 0xc1 is never used */
        return -EBADMSG;
    struct msgpack_item item = {.type = form->type, .value = format - form->first};
    if (form->width)
        r = msgpack_number(m, (size_t)form->width << item.value, &item.value);
    r = r ?: msgpack_bytes(m, (form->is_length ? item.value : 0) + form->extra, &item.text);
    /* Each item that follows takes at least a byte. */
    if (r == 0 && ((item.type == MSGPACK_ARRAY && item.value > m->n) ||
                   (item.type == MSGPACK_MAP && item.value > m->n / 2)))
        r = -EBADMSG;
    if (r == 0)
        *ret_item = item;
    return r;
}

int msgpack_expect(struct msgpack *m, enum msgpack_type type, struct msgpack_item *ret_item)
{
    struct msgpack_item item;
    int r = msgpack_next(m, &item);
    if (r == 0 && item.type != type)
        r = -EBADMSG;
    if (r == 0)
        *ret_item = item;
    return r;
}

int msgpack_skip(struct msgpack *m)
{
    uint64_t pending = 1; /* cannot overflow: every count is below the number of bytes */
    while (pending) {
        struct msgpack_item item;
        int r = msgpack_next(m, &item);
        if (r < 0)
            return r;
        pending--;
        if (item.type == MSGPACK_ARRAY)
            pending += item.value;
        else if (item.type == MSGPACK_MAP)
            pending += 2 * item.value;
    }
    return 0;
}
