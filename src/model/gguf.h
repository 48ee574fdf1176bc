/*
 * gguf.h - what the header of a GGUF file says, read with bounds. Part of model/model.h.
 */
#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include "base/base.h"

#define GGUF_LAYERS_MAX 1024

/* What a file is for, by its own header. */
enum gguf_kind {
    GGUF_MODEL,      /* text in, text or vectors out */
    GGUF_PROJECTOR,  /* turns pictures or sound into what a model reads: goes with --mmproj */
    GGUF_ADAPTER,    /* LoRA or control vector: nothing without its model */
    GGUF_VOCABULARY, /* no tensors */
    GGUF_OTHER,      /* imatrix, a diffusion model ...: no language model */
};

/* One layer. Sizes are those that the file says for it, or the model's own where it says none. */
struct gguf_layer {
    uint64_t bytes;        /* of its tensors */
    uint64_t expert_bytes; /* of these, weights of routed experts */
    uint32_t heads, heads_kv, feed_forward;
    bool windowed;  /* attends to the sliding window alone */
    bool recurrent; /* keeps a state of fixed size and no keys and values */
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
    uint64_t parameters;
    uint64_t n_tensors;
    uint32_t split_count; /* 1 of an unsplit file */
    uint32_t alignment;
    /* Sizes of the model; 0 not said. */
    uint32_t context, layers, embedding, feed_forward, heads, heads_kv, vocabulary;
    uint32_t key_length, value_length;         /* per head; 0 for no attention */
    uint32_t key_length_swa, value_length_swa; /* of windowed layers */
    uint32_t kv_lora_rank, rope_dimensions;    /* kv_lora_rank > 0: MLA */
    uint32_t key_length_mla, value_length_mla;
    uint32_t sliding_window;
    uint32_t ssm_conv, ssm_inner, ssm_state, ssm_groups, ssm_rank;
    uint32_t experts, experts_used, expert_feed_forward;
    uint32_t predict_layers;  /* of the layers, those that only guess ahead (nextn) */
    int32_t pooling;          /* -1 not said; 4 is a reranker */
    bool causal;              /* attention.causal; true unless said otherwise */
    uint64_t input_bytes;     /* token embeddings and what goes before the layers */
    uint64_t output_bytes;    /* output matrix and norms behind the layers */
    bool tied;                /* no output matrix of its own: token embeddings are used twice */
    struct gguf_layer *layer; /* layers of them; owned */
};

/*
 * Read a file's header, and of a split model those of all parts beside it. Every length is bounded
 * by the file's size; nothing of the weights is read. 0 for every well-formed file, also one that
 * is no model: look at kind, or ask gguf_require_model. Errors in words: -EBADMSG (no GGUF, damaged
 * or hostile: what and where), -ENODATA (truncated, with the bytes that are missing), -ENOENT (a
 * part is missing), -errno.
 */
int gguf_read(const char *path, struct gguf *ret_gguf, struct gfxb_error *err);
void gguf_done(struct gguf *gguf);

/* The same over bytes that are a file's beginning; size is the file's. For tests and for a header
 * that arrives over the network: -EAGAIN when more of it is needed. */
int gguf_read_bytes(const char *what, const void *bytes, size_t n, uint64_t size,
                    struct gguf *ret_gguf, struct gfxb_error *err);

/* Fails with a sentence for everything but GGUF_MODEL: what it is and how it is used instead. */
int gguf_require_model(const struct gguf *gguf, const char *what, struct gfxb_error *err);

#endif
