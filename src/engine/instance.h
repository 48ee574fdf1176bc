/*
 * instance.h - one running engine: started, asked, watched, stopped. Part of engine/engine.h.
 *
 * A thread may use one engine at a time. Nothing here prints.
 */
#ifndef ENGINE_INSTANCE_H
#define ENGINE_INSTANCE_H

#include "package/package.h"
#include "plan/plan.h"

#include <jansson.h>
#include <stdatomic.h>

/* ---- start and stop ---- */

/* A worker on another computer, as an engine sees it: a device of its own. */
struct engine_remote {
    const char *name; /* of the computer, for sentences */
    unsigned layers;  /* of the model's; with those of the spec they say how it is divided */
    /* A connected stream socket, whose ownership passes, or -errno. Called on a thread of the
     * engine's, one call at a time, until engine_stop. */
    int (*connect)(void *context);
    void *context;
};

/* What to start. Strings and arrays are lent until engine_start returns. Zero is a valid default
 * for every field but package, model and runtime_dir. */
struct engine_spec {
    const struct package *package;
    const char *model;       /* path of a GGUF file */
    const char *runtime_dir; /* 0700 directory below which a run directory is made */
    const char *cache_dir;   /* where the GPU driver keeps compiled shaders; made when absent. NULL:
                                nowhere, every start compiles them again */
    const char *slots_dir;   /* 0700 directory that it may save its slots in; NULL none */
    const char *const *env;  /* the choice's additions, NULL-terminated; NULL none */
    const char *const *args; /* the choice's additions, NULL-terminated; NULL none */
    const char *device;      /* "Vulkan0", "ROCm0", "none"; NULL: by backend: the CPU gets "none",
                                others the engine's own choice */
    const char *const *gpu_pci; /* NULL-terminated PCI addresses that the weights must be on; "" and
                                   NULL: any */
    enum plan_backend backend;
    unsigned context;         /* tokens of one answer; 0: the engine's own, shared by all slots */
    unsigned slots;           /* answers at the same time; 0: 1 */
    unsigned http_threads;    /* connections at the same time; 0: slots + 8 */
    unsigned threads;         /* 0: engine_threads_for(model) */
    int ready_ms;             /* deadline for readiness; 0: 120 s */
    const char *keep_log;     /* file that gets the log's end when the engine fails; NULL none */
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    bool plain;               /* computes in the plainest way, not the fastest */
    bool idle;                /* computes only while nobody else wants the processors */
    bool unconfined;          /* without the sandbox (see sandbox.h): for a driver that it breaks */
    const struct log *log;    /* progress; NULL none */
    /* Workers that take a part of the model; names are lent until engine_stop. Their connections
     * are unix sockets that engine_remote.connect makes: the engine has no network. */
    const struct engine_remote *remote;
    size_t n_remotes;
    unsigned layers; /* of the spec's own device, beside those of remotes; the CPU gets what is left
                        and needs none */
    uint64_t memory; /* of a worker on the CPU: bytes that it may take; 0 no limit */
};

/* A running engine. It ends with the thread that started it, even when that is killed: start it
 * from one that lives as long. */
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
/*
 * The package's worker for engines on other computers (engine_remote) on the spec's device, in the
 * same sandbox: it computes what comes over engine_socket, a unix socket, one connection at a time,
 * and listens nowhere else. The model of the spec is not used. It keeps no copy of weights on disk.
 * engine_check, engine_stop, engine_pid, engine_pidfd and engine_log work on it as on any engine.
 * Codes: no-package: the package has no worker; those of engine_remotes_possible and engine_start.
 */
int engine_start_worker(const struct engine_spec *spec, struct engine **ret_engine,
                        struct gfxb_error *err);
/* "8.0.0": the version of the protocol that a worker speaks. */
const char *engine_protocol(const struct engine *worker);
/* A connected stream socket to a worker, or -errno: struct engine_remote for one on this computer.
 * Never waits; -EAGAIN: too many wait for the worker already. */
int engine_connect(void *worker);
/* Does the package hold a worker, and the backend for those of others? 0 or -no-package. */
int engine_has_worker(const struct package *package, struct gfxb_error *err);
/* Can this kernel give sockets to a worker, or to an engine with remotes? off: the sandbox is
 * switched off, without which there are none. 0, -policy (off) or -kernel-quirk. */
int engine_remotes_possible(bool off, struct gfxb_error *err);

/* Orderly stop (3 s), then by force; removes the run directory. NULL is fine. */
void engine_stop(struct engine *engine);

const char *engine_socket(const struct engine *engine); /* path of its unix socket */
const char *engine_key(const struct engine *engine);    /* its random API key */
const char *engine_log(const struct engine *engine);    /* path of its log file */
pid_t engine_pid(const struct engine *engine);          /* -1 when it has ended */
int engine_pidfd(const struct engine *engine);          /* for poll: readable when it has ended */
double engine_load_ms(const struct engine *engine);     /* from exec to ready */
const char *engine_device(const struct engine *engine); /* that it was given; NULL none */

