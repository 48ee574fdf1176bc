/* seeded.c - writes a model of random weights in any tensor type, from a seed. */
#include "engine/seeded.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

/* splitmix64 */
struct seeded_random {
    uint64_t state;
};

static uint64_t random_next(struct seeded_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From 0 to less than 1, in steps of 2^-24: exact in a float. */
static float random_unit(struct seeded_random *r)
{
    return (float)(random_next(r) >> 40) / 16777216.0f;
}

/* ---- tensor types ---- */

enum seeded_scale {
    SCALE_NONE,   /* each element is a number of its own */
    SCALE_HALF,   /* a 16-bit float at `scale`, and a minimum at `minimum` where there is one */
    SCALE_POWER,  /* one byte: a power of two (E8M0) */
    SCALE_SMALL,  /* four bytes: 8-bit floats without a sign (UE4M3) */
    SCALE_SPREAD, /* a 16-bit float in the highest four bits of four words at `scale` */
};

/*
 * How a block holds its numbers (ggml-common.h of llama.cpp 0.7.0). All bytes but the scales are
 * random. spread: the standard deviation of the elements of such a block with a scale of 1, so that
 * matrices of all types are equally large. minimum is `middle` times the scale, which puts the mean
 * near 0.
 */
struct seeded_type {
    const char *name;
    uint32_t id;
    uint16_t elements, bytes; /* of a block */
    enum seeded_scale kind;
    uint16_t scale, minimum; /* offsets; minimum 0: none */
    float spread, middle;
};

static const struct seeded_type seeded_types[] = {
    {"F32", 0, 1, 4, SCALE_NONE, 0, 0, 1, 0},
    {"F16", 1, 1, 2, SCALE_NONE, 0, 0, 1, 0},
    {"BF16", 30, 1, 2, SCALE_NONE, 0, 0, 1, 0},
    {"Q4_0", 2, 32, 18, SCALE_HALF, 0, 0, 4.6f, 0},
    {"Q4_1", 3, 32, 20, SCALE_HALF, 0, 2, 4.6f, -7.5f},
    {"Q5_0", 6, 32, 22, SCALE_HALF, 0, 0, 9.2f, 0},
    {"Q5_1", 7, 32, 24, SCALE_HALF, 0, 2, 9.2f, -15.5f},
    {"Q8_0", 8, 32, 34, SCALE_HALF, 0, 0, 73.9f, 0},
    {"Q2_K", 10, 256, 84, SCALE_HALF, 80, 82, 13.9f, 1.5f},
    {"Q3_K", 11, 256, 110, SCALE_HALF, 108, 0, 43, 0},
    {"Q4_K", 12, 256, 144, SCALE_HALF, 0, 2, 255, 7.5f},
    {"Q5_K", 13, 256, 176, SCALE_HALF, 0, 2, 521, 15.5f},
    {"Q6_K", 14, 256, 210, SCALE_HALF, 208, 0, 1367, 0},
    {"IQ2_XXS", 16, 256, 66, SCALE_HALF, 0, 0, 45, 0},
    {"IQ2_XS", 17, 256, 74, SCALE_HALF, 0, 0, 45, 0},
    {"IQ3_XXS", 18, 256, 98, SCALE_HALF, 0, 0, 130, 0},
    {"IQ1_S", 19, 256, 50, SCALE_HALF, 0, 0, 7, 0},
    {"IQ4_NL", 20, 32, 18, SCALE_HALF, 0, 0, 70, 0},
    {"IQ3_S", 21, 256, 110, SCALE_HALF, 0, 0, 135, 0},
    {"IQ2_S", 22, 256, 82, SCALE_HALF, 0, 0, 45, 0},
    {"IQ4_XS", 23, 256, 136, SCALE_HALF, 0, 0, 1300, 0},
    {"IQ1_M", 29, 256, 56, SCALE_SPREAD, 48, 0, 7, 0},
    {"TQ1_0", 34, 256, 54, SCALE_HALF, 52, 0, 0.8f, 0},
    {"TQ2_0", 35, 256, 66, SCALE_HALF, 64, 0, 0.8f, 0},
    {"MXFP4", 39, 32, 17, SCALE_POWER, 0, 0, 3.2f, 0},
    {"NVFP4", 40, 64, 36, SCALE_SMALL, 0, 0, 3.2f, 0},
    {"Q1_0", 41, 128, 18, SCALE_HALF, 0, 0, 1, 0},
};

static const struct seeded_type *type_find(struct str name)
{
    for (size_t i = 0; i < sizeof(seeded_types) / sizeof(seeded_types[0]); i++) {
        if (str_is(name, seeded_types[i].name))
            return &seeded_types[i];
    }
    return NULL;
}

static void put_u16(unsigned char *p, unsigned value)
{
    p[0] = (unsigned char)value;
    p[1] = (unsigned char)(value >> 8);
}

static uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* The nearest 16-bit float of a number whose size is at most 2^15. Models have scales below 2^-14,
 * where its steps are 2^-24. */
static unsigned half_bits(float x)
{
    uint32_t bits = float_bits(x);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size < 0x38800000)
        return sign | (uint32_t)lroundf(fabsf(x) * 16777216.0f);
    return sign | ((size - 0x38000000 + 0x1000) >> 13);
}

