/*
 * test_machine.c - machine/: the parsers of foreign bytes, the sources' rules one by one, memory,
 * and what a capture never holds. Whole machines are in test_machines.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fs.h"
#include "machine/machine_private.h"
#include "machine_text.h"
#include "sysroot/sysroot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

static struct gfx_tables *tables;

static int setup(void **state)
{
    struct gfxb_error err = {0};
    int r = gfx_tables_new(NULL, &tables, &err);
    if (r < 0)
        print_error("%s\n", err.text);
    return r;
}

static int teardown(void **state)
{
    gfx_tables_free(tables);
    return 0;
}

/* The machine of these lines; root is closed again. */
static struct machine *read_lines(const char *lines)
{
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
    struct root *root = NULL;
    struct machine *m = NULL;
    struct gfxb_error err = {0};
    buf_addf(&text, "gfxbridge machine 1\n%s", lines);
    if (root_new_text("lines", buf_view(&text), &root, &err) < 0 ||
        machine_new(root, tables, &m, &err) < 0)
        fail_msg("%s", err.text);
    root_free(root);
    return m;
}

/* ---- what a GPU does right now ---- */

static struct machine_load load_of(const char *lines)
{
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
    struct root *root = NULL;
    struct machine_load load;
    const struct machine_gpu gpu = {.pci = "0000:03:00.0"};
    buf_addf(&text, "gfxbridge machine 1\n%s", lines);
    assert_int_equal(root_new_text("lines", buf_view(&text), &root, &err), 0);
    machine_gpu_load(root, &gpu, &load);
    root_free(root);
    return load;
}

static void what_a_driver_does_not_tell_is_unknown(void **state)
{
#define LOAD "file /sys/bus/pci/devices/0000:03:00.0/"
    struct machine_load load = load_of("");
    assert_int_equal(load.busy_percent, -1);
    assert_true(load.power_watts < 0 && !load.vram_known && !load.gtt_known);
    load = load_of(LOAD "gpu_busy_percent 97\n" LOAD "mem_info_vram_used 0\n" LOAD
                        "hwmon/hwmon7/power1_input 15500000\n");
    assert_int_equal(load.busy_percent, 97);
    assert_true(load.vram_known && !load.gtt_known);
    assert_true(load.power_watts > 15.4 && load.power_watts < 15.6);
    load =
        load_of(LOAD "gpu_busy_percent 65535\n" LOAD "hwmon/hwmon7/power1_average 300000000\n" LOAD
                     "hwmon/hwmon7/power1_input 1\n");
    assert_int_equal(load.busy_percent, -1);
    assert_true(load.power_watts > 299 && load.power_watts < 301);
#undef LOAD
}

/* By DRM's files and by KFD's, the most first; other cards' memory and crumbs are not told. */
static void who_holds_memory_of_a_gpu_is_told(void **state)
{
#define PROCESS(pid, name) "file /proc/" pid "/comm " name "\n"
#define HOLDS(pid, file, pci, kib)                                                                 \
    "file /proc/" pid "/fdinfo/" file "\n    drm-driver:\tamdgpu\n    drm-pdev:\t" pci             \
    "\n    drm-memory-vram:\t" kib " KiB\n"
    static const char lines[] = "gfxbridge machine 1\n" PROCESS("12", "small") HOLDS(
        "12", "5", "0000:03:00.0", "1000") PROCESS("13", "other")
        HOLDS("13", "5", "0000:04:00.0", "8000000") PROCESS("14", "game") HOLDS(
            "14", "5", "0000:03:00.0", "300000") HOLDS("14", "6", "0000:03:00.0", "2097152")
            PROCESS("15", "py\x01thon3") "file /sys/class/kfd/kfd/topology/nodes/1/gpu_id 4711\n"
                                         "file /sys/class/kfd/kfd/proc/15/vram_4711 4294967296\n";
#undef HOLDS
#undef PROCESS
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    struct root *root = NULL;
    const struct machine_gpu gpu = {.pci = "0000:03:00.0", .kfd_node = 1};
    (void)state;
    if (root_new_text("lines", str_from(lines), &root, &err) < 0)
        fail_msg("%s", err.text);
    machine_gpu_holders(root, &gpu, &text);
    root_free(root);
    assert_string_equal(buf_text(&text), "py?thon3 (15) holds 4096 MiB, game (14) holds 2048 MiB");
}

