/*
 * gguf.h - what the header of a GGUF file says, read with bounds. Part of model/model.h.
 */
#ifndef MODEL_GGUF_GGUF_H
#define MODEL_GGUF_GGUF_H

#include "base/base.h"
#include "plan/plan.h"

#define GGUF_LAYERS_MAX 512 /* of the engine */

/* What a file is for, by its own header. */
enum gguf_kind {
    GGUF_MODEL,      /* text in, text or vectors out */
    GGUF_PROJECTOR,  /* turns pictures or sound into what a model reads: goes beside it */
    GGUF_ADAPTER,    /* LoRA or control vector: nothing without its model */
    GGUF_VOCABULARY, /* no tensors */
    GGUF_OTHER,      /* imatrix, a diffusion model ...: no language model */
};

/* One layer. Numbers are those that the file says for it, or the model's own where it says none. */
struct gguf_layer {
    uint64_t bytes;        /* of its tensors */
    uint64_t expert_bytes; /* of these, weights of routed experts */
    uint32_t heads, heads_kv, feed_forward;
    bool windowed;  /* the file says that it attends to the sliding window alone */
    bool attention; /* has tensors for keys */
    bool fused;     /* has one tensor for queries, keys and values */
    bool state;     /* has tensors of a recurrent state */
    bool gated;     /* has a gate in its feed-forward part */
};

struct gguf {
    enum gguf_kind kind;
    uint32_t version;
    char *architecture;    /* "qwen3"; "" none */
    char *name;            /* general.name; NULL none */
    char *licence;         /* general.license; NULL none */
    char *template;        /* tokenizer.chat_template; NULL none */
    char *tokenizer;       /* tokenizer.ggml.model: "gpt2"; NULL none */
    char quantisation[24]; /* "Q4_K_M"; "" unknown */
    uint64_t bytes;        /* of all files */
    uint64_t parameters, tensors;
    uint64_t types;         /* a bit for each type (gguf_type_name) that matrices have */
    uint32_t part, parts;   /* this file's place among them from 0; 0 of 1 when it is not split */
    uint32_t parts_tensors; /* that all parts should have together; 0 not said */
    /* Sizes of the model; 0 not said. */
    uint32_t context, layers, embedding, feed_forward, heads, heads_kv, vocabulary;
    uint32_t key_length, value_length;         /* of one head */
    uint32_t key_length_swa, value_length_swa; /* of windowed layers, where they differ */
    uint32_t kv_lora_rank, key_length_mla;     /* both: keys are kept compressed, no values (MLA) */
    uint32_t sliding_window, window_period;    /* every period-th layer sees everything */
    uint32_t shared_kv_layers;                 /* last ones that reuse another layer's cache */
    uint32_t full_attention_interval;          /* one layer in this many is not recurrent */
    uint32_t ssm_conv, ssm_inner, ssm_state, ssm_groups, ssm_rank;
    uint32_t shortconv, wkv_head, token_shift, kda_head;
    uint32_t experts, experts_used, expert_feed_forward;
    uint32_t predict_layers;  /* of the layers, those that only guess ahead (nextn) */
    uint32_t pooling;         /* GGUF_POOLING_NOT_SAID, or the format's number; 4 is a reranker */
    bool causal;              /* attention.causal; true unless said otherwise */
    bool hears;               /* a projector that takes sounds */
    bool window_said;         /* which layers are windowed stands in the file */
    uint64_t input_bytes;     /* token embeddings and what else goes before the layers */
    uint64_t output_bytes;    /* output matrix and norms behind the layers */
    uint64_t token_bytes;     /* of the token embeddings alone */
    bool output_own;          /* has an output matrix; else the token embeddings are used twice */
    struct gguf_layer *layer; /* layers of them; owned */
};

#define GGUF_POOLING_NOT_SAID UINT32_MAX

/* "Q4_K" of a tensor's type; NULL: no such type. */
const char *gguf_type_name(uint32_t type);

/*
 * Read a file's header, and of a split model those of all parts beside it. Every length is bounded
 * by the file's size; nothing of the weights is read. 0 for every well-formed file, also one that
 * is no model: look at kind, or ask gguf_require_model. Errors in words:
 * -GFXB_E_MODEL_DAMAGED (no GGUF, damaged, truncated or hostile: what and where; a part that does
 * not belong), -GFXB_E_MODEL_UNUSABLE (a part that is not the first), -ENOENT, -errno.
 */
int gguf_read(const char *path, struct gguf *ret_gguf, struct gfxb_error *err);
void gguf_done(struct gguf *gguf);

/* The same over bytes that are a file's beginning; size is the file's. For tests and for a header
 * that arrives over the network: -EAGAIN when more of it is needed. */
int gguf_read_bytes(const char *what, const void *bytes, size_t n, uint64_t size,
                    struct gguf *ret_gguf, struct gfxb_error *err);

/* -GFXB_E_MODEL_UNUSABLE with a sentence for everything but GGUF_MODEL: what it is and how it is
 * used instead. */
int gguf_require_model(const struct gguf *gguf, const char *what, struct gfxb_error *err);

/* ---- the header's numbers -> what the plan computes with ---- */

/*
 * What each layer weighs and keeps, by the file and by data/architectures.tsv (which says what
 * files leave out). projector_bytes: size of its projector's file; 0 none. -ENOMEM, or
 * -GFXB_E_MODEL_DAMAGED for sizes whose product is absurd. model_shape_done frees.
 */
int model_shape_new(const struct gguf *gguf, uint64_t projector_bytes, struct fit_model *ret_model,
                    struct gfxb_error *err);
void model_shape_done(struct fit_model *model);

#endif
