/* placement.h - the engine's log -> where its weights are. Private to engine/; also fuzzed. */
#ifndef ENGINE_PLACEMENT_H
#define ENGINE_PLACEMENT_H

#include "engine/engine.h"

/* Reads a whole log at verbosity 4. Lines that say nothing about places are passed over. Of several
 * loads in one log the last counts. */
void places_parse(struct str log, struct engine_places *ret_places);

/* Is this place the named one: "Vulkan0" of "Vulkan0,Vulkan1"? */
bool places_named(const struct engine_place *place, const char *devices);

#endif
