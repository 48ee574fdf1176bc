/* order.c - the ranking: keys in their order of weight. docs/how-it-decides.md says it in words. */
#include "plan/builder.h"

/* -1, 0, 1: the smaller comes first. */
static int by_size(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

/* Yes comes first. */
static int by_yes(bool a, bool b)
{
    return (int)b - (int)a;
}

static bool is_pinned(const struct builder_choice *dc)
{
    return dc->choice.installed && dc->choice.installed->pinned;
}

/* RADV first; then the others and "any" alike. */
static bool is_radv(const struct builder_choice *dc)
{
    return dc->candidate.icd && strcmp(dc->candidate.icd, "radeon") == 0;
}

/* Several computers come first where they were asked for, and are no choice where they are not
 * needed. The CPU is the last resort, behind every GPU's choices; GPUs that hold the whole model
 * come before those that do not, and several before one where none holds it; a GPU's own choices
 * stay together. */
static int by_place(const struct builder_choice *a, const struct builder_choice *b)
{
    return by_yes(a->candidate.nodes != NULL, b->candidate.nodes != NULL)
               ?: by_yes(b->choice.backend == PLAN_CPU, a->choice.backend == PLAN_CPU)
               ?: by_yes(!a->partial, !b->partial)
               ?: by_yes(a->candidate.set != NULL, b->candidate.set != NULL)
               ?: by_size(a->gpu_place, b->gpu_place)
               ?: by_size(a->choice.backend, b->choice.backend);
}

/* Needs a ROCm on the computer that nothing has been seen of? */
static bool needs_system(const struct builder_choice *dc)
{
    return !dc->choice.installed && str_is(plan_candidate_runtime(&dc->candidate), "system");
}

/* Proven elsewhere on such GPUs more often than not first, the other way round last. */
static int by_known(const struct builder_choice *a, const struct builder_choice *b)
{
    const struct gfx_known *x = &a->known_elsewhere, *y = &b->known_elsewhere;
    return by_size(y->proven > y->failed, x->proven > x->failed)
               ?: by_size(x->failed > x->proven, y->failed > y->proven);
}

static int by_package(const struct builder_choice *a, const struct builder_choice *b)
{
    return by_size(a->choice.via, b->choice.via) /* exact, generic, override */
               ?: by_yes(is_radv(a), is_radv(b))
               ?: by_yes(a->choice.installed != NULL, b->choice.installed != NULL)
               ?: by_yes(!needs_system(a), !needs_system(b))
               ?: by_known(a, b)
               ?: by_size(a->row_place, b->row_place)
               ?: by_size(a->number, b->number);
}

static int by_merit(const struct builder_choice *a, const struct builder_choice *b)
{
    return by_place(a, b)
               ?: by_yes(a->choice.state == PLAN_PROVEN, b->choice.state == PLAN_PROVEN)
               ?: by_package(a, b);
}

bool plan_builder_before(const struct builder_choice *a, const struct builder_choice *b)
{
    return (by_yes(is_pinned(a), is_pinned(b))
                ?: by_yes(a->preferred, b->preferred)
                ?: by_merit(a, b)) < 0;
}

/* What was looked at first, then by backend, so that "why not ROCm?" is answered in one place. Of
 * one GPU those that came furthest first: they say most about what is missing. */
static int by_progress(const struct builder_choice *a, const struct builder_choice *b)
{
    return by_yes(a->reached >= 0, b->reached >= 0)
               ?: by_size(a->choice.backend, b->choice.backend)
               ?: by_size(a->gpu_place, b->gpu_place)
               ?: (b->reached > a->reached) - (b->reached < a->reached)
               ?: by_package(a, b);
}

static int compare(const void *left, const void *right)
{
    const struct builder_choice *a = *(const struct builder_choice *const *)left;
    const struct builder_choice *b = *(const struct builder_choice *const *)right;
    bool out_a = a->choice.state == PLAN_REJECTED, out_b = b->choice.state == PLAN_REJECTED;
    if (out_a || out_b)
        return out_a != out_b ? (int)out_a - (int)out_b : by_progress(a, b);
    return plan_builder_before(a, b) ? -1 : 1;
}

/* For the policy "fastest", once bench measured: what it measured comes before what it did not. */
static int compare_speed(const void *left, const void *right)
{
    const struct builder_choice *a = *(const struct builder_choice *const *)left;
    const struct builder_choice *b = *(const struct builder_choice *const *)right;
    double speed_a = a->bench_speed, speed_b = b->bench_speed;
    if (is_pinned(a) == is_pinned(b) && (speed_a > speed_b || speed_a < speed_b))
        return speed_a > speed_b ? -1 : 1;
    return compare(left, right);
}

/* Bench figures say something beside each other only: of the same model and context, and of
 * everything that is proven. What the proofs measured is never compared: the canary is so small
 * that a CPU answers it faster than a card. */
static bool is_benched(const struct builder *d)
{
    const char *with = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct builder_choice *dc = d->item[i];
        if (dc->choice.state != PLAN_PROVEN)
            continue;
        if (dc->bench_speed <= 0 || (with && strcmp(with, dc->bench_with) != 0))
            return false;
        with = dc->bench_with;
    }
    return with != NULL;
}

void plan_builder_sort(struct builder *d)
{
    bool by_speed = d->request->policy == PLAN_FASTEST && is_benched(d);
    if (d->n > 1)
        qsort(d->item, d->n, sizeof(struct builder_choice *), by_speed ? compare_speed : compare);
}
