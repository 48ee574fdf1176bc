/* room.c - does the model fit on what a choice computes with, and if not whole, how much of it? */
#include "plan/access.h"
#include "plan/device.h"

#include <stdio.h>

/* Largest buffer that lavapipe lets a shader see (maxStorageBufferRange, measured): the engine
 * leaves what is larger on the CPU. */
#define SOFTWARE_TENSOR_MOST (UINT64_C(128) << 20)

/* What to do about an APU whose share of RAM is the limit; empty where nothing can be done. */
static void memory_remedy(const struct draft *d, const struct machine_gpu *gpu, uint64_t need,
                          char *ret_text, size_t size)
{
    const uint64_t gib = UINT64_C(1) << 30;
    ret_text[0] = '\0';
    if (!gpu || gpu->kind != GFX_INTEGRATED || gpu->vram_bytes + gpu->gtt_bytes >= need ||
        d->m->host.memory_bytes < 4 * gib || need > d->m->host.memory_bytes - 4 * gib)
        return;
    uint64_t pages = (need / gib + 2) * 262144;
    snprintf(ret_text, size,
             " This APU borrows RAM up to a limit of the kernel: boot with %s.pages_limit=%llu to "
             "raise it.",
             d->m->host.amdgpu_version[0] ? "amdttm" : "ttm", (unsigned long long)pages);
}

static struct fit_memory memory_of(const struct draft *d, const struct draft_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    struct fit_memory memory = {.host = plan_device_memory(d->m, NULL, PLAN_CPU)};
    if (dc->candidate.backend == PLAN_CPU)
        return memory;
    memory.gpu = dc->choice.have_bytes;
    memory.shared = !gpu || gpu->kind == GFX_INTEGRATED;
    if (gpu && memory.shared && memory.host)
        memory.host += gpu->vram_bytes; /* the carve-out is no part of what the kernel counts */
    return memory;
}

/* "20 of 33 layers", and what stays in the computer's memory. */
static void tell_partial(struct draft_choice *dc, const struct fit_choice *fit)
{
    char gpu[DEVICE_SIZE_MAX], host[DEVICE_SIZE_MAX];
    plan_device_size(fit->need.gpu.total, gpu);
    plan_device_size(fit->need.host.total, host);
    if (dc->known.n)
        buf_add_text(&dc->known, ", ");
    buf_addf(&dc->known,
             "%zu of the model's %zu layers fit (%s), the rest computes on the CPU (%s)",
             fit->gpu_layers, dc->choice.layers + 1, gpu, host);
}

static void take_fit(struct draft *d, struct draft_choice *dc, const struct fit_choice *fit)
{
    struct plan_choice *choice = &dc->choice;
    bool gpu = fit->gpu_layers > 0;
    choice->context = fit->context;
    choice->layers = d->wish->model->n_layers;
    choice->gpu_layers = fit->gpu_layers;
    choice->need_bytes = gpu ? fit->need.gpu.total : fit->need.host.total;
    choice->host_bytes = gpu ? fit->need.host.total : 0;
    dc->partial = !fit->whole;
}

/* Nothing of it, or not even a few layers: what would be needed, and what there is. */
static bool reject_model(struct draft *d, struct draft_choice *dc, const struct fit_memory *memory)
{
    char need[DEVICE_SIZE_MAX], have[DEVICE_SIZE_MAX], remedy[200];
    uint64_t there = memory->gpu ? memory->gpu : memory->host;
    plan_device_size(dc->choice.need_bytes, need);
    plan_device_size(there, have);
    memory_remedy(d, dc->candidate.gpu, dc->choice.need_bytes, remedy, sizeof(remedy));
    return plan_draft_reject(d, dc, PLAN_E2, GFXB_E_MEMORY_TOO_SMALL,
                             "The model needs %s with a context of %u tokens and there are %s, of "
                             "which a part is left to others: take a smaller model, a smaller "
                             "quantisation or a shorter context.%s",
                             need, dc->choice.context, have, remedy);
}

static bool check_model(struct draft *d, struct draft_choice *dc)
{
    struct fit_use use = d->wish->use;
    struct fit_memory memory = memory_of(d, dc);
    struct fit_choice fit;
    char need[DEVICE_SIZE_MAX], have[DEVICE_SIZE_MAX];
    if (dc->candidate.backend == PLAN_VULKAN_SOFTWARE)
        use.tensor_most = SOFTWARE_TENSOR_MOST;
    if (dc->candidate.backend != PLAN_CPU && memory.gpu == 0)
        memory.gpu = UINT64_MAX; /* unknown: nothing is rejected for it */
    bool fits = fit_choose(d->wish->model, &use, &memory, &fit);
    take_fit(d, dc, &fit);
    if (!fits)
        return reject_model(d, dc, &memory);
    if (dc->choice.have_bytes == 0)
        plan_words_add(&dc->unknown, "how much memory it has");
    if (dc->partial) {
        tell_partial(dc, &fit);
        plan_draft_arg(d, dc, "-ngl");
        plan_draft_arg(d, dc, "%zu", fit.gpu_layers);
        return true;
    }
    plan_device_size(dc->choice.need_bytes, need);
    plan_device_size(dc->choice.have_bytes, have);
    if (dc->choice.have_bytes)
        plan_words_add(&dc->known, have);
    buf_addf(&dc->known, "%s%s needed with a context of %u tokens",
             dc->choice.have_bytes ? " of memory for the "
             : dc->known.n         ? ", "
                                   : "",
             need, fit.context);
    return true;
}

bool plan_check_memory(struct draft *d, struct draft_choice *dc)
{
    uint64_t need = dc->choice.need_bytes, have = dc->choice.have_bytes;
    char need_text[DEVICE_SIZE_MAX], have_text[DEVICE_SIZE_MAX], remedy[200];
    if (d->wish->model)
        return check_model(d, dc);
    if (need == 0)
        return true;
    plan_device_size(need, need_text);
    if (have == 0) {
        plan_words_add(&dc->unknown, "how much memory it has");
        return true;
    }
    plan_device_size(have, have_text);
    if (have < need) {
        memory_remedy(d, dc->candidate.gpu, need, remedy, sizeof(remedy));
        return plan_draft_reject(d, dc, PLAN_E2, GFXB_E_MEMORY_TOO_SMALL,
                                 "The model needs %s and there are %s: take a smaller model or a "
                                 "smaller quantisation.%s",
                                 need_text, have_text, remedy);
    }
    plan_words_add(&dc->known, have_text);
    buf_addf(&dc->known, " of memory for the %s needed", need_text);
    return true;
}

uint64_t plan_room_need(const struct plan_wish *wish)
{
    if (!wish->model)
        return wish->need_bytes;
    uint64_t least = fit_least(wish->model, &wish->use, true);
    return least + fit_margin(least);
}