static void block_number(const struct seeded_type *t, float x, unsigned char *p)
{
    if (t->bytes == 4) {
        put_u16(p, float_bits(x) & 0xffff);
        put_u16(p + 2, float_bits(x) >> 16);
    } else {
        bool brain = strcmp(t->name, "BF16") == 0;
        put_u16(p, brain ? float_bits(x) >> 16 : half_bits(x));
    }
}

/* Every byte is a valid one but those of TQ2_0, where two bits are 0, 1 or 2. */
static void block_fill(const struct seeded_type *t, struct seeded_random *r, unsigned char *p)
{
    for (size_t i = 0; i < t->bytes; i += 8) {
        uint64_t bits = random_next(r);
        for (size_t k = i; k < i + 8 && k < t->bytes; k++, bits >>= 8)
            p[k] = (unsigned char)bits;
    }
    for (size_t i = 0; strcmp(t->name, "TQ2_0") == 0 && i < 64; i++)
        p[i] = (unsigned char)(p[i] & ~((p[i] & p[i] >> 1 & 0x55) << 1));
}

/* One block whose elements spread by `spread` around 0. */
static void block_random(const struct seeded_type *t, struct seeded_random *r, float spread,
                         unsigned char *p)
{
    if (t->kind == SCALE_NONE) {
        block_number(t, (2 * random_unit(r) - 1) * 1.732f * spread, p);
        return;
    }
    block_fill(t, r, p);
    float scale = spread / t->spread;
    int power = (int)lroundf(log2f(scale));
    if (t->kind == SCALE_POWER) {
        p[0] = (unsigned char)(127 + power);
        return;
    }
    if (t->kind == SCALE_SMALL) {
        for (int i = 0; i < 4; i++)
            p[i] = (unsigned char)((7 + power) * 8 + (p[i] & 7));
        return;
    }
    unsigned half = half_bits(scale * (0.75f + 0.5f * random_unit(r)));
    if (t->kind == SCALE_SPREAD) {
        for (int i = 0; i < 4; i++)
            p[t->scale + 2 * i + 1] =
                (unsigned char)((p[t->scale + 2 * i + 1] & 0x0f) | (half >> 4 * i & 0xf) << 4);
        return;
    }
    put_u16(p + t->scale, half);
    if (t->minimum)
        put_u16(p + t->minimum, half_bits(scale * t->middle));
}

/* ---- shapes ---- */

struct seeded_shape {
    const char *name, *architecture;
    int width, forward, layers, heads, kv_heads, head;
    int experts, used; /* 0: none */
    int window;        /* tokens; 0: none */
    bool head_norms, post_norms;
};

static const struct seeded_shape seeded_shapes[] = {
    {"dense", "llama", 256, 512, 2, 4, 2, 64, 0, 0, 0, false, false},
    {"window", "gemma3", 256, 512, 6, 4, 2, 128, 0, 0, 64, true, true},
    {"experts", "qwen3moe", 256, 256, 2, 4, 1, 128, 8, 2, 0, true, false},
};