/* ---- PCI addresses ---- */

static void addresses_survive_both_ways(void **state)
{
    static const char *const good[] = {"0000:03:00.0", "0001:ff:1f.7", "10000:00:02.0",
                                       "ffffffff:00:00.0"};
    static const char *const bad[] = {"",
                                      "0000:03:00",
                                      "0000:03:00.8",
                                      "0000:03:20.0",
                                      "000:03:00.0",
                                      "0000:3:00.0",
                                      "0000:03:00.0 ",
                                      "0000:03:00.0x",
                                      "x000:03:00.0",
                                      "0000:03:00.",
                                      "0000:0x:00.0",
                                      "virtio0"};
    char text[20];
    uint64_t place;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(machine_place_parse(str_from(good[i]), &place), 0);
        machine_place_text(place, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(machine_place_parse(str_from(bad[i]), &place), -EINVAL);
    assert_int_equal(machine_place_of_link("../../../0000:03:00.0"), 0x0300);
    assert_true(machine_place_of_link("../../../amdgpu_xcp.0") == MACHINE_NO_PLACE);
    machine_place_text(MACHINE_NO_PLACE, text);
    assert_string_equal(text, "");
}

/* ---- KFD properties ---- */

static void kfd_properties_are_read_and_damage_is_noticed(void **state)
{
    struct kfd_properties p;
    machine_parse_kfd(
        STR("cpu_cores_count 0\nsimd_count 192\ngfx_target_version 110000\nvendor_id 4098\n"
            "device_id 29772\nlocation_id 768\ndomain 0\ncwsr_size 1\n"
            "ctl_stack_size 2\nmax_engine_clk_ccompute 5083\n"),
        &p);
    assert_int_equal(p.simd_count, 192);
    assert_int_equal(p.gfx_target_version, 110000);
    assert_int_equal(p.device_id, 0x744c);
    assert_true(p.has_location && p.has_cwsr && p.is_whole);
    assert_false(p.is_damaged);
    machine_parse_kfd(STR("simd_count 80\ncwsr_size 1\n"), &p);
    assert_false(p.has_cwsr || p.is_whole || p.has_location || p.is_damaged);
    static const char *const damaged[] = {
        "simd_count\n",
        "simd_count 12x\n",
        "simd_count -1\n",
        "simd_count 1\nsimd_count 2\n",
        "vendor_id 65536\n",
        "simd count 1\n",
        "\001\002\n",
        "simd_count 99999999999999999999999\n",
        "location_id 4294967296\n",
    };
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        machine_parse_kfd(str_from(damaged[i]), &p);
        assert_true(p.is_damaged);
    }
    machine_parse_kfd(STR("vendor_id 65536\n"), &p);
    assert_int_equal(p.vendor_id, 0);
    machine_parse_kfd(STR_NONE, &p);
    assert_false(p.is_damaged);
}

static void a_long_kfd_file_without_an_address_is_damaged(void **state)
{
    struct kfd_properties p;
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    buf_add_text(&text, "simd_count 80\ncpu_cores_count 0\nvendor_id 4098\ndevice_id 29858\n");
    for (int i = 0; i < 12; i++)
        buf_addf(&text, "other_%d 0\n", i);
    machine_parse_kfd(buf_view(&text), &p);
    assert_true(p.is_damaged);
    buf_add_text(&text, "location_id 2560\n");
    machine_parse_kfd(buf_view(&text), &p);
    assert_false(p.is_damaged);
    buf_add_text(&text, "gfx_target_version 90402\n"); /* such kernels write the domain too */
    machine_parse_kfd(buf_view(&text), &p);
    assert_true(p.is_damaged);
}

/* ---- Vulkan manifests ---- */

