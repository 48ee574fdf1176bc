/* api.c - the public functions of libgfxbridge. */
#include "gfx/gfx.h"
#include "machine/machine.h"
#include "plan/plan.h"
#include "sysroot/sysroot.h"

#include <errno.h>

/* The public objects are the rooms' own ones, with texts that end in NUL for callers outside. */

struct gfxb_tables {
    struct gfx_tables *inner;
};

struct gfxb_machine {
    const struct gfxb_tables *tables;
    struct root *root;
    struct machine *inner;
    struct gfxb_gpu *gpu;
};

struct gfxb_plan {
    struct plan *inner;
    struct gfxb_choice *choice;
};

const char *gfxb_version(void)
{
    return GFXB_VERSION;
}

/* ---- tables ---- */

int gfxb_tables_new(const char *override_dir, struct gfxb_tables **ret_tables,
                    struct gfxb_error *err)
{
    struct gfxb_tables *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    int result = gfx_tables_new(override_dir, &t->inner, err);
    if (result < 0)
        gfxb_tables_free(t);
    else
        *ret_tables = t;
    return result;
}

void gfxb_tables_free(struct gfxb_tables *tables)
{
    if (!tables)
        return;
    gfx_tables_free(tables->inner);
    free(tables);
}

/* ---- machine ---- */

static int api_copy(struct str s, const char **ret_text)
{
    *ret_text = s.n ? str_dup(s) : NULL;
    return s.n && !*ret_text ? -ENOMEM : 0;
}

static int api_fill_gpu(const struct machine *m, const struct machine_gpu *g, struct gfxb_gpu *out)
{
    *out = (struct gfxb_gpu){
        .pci = g->pci[0] ? g->pci : NULL,
        .vendor_id = g->vendor ? g->vendor : -1,
        .device_id = g->device,
        .revision = g->revision,
        .kind = machine_kind_name(g->kind),
        .driver = strcmp(g->driver, "?") == 0 ? NULL : g->driver,
        .vram_bytes = g->vram_bytes,
        .gtt_bytes = g->gtt_bytes,
        .usable_bytes = machine_gpu_memory_free(m, g),
        .partitions = g->partitions,
    };
    struct str generation = g->target ? g->target->generation : gfx_card_generation(g->card);
    int result = api_copy(gfx_card_name(g->card), &out->name);
    if (result == 0)
        result = api_copy(gfx_card_asic(g->card), &out->asic);
    if (result == 0)
        result = api_copy(g->target ? g->target->gfx : STR_NONE, &out->gfx);
    if (result == 0)
        result = api_copy(generation, &out->generation);
    return result;
}

static int api_fill_machine(struct gfxb_machine *m, struct gfxb_error *err)
{
    m->gpu = calloc(m->inner->n_gpus + 1, sizeof(*m->gpu));
    int result = m->gpu ? 0 : -ENOMEM;
    for (size_t i = 0; result == 0 && i < m->inner->n_gpus; i++)
        result = api_fill_gpu(m->inner, &m->inner->gpu[i], &m->gpu[i]);
    return result < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int gfxb_machine_new(const struct gfxb_tables *tables, const char *sysroot,
                     struct gfxb_machine **ret_machine, struct gfxb_error *err)
{
    struct gfxb_machine *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, ENOMEM, "out of memory");
    m->tables = tables;
    int result = root_new(sysroot, &m->root, err);
    if (result == 0)
        result = machine_new(m->root, tables->inner, &m->inner, err);
    if (result == 0)
        result = api_fill_machine(m, err);
    if (result < 0)
        gfxb_machine_free(m);
    else
        *ret_machine = m;
    return result;
}

void gfxb_machine_free(struct gfxb_machine *machine)
{
    if (!machine)
        return;
    for (size_t i = 0; machine->gpu && i < machine->inner->n_gpus; i++) {
        free((char *)machine->gpu[i].name);
        free((char *)machine->gpu[i].asic);
        free((char *)machine->gpu[i].gfx);
        free((char *)machine->gpu[i].generation);
    }
    free(machine->gpu);
    machine_free(machine->inner);
    root_free(machine->root);
    free(machine);
}

