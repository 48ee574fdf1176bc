/*
 * drm.c - /sys/class/drm: which GPU has which render node, and what amdgpu says of its memory,
 * firmware and graphics core. Facts: Linux Documentation/gpu/amdgpu/driver-misc.rst.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdio.h>

/* Names in amdgpu's fw_version directory that we read. */
const char *const machine_firmware_files[] = {
    "mec_fw_version",
    "mes_fw_version",
    "sdma_fw_version",
    NULL,
};

/* "card" and "1" of "card1"; false for anything else such as "card1-HDMI-A-1". */
static bool drm_minor(const char *name, const char *prefix, unsigned *ret_minor)
{
    struct str s = str_from(name);
    uint64_t value;
    if (!str_starts(s, str_from(prefix)))
        return false;
    size_t n = strlen(prefix);
    s = (struct str){s.p + n, s.n - n};
    if (s.n > 7 || str_to_u64(s, 10, &value) < 0)
        return false;
    *ret_minor = (unsigned)value;
    return true;
}

/* Where a DRM node's device stands. */
struct drm_place {
    bool is_pci;    /* false: a platform device, or nothing to see */
    bool is_linked; /* the address is a link's text, not the contents of a file */
    uint64_t place; /* MACHINE_NO_PLACE: not said */
};

static struct drm_place drm_read_place(const struct root *root, const char *dir)
{
    char target[MACHINE_PATH_MAX];
    struct drm_place p = {false, false, MACHINE_NO_PLACE};
    int r = root_readlink(root, dir, target, sizeof(target));
    if (r == 0) {
        p.place = machine_place_of_link(target);
        p.is_linked = p.is_pci = p.place != MACHINE_NO_PLACE;
    } else if (r == -EINVAL) {
        /* A copy without links: only the contents of uevent say the address. */
        struct machine_device device;
        machine_read_device(root, dir, &device);
        p.place = device.slot;
        p.is_pci = device.vendor >= 0 || device.slot != MACHINE_NO_PLACE;
    }
    return p;
}

/* An AMD GPU that PCI lists and no card was given to yet, by its device id. */
static struct machine_found *drm_find_by_device(struct machine_scan *s, int device)
{
    for (size_t i = 0; device >= 0 && i < s->n; i++) {
        const struct machine_gpu *gpu = &s->found[i].gpu;
        if (gpu->vendor == MACHINE_AMD && gpu->device == device && !(gpu->sources & MACHINE_DRM))
            return &s->found[i];
    }
    return NULL;
}

/* The GPU of a card; NULL when there is none, with *ret_result saying whether that is a failure. */
static struct machine_found *drm_find_gpu(struct machine_scan *s, const char *dir,
                                          const struct drm_place *p, int *ret_result)
{
    *ret_result = 0;
    struct machine_found *f = machine_found_at(s, p->place);
    if (f)
        return f;
    struct machine_device device;
    machine_read_device(s->root, dir, &device);
    bool listed = p->is_linked && machine_pci_has_name(s, p->place);
    if (s->pci_names.n && !listed)
        return drm_find_by_device(s, device.device);
    if (device.class_sources > 0 && device.class_votes == 0)
        return NULL; /* the link leads to a function that is no GPU */
    /* A card whose vendor nobody knows is a GPU when a driver of AMD's runs it. */
    if (device.vendor <= 0 && strcmp(device.driver, "amdgpu") != 0)
        return NULL;
    f = machine_found_add(s, p->place);
    if (!f) {
        *ret_result = machine_found_failure(s);
        return NULL;
    }
    machine_found_take(f, &device);
    if (listed)
        f->gpu.sources |= MACHINE_PCI;
    if (f->gpu.vendor == 0)
        f->gpu.vendor = MACHINE_AMD;
    return f;
}

static uint64_t drm_read_bytes(const struct root *root, const char *dir, const char *file)
{
    uint64_t value;
    if (machine_read_number(root, &value, "%s/%s", dir, file) < 0 || value > (uint64_t)1 << 50)
        return 0;
    return value;
}

