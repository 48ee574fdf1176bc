/*
 * engine_private.h - what the files of engine/ share: the running engine from the inside, its run
 * directory, its command line, its sandbox, its words, the canary and stored proofs. Private to
 * engine/; the parsers of it are also fuzzed.
 */
#ifndef ENGINE_PRIVATE_H
#define ENGINE_PRIVATE_H

#include "base/xalloc.h"
#include "engine/engine.h"

/* ---- rundir.c: the private directory of one running engine ----
 *
 * Its socket, its log, its temporary files. The process that made it holds a lock in it; one whose
 * lock is free is the leftover of a killed process and is removed when the next is made.
 */

struct rundir {
    char *path;   /* absolute; NULL when there is none */
    char *socket; /* path/e.sock: fits into sun_path */
    char *log;    /* path/log */
    int lock_fd;  /* -1 when there is none */
};

#define RUNDIR_NONE ((struct rundir){NULL, NULL, NULL, -1})

/* Below runtime_dir, or below /tmp/gfxbridge-UID (0700, checked to be ours) where the path of a
 * unix socket in it would be too long for the kernel or holds a comma. *cancel not 0 (NULL never)
 * ends waiting for others that make theirs: -GFXB_E_INTERRUPTED. */
int rundir_open(const char *runtime_dir, const atomic_int *cancel, struct rundir *ret_rundir,
                struct gfxb_error *err);

/* Removes it with everything in it. Fine on RUNDIR_NONE. */
void rundir_close(struct rundir *rundir);

/* ---- instance.c: struct engine from the inside ---- */

#define INSTANCE_LOG_TAIL 32768 /* bytes of a log that are searched for causes and kept */
#define INSTANCE_KEY_HEX  65    /* 32 random bytes as text */

struct engine {
    const struct engine_kind *kind;
    struct rundir rundir;
    struct child child;
    int log_fd; /* the engine may put anything in place of the file's name, but not of the file */
    int status; /* as waitpid gave it, once it has ended */
    bool ended;
    char key[INSTANCE_KEY_HEX];
    double load_ms;
    char *device;      /* that it was given; NULL none */
    char *keep_log;    /* NULL none */
    char *package_dir; /* without symbolic links */
    enum plan_backend backend;
    bool is_canary;
    struct engine_words gpu_pci;       /* where the weights must be; n 0 any */
    struct engine_placement placement; /* as the log told before it was cut; n 0 before */
    struct sockets *sockets;           /* of a worker, or with remotes; NULL none */
    char protocol[32];                 /* of a worker */
    struct engine_words remotes;       /* their names */
};

/* After this a person is told what takes so long, and that is: */
#define INSTANCE_PATIENCE_MS 3000
const char *instance_reason(enum plan_backend backend);

/* At most max bytes of its log from this offset on, appended to *ret. 0 or -errno. */
int instance_read_log(const struct engine *engine, off_t from, size_t max, struct buf *ret);

/* The code and cause of an answer that was cut off: the engine's end, when it has ended. begun: a
 * part of the answer had come. */
int instance_cut_off(struct engine *engine, bool begun, struct gfxb_error *err);

/* What a failure of http_ask means, but for ETIMEDOUT and what the caller's own functions gave.
 * begun: as above. Returns -code. */
int instance_ask_failed(struct engine *engine, int code, bool begun, struct gfxb_error *err);

/* engine_start; where it fails the end of the log is appended to *ret_tail (may be NULL). */
int instance_start(const struct engine_spec *spec, struct engine **ret_engine, struct buf *ret_tail,
                   struct gfxb_error *err);

/* ---- sandbox.c, sandbox_filter.c: a sandbox being made and entered ---- */

struct sandbox {
    int ruleset;                /* Landlock's; -1: the kernel has none */
    struct sock_filter *filter; /* owned: seccomp's program; NULL: there is none */
    size_t n_filter;
    int channel; /* lent: where the child sends the filter's listener, which is for sockets.c; -1:
                    the filter has none */
    uint64_t memory; /* bytes that it may take; 0 no limit */
};

