/*
 * builder.h - a plan while it is being made: candidates become choices, step by step.
 *
 * Out of memory is remembered in the draft and everything after it is harmless: plan_new looks
 * once, at the end.
 */
#ifndef PLAN_BUILDER_H
#define PLAN_BUILDER_H

#include "plan/gpu_set.h"
#include "plan/node_set.h"
#include "plan/plan.h"

/* One combination to be judged. All lent. */
struct candidate {
    enum plan_backend backend;
    const struct machine_gpu *gpu;          /* NULL: none (CPU, software) */
    const struct plan_gpu_set *set;         /* gpu is the first of these; NULL: it is alone */
    const struct plan_node_set *nodes;      /* other computers that help; NULL: none */
    const struct gfx_package *row;          /* NULL: the table does not know it, or there is none */
    const struct plan_installed *installed; /* NULL: to be installed first */
    const char *icd;                        /* Vulkan: name of the driver to use; NULL any */
    enum gfx_via via; /* ROCm: how the package serves the GPU, whatever the user allows */
    struct str used;  /* ROCm: the entry of the package's list that does */
};

/* A choice and what its place in the order depends on. */
struct builder_choice {
    struct plan_choice choice;
    struct candidate candidate;
    size_t gpu_place; /* among the GPUs, best first; n_gpus: none */
    size_t row_place; /* in packages.tsv; SIZE_MAX: not there */
    size_t number;    /* in the order of making */
    int reached;      /* the rung that a rejected choice failed at; -1: not looked at */
    struct gfx_known known_elsewhere; /* of its package on such GPUs; all 0 without a row */
    bool partial;                     /* only a part of the model fits on the GPU */
    bool managed;                     /* it is to use the computer's memory as the GPU's */
    double bench_speed;               /* tokens/s of `bench --apply`; 0 not measured */
    const char *bench_with;           /* lent by the proof */
    bool preferred;                   /* by tune, for the request's model */
    struct buf known, unknown;        /* what E2 found good, and what it could not see */
};

struct builder {
    const struct machine *m;
    const struct gfx_tables *tables;
    const struct plan_request *request;
    struct gfx_engine engine;
    const struct machine_gpu **gpu; /* best first */
    size_t n_gpus;
    struct plan_gpu_set set; /* n is 0: every choice is one GPU */
    struct plan_node_set node_set[PLAN_BACKENDS];
    struct builder_choice **item;
    size_t n, capacity;
    struct {
        const struct gfx_target *target; /* that the rows are about */
        const struct gfx_quirk **row;    /* NULL: not looked for yet */
        size_t n;
    } acting;    /* quirks that do something for one target: kept, for many choices have the same */
    bool failed; /* out of memory */
};

/* Sets up the draft with the GPUs in order; builder_done in every case. */
void plan_builder_init(struct builder *d, const struct machine *m, const struct gfx_tables *tables,
                       const struct plan_request *request, const struct gfx_engine *engine);
void plan_builder_done(struct builder *d);

/* A new usable choice at the end; NULL when out of memory. */
struct builder_choice *plan_builder_add(struct builder *d, const struct candidate *c);

/* A formatted copy, cut where it becomes too long to read; NULL when out of memory. What follows
 * takes one over. */
