/*
 * device.c - who a device directory in sysfs is. The kernel states vendor, device and class three
 * times: in files of their own, in uevent, and in uevent's MODALIAS. Copies of a machine may hold
 * only some of these, and damaged ones disagree: two of three decide.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

/* What a GPU may say in its `class` file: VGA, XGA, 3D and other display controllers; an
 * accelerator only from AMD, because NPUs and FPGAs of others have that class too. */
bool machine_class_is_gpu(int class, int vendor)
{
    switch (class >> 8) {
    case 0x0300:
    case 0x0301:
    case 0x0302:
    case 0x0380:
        return (class & 0xff) <= 1;
    case 0x1200:
        return vendor == MACHINE_AMD;
    default:
        return false;
    }
}

struct device_claims {
    int vendor, device, class; /* -1 none */
};

static int device_hex(struct str s, size_t max)
{
    uint64_t value;
    if (s.n == 0 || s.n > max || str_to_u64(s, 16, &value) < 0)
        return -1;
    return (int)value;
}

/* "1002:744C" */
static void device_take_id(struct str value, struct device_claims *claims)
{
    struct str vendor;
    if (value.n == 9 && str_cut(&value, ':', &vendor) && vendor.n == 4) {
        claims->vendor = device_hex(vendor, 4);
        claims->device = device_hex(value, 4);
    }
}

/* "pci:v00001002d0000744Csv00001EAEsd00007901bc03sc00i00" */
static void device_take_modalias(struct str value, struct device_claims *claims)
{
    if (value.n != 53 || !str_starts(value, STR("pci:v")) || value.p[13] != 'd' ||
        memcmp(value.p + 42, "bc", 2) != 0 || memcmp(value.p + 46, "sc", 2) != 0 ||
        value.p[50] != 'i')
        return;
    claims->vendor = device_hex((struct str){value.p + 5, 8}, 8);
    claims->device = device_hex((struct str){value.p + 14, 8}, 8);
    int base = device_hex((struct str){value.p + 44, 2}, 2);
    int sub = device_hex((struct str){value.p + 48, 2}, 2);
    int interface = device_hex((struct str){value.p + 51, 2}, 2);
    if (base >= 0 && sub >= 0 && interface >= 0)
        claims->class = base << 16 | sub << 8 | interface;
}

/* A driver's name as the kernel has them; anything else is no name. */
static bool device_is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-' && c != '.')
            return false;
    }
    return s.n > 0;
}

static void device_set_driver(struct machine_device *d, struct str name)
{
    if (device_is_name(name) && name.n < sizeof(d->driver)) {
        memcpy(d->driver, name.p, name.n);
        d->driver[name.n] = '\0';
    }
}

/* Fills slot, driver and two sets of claims; false when there is no uevent. */
static bool device_read_uevent(const struct root *root, const char *dir, struct machine_device *d,
                               struct device_claims claims[static 2])
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    char path[MACHINE_PATH_MAX];
    snprintf(path, sizeof(path), "%s/uevent", dir);
    if (root_read(root, path, 4096, &text) < 0)
        return false;
    struct str rest = buf_view(&text), name, value;
    while (str_pair(&rest, '=', &name, &value)) {
        if (str_is(name, "DRIVER"))
            device_set_driver(d, value);
        else if (str_is(name, "PCI_SLOT_NAME") && machine_place_parse(value, &d->slot) < 0)
            d->slot = MACHINE_NO_PLACE;
        else if (str_is(name, "PCI_CLASS"))
            claims[0].class = device_hex(value, 6);
        else if (str_is(name, "PCI_ID"))
            device_take_id(value, &claims[0]);
        else if (str_is(name, "MODALIAS"))
            device_take_modalias(value, &claims[1]);
    }
    return true;
}

/* Two of three that agree; otherwise the first that says anything. */
static int device_vote(int a, int b, int c)
{
    if (b >= 0 && b == c)
        return b;
    return a >= 0 ? a : b >= 0 ? b : c;
}

static int device_read_id(const struct root *root, const char *dir, const char *file, uint64_t max)
{
    uint64_t value;
    if (machine_read_number(root, &value, "%s/%s", dir, file) < 0 || value > max)
        return -1;
    return (int)value;
}

/* The link wins over uevent; no link and a uevent or driver directory without it: none is bound. */
static void device_read_driver(const struct root *root, const char *dir, struct machine_device *d)
{
    char path[MACHINE_PATH_MAX], target[MACHINE_PATH_MAX];
    snprintf(path, sizeof(path), "%s/driver", dir);
    if (root_readlink(root, path, target, sizeof(target)) == 0) {
        device_set_driver(d, str_from(fs_name(target)));
        return;
    }
    if (d->driver[0] == '?' && (d->has_uevent || machine_has_path(root, "/sys/bus/pci/drivers")))
        d->driver[0] = '\0';
}

void machine_read_device(const struct root *root, const char *dir, struct machine_device *ret)
{
    *ret = (struct machine_device){.driver = "?", .slot = MACHINE_NO_PLACE};
    struct device_claims said[2] = {{-1, -1, -1}, {-1, -1, -1}};
    ret->has_uevent = device_read_uevent(root, dir, ret, said);
    int vendor = device_read_id(root, dir, "vendor", 0xffff);
    int device = device_read_id(root, dir, "device", 0xffff);
    ret->class = device_read_id(root, dir, "class", 0xffffff);
    ret->revision = device_read_id(root, dir, "revision", 0xff);
    ret->vendor = device_vote(vendor, said[0].vendor, said[1].vendor);
    ret->device = device_vote(device, said[0].device, said[1].device);
    const int classes[3] = {ret->class, said[0].class, said[1].class};
    for (size_t i = 0; i < 3; i++) {
        ret->class_sources += classes[i] >= 0;
        ret->class_votes += classes[i] >= 0 && machine_class_is_gpu(classes[i], ret->vendor);
    }
    device_read_driver(root, dir, ret);
}

void machine_found_take(struct machine_found *f, const struct machine_device *device)
{
    struct machine_gpu *gpu = &f->gpu;
    if (gpu->vendor == 0 && device->vendor > 0)
        gpu->vendor = (uint16_t)device->vendor;
    if (gpu->device < 0)
        gpu->device = device->device;
    if (gpu->revision < 0)
        gpu->revision = device->revision;
    if (gpu->driver[0] == '?' || (gpu->driver[0] == '\0' && device->driver[0] != '?'))
        memcpy(gpu->driver, device->driver, sizeof(gpu->driver));
}