#define SANDBOX_NONE ((struct sandbox){.ruleset = -1, .channel = -1})

/* What an engine may do with sockets beside its own unix socket; see sockets.c. */
enum sandbox_sockets {
    SANDBOX_NO_SOCKETS,
    SANDBOX_CONNECTS, /* to remotes */
    SANDBOX_LISTENS,  /* a worker */
};

/* The ABI of this kernel's Landlock; 0 none. */
int sandbox_landlock_abi(void);
/* Is there a seccomp filter for this kernel and processor? */
bool sandbox_has_filter(void);

/*
 * For the engine of this spec with this run directory and this directory for compiled shaders. A
 * path that is not there is passed over: the engine will say so itself. -errno when the kernel
 * has Landlock and still refuses a ruleset.
 */
int sandbox_new(const struct engine_spec *spec, enum sandbox_sockets sockets, const char *scratch,
                const char *cache, struct sandbox *ret_sandbox, struct gfxb_error *err);
/* Fine on SANDBOX_NONE. */
void sandbox_done(struct sandbox *sandbox);

/* child_spec.before_exec; context is a struct sandbox. Async-signal-safe. 0 or -errno: what the
 * kernel offers but refuses here ends the child, rather than letting it run without. */
int sandbox_enter(void *context);

/* The seccomp filter's program, where there can be one. 0 or -errno. */
int sandbox_filter_new(enum sandbox_sockets sockets, struct sandbox *ret_sandbox);
/* Enter it, in the child: its copy of the program is changed. Async-signal-safe. 0 or -errno. */
int sandbox_filter_enter(struct sandbox *sandbox);

/* ---- sockets.c: sockets for an engine without a network ---- */

struct sockets;

/* Send the filter's listener from the child. Async-signal-safe. 0 or -errno. */
int sockets_send(int channel, int listener);
/* The child has entered its sandbox: take its listener from the channel and answer its calls, with
 * the remotes of the spec, on a thread. bind_at: where a worker's socket is made; NULL none. */
int sockets_start(int channel, const struct engine_spec *spec, const char *bind_at,
                  struct sockets **ret_sockets, struct gfxb_error *err);
/* Once the engine has ended, or is to get no more. NULL is fine. */
void sockets_close(struct sockets *sockets);

/* ---- launch.c: the exact argv, environment and working directory of an engine ---- */

struct launch {
    struct engine_words argv, env;
    char *cwd; /* owned */
    struct sandbox sandbox;
    bool confined; /* the child enters the sandbox */
    bool idle;     /* as in the spec */
};

/* loader.c: a sentence and code for the driver of this PCI vendor's GPUs (0: of none) that the
 * Vulkan loader gave up in its debug output; root is this computer's. 0: it says nothing about one.
 */
int loader_explain(const struct root *root, struct str said, unsigned vendor,
                   struct gfxb_error *err);

/* A program of the package as argv, with its own loader where it has one, and the variables that
 * this needs. -EINVAL: a directory whose name the dynamic loader cannot take. */
int launch_program(const struct package *package, const char *program, struct engine_words *argv,
                   struct engine_words *env, struct gfxb_error *err);
/* Its worker's program, to be freed; NULL: it has none. */
char *launch_worker(const struct package *package);

/*
 * serving: NULL for a mere list of devices. scratch: a directory of this run for temporary files,
 * also the shader cache when the spec has none. An argument or variable of the choice that
 * gfxbridge sets itself is refused with -EINVAL. Makes the spec's cache_dir and the sandbox, the
 * same one for every use of the spec.
 */
int launch_new(const struct engine_kind *kind, const struct engine_spec *spec, const char *scratch,
               const struct engine_serving *serving, struct launch *ret_launch,
               struct gfxb_error *err);
