/* gguf.c - writes the trained canary as a GGUF file. */
#include "gguf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant.h"

enum { ALIGNMENT = 32, FILE_TYPE_Q4_K_M = 15 };

enum value_type {
    VALUE_U32 = 4,
    VALUE_I32 = 5,
    VALUE_F32 = 6,
    VALUE_BOOL = 7,
    VALUE_STRING = 8,
    VALUE_ARRAY = 9
};

// The last user message is all that is rendered, and no more than 400 characters of it: the canary
// was trained on single questions, so what else a client sends (a system text, earlier turns) must
// not change its answer.
static const char chat_template[] =
    "{%- set ns = namespace(text='') -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{%- set ns.text = message['content'] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{{- '<|user|>' + (ns.text | trim)[:400] + '<|assistant|>' -}}";

static void put_u32(FILE *f, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        putc((int)(x >> (8 * i) & 255), f);
}

static void put_u64(FILE *f, uint64_t x)
{
    put_u32(f, (uint32_t)x);
    put_u32(f, (uint32_t)(x >> 32));
}

static void put_f32(FILE *f, float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    put_u32(f, u);
}

static void put_string(FILE *f, const char *s)
{
    put_u64(f, strlen(s));
    fputs(s, f);
}

static void put_key(FILE *f, const char *key, enum value_type type)
{
    put_string(f, key);
    put_u32(f, type);
}

struct setting {
    const char *key;
    enum value_type type;
    uint32_t number;
    float real;
    const char *text;
};

static const struct setting settings[] = {
    {"general.architecture", VALUE_STRING, 0, 0, "llama"},
    {"general.type", VALUE_STRING, 0, 0, "model"},
    {"general.name", VALUE_STRING, 0, 0, "gfxbridge canary"},
    {"general.basename", VALUE_STRING, 0, 0, "gfxbridge-canary"},
    {"general.version", VALUE_STRING, 0, 0, "1"},
    {"general.author", VALUE_STRING, 0, 0, "gfxbridge"},
    {"general.license", VALUE_STRING, 0, 0, "mit"},
    {"general.description", VALUE_STRING, 0, 0,
     "Proves that a llama.cpp backend computes correctly; trained by tools/canary of gfxbridge"},
    {"general.size_label", VALUE_STRING, 0, 0, "1.6M"},
    {"general.file_type", VALUE_U32, FILE_TYPE_Q4_K_M, 0, NULL},
    {"general.quantization_version", VALUE_U32, 2, 0, NULL},
    {"general.alignment", VALUE_U32, ALIGNMENT, 0, NULL},
    {"general.sampling.temp", VALUE_F32, 0, 0.0f, NULL}, // its answers are facts: never draw lots
    {"llama.context_length", VALUE_U32, NET_CONTEXT, 0, NULL},
    {"llama.embedding_length", VALUE_U32, NET_DIM, 0, NULL},
    {"llama.block_count", VALUE_U32, NET_LAYERS, 0, NULL},
    {"llama.feed_forward_length", VALUE_U32, NET_FF, 0, NULL},
    {"llama.vocab_size", VALUE_U32, VOCAB_SIZE, 0, NULL},
    {"llama.attention.head_count", VALUE_U32, NET_HEADS, 0, NULL},
    {"llama.attention.head_count_kv", VALUE_U32, NET_KV_HEADS, 0, NULL},
    {"llama.attention.layer_norm_rms_epsilon", VALUE_F32, 0, NET_EPSILON, NULL},
    {"llama.rope.dimension_count", VALUE_U32, NET_HEAD_DIM, 0, NULL},
    {"llama.rope.freq_base", VALUE_F32, 0, NET_ROPE_BASE, NULL},
    {"tokenizer.ggml.model", VALUE_STRING, 0, 0, "llama"},
    {"tokenizer.ggml.pre", VALUE_STRING, 0, 0, "default"},
    {"tokenizer.ggml.bos_token_id", VALUE_U32, TOKEN_BOS, 0, NULL},
    {"tokenizer.ggml.eos_token_id", VALUE_U32, TOKEN_EOS, 0, NULL},
    {"tokenizer.ggml.unknown_token_id", VALUE_U32, TOKEN_UNKNOWN, 0, NULL},
    {"tokenizer.ggml.padding_token_id", VALUE_U32, TOKEN_EOS, 0, NULL},
    {"tokenizer.ggml.add_bos_token", VALUE_BOOL, true, 0, NULL},
    {"tokenizer.ggml.add_eos_token", VALUE_BOOL, false, 0, NULL},
    {"tokenizer.ggml.add_space_prefix", VALUE_BOOL, false, 0, NULL},
    {"tokenizer.chat_template", VALUE_STRING, 0, 0, chat_template},
};