struct seeded_tensor {
    char name[48];
    int n_dims;
    uint64_t dims[3];
    const struct seeded_type *type;
    uint64_t offset;
};

enum { SEEDED_TENSORS_MAX = 96, SEEDED_ALIGNMENT = 32, SEEDED_TYPES_MAX = 16 };

struct seeded_file {
    const struct seeded_shape *shape;
    const struct seeded_type *types[SEEDED_TYPES_MAX]; /* matrices have them in turn */
    size_t n_types, next_type;
    struct seeded_random random;
    struct seeded_tensor tensor[SEEDED_TENSORS_MAX];
    size_t n_tensors;
    struct buf data;
    bool hollow;   /* all weights are 0 and are not written: */
    uint64_t size; /* of the data, written or not */
    struct buf head;
    uint64_t n_settings;
};

static void file_fill(struct seeded_file *f, const void *bytes, size_t n)
{
    f->size += n;
    if (!f->hollow)
        buf_add(&f->data, bytes, n);
}

static struct seeded_tensor *file_add(struct seeded_file *f, const char *name, int layer,
                                      const struct seeded_type *type)
{
    static const char zeros[SEEDED_ALIGNMENT];
    struct seeded_tensor *t = &f->tensor[f->n_tensors++];
    file_fill(f, zeros, (size_t)(-f->size) % SEEDED_ALIGNMENT);
    t->type = type;
    t->offset = f->size;
    if (layer < 0)
        snprintf(t->name, sizeof(t->name), "%s.weight", name);
    else
        snprintf(t->name, sizeof(t->name), "blk.%d.%s.weight", layer, name);
    return t;
}

/* Rows of random numbers; the first `silent` rows are 0. */
static void file_add_matrix(struct seeded_file *f, const char *name, int layer,
                            const struct seeded_type *type, int columns, int rows, int sheets,
                            int silent, float spread)
{
    struct seeded_tensor *t = file_add(f, name, layer, type);
    t->n_dims = sheets ? 3 : 2;
    t->dims[0] = (uint64_t)columns;
    t->dims[1] = (uint64_t)rows;
    t->dims[2] = (uint64_t)sheets;
    size_t blocks =
        (size_t)(columns / type->elements) * (size_t)rows * (size_t)(sheets ? sheets : 1);
    size_t zero = (size_t)(columns / type->elements) * (size_t)silent;
    if (f->hollow)
        f->size += blocks * type->bytes;
    for (size_t i = 0; i < blocks && !f->hollow; i++) {
        unsigned char block[256] = {0};
        if (i >= zero)
            block_random(type, &f->random, spread, block);
        file_fill(f, block, type->bytes);
    }
}

static void file_add_norm(struct seeded_file *f, const char *name, int layer, int n, float gain)
{
    struct seeded_tensor *t = file_add(f, name, layer, &seeded_types[0]);
    t->n_dims = 1;
    t->dims[0] = (uint64_t)n;
    for (int i = 0; i < n; i++)
        file_fill(f, &gain, sizeof(gain));
}

/* A matrix of the layer, from `in` to `out` numbers, as large as keeps the size of what it gets. */
static void file_add_layer_matrix(struct seeded_file *f, const char *name, int layer, int in,
                                  int out, float gain)
{
    const struct seeded_type *type = f->types[f->next_type++ % f->n_types];
    file_add_matrix(f, name, layer, type, in, out, 0, 0, gain / sqrtf((float)in));
}

static void file_add_experts(struct seeded_file *f, const char *name, int layer, int in, int out,
                             float gain)
{
    const struct seeded_type *type = f->types[f->next_type++ % f->n_types];
    file_add_matrix(f, name, layer, type, in, out, f->shape->experts, 0, gain / sqrtf((float)in));
}

/* Gains of queries and keys are such that a few positions get most of the attention. */
#define SEEDED_HEAD_GAIN    1.7f
#define SEEDED_FORWARD_GAIN 1.5f
#define SEEDED_ROUTER_GAIN  4.0f
#define SEEDED_OUTPUT_GAIN  4.0f