void launch_done(struct launch *launch);

/* The device that this spec leads to, as its kind calls it; NULL: none is given. */
const char *launch_device(const struct engine_kind *kind, const struct engine_spec *spec);

/* A child_spec that runs it; lends from it. */
struct child_spec launch_child(struct launch *launch);

/* ---- the kinds, and the parts of their files ---- */

extern const struct engine_kind engine_kind_llama;

extern const struct engine_figures llama_figures;
char *llama_chat_request(const struct engine_chat *chat, struct gfxb_error *err);
int llama_read_chunk(struct str field, struct str value, struct engine_chunk *ret_chunk);
void llama_read_refusal(struct str body, char *ret_text, size_t size);
bool llama_read_excess(struct str body, uint64_t *ret_tokens, uint64_t *ret_most);
int llama_read_ids(struct str body, json_t **ret_ids);
char *llama_timed_request(const json_t *ids, unsigned prompt_tokens, unsigned answer_tokens);
char *llama_tokens_request(const struct engine_tokens *prompt, size_t n, unsigned answer_tokens);
int llama_read_answer(struct str body, size_t i, char *ret_text, size_t size);
char *llama_steps_request(const char *prompt, unsigned tokens, unsigned likely, unsigned slot);
int llama_read_steps(struct str body, struct engine_steps *ret_steps);
char *llama_slot_path(unsigned slot, bool save);
char *llama_slot_request(unsigned slot);
int llama_read_slots(struct str body, unsigned *ret_tokens, size_t most);
int llama_read_timings(struct str body, struct engine_timings *ret_timings);

/* ---- evidence.c ---- */

/* Of the weights, how much is on GPUs and remotes, 0 to 1? */
double placement_device_share(const struct engine_placement *placement);
/* Is this share the named one: "Vulkan0" of "Vulkan0,Vulkan1"? */
bool placement_names(const struct engine_share *share, const char *devices);

#define MAPS_LIBRARIES_MAX 64

struct maps_library {
    struct str path; /* lent by the text */
    struct str name; /* its last component */
    struct str tree; /* the directory that its lib directory is in, or package_dir */
};

struct maps {
    struct maps_library item[MAPS_LIBRARIES_MAX]; /* each path once */
    size_t n;
};

/* The ROCm libraries in the text of /proc/PID/maps. package_dir ("" none) is one tree whatever the
 * directories in it. */
void maps_parse(struct str text, struct str package_dir, struct maps *ret_maps);

/* The BLAS libraries and their kernel files in the same text, by name: "librocblas.so.5.1,
 * Kernels.so-000-gfx1100.hsaco"; appended to *ret. */
void maps_blas_text(struct str text, struct buf *ret);
/* The same of a running engine on ROCm; nothing for others. */
void evidence_blas(const struct engine *engine, struct buf *ret);

/* Two libraries that come from different trees: true and *ret_a, *ret_b. */
bool maps_are_mixed(const struct maps *maps, const struct maps_library **ret_a,
                    const struct maps_library **ret_b);

/* ---- bench.c ---- */

/* Sorts the values. 0 when there are none. */
double bench_median(double *value, size_t n);

/* ---- diagnose.c: why an engine ended, in one sentence ---- */

/*
 * status as waitpid gave it; log: the end of what it wrote; what: "while loading". The code is that
 * of the first row of data/causes.tsv that matches, else engine-crash or engine-exit. Returns
 * -code.
 */
int diagnose_explain(const struct engine_kind *kind, int status, struct str log, const char *what,
                     struct gfxb_error *err);

/* The first row of data/causes.tsv found in the text that can be the cause of an end: not a
 * harmless message, not the mere note that the CPU does the work. */
bool diagnose_cause(struct str text, struct engine_cause *ret_cause);

/* The last line of a log that sounds like an error, else its last line; without the engine's time
 * stamps, at most 240 bytes. Empty when there is none. */
