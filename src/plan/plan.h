/*
 * plan.h - the outward header of plan/: machine + tables + what is installed + stored proofs +
 * request
 * -> ranked choices with reasons. Pure: no I/O, the same inputs always give the same plan.
 *
 * Every backend has at least one choice, a rejected one if need be. Best first; rejected ones stay
 * behind the usable ones, with a reason code and one sentence.
 */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include "machine/machine.h"
#include "plan/fit.h"

enum plan_backend { PLAN_ROCM, PLAN_VULKAN, PLAN_CPU, PLAN_VULKAN_SOFTWARE, PLAN_BACKENDS };
enum plan_policy { PLAN_ROCM_FIRST, PLAN_FASTEST, PLAN_VULKAN_ONLY, PLAN_CPU_ONLY };
enum plan_state { PLAN_PROVEN, PLAN_USABLE, PLAN_REJECTED };

/* The ladder of evidence: what is this card, does the package hold code for it, can this computer
 * run it, does the engine see the device, does it compute correctly, is it fast enough. */
enum plan_rung { PLAN_E0, PLAN_E1, PLAN_E2, PLAN_E3, PLAN_E4, PLAN_E5, PLAN_RUNGS };

struct plan_evidence {
    enum plan_rung rung;
    enum tri ok;
    char *detail; /* owned by the plan */
};

/* A package on this computer's disk, as the store tells it. Strings are lent by the caller. */
struct plan_installed {
    struct str engine;   /* its row of engines.tsv; empty: the first one's */
    const char *id;      /* id of its packages.tsv row, or of its own making for system and file */
    const char *backend; /* "rocm", "vulkan", "cpu" */
    const char *digest;
    const char *gfx;  /* measured code-object targets, blank-separated; NULL: not inspected */
    const char *blas; /* measured BLAS kernel targets; NULL or "": not inspected or not needed */
    bool pinned;      /* `backends use` */
    const char *provider; /* "system", "file" ...; NULL: as its packages.tsv row says */
    const char *version;  /* of the engine, as its provider calls it; NULL not known */
    /* Version of the protocol that its engine speaks with workers on other computers; "": it has no
     * such part; NULL: not known yet. */
    const char *protocol;
};

/* A provider that cannot bring packages to this computer, as package_provider_usable tells it. Its
 * packages that are not installed yet are rejected with this code and sentence. Strings are lent.
 */
struct plan_provider {
    const char *name; /* "debian" */
    int code;         /* GFXB_E_ */
    const char *reason;
};

#define PLAN_FINGERPRINT_MAX 4096 /* bytes of a choice's fingerprint, its NUL included */

/* A stored proof or failure of one combination. Strings are lent by the caller. */
struct plan_proof {
    const char *fingerprint; /* of the choice: plan_choice.fingerprint */
    bool passed;
    int code;           /* GFXB_E_ of a failure */
    const char *day;    /* "2026-11-23" */
    const char *detail; /* the sentence of a failure; the device of a proof */
    /* The GPU's memory in the engine's own list of devices, and what plan_choice.gpu_bytes was
     * then: kernel settings change both. 0 not known. */
    uint64_t device_bytes, gpu_bytes;
    double tokens_per_second; /* on the canary; 0 not measured */
    double bench_speed;       /* tokens/s of `bench --apply`; 0 not measured */
    const char *bench_with;   /* the model and context of that: only like figures are compared */
    /* Of one that passed: what is known of the request's model on it. model_code: GFXB_E_OK: it
     * computes as on the CPU, or (model_what empty) nothing; canary-mismatch: models of the kind
     * model_what fail; model-mismatch: this one does, and how. */
    int model_code;
    struct str model_what;
    const char *model_day; /* NULL not known */
    bool preferred;        /* tune found it to be the fastest for the request's model */
    /* It failed just now, in this run: the choice is rejected with this code and detail as its own
     * (an install that went wrong too), where an older failure gives failed-before. */
    bool fresh;
};

/* Another computer that was paired with this one, as it told of itself. Strings are lent by the
 * caller; NULL is not known. */
