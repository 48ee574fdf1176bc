/*
 * gfxbridge.h - what should run on this computer's GPUs, and why.
 *
 * The core of gfxbridge as a library: captured or live machine -> GPUs with their gfx targets ->
 * ranked backend choices, each with a reason code and one sentence. It needs libc alone, starts no
 * process, loads no driver and uses no network.
 *
 * Life:     x_new makes an object that the caller owns; x_free releases it and accepts NULL.
 *           Objects are read-only once made: several threads may read one object at a time.
 * Errors:   functions that can fail return 0 or a negative number: -errno below 1024, or a
 *           negated GFXB_E_ code. They fill *err where it is not NULL. Outputs are untouched on
 *           failure.
 * Strings:  every const char * that a getter returns is lent: valid as long as its object. NULL
 *           stands for "unknown" where the comment says so.
 */
#ifndef GFXBRIDGE_H
#define GFXBRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GFXB_API __attribute__((visibility("default")))
#else
#define GFXB_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Reason codes: X(identifier, number, name). The names are stable: scripts may match them.
 * docs/reasons.md says what each means for a user and how it is remedied.
 */
#define GFXB_CODE_MAP(X)                                                                           \
    X(OK, 0, "ok")                                                                                 \
    X(GFX_UNKNOWN, 1024, "gfx-unknown")                                                            \
    X(GFX_NOT_IN_PACKAGE, 1025, "gfx-not-in-package")                                              \
    X(NO_PACKAGE, 1026, "no-package")                                                              \
    X(PACKAGE_UNAVAILABLE, 1027, "package-unavailable")                                            \
    X(DIGEST_MISMATCH, 1028, "digest-mismatch")                                                    \
    X(DIGEST_MISSING, 1029, "digest-missing")                                                      \
    X(ARCHIVE_UNSAFE, 1030, "archive-unsafe")                                                      \
    X(DISK_FULL, 1031, "disk-full")                                                                \
    X(OFFLINE, 1032, "offline")                                                                    \
    X(GLIBC_TOO_OLD, 1033, "glibc-too-old")                                                        \
    X(LIBRARY_MISSING, 1034, "library-missing")                                                    \
    X(KFD_MISSING, 1035, "kfd-missing")                                                            \
    X(KFD_PERMISSION, 1036, "kfd-permission")                                                      \
    X(RENDER_PERMISSION, 1037, "render-permission")                                                \
    X(DRIVER_MISSING, 1038, "driver-missing")                                                      \
    X(DRIVER_NOT_AMDGPU, 1039, "driver-not-amdgpu")                                                \
    X(KERNEL_QUIRK, 1040, "kernel-quirk")                                                          \
    X(FIRMWARE_QUIRK, 1041, "firmware-quirk")                                                      \
    X(BLAS_KERNELS_MISSING, 1042, "blas-kernels-missing")                                          \
    X(VULKAN_LOADER_MISSING, 1043, "vulkan-loader-missing")                                        \
    X(VULKAN_DRIVER_MISSING, 1044, "vulkan-driver-missing")                                        \
    X(VULKAN_SOFTWARE_ONLY, 1045, "vulkan-software-only")                                          \
    X(MEMORY_TOO_SMALL, 1046, "memory-too-small")                                                  \
    X(DEVICE_NOT_LISTED, 1047, "device-not-listed")                                                \
    X(ENGINE_CRASH, 1048, "engine-crash")                                                          \
    X(ENGINE_HANG, 1049, "engine-hang")                                                            \
    X(ENGINE_EXIT, 1050, "engine-exit")                                                            \
    X(CANARY_MISMATCH, 1051, "canary-mismatch")                                                    \
    X(NOT_ON_DEVICE, 1052, "not-on-device")                                                        \
    X(TOO_SLOW, 1053, "too-slow")                                                                  \
    X(FAILED_BEFORE, 1054, "failed-before")                                                        \
    X(POLICY, 1055, "policy")                                                                      \
    X(NOT_AMD, 1056, "not-amd")                                                                    \
    X(NO_GPU, 1057, "no-gpu")                                                                      \
    X(TABLE, 1058, "table")                                                                        \
    X(USAGE, 1059, "usage")                                                                        \
    X(INTERRUPTED, 1060, "interrupted")                                                            \
    X(REQUEST_POISON, 1061, "request-poison")                                                      \
    X(RATE_LIMITED, 1062, "rate-limited")                                                          \
    X(MODEL_MISMATCH, 1063, "model-mismatch")                                                      \
    X(MODEL_DAMAGED, 1070, "model-damaged")                                                        \
    X(MODEL_UNUSABLE, 1071, "model-unusable")                                                      \
    X(MODEL_UNKNOWN, 1072, "model-unknown")                                                        \
    X(MODEL_GATED, 1073, "model-gated")                                                            \
    X(MODEL_UNAVAILABLE, 1074, "model-unavailable")                                                \
    X(NODE_UNREACHABLE, 1080, "node-unreachable")                                                  \
    X(NODE_IDENTITY, 1081, "node-identity")                                                        \
    X(NODE_VERSION, 1082, "node-version")                                                          \
    X(NODE_BUSY, 1083, "node-busy")                                                                \
    X(NODE_UNPROVEN, 1084, "node-unproven")                                                        \
    X(NODE_LOST, 1085, "node-lost")

