/*
 * faults.h - an engine that fails on demand (tests/fake_engine.c) as an installed package: what the
 * tests of this directory share.
 */
#ifndef FAULTS_FAULTS_H
#define FAULTS_FAULTS_H

#include "engine/engine.h"
#include "session/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PCI       "0000:03:00.0"
#define OTHER_PCI "0000:18:00.0"

/* Words of real device lists and logs. */
#define LIST(...) "Available devices:\n" __VA_ARGS__
#define ROCM0     "  ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24510 MiB free)\n"
#define ROCM1     "  ROCm1: AMD Radeon Graphics (512 MiB, 400 MiB free)\n"
#define ROCM2     "  ROCm2: AMD Radeon Graphics (512 MiB, 400 MiB free)\n"
#define VULKAN0   "  Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24510 MiB free)\n"
#define VULKAN1   "  Vulkan1: AMD Radeon 780M (RADV PHOENIX) (24560 MiB, 24510 MiB free)\n"
#define LLVMPIPE  "  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 2048 MiB free)\n"
#define NONE      LIST("  (none)\n")

#define LOAD "0.00.1.1 I llama_model_loader: loaded meta data with 20 key-value pairs\n"
#define USING(device, pci)                                                                         \
    "0.00.1.2 I llama_prepare_model_devices: using device " device                                 \
    " (AMD Radeon RX 7900 XTX) (" pci ") - 24510 MiB free\n"
#define WEIGHTS(device, mib)                                                                       \
    "0.00.1.3 I load_tensors:      " device " model buffer size =     " mib " MiB\n"
#define OFFLOADED "0.00.1.4 I load_tensors: offloaded 5/5 layers to GPU\n"
#define LOADED    "0.00.1.5 I srv  llama_server: model loaded\n"
#define GOOD_LOG                                                                                   \
    LOAD USING("%D", PCI) WEIGHTS("CPU_Mapped", "0.20") WEIGHTS("%D", "1.50") OFFLOADED LOADED
#define CPU_LOG LOAD WEIGHTS("CPU_Mapped", "1.70") OFFLOADED LOADED
#define SET_LOG LOAD USING("%D", "0000:0%N:00.0") WEIGHTS("%D", "0.75") LOADED

#define OWN_HIP "map lib/libamdhip64.so.7\nmap lib/librocblas.so.5\n"

#define ENDS_NOWHERE -1

/* One thing that goes wrong. NULL and 0 are "as it should be". */
struct fault {
    const char *name; /* what goes wrong; the row of the list of failure modes in brackets */
    enum plan_backend backend; /* whose package it is */
    const char *behaviour;     /* see fake_engine.c */
    const char *devices;       /* NULL: the wanted card alone */
    const char *said;          /* on stderr */
    const char *log;
    const char *pci[4]; /* wanted of a proof without a plan; {NULL}: PCI */
    int code;           /* expected; 0: proven */
    const char *tells;  /* what the sentence must hold; of a proof the device */
    /* Of the bring-up on a captured machine: */
    const char *machine;   /* NULL: rx7900xtx-raphael, whose card is at PCI */
    const char *card;      /* where its card is; NULL: at PCI */
    const char *package;   /* the id of the ROCm package; NULL: of the gfx110X family */
    const char *gfx;       /* what the ROCm package holds; NULL: gfx1100 */
    uint64_t need_bytes;   /* of the model */
    enum plan_backend end; /* where the bring-up must end: see fault_end */
    bool ends;             /* is end given? Otherwise the next backend is the end */
};

extern const struct fault fault_cases[];
extern const size_t fault_n_cases;

/* A data directory and a run directory of a test's own. */
struct stage {
    char *data, *run;
};

struct stage stage_new(void);
void stage_done(struct stage *s);

/* Install a package that holds the double, with the fault (NULL: it behaves well). id: a row of
 * packages.tsv. Its directory, to be freed. */
char *stage_install(const struct stage *s, const char *id, enum plan_backend backend,
                    const struct fault *fault);
/* From the next start on it behaves like this. dir: as stage_install returned it. */
void stage_behave(const struct stage *s, const char *dir, enum plan_backend backend,
                  const struct fault *fault);
/* The same outside of the store, to be lent to an engine_spec; strings are lent by dir. */
struct package stage_package(const char *dir);

/* Processes whose command line names the run directory. */
size_t stage_count_engines(const struct stage *s);
/* Entries of a directory whose names hold part. */
size_t stage_count_in(const char *path, const char *part);
/* Is this process gone, or a zombie, within 4 s? */
bool stage_is_gone(pid_t pid);

char *stage_join(const char *dir, const char *name);
const char *stage_source(void); /* the project's directory */

/* Where the double's proofs get their deadlines from: short ones, as it answers at once. */
extern const struct engine_deadlines stage_deadlines;

/* Start a double that behaves as the fault says on the CPU. 0, or what engine_start says. */
int stage_start(const struct stage *s, const struct fault *fault, bool unconfined,
                const atomic_int *cancel, struct engine **ret_engine, struct gfxb_error *err);

/* A captured machine (NULL: rx7900xtx-raphael) with a stage. */
struct world {
    struct stage stage;
    struct gfx_tables *tables;
    struct root *root;
    struct machine *machine;
    struct session_request request;
    size_t descriptors;
};

struct world world_new(const char *machine, int backend, uint64_t need_bytes);
/* Everything has ended and is cleared away. */
void world_done(struct world *w);
void world_install(const struct world *w, const char *id, enum plan_backend backend,
                   const struct fault *f);
/* As on a computer where the backend has been used before. */
void world_prove(const struct world *w, enum plan_backend backend);

/* What a plan says now of the installed package of this backend, on the card at PCI. */
enum plan_state world_state(const struct world *w, enum plan_backend backend);

int stage_set_up(void **state);
int stage_tear_down(void **state);

#endif
