/* serve.h - the server with its models, downloads and counters, from the inside. Private to api/.
 */
#ifndef API_SERVE_H
#define API_SERVE_H

#include "api/downloads.h"
#include "session/pool.h"

struct serve {
    struct serve_config config; /* with its defaults filled in */
    struct http_server *http;
    struct loop *loop; /* the server's */
    struct work *work; /* threads for downloads and look-ups */
    struct pool *pool;
    struct downloads *downloads;
    struct serve_counters totals;
    int64_t started_at;
};

/* serve_run with other engines than the supervisor's: for benches and tests. */
int serve_run_with(const struct serve_config *config, const struct pool_engines *engines,
                   struct gfxb_error *err);

#endif
