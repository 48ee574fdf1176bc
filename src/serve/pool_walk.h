/* pool_walk.h - the pool's engines by walks of the path. Private to serve/. */
#ifndef SERVE_POOL_WALK_H
#define SERVE_POOL_WALK_H

#include "serve/pool_engines.h"
#include "serve/serve.h"

/* Lends from config. */
struct pool_engines pool_walk_engines(const struct serve_config *config);

#endif
