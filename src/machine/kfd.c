/*
 * kfd.c - /sys/class/kfd/kfd/topology: what ROCm will see. A node belongs to a GPU by its PCI
 * address; the partitions of a card (CPX and the like) are several nodes of one GPU.
 *
 * The files hold the address as contents, so it is compared with what PCI and DRM showed: a node
 * that they do not know is looked for by render node and device id, and makes a GPU of its own only
 * where there is nothing to compare with.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdio.h>

#define KFD_NODES     "/sys/class/kfd/kfd/topology/nodes"
#define KFD_BANKS_MAX 64

struct kfd_node {
    unsigned number;
    int ordinal; /* among the GPU nodes that can be read */
    bool is_gpu;
    uint64_t place; /* MACHINE_NO_PLACE: not said */
    struct kfd_properties p;
};

/* The lowest 16 bits are bus, device and function; kernels put the partition's number into the top
 * four bits. Anything between is no address. */
static uint64_t kfd_place(const struct kfd_properties *p)
{
    if (!p->has_location || (p->location_id == 0 && p->device_id == 0) ||
        p->location_id & 0x0fff0000)
        return MACHINE_NO_PLACE;
    return machine_place_make(p->domain, (unsigned)(p->location_id >> 8) & 0xff,
                              (unsigned)p->location_id & 0xff);
}

static void kfd_classify(const struct root *root, struct kfd_node *node)
{
    uint64_t gpu_id;
    const struct kfd_properties *p = &node->p;
    int r = machine_read_number(root, &gpu_id, "%s/%u/gpu_id", KFD_NODES, node->number);
    bool has_units = p->simd_count > 0;
    /* A node without AMD's id is a GPU that is not set up, or a processor with a damaged count. */
    node->is_gpu = (r < 0 || gpu_id != 0) &&
                   (p->vendor_id == MACHINE_AMD ? has_units || p->gfx_target_version > 0
                                                : has_units && p->cpu_cores_count == 0);
}

/* 0, -ENOMEM; a node that cannot be read is no GPU node, which a note says. */
static int kfd_read_node(struct machine_scan *s, struct kfd_node *node)
{
    char path[MACHINE_PATH_MAX];
    struct buf CLEAN_BUF text = BUF_INIT(KFD_PROPERTIES_MAX + 1);
    snprintf(path, sizeof(path), "%s/%u/properties", KFD_NODES, node->number);
    int r = root_read(s->root, path, KFD_PROPERTIES_MAX + 1, &text);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        s->m->kfd_listed = false;
        if (r != -ENOENT && r != -ENODATA)
            machine_note(s->m, "KFD node %u cannot be read (%s): ROCm will not see its GPU",
                         node->number, error_errno_text(-r));
        return 0;
    }
    machine_parse_kfd(buf_view(&text), &node->p);
    s->m->kfd_listed = s->m->kfd_listed && !node->p.is_damaged;
    node->place = kfd_place(&node->p);
    kfd_classify(s->root, node);
    s->kfd_is_joint |= node->is_gpu && node->p.cpu_cores_count > 0;
    return 0;
}

static bool kfd_fits(const struct machine_found *f, const struct kfd_node *node)
{
    const struct machine_gpu *gpu = &f->gpu;
    return (gpu->vendor == 0 || gpu->vendor == MACHINE_AMD) &&
           (gpu->device < 0 || node->p.device_id == 0 || gpu->device == (int)node->p.device_id);
}

/*
 * A GPU that PCI or DRM showed, by render node, then by device id: one without a node, or (where
 * PCI shows them all) the last that has one. GPUs known from other nodes alone are no evidence.
 */
static struct machine_found *kfd_find_alike(struct machine_scan *s, const struct kfd_node *node)
{
    struct machine_found *alike = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct machine_found *f = &s->found[i];
        if (f->gpu.vendor != MACHINE_AMD || !kfd_fits(f, node) ||
            !(f->gpu.sources & (MACHINE_PCI | MACHINE_DRM)))
            continue;
        if (f->gpu.kfd_node >= 0 && s->pci_names.n == 0)
            continue;
        if (f->gpu.render_minor >= 0 && f->gpu.render_minor == (int)node->p.drm_render_minor)
            return f;
        bool same = node->p.device_id != 0 && f->gpu.device == (int)node->p.device_id;
        if (same && (!alike || alike->gpu.kfd_node >= 0))
            alike = f;
    }
    return alike;
}