char *plan_text(struct builder *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

void plan_evidence_add(struct builder *d, struct builder_choice *dc, enum plan_rung rung,
                       enum tri ok, char *detail);
#define plan_builder_tell(d, dc, rung, ok, ...)                                                    \
    plan_evidence_add(d, dc, rung, ok, plan_text(d, __VA_ARGS__))

/* The choice fails at this rung: evidence, code and reason. Always false, so that a check can end
 * with it. */
bool plan_reject(struct builder *d, struct builder_choice *dc, enum plan_rung rung, int code,
                 char *reason);
#define plan_builder_reject(d, dc, rung, code, ...)                                                \
    plan_reject(d, dc, rung, code, plan_text(d, __VA_ARGS__))

/* A rejected choice that was not looked at: no evidence. */
void plan_refuse(struct builder *d, const struct candidate *c, int code, char *reason);
#define plan_builder_refuse(d, c, code, ...) plan_refuse(d, c, code, plan_text(d, __VA_ARGS__))

/* The reason of a choice; what would help against its rejection: a command, with words behind #, or
 * words. Before the rejection. */
void plan_text_set(char **text, char *to);
#define plan_builder_reason(d, dc, ...)                                                            \
    plan_text_set(&(dc)->choice.reason, plan_text(d, __VA_ARGS__))
#define plan_builder_remedy(d, dc, ...)                                                            \
    plan_text_set(&(dc)->choice.remedy, plan_text(d, __VA_ARGS__))

/* Add to the environment ("NAME=text"), the arguments or the warnings. A NAME that is there already
 * keeps its first value. */
void plan_list_add(struct builder *d, char ***list, char *text);
void plan_env_add(struct builder *d, struct builder_choice *dc, char *variable);
#define plan_builder_env(d, dc, ...) plan_env_add(d, dc, plan_text(d, __VA_ARGS__))
#define plan_builder_arg(d, dc, ...) plan_list_add(d, &(dc)->choice.args, plan_text(d, __VA_ARGS__))
#define plan_builder_warn(d, dc, ...)                                                              \
    plan_list_add(d, &(dc)->choice.warning, plan_text(d, __VA_ARGS__))

/* Memory that a GPU must have to hold the whole model; 0 unknown. */
uint64_t plan_memory_need(const struct plan_request *request);

/* Do this computer and the nodes of the candidate hold the model with what is free now, as far as
 * is known? */
bool plan_memory_is_enough(struct builder *d, const struct candidate *c);

/* Memory that a model may use now: of the GPU, or RAM where the backend computes on the CPU. 0
 * unknown. */
uint64_t plan_memory_have(struct builder *d, const struct candidate *c);

/* Behind a sentence about the package: what is known of it on such GPUs elsewhere, if anything. */
void plan_builder_known(const struct builder_choice *dc, struct buf *ret);

/* Best first: see docs/how-it-decides.md. */
void plan_builder_sort(struct builder *d);

/* Does a come first, as if neither were rejected? */
bool plan_builder_before(const struct builder_choice *a, const struct builder_choice *b);

/* Hand the choices over to an array of plan choices; the draft holds none afterwards. NULL when out
 * of memory or when there is none. */
struct plan_choice *plan_builder_take(struct builder *d, size_t *ret_n);

/* What the package of a candidate holds code for. Measured files win over the table. False: nothing
 * is known about it. */
bool plan_candidate_gfx(const struct candidate *c, struct str *ret_list);
struct str plan_candidate_package(const struct candidate *c);  /* id; empty: none */
struct str plan_candidate_provider(const struct candidate *c); /* empty: unknown */
struct str plan_candidate_runtime(const struct candidate *c);  /* empty: unknown */

/*
 * Every package of a backend that is or can be on this computer, in the table's order: one
 * candidate an installed copy, or one for a package to be installed. *ret is NULL or to be freed;
 * the GPU of each is left to the caller. Rows that no provider of ours can install are left out,
 * but count for answers about Windows, which come from the table alone.
 */
size_t plan_candidate_list(struct builder *d, enum plan_backend backend, struct candidate **ret);

/* May a package row be run on this operating system and processor? */
bool plan_candidate_row_fits(const struct builder *d, const struct gfx_package *row);

/* Is this backend asked for, or allowed by the policy? If not, the choice that says so is added. */
bool plan_builder_wants(struct builder *d, enum plan_backend backend);

/* Is this GPU the one asked for, if one was? If not, the choice that says so is added. */
bool plan_builder_wants_gpu(struct builder *d, enum plan_backend backend,
                            const struct machine_gpu *gpu);

/* Is there a GPU at the address that was asked for? If not, the choice that says so is added. */
bool plan_builder_has_pinned(struct builder *d, enum plan_backend backend);

/* A choice for which E0 to E2 hold: fingerprint, network, stored proof, and the reason that says
 * how it stands. */
void plan_resolve_choice(struct builder *d, struct builder_choice *dc);

/* The backends: each adds at least one choice when it is asked for. */
void plan_builder_rocm(struct builder *d);
void plan_builder_vulkan(struct builder *d);
void plan_builder_software(struct builder *d);
void plan_builder_cpu(struct builder *d);

/* One candidate of a backend becomes a choice. */
void plan_rocm_judge(struct builder *d, const struct candidate *c);
void plan_vulkan_judge(struct builder *d, const struct candidate *c);
void plan_software_judge(struct builder *d, const struct candidate *c);
void plan_cpu_judge(struct builder *d, const struct candidate *c);

/* What a proof of this choice is stored under; out of memory is remembered in the draft. */
void plan_fingerprint_write(struct builder *d, struct builder_choice *dc);

void plan_choice_done(struct plan_choice *choice);

#endif
