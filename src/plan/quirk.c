#include "plan/quirk.h"

#include "plan/condition.h"
#include "plan/device.h"

static struct condition_facts facts_of(const struct draft *d, const struct candidate *c)
{
    struct condition_facts facts = {
        .m = d->m,
        .backend = c->backend,
        .os = d->wish->os,
        .gpu = c->gpu,
        .target = c->gpu ? c->gpu->target : NULL,
        .package = candidate_package(c),
        .runtime = candidate_runtime(c),
    };
    facts.gfx_known = candidate_gfx(c, &facts.gfx);
    return facts;
}

static bool says_cpu(struct str condition)
{
    return str_list_has(condition, STR("backend=cpu"));
}

/* Rows are about AMD's GPUs unless they name the CPU. */
static bool quirk_applies(const struct gfx_quirk *quirk, const struct condition_facts *facts)
{
    if (facts->gpu ? !device_is_amd(facts->gpu) : !says_cpu(quirk->condition))
        return false;
    if (quirk->gfx.n > 0 && (!facts->target || !gfx_quirk_names(quirk, facts->target)))
        return false;
    return condition_holds(quirk->condition, facts);
}

bool quirk_check(struct draft *d, struct draft_choice *dc)
{
    struct condition_facts facts = facts_of(d, &dc->candidate);
    for (size_t i = 0; i < d->tables->n_quirks; i++) {
        const struct gfx_quirk *quirk = &d->tables->quirk[i];
        if (quirk->effect != GFX_BLOCK || !quirk_applies(quirk, &facts))
            continue;
        return draft_reject(d, dc, PLAN_E2, quirk->code ? quirk->code : GFXB_E_KERNEL_QUIRK,
                            "%.*s%s%.*s", STR_ARG(quirk->text), quirk->remedy.n ? " Remedy: " : "",
                            STR_ARG(quirk->remedy));
    }
    return true;
}

void quirk_apply(struct draft *d, struct draft_choice *dc)
{
    struct condition_facts facts = facts_of(d, &dc->candidate);
    for (size_t i = 0; i < d->tables->n_quirks; i++) {
        const struct gfx_quirk *quirk = &d->tables->quirk[i];
        bool acts = quirk->effect == GFX_WARN || quirk->effect == GFX_ENV ||
                    quirk->effect == GFX_ARG;
        if (!acts || !quirk_applies(quirk, &facts))
            continue;
        if (quirk->effect == GFX_WARN)
            draft_warn(d, dc, "%.*s%s%.*s", STR_ARG(quirk->text), quirk->remedy.n ? " Remedy: " : "",
                       STR_ARG(quirk->remedy));
        else if (quirk->effect == GFX_ENV)
            draft_env(d, dc, "%.*s", STR_ARG(quirk->value));
        else
            draft_arg(d, dc, "%.*s", STR_ARG(quirk->value));
    }
}

bool quirk_allows_override(const struct draft *d, const struct candidate *c, struct str gfx)
{
    struct condition_facts facts = facts_of(d, c);
    for (size_t i = 0; i < d->tables->n_quirks; i++) {
        const struct gfx_quirk *quirk = &d->tables->quirk[i];
        if (quirk->effect == GFX_OVERRIDE && str_eq(quirk->value, gfx) &&
            quirk_applies(quirk, &facts))
            return true;
    }
    return false;
}
