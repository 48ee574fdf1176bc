/*
 * engine.h - the outward header of engine/: package + model -> a running, proven llama-server.
 *
 * engine_start runs one; engine_chat asks it; engine_verify says from its own log where the weights
 * of this very start are; engine_prove climbs the rungs E3 to E5 with the canary model; proofs
 * keeps the outcome; causes turns what engines say when they fail into a sentence and a remedy.
 *
 * A thread may use one engine at a time. Nothing here prints.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/base.h"
#include "engine/model_use.h"
#include "package/package.h"
#include "plan/plan.h"

#include <stdatomic.h>

/* ---- start and stop ---- */

/* What to start. Strings and arrays are lent until engine_start returns. Zero is a valid default
 * for every field but package, model and runtime_dir. */
struct engine_spec {
    const struct package *package;
    const char *model;       /* path of a GGUF file */
    const char *runtime_dir; /* 0700 directory below which a run directory is made */
    const char *cache_dir;   /* where the GPU driver keeps compiled shaders; made when absent. NULL:
                                nowhere, every start compiles them again */
    const char *const *env;  /* the choice's additions, NULL-terminated; NULL none */
    const char *const *args; /* the choice's additions, NULL-terminated; NULL none */
    const char *device;      /* "Vulkan0", "ROCm0", "none"; NULL: by backend: the CPU gets "none",
                                others the engine's own choice */
    const char *const *gpu_pci; /* NULL-terminated PCI addresses that the weights must be on; "" and
                                   NULL: any */
    enum plan_backend backend;
    unsigned context;         /* tokens; 0: the engine fits it to the memory */
    unsigned slots;           /* answers at the same time; 0: 1 */
    unsigned http_threads;    /* connections at the same time; 0: slots + 8 */
    unsigned threads;         /* 0: engine_default_threads(), or 1 for a tiny model */
    int ready_ms;             /* deadline for readiness; 0: 120 s */
    const char *keep_log;     /* file that gets the log's end when the engine fails; NULL none */
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    bool unconfined;          /* without the sandbox (see sandbox.h): for a driver that it breaks */
    const struct log *log;    /* progress; NULL none */
};

/* A running llama-server. It ends with the thread that started it, even when that is killed: start
 * it from one that lives as long. */
struct engine;

/* Fill in what a choice of the plan says: backend, env, args, gpu_pci. Lends from the choice. */
void engine_spec_choose(struct engine_spec *spec, const struct plan_choice *choice);

/*
 * Start and wait until the model is loaded and it answers. Run directories that killed processes
 * left below runtime_dir are removed on the way. Codes: engine-crash (ended by a signal),
 * engine-exit, engine-hang (not ready in time), library-missing, model and memory causes of
 * data/causes.tsv, interrupted. The sentence names the cause, not only the exit code.
 */
int engine_start(const struct engine_spec *spec, struct engine **ret_engine,
                 struct gfxb_error *err);
/* Orderly stop (3 s), then by force; removes the run directory. NULL is fine. */
void engine_stop(struct engine *engine);

const char *engine_socket(const struct engine *engine); /* path of its unix socket */
const char *engine_key(const struct engine *engine);    /* its random API key */
const char *engine_log(const struct engine *engine);    /* path of its log file */
pid_t engine_pid(const struct engine *engine);          /* -1 when it has ended */
int engine_pidfd(const struct engine *engine);          /* for poll: readable when it has ended */
double engine_load_ms(const struct engine *engine);     /* from exec to ready */
const char *engine_device(const struct engine *engine); /* the --device it was given; NULL none */

/* 0 while it runs; when it has ended, the code and the cause in one sentence. Also keeps its log
 * file from growing without end: call it now and then while serving. */
int engine_check(struct engine *engine, struct gfxb_error *err);

/* The end of its log as text (at most max bytes, whole lines), appended to *ret. 0 or -errno. */
int engine_log_tail(const struct engine *engine, size_t max, struct buf *ret);

/* Processors that an engine should use here: affinity, cgroup quota, one per physical core. */
unsigned engine_default_threads(void);

/*
 * A shell script that is llama-server for other programs: the spec's package, device, environment
 * and arguments, then the caller's words. In spec: package, backend, device, env and args. Relative
 * files in the caller's words are found although the engine runs in its own directory.
 */
int engine_wrapper(const struct engine_spec *spec, const char *title, struct buf *ret,
                   struct gfxb_error *err);

/* ---- ask ---- */

