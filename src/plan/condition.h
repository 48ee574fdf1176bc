/* condition.h - does the condition of a quirk row hold for one backend, GPU and package? */
#ifndef PLAN_CONDITION_H
#define PLAN_CONDITION_H

#include "plan/plan.h"

/* What the terms look at. Everything is lent. */
struct condition_facts {
    const struct machine *m;
    enum plan_backend backend;
    enum gfx_os os;
    const struct machine_gpu *gpu;   /* NULL: the CPU */
    const struct gfx_target *target; /* NULL: none or unknown */
    struct str package;              /* id; empty: none */
    struct str runtime;              /* "bundled", "therock", "system"; empty: unknown */
    struct str gfx;                  /* targets that the package holds code for */
    bool gfx_known;                  /* false: nothing is known about them */
    const struct gfx_tables *tables;
    const char *icd;   /* name of the Vulkan driver; NULL any */
    bool memory_short; /* the model is larger than what counts as the GPU's memory */
};

/* All terms hold. Unknown evidence makes a term false, and its negation too: nothing is blocked on
 * what is not known. An empty condition holds. */
bool plan_condition_holds(struct str condition, const struct condition_facts *facts);

/* The same in three values: unknown where only something that is not known could rule it out. */
enum tri plan_condition_is(struct str condition, const struct condition_facts *facts);

/* Does the blank-separated list hold this target? Features behind a colon do not count. */
bool plan_list_has_gfx(struct str list, struct str gfx);

#endif