struct str diagnose_last_words(const struct engine_kind *kind, struct str log);

/* ---- bench.c ---- */

/* One whole answer of a running engine to a body, of status 200: ret_body is owned by the caller.
 * cancel may be NULL. Codes as of engine_chat. */
int engine_post(struct engine *engine, enum engine_call call, const char *body, int64_t deadline_ms,
                const atomic_int *cancel, struct buf *ret_body, struct gfxb_error *err);
/* The same at any path; body NULL: GET. */
int engine_ask(struct engine *engine, const char *path, const char *body, int64_t deadline_ms,
               const atomic_int *cancel, struct buf *ret_body, struct gfxb_error *err);

/* ---- cover.c ---- */

/* Which seeded canaries are asked: those of every proof, or */
struct cover_wish {
    int deadline_ms;                /* of one answer */
    bool all;                       /* every one */
    const struct engine_need *need; /* those that are needed and not known yet; NULL: see above */
};

/*
 * Ask seeded canaries on the spec's device: each prompt alone, then those up to some hundreds of
 * tokens at the same time. What was answered to the byte is added to *covers. A type or shape that
 * the engine does not know is left out; one that fails and is not part of every proof is added to
 * covers->fails. Codes: canary-mismatch, which names the canary and the prompt, and those of a
 * start.
 */
int cover_ask(const struct engine_spec *spec, const struct cover_wish *wish,
              struct engine_covers *covers, struct gfxb_error *err);

/* ---- canary.c: the canary's file, its questions and answers ---- */

#define CANARY_PROOFS_MAX 16

struct canary_proof {
    struct str prompt;
    struct str answer; /* to the byte, with greedy decoding */
};

/* The rows of kind "proof", at most CANARY_PROOFS_MAX, at least one; views that live as long as the
 * program. */
int canary_proofs(const struct engine_canary *canary,
                  struct canary_proof ret_proof[static CANARY_PROOFS_MAX], size_t *ret_n,
                  struct gfxb_error *err);

/* Where its file is once it is written (to be freed), and its bytes. */
char *canary_file(const struct engine_canary *canary, const char *data_dir);
size_t canary_size(const struct engine_canary *canary);

/* Is this path its file's, by the name? */
bool canary_is(const struct engine_canary *canary, const char *path);

/* Where two texts begin to differ, for a sentence: "at byte 12: '...' instead of '...'". */
void canary_difference(struct str got, struct str wanted, char *ret_text, size_t size);

/* ---- proof_store.c: the text of one stored proof ---- */

/* The whole view as a number without a sign: "12", "0.53". 0, -EINVAL, or -ERANGE above 1e15. */
int decimal_parse(struct str text, double *ret_value);

/* Append a number from 0 to 1e15 with three digits behind the point; others as 0. */
void decimal_add(struct buf *to, double value);

/* The lock of a directory. Another process that holds it is waited for, until *cancel is set (NULL
 * never; interrupted) or the time is over (EBUSY): it may be stopped for good. */
int proof_store_lock(const char *dir, int wait_ms, const atomic_int *cancel, int *ret_fd,
                     struct gfxb_error *err);

struct proofs_item {
    char *fingerprint; /* owned */
    struct engine_proof proof;
};

#define PROOFS_DIR      "proofs" /* below the data directory */
#define PROOFS_SUFFIX   ".proof" /* behind the fingerprint's sha256 */
#define PROOFS_NAME     64       /* hex digits of a sha256 */
#define PROOFS_TEXT_MAX (1u << 20)

/* Is it the name of a stored proof's file? */
bool proofs_is_name(const char *name);

/* 0, or -EBADMSG when it is not the text of a proof. */
int proofs_parse(struct str text, struct proofs_item *ret_item);
void proofs_item_done(struct proofs_item *item);
void proofs_print(const struct proofs_item *item, struct buf *ret);

#endif