struct plan_node {
    const char *name;     /* that it has here */
    const char *identity; /* digest of its key, hex digits: a part of a set's fingerprint */
    /* The same text for two nodes that are one computer, and in plan_request for this one: memory
     * counts once. */
    const char *computer;
    /* GFXB_E_OK; else why it cannot take part now (node-unknown, node-busy, node-unproven, what it
     * just failed with), with a sentence that does not name it. Of one that did not answer nothing
     * else need be known: it is unknown, not absent. */
    int code;
    const char *reason;
    /* Its best proven choice: what plan_choice calls so, and of that choice's package. */
    const char *card, *gfx, *backend, *package, *digest, *version, *protocol;
    const char *fingerprint;                /* or a digest of it */
    uint64_t total_bytes, free_bytes;       /* that a model may use there; 0 not known */
    double bytes_per_second, round_trip_us; /* of the link to it; 0 not measured */
};

struct plan_request {
    enum plan_policy policy;
    struct str engine; /* the kind that is to run it, of engines.tsv; empty: the first row's */
    int backend;       /* enum plan_backend, or -1: the policy decides */
    enum gfx_os os;
    bool allow_override;
    bool no_network;               /* only what is installed can be chosen */
    const char *gpu;               /* PCI address that must be used; NULL any */
    uint64_t need_bytes;           /* memory that the model needs; 0 unknown, or see model */
    const struct fit_model *model; /* what is to run, in full; NULL: need_bytes is all there is */
    struct fit_use use;            /* how it is to run, with model */
    const char *canary_version;    /* part of every fingerprint; NULL "" */
    const struct plan_installed *installed;
    size_t n_installed;
    const struct plan_proof *proof; /* of several with one fingerprint the latest day counts */
    size_t n_proofs;
    const struct plan_provider *unusable; /* providers that cannot bring anything here */
    size_t n_unusable;
    /* Nodes make choices over a set of computers where no choice of this one alone is left, or
     * want_set asks for it: then such a choice comes before those. */
    const struct plan_node *node;
    size_t n_nodes;
    bool want_set;
    const char *computer; /* this one, as plan_node.computer; NULL not known */
};

/* A computer of a set. */
struct plan_member {
    const struct plan_node *node; /* lent by the request */
    /* Of plan_choice.gpu_layers; 0: not known, because the model's file is not here yet. */
    size_t layers;
    uint64_t need_bytes, have_bytes; /* 0 unknown; what it has is what is free there now */
};

struct plan_choice {
    unsigned rank;     /* from 1 */
    struct str engine; /* the kind, of engines.tsv: "ENGINE:BACKEND" is what users type. Static */
    enum plan_backend backend;
    char **gpu_pci; /* owned, NULL-terminated: the chosen set, PCI addresses; "" where unknown */
    const struct machine_gpu *gpu;          /* first of the set, lent by the machine; NULL none */
    char *gfx;                              /* owned; NULL none */
    char *package;                          /* owned: packages.tsv id; NULL none */
    char *provider;                         /* owned: "github", "debian" ...; NULL none */
    const struct plan_installed *installed; /* lent by the request; NULL: to be installed first */
    enum gfx_via via;
    enum plan_state state;
    int code;     /* GFXB_E_OK unless rejected */
    char *reason; /* owned: one sentence, also for usable choices ("to be installed") */
    char *
        remedy; /* owned: of a rejected one, a command or what to do; NULL where nothing is known */
    struct plan_evidence *evidence;
    size_t n_evidence;
    /* On the GPU, or in memory for the CPU; 0 unknown. What it has is what is free now. */
    uint64_t need_bytes, have_bytes;
    char *model_check;  /* owned: what comparing the model with the CPU gave; NULL: nothing yet */
    uint64_t gpu_bytes; /* of one GPU, all that its driver tells of; 0 unknown, or several */
    /* With request.model; all 0 without, and for what was not looked at. */
    uint64_t host_bytes;       /* needed in the computer's memory beside need_bytes */
    uint32_t context;          /* tokens of one request */
    uint32_t slots;            /* requests at the same time, each with so much context */
    size_t layers, gpu_layers; /* of the model; on the GPU, layers + 1 being all of it */
    /* Owned: the other computers of a set, in the order of their layers; 0: this computer alone.
     * gpu_layers are those of all members and behind them of this computer's GPU; need_bytes and
     * have_bytes are this computer's part. The one that a rejection is about, where it is about
     * one. */
    struct plan_member *member;
    size_t n_members;
    uint64_t link_bytes; /* over all links for a token of the answer; 0 unknown */
    double link_ms;      /* that this takes, as the links were measured; 0 unknown */
    char **env, **args;  /* owned, NULL-terminated; never NULL */
    char **warning;      /* owned, NULL-terminated: of quirks and of memory; never NULL */
    /* Owned: what a proof of this choice is stored under, one readable line. The digest of a
     * package that is not installed yet is "-": plan again after the installation. */
    char *fingerprint;
};