enum gfxb_code {
#define GFXB_CODE_ENUM(id, number, name) GFXB_E_##id = (number),
    GFXB_CODE_MAP(GFXB_CODE_ENUM)
#undef GFXB_CODE_ENUM
};

/* One failure: code as a positive number (errno or GFXB_E_), text one sentence for a person. */
struct gfxb_error {
    int code;
    char text[800];
};

/* The stable name of a GFXB_E_ code, "io-error" for an errno value. Never NULL. */
GFXB_API const char *gfxb_code_name(int code);

/* "0.1.0" */
GFXB_API const char *gfxb_version(void);

/* ---- tables: what is known about cards, targets, packages and quirks ---- */

struct gfxb_tables;

/*
 * The tables that the library was built with, each replaced by override_dir/NAME.tsv where that
 * file exists (override_dir NULL: none). A bad row is -GFXB_E_TABLE with file, line and column.
 */
GFXB_API int gfxb_tables_new(const char *override_dir, struct gfxb_tables **ret_tables,
                             struct gfxb_error *err);
GFXB_API void gfxb_tables_free(struct gfxb_tables *tables);

/* ---- machine: what is in a computer ---- */

struct gfxb_machine;

/* One GPU of any vendor. Fields may be added at the end. */
struct gfxb_gpu {
    const char *pci;        /* "0000:03:00.0"; NULL unknown */
    int vendor_id;          /* 0x1002 is AMD; -1 unknown */
    int device_id;          /* -1 unknown */
    int revision;           /* -1 unknown */
    const char *name;       /* retail name, for people only; NULL unknown */
    const char *asic;       /* NULL unknown */
    const char *gfx;        /* "gfx1100"; NULL: not AMD, no LLVM target, or unknown */
    const char *generation; /* "RDNA3"; NULL unknown */
    const char *kind;       /* "discrete", "integrated", "accelerator"; NULL unknown */
    const char *driver;     /* bound kernel driver; "" none; NULL unknown */
    uint64_t vram_bytes;    /* carve-out on an APU; 0 unknown */
    uint64_t gtt_bytes;     /* 0 unknown */
    uint64_t usable_bytes;  /* what an engine may use of it now; 0 unknown */
    unsigned partitions;    /* KFD nodes of this card */
};

/*
 * Read this computer (sysroot NULL) or a captured one (a directory or a .machine file). The tables
 * must outlive the machine. Files that are missing or damaged are no error: what they would have
 * told is unknown.
 */
GFXB_API int gfxb_machine_new(const struct gfxb_tables *tables, const char *sysroot,
                              struct gfxb_machine **ret_machine, struct gfxb_error *err);
GFXB_API void gfxb_machine_free(struct gfxb_machine *machine);
/* Lent; NULL behind the last one. */
GFXB_API const struct gfxb_gpu *gfxb_machine_gpu(const struct gfxb_machine *machine, size_t index);

/* ---- plan: what should run there, and why ---- */

struct gfxb_plan;

/* All zero is the default: this system, policy rocm-first, any GPU. Fields may be added at the end;
 * size tells the library which ones the caller knows. */
struct gfxb_wish {
    size_t size;         /* sizeof(struct gfxb_wish) */
    const char *policy;  /* "rocm-first", "vulkan", "cpu", "fastest"; NULL rocm-first */
    const char *backend; /* "rocm", "vulkan", "cpu", "vulkan-software": only this; NULL any */
    const char *gpu;     /* PCI address of the GPU to use; NULL any */
    const char *os;      /* "linux", "windows" (from the tables alone); NULL linux */
    uint64_t need_bytes; /* memory that the model needs; 0 unknown */
    bool allow_override; /* code objects of an equal target too, through HSA_OVERRIDE_GFX_VERSION */
};

/* One way to run a model. Lists end with NULL and are never NULL. Fields may be added at the end.
 */
struct gfxb_choice {
    unsigned rank;           /* from 1 */
    const char *backend;     /* "rocm", "vulkan", "cpu", "vulkan-software" */
    const char *state;       /* "usable", "rejected" */
    int code;                /* GFXB_E_OK unless rejected */
    const char *reason;      /* one sentence */
    const char *gfx;         /* NULL none */
    const char *package;     /* row of the table of packages; NULL none */
    const char *source;      /* who brings it: "github", "debian"; NULL none */
    const char *const *gpus; /* PCI addresses of the chosen set */
    const char *const *env;  /* "NAME=value" for the engine */
    const char *const *args; /* arguments for the engine */
};

/* The machine must outlive the plan. wish NULL is the default wish. */
GFXB_API int gfxb_plan_new(const struct gfxb_machine *machine, const struct gfxb_wish *wish,
                           struct gfxb_plan **ret_plan, struct gfxb_error *err);
GFXB_API void gfxb_plan_free(struct gfxb_plan *plan);
/* Best first, rejected ones last; lent; NULL behind the last one. */
GFXB_API const struct gfxb_choice *gfxb_plan_choice(const struct gfxb_plan *plan, size_t index);
/* The best one that is not rejected; NULL when every one is. */
GFXB_API const struct gfxb_choice *gfxb_plan_chosen(const struct gfxb_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