static void file_add_attention(struct seeded_file *f, int layer)
{
    const struct seeded_shape *s = f->shape;
    float gain = s->head_norms ? 1 : SEEDED_HEAD_GAIN;
    file_add_norm(f, "attn_norm", layer, s->width, 1);
    file_add_layer_matrix(f, "attn_q", layer, s->width, s->heads * s->head, gain);
    file_add_layer_matrix(f, "attn_k", layer, s->width, s->kv_heads * s->head, gain);
    file_add_layer_matrix(f, "attn_v", layer, s->width, s->kv_heads * s->head, 1);
    file_add_layer_matrix(f, "attn_output", layer, s->heads * s->head, s->width, 1);
    if (s->head_norms) {
        file_add_norm(f, "attn_q_norm", layer, s->head, SEEDED_HEAD_GAIN);
        file_add_norm(f, "attn_k_norm", layer, s->head, SEEDED_HEAD_GAIN);
    }
    if (s->post_norms)
        file_add_norm(f, "post_attention_norm", layer, s->width, 1);
}

static void file_add_forward(struct seeded_file *f, int layer)
{
    const struct seeded_shape *s = f->shape;
    file_add_norm(f, "ffn_norm", layer, s->width, 1);
    if (s->experts) {
        file_add_matrix(f, "ffn_gate_inp", layer, &seeded_types[0], s->width, s->experts, 0, 0,
                        SEEDED_ROUTER_GAIN / sqrtf((float)s->width));
        file_add_experts(f, "ffn_gate_exps", layer, s->width, s->forward, SEEDED_FORWARD_GAIN);
        file_add_experts(f, "ffn_up_exps", layer, s->width, s->forward, SEEDED_FORWARD_GAIN);
        file_add_experts(f, "ffn_down_exps", layer, s->forward, s->width, 1);
    } else {
        file_add_layer_matrix(f, "ffn_gate", layer, s->width, s->forward, SEEDED_FORWARD_GAIN);
        file_add_layer_matrix(f, "ffn_up", layer, s->width, s->forward, SEEDED_FORWARD_GAIN);
        file_add_layer_matrix(f, "ffn_down", layer, s->forward, s->width, 1);
    }
    if (s->post_norms)
        file_add_norm(f, "post_ffw_norm", layer, s->width, 1);
}

static void file_add_tensors(struct seeded_file *f)
{
    const struct seeded_shape *s = f->shape;
    /* Gemma multiplies what it looks up by the root of the width. */
    float embedding = s->post_norms ? 1 / sqrtf((float)s->width) : 1;
    file_add_matrix(f, "token_embd", -1, type_find(STR("F16")), s->width, SEEDED_VOCAB, 0, 0,
                    embedding);
    for (int layer = 0; layer < s->layers; layer++) {
        file_add_attention(f, layer);
        file_add_forward(f, layer);
    }
    file_add_norm(f, "output_norm", -1, s->width, 1);
    /* Only tokens of text are ever answered: the others' logits are 0. */
    file_add_matrix(f, "output", -1, f->types[f->next_type++ % f->n_types], s->width, SEEDED_VOCAB,
                    0, SEEDED_FIRST, SEEDED_OUTPUT_GAIN / sqrtf((float)s->width));
}

/* ---- the file's head: GGUF version 3 ---- */

enum {
    GGUF_INT32 = 5,
    GGUF_UINT32 = 4,
    GGUF_FLOAT32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9
};

static void head_u32(struct buf *b, uint32_t value)
{
    unsigned char bytes[4];
    put_u16(bytes, value & 0xffff);
    put_u16(bytes + 2, value >> 16);
    buf_add(b, bytes, sizeof(bytes));
}

static void head_u64(struct buf *b, uint64_t value)
{
    head_u32(b, (uint32_t)value);
    head_u32(b, (uint32_t)(value >> 32));
}

static void head_text(struct buf *b, const char *text)
{
    head_u64(b, strlen(text));
    buf_add_text(b, text);
}