static void manifests_give_the_path_and_nothing_else(void **state)
{
    char library[64], arch[16];
#define PARSE(text) machine_parse_manifest(STR(text), library, sizeof(library), arch, sizeof(arch))
    assert_int_equal(PARSE("{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": "
                           "\"/a/b.so\", \"api_version\": \"1.4\", \"library_arch\": \"64\"}}"),
                     0);
    assert_string_equal(library, "/a/b.so");
    assert_string_equal(arch, "64");
    assert_int_equal(PARSE("{\"ICD\":{\"x\":[{\"library_path\":\"no\"}],\"library_path\":"
                           "\"a\\\\b\\\"\\/c\"},\"layer\":{\"library_path\":\"no\"}}"),
                     0);
    assert_string_equal(library, "a\\b\"/c");
    assert_string_equal(arch, "");
    assert_int_equal(PARSE(""), -EINVAL);
    assert_int_equal(PARSE("{}"), -EINVAL);
    assert_int_equal(PARSE("{\"library_path\": \"top\"}"), -EINVAL);
    assert_int_equal(PARSE("{\"ICD\": {\"library_path\": \"a\"}"), -EINVAL);
    assert_int_equal(PARSE("{\"ICD\": {\"library_path\": \"a"), -EINVAL);
    assert_int_equal(PARSE("}{\"ICD\": {\"library_path\": \"a\"}}"), -EINVAL);
    assert_int_equal(PARSE("{\"ICD\": {\"library_path\": \"\\u0041\"}}"), -EINVAL);
    assert_int_equal(PARSE("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["), -EINVAL);
    assert_int_equal(PARSE("{\"ICD\": {\"library_path\": \"0123456789012345678901234567890123456789"
                           "0123456789012345678901234567890\"}}"),
                     -EINVAL);
}

static void a_driver_that_is_missing_or_foreign_is_told(void **state)
{
    struct machine *m = read_lines(
        "file /gfxbridge/arch x86_64\n"
        "dir /usr/share/vulkan/icd.d\n"
        "hex /usr/lib/libvulkan.so.1 7f454c46 01 0101 00000000000000000000 0300\n"
        "hex /usr/lib64/libvulkan.so.1 7f454c46 02 0101 000000000000000000 0300 3e00\n"
        "hex /usr/lib/libvulkan_old.so 7f454c46 01 0101 000000000000000000 0300 0300\n"
        "file /usr/share/vulkan/icd.d/old_icd.json {\"ICD\":{\"library_path\":"
        "\"/usr/lib/libvulkan_old.so\"}}\n"
        "file /usr/share/vulkan/icd.d/bare_icd.json {\"ICD\":{\"library_path\":\"libbare.so\"}}\n"
        "file /usr/share/vulkan/icd.d/near_icd.json {\"ICD\":{\"library_path\":\"./near.so\"}}\n"
        "file /usr/share/vulkan/icd.d/near.so\n"
        "file /usr/share/vulkan/icd.d/x_icd.aarch64.json {\"ICD\":{\"library_path\":\"x\"}}\n"
        "file /usr/share/vulkan/icd.d/y_icd.json {\"ICD\":{\"library_path\":\"y\","
        "\"library_arch\":\"32\"}}\n"
        "file /usr/share/vulkan/icd.d/README no manifest\n");
    assert_int_equal(m->vulkan.loader, TRI_YES);
    assert_int_equal(m->vulkan.known, TRI_YES);
    assert_int_equal(m->vulkan.n_drivers, 3);
    assert_string_equal(m->vulkan.driver[0].name, "bare");
    assert_int_equal(m->vulkan.driver[0].library_found, TRI_UNKNOWN);
    assert_string_equal(m->vulkan.driver[1].name, "near");
    assert_int_equal(m->vulkan.driver[1].library_found, TRI_YES);
    assert_string_equal(m->vulkan.driver[2].name, "old");
    assert_int_equal(m->vulkan.driver[2].library_found, TRI_NO); /* a 32-bit library */
    machine_free(m);
}

/* As linkers write it: behind the headers, sizes of owner and id, type 3, owner, id. */
#define NOTE(size, type)                                                                           \
    "04000000 " size " " type " 474e5500 00112233445566778899aabbccddeeff00112233"
