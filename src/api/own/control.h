/* control.h - what the command line asks a running server. Private to api/. */
#ifndef API_OWN_CONTROL_H
#define API_OWN_CONTROL_H

#include "api/api.h"

/* /internal/status and /internal/stop: over the control socket only. */
extern const struct http_route control_routes[];

#endif
