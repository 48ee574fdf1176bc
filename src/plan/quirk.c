/* quirk.c - which known quirks apply to a choice, and what follows from them. */
#include "plan/quirk.h"

#include "plan/condition.h"
#include "plan/device.h"

#define QUIRK_TEXT_MAX 2000

static struct condition_facts facts_of(const struct builder *d, const struct candidate *c)
{
    struct condition_facts facts = {
        .m = d->m,
        .backend = c->backend,
        .os = d->request->os,
        .gpu = c->gpu,
        .target = c->gpu ? c->gpu->target : NULL,
        .package = plan_candidate_package(c),
        .runtime = plan_candidate_runtime(c),
        .tables = d->tables,
        .icd = c->icd,
    };
    facts.gfx_known = plan_candidate_gfx(c, &facts.gfx);
    return facts;
}

static bool says_cpu(struct str condition)
{
    return str_list_has(condition, STR("backend=cpu"));
}

/* Rows are about AMD's GPUs unless they name the CPU. The row names the target already. */
static bool quirk_applies(const struct gfx_quirk *quirk, const struct condition_facts *facts)
{
    if (facts->gpu ? !plan_device_is_amd(facts->gpu) : !says_cpu(quirk->condition))
        return false;
    return plan_condition_holds(quirk->condition, facts);
}

/* Find the rows that do something for this target. */
static void acting_find(struct builder *d, const struct gfx_target *target)
{
    if (d->acting.row && d->acting.target == target)
        return;
    if (!d->acting.row)
        d->acting.row = calloc(d->tables->n_quirks + 1, sizeof(d->acting.row[0]));
    d->failed = d->failed || !d->acting.row;
    d->acting.target = target;
    d->acting.n = 0;
    for (size_t i = 0; d->acting.row && i < d->tables->n_quirks; i++) {
        const struct gfx_quirk *quirk = &d->tables->quirk[i];
        if (quirk->effect != GFX_NOTE && quirk->effect != GFX_OVERRIDE &&
            gfx_quirk_names(quirk, target))
            d->acting.row[d->acting.n++] = quirk;
    }
}

/* "What happens. What to do." */
static void quirk_words(const struct gfx_quirk *quirk, struct buf *words)
{
    buf_add_str(words, quirk->text);
    if (quirk->remedy.n == 0)
        return;
    buf_add_char(words, ' ');
    buf_add_str(words, quirk->remedy);
    if (!str_ends(quirk->remedy, STR(".")))
        buf_add_char(words, '.');
}

bool plan_quirk_check(struct builder *d, struct builder_choice *dc)
{
    struct condition_facts facts = facts_of(d, &dc->candidate);
    acting_find(d, facts.target);
    for (size_t i = 0; i < d->acting.n; i++) {
        const struct gfx_quirk *quirk = d->acting.row[i];
        if (quirk->effect != GFX_BLOCK || !quirk_applies(quirk, &facts))
            continue;
        struct buf CLEAN_BUF words = BUF_INIT(QUIRK_TEXT_MAX);
        quirk_words(quirk, &words);
        return plan_builder_reject(d, dc, PLAN_E2, quirk->code ? quirk->code : GFXB_E_KERNEL_QUIRK,
                                   "%s", buf_text(&words));
    }
    return true;
}

static void args_add(struct builder *d, struct builder_choice *dc, struct str value)
{
    struct str word;
    while (str_word(&value, &word))
        plan_builder_arg(d, dc, "%.*s", STR_ARG(word));
}

static void quirk_warn(struct builder *d, struct builder_choice *dc, const struct gfx_quirk *quirk)
{
    struct buf CLEAN_BUF words = BUF_INIT(QUIRK_TEXT_MAX);
    quirk_words(quirk, &words);
    plan_builder_warn(d, dc, "%s", buf_text(&words));
}

struct str plan_quirk_memory(struct builder *d, const struct candidate *c)
{
    struct condition_facts facts = facts_of(d, c);
    acting_find(d, facts.target);
    for (size_t i = 0; i < d->acting.n; i++) {
        if (d->acting.row[i]->effect == GFX_MEMORY && quirk_applies(d->acting.row[i], &facts))
            return d->acting.row[i]->value;
    }
    return STR_NONE;
}

const struct gfx_quirk *plan_quirk_managed(struct builder *d, const struct candidate *c)
{
    struct condition_facts facts = facts_of(d, c);
    facts.memory_short = true;
    acting_find(d, facts.target);
    for (size_t i = 0; i < d->acting.n; i++) {
        const struct gfx_quirk *quirk = d->acting.row[i];
        if (quirk->effect == GFX_ENV && str_list_has(quirk->condition, STR("memory-short")) &&
            quirk_applies(quirk, &facts))
            return quirk;
    }
    return NULL;
}

void plan_quirk_apply(struct builder *d, struct builder_choice *dc)
{
    struct condition_facts facts = facts_of(d, &dc->candidate);
    facts.memory_short = dc->managed;
    acting_find(d, facts.target);
    for (size_t i = 0; i < d->acting.n; i++) {
        const struct gfx_quirk *quirk = d->acting.row[i];
        if (quirk->effect == GFX_BLOCK || quirk->effect == GFX_MEMORY ||
            !quirk_applies(quirk, &facts))
            continue;
        if (quirk->effect == GFX_WARN)
            quirk_warn(d, dc, quirk);
        else if (quirk->effect == GFX_ENV)
            plan_builder_env(d, dc, "%.*s", STR_ARG(quirk->value));
        else
            args_add(d, dc, quirk->value);
    }
}

const struct gfx_quirk *plan_quirk_override(const struct builder *d, const struct candidate *c,
                                            struct str gfx)
{
    struct condition_facts facts = facts_of(d, c);
    struct str bare = STR_NONE;
    (void)str_cut(&gfx, ':', &bare);
    for (size_t i = 0; i < d->tables->n_quirks; i++) {
        const struct gfx_quirk *quirk = &d->tables->quirk[i];
        if (quirk->effect == GFX_OVERRIDE && str_eq(quirk->value, bare) &&
            gfx_quirk_names(quirk, facts.target) && quirk_applies(quirk, &facts))
            return quirk;
    }
    return NULL;
}
