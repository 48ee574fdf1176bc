/* msgpack.c - MessagePack, an item at a time; format bytes as in its specification, numbers
 * big-endian. */
#include "inspect/inspect_private.h"

#include <errno.h>

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

/* A length of `bytes` bytes, then that many bytes and `extra` more, all skipped. */
static int msgpack_sized(struct msgpack *m, size_t bytes, size_t extra, struct str *ret_text)
{
    uint64_t length;
    int r = msgpack_number(m, bytes, &length);
    return r < 0 ? r : msgpack_bytes(m, length + extra, ret_text);
}

static int msgpack_count(struct msgpack *m, size_t bytes, enum msgpack_type type,
                         struct msgpack_item *item)
{
    item->type = type;
    return msgpack_number(m, bytes, &item->value);
}

static int msgpack_text(struct msgpack *m, size_t bytes, struct msgpack_item *item)
{
    item->type = MSGPACK_TEXT;
    return msgpack_sized(m, bytes, 0, &item->text);
}

static int msgpack_long_form(struct msgpack *m, unsigned format, struct msgpack_item *item)
{
    struct str ignored;
    uint64_t number;
    switch (format) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: /* true */
        return 0;
    case 0xc4: /* binary */
    case 0xc5:
    case 0xc6:
        return msgpack_sized(m, (size_t)1 << (format - 0xc4), 0, &ignored);
    case 0xc7: /* extension: length, type, data */
    case 0xc8:
    case 0xc9:
        return msgpack_sized(m, (size_t)1 << (format - 0xc7), 1, &ignored);
    case 0xca: /* float */
    case 0xcb:
        return msgpack_number(m, (size_t)4 << (format - 0xca), &number);
    case 0xcc: /* unsigned */
    case 0xcd:
    case 0xce:
    case 0xcf:
        return msgpack_count(m, (size_t)1 << (format - 0xcc), MSGPACK_UINT, item);
    case 0xd0: /* signed */
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return msgpack_number(m, (size_t)1 << (format - 0xd0), &number);
    case 0xd4: /* extension of 1, 2, 4, 8, 16 bytes: type, data */
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return msgpack_bytes(m, 1 + ((uint64_t)1 << (format - 0xd4)), &ignored);
    case 0xd9: /* text */
    case 0xda:
    case 0xdb:
        return msgpack_text(m, (size_t)1 << (format - 0xd9), item);
    case 0xdc:
    case 0xdd:
        return msgpack_count(m, (size_t)2 << (format - 0xdc), MSGPACK_ARRAY, item);
    case 0xde:
    case 0xdf:
        return msgpack_count(m, (size_t)2 << (format - 0xde), MSGPACK_MAP, item);
    default: /* 0xc1 is never used */
        return -EBADMSG;
    }
}

int msgpack_next(struct msgpack *m, struct msgpack_item *ret_item)
{
    struct msgpack_item item = {.type = MSGPACK_OTHER};
    uint64_t format;
    int r = msgpack_number(m, 1, &format);
    if (r < 0)
        return r;
    if (format < 0x80) {
        item.type = MSGPACK_UINT;
        item.value = format;
    } else if (format < 0x90) {
        item.type = MSGPACK_MAP;
        item.value = format & 0xf;
    } else if (format < 0xa0) {
        item.type = MSGPACK_ARRAY;
        item.value = format & 0xf;
    } else if (format < 0xc0) {
        item.type = MSGPACK_TEXT;
        r = msgpack_bytes(m, format & 0x1f, &item.text);
    } else if (format < 0xe0) {
        r = msgpack_long_form(m, (unsigned)format, &item);
    } /* else a small negative number */
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