/* The place itself, or function 0 of its slot when this function is a partition of that one. */
static struct machine_found *kfd_find_place(struct machine_scan *s, const struct kfd_node *node)
{
    if (node->place == MACHINE_NO_PLACE)
        return NULL;
    struct machine_found *f = machine_found_at(s, node->place);
    if (f)
        return f->gpu.vendor == 0 || f->gpu.vendor == MACHINE_AMD ? f : NULL;
    f = node->place & 7 ? machine_found_at(s, node->place & ~UINT64_C(7)) : NULL;
    return f && kfd_fits(f, node) ? f : NULL;
}

/* May this node be a GPU that nothing else has shown? */
static bool kfd_may_add(struct machine_scan *s, const struct kfd_node *node)
{
    if (node->p.is_damaged)
        return false;
    if (s->pci_names.n == 0) /* unless it claims to be a partition of another kind of card */
        return node->place == MACHINE_NO_PLACE || !machine_found_at(s, node->place & ~UINT64_C(7));
    if (node->place == MACHINE_NO_PLACE || !machine_pci_has_name(s, node->place))
        return false;
    /* PCI has a function there that it did not call a GPU: only where it says nothing at all. */
    char dir[MACHINE_PATH_MAX], text[20];
    machine_place_text(node->place, text);
    snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", text);
    struct machine_device device;
    machine_read_device(s->root, dir, &device);
    return (device.class_sources == 0 || device.class_votes > 0) &&
           (device.vendor < 0 || device.vendor == MACHINE_AMD) &&
           (device.device < 0 || device.device == (int)node->p.device_id);
}

static struct machine_found *kfd_add(struct machine_scan *s, const struct kfd_node *node)
{
    /* Without a PCI tree, a function other than 0 is a partition whose first node is missing. */
    bool partition = s->pci_names.n == 0 && node->place != MACHINE_NO_PLACE;
    struct machine_found *f =
        machine_found_add(s, partition ? node->place & ~UINT64_C(7) : node->place);
    if (!f)
        return NULL;
    if (machine_pci_has_name(s, node->place)) {
        char dir[MACHINE_PATH_MAX];
        snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", f->gpu.pci);
        struct machine_device device;
        machine_read_device(s->root, dir, &device);
        machine_found_take(f, &device);
        f->gpu.sources |= MACHINE_PCI;
    }
    if (node->p.vendor_id == 0)
        machine_gpu_note(&f->gpu,
                         "KFD node %u has no ids: the driver has not finished setting the GPU up",
                         node->number);
    return f;
}

static uint64_t kfd_read_memory(const struct root *root, const struct kfd_node *node)
{
    uint64_t sum = 0;
    for (unsigned bank = 0; bank < KFD_BANKS_MAX; bank++) {
        if (node->p.mem_banks_count && bank >= node->p.mem_banks_count)
            break;
        char path[MACHINE_PATH_MAX];
        struct buf CLEAN_BUF text = BUF_INIT(4096);
        snprintf(path, sizeof(path), "%s/%u/mem_banks/%u/properties", KFD_NODES, node->number,
                 bank);
        if (root_read(root, path, 4096, &text) < 0)
            break;
        uint64_t heap = 0, size = 0;
        struct str rest = buf_view(&text), name, value;
        while (str_pair(&rest, ' ', &name, &value)) {
            if (str_is(name, "heap_type"))
                (void)str_to_u64(value, 10, &heap);
            else if (str_is(name, "size_in_bytes"))
                (void)str_to_u64(value, 10, &size);
        }
        /* Heap types 1 and 2 are the frame buffer, CPU-visible and not. */
        if ((heap == 1 || heap == 2) && size < (uint64_t)1 << 50)
            sum += size;
    }
    return sum ? sum : node->p.local_mem_size;
}

static void kfd_note_device(struct machine_gpu *gpu, const struct kfd_node *node)
{
    if (gpu->device >= 0 && node->p.device_id && gpu->device != (int)node->p.device_id)
        machine_gpu_note(gpu, "KFD node %u calls this device %04x, PCI calls it %04x", node->number,
                         (unsigned)node->p.device_id, (unsigned)gpu->device);
}

