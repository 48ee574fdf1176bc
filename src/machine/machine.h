/*
 * machine.h - the outward header of machine/: a root directory -> struct machine, a plain value.
 *
 * Sources of evidence, each in one file: KFD topology, DRM, PCI, Vulkan manifests, host. GPUs are
 * keyed by PCI address. Unknown is explicit: 0 bytes, -1 numbers, TRI_UNKNOWN, empty strings.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "base/base.h"
#include "gfx/gfx.h"
#include "sysroot/sysroot.h"

enum tri { TRI_UNKNOWN = -1, TRI_NO = 0, TRI_YES = 1 };

enum machine_source { MACHINE_KFD = 1, MACHINE_DRM = 2, MACHINE_PCI = 4 };

#define MACHINE_NOTES_MAX 8

/* One GPU of any vendor: a physical PCI function, or a KFD node whose address is unknown. A card in
 * partitioned mode (CPX) is one GPU with several KFD nodes. */
struct machine_gpu {
    char pci[20];                    /* "0000:03:00.0", "10000:00:02.0"; "" unknown */
    uint16_t vendor;                 /* 0x1002; 0 unknown */
    int device;                      /* -1 unknown */
    int revision;                    /* -1 unknown */
    const struct gfx_card *card;     /* lent by the tables; NULL unknown */
    const struct gfx_target *target; /* NULL: not AMD, no LLVM target, or unknown */
    enum gfx_kind kind;
    char driver[32];                          /* bound kernel driver; "" none; "?" unknown */
    uint64_t vram_bytes;                      /* carve-out on an APU; 0 unknown */
    uint64_t visible_vram_bytes;              /* that the CPU reaches; 0 unknown */
    uint64_t gtt_bytes;                       /* 0 unknown */
    uint64_t vram_used_bytes, gtt_used_bytes; /* 0 unknown or none */
    int render_minor;                         /* 128 for /dev/dri/renderD128; -1 none or unknown */
    bool no_render;                           /* it certainly has no render node */
    enum tri render_openable;
    int render_errno;      /* why not; 0 */
    unsigned render_mode;  /* permission bits of a node that may not be opened */
    unsigned render_gid;   /* of a node that may not be opened; 0 unknown */
    char render_group[32]; /* name of that in this root's /etc/group; "" none */
    int kfd_node;          /* first KFD node; -1 none */
    int kfd_ordinal;       /* 0-based place among KFD's GPU nodes: ROCR_VISIBLE_DEVICES; -1 */
    unsigned partitions;   /* KFD nodes of this card; 1 normally, 0 without KFD */
    unsigned simd_count;   /* compute units x SIMDs of all partitions; 0 unknown */
    enum tri kfd_cwsr;     /* cwsr_size and ctl_stack_size are in its KFD properties */
    uint32_t kfd_version;  /* gfx_target_version as reported; 0 none */
    uint32_t mec_firmware, mes_firmware, sdma_firmware; /* 0 unknown */
    unsigned sources;                                   /* enum machine_source bits */
    char *note[MACHINE_NOTES_MAX]; /* owned; disagreements and oddities, one sentence each */
    unsigned n_notes;
};

#define MACHINE_BUILD_ID_MAX 17
#define MACHINE_MESA_MAX     40

struct machine_vulkan_driver {
    char name[64]; /* "radeon", "lvp", "amdvlk": from the manifest's file name */
    char *icd;     /* owned: path of the manifest */
    char *library; /* owned: library_path of the manifest as written; NULL unknown */
    /* Beginning of the library file's build id: another one with every update. "" unknown. */
    char build_id[MACHINE_BUILD_ID_MAX];
    char mesa[MACHINE_MESA_MAX]; /* "23.2.1-1ubuntu3", of Mesa's drivers; "" unknown */
    bool mesa_of_release;        /* that is the newest its distribution has, not read in the file */
    bool software;               /* lavapipe, SwiftShader */
    bool amd;                    /* drives AMD GPUs (RADV, AMDVLK, the proprietary one) */
    enum tri library_found;
};

struct machine_node { /* a device node: /dev/kfd, /dev/dxg */
    enum tri present;
    enum tri openable;
    int open_errno; /* why not; 0 */
    unsigned mode, uid, gid;
    char group[32]; /* name of gid in this root's /etc/group; "" none */
};

