/* plan.c - makes the plan: candidates of each backend, judged and ranked. */
#include "plan/plan.h"

#include "plan/builder.h"

#include <errno.h>

/* Rejected choices have a fingerprint too, so that all can be told apart. */
static void fingerprint_rest(struct builder *d)
{
    for (size_t i = 0; i < d->n && !d->failed; i++) {
        if (!d->item[i]->choice.fingerprint)
            plan_fingerprint_write(d, d->item[i]);
    }
}

static int first_accepted(const struct plan *p)
{
    for (size_t i = 0; i < p->n_choices; i++) {
        if (p->choice[i].state != PLAN_REJECTED)
            return (int)i;
    }
    return -1;
}

/* Of the best GPU: the first rejection that the request did not ask for. -1 when one of its choices
 * is not rejected. */
static int left_out_of(const struct plan *p, const struct machine_gpu *best)
{
    int found = -1;
    if (!best || p->chosen < 0 || p->choice[p->chosen].gpu == best)
        return -1;
    for (size_t i = 0; i < p->n_choices; i++) {
        const struct plan_choice *c = &p->choice[i];
        if (c->gpu != best)
            continue;
        if (c->state != PLAN_REJECTED || c->code == GFXB_E_POLICY)
            return -1;
        if (found < 0)
            found = (int)i;
    }
    return found;
}

int plan_new(const struct machine *m, const struct gfx_tables *tables,
             const struct plan_request *request, struct plan **ret_plan, struct gfxb_error *err)
{
    struct builder d;
    struct gfx_engine engine;
    if (!gfx_engine_find(request->engine, &engine))
        return error_set(err, GFXB_E_NO_PACKAGE, "This gfxbridge cannot run an engine '%.*s'.",
                         STR_ARG(request->engine));
    struct plan *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(err, ENOMEM, "Out of memory while planning.");
    plan_builder_init(&d, m, tables, request, &engine);
    if (!d.failed) {
        plan_builder_rocm(&d);
        plan_builder_vulkan(&d);
        plan_builder_cpu(&d);
        plan_builder_software(&d);
        plan_builder_nodes(&d);
    }
    fingerprint_rest(&d);
    plan_builder_sort(&d);
    p->policy = request->policy;
    p->choice = plan_builder_take(&d, &p->n_choices);
    const struct machine_gpu *best = d.n_gpus ? d.gpu[0] : NULL;
    plan_builder_done(&d);
    if (!p->choice) {
        free(p);
        return error_set(err, ENOMEM, "Out of memory while planning.");
    }
    p->chosen = first_accepted(p);
    p->left_out = left_out_of(p, best);
    *ret_plan = p;
    return 0;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_choices; i++)
        plan_choice_done(&p->choice[i]);
    free(p->choice);
    free(p);
}