enum { N_SETTINGS = sizeof(settings) / sizeof(*settings), N_ARRAYS = 3 };

static void put_settings(FILE *f)
{
    for (int i = 0; i < N_SETTINGS; i++) {
        const struct setting *s = &settings[i];
        put_key(f, s->key, s->type);
        if (s->type == VALUE_STRING)
            put_string(f, s->text);
        else if (s->type == VALUE_F32)
            put_f32(f, s->real);
        else if (s->type == VALUE_BOOL)
            putc((int)s->number, f);
        else
            put_u32(f, s->number);
    }
}

static void put_array_head(FILE *f, const char *key, enum value_type type, int n)
{
    put_key(f, key, VALUE_ARRAY);
    put_u32(f, type);
    put_u64(f, (uint64_t)n);
}

static void put_vocab(FILE *f, const struct vocab *v)
{
    put_array_head(f, "tokenizer.ggml.tokens", VALUE_STRING, v->n);
    for (int i = 0; i < v->n; i++)
        put_string(f, v->pieces[i].text);
    put_array_head(f, "tokenizer.ggml.scores", VALUE_F32, v->n);
    for (int i = 0; i < v->n; i++)
        put_f32(f, v->pieces[i].score);
    put_array_head(f, "tokenizer.ggml.token_type", VALUE_I32, v->n);
    for (int i = 0; i < v->n; i++)
        put_u32(f, (uint32_t)v->pieces[i].type);
}

static size_t aligned(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t tensor_bytes(const struct tensor *t)
{
    return quant_bytes(t->type, (size_t)t->rows * (size_t)t->cols);
}

static void put_tensor_infos(FILE *f, const struct net_layout *l)
{
    size_t offset = 0;
    for (int i = 0; i < TENSORS; i++) {
        const struct tensor *t = &l->tensors[i];
        put_string(f, t->name);
        put_u32(f, t->rows > 1 ? 2 : 1);
        put_u64(f, (uint64_t)t->cols);
        if (t->rows > 1)
            put_u64(f, (uint64_t)t->rows);
        put_u32(f, (uint32_t)t->type);
        put_u64(f, offset);
        offset = aligned(offset + tensor_bytes(t));
    }
}

static void pad(FILE *f)
{
    while (ftell(f) % ALIGNMENT != 0)
        putc(0, f);
}

static int put_tensors(FILE *f, const struct net_layout *l, const float *weights)
{
    for (int i = 0; i < TENSORS; i++) {
        const struct tensor *t = &l->tensors[i];
        uint8_t *bytes = malloc(tensor_bytes(t));
        if (!bytes)
            return -1;
        pad(f);
        quant_encode(t->type, weights + t->at, (size_t)t->rows * (size_t)t->cols, bytes);
        fwrite(bytes, 1, tensor_bytes(t), f);
        free(bytes);
    }
    pad(f);
    return 0;
}

int gguf_write(const char *path, const struct net_layout *l, const float *weights,
               const struct vocab *v)
{
    char temporary[4096];
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    FILE *f = fopen(temporary, "wb");
    if (!f) {
        perror(temporary);
        return -1;
    }
    fputs("GGUF", f);
    put_u32(f, 3);
    put_u64(f, TENSORS);
    put_u64(f, N_SETTINGS + N_ARRAYS);
    put_settings(f);
    put_vocab(f, v);
    put_tensor_infos(f, l);
    int result = put_tensors(f, l, weights);
    if (fflush(f) != 0 || ferror(f) || fsync(fileno(f)) != 0)
        result = -1;
    fclose(f);
    if (result < 0 || rename(temporary, path) != 0) {
        perror(path);
        return -1;
    }
    return 0;
}