struct engine_chat {
    const char *prompt;   /* one user message; or */
    const char *messages; /* a JSON array of OpenAI chat messages. Exactly one of the two */
    unsigned max_tokens;  /* 0: no limit of ours */
    double temperature;   /* 0: greedy; negative: the model's default */
    bool fixed;           /* no prompt cache, fixed seed: the same bytes each time (with greedy) */
    bool probabilities;   /* ask for the probability of every token */
    int first_ms;         /* deadline for the first piece of text; 0 none */
    int gap_ms;           /* deadline between two pieces; 0 none */
    int whole_ms;         /* deadline for the answer; 0 none */
    int silence_ms;       /* so long without a piece, and as long again without a sign of life
                             (engine_is_healthy): it hangs. 0 none */
    size_t max_text;      /* bytes of an answer; more is an error. 0: 16 MiB */
    /* Every piece of text as it comes; thinking: reasoning, which is not part of the text.
     * Negative (an errno or -GFXB_E_INTERRUPTED): stop there with that code. NULL none. */
    int (*on_text)(void *context, struct str piece, bool thinking);
    void *context;
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    const struct log *log; /* told when the first piece takes more than 3 s, and why; NULL none */
};

struct engine_reply {
    char *text;             /* owned */
    size_t n;               /* bytes of text, which may hold NUL */
    unsigned tokens;        /* generated */
    unsigned prompt_tokens; /* 0 unknown */
    double first_token_ms;  /* from the request to the first piece, on our clock */
    double whole_ms;
    double tokens_per_second; /* generation, the engine's own figure; 0 unknown */
    double prompt_per_second; /* 0 unknown */
    double least_probability; /* of the tokens chosen; -1 not asked or not told */
    bool cut;                 /* ended at max_tokens */
};

/* Does the thread that computes answer within ms? It answers /slots, between two batches, however
 * long its users wait: what answers there has not lost its device. (/health comes from another
 * thread, hung or not.) Also true when it refuses, ends or *cancel is set: it does not hang. */
bool engine_is_healthy(const struct engine *engine, int ms, const atomic_int *cancel);

#define ENGINE_SILENCE_MS 60000 /* a whole answer, or a long prompt, takes its time */

/* One answer over the unix socket, streamed. Codes: engine-crash and engine-exit (it ended while
 * answering), engine-hang (a deadline passed), interrupted, -EPROTO (an answer that is none), and
 * -EREMOTEIO with the engine's own words when it refuses the request. */
int engine_chat(struct engine *engine, const struct engine_chat *chat,
                struct engine_reply *ret_reply, struct gfxb_error *err);
void engine_reply_done(struct engine_reply *reply);

/* ---- evidence ---- */

struct engine_device {
    char name[32];         /* "Vulkan0", "ROCm0" */
    char description[160]; /* "AMD Radeon RX 7900 XTX (RADV NAVI31)" */
    uint64_t total_mib, free_mib;
};

struct engine_devices {
    struct engine_device *item; /* owned */
    size_t n;
    char *said; /* owned: what the engine wrote to stderr */
};

/* What `llama-server --list-devices` says in a child with this deadline, in the environment in
 * which the spec's engine will serve. An empty list is a success: see said. */
int engine_list_devices(const struct engine_spec *spec, int deadline_ms,
                        struct engine_devices *ret_devices, struct gfxb_error *err);
void engine_devices_done(struct engine_devices *devices);

#define ENGINE_PLACEMENT_MAX 24

/* Where one start put its weights, by its own log. */
struct engine_share {
    char device[32];       /* "Vulkan0", "CPU" (kinds like CPU_Mapped are added up) */
    char description[160]; /* "" for the CPU */
    char pci[20];          /* "0000:03:00.0"; "" not told */
    bool gpu;              /* not the CPU, not a host buffer, not BLAS */
    double model_mib;      /* weights; negative: none */
    double other_mib;      /* KV cache and compute buffers; negative: none */
};

struct engine_placement {
    struct engine_share item[ENGINE_PLACEMENT_MAX];
    size_t n;
    double gpu_mib, cpu_mib; /* weights */
    bool loaded;             /* the log says that loading has ended */
};

/*
 * Judge this very start: are the weights where spec->backend, device and gpu_pci wanted them, did
 * every ROCm library come from one tree? Milliseconds: for every start, proven or not. Codes:
 * not-on-device, library-missing. ret_placement is filled on success and on not-on-device.
 */
int engine_verify(struct engine *engine, struct engine_placement *ret_placement,
                  struct gfxb_error *err);

/* "ROCm0, ROCm1" and their descriptions, or "CPU": for people and for JSON. */
void engine_placement_text(const struct engine_placement *placement, char *ret_text, size_t size);

/* ---- the canary model ---- */