#define DRIVER(note)                                                                               \
    "file /gfxbridge/arch x86_64\nhex /usr/lib/libd.so 7f454c46 02010100 0000000000000000 "        \
    "0300 3e00 " note                                                                              \
    "\nfile /usr/share/vulkan/icd.d/d_icd.json {\"ICD\":{\"library_path\":\"libd.so\"}}\n"

static void a_driver_has_its_build_id(void **state)
{
    static const struct {
        const char *text, *id;
    } cases[] = {
        {DRIVER(NOTE("14000000", "03000000")), "0011223344556677"},
        {DRIVER(NOTE("14000000", "01000000")), ""}, /* another note */
        {DRIVER(NOTE("ffffff7f", "03000000")), ""},
        {DRIVER("04000000 14000000 03000000 474e5500 001122"), ""}, /* cut off */
        {DRIVER(""), ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct machine *m = read_lines(cases[i].text);
        assert_int_equal(m->vulkan.n_drivers, 1);
        assert_int_equal(m->vulkan.driver[0].library_found, TRI_YES);
        assert_string_equal(m->vulkan.driver[0].build_id, cases[i].id);
        machine_free(m);
    }
}

static void nothing_recorded_is_unknown_not_no(void **state)
{
    struct machine *m = read_lines("");
    assert_int_equal(m->vulkan.loader, TRI_UNKNOWN);
    assert_int_equal(m->vulkan.known, TRI_UNKNOWN);
    assert_int_equal(m->kfd.present, TRI_UNKNOWN);
    assert_int_equal(m->kfd.openable, TRI_UNKNOWN);
    assert_int_equal(m->dxg.present, TRI_UNKNOWN);
    assert_int_equal(m->amdgpu_loaded, TRI_UNKNOWN);
    assert_int_equal(m->n_gpus, 0);
    assert_int_equal(m->host.memory_bytes, 0);
    assert_string_equal(m->host.kernel, "");
    assert_string_equal(m->host.os, "linux");
    assert_false(m->host.wsl);
    machine_free(m);
}

/* ---- devices ---- */

static void two_of_three_statements_decide_who_a_device_is(void **state)
{
    static const char uevent[] =
        "file /sys/bus/pci/devices/0000:03:00.0/uevent\n"
        "    DRIVER=amdgpu\n"
        "    PCI_CLASS=30000\n"
        "    PCI_ID=1002:744C\n"
        "    PCI_SLOT_NAME=0000:03:00.0\n"
        "    MODALIAS=pci:v00001002d0000744Csv00001EAEsd00007901bc03sc00i00"
        "\n";
    struct buf CLEAN_BUF lines = BUF_INIT(4096);
    buf_addf(&lines,
             "%sfile /sys/bus/pci/devices/0000:03:00.0/class 0x030000\n"
             "file /sys/bus/pci/devices/0000:03:00.0/vendor 0x1092\n"
             "file /sys/bus/pci/devices/0000:03:00.0/device 0x744d\n",
             uevent);
    struct machine *m = read_lines(buf_text(&lines));
    assert_int_equal(m->n_gpus, 1);
    assert_int_equal(m->gpu[0].vendor, 0x1002);
    assert_int_equal(m->gpu[0].device, 0x744c);
    assert_string_equal(m->gpu[0].driver, "amdgpu");
    machine_free(m);
}

static void classes_of_other_functions_are_no_gpus(void **state)
{
    assert_true(machine_class_is_gpu(0x030000, 0x10de));
    assert_true(machine_class_is_gpu(0x030200, 0x10de));
    assert_true(machine_class_is_gpu(0x038000, 0x1002));
    assert_true(machine_class_is_gpu(0x120000, 0x1002));
    assert_false(machine_class_is_gpu(0x120000, 0x8086)); /* NPU */
    assert_false(machine_class_is_gpu(0x120000, 0x10ee)); /* FPGA */
    assert_false(machine_class_is_gpu(0x030300, 0x1002));
    assert_false(machine_class_is_gpu(0x040300, 0x1002)); /* audio */
    assert_false(machine_class_is_gpu(0x038030, 0x1002));
    assert_false(machine_class_is_gpu(-1, 0x1002));
}

/* ---- host ---- */

/* A limit less what is used counts as free, but pages of files can be given back; where a figure
 * is missing, what the whole computer has free stands. */
static void what_a_cgroup_leaves_is_free(void **state)
{
    static const char info[] = "file /proc/meminfo\n    MemTotal: 32000000 kB\n"
                               "    MemAvailable: 30000000 kB\n";
    static const char v2[] = "file /proc/self/cgroup 0::/a.slice/b\n"
                             "file /sys/fs/cgroup/a.slice/memory.max 8000000000\n";
    static const char v1[] =
        "file /proc/self/cgroup 12:memory:/docker/abc\n"
        "file /sys/fs/cgroup/memory/memory.limit_in_bytes 8000000000\n"
        "file /sys/fs/cgroup/memory/memory.usage_in_bytes 7000000000\n"
        "file /sys/fs/cgroup/memory/memory.stat\n    inactive_file 1\n    active_file 2\n"
        "    total_inactive_file 1000000000\n    total_active_file 500000000\n";
    static const struct {
        const char *version, *use;
        uint64_t free;
    } rows[] = {
        {v2,
         "file /sys/fs/cgroup/a.slice/memory.current 7000000000\n"
         "file /sys/fs/cgroup/a.slice/memory.stat\n    anon 5500000000\n    file 1500000000\n"
         "    inactive_file 1000000000\n    active_file 500000000\n",
         2500000000},
        {v2,
         "file /sys/fs/cgroup/a.slice/memory.current 7000000000\n"
         "file /sys/fs/cgroup/a.slice/memory.stat\n    inactive_file 0\n    active_file 0\n"
         "file /sys/fs/cgroup/a.slice/b/memory.max 2000000000\n"
         "file /sys/fs/cgroup/a.slice/b/memory.current 1500000000\n"
         "file /sys/fs/cgroup/a.slice/b/memory.stat\n    inactive_file 0\n    active_file 0\n",
         500000000},
        {v2,
         "file /sys/fs/cgroup/a.slice/memory.current 9000000000\n"
         "file /sys/fs/cgroup/a.slice/memory.stat\n    inactive_file 0\n    active_file 0\n",
         1},
        {v2, "file /sys/fs/cgroup/a.slice/memory.stat\n    inactive_file 0\n    active_file 0\n",
         30720000000},
        {v2, "file /sys/fs/cgroup/a.slice/memory.current 7000000000\n", 30720000000},
        {v2,
         "file /sys/fs/cgroup/a.slice/memory.current 7000000000\n"
         "file /sys/fs/cgroup/a.slice/memory.stat inactive_file 10\n",
         30720000000},
        {v1, "", 2500000000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf CLEAN_BUF lines = BUF_INIT(8192);
        buf_addf(&lines, "%s%s%s", info, rows[i].version, rows[i].use);
        struct machine *m = read_lines(buf_text(&lines));
        assert_int_equal(m->host.memory_free_bytes, rows[i].free);
        assert_int_equal(m->host.cgroup_limit_bytes, i == 1 ? 2000000000 : 8000000000);
        machine_free(m);
    }
}

static void the_smallest_cgroup_limit_counts(void **state)
{
    struct machine *m = read_lines("file /proc/self/cgroup\n"
                                   "    0::/user.slice/app.slice\n"
                                   "file /proc/meminfo MemTotal: 32000000 kB\n"
                                   "file /sys/fs/cgroup/user.slice/app.slice/memory.max max\n"
                                   "file /sys/fs/cgroup/user.slice/memory.max 8589934592\n"
                                   "file /sys/fs/cgroup/memory.max 17179869184\n");
    assert_true(m->host.cgroup_limit_bytes == UINT64_C(8589934592));
    machine_free(m);
    m = read_lines("file /proc/self/cgroup\n"
                   "    12:memory,hugetlb:/docker/abc\n"
                   "    0::/\n"
                   "file /sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes 4294967296\n"
                   "file /sys/fs/cgroup/memory/memory.limit_in_bytes 9223372036854771712\n");
    assert_true(m->host.cgroup_limit_bytes == UINT64_C(4294967296));
    assert_string_equal(m->host.container, "docker");
    machine_free(m);
    m = read_lines("file /proc/self/cgroup 0::/\nfile /proc/meminfo MemTotal: 1000 kB\n"
                   "file /sys/fs/cgroup/memory.max 17179869184\n");
    assert_int_equal(m->host.cgroup_limit_bytes, 0); /* more than there is: no limit */
    machine_free(m);
}

static void containers_are_told_by_what_they_leave(void **state)
{
    static const struct {
        const char *lines, *name;
    } cases[] = {
        {"file /.dockerenv\n", "docker"},
        {"file /run/.containerenv\nfile /.dockerenv\n", "podman"},
        {"file /run/.toolboxenv\nfile /run/.containerenv\n", "toolbox"},
        {"file /.flatpak-info\n", "flatpak"},
        {"file /run/systemd/container lxc\n", "lxc"},
        {"file /proc/self/cgroup 0::/kubepods.slice/x\n", "kubernetes"},
        {"file /proc/self/cgroup 1:name=systemd:/lxc/100\n", "lxc"},
        {"hex /proc/1/environ 413d3100 636f6e7461696e65723d6c7863 00\n", "lxc"},
        {"file /gfxbridge/container snap\nfile /.dockerenv\n", "snap"},
        {"file /proc/self/cgroup 0::/user.slice\n", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct machine *m = read_lines(cases[i].lines);
        assert_string_equal(m->host.container, cases[i].name);
        machine_free(m);
    }
}

static void the_c_library_of_a_copy_is_read_from_its_banner(void **state)
{
    struct machine *m = read_lines("file /lib64/libc.so.6 xx GNU C Library (Debian GLIBC "
                                   "2.41-12) stable release version 2.41. Copyright\n"
                                   "file /lib64/ld-linux-x86-64.so.2\n");
    assert_string_equal(m->host.glibc, "2.41");
    assert_string_equal(m->host.arch, "x86_64");
    machine_free(m);
}

/* ---- memory ---- */

static void memory_is_bounded_by_what_is_there(void **state)
{
    const uint64_t gib = (uint64_t)1 << 30;
    struct machine m = {.host = {.memory_bytes = 0}};
    struct machine_gpu gpu = {.kind = GFX_DISCRETE, .vram_bytes = 24 * gib, .gtt_bytes = 16 * gib};
    assert_true(machine_gpu_memory(&m, &gpu) == 24 * gib);
    assert_true(machine_gpu_memory_free(&m, &gpu) == 24 * gib);
    gpu.vram_used_bytes = 20 * gib;
    assert_true(machine_gpu_memory_free(&m, &gpu) == 4 * gib);
    gpu.vram_used_bytes = 24 * gib;
    assert_true(machine_gpu_memory_free(&m, &gpu) == 1); /* known: not 0 */
    gpu.vram_used_bytes = 0;
    gpu.kind = GFX_INTEGRATED;
    gpu.vram_bytes = gib;
    assert_true(machine_gpu_memory(&m, &gpu) == 17 * gib);
    m.host.ttm_limit_bytes = 12 * gib;
    assert_true(machine_gpu_memory(&m, &gpu) == 13 * gib);
    m.host.memory_free_bytes = 8 * gib;
    assert_true(machine_gpu_memory(&m, &gpu) == 13 * gib);
    assert_true(machine_gpu_memory_free(&m, &gpu) == 9 * gib);
    m.host.cgroup_limit_bytes = 4 * gib;
    assert_true(machine_gpu_memory(&m, &gpu) == 5 * gib);
    gpu.gtt_bytes = 0;
    assert_int_equal(machine_gpu_memory(&m, &gpu), 0); /* unknown, not the carve-out alone */
    gpu.kind = GFX_KIND_UNKNOWN;
    assert_int_equal(machine_gpu_memory(&m, &gpu), 0);
    assert_null(machine_kind_name(GFX_KIND_UNKNOWN));
    assert_string_equal(machine_kind_name(GFX_ACCELERATOR), "accelerator");
}

/* ---- captures ---- */

static void a_capture_holds_nothing_personal(void **state)
{
    static const char lines[] =
        "file /etc/hostname secrethost\n"
        "file /proc/self/cgroup 0::/user.slice/user-1000.slice/secretservice\n"
        "file /sys/fs/cgroup/user.slice/memory.max 1000000000\n"
        "file /proc/cpuinfo\n"
        "    model name : AMD Ryzen\n"
        "    Serial : secretserial\n"
        "file /etc/group\n"
        "    root:x:0:\n"
        "    render:x:992:secretuser\n"
        "    video:x:44:secretuser\n"
        "    cdrom:x:24:secretuser\n"
        "char /dev/dri/renderD128 0660 0 44 open=EACCES\n"
        "char /dev/kfd 0660 0 992 open=ok\n"
        "file /etc/os-release\n"
        "    ID=debian\n"
        "    HOME_URL=\"https://secret\"\n"
        "file /run/.containerenv name=\"secretbox\"\n"
        "dir /usr/share/vulkan/icd.d\n"
        "file /usr/share/vulkan/icd.d/radeon_icd.json {\"ICD\":{\"library_path\":"
        "\"/home/secretuser/mesa/libvulkan_radeon.so\"}}\n"
        "file /home/secretuser/mesa/libvulkan_radeon.so\n"
        "file /sys/bus/pci/devices/0000:03:00.0/class 0x030000\n"
        "file /sys/bus/pci/devices/0000:03:00.0/vendor 0x1002\n"
        "file /sys/bus/pci/devices/0000:03:00.0/device 0x744c\n"
        "file /sys/bus/pci/devices/0000:03:00.0/unique_id secretunique\n"
        "file /sys/bus/pci/devices/0000:03:00.0/serial_number secretserial\n"
        "file /sys/bus/pci/devices/0000:05:00.0/class 0x020000\n"
        "file /sys/bus/pci/devices/0000:05:00.0/net/eth0/address secret:mac\n"
        "file /sys/class/kfd/kfd/topology/nodes/1/gpu_id 4711\n"
        "file /sys/class/kfd/kfd/topology/nodes/1/properties\n"
        "    simd_count 192\n"
        "    vendor_id 4098\n"
        "    device_id 29772\n"
        "    location_id 768\n"
        "    hive_id 770077\n"
        "    unique_id 770077\n";
    struct buf CLEAN_BUF text = BUF_INIT(1 << 16), capture = BUF_INIT(1 << 16);
    struct gfxb_error err = {0};
    struct root *root = NULL;
    buf_addf(&text, "gfxbridge machine 1\n%s", lines);
    assert_int_equal(root_new_text("lines", buf_view(&text), &root, &err), 0);
    assert_int_equal(machine_capture(root, &capture, &err), 0);
    root_free(root);
    assert_null(strstr(buf_text(&capture), "secret"));
    assert_null(strstr(buf_text(&capture), "770077"));
    assert_null(strstr(buf_text(&capture), "user.slice"));
    assert_null(strstr(buf_text(&capture), "0000:05:00.0"));
    assert_non_null(strstr(buf_text(&capture), "render:x:992:"));
    assert_non_null(strstr(buf_text(&capture), "video:x:44:"));
    assert_null(strstr(buf_text(&capture), "cdrom"));
    assert_non_null(strstr(buf_text(&capture), "location_id 768"));
    assert_non_null(strstr(buf_text(&capture), "/home/user/mesa/libvulkan_radeon.so"));
    assert_non_null(strstr(buf_text(&capture), "file /gfxbridge/container podman"));
}

static void describe(const struct root *root, struct buf *text)
{
    struct machine *m = NULL;
    struct gfxb_error err = {0};
    if (machine_new(root, tables, &m, &err) < 0)
        fail_msg("%s", err.text);
    m->live = false;
    m->host.memory_free_bytes = 0; /* the only thing that changes while we look */
    text_machine(text, m);
    machine_free(m);
}

static void assert_round_trip(const char *path)
{
    struct buf CLEAN_BUF before = BUF_INIT(1 << 20), after = BUF_INIT(1 << 20);
    struct buf CLEAN_BUF capture = BUF_INIT(1 << 24);
    struct gfxb_error err = {0};
    struct root *root = NULL, *copy = NULL;
    if (root_new(path, &root, &err) < 0 || machine_capture(root, &capture, &err) < 0 ||
        root_new_text(path, buf_view(&capture), &copy, &err) < 0)
        fail_msg("%s", err.text);
    describe(root, &before);
    describe(copy, &after);
    root_free(copy);
    root_free(root);
    if (strcmp(buf_text(&before), buf_text(&after)) != 0)
        fail_msg("%s:\n%s\nis captured as\n%s", path, buf_text(&before), buf_text(&after));
}

static void this_computer_is_captured_as_it_is(void **state)
{
    assert_round_trip("/");
}

/* Of a folder that holds one DRM card nobody knows what else DRM had, before and after. */
static void a_part_is_captured_as_a_part(void **state)
{
    static const char ids[] = "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:7480\n"
                              "PCI_SLOT_NAME=0000:03:00.0\n";
    char top[] = "/tmp/gfxbridge-part-XXXXXX", path[128];
    struct gfxb_error err = {0};
    assert_non_null(mkdtemp(top));
    snprintf(path, sizeof(path), "%s/sys/class/drm/card1/device", top);
    assert_int_equal(fs_make_dirs(path, 0755, &err), 0);
    snprintf(path, sizeof(path), "%s/sys/class/drm/card1/device/uevent", top);
    assert_int_equal(fs_write(path, ids, sizeof(ids) - 1, 0644, &err), 0);
    assert_round_trip(top);
    assert_int_equal(fs_remove_tree(top), 0);
}

/* Dumps of real machines lie beside the project or nowhere. */
static void dumps_are_captured_as_they_are(void **state)
{
    char folder[512], path[1024];
    const char *source = getenv("GFXB_TEST_SOURCE");
    snprintf(folder, sizeof(folder), "%s/../shared/fixtures", source ? source : ".");
    DIR *dir = opendir(folder);
    if (!dir)
        skip();
    size_t n = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s/sys", folder, entry->d_name);
        if (entry->d_name[0] == '.' || access(path, R_OK) < 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        assert_round_trip(path);
        n++;
    }
    closedir(dir);
    assert_true(n >= 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_survive_both_ways),
        cmocka_unit_test(kfd_properties_are_read_and_damage_is_noticed),
        cmocka_unit_test(a_long_kfd_file_without_an_address_is_damaged),
        cmocka_unit_test(manifests_give_the_path_and_nothing_else),
        cmocka_unit_test(a_driver_that_is_missing_or_foreign_is_told),
        cmocka_unit_test(a_driver_has_its_build_id),
        cmocka_unit_test(nothing_recorded_is_unknown_not_no),
        cmocka_unit_test(two_of_three_statements_decide_who_a_device_is),
        cmocka_unit_test(classes_of_other_functions_are_no_gpus),
        cmocka_unit_test(what_a_cgroup_leaves_is_free),
        cmocka_unit_test(the_smallest_cgroup_limit_counts),
        cmocka_unit_test(containers_are_told_by_what_they_leave),
        cmocka_unit_test(the_c_library_of_a_copy_is_read_from_its_banner),
        cmocka_unit_test(memory_is_bounded_by_what_is_there),
        cmocka_unit_test(a_capture_holds_nothing_personal),
        cmocka_unit_test(this_computer_is_captured_as_it_is),
        cmocka_unit_test(a_part_is_captured_as_a_part),
        cmocka_unit_test(dumps_are_captured_as_they_are),
        cmocka_unit_test(what_a_driver_does_not_tell_is_unknown),
        cmocka_unit_test(who_holds_memory_of_a_gpu_is_told),
    };
    return cmocka_run_group_tests_name("machine", tests, setup, teardown);
}
