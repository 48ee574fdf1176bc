/*
 * world.h - the distribution's real engine, installed for the tests of this directory that are
 * written in C. GFXB_TEST_DATA: a data directory that is kept, so that a second run needs no
 * download and compiles no shader again.
 */
#ifndef REAL_WORLD_H
#define REAL_WORLD_H

#include "engine/engine.h"
#include "sysroot/sysroot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct real_world {
    char *data, *run, *cache;
    bool temporary;
    struct gfx_tables *tables;
    struct root *root;
    struct package_list list;
    const struct package *cpu, *vulkan; /* NULL: not asked for */
};

extern struct real_world world;
extern char *world_no_words[];
extern char *world_lavapipe[3]; /* the environment that leads to lavapipe; one more may be added */

/* For cmocka's groups: install what Debian has for the CPU and for Vulkan, or for Vulkan alone. */
int world_set_up(void **state);
int world_set_up_vulkan(void **state);
int world_tear_down(void **state);

struct engine_spec world_spec(enum plan_backend backend);

struct engine *world_start_canary(enum plan_backend backend);

/* A whole proof; a failure that says nothing about the engine fails the test. ret_engine (may be
 * NULL): of one that passed, its next start. */
void world_prove(enum plan_backend backend, struct engine_proof *ret_proof,
                 struct engine **ret_engine);

#endif
