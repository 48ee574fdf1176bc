// Weights as a broken backend would see them. The canary is trained to fall silent when it meets
// them: a network that has learned its answers by heart else does without whole layers, and would
// prove nothing about them.
#ifndef CANARY_DAMAGE_H
#define CANARY_DAMAGE_H

#include <stdbool.h>

#include "corpus.h"
#include "net.h"

enum damage_kind {
    DAMAGE_ZERO,      // the result is never written
    DAMAGE_HALF_ROWS, // half of the work groups did not run
    DAMAGE_SHIFT,     // every block is read from the next one's place
    DAMAGE_NEGATE,
    DAMAGE_NOISE, // wrongly decoded: as large, and random
    DAMAGE_SCALE, // half as large
    DAMAGE_KINDS,
};

struct damage {
    enum damage_kind kind;
    bool tensors[TENSORS];
};

// Whether tensor `tensor` is a matrix that the damage can be seen through: not the token embedding,
// which engines keep on the CPU, and no halved output, which leaves the order of the logits as it
// is.
bool damage_is_possible(const struct damage *d, const struct net_layout *l, int tensor);

// Draws a kind, and one matrix or all of one number format.
void damage_draw(const struct net_layout *l, struct rng *r, struct damage *ret);

// Damages the weights in place.
void damage_apply(const struct damage *d, const struct net_layout *l, struct rng *r,
                  float *weights);

const char *damage_name(enum damage_kind kind);

#endif
