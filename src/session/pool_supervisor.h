/* pool_supervisor.h - the pool's engines, each with a supervisor. Private to session/. */
#ifndef SESSION_POOL_SUPERVISOR_H
#define SESSION_POOL_SUPERVISOR_H

#include "api/api.h"
#include "session/pool_engines.h"

/* Lends from config. */
struct pool_engines pool_supervisor_engines(const struct serve_config *config);

#endif
