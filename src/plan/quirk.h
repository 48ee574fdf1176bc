/* quirk.h - rows of quirks.tsv at work: blocks, warnings, environment, arguments. */
#ifndef PLAN_QUIRK_H
#define PLAN_QUIRK_H

#include "plan/draft.h"

/* E2: no row blocks this choice; else it is rejected with the row's code and words. */
bool quirk_check(struct draft *d, struct draft_choice *dc);

/* Add the warnings, environment and arguments of the rows that apply. */
void quirk_apply(struct draft *d, struct draft_choice *dc);

/* Does a row allow this candidate's GPU to run its package's code for gfx by an override? */
bool quirk_allows_override(const struct draft *d, const struct candidate *c, struct str gfx);

#endif
