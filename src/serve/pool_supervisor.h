/* pool_supervisor.h - the pool's engines, each with a supervisor. Private to serve/. */
#ifndef SERVE_POOL_SUPERVISOR_H
#define SERVE_POOL_SUPERVISOR_H

#include "serve/pool_engines.h"
#include "serve/serve.h"

/* Lends from config. */
struct pool_engines pool_supervisor_engines(const struct serve_config *config);

#endif