struct plan {
    enum plan_policy policy;
    struct plan_choice *choice;
    size_t n_choices;
    int chosen; /* index of the first that is not rejected; -1 none */
    /* The rejection of the best GPU, when nothing can use it and something else is chosen; -1: it
     * is not left out. */
    int left_out;
};

int plan_new(const struct machine *m, const struct gfx_tables *tables,
             const struct plan_request *request, struct plan **ret_plan, struct gfxb_error *err);
void plan_free(struct plan *p);

/* The largest need_bytes that a plan for this computer would not reject for its memory, on any of
 * its GPUs with the computer's memory beside it, or on the CPU; 0 unknown. */
uint64_t plan_memory_most(const struct machine *m);
/* The largest that would be on GPUs whole: on one, or on equal ones together. */
uint64_t plan_memory_gpu(const struct machine *m);

const char *plan_backend_name(enum plan_backend backend); /* "vulkan-software" */
int plan_backend_from_name(const char *name);             /* -1 unknown */
/* "KIND:BACKEND", as users type it: 0, or -EINVAL. ret_engine is a name of engines.tsv; static. */
int plan_backend_read(const char *text, struct str *ret_engine, enum plan_backend *ret_backend);
/* All that packages are of, for people: "a:rocm, a:vulkan and a:cpu". */
void plan_backend_list(struct buf *ret);
const char *plan_policy_name(enum plan_policy policy); /* "rocm-first" */
int plan_policy_from_name(const char *name);           /* -1 unknown */
const char *plan_state_name(enum plan_state state);
const char *plan_rung_name(enum plan_rung rung); /* "E0" */

/* Vulkan drivers for the GPUs of a vendor, and the loader: columns of data/distros.tsv. */
enum plan_thing { PLAN_VULKAN_AMD, PLAN_VULKAN_INTEL, PLAN_VULKAN_NVIDIA, PLAN_VULKAN_LOADER };

/* The command that installs it on this distribution, or that the confinement must be left for it,
 * appended. False: the distribution is not known, or has no package of it. */
bool plan_way_to_install(const struct machine *m, enum plan_thing thing, struct buf *ret);
/* How an argument gets onto the kernel's command line of this computer, or off it: a command where
 * what is on the disk says which is right, words elsewhere; in a container, where it belongs. */
void plan_way_to_boot(const struct machine *m, const char *argument, bool away, struct buf *ret);

/* Where the machine is a container, appended as a half sentence that begins with a verb: how the
 * device node gets into it. */
void plan_container_pass(const struct machine *m, const char *node, struct buf *ret);

/* "on the host: " where the kernel is another computer's or outside of a confinement; else nothing.
 */
void plan_container_host(const struct machine *m, struct buf *ret);

/* The same for a confinement (snap, flatpak) that hides drivers too; empty: the machine is in none.
 */
struct str plan_container_leave(const struct machine *m);

/* What the user's HSA_OVERRIDE_GFX_VERSION does to a GPU of this target in ROCm, in sentences;
 * false when it is not defined. */
bool plan_override_tell(const struct machine *m, const struct gfx_tables *tables,
                        const struct gfx_target *target, struct buf *ret);

/* Are the tables of these ways whole? For `table check`. */
int plan_remedy_check(struct gfxb_error *err);

/* Is this the fingerprint of a proof of this machine's own CPU? */
bool plan_is_own_cpu(const struct machine *m, const char *fingerprint);

/* A target that is asked about, perhaps in a computer, with one package or none in particular. */
struct plan_quirk_case {
    const struct gfx_tables *tables;
    const struct gfx_target *target;
    enum gfx_os os;
    enum plan_backend backend;
    const struct machine *machine;     /* NULL: no computer is known */
    const struct machine_gpu *gpu;     /* NULL: none in particular */
    const struct gfx_package *package; /* NULL: none in particular */
};

/* Is the row about this: yes, no (something that is known rules it out), or unknown. */
enum tri plan_quirk_could(const struct plan_quirk_case *c, const struct gfx_quirk *quirk);

/* Are all terms of a quirk's condition known ones? For `table check`. ret_bad: the first bad one.
 */
bool plan_condition_known(struct str condition, struct str *ret_bad);

#endif
