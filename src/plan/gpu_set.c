/* gpu_set.c - equal GPUs that hold one model together. */
#include "plan/gpu_set.h"

#include "plan/device.h"

static bool is_member(const struct machine *m, const struct machine_gpu *gpu)
{
    return plan_device_is_amd(gpu) && gpu->device >= 0 && gpu->pci[0] && gpu->partitions <= 1 &&
           !plan_device_shares(gpu) && machine_gpu_memory(m, gpu) > 0;
}

static bool is_like(const struct machine *m, const struct machine_gpu *a,
                    const struct machine_gpu *b)
{
    return a->vendor == b->vendor && a->device == b->device && a->target == b->target &&
           machine_gpu_memory(m, a) == machine_gpu_memory(m, b);
}

void plan_gpu_set_like(const struct machine *m, const struct machine_gpu *first,
                       struct plan_gpu_set *ret_set)
{
    struct plan_gpu_set set = {.gpu = {first}, .n = is_member(m, first)};
    for (size_t i = 0; set.n && i < m->n_gpus && set.n < PLAN_SET_MOST; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        if (gpu != first && is_member(m, gpu) && is_like(m, first, gpu))
            set.gpu[set.n++] = gpu;
    }
    *ret_set = set;
}

uint64_t plan_gpu_set_memory(const struct machine *m, const struct plan_gpu_set *set, bool now)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < set->n; i++) {
        uint64_t have =
            now ? machine_gpu_memory_free(m, set->gpu[i]) : machine_gpu_memory(m, set->gpu[i]);
        least = have < least ? have : least;
    }
    /* Numbers of a capture may be any. */
    uint64_t lost = fit_margin(least) + set->piece;
    if (set->n == 0 || least > UINT64_MAX / PLAN_SET_MOST || lost >= least)
        return set->n ? least : 0;
    return least + (set->n - 1) * (least - lost);
}

static uint64_t piece_of(const struct plan_request *request)
{
    uint64_t most = 0;
    for (size_t i = 0; request->model && i < request->model->n_layers; i++) {
        uint64_t weights = request->model->layer[i].weights;
        most = weights > most ? weights : most;
    }
    return most;
}

/* With the least context. */
static bool is_enough(const struct machine *m, const struct plan_request *request,
                      const struct plan_gpu_set *set)
{
    struct fit_use use = request->use;
    use.gpus = (uint32_t)set->n;
    uint64_t need = request->model ? fit_least(request->model, &use, true) : request->need_bytes;
    return need <= fit_usable(plan_gpu_set_memory(m, set, false));
}

void plan_gpu_set_choose(const struct machine *m, const struct plan_request *request,
                         const struct machine_gpu *best, struct plan_gpu_set *ret_set)
{
    struct plan_gpu_set set = {.n = 0};
    if (!request->gpu && request->os == GFX_LINUX && (request->model || request->need_bytes))
        plan_gpu_set_like(m, best, &set);
    set.piece = piece_of(request);
    size_t all = set.n;
    for (set.n = 1; set.n < all && !is_enough(m, request, &set); set.n++)
        ;
    *ret_set = all > 1 && set.n > 1 ? set : (struct plan_gpu_set){.n = 0};
}

void plan_gpu_set_words(const struct plan_gpu_set *set, struct buf *ret)
{
    for (size_t i = 1; set && i < set->n; i++)
        buf_addf(ret, "%s%s",
                 i == 1           ? "; it shares the model's layers with its like at "
                 : i + 1 < set->n ? ", "
                                  : " and ",
                 set->gpu[i]->pci);
    if (set)
        buf_add_text(ret, ": each is proven alone first");
}
