/*
 * engine.h - the outward header of engine/: package + model -> a running, proven engine.
 *
 * instance.h runs one and asks it; evidence.h says from its own words where the weights of this
 * very start are and why it failed; proof.h climbs the rungs E3 to E5 with the canary model and
 * keeps the outcome; models.h reads a model before any engine sees it;
 * tune.h searches for an engine's fastest settings.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/evidence.h"
#include "engine/instance.h"
#include "engine/kind.h"
#include "engine/models.h"
#include "engine/proof.h"
#include "engine/tune.h"

#endif