/* Changes with the model and its answers: part of every fingerprint. */
const char *engine_canary_version(void);
/* The built-in model as a file below data_dir (written when absent or damaged). To be freed. */
int engine_canary_path(const char *data_dir, char **ret_path, struct gfxb_error *err);

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
    int code;       /* GFXB_E_OK, or why not */
    char *sentence; /* owned: why not; "" when it passed */
    struct engine_rung rung[ENGINE_RUNGS];
    char device[96]; /* for --device next time: "Vulkan0", "ROCm0,ROCm1", "none" */
    char shown[256]; /* for people: "Vulkan0: AMD Radeon ..." or "CPU" */
    double load_ms, first_token_ms;
    double tokens_per_second; /* on the canary; 0 not measured */
    char *log_tail;           /* owned: end of the engine's log; "" none */
    /* What `bench --apply` stored, and with what it was measured ("MODEL, 8192 tokens"): the policy
     * "fastest" may rank by it. A new proof has none: 0 and "". */
    double bench_speed; /* tokens/s */
    char bench_with[256];
};

/* In spec: package, runtime_dir, cache_dir, threads, log, cancel, unconfined. Its model, env, args,
 * backend, device, gpu_pci and ready_ms are set by engine_prove. */
struct engine_trial {
    struct engine_spec spec;
    const struct plan_choice *choice;
    const char *data_dir; /* for the canary model */
    double floor;         /* tokens/s on the canary below which a GPU is too slow; 0 none.
                             engine_floor() gives it from the CPU's figure */
    struct engine_deadlines deadlines;
};

/* A GPU's tokens/s on the canary that would be absurd beside this CPU's. The canary is so small
 * that a healthy GPU may well be slower than the CPU on it: only a small part of its figure is
 * asked. */
double engine_floor(double cpu_tokens_per_second);

/*
 * Prove a choice: device list, canary answers, speed; each step with a deadline, in the environment
 * that will serve. 0 whenever there is an outcome, also a failed one: read ret_proof->passed.
 * Negative only when nothing could be found out (out of memory, interrupted, no canary file).
 * ret_engine (may be NULL): on a passed proof the engine that passed, still running with the canary
 * loaded; otherwise untouched.
 */
int engine_prove(const struct engine_trial *trial, struct engine_proof *ret_proof,
                 struct engine **ret_engine, struct gfxb_error *err);
void engine_proof_done(struct engine_proof *proof);

/* ---- stored proofs: data_dir/proofs/<sha256 of the fingerprint>.proof ---- */

struct engine_proofs; /* everything that is stored, read once */

/* Damaged files are skipped: they prove nothing. An absent directory is an empty set. */
int engine_proofs_new(const char *data_dir, struct engine_proofs **ret_proofs,
                      struct gfxb_error *err);
void engine_proofs_free(struct engine_proofs *proofs);
/* As plan_request wants them; lent. ret_n is always filled. */
const struct plan_proof *engine_proofs_for_plan(const struct engine_proofs *proofs, size_t *ret_n);
/* One of them in full; NULL when there is none. Lent; log_tail is "". */
const struct engine_proof *engine_proofs_find(const struct engine_proofs *proofs,
                                              const char *fingerprint);

int engine_proofs_save(const char *data_dir, const char *fingerprint,
                       const struct engine_proof *proof, struct gfxb_error *err);
/* Store bench figures in passed proofs, whose day and evidence stay as they are: all of them are
 * read and judged before the first is written, each file as a whole. with: bench_with of them all.
 * -ENOENT: one is no passed proof any more, and nothing was written. */
struct engine_proofs_speed {
    const char *fingerprint;
    double tokens_per_second;
};
int engine_proofs_set_bench(const char *data_dir, const struct engine_proofs_speed *speed, size_t n,
                            const char *with, struct gfxb_error *err);
/* fingerprint NULL: all of them. 0 also when there was none. */
int engine_proofs_remove(const char *data_dir, const char *fingerprint, struct gfxb_error *err);

/* ---- causes: data/causes.tsv ---- */

struct engine_cause {
    struct str pattern; /* what the message holds; '*' stands for anything within a line */
    int code;           /* GFXB_E_ */
    struct str text;    /* one sentence: what it means */
    struct str remedy;  /* what to do; may be empty */
    struct str program; /* whose message it is */
    struct str source;
};

/* The rows whose pattern is found in a text, most telling first. Returns how many were filled in;
 * the strings live as long as the program. */
size_t engine_cause_find(struct str text, struct engine_cause *ret_causes, size_t max);
/* Every row parses, has a known code, a sentence and a source? For `table check`. */
int engine_causes_check(struct gfxb_error *err);

#include "engine/bench.h"
#include "engine/models.h"
#include "engine/sandbox.h"

#endif
