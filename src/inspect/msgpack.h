/*
 * msgpack.h - a reader of MessagePack bytes, an item at a time, without recursion: nesting costs
 * nothing, and a count is believed only as far as the bytes reach. Private to inspect/.
 */
#ifndef INSPECT_MSGPACK_H
#define INSPECT_MSGPACK_H

#include "base/base.h"

struct msgpack {
    const unsigned char *p; /* what is left */
    size_t n;
};

enum msgpack_type {
    MSGPACK_UINT,  /* value: the number */
    MSGPACK_TEXT,  /* text */
    MSGPACK_ARRAY, /* value: how many items follow */
    MSGPACK_MAP,   /* value: how many pairs of a key and an item follow */
    MSGPACK_OTHER, /* nil, booleans, negative and floating numbers, binary data, extensions */
};

struct msgpack_item {
    enum msgpack_type type;
    uint64_t value;
    struct str text; /* a view into the bytes */
};

/* The next item; of an array or map only its beginning. -EBADMSG at the end of the bytes. */
int msgpack_next(struct msgpack *m, struct msgpack_item *ret_item);

/* The next item; -EBADMSG when it is of another type. */
int msgpack_expect(struct msgpack *m, enum msgpack_type type, struct msgpack_item *ret_item);

/* Pass over one whole item with all that is in it. */
int msgpack_skip(struct msgpack *m);

#endif
