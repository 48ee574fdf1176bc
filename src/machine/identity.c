/*
 * identity.c - evidence -> who a GPU is. Order of trust: KFD's gfx_target_version, the PCI device
 * id, the GC IP version. The first that gives a target is taken; the others are compared with it.
 */
#include "machine/machine_private.h"

#define GIB ((uint64_t)1 << 30)

struct identity_claims {
    const struct gfx_target *kfd, *pci, *gc;
};

static void identity_note_difference(struct machine_gpu *gpu, const struct gfx_target *taken,
                                     const struct gfx_target *other, const char *who)
{
    if (other && other != taken)
        machine_gpu_note(gpu, "%s says %.*s, which was not believed: %.*s is taken", who,
                         STR_ARG(other->gfx), STR_ARG(taken->gfx));
}

static void identity_note_unknown_kfd(struct machine_gpu *gpu)
{
    char name[16];
    if (gfx_kfd_name(gpu->kfd_version, name, sizeof(name)) == 0)
        machine_gpu_note(gpu, "KFD says gfx_target_version %u (%s), which the tables do not know",
                         (unsigned)gpu->kfd_version, name);
    else
        machine_gpu_note(gpu, "KFD says gfx_target_version %u, which is none",
                         (unsigned)gpu->kfd_version);
}

static void identity_find_target(const struct gfx_tables *tables, struct machine_found *f)
{
    struct machine_gpu *gpu = &f->gpu;
    struct identity_claims claims = {NULL, NULL, NULL};
    if (gpu->kfd_version) {
        claims.kfd = gfx_target_by_kfd(tables, gpu->kfd_version);
        if (!claims.kfd)
            identity_note_unknown_kfd(gpu);
    }
    claims.pci = gfx_target_find(tables, gfx_card_gfx(gpu->card));
    if (f->gc[0])
        claims.gc = gfx_target_by_gc(tables, str_from(f->gc));
    gpu->target = claims.kfd ? claims.kfd : claims.pci ? claims.pci : claims.gc;
    if (!gpu->target)
        return;
    identity_note_difference(gpu, gpu->target, claims.pci, "the PCI device id");
    identity_note_difference(gpu, gpu->target, claims.gc, "the GC IP version");
    if (!claims.kfd && !claims.pci)
        machine_gpu_note(gpu, "known by its GC IP version %s only", f->gc);
}

/*
 * Without a row for the card: the target's chips, if they are all of one kind; then what the driver
 * shows. amdgpu has board_info on discrete cards only (newer kernels), and an APU has a small
 * carve-out beside a large GTT.
 */
static enum gfx_kind identity_kind(const struct machine_scan *s, const struct machine_found *f)
{
    const struct machine_gpu *gpu = &f->gpu;
    if (gpu->card && gpu->card->kind != GFX_KIND_UNKNOWN)
        return gpu->card->kind;
    if (f->has_board_info)
        return GFX_DISCRETE;
    if (f->kfd_has_cpu)
        return GFX_INTEGRATED;
    if (gpu->target && gpu->target->kind != GFX_KIND_UNKNOWN)
        return gpu->target->kind;
    if (gpu->vram_bytes && gpu->vram_bytes <= 4 * GIB && gpu->gtt_bytes >= 8 * GIB &&
        gpu->gtt_bytes / 4 >= gpu->vram_bytes)
        return GFX_INTEGRATED;
    /* Where APUs share their processor's KFD node, a node of its own is a card's. */
    return s->kfd_is_joint && gpu->kfd_node >= 0 ? GFX_DISCRETE : GFX_KIND_UNKNOWN;
}

void machine_identify(const struct machine_scan *s, struct machine_found *f)
{
    struct machine_gpu *gpu = &f->gpu;
    if (gpu->vendor != MACHINE_AMD)
        return;
    if (gpu->device >= 0)
        gpu->card = gfx_card_find(s->tables, (uint16_t)gpu->device, gpu->revision);
    identity_find_target(s->tables, f);
    gpu->kind = identity_kind(s, f);
    /* On an APU KFD counts system memory as the GPU's. */
    bool own_memory = gpu->kind == GFX_DISCRETE || gpu->kind == GFX_ACCELERATOR;
    if (!gpu->vram_bytes && own_memory)
        gpu->vram_bytes = f->kfd_vram_bytes;
}

static uint64_t identity_least(uint64_t bytes, uint64_t limit)
{
    return limit && limit < bytes ? limit : bytes;
}

uint64_t machine_gpu_lent(const struct machine *m, const struct machine_gpu *gpu)
{
    return identity_least(identity_least(gpu->gtt_bytes, m->host.ttm_limit_bytes),
                          m->host.cgroup_limit_bytes);
}

uint64_t machine_gpu_visible(const struct machine_gpu *gpu)
{
    return identity_least(gpu->vram_bytes, gpu->visible_vram_bytes);
}

uint64_t machine_gpu_memory(const struct machine *m, const struct machine_gpu *gpu)
{
    if (gpu->kind == GFX_DISCRETE || gpu->kind == GFX_ACCELERATOR)
        return gpu->vram_bytes;
    if (gpu->kind != GFX_INTEGRATED || gpu->gtt_bytes == 0)
        return 0;
    return machine_gpu_visible(gpu) + machine_gpu_lent(m, gpu);
}

uint64_t machine_gpu_memory_free(const struct machine *m, const struct machine_gpu *gpu)
{
    uint64_t all = machine_gpu_memory(m, gpu), used = gpu->vram_used_bytes;
    if (!all)
        return 0;
    uint64_t own = machine_gpu_visible(gpu), lent = all - own;
    uint64_t free = (used < own ? own - used : 0) + identity_least(lent, m->host.memory_free_bytes);
    return free ? free : 1;
}

const char *machine_kind_name(enum gfx_kind kind)
{
    switch (kind) {
    case GFX_DISCRETE:
        return "discrete";
    case GFX_INTEGRATED:
        return "integrated";
    case GFX_ACCELERATOR:
        return "accelerator";
    default:
        return NULL;
    }
}
