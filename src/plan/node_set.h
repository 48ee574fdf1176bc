/*
 * node_set.h - other computers that hold layers of a model together with this one.
 */
#ifndef PLAN_NODE_SET_H
#define PLAN_NODE_SET_H

#include "plan/plan.h"

struct builder;
struct builder_choice;

struct plan_node_set {
    const struct plan_node *node[FIT_NODES_MOST]; /* lent */
    size_t n;
};

/* Behind the choices of this computer alone: those over a set, and why a node is in none. Nothing
 * where a choice is left that needs no node, unless a set was asked for. */
void plan_builder_nodes(struct builder *d);

/* The members of a choice, with what fit says of each (NULL: only the size is known), what they
 * have, and what the links cost. */
void plan_node_set_take(struct builder *d, struct builder_choice *dc, const struct fit_choice *fit);

/* " Node a holds 20 of the model's 49 layers (...), ...", appended; nothing without members. */
void plan_node_set_words(const struct plan_choice *choice, struct buf *ret);

/* "+IDENTITY@PROOF" of each, appended; nothing where set is NULL. */
void plan_node_set_fingerprint(const struct plan_node_set *set, struct buf *ret);

#endif
