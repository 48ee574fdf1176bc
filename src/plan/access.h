/*
 * access.h - E2: can this computer run it? Each check either returns true, noting what it saw in
 * the choice's known or unknown words, or rejects the choice and returns false. What is not known
 * never rejects.
 */
#ifndef PLAN_ACCESS_H
#define PLAN_ACCESS_H

#include "plan/builder.h"

typedef bool plan_check(struct builder *d, struct builder_choice *dc);

plan_check plan_check_driver; /* a kernel driver that can compute is bound to the card */
plan_check plan_check_kfd;    /* /dev/kfd is there, can be opened and knows the card */
plan_check plan_check_render; /* the card's render node can be opened */
plan_check plan_check_glibc;  /* this computer's C library is new enough for the package */
plan_check plan_check_memory; /* the model fits, or a part of its layers */

/* One more thing that was seen, or could not be: known or unknown of a choice. */
void plan_words_add(struct buf *words, const char *text);

/* Run checks up to the first that rejects, then write the E2 evidence. False when one rejected. For
 * answers about Windows only the check of the quirks is run: this computer says nothing there. */
bool plan_check_all(struct builder *d, struct builder_choice *dc, plan_check *const *checks,
                    size_t n);

#endif
