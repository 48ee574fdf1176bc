/* cpu.c - the last resort: every package that computes on the processor. */
#include "plan/access.h"
#include "plan/builder.h"
#include "plan/quirk.h"

void plan_cpu_judge(struct builder *d, const struct candidate *c)
{
    static plan_check *const checks[] = {plan_quirk_check, plan_check_glibc, plan_check_memory};
    const char *name = d->m->host.cpu;
    struct builder_choice *dc = plan_builder_add(d, c);
    if (!dc)
        return;
    plan_builder_tell(d, dc, PLAN_E0, name[0] ? TRI_YES : TRI_UNKNOWN, "%s",
                      name[0] ? name : "the processor's name is not known");
    plan_builder_tell(d, dc, PLAN_E1, TRI_YES,
                      "the engine picks the code for this processor itself");
    if (!plan_check_all(d, dc, checks, sizeof(checks) / sizeof(checks[0])))
        return;
    /* They say "no device", and those of other computers are some. */
    for (struct str rest = d->engine.cpu_args, word; !c->nodes && str_word(&rest, &word);)
        plan_builder_arg(d, dc, "%.*s", STR_ARG(word));
    plan_resolve_choice(d, dc);
}

void plan_builder_cpu(struct builder *d)
{
    struct candidate *CLEAN_FREE list = NULL;
    if (!plan_builder_wants(d, PLAN_CPU))
        return;
    size_t n = plan_candidate_list(d, PLAN_CPU, &list);
    for (size_t i = 0; i < n; i++)
        plan_cpu_judge(d, &list[i]);
    if (n > 0)
        return;
    struct builder_choice *dc = plan_builder_add(d, &(struct candidate){.backend = PLAN_CPU});
    if (dc)
        (void)plan_builder_reject(
            d, dc, PLAN_E1, GFXB_E_NO_PACKAGE,
            "No CPU package for this operating system and processor is known.");
}
