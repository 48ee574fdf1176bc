/* path_private.h - what path_plan.c and path.c share. Private to engine/. */
#ifndef ENGINE_PATH_PRIVATE_H
#define ENGINE_PATH_PRIVATE_H

#include "engine/engine.h"

/* What the package room needs to know of a request. */
struct package_env path_package_env(const struct path_request *r);

/* Read packages and proofs anew and plan; failures of this walk count as the newest proofs. */
int path_make_plan(const struct path_request *r, struct path *path, struct gfxb_error *err);

/* The model on path->running, which is proven, when its engine was stopped. */
int path_start_running(const struct path_request *r, struct path *path, struct gfxb_error *err);

/* The running engine failed, for *why: *path becomes the walk to the next choice. */
int path_fail_over(const struct path_request *request, struct path *path,
                   const struct gfxb_error *why, struct gfxb_error *err);

/* Stop the running engine and prove its choice again, which is stored. 0: it computes rightly, and
 * no engine runs any more; else the code of why not. */
int path_prove_again(const struct path_request *request, struct path *path, struct gfxb_error *err);

#endif
