/*
 * proof.h - the canary model, proving a choice with it, and the stored outcomes. Part of
 * engine/engine.h.
 */
#ifndef ENGINE_PROOF_H
#define ENGINE_PROOF_H

#include "engine/instance.h"
#include "engine/kind.h"

/* ---- the canary model ---- */

/* "DIGEST-DIGEST" of the model and of the seeded canaries' questions: part of every fingerprint. */
#define ENGINE_CANARY_VERSION_MAX 66
void engine_canary_version(const struct engine_kind *kind,
                           char ret_version[static ENGINE_CANARY_VERSION_MAX]);
/* The built-in model as a file below data_dir (written when absent or damaged). To be freed. What
 * writes there waits for another process that does, until *cancel is set (NULL never; interrupted)
 * or 10 s have passed: EBUSY. So do the functions below that take a cancel. */
int engine_canary_path(const struct engine_kind *kind, const char *data_dir,
                       const atomic_int *cancel, char **ret_path, struct gfxb_error *err);

/* ---- proof ---- */

/* Deadlines in ms of each step; 0 takes the backend's own (see prove.c). */
struct engine_deadlines {
    int list, ready, first, gap, whole;
};

struct engine_rung {
    enum plan_rung rung; /* E3, E4, E5 */
    enum tri ok;         /* unknown: not reached, or nothing to compare with */
    char *detail;        /* owned: what was seen */
};

#define ENGINE_RUNGS 3

struct engine_proof {
    bool passed;
    char day[16];   /* when it was stored; "" it was not yet */
    int code;       /* GFXB_E_OK, or why not */
    char *sentence; /* owned: why not; "" when it passed */
    struct engine_rung rung[ENGINE_RUNGS];
    char device[96]; /* for its next start: "Vulkan0", "ROCm0,ROCm1", "none" */
    char shown[256]; /* for people: "Vulkan0: AMD Radeon ..." or "CPU" */
    /* Of one GPU: its memory in the engine's list of devices, and what its driver told of it then;
     * 0 unknown. */
    uint64_t device_bytes, gpu_bytes;
    double load_ms, first_token_ms;
    double tokens_per_second; /* on the canary; 0 not measured */
    struct engine_covers covers;
    /* Owned: "STATE PATH" of the model file that was compared with the CPU. NULL: a proof. */
    char *model;
    char *log_tail; /* owned: end of the engine's log; "" none */
    /* What `bench --apply` stored, and with what it was measured ("MODEL, 8192 tokens"): the policy
     * "fastest" may rank by it. A new proof has none: 0 and "". */
    double bench_speed; /* tokens/s */
    char bench_with[256];
};

/* In spec: package, runtime_dir, cache_dir, threads, log, cancel, unconfined and at most
 * FIT_NODES_MOST remotes. Its model, env, args, backend, device, gpu_pci and ready_ms are set by
 * engine_prove. */
struct engine_trial {
    struct engine_spec spec;
    const struct plan_choice *choice;
    const char *data_dir; /* for the canary model */
    double floor;         /* tokens/s on the canary below which a GPU is too slow; 0 none.
                             engine_floor() gives it from the CPU's figure */
    struct engine_deadlines deadlines;
    bool thorough;   /* ask every seeded canary: some seconds, more where shaders are compiled */
    bool speed_only; /* ask none of them */
};

/* A GPU's tokens/s on the canary that would be absurd beside this CPU's. The canary is so small
 * that a healthy GPU may well be slower than the CPU on it: only a small part of its figure is
 * asked. */
double engine_floor(double cpu_tokens_per_second);

/*
 * Prove a choice: device list, canary answers, speed, seeded canaries (not on software Vulkan,
 * whose compiler would take minutes); each step with a deadline, in the environment that will
 * serve. 0 whenever there is an outcome, also a failed one: read ret_proof->passed. Negative only
 * when nothing could be found out (out of memory, interrupted, no canary file).
 */
int engine_prove(const struct engine_trial *trial, struct engine_proof *ret_proof,
                 struct gfxb_error *err);

/*
 * What a model needs beyond a passed proof (its covers; device as there): seeded canaries of its
 * kind that were not asked yet, added to *covers, right or wrong. 0: none of its kind fails.
 * -GFXB_E_CANARY_MISMATCH: one does, now or before, and which. Others say nothing about the choice.
 */
int engine_prove_need(const struct engine_trial *trial, const char *device,
                      const struct engine_need *need, struct engine_covers *covers,
                      struct gfxb_error *err);
/* Did a kind of model fail that a model with this need is of? ret_kind: which; static. */
bool engine_covers_fail(const struct engine_kind *kind, const struct engine_covers *covers,
                        const struct engine_need *need, struct str *ret_kind);
void engine_proof_done(struct engine_proof *proof);

/* ---- stored proofs: data_dir/proofs/<sha256 of the fingerprint>.proof ---- */

struct engine_proofs; /* everything that is stored, read once */

/* Damaged files are skipped: they prove nothing. An absent directory is an empty set. */
int engine_proofs_new(const char *data_dir, struct engine_proofs **ret_proofs,
                      struct gfxb_error *err);
void engine_proofs_free(struct engine_proofs *proofs);
/* As plan_request wants them, without outcomes of one model; lent. ret_n is always filled. */
const struct plan_proof *engine_proofs_for_plan(const struct engine_proofs *proofs, size_t *ret_n);
/* One of them in full; NULL when there is none. Lent; log_tail is "". */
const struct engine_proof *engine_proofs_find(const struct engine_proofs *proofs,
                                              const char *fingerprint);

/* With the outcome of one model, those of files that are gone are removed. */
int engine_proofs_save(const char *data_dir, const char *fingerprint,
                       const struct engine_proof *proof, const atomic_int *cancel,
                       struct gfxb_error *err);
/* Store bench figures in passed proofs, whose day and evidence stay as they are: all of them are
 * read and judged before the first is written, each file as a whole. with: bench_with of them all.
 * -ENOENT: one is no passed proof any more, and nothing was written. */
struct engine_proofs_speed {
    const char *fingerprint;
    double tokens_per_second;
};
int engine_proofs_set_bench(const char *data_dir, const struct engine_proofs_speed *speed, size_t n,
                            const char *with, const atomic_int *cancel, struct gfxb_error *err);
/* What the passed proof of this fingerprint covers by now, here and on disk. */
int engine_proofs_set_covers(struct engine_proofs *proofs, const char *data_dir,
                             const char *fingerprint, const struct engine_covers *covers,
                             const atomic_int *cancel, struct gfxb_error *err);
/* fs_write of dir/name with the lock, waited for 10 s, making dir when absent. What a process that
 * was killed while writing left in dir is removed first. */
int proof_store_write(const char *dir, const char *name, const void *bytes, size_t n,
                      const atomic_int *cancel, struct gfxb_error *err);
/* fingerprint NULL: all of them. 0 also when there was none. */
int engine_proofs_remove(const char *data_dir, const char *fingerprint, struct gfxb_error *err);

#endif
