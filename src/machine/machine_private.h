/*
 * machine_private.h - what the sources of evidence share while a struct machine is put together.
 *
 * Order: PCI, DRM, KFD, then identity and access rights. A place (the PCI address as a number)
 * comes from the name of a directory or the text of a link wherever there is one; an address that
 * stands only in the contents of a file is believed when nothing contradicts it. That is why a
 * damaged file can take a GPU away, but adds none.
 */
#ifndef MACHINE_MACHINE_PRIVATE_H
#define MACHINE_MACHINE_PRIVATE_H

#include "machine/machine.h"

#define MACHINE_AMD      0x1002
#define MACHINE_NO_PLACE UINT64_MAX
#define MACHINE_PATH_MAX 512
#define MACHINE_GPUS_MAX 1024
#define MACHINE_FACTS    "/gfxbridge" /* in a capture: facts that no file holds */

/* A GPU being put together. */
struct machine_found {
    struct machine_gpu gpu;
    uint64_t place;          /* PCI address as a number; MACHINE_NO_PLACE */
    uint64_t kfd_vram_bytes; /* KFD memory banks, all partitions */
    bool kfd_has_cpu;        /* its KFD node has CPU cores too: an APU of an old kernel */
    bool has_board_info;     /* amdgpu offers board_info on discrete cards only */
    char gc[24];             /* GC IP version, "11.0.0"; "" unknown */
};

struct machine_scan {
    const struct root *root;
    const struct gfx_tables *tables;
    struct machine *m;
    struct root_names pci_names; /* of all PCI functions */
    bool kfd_is_joint;           /* a KFD node has CPU cores and compute units: an old kernel */
    struct machine_found *found;
    size_t n, capacity;
};

/* place.c: PCI addresses. */
int machine_place_parse(struct str text, uint64_t *ret_place);
void machine_place_text(uint64_t place, char ret_text[static 20]);
uint64_t machine_place_make(uint64_t domain, unsigned bus, unsigned device_function);
/* The place in the last component of a link's text; MACHINE_NO_PLACE when it is no PCI address. */
uint64_t machine_place_of_link(const char *target);

/* found.c: the list of GPUs being put together. */
struct machine_found *machine_found_at(struct machine_scan *s, uint64_t place);
/* A new one, all unknown; NULL when out of memory or too many. */
struct machine_found *machine_found_add(struct machine_scan *s, uint64_t place);
/* Why not: -ENOMEM; 0 when there are too many, which a note of the machine then says. */
int machine_found_failure(struct machine_scan *s);
bool machine_pci_has_name(const struct machine_scan *s, uint64_t place);
void machine_gpu_note(struct machine_gpu *gpu, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void machine_note(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* sysfs.c: small files whose path is made from a format. 0 or -errno. */
int machine_read_line(const struct root *root, char *ret_line, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int machine_read_number(const struct root *root, uint64_t *ret_value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool machine_has_path(const struct root *root, const char *path);
/* Present (kind of node not looked at), absent for certain, or unknown. */
enum tri machine_path_state(const struct root *root, const char *path);

/* device.c: the identity of a device directory, from files that must agree. */
struct machine_device {
    int vendor, device, revision; /* -1 unknown */
    int class;                    /* as the `class` file says; -1 unknown */
    unsigned class_votes;         /* how many sources call it a GPU ... */
    unsigned class_sources;       /* ... of how many that say anything */
    bool has_uevent;
    char driver[32]; /* "" none; "?" unknown */
    uint64_t slot;   /* place in uevent's PCI_SLOT_NAME; MACHINE_NO_PLACE */
};
bool machine_class_is_gpu(int class, int vendor);
void machine_read_device(const struct root *root, const char *dir, struct machine_device *ret);
/* Put what a device directory says into a GPU where it knows nothing yet. */
void machine_found_take(struct machine_found *f, const struct machine_device *device);

/* One KFD topology node's properties file; a longer one is damaged. */
#define KFD_PROPERTIES_MAX (64 << 10)
struct kfd_properties {
    uint64_t simd_count, cpu_cores_count, gfx_target_version, vendor_id, device_id, location_id,
        domain, drm_render_minor, fw_version, sdma_fw_version, local_mem_size, mem_banks_count;
    bool has_location;
    bool has_cwsr;   /* both sizes of the register-save area */
    bool is_whole;   /* the line that ends every kernel's file is there */
    bool is_damaged; /* holds what no kernel writes */
};
void machine_parse_kfd(struct str text, struct kfd_properties *ret);

/* vulkan_manifest.c: library_path and library_arch of an ICD manifest, bounded. 0 or -EINVAL. */
int machine_parse_manifest(struct str json, char *ret_library, size_t size, char *ret_arch,
                           size_t arch_size);

/* The sources. 0, or -ENOMEM. */
int machine_read_pci(struct machine_scan *s);
int machine_read_drm(struct machine_scan *s);
int machine_read_kfd(struct machine_scan *s);
int machine_read_vulkan(const struct root *root, struct machine *m);
void machine_read_host(const struct root *root, struct machine *m);
void machine_read_memory(const struct root *root, struct machine *m);
void machine_read_container(const struct root *root, struct machine *m);
void machine_read_nodes(const struct root *root, struct machine *m);
void machine_read_virtual(const struct root *root, struct machine *m); /* after the host */
void machine_read_boot(const struct root *root, struct machine *m);

/* identity.c: card, target, kind, memory and notes of a GPU whose evidence is complete. */
void machine_identify(const struct machine_scan *s, struct machine_found *f);
/* device_nodes.c */
void machine_read_render_node(const struct root *root, struct machine_gpu *gpu);

/* vulkan.c: a library present and of this computer's architecture? A 32-bit one serves 32-bit
 * programs only. */
enum tri machine_library_state(const struct root *root, const char *arch, const char *path);

/* The GNU build id's beginning in hex; "" where the file is no ELF file or has none. Reads its
 * first page. */
void machine_read_build_id(const struct root *root, const char *path,
                           char ret_id[static MACHINE_BUILD_ID_MAX]);

/* "23.2.1-1ubuntu3" out of "Mesa 23.2.1-1ubuntu3" in a driver's file; "" where it is no driver of
 * Mesa's. Reads up to all of it. */
void machine_read_mesa(const struct root *root, const char *path,
                       char ret_version[static MACHINE_MESA_MAX]);

/* Tables that the capture shares with the readers: NULL-terminated. */
extern const char *const machine_library_dirs[];
extern const char *const machine_manifest_dirs[];
extern const char *const machine_firmware_files[];

/* capture.c: what is written, one entry a path; capture_host.c adds what is not a plain copy. */
struct machine_capture_entry {
    char *path;
    char *text; /* its lines in the .machine format */
};
struct machine_capture {
    const struct root *root;
    struct machine_capture_entry *entry;
    size_t n, capacity;
    bool failed; /* out of memory */
};
/* The name of a group of this root, or nothing. */
void machine_read_group(const struct root *root, unsigned gid, char ret_name[static 32]);
/* Add what `line` holds for path and empty it. */
void machine_capture_add(struct machine_capture *c, const char *path, struct buf *line);
void machine_capture_add_fact(struct machine_capture *c, const char *path, const char *text);
/* Present: an empty file; known to be absent: that; unknown: nothing. */
void machine_capture_mark(struct machine_capture *c, const char *path, enum tri state);
void machine_capture_host(struct machine_capture *c);
void machine_capture_boot(struct machine_capture *c);
void machine_capture_vulkan(struct machine_capture *c, const char *arch);

#endif
