/* placement.h - the engine's log -> where its weights are. Private to engine/; also fuzzed. */
#ifndef ENGINE_PLACEMENT_H
#define ENGINE_PLACEMENT_H

#include "engine/engine.h"

/* Reads a whole log at verbosity 4. Lines that say nothing about placement are passed over. Of
 * several loads in one log the last counts. */
void placement_parse(struct str log, struct engine_placement *ret_placement);

/* Is this share the named one: "Vulkan0" of "Vulkan0,Vulkan1"? */
bool placement_names(const struct engine_share *share, const char *devices);

#endif
