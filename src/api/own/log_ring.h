/* log_ring.h - the last lines of the log, for those who look at it over HTTP. Private to api/. */
#ifndef API_OWN_LOG_RING_H
#define API_OWN_LOG_RING_H

#include "api/api.h"

struct log_ring;

/* Lines go on to `next` (NULL nobody). */
struct log_ring *log_ring_new(const struct log *next);
void log_ring_free(struct log_ring *ring); /* NULL is taken */
/* Where to write, from any thread; valid as long as the ring. */
const struct log *log_ring_log(const struct log_ring *ring);

#endif
