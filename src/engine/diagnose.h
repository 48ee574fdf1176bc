/* diagnose.h - why an engine ended, in one sentence. Private to engine/. */
#ifndef ENGINE_DIAGNOSE_H
#define ENGINE_DIAGNOSE_H

#include "engine/engine.h"

/*
 * status as waitpid gave it; log: the end of what it wrote; what: "while loading". The code is that
 * of the first row of data/causes.tsv that matches, else engine-crash or engine-exit. Returns
 * -code.
 */
int diagnose_explain(int status, struct str log, const char *what, struct gfxb_error *err);

/* The first row of data/causes.tsv found in the text that can be the cause of an end: not a
 * harmless message, not the mere note that the CPU does the work. */
bool diagnose_cause(struct str text, struct engine_cause *ret_cause);

/* The last line of a log that sounds like an error, else its last line; without the engine's time
 * stamps, at most 240 bytes. Empty when there is none. */
struct str diagnose_last_words(struct str log);

#endif
