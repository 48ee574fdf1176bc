/* sandbox_private.h - a sandbox being made and entered. Private to engine/. */
#ifndef ENGINE_SANDBOX_PRIVATE_H
#define ENGINE_SANDBOX_PRIVATE_H

#include "engine/engine.h"

struct sandbox {
    int ruleset; /* Landlock's; -1: the kernel has none */
};

#define SANDBOX_NONE ((struct sandbox){-1})

/* The ABI of this kernel's Landlock; 0 none. */
int sandbox_landlock_abi(void);
/* Does this kernel take seccomp filters that refuse system calls? */
bool sandbox_has_filter(void);

/*
 * For the engine of this spec with this run directory and this directory for compiled shaders. A
 * path that is not there is passed over: the engine will say so itself. -errno when the kernel
 * has Landlock and refuses a ruleset all the same.
 */
int sandbox_new(const struct engine_spec *spec, const char *scratch, const char *cache,
                struct sandbox *ret_sandbox, struct gfxb_error *err);
/* Fine on SANDBOX_NONE. */
void sandbox_done(struct sandbox *sandbox);

/* child_spec.before_exec; context is a struct sandbox. Async-signal-safe. 0 or -errno: what the
 * kernel offers but refuses here ends the child, rather than letting it run without. */
int sandbox_enter(void *context);

/* The seccomp filter alone, for the calling process. 0 or -errno. Async-signal-safe. */
int sandbox_filter(void);

#endif