static uint32_t drm_read_firmware(const struct root *root, const char *dir, const char *file)
{
    uint64_t value;
    if (machine_read_number(root, &value, "%s/fw_version/%s", dir, file) < 0 || value > UINT32_MAX)
        return 0;
    return (uint32_t)value;
}

/* The graphics core's version from IP discovery: hardware id 11, also linked as GC. */
static void drm_read_gc(const struct root *root, const char *dir, char ret_gc[static 24])
{
    static const char *const names[] = {"11", "GC"};
    static const char *const parts[] = {"major", "minor", "revision"};
    for (size_t i = 0; i < 2; i++) {
        uint64_t v[3];
        size_t n = 0;
        while (n < 3 &&
               machine_read_number(root, &v[n], "%s/ip_discovery/die/0/%s/0/%s", dir, names[i],
                                   parts[n]) == 0 &&
               v[n] <= 255)
            n++;
        if (n == 3) {
            snprintf(ret_gc, 24, "%u.%u.%u", (unsigned)v[0], (unsigned)v[1], (unsigned)v[2]);
            return;
        }
    }
}

static void drm_read_amdgpu(const struct root *root, const char *dir, struct machine_found *f)
{
    struct machine_gpu *gpu = &f->gpu;
    gpu->vram_bytes = drm_read_bytes(root, dir, "mem_info_vram_total");
    gpu->visible_vram_bytes = drm_read_bytes(root, dir, "mem_info_vis_vram_total");
    gpu->gtt_bytes = drm_read_bytes(root, dir, "mem_info_gtt_total");
    gpu->vram_used_bytes = drm_read_bytes(root, dir, "mem_info_vram_used");
    gpu->gtt_used_bytes = drm_read_bytes(root, dir, "mem_info_gtt_used");
    gpu->mec_firmware = drm_read_firmware(root, dir, machine_firmware_files[0]);
    gpu->mes_firmware = drm_read_firmware(root, dir, machine_firmware_files[1]);
    gpu->sdma_firmware = drm_read_firmware(root, dir, machine_firmware_files[2]);
    drm_read_gc(root, dir, f->gc);
    char path[MACHINE_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/board_info", dir);
    f->has_board_info = machine_has_path(root, path);
}

static int drm_read_card(struct machine_scan *s, const char *name)
{
    char dir[MACHINE_PATH_MAX];
    snprintf(dir, sizeof(dir), "/sys/class/drm/%s/device", name);
    struct drm_place p = drm_read_place(s->root, dir);
    if (!p.is_pci)
        return 0;
    if (p.is_linked && machine_pci_has_name(s, p.place)) { /* the same by a shorter way */
        char address[20];
        machine_place_text(p.place, address);
        snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", address);
    }
    int r;
    struct machine_found *f = drm_find_gpu(s, dir, &p, &r);
    if (!f || f->gpu.sources & MACHINE_DRM)
        return r;
    if (!p.is_linked) {
        struct machine_device device;
        machine_read_device(s->root, dir, &device);
        machine_found_take(f, &device);
    }
    f->gpu.sources |= MACHINE_DRM;
    if (f->gpu.vendor == MACHINE_AMD)
        drm_read_amdgpu(s->root, dir, f);
    return 0;
}

static void drm_read_render(struct machine_scan *s, const char *name, unsigned minor)
{
    char dir[MACHINE_PATH_MAX];
    snprintf(dir, sizeof(dir), "/sys/class/drm/%s/device", name);
    struct drm_place p = drm_read_place(s->root, dir);
    struct machine_found *f = p.is_pci ? machine_found_at(s, p.place) : NULL;
    if (f && f->gpu.render_minor < 0)
        f->gpu.render_minor = (int)minor;
}

int machine_read_drm(struct machine_scan *s)
{
    struct root_names names = {NULL, 0};
    int r = root_list(s->root, "/sys/class/drm", &names);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    unsigned minor;
    r = 0;
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        if (drm_minor(names.name[i], "card", &minor))
            r = drm_read_card(s, names.name[i]);
    }
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        if (drm_minor(names.name[i], "renderD", &minor))
            drm_read_render(s, names.name[i], minor);
    }
    root_names_done(&names);
    return r;
}
