/* damage.c - spoils weights as a broken backend would. */
#include "damage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 };

const char *damage_name(enum damage_kind kind)
{
    static const char *names[DAMAGE_KINDS] = {
        "zero", "half of the rows zero", "shifted", "negated", "noise", "halved"};
    return names[kind];
}

bool damage_is_possible(const struct damage *d, const struct net_layout *l, int tensor)
{
    return tensor != TENSOR_EMBED && l->tensors[tensor].rows > 1 &&
           !(tensor == TENSOR_OUT && d->kind == DAMAGE_SCALE);
}

void damage_draw(const struct net_layout *l, struct rng *r, struct damage *ret)
{
    int one;
    memset(ret, 0, sizeof(*ret));
    ret->kind = (enum damage_kind)rng_below(r, DAMAGE_KINDS);
    do {
        one = (int)rng_below(r, TENSORS);
    } while (!damage_is_possible(ret, l, one));
    bool all = rng_below(r, 100) < 30;
    for (int i = 0; i < TENSORS; i++)
        ret->tensors[i] = i == one || (all && damage_is_possible(ret, l, i) &&
                                       l->tensors[i].type == l->tensors[one].type);
}

static void shift(float *x, size_t n)
{
    float first[BLOCK];
    memcpy(first, x, sizeof(first));
    memmove(x, x + BLOCK, (n - BLOCK) * sizeof(*x));
    memcpy(x + n - BLOCK, first, sizeof(first));
}

static void randomise(float *x, size_t n, struct rng *r)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float width = (float)sqrt(12.0 * sum / (double)n);
    for (size_t i = 0; i < n; i++)
        x[i] = (rng_unit(r) - 0.5f) * width;
}

static void damage_tensor(enum damage_kind kind, float *x, size_t n, struct rng *r)
{
    switch (kind) {
    case DAMAGE_ZERO:
        memset(x, 0, n * sizeof(*x));
        break;
    case DAMAGE_HALF_ROWS:
        memset(x + n / 2, 0, n / 2 * sizeof(*x));
        break;
    case DAMAGE_SHIFT:
        shift(x, n);
        break;
    case DAMAGE_NOISE:
        randomise(x, n, r);
        break;
    case DAMAGE_NEGATE:
    case DAMAGE_SCALE:
    case DAMAGE_KINDS:
        for (size_t i = 0; i < n; i++)
            x[i] *= kind == DAMAGE_NEGATE ? -1.0f : 0.5f;
        break;
    }
}

void damage_apply(const struct damage *d, const struct net_layout *l, struct rng *r, float *weights)
{
    for (int i = 0; i < TENSORS; i++) {
        const struct tensor *t = &l->tensors[i];
        if (d->tensors[i])
            damage_tensor(d->kind, weights + t->at, (size_t)t->rows * (size_t)t->cols, r);
    }
}