static void head_key(struct seeded_file *f, const char *key, uint32_t type)
{
    char whole[96];
    const char *dot = key[0] == '.' ? f->shape->architecture : "";
    snprintf(whole, sizeof(whole), "%s%s", dot, key);
    head_text(&f->head, whole);
    head_u32(&f->head, type);
    f->n_settings++;
}

static void head_set_text(struct seeded_file *f, const char *key, const char *text)
{
    head_key(f, key, GGUF_STRING);
    head_text(&f->head, text);
}

static void head_set_number(struct seeded_file *f, const char *key, int number)
{
    head_key(f, key, GGUF_UINT32);
    head_u32(&f->head, (uint32_t)number);
}

static void head_set_real(struct seeded_file *f, const char *key, float number)
{
    head_key(f, key, GGUF_FLOAT32);
    head_u32(&f->head, float_bits(number));
}

static void head_set_array(struct seeded_file *f, const char *key, uint32_t type)
{
    head_key(f, key, GGUF_ARRAY);
    head_u32(&f->head, type);
    head_u64(&f->head, SEEDED_VOCAB);
}

static void head_vocabulary(struct seeded_file *f)
{
    static const char *const controls[] = {"<unk>", "<s>", "</s>"};
    enum { UNKNOWN = 2, CONTROL = 3, BYTE = 6, NORMAL = 1, CONTROLS = 3 };
    head_set_text(f, "tokenizer.ggml.model", "llama");
    head_set_text(f, "tokenizer.ggml.pre", "default");
    head_set_array(f, "tokenizer.ggml.tokens", GGUF_STRING);
    for (uint32_t i = 0; i < SEEDED_VOCAB; i++) {
        char text[8];
        seeded_token_text(i, text);
        if (i >= CONTROLS && i < SEEDED_FIRST)
            snprintf(text, sizeof(text), "<0x%02X>", i - CONTROLS);
        head_text(&f->head, i < CONTROLS ? controls[i] : text);
    }
    head_set_array(f, "tokenizer.ggml.scores", GGUF_FLOAT32);
    for (uint32_t i = 0; i < SEEDED_VOCAB; i++)
        head_u32(&f->head, 0);
    head_set_array(f, "tokenizer.ggml.token_type", GGUF_INT32);
    for (uint32_t i = 0; i < SEEDED_VOCAB; i++)
        head_u32(&f->head, i == 0             ? UNKNOWN
                           : i < CONTROLS     ? CONTROL
                           : i < SEEDED_FIRST ? BYTE
                                              : NORMAL);
    head_set_number(f, "tokenizer.ggml.unknown_token_id", 0);
    head_set_number(f, "tokenizer.ggml.bos_token_id", 1);
    head_set_number(f, "tokenizer.ggml.eos_token_id", 2);
}

static void head_settings(struct seeded_file *f)
{
    const struct seeded_shape *s = f->shape;
    head_set_text(f, "general.architecture", s->architecture);
    head_set_text(f, "general.name", "gfxbridge seeded canary");
    head_set_number(f, "general.alignment", SEEDED_ALIGNMENT);
    head_set_number(f, ".context_length", SEEDED_CONTEXT);
    head_set_number(f, ".embedding_length", s->width);
    head_set_number(f, ".feed_forward_length", s->forward);
    head_set_number(f, ".block_count", s->layers);
    head_set_number(f, ".attention.head_count", s->heads);
    head_set_number(f, ".attention.head_count_kv", s->kv_heads);
    head_set_number(f, ".attention.key_length", s->head);
    head_set_number(f, ".attention.value_length", s->head);
    head_set_number(f, ".rope.dimension_count", s->head);
    head_set_real(f, ".rope.freq_base", 10000);
    head_set_real(f, ".attention.layer_norm_rms_epsilon", 1e-5f);
    head_set_number(f, ".vocab_size", SEEDED_VOCAB);
    if (s->experts) {
        head_set_number(f, ".expert_count", s->experts);
        head_set_number(f, ".expert_used_count", s->used);
        head_set_number(f, ".expert_feed_forward_length", s->forward);
    }
    if (s->window)
        head_set_number(f, ".attention.sliding_window", s->window);
    head_vocabulary(f);
}

