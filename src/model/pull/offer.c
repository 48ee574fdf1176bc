#include "model/pull/offer.h"

#include "plan/plan.h"

#include <stdio.h>

#define MIB UINT64_C(1048576)
/* Beside the weights: a least context and what computing needs, of even a small model. */
#define BESIDE (256 * MIB)

uint64_t model_offer_have(const struct machine *m)
{
    return plan_memory_most(m);
}

static void size_text(uint64_t bytes, char *ret, size_t size)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    if (bytes < 1024 * MIB)
        snprintf(ret, size, "%llu MiB", (unsigned long long)((bytes + MIB - 1) / MIB));
    else
        snprintf(ret, size, "%.1f GiB", (double)bytes / gib);
}

uint64_t model_offer_need(const struct model_offer *offer)
{
    return offer->bytes + BESIDE;
}

int model_offer_check(const struct machine *m, const struct model_offer *offer, size_t n,
                      size_t chosen, size_t *ret_better, struct gfxb_error *err)
{
    uint64_t have = m ? model_offer_have(m) : 0;
    char need_text[32], have_text[32], better_text[32] = "";
    size_t better = n;
    if (ret_better)
        *ret_better = n;
    if (have == 0 || offer[chosen].bytes + BESIDE <= have)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (offer[i].bytes + BESIDE <= have && offer[i].bytes > 0 &&
            (better == n || offer[i].bytes > offer[better].bytes))
            better = i;
    }
    size_text(offer[chosen].bytes + BESIDE, need_text, sizeof(need_text));
    size_text(have, have_text, sizeof(have_text));
    if (better < n)
        size_text(offer[better].bytes, better_text, sizeof(better_text));
    if (ret_better)
        *ret_better = better;
    return error_set(err, GFXB_E_MEMORY_TOO_SMALL,
                     "%s needs %s of memory at least and this computer has %s for a model: it was "
                     "not downloaded. %s%s%s%s%s",
                     offer[chosen].file, need_text, have_text,
                     better < n ? "The largest that fits is " : "Take a smaller model.",
                     better < n ? offer[better].file : "", better < n ? " (" : "", better_text,
                     better < n ? ")." : "");
}
