/* devices.h - the output of `llama-server --list-devices`. Private to engine/; also fuzzed. */
#ifndef ENGINE_DEVICES_H
#define ENGINE_DEVICES_H

#include "engine/engine.h"

#define DEVICES_MAX 64

/* Lines that are no device are passed over. Fills item and n; item is owned by the caller. -ENOMEM.
 */
int devices_parse(struct str text, struct engine_devices *ret_devices);

#endif