static void kfd_attach(const struct root *root, struct machine_found *f,
                       const struct kfd_node *node)
{
    struct machine_gpu *gpu = &f->gpu;
    const struct kfd_properties *p = &node->p;
    kfd_note_device(gpu, node);
    gpu->sources |= MACHINE_KFD;
    gpu->vendor = MACHINE_AMD;
    if (gpu->device < 0 && p->device_id)
        gpu->device = (int)p->device_id;
    if (gpu->driver[0] == '?' || gpu->driver[0] == '\0')
        snprintf(gpu->driver, sizeof(gpu->driver), "amdgpu"); /* KFD is a part of it */
    if (gpu->kfd_node < 0) {
        gpu->kfd_node = (int)node->number;
        gpu->kfd_ordinal = node->ordinal;
        gpu->kfd_version = (uint32_t)p->gfx_target_version;
        gpu->kfd_cwsr = p->has_cwsr ? TRI_YES : p->is_whole ? TRI_NO : TRI_UNKNOWN;
    } else if (p->gfx_target_version != gpu->kfd_version) {
        machine_gpu_note(gpu, "KFD node %u has gfx_target_version %u, node %d has %u", node->number,
                         (unsigned)p->gfx_target_version, gpu->kfd_node,
                         (unsigned)gpu->kfd_version);
    }
    gpu->partitions++;
    gpu->simd_count += (unsigned)p->simd_count;
    if (gpu->render_minor < 0 && p->drm_render_minor >= 128) /* lower ones are no render nodes */
        gpu->render_minor = (int)p->drm_render_minor;
    if (!gpu->mec_firmware)
        gpu->mec_firmware = (uint32_t)p->fw_version;
    if (!gpu->sdma_firmware)
        gpu->sdma_firmware = (uint32_t)p->sdma_fw_version;
    f->kfd_has_cpu |= p->cpu_cores_count > 0;
    if (!gpu->vram_bytes)
        f->kfd_vram_bytes += kfd_read_memory(root, node);
}

static int kfd_join(struct machine_scan *s, const struct kfd_node *node)
{
    struct machine_found *f = kfd_find_place(s, node);
    bool moved = !f;
    /* Damaged contents count only where they agree with what is known. */
    if (f && node->p.is_damaged && (!kfd_fits(f, node) || node->p.device_id == 0))
        f = NULL;
    if (!f && !node->p.is_damaged)
        f = kfd_find_alike(s, node);
    if (!f && kfd_may_add(s, node)) {
        moved = false;
        f = kfd_add(s, node);
        if (!f)
            return machine_found_failure(s);
    }
    if (!f) {
        s->m->kfd_listed = false;
        machine_note(s->m, "KFD node %u is left out: %s", node->number,
                     node->p.is_damaged  ? "its properties are damaged"
                     : node->p.device_id ? "it names a GPU that nothing else shows"
                                         : "it has no ids");
        return 0;
    }
    if (moved && node->place != MACHINE_NO_PLACE)
        machine_gpu_note(&f->gpu, "KFD node %u gives another PCI address for this GPU",
                         node->number);
    kfd_attach(s->root, f, node);
    return 0;
}

static int kfd_compare_numbers(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The node numbers in order: names are sorted as text, "10" before "2". */
static size_t kfd_sort_numbers(const struct root_names *names, unsigned *numbers)
{
    size_t n = 0;
    for (size_t i = 0; i < names->n; i++) {
        struct str name = str_from(names->name[i]);
        uint64_t number;
        if (name.n <= 6 && str_to_u64(name, 10, &number) == 0)
            numbers[n++] = (unsigned)number;
    }
    if (n)
        qsort(numbers, n, sizeof(*numbers), kfd_compare_numbers);
    return n;
}

int machine_read_kfd(struct machine_scan *s)
{
    struct root_names names = {NULL, 0};
    int r = root_list(s->root, KFD_NODES, &names);
    /* Would a node that is not in there be known to be absent? */
    s->m->kfd_listed = r == 0 ? root_knows(s->root, KFD_NODES "/none")
                              : machine_path_state(s->root, "/sys/class/kfd") == TRI_NO;
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    unsigned *CLEAN_FREE numbers = calloc(names.n + 1, sizeof(*numbers));
    size_t n = numbers ? kfd_sort_numbers(&names, numbers) : 0;
    root_names_done(&names);
    if (!numbers)
        return -ENOMEM;
    int ordinal = 0;
    r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct kfd_node node = {.number = numbers[i], .place = MACHINE_NO_PLACE};
        r = kfd_read_node(s, &node);
        if (r < 0 || !node.is_gpu)
            continue;
        node.ordinal = ordinal++;
        r = kfd_join(s, &node);
    }
    return r;
}
