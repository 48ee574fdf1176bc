/* session_private.h - what session_plan.c and path.c share. Private to session/. */
#ifndef SESSION_SESSION_PRIVATE_H
#define SESSION_SESSION_PRIVATE_H

#include "engine/engine.h"
#include "session/session.h"

/* What the package room needs to know of a request. */
struct package_env session_package_env(const struct session_request *r);

/* Read packages and proofs anew and plan; failures of this walk count as the newest proofs. */
int session_make_plan(const struct session_request *r, struct session *path,
                      struct gfxb_error *err);

/* The model on path->running, which is proven, when its engine was stopped. */
int session_start_running(const struct session_request *r, struct session *path,
                          struct gfxb_error *err);

/* The running engine failed, for *why: *path becomes the walk to the next choice. */
int session_fail_over(const struct session_request *request, struct session *path,
                      const struct gfxb_error *why, struct gfxb_error *err);

/* Stop the running engine and prove its choice again, which is stored. 0: it computes rightly, and
 * no engine runs any more; else the code of why not. */
int session_prove_again(const struct session_request *request, struct session *path,
                        struct gfxb_error *err);

#endif
