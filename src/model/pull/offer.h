/*
 * offer.h - can what is to be downloaded fit on this computer at all? Part of model/model.h.
 */
#ifndef MODEL_PULL_OFFER_H
#define MODEL_PULL_OFFER_H

#include "base/base.h"

struct machine;

/* One file, or all parts of one, that a repository offers. */
struct model_offer {
    const char *file; /* its name, for sentences and for the quantisation in it */
    uint64_t bytes;   /* of all its parts, and of its projector */
};

/* Memory that it needs at least: its weights, and what even a small model needs beside them. */
uint64_t model_offer_need(const struct model_offer *offer);
/* All that this computer has for a model, on its cards and beside them; 0 unknown. */
uint64_t model_offer_have(const struct machine *m);

/*
 * Before the first byte: offer[chosen] is to be pulled. 0 when it can run here, if need be with
 * layers on the CPU, or when nothing is known about this computer's memory.
 * -GFXB_E_MEMORY_TOO_SMALL with both sizes and, where one of the others fits, the largest of them
 * by name. ret_better (may be NULL) is that one's index; n when none fits.
 */
int model_offer_check(const struct machine *m, const struct model_offer *offer, size_t n,
                      size_t chosen, size_t *ret_better, struct gfxb_error *err);

#endif
