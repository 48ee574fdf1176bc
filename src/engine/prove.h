/* prove.h - an attempt to prove a choice, shared by its parts. Private to engine/. */
#ifndef ENGINE_PROVE_H
#define ENGINE_PROVE_H

#include "engine/engine.h"

struct prove {
    const struct engine_trial *trial;
    struct engine_spec spec;           /* the trial's, with what the choice adds */
    struct engine_deadlines deadlines; /* complete */
    struct engine_proof proof;         /* being filled in */
    struct engine *engine;             /* running; NULL none */
    struct engine_placement placement;
};

/* One rung's outcome in words. */
void prove_set_rung(struct prove *p, enum plan_rung rung, enum tri ok, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Ask the canary: answers to the byte, probabilities, speed (rungs E4 and E5). 0, or -code. */
int prove_canary(struct prove *p, struct gfxb_error *err);

/* The canary's answers alone, of a GPU that is to be one of several. */
int prove_member(struct prove *p, struct gfxb_error *err);

#endif
