/*
 * access.h - E2: can this computer run it? Each check either returns true, noting what it saw in the
 * choice's known or unknown words, or rejects the choice and returns false. What is not known never
 * rejects.
 */
#ifndef PLAN_ACCESS_H
#define PLAN_ACCESS_H

#include "plan/draft.h"

typedef bool access_check(struct draft *d, struct draft_choice *dc);

access_check access_check_driver; /* a kernel driver that can compute is bound to the card */
access_check access_check_kfd;    /* /dev/kfd is there, can be opened and knows the card */
access_check access_check_render; /* the card's render node can be opened */
access_check access_check_glibc;  /* this computer's C library is new enough for the package */
access_check access_check_memory; /* the model fits */

/* Run checks up to the first that rejects, then write the E2 evidence. False when one rejected. */
bool access_run(struct draft *d, struct draft_choice *dc, access_check *const *checks, size_t n);

#endif