/* 0 while it runs; when it has ended, the code and the cause in one sentence. Also keeps its log
 * file from growing without end: call it now and then while serving. */
int engine_check(struct engine *engine, struct gfxb_error *err);

/* Has somebody stopped it by a signal (SIGSTOP), so that it computes nothing until it goes on? */
bool engine_is_stopped(const struct engine *engine);

/* The log files of the engines that run below this directory, then that of the last one that
 * failed; NULL-terminated, all to be freed. NULL: there are none. */
char **engine_logs(const char *runtime_dir);
/* Where an engine that fails leaves the end of its log; to be freed. */
char *engine_failed_log(const char *runtime_dir);

/* Of one that has ended: was it its own doing (a failed exit, a crash), not a signal of an
 * administrator's or the kernel's for memory? An orderly exit was asked for by a signal. */
bool engine_broke_itself(const struct engine *engine);

/* The end of its log as text (at most max bytes, whole lines), appended to *ret. 0 or -errno. */
int engine_log_tail(const struct engine *engine, size_t max, struct buf *ret);

/* Processors that an engine should use here: affinity, cgroup quota, one per physical core. */
unsigned engine_default_threads(void);
/* As many as an engine is given for this model file, unless its spec says. */
unsigned engine_threads_for(const char *model);

/*
 * A shell script that is the engine for other programs: the spec's package, device, environment
 * and arguments, then the caller's words. In spec: package, backend, device, env and args. Relative
 * files in the caller's words are found although the engine runs in its own directory.
 */
int engine_wrapper(const struct engine_spec *spec, const char *title, struct buf *ret,
                   struct gfxb_error *err);

/* ---- ask ---- */

struct engine_chat {
    const char *prompt;   /* one user message; or */
    const char *messages; /* a JSON array of OpenAI chat messages. Exactly one of the two */
    const json_t
        *options;        /* members that the engine's request gets unless it has them; NULL none */
    unsigned max_tokens; /* 0: no limit of ours */
    double temperature;  /* 0: greedy; negative: the model's default */
    bool fixed;          /* no prompt cache, fixed seed: the same bytes each time (with greedy) */
    bool probabilities;  /* ask for the probability of every token */
    int first_ms;        /* deadline for the first piece of text; 0 none */
    int gap_ms;          /* deadline between two pieces, or four times what the first one took;
                            0 none */
    int silence_ms;      /* so long without a piece, and as long again without a sign of life
                            (engine_is_healthy): it hangs. 0 none */
    size_t max_text;     /* bytes of an answer; more is an error. 0: 16 MiB */
    /* Every piece of text as it comes; thinking: reasoning, which is not part of the text.
     * Negative (an errno or -GFXB_E_INTERRUPTED): stop there with that code. NULL none. */
    int (*on_text)(void *context, struct str piece, bool thinking);
    void *context;
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    const struct log *log; /* told when the first piece takes more than 3 s, and why; NULL none */
};

struct engine_reply {
    char *text;               /* owned */
    size_t n;                 /* bytes of text, which may hold NUL */
    unsigned tokens;          /* generated */
    unsigned prompt_tokens;   /* 0 unknown */
    double first_token_ms;    /* from the request to the first piece, on our clock */
    double tokens_per_second; /* generation, the engine's own figure; 0 unknown */
    double prompt_per_second; /* 0 unknown */
    double least_probability; /* of the tokens chosen; -1 not asked or not told */
    bool cut;                 /* ended at max_tokens */
    bool thought;             /* gave reasoning, which is not part of the text */
};

/* Does the thread that computes answer within ms? It does so between two batches, however long its
 * users wait: what answers there has not lost its device. (Its readiness is told by another thread,
 * hung or not.) Also true when it refuses, ends or *cancel is set: it does not hang. */
bool engine_is_healthy(const struct engine *engine, int ms, const atomic_int *cancel);

#define ENGINE_SILENCE_MS 60000 /* a whole answer, or a long prompt, takes its time */

/* One answer over the unix socket, streamed. Codes: engine-crash and engine-exit (it ended while
 * answering), engine-hang (a deadline passed), interrupted, -EPROTO (an answer that is none), and
 * -EREMOTEIO with the engine's own words when it refuses the request. */
int engine_chat(struct engine *engine, const struct engine_chat *chat,
                struct engine_reply *ret_reply, struct gfxb_error *err);
void engine_reply_done(struct engine_reply *reply);

/* ---- how fast it is ---- */

/* By the engine's own counts and clock; 0: not measured, for it did not tell. */
struct engine_bench_figures {
    unsigned prompt_tokens, answer_tokens; /* of one run */
    double prompt_per_second;              /* medians of the runs */
    double tokens_per_second;
    unsigned runs;
};

