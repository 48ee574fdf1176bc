/* control.h - what the command line asks a running server. Private to serve/. */
#ifndef SERVE_CONTROL_H
#define SERVE_CONTROL_H

#include "serve/serve.h"

/* /internal/status and /internal/stop: over the control socket only. */
extern const struct serve_route control_routes[];

#endif