struct machine {
    bool live;
    struct {
        char os[16];           /* "linux" */
        char kernel[96];       /* release; "" unknown */
        char distribution[64]; /* PRETTY_NAME; "" */
        char distro_id[32];    /* ID: "debian" */
        char distro_like[64];  /* ID_LIKE */
        char distro_codename[32];
        char distro_version[24]; /* VERSION_ID: "22.04" */
        bool no_apt;    /* described or captured on a distribution without it. Live: ask package/ */
        char glibc[16]; /* "2.36"; "" unknown */
        char cpu[96];
        unsigned cpus;                            /* 0 unknown */
        char arch[16];                            /* "x86_64" */
        uint64_t memory_bytes, memory_free_bytes; /* MemTotal, and as machine_memory; 0 unknown */
        uint64_t cgroup_limit_bytes;              /* 0 none or unknown */
        uint64_t ttm_limit_bytes;                 /* ttm.pages_limit; 0 unknown */
        char container[24]; /* "docker", "podman", "lxc", "snap", "flatpak" ...; "" none */
        char vm[24];        /* "KVM", "Docker Desktop" ...: a virtual machine; "" none or unknown */
        char boot[24];      /* who gives the kernel its command line: a row of data/boot.tsv; "" */
        bool wsl;
        char amdgpu_version[64]; /* /sys/module/amdgpu/version (DKMS); "" in-tree or unknown */
        char override_gfx[64];   /* the user's HSA_OVERRIDE_GFX_VERSION */
        bool override_set;       /* it is defined, be it empty */
    } host;
    struct machine_node kfd, dxg;
    bool kfd_listed;        /* all of KFD's nodes are known: a GPU without one has none */
    enum tri amdgpu_loaded; /* /sys/module/amdgpu */
    struct {
        enum tri loader; /* libvulkan.so.1 found */
        enum tri known;  /* were manifest directories recorded at all? */
        struct machine_vulkan_driver *driver;
        size_t n_drivers;
    } vulkan;
    struct machine_gpu *gpu; /* by PCI address, then KFD node; those without an address last */
    size_t n_gpus;
    char *note[MACHINE_NOTES_MAX]; /* owned: what belongs to no GPU (an unreadable KFD node) */
    unsigned n_notes;
};

/* Read everything below root. The machine lends pointers from tables: free it first. Missing and
 * malformed files are normal and never an error; only memory and the root itself can fail. */
int machine_new(const struct root *root, const struct gfx_tables *tables,
                struct machine **ret_machine, struct gfxb_error *err);
void machine_free(struct machine *m);

/* Write what machine_new reads from root as one .machine text: an allow-list of paths; serial
 * numbers, unique ids, host names, MAC addresses and names of users are never among them. Facts
 * that no file holds (glibc, the container, the cgroup's limit) are put below /gfxbridge. */
int machine_capture(const struct root *root, struct buf *ret, struct gfxb_error *err);

/* Of an APU: what the kernel lends it of the computer's memory (GTT, bounded by TTM's and the
 * cgroup's limits), and the part of its carve-out that the CPU reaches. 0 unknown. */
uint64_t machine_gpu_lent(const struct machine *m, const struct machine_gpu *gpu);
uint64_t machine_gpu_visible(const struct machine_gpu *gpu);

/* The most GPU memory that any engine may use for a model on this GPU: VRAM of a discrete card; the
 * two above together on an APU, of which plan/ knows what each backend takes. 0 unknown. */
uint64_t machine_gpu_memory(const struct machine *m, const struct machine_gpu *gpu);

/* The part of it that no program used when the machine was read, 1 byte at least; all of it where
 * that is not known; 0 unknown. */
uint64_t machine_gpu_memory_free(const struct machine *m, const struct machine_gpu *gpu);

/* The processes that hold most of its memory now, as far as this user may see them, appended to
 * *ret: "python3 (4242) holds 3900 MiB, firefox (812) holds 310 MiB". Nothing: none is seen. */
void machine_gpu_holders(const struct root *root, const struct machine_gpu *gpu, struct buf *ret);

/* What a GPU does at this moment. */
struct machine_load {
    int busy_percent;                         /* 0 to 100; -1 unknown */
    bool vram_known, gtt_known;               /* do the next two mean anything? */
    uint64_t vram_used_bytes, gtt_used_bytes; /* by all programs */
    double power_watts; /* of the whole card, or of an APU's package; -1 unknown */
};

/* Reads a few small files; what the driver does not tell is unknown. */
void machine_gpu_load(const struct root *root, const struct machine_gpu *gpu,
                      struct machine_load *ret_load);

/* This computer's MemTotal, and its MemAvailable or what our cgroups leave of it (a limit less what
 * is used, but for pages of files); untouched where unknown. */
void machine_memory(const struct root *root, uint64_t *ret_total, uint64_t *ret_free);

const char *machine_kind_name(enum gfx_kind kind); /* "discrete" ...; NULL for unknown */

/* The rows of data/boot.tsv and data/virtual.tsv, for the remedies made of them. */
enum { BOOT_ID, BOOT_MARKS, BOOT_LOADER, BOOT_ADD, BOOT_REMOVE, BOOT_INSTALL };
enum { VIRTUAL_WHERE, VIRTUAL_TEXT, VIRTUAL_NAME, VIRTUAL_GPU };
void machine_boot_open(struct table *t);
void machine_virtual_open(struct table *t);
void machine_releases_open(struct table *t);

#endif