enum { ENGINE_BENCH_PROMPTS = 8 };

struct engine_bench_spec {
    const unsigned
        *prompt;      /* tokens of each prompt; the context holds the longest and its answer */
    size_t n_prompts; /* at most ENGINE_BENCH_PROMPTS */
    unsigned answer_tokens;
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
    const struct log *log;    /* told how long the longest prompt takes; NULL none */
};

/* A warm-up, then each prompt up to three times, without the prompt cache; no run begins more than
 * a minute after the first of its kind. ret_figures: one for each prompt. The codes are
 * engine_chat's. */
int engine_bench(struct engine *engine, const struct engine_bench_spec *spec,
                 struct engine_bench_figures ret_figures[], struct gfxb_error *err);

/* Bytes a second that the processors read from memory, all that an engine uses at once. 0: unknown,
 * for there is too little free memory to be beyond their caches (free_bytes; 0 unknown). */
double engine_cpu_bandwidth(uint64_t free_bytes);

/*
 * Bytes a second that the engine reads from the memory of the spec's GPU: the difference between
 * two models of one layer, of 200 MB and 1.7 GB, in the time for a token. It starts the engine
 * twice, and writes their files, which are holes, into dir, which no engine may write; spec->model
 * and context are its own. The codes are engine_start's and engine_bench's.
 */
int engine_gpu_bandwidth(const struct engine_spec *spec, const char *dir,
                         double *ret_bytes_per_second, struct gfxb_error *err);

/* ---- what its slots hold: prompts with their answers, as computed ---- */

enum { ENGINE_SLOTS_MAX = 256 };

/* Tokens that each slot holds; how many slots there are in *ret_n. */
int engine_slots_read(struct engine *engine, const atomic_int *cancel,
                      unsigned ret_tokens[ENGINE_SLOTS_MAX], size_t *ret_n, struct gfxb_error *err);
/* Write a slot to the file of its number in spec.slots_dir, or read it from there. Codes as of
 * engine_chat. */
int engine_slot_save(struct engine *engine, unsigned slot, const atomic_int *cancel,
                     struct gfxb_error *err);
int engine_slot_restore(struct engine *engine, unsigned slot, const atomic_int *cancel,
                        struct gfxb_error *err);

/*
 * A 0700 directory of this process below dir (made when absent), for what is kept of slots. Those
 * that killed processes left there are removed. close removes it with everything in it; NULL is
 * fine.
 */
struct engine_kept;
int engine_kept_open(const char *dir, struct engine_kept **ret_kept, struct gfxb_error *err);
const char *engine_kept_path(const struct engine_kept *kept);
void engine_kept_close(struct engine_kept *kept);

/* ---- does it compute as the CPU does? ---- */

struct engine_compare {
    struct engine *device;         /* runs the model */
    unsigned slot;                 /* of it, from 0: only what this one keeps is lost */
    const struct engine_spec *cpu; /* how the same file is started on the CPU, to compare with */
    int patience_ms;               /* for each of the two */
    const atomic_int *cancel;      /* not 0: give up with "interrupted"; NULL never */
};

struct engine_comparison {
    unsigned prompts, differ;
    double greatest, allowed; /* mean differences of logarithms of probabilities, of one prompt */
};

/*
 * The first tokens of fixed prompts on the device and on the CPU, with what the model held likely
 * (docs/canary.md has the bounds). The CPU's engine is ended at once afterwards. 0: they are the
 * same. -GFXB_E_MODEL_MISMATCH: they differ, and where; ret_comparison is filled too. All else says
 * nothing about the device.
 */
int engine_compare(const struct engine_compare *job, struct engine_comparison *ret_comparison,
                   struct gfxb_error *err);

/* The same in two steps, for engines that run one after the other. */
struct engine_asking {
    unsigned slot; /* as above */
    int patience_ms;
    const atomic_int *cancel; /* NULL never */
};
struct engine_answers;
/* The first tokens of the fixed prompts; to be freed. */
int engine_answers_new(struct engine *engine, const struct engine_asking *how,
                       struct engine_answers **ret_answers, struct gfxb_error *err);
void engine_answers_free(struct engine_answers *answers);
/* Results as of engine_compare. where: of the reference, for the sentence: "on the CPU". */
int engine_answers_compare(const struct engine_answers *reference,
                           const struct engine_answers *answers, const char *where,
                           struct engine_comparison *ret_comparison, struct gfxb_error *err);

/* ---- the sandbox ----
 *
 * Every engine is started in it, for the device list, for a proof and for serving alike: Landlock
 * decides which files it reaches, a seccomp filter which system calls. Where the kernel has less
 * than that, what is there is used and engine_sandbox_state says what is missing.
 */

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