const struct gfxb_gpu *gfxb_machine_gpu(const struct gfxb_machine *machine, size_t index)
{
    return index < machine->inner->n_gpus ? &machine->gpu[index] : NULL;
}

/* ---- plan ---- */

static int api_read_request(const struct gfxb_wish *given, struct plan_request *ret_request,
                            struct gfxb_error *err)
{
    /* A caller built against an older header knows fewer fields: the others are zero. */
    struct gfxb_wish request = {0};
    if (given && given->size < sizeof(given->size))
        return error_set(err, GFXB_E_USAGE, "set size of struct gfxb_wish to its sizeof");
    if (given && given->size <= sizeof(request))
        memcpy(&request, given, given->size);
    else if (given)
        request = *given;
    *ret_request = (struct plan_request){.backend = -1,
                                         .gpu = request.gpu,
                                         .need_bytes = request.need_bytes,
                                         .allow_override = request.allow_override};
    int policy = request.policy ? plan_policy_from_name(request.policy) : PLAN_ROCM_FIRST;
    if (policy < 0)
        return error_set(err, GFXB_E_USAGE, "no such policy: '%s'", request.policy);
    ret_request->policy = (enum plan_policy)policy;
    if (request.backend && (ret_request->backend = plan_backend_from_name(request.backend)) < 0)
        return error_set(err, GFXB_E_USAGE, "no such backend: '%s'", request.backend);
    if (request.os && strcmp(request.os, "windows") == 0)
        ret_request->os = GFX_WINDOWS;
    else if (request.os && strcmp(request.os, "linux") != 0)
        return error_set(err, GFXB_E_USAGE, "no such system: '%s'", request.os);
    return 0;
}

static void api_fill_choice(const struct plan_choice *c, struct gfxb_choice *out)
{
    *out = (struct gfxb_choice){
        .rank = c->rank,
        .backend = plan_backend_name(c->backend),
        .state = plan_state_name(c->state),
        .code = c->code,
        .reason = c->reason,
        .gfx = c->gfx,
        .package = c->package,
        .source = c->provider,
        .gpus = (const char *const *)c->gpu_pci,
        .env = (const char *const *)c->env,
        .args = (const char *const *)c->args,
    };
}

int gfxb_plan_new(const struct gfxb_machine *machine, const struct gfxb_wish *request,
                  struct gfxb_plan **ret_plan, struct gfxb_error *err)
{
    struct plan_request inner_request;
    int result = api_read_request(request, &inner_request, err);
    if (result < 0)
        return result;
    struct gfxb_plan *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    result = plan_new(machine->inner, machine->tables->inner, &inner_request, &p->inner, err);
    if (result == 0) {
        p->choice = calloc(p->inner->n_choices + 1, sizeof(*p->choice));
        if (!p->choice)
            result = error_set(err, ENOMEM, "out of memory");
    }
    if (result < 0) {
        gfxb_plan_free(p);
        return result;
    }
    for (size_t i = 0; i < p->inner->n_choices; i++)
        api_fill_choice(&p->inner->choice[i], &p->choice[i]);
    *ret_plan = p;
    return 0;
}

void gfxb_plan_free(struct gfxb_plan *plan)
{
    if (!plan)
        return;
    free(plan->choice);
    plan_free(plan->inner);
    free(plan);
}

const struct gfxb_choice *gfxb_plan_choice(const struct gfxb_plan *plan, size_t index)
{
    return index < plan->inner->n_choices ? &plan->choice[index] : NULL;
}

const struct gfxb_choice *gfxb_plan_chosen(const struct gfxb_plan *plan)
{
    return plan->inner->chosen < 0 ? NULL : &plan->choice[plan->inner->chosen];
}
