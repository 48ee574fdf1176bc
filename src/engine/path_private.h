/* path_private.h - what path_plan.c and path.c share. Private to engine/. */
#ifndef ENGINE_PATH_PRIVATE_H
#define ENGINE_PATH_PRIVATE_H

#include "engine/engine.h"

/* What the package room needs to know of a request. */
struct package_env path_package_env(const struct path_request *r);

/* Read packages and proofs anew and plan; failures of this walk count as the newest proofs. */
int path_make_plan(const struct path_request *r, struct path *path, struct gfxb_error *err);

#endif
