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
    }
    fingerprint_rest(&d);
    plan_builder_sort(&d);
    p->policy = request->policy;
    p->choice = plan_builder_take(&d, &p->n_choices);
    plan_builder_done(&d);
    if (!p->choice) {
        free(p);
        return error_set(err, ENOMEM, "Out of memory while planning.");
    }
    p->chosen = first_accepted(p);
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