static void file_finish(struct seeded_file *f, struct buf *ret)
{
    static const char zeros[SEEDED_ALIGNMENT];
    buf_add_text(ret, "GGUF");
    head_u32(ret, 3);
    head_u64(ret, f->n_tensors);
    head_u64(ret, f->n_settings);
    buf_add_str(ret, buf_view(&f->head));
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct seeded_tensor *t = &f->tensor[i];
        head_text(ret, t->name);
        head_u32(ret, (uint32_t)t->n_dims);
        for (int k = 0; k < t->n_dims; k++)
            head_u64(ret, t->dims[k]);
        head_u32(ret, t->type->id);
        head_u64(ret, t->offset);
    }
    buf_add(ret, zeros, (size_t)(-ret->n) % SEEDED_ALIGNMENT);
    buf_add_str(ret, buf_view(&f->data));
    buf_add(ret, zeros, (size_t)(-ret->n) % SEEDED_ALIGNMENT);
}

/* ---- outward ---- */

static int file_read_types(struct seeded_file *f, struct str types, struct gfxb_error *err)
{
    struct str name;
    while (str_word(&types, &name)) {
        const struct seeded_type *type = type_find(name);
        if (!type || f->n_types == SEEDED_TYPES_MAX)
            return error_set(err, EINVAL, "no canary can be made with the tensor type '%.*s'",
                             STR_ARG(name));
        f->types[f->n_types++] = type;
    }
    return f->n_types ? 0 : error_set(err, EINVAL, "a canary needs a tensor type");
}

int seeded_write(struct str shape, struct str types, uint64_t seed, struct buf *ret,
                 struct gfxb_error *err)
{
    struct seeded_file f = {
        .random = {seed}, .data = BUF_INIT(SEEDED_FILE_MAX), .head = BUF_INIT(SEEDED_FILE_MAX)};
    for (size_t i = 0; i < sizeof(seeded_shapes) / sizeof(seeded_shapes[0]); i++) {
        if (str_is(shape, seeded_shapes[i].name))
            f.shape = &seeded_shapes[i];
    }
    if (!f.shape)
        return error_set(err, EINVAL, "no canary has the shape '%.*s'", STR_ARG(shape));
    int result = file_read_types(&f, types, err);
    if (result == 0) {
        file_add_tensors(&f);
        head_settings(&f);
        file_finish(&f, ret);
        if (!buf_ok(&f.data) || !buf_ok(&f.head) || !buf_ok(ret))
            result = error_set(err, ENOMEM, "a canary does not fit into memory");
    }
    buf_done(&f.data);
    buf_done(&f.head);
    return result;
}

void seeded_write_hollow(int forward, struct buf *ret_head, uint64_t *ret_size)
{
    const struct seeded_shape shape = {
        "hollow", "llama", SEEDED_HOLLOW_WIDTH, forward, 1, 32, 1, 128, 0, 0, 0, false, false};
    struct seeded_file f = {.shape = &shape,
                            .types = {&seeded_types[1]},
                            .n_types = 1,
                            .hollow = true,
                            .data = BUF_INIT(0),
                            .head = BUF_INIT(SEEDED_FILE_MAX)};
    file_add_tensors(&f);
    head_settings(&f);
    file_finish(&f, ret_head);
    *ret_size = ret_head->n + f.size;
    buf_done(&f.head);
}

void seeded_prompt(uint64_t seed, size_t n, uint32_t ret_tokens[])
{
    struct seeded_random r = {seed};
    for (size_t i = 0; i < n; i++)
        ret_tokens[i] = SEEDED_FIRST + (uint32_t)(random_next(&r) % (SEEDED_VOCAB - SEEDED_FIRST));
}

void seeded_token_text(uint32_t token, char ret_text[3])
{
    ret_text[0] = ret_text[1] = ret_text[2] = '\0';
    if (token < SEEDED_FIRST)
        return;
    ret_text[0] = (char)('a' + (token - SEEDED_FIRST) / 16);
    ret_text[1] = (char)('a' + (token - SEEDED_FIRST) % 16);
}
