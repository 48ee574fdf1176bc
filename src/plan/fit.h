/*
 * fit.h - does a model fit, with how much context, and with how many layers on the GPU? Part of
 * plan/plan.h. Pure arithmetic: model/ fills struct fit_model from a file's header.
 *
 * What the engine allocates and how that was measured is written down in docs/fit.md.
 */
#ifndef PLAN_FIT_H
#define PLAN_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fewer tokens than this are of no use to anybody; and what is given without being asked for. */
#define FIT_CONTEXT_LEAST 4096
#define FIT_CONTEXT_USUAL 32768

struct fit_layer {
    uint64_t weights; /* bytes */
    uint64_t cache;   /* bytes of keys and values of one token, 16 bits a number; 0 none */
    uint64_t state;   /* bytes of a recurrent state of one conversation; 0 none */
    bool windowed;    /* keeps the tokens of the window alone */
};

struct fit_model {
    struct fit_layer *layer;
    size_t n_layers;
    uint64_t input_weights;   /* token embeddings: they stay in the computer's memory */
    uint64_t output_weights;  /* behind the layers, on the GPU when anything is */
    uint64_t output_repeated; /* token embeddings that are the output matrix too: a second copy of
                                 them goes to the GPU. 0: the model has an output matrix */
    uint64_t projector;       /* bytes; 0 none */
    uint32_t window;          /* tokens that a windowed layer looks back */
    uint32_t context_most;    /* tokens that the model was trained for */
    uint32_t width;           /* numbers of one token between layers */
    uint32_t live;            /* numbers of one token that are needed at once, at most */
    uint32_t vocabulary;
    bool cached; /* keeps anything from token to token: false for encoders */
};

/* How it is to run; 0 takes what is in brackets. */
struct fit_use {
    uint32_t context; /* [as much as is usual and fits] tokens of one request */
    uint32_t slots;   /* [1] requests at the same time, each with a cache of its own; at most */
    uint32_t batch;   /* [512] tokens computed at once: -ub */
    /* [1] that share the layers, on other computers too: each has buffers of its own to compute
     * with */
    uint32_t gpus;
    /* Bytes of the largest tensor that the device takes; what is larger stays on the CPU. [no
     * limit] */
    uint64_t tensor_most;
};

/* Bytes, as the engine's log names them. */
struct fit_part {
    uint64_t weights, cache, state, compute, output, projector;
    uint64_t total;
};

struct fit_need {
    struct fit_part gpu, host;
};

/* With this context (not 0) for each slot and the last gpu_layers layers on the GPU; n_layers + 1
 * and more is all of it, with the output matrix; 0 the CPU alone. */
void fit_need(const struct fit_model *model, const struct fit_use *use, uint32_t context,
              size_t gpu_layers, struct fit_need *ret_need);

/* Left free of so much memory: for the driver and the screen, or for everything else that runs. */
uint64_t fit_margin(uint64_t have);

/* What remains of it for a model. */
uint64_t fit_usable(uint64_t have);

#define FIT_NODES_MOST 8

/* Bytes that there are. */
struct fit_memory {
    uint64_t gpu;  /* 0: no GPU, the CPU computes */
    uint64_t host; /* 0: unknown, and enough */
    bool shared;   /* the GPU's is a part of the host's */
    /* Of other computers, each with its like of a GPU. Layers go to the CPU first, then to these,
     * and the last ones to the GPU: so the engine does it. */
    uint64_t node[FIT_NODES_MOST];
    size_t n_nodes;
};

/* The least that a GPU needs for all of it, or the computer without one: with the least context. */
uint64_t fit_least(const struct fit_model *model, const struct fit_use *use, bool gpu);

struct fit_choice {
    uint32_t context;  /* tokens of one request */
    uint32_t slots;    /* requests at the same time, each with so much context */
    size_t gpu_layers; /* n_layers + 1: all of it */
    bool whole;        /* everything that a GPU can hold is on it, or it is the CPU's choice */
    struct fit_need need;
    /* With nodes, where it fits: of the gpu_layers and of the bytes what each of them takes, in
     * such a way that all are filled alike. need.gpu is then the GPU's of this computer. */
    size_t node_layers[FIT_NODES_MOST];
    uint64_t node_bytes[FIT_NODES_MOST];
    unsigned filled; /* 1,024ths of each that may be taken, or one layer where that is more */
};

/*
 * The best way to run it: all of it, with as much of the usual context as fits for one request,
 * then for as many requests at a time as the memory pays for, then with more context on a GPU; else
 * as many layers as fit with the least context, for one request at a time. False when it fits in no
 * way: *ret_choice is then what would be needed at least.
 */
bool fit_choose(const struct fit_model *model, const struct fit_use *use,
                const struct fit_memory *memory, struct fit_choice *ret_choice);

/* Bytes that go over the links for one token of an answer, when the context is full: docs/nodes.md
 * has what was measured. gpu: the last layers are on this computer's. */
uint64_t fit_link_bytes(const struct fit_model *model, const struct fit_use *use,
                        const struct fit_choice *choice, size_t n_nodes, bool gpu);

enum fit_way { FIT_NOWHERE, FIT_PART, FIT_WHOLE };

/* Where only the size is known: all of it on the GPU (or on the CPU, where there is no GPU), a part
 * of it, or not even with both memories together. */
enum fit_way fit_by_size(uint64_t need, const struct fit_memory *memory);

#endif
