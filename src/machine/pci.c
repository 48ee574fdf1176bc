/*
 * pci.c - /sys/bus/pci/devices: every GPU on the bus, with a driver or without, and BMC graphics
 * too. NPUs and FPGAs are left out.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdio.h>

/*
 * Is this function a GPU by what PCI says? The kernel states the class three times. Where the
 * statements disagree, and where a copy made from another tool's output has one alone, something
 * else must fit too: one damaged digit makes graphics of a host bridge or a network card.
 */
static bool pci_is_gpu(const struct machine_scan *s, const struct machine_device *d, uint64_t place)
{
    bool all = d->class_votes == d->class_sources;
    if (all && d->class_votes > 1)
        return true;
    if (d->vendor == MACHINE_AMD)
        return (all ? d->class_votes > 0 : d->class_votes > 1) &&
               (strcmp(d->driver, "amdgpu") == 0 || strcmp(d->driver, "radeon") == 0 ||
                (d->device >= 0 && gfx_card_find(s->tables, (uint16_t)d->device, -1)));
    /* 0000:00:00.0 is the host bridge; AMD's other vendor id 1022 has no GPUs. */
    return all && d->class_votes == 1 && !d->has_uevent && place != 0 && d->vendor > 0 &&
           d->vendor != 0xffff && d->vendor != 0x1022;
}

/* In sysfs a function's entry is a link to a directory of the same name; in copies it may be that
 * directory itself. A link to another function is damage. */
static bool pci_is_itself(const struct root *root, const char *dir, uint64_t place)
{
    char target[MACHINE_PATH_MAX];
    return root_readlink(root, dir, target, sizeof(target)) < 0 ||
           machine_place_of_link(target) == place;
}

static int pci_read_function(struct machine_scan *s, const char *name)
{
    uint64_t place, class;
    char dir[MACHINE_PATH_MAX];
    if (machine_place_parse(str_from(name), &place) < 0)
        return 0;
    /* One read decides for most functions. What is malformed here is left to DRM and KFD. */
    if (machine_read_number(s->root, &class, "/sys/bus/pci/devices/%s/class", name) < 0 ||
        class > 0xffffff || !machine_class_is_gpu((int)class, MACHINE_AMD))
        return 0;
    snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", name);
    struct machine_device device;
    machine_read_device(s->root, dir, &device);
    if (!pci_is_gpu(s, &device, place) || !pci_is_itself(s->root, dir, place))
        return 0;
    struct machine_found *f = machine_found_add(s, place);
    if (!f)
        return machine_found_failure(s);
    f->gpu.sources = MACHINE_PCI;
    machine_found_take(f, &device);
    return 0;
}

int machine_read_pci(struct machine_scan *s)
{
    int r = root_list(s->root, "/sys/bus/pci/devices", &s->pci_names);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    r = 0;
    for (size_t i = 0; r == 0 && i < s->pci_names.n; i++)
        r = pci_read_function(s, s->pci_names.name[i]);
    return r;
}
