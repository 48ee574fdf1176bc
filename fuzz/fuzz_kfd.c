/*
 * fuzz_kfd.c - the sysfs readers. From 128 on, the first byte gives the rest to the parsers alone
 * (KFD properties, Vulkan manifest, PCI address). Below, it chooses one file of an otherwise sound
 * machine that the rest becomes, with a PCI tree to compare with or without, and the whole
 * detection runs: with the tree, no GPU may appear that is not its own.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#define NODE     "/sys/class/kfd/kfd/topology/nodes/1"
#define FUNCTION "/sys/bus/pci/devices/0000:03:00.0"

static void require(bool good)
{
    if (!good)
        abort();
}

static const char *const fuzz_paths[] = {
    NODE "/properties",
    NODE "/mem_banks/0/properties",
    NODE "/gpu_id",
    FUNCTION "/uevent",
    FUNCTION "/class",
    FUNCTION "/revision",
    FUNCTION "/mem_info_vram_total",
    "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json",
    "/etc/os-release",
    "/proc/meminfo",
    "/proc/self/cgroup",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu/online",
    "/etc/group",
};
#define FUZZ_PATHS (sizeof(fuzz_paths) / sizeof(fuzz_paths[0]))

static const struct {
    const char *path, *text;
} fuzz_files[] = {
    {"/sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 16\nsimd_count 0\n"},
    {NODE "/properties", "simd_count 192\ngfx_target_version 110000\nvendor_id 4098\n"
                         "device_id 29772\nlocation_id 768\ndomain 0\ndrm_render_minor 128\n"},
    {NODE "/mem_banks/0/properties", "heap_type 1\nsize_in_bytes 25753026560\n"},
};

static const struct {
    const char *path, *text;
} fuzz_pci[] = {
    {FUNCTION "/vendor", "0x1002\n"},
    {FUNCTION "/device", "0x744c\n"},
    {FUNCTION "/class", "0x030000\n"},
    {FUNCTION "/uevent", "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:744C\n"},
    {"/sys/bus/pci/devices/0000:00:00.0/class", "0x060000\n"},
    {"/sys/bus/pci/devices/0000:00:00.0/vendor", "0x1022\n"},
};

static void put(struct buf *text, const char *path, const char *changed, const char *content)
{
    if (strcmp(path, changed) != 0)
        root_write_file(text, path, str_from(content));
}

static void put_machine(struct buf *text, const char *changed, bool pci)
{
    for (size_t i = 0; i < sizeof(fuzz_files) / sizeof(fuzz_files[0]); i++)
        put(text, fuzz_files[i].path, changed, fuzz_files[i].text);
    for (size_t i = 0; pci && i < sizeof(fuzz_pci) / sizeof(fuzz_pci[0]); i++)
        put(text, fuzz_pci[i].path, changed, fuzz_pci[i].text);
    if (!pci)
        return;
    root_write_link(text, "/sys/class/drm/card0/device", "../../../bus/pci/devices/0000:03:00.0");
    root_write_link(text, "/sys/class/drm/renderD128/device",
                    "../../../bus/pci/devices/0000:03:00.0");
}

static void parse_alone(struct str bytes)
{
    struct kfd_properties p;
    char library[128], arch[16], text[20];
    uint64_t place;
    machine_parse_kfd(bytes, &p);
    require(p.vendor_id <= 0xffff && p.device_id <= 0xffff && p.location_id <= UINT32_MAX);
    if (machine_parse_manifest(bytes, library, sizeof(library), arch, sizeof(arch)) == 0)
        require(library[0] && strlen(library) < sizeof(library) && strlen(arch) < sizeof(arch));
    if (machine_place_parse(bytes, &place) == 0) {
        machine_place_text(place, text);
        require(str_eq_nocase(str_from(text), bytes) || bytes.n > strlen(text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gfx_tables *tables; /* once for all executions */
    struct gfxb_error err = {0};
    if (!tables)
        require(gfx_tables_new(NULL, &tables, &err) == 0);
    if (size == 0)
        return 0;
    struct str bytes = {(const char *)data + 1, size - 1};
    if (data[0] & 0x80) {
        parse_alone(size > 1 ? bytes : STR_NONE);
        return 0;
    }
    const char *changed = fuzz_paths[(data[0] >> 1) % FUZZ_PATHS];
    bool pci = data[0] & 1;
    struct buf text = BUF_INIT(4 << 20);
    root_write_header(&text);
    put_machine(&text, changed, pci);
    root_write_file(&text, changed, bytes);
    struct root *root = NULL;
    struct machine *m = NULL;
    require(root_new_text("fuzz", buf_view(&text), &root, &err) == 0);
    require(machine_new(root, tables, &m, &err) == 0);
    if (pci) {
        require(m->n_gpus == 1);
        require(strcmp(m->gpu[0].pci, "0000:03:00.0") == 0);
        /* uevent says twice whose device it is, and may outvote the vendor file. */
        require(m->gpu[0].vendor == MACHINE_AMD || strcmp(changed, FUNCTION "/uevent") == 0);
    } else {
        require(m->n_gpus <= 1 || strstr(changed, FUNCTION) != NULL);
    }
    machine_free(m);
    root_free(root);
    buf_done(&text);
    return 0;
}
