/*
 * upstream.h - requests to one engine over its unix socket. Private to http/.
 *
 * A lane is the connections to one start of one engine. Connections are kept for the next request
 * only behind answers that left them clean; the engine closes the others although it says that it
 * keeps them. One that was kept and turns out to be dead before a byte came is replaced without
 * anybody noticing.
 */
#ifndef HTTP_UPSTREAM_H
#define HTTP_UPSTREAM_H

#include "http/loop.h"
#include "http/upstream_head.h"

struct upstream;
struct upstream_lane;

/* All are called in the loop's thread; upstream_cancel may be called within them. */
struct upstream_ops {
    void (*head)(void *owner, const struct upstream_head *head); /* head lent */
    void (*body)(void *owner, struct str bytes);
    void (*end)(void *owner);              /* whole; the upstream is gone afterwards */
    void (*broken)(void *owner, int code); /* -errno; the upstream is gone afterwards */
};

struct upstream_request {
    const char *path;
    struct str body; /* lent until the end; n 0 without p: GET */
    int gap_ms;      /* no byte for so long: broken with -ETIMEDOUT; 0 never */
    const struct upstream_ops *ops;
    void *owner;
};

int upstream_lane_new(struct loop *loop, const char *socket, const char *key,
                      struct upstream_lane **ret_lane);
/* Only once no request is under way; one that is just being told its end counts as ended. NULL is
 * fine. */
void upstream_lane_free(struct upstream_lane *lane);

/* 0 and a request under way, or -ENOMEM. What goes wrong later is told by broken. */
int upstream_start(struct upstream_lane *lane, const struct upstream_request *request,
                   struct upstream **ret_upstream);
/* Close the connection: the engine stops its work. No more calls. */
void upstream_cancel(struct upstream *u);
/* Do not read for a while: the engine has to wait. */
void upstream_pause(struct upstream *u, bool pause);

#endif
