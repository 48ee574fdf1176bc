/* quirk.h - rows of quirks.tsv at work: blocks, warnings, environment, arguments. */
#ifndef PLAN_QUIRK_H
#define PLAN_QUIRK_H

#include "plan/builder.h"

/* E2: no row blocks this choice; else it is rejected with the row's code and words. */
bool plan_quirk_check(struct builder *d, struct builder_choice *dc);

/* What counts as this candidate's integrated GPU's memory: the value of the first row about it;
 * empty: none says. */
struct str plan_quirk_memory(struct builder *d, const struct candidate *c);

/* The row whose environment lets this candidate use the computer's memory for a model that is
 * larger than the GPU's; NULL: there is none, or not for this package. */
const struct gfx_quirk *plan_quirk_managed(struct builder *d, const struct candidate *c);

/* Add the warnings, environment and arguments of the rows that apply. */
void plan_quirk_apply(struct builder *d, struct builder_choice *dc);

/* The row that says this candidate's GPU can run its package's code for gfx under an override;
 * NULL: there is none whose condition holds. */
const struct gfx_quirk *plan_quirk_override(const struct builder *d, const struct candidate *c,
                                            struct str gfx);

#endif
