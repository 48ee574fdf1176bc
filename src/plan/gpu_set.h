/*
 * gpu_set.h - several equal GPUs that share one model's layers, where none of them holds it alone.
 */
#ifndef PLAN_GPU_SET_H
#define PLAN_GPU_SET_H

#include "plan/plan.h"

#define PLAN_SET_MOST 8

struct plan_gpu_set {
    const struct machine_gpu *gpu[PLAN_SET_MOST]; /* lent */
    size_t n;
    uint64_t piece; /* bytes that go to one GPU or another, never in half: a layer; 0 unknown */
};

/* This GPU, and behind it those that are exactly like it, each with memory of its own that is known
 * and in one piece; n is 0 or 1 where it has no like. */
void plan_gpu_set_like(const struct machine *m, const struct machine_gpu *first,
                       struct plan_gpu_set *ret_set);

/* What they have for a model together, as one GPU would have it: all but one leave free what a
 * driver needs, and a piece. 0 unknown. */
uint64_t plan_gpu_set_memory(const struct machine *m, const struct plan_gpu_set *set, bool now);

/* As few of the best GPU's equals as hold the model, or all of them where none hold it; n is 0
 * where one GPU is enough, or was asked for, or has no like, or nothing is known of the model. */
void plan_gpu_set_choose(const struct machine *m, const struct plan_request *request,
                         const struct machine_gpu *best, struct plan_gpu_set *ret_set);

/* "; it shares the model's layers with ...", appended; nothing where set is NULL. */
void plan_gpu_set_words(const struct plan_gpu_set *set, struct buf *ret);

#endif
