/* load.c - what a GPU does right now: amdgpu's sysfs files. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

#define LOAD_DEVICE "/sys/bus/pci/devices/%s/"

/* The power of the whole card, in microwatts. Cards say the average, newer APUs the present value.
 * Source: the kernel's Documentation/gpu/amdgpu, "HWMON Interfaces". */
static void load_read_power(const struct root *root, const char *pci, struct machine_load *load)
{
    static const char *const files[] = {"power1_average", "power1_input"};
    char dir[MACHINE_PATH_MAX];
    struct root_names names;
    uint64_t microwatts;
    snprintf(dir, sizeof(dir), LOAD_DEVICE "hwmon", pci);
    if (root_list(root, dir, &names) < 0)
        return;
    for (size_t i = 0; i < names.n; i++) {
        for (size_t k = 0; k < sizeof(files) / sizeof(files[0]) && load->power_watts < 0; k++) {
            if (machine_read_number(root, &microwatts, "%s/%s/%s", dir, names.name[i], files[k]) ==
                0)
                load->power_watts = (double)microwatts / 1e6;
        }
    }
    root_names_done(&names);
}

void machine_gpu_load(const struct root *root, const struct machine_gpu *gpu,
                      struct machine_load *ret_load)
{
    struct machine_load load = {.busy_percent = -1, .power_watts = -1};
    uint64_t busy;
    *ret_load = load;
    if (!gpu->pci[0])
        return;
    if (machine_read_number(root, &busy, LOAD_DEVICE "gpu_busy_percent", gpu->pci) == 0 &&
        busy <= 100)
        load.busy_percent = (int)busy;
    load.vram_known = machine_read_number(root, &load.vram_used_bytes,
                                          LOAD_DEVICE "mem_info_vram_used", gpu->pci) == 0;
    load.gtt_known = machine_read_number(root, &load.gtt_used_bytes,
                                         LOAD_DEVICE "mem_info_gtt_used", gpu->pci) == 0;
    load_read_power(root, gpu->pci, &load);
    *ret_load = load;
}
