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
    X(INTERRUPTED, 1060, "interrupted")

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
const char *gfxb_code_name(int code);

#ifdef __cplusplus
}
#endif

#endif
