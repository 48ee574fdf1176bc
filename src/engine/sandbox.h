/*
 * sandbox.h - what keeps an engine, which is foreign code, confined. Part of engine/engine.h,
 * which includes it.
 *
 * Every engine is started in it, for the device list, for a proof and for serving alike: Landlock
 * decides which files it reaches, a seccomp filter which system calls. Where the kernel has less
 * than that, what is there is used and engine_sandbox_state says what is missing.
 */
#ifndef ENGINE_SANDBOX_H
#define ENGINE_SANDBOX_H

#include "base/base.h"

#define ENGINE_SANDBOX_NOTES 5

/* What is in force for engines that are started by this process. */
struct engine_sandbox {
    bool off;     /* by request: nothing of what follows holds */
    int landlock; /* ABI of the kernel's Landlock; 0: there is none */
    bool files;   /* reads and writes only what it is given */
    bool rename;  /* may move files between the directories that it is given */
    bool cut;     /* truncating a file needs the right to write it */
    bool network; /* no TCP, no UDP, no connection to a unix socket: it only answers on its own */
    bool devices; /* device commands (ioctl) on the GPU's nodes alone */
    bool signals; /* cannot signal other processes */
    bool alone;   /* starts no other process and cannot leave its group: it ends with us */
    const char *note[ENGINE_SANDBOX_NOTES]; /* what is missing and since which kernel it is there,
                                               a sentence each; NULL behind the last one */
};

/* Asks the kernel; changes nothing. off: engines are started without it (spec.unconfined). */
void engine_sandbox_state(bool off, struct engine_sandbox *ret_sandbox);

#endif
