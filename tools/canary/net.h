// The canary's network: llama architecture, small enough to train on a CPU in minutes.
#ifndef CANARY_NET_H
#define CANARY_NET_H

#include <stddef.h>

#include "corpus.h"
#include "vocab.h"

enum {
    NET_DIM = 256, // K-quants need rows of a multiple of 256
    NET_FF = 512,
    NET_LAYERS = 2,
    NET_HEADS = 4,
    NET_KV_HEADS = 2,
    NET_HEAD_DIM = 64, // a size that every flash-attention kernel has
    NET_KV_DIM = NET_KV_HEADS * NET_HEAD_DIM,
    NET_ROPE_BASE = 10000,
    NET_CONTEXT = 4096, // what the file says; training sees far shorter prompts
};
#define NET_EPSILON 1e-5f

enum layer_tensor {
    ATTN_NORM,
    ATTN_Q,
    ATTN_K,
    ATTN_V,
    ATTN_OUT,
    FFN_NORM,
    FFN_GATE,
    FFN_UP,
    FFN_DOWN,
    LAYER_TENSORS,
};

enum {
    TENSOR_EMBED = 0,
    TENSOR_OUT_NORM = 1 + NET_LAYERS * LAYER_TENSORS,
    TENSOR_OUT,
    TENSORS,
};

struct tensor {
    char name[40]; // as in the GGUF file
    int rows;
    int cols;
    int type;  // enum quant_type
    size_t at; // first float in an array of weights or gradients
};

struct net_layout {
    struct tensor tensors[TENSORS];
    size_t n_floats;
};

enum { BATCH_TOKENS = 2048, BATCH_SEQUENCES = 64 };

// Token sequences one after the other.
struct batch {
    int tokens[BATCH_TOKENS];
    int targets[BATCH_TOKENS]; // the token to come, or -1 where none is learned
    int starts[BATCH_SEQUENCES + 1];
    int n_sequences;
    int n_targets;
};

struct net_work; // the activations of one batch

void net_layout_init(struct net_layout *l);
static inline int net_layer_tensor(int layer, enum layer_tensor t)
{
    return 1 + layer * LAYER_TENSORS + (int)t;
}

void net_random(const struct net_layout *l, struct rng *r, float *ret_weights);

struct net_work *net_work_new(void);
void net_work_free(struct net_work *w);

// Appends a prompt and its answer as the chat template writes them; the answer's first `skip`
// tokens are not learned. 0, or -1 when the batch is full.
int batch_add(struct batch *b, const struct vocab *v, const char *prompt, const char *answer,
              int skip);

// Makes `token` the target of every position that has one.
void batch_retarget(struct batch *b, int token);

// Computes the logits of every position that has a target.
void net_forward(const struct net_layout *l, const float *weights, const struct batch *b,
                 struct net_work *w);

// After net_forward: adds the gradients of the mean cross-entropy over `n_targets` targets to
// `gradients` and returns the summed loss. `margin` is taken off the right token's logit first, so
// that it must win by more.
float net_backward(const struct net_layout *l, const float *weights, const struct batch *b,
                   struct net_work *w, float margin, int n_targets, float *gradients);

// After net_forward: the right token's logit less the best other one, least over sequence `s`.
float net_margin(const struct batch *b, const struct net_work *w, int s);

#endif
