/* device.c - GPUs as a plan sees them: whose, in which order, under which number. */
#include "plan/device.h"

#include <stdio.h>

#define VENDOR_AMD 0x1002

bool plan_device_is_amd(const struct machine_gpu *gpu)
{
    return gpu->vendor == VENDOR_AMD || gpu->target;
}

/* On bus 0, where processors have the GPU that is part of them? Known kinds do not need this. */
static bool is_on_root_bus(const struct machine_gpu *gpu)
{
    struct str rest = str_from(gpu->pci), domain, bus;
    return str_cut(&rest, ':', &domain) && str_cut(&rest, ':', &bus) && str_is(bus, "00");
}

static int kind_place(const struct machine_gpu *gpu)
{
    switch (gpu->kind) {
    case GFX_DISCRETE:
    case GFX_ACCELERATOR:
        return 0;
    case GFX_INTEGRATED:
        return 2;
    case GFX_KIND_UNKNOWN:
        break;
    }
    return is_on_root_bus(gpu) ? 2 : 1;
}

static int fit_place(uint64_t need, uint64_t have)
{
    if (need == 0 || have == 0)
        return 1;
    return have >= need ? 0 : 2;
}

/* Negative: a comes first. Never 0 for two GPUs at different addresses. */
static int device_compare(const struct machine *m, uint64_t need, const struct machine_gpu *a,
                          const struct machine_gpu *b)
{
    uint64_t have_a = machine_gpu_memory(m, a), have_b = machine_gpu_memory(m, b);
    return (int)plan_device_is_amd(b) - (int)plan_device_is_amd(a)
               ?: fit_place(need, have_a) - fit_place(need, have_b)
               ?: kind_place(a) - kind_place(b)
               ?: (have_a < have_b) - (have_a > have_b)
               ?: (a->simd_count < b->simd_count) - (a->simd_count > b->simd_count)
               ?: strcmp(a->pci, b->pci);
}

void plan_device_sort(const struct machine *m, uint64_t need_bytes, const struct machine_gpu **ret)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        size_t place = i;
        while (place > 0 && device_compare(m, need_bytes, gpu, ret[place - 1]) < 0) {
            ret[place] = ret[place - 1];
            place--;
        }
        ret[place] = gpu;
    }
}

bool plan_device_shares(const struct machine_gpu *gpu)
{
    return kind_place(gpu) == 2;
}

void plan_device_name(const struct machine_gpu *gpu, char ret_name[static DEVICE_NAME_MAX])
{
    const struct gfx_card *card = gpu->card;
    char id[32] = "", at[24] = "";
    if (gpu->device >= 0)
        snprintf(id, sizeof(id), " %04x:%04x", (unsigned)gpu->vendor, (unsigned)gpu->device);
    if (gpu->pci[0])
        snprintf(at, sizeof(at), " (%s)", gpu->pci);
    struct str name = gfx_card_name(card).n ? gfx_card_name(card) : gfx_card_asic(card);
    if (name.n > 0 && name.n < 120)
        snprintf(ret_name, DEVICE_NAME_MAX, "%.*s%s", STR_ARG(name), at);
    else
        snprintf(ret_name, DEVICE_NAME_MAX, "%s%s%s", plan_device_is_amd(gpu) ? "AMD GPU" : "GPU",
                 id, at);
}

void plan_device_size(uint64_t bytes, char ret_text[static DEVICE_SIZE_MAX])
{
    uint64_t gib = UINT64_C(1) << 30, mib = UINT64_C(1) << 20;
    if (bytes < gib)
        snprintf(ret_text, DEVICE_SIZE_MAX, "%llu MiB",
                 (unsigned long long)((bytes + mib - 1) / mib));
    else
        snprintf(ret_text, DEVICE_SIZE_MAX, "%llu.%llu GiB", (unsigned long long)(bytes / gib),
                 (unsigned long long)(bytes % gib * 10 / gib));
}

static bool device_is_hip(const struct machine_gpu *gpu)
{
    return gpu->target && gpu->target->kfd != 0;
}

size_t plan_device_count_hip(const struct machine *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_gpus; i++)
        n += device_is_hip(&m->gpu[i]);
    return n;
}

int plan_device_rocr_number(const struct machine *m, const struct machine_gpu *gpu,
                            bool *ret_guessed)
{
    int before = 0;
    *ret_guessed = false;
    if (gpu->kfd_ordinal >= 0)
        return gpu->kfd_ordinal;
    if (m->live || !gpu->pci[0] || !device_is_hip(gpu))
        return -1;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *other = &m->gpu[i];
        if (other->kfd_ordinal >= 0 || (device_is_hip(other) && !other->pci[0]))
            return -1;
        if (other != gpu && device_is_hip(other) && strcmp(other->pci, gpu->pci) < 0)
            before += other->partitions > 1 ? (int)other->partitions : 1;
    }
    *ret_guessed = true;
    return before;
}

bool plan_device_is_at(const struct machine_gpu *gpu, const char *pci)
{
    struct str here = str_from(gpu->pci), wanted = str_from(pci);
    if (here.n == 0)
        return false;
    if (str_eq_nocase(here, wanted))
        return true;
    return str_starts(here, STR("0000:")) &&
           str_eq_nocase((struct str){here.p + 5, here.n - 5}, wanted);
}
