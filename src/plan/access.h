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

/* A device node that does not open. */
struct plan_device_node {
    const char *path;
    int code; /* errno */
    unsigned mode, gid;
    const char *group; /* name of gid here; "" none */
};

enum plan_access { PLAN_ACCESS_ABSENT, PLAN_ACCESS_DENIED, PLAN_ACCESS_MISSING };

/* The row of data/access.tsv for it: its cause as a half sentence, and what to do. */
enum plan_access plan_remedy_access(const struct machine *m, const struct plan_device_node *node,
                                    struct buf *ret_cause, struct buf *ret_remedy);

/* What the owner of this virtual machine can do about a GPU. False: it is none, or not known. */
bool plan_virtual_gpu(const struct machine *m, struct str *ret_words);

/* Reject for want of any GPU in a virtual machine, or in a container that runs in one. False: this
 * is none. */
bool plan_tell_virtual(struct builder *d, struct builder_choice *dc);

/* Is this kernel known to be older than the first that drives the GPU's target? Not with a driver
 * of its own, or where a distribution puts newer drivers into an old kernel. */
bool plan_kernel_is_old(const struct machine *m, const struct gfx_target *target);

/* Negative, 0, positive: dotted numbers, up to what is none. */
int plan_version_compare(struct str a, struct str b);

/* One more thing that was seen, or could not be: known or unknown of a choice. */
void plan_words_add(struct buf *words, const char *text);

/* Run checks up to the first that rejects, then write the E2 evidence. False when one rejected. For
 * answers about Windows only the check of the quirks is run: this computer says nothing there. */
bool plan_check_all(struct builder *d, struct builder_choice *dc, plan_check *const *checks,
                    size_t n);

#endif
