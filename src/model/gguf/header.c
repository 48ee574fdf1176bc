/* header.c - the layout of a GGUF header, read strictly: never behind what is there. */
#include "model/gguf/header.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>

/* ---- how tensors are stored. Names and sizes: ggml/src/ggml.c, include/llama.h of llama.cpp 0.7.0
 * ---- */

struct gguf_tensor_type {
    const char *name; /* NULL: no such type */
    uint32_t block;   /* elements of one block */
    uint32_t bytes;   /* of one block */
};

static const struct gguf_tensor_type types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},
    [3] = {"Q4_1", 32, 20},      [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},
    [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},      [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66},
    [17] = {"IQ2_XS", 256, 74},  [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},  [22] = {"IQ2_S", 256, 82},
    [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},
    [29] = {"IQ1_M", 256, 56},   [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},    [40] = {"NVFP4", 64, 36},
    [41] = {"Q1_0", 128, 18},    [42] = {"Q2_0", 64, 18},
};

static const struct gguf_tensor_type *gguf_tensor_type(uint32_t type)
{
    if (type >= sizeof(types) / sizeof(types[0]) || !types[type].name)
        return NULL;
    return &types[type];
}

const char *gguf_file_type_name(int64_t file_type)
{
    static const char *const name[] = {
        [0] = "F32",      [1] = "F16",      [2] = "Q4_0",    [3] = "Q4_1",    [7] = "Q8_0",
        [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",   [11] = "Q3_K_S", [12] = "Q3_K_M",
        [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",
        [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS",
        [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL", [26] = "IQ3_S",  [27] = "IQ3_M",
        [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS", [31] = "IQ1_M",  [32] = "BF16",
        [36] = "TQ1_0",   [37] = "TQ2_0",   [38] = "MXFP4",  [39] = "NVFP4",  [40] = "Q1_0",
        [41] = "Q2_0",
    };
    const int64_t guessed = 1024; /* bit of a converter that was not told */
    if (file_type < 0)
        return NULL;
    file_type &= ~guessed;
    return file_type < (int64_t)(sizeof(name) / sizeof(name[0])) ? name[file_type] : NULL;
}

/* ---- header ---- */

#define NAME_MAX_BYTES 64    /* ggml's limit of a tensor's name, with its NUL */
#define KEY_MAX_BYTES  65535 /* of the format's description */
#define KV_SHOWN       60    /* bytes of a key in a sentence */
#define KV_LEAST       13    /* bytes of the shortest key with a value */
#define TENSOR_LEAST   24    /* bytes of the shortest tensor description */

/* What is left of the header. */
struct cursor {
    const struct gguf_header *header;
    const unsigned char *bytes;
    size_t n, at;
    struct gfxb_error *err;
};

int gguf_refuse(const char *what, struct gfxb_error *err, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_set(err, GFXB_E_MODEL_DAMAGED, "%s %s", what, text);
}

int gguf_damaged(const struct gguf_header *header, struct gfxb_error *err, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return gguf_refuse(header->what, err, "is damaged: %s", text);
}

#define REFUSE(c, ...)  gguf_refuse((c)->header->what, (c)->err, __VA_ARGS__)
#define DAMAGED(c, ...) gguf_damaged((c)->header, (c)->err, __VA_ARGS__)

/* n more bytes, or why not. */
static int cursor_take(struct cursor *c, uint64_t n, const char *of, const unsigned char **ret)
{
    if (n > c->header->size - c->at)
        return REFUSE(c,
                      "is damaged or incomplete: it ends after %llu bytes, inside %s that should "
                      "reach %llu bytes further than byte %zu",
                      (unsigned long long)c->header->size, of, (unsigned long long)n, c->at);
    if (n > c->n - c->at)
        return -EAGAIN;
    *ret = c->bytes + c->at;
    c->at += (size_t)n;
    return 0;
}

static int cursor_u32(struct cursor *c, const char *of, uint32_t *ret_value)
{
    const unsigned char *p = NULL;
    uint32_t value;
    int result = cursor_take(c, sizeof(value), of, &p);
    if (result < 0)
        return result;
    memcpy(&value, p, sizeof(value));
    *ret_value = le32toh(value);
    return 0;
}

static int cursor_u64(struct cursor *c, const char *of, uint64_t *ret_value)
{
    const unsigned char *p = NULL;
    uint64_t value;
    int result = cursor_take(c, sizeof(value), of, &p);
    if (result < 0)
        return result;
    memcpy(&value, p, sizeof(value));
    *ret_value = le64toh(value);
    return 0;
}

static int cursor_string(struct cursor *c, const char *of, struct str *ret_text)
{
    const unsigned char *p = NULL;
    uint64_t n;
    int result = cursor_u64(c, of, &n);
    if (result == 0)
        result = cursor_take(c, n, of, &p);
    if (result == 0)
        *ret_text = (struct str){(const char *)p, (size_t)n};
    return result;
}

/* Bytes of one value of a type; 0 for strings, arrays and what is no type. */
static size_t gguf_type_size(enum gguf_type type)
{
    static const unsigned char size[GGUF_TYPES] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return type < GGUF_TYPES ? size[type] : 0;
}

static int kv_read_type(struct cursor *c, struct gguf_kv *kv, enum gguf_type *ret_type)
{
    uint32_t type;
    int result = cursor_u32(c, "the type of a value", &type);
    if (result < 0)
        return result;
    if (type >= GGUF_TYPES || (kv->array && type == GGUF_ARRAY))
        return DAMAGED(c, "'%.*s' has a value of type %u, which there is not",
                       (int)(kv->key.n < KV_SHOWN ? kv->key.n : KV_SHOWN),
                       kv->key.n ? kv->key.p : "", type);
    *ret_type = (enum gguf_type)type;
    return 0;
}

static int kv_read_value(struct cursor *c, struct gguf_kv *kv)
{
    const unsigned char *p = NULL;
    size_t begin = c->at;
    int result = 0;
    if (kv->type != GGUF_STRING) {
        size_t each = gguf_type_size(kv->type);
        if (kv->n > c->header->size / each)
            return DAMAGED(c, "a list says that it has %llu elements", (unsigned long long)kv->n);
        result = cursor_take(c, kv->n * each, "a value", &p);
    }
    for (uint64_t i = 0; kv->type == GGUF_STRING && result == 0 && i < kv->n; i++) {
        struct str text;
        result = cursor_string(c, "a text", &text);
    }
    kv->value = (struct str){(const char *)c->bytes + begin, c->at - begin};
    return result;
}

/* Keys are shown in sentences and looked up: printable ASCII. */
static bool key_is_good(struct str key)
{
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] <= ' ' || key.p[i] > '~')
            return false;
    }
    return key.n > 0 && key.n <= KEY_MAX_BYTES;
}

static int kv_read(struct cursor *c, struct gguf_kv *kv)
{
    int result = cursor_string(c, "a key", &kv->key);
    if (result < 0)
        return result;
    if (!key_is_good(kv->key))
        return DAMAGED(c, "at byte %zu there should be a key and there is none", c->at - kv->key.n);
    kv->n = 1;
    result = kv_read_type(c, kv, &kv->type);
    if (result == 0 && kv->type == GGUF_ARRAY) {
        kv->array = true;
        result = kv_read_type(c, kv, &kv->type);
        if (result == 0)
            result = cursor_u64(c, "the length of a list", &kv->n);
    }
    return result < 0 ? result : kv_read_value(c, kv);
}

static int kv_compare(const void *left, const void *right)
{
    return str_compare(((const struct gguf_kv *)left)->key, ((const struct gguf_kv *)right)->key);
}

static int header_read_kv(struct cursor *c, struct gguf_header *h, uint64_t n)
{
    if (n > h->size / KV_LEAST)
        return DAMAGED(c, "it says that it has %llu keys, more than fit into it",
                       (unsigned long long)n);
    if (n > c->n / KV_LEAST)
        return -EAGAIN;
    h->kv = calloc(n ? (size_t)n : 1, sizeof(*h->kv));
    if (!h->kv)
        return error_set(c->err, ENOMEM, "out of memory for the header of %s", h->what);
    for (; h->n_kv < n; h->n_kv++) {
        int result = kv_read(c, &h->kv[h->n_kv]);
        if (result < 0)
            return result;
    }
    qsort(h->kv, h->n_kv, sizeof(*h->kv), kv_compare);
    for (size_t i = 1; i < h->n_kv; i++) {
        if (str_eq(h->kv[i - 1].key, h->kv[i].key))
            return DAMAGED(c, "it has the key '%.*s' twice",
                           (int)(h->kv[i].key.n < 80 ? h->kv[i].key.n : 80), h->kv[i].key.p);
    }
    return 0;
}

const struct gguf_kv *gguf_header_find(const struct gguf_header *header, struct str key)
{
    const struct gguf_kv wanted = {.key = key};
    return header->n_kv
               ? bsearch(&wanted, header->kv, header->n_kv, sizeof(*header->kv), kv_compare)
               : NULL;
}

bool gguf_kv_integer(const struct gguf_kv *kv, uint64_t i, int64_t *ret_value)
{
    size_t each = gguf_type_size(kv->type);
    uint64_t raw = 0;
    if (i >= kv->n || each == 0 || kv->type == GGUF_F32 || kv->type == GGUF_F64)
        return false;
    memcpy(&raw, kv->value.p + i * each, each);
    raw = le64toh(raw);
    bool is_signed = kv->type == GGUF_I8 || kv->type == GGUF_I16 || kv->type == GGUF_I32;
    if (is_signed && raw >> (8 * each - 1))
        raw |= ~UINT64_C(0) << (8 * each);
    *ret_value = (int64_t)raw;
    return kv->type != GGUF_U64 || raw <= INT64_MAX;
}

bool gguf_kv_text(const struct gguf_kv *kv, struct str *ret_text)
{
    const size_t length = sizeof(uint64_t);
    if (kv->array || kv->type != GGUF_STRING)
        return false;
    *ret_text = (struct str){kv->value.p + length, kv->value.n - length};
    return true;
}

static int tensor_read_dims(struct cursor *c, struct gguf_tensor *t)
{
    uint32_t n;
    int result = cursor_u32(c, "the shape of a tensor", &n);
    if (result == 0 && n > 4)
        return DAMAGED(c, "the tensor '%.*s' has %u dimensions, at most 4 are possible",
                       STR_ARG(t->name), n);
    t->elements = 1;
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = 1;
        if (result == 0 && i < n)
            result = cursor_u64(c, "the shape of a tensor", &t->dims[i]);
        if (result < 0)
            return result;
        if (t->dims[i] == 0 || t->dims[i] > (uint64_t)INT64_MAX / t->elements)
            return DAMAGED(c, "the tensor '%.*s' has an impossible shape", STR_ARG(t->name));
        t->elements *= t->dims[i];
    }
    return 0;
}

static int tensor_read_type(struct cursor *c, struct gguf_tensor *t)
{
    int result = cursor_u32(c, "the type of a tensor", &t->type);
    if (result < 0)
        return result;
    const struct gguf_tensor_type *type = gguf_tensor_type(t->type);
    if (!type)
        return REFUSE(c,
                      "is damaged, or newer than this gfxbridge: the tensor '%.*s' is stored in a "
                      "way (type %u) that is not known",
                      STR_ARG(t->name), t->type);
    if (t->dims[0] % type->block)
        return DAMAGED(c,
                       "rows of the tensor '%.*s' have %llu numbers, and %s stores "
                       "them by %u",
                       STR_ARG(t->name), (unsigned long long)t->dims[0], type->name, type->block);
    uint64_t blocks = t->elements / type->block;
    if (blocks > (uint64_t)INT64_MAX / type->bytes)
        return DAMAGED(c, "the tensor '%.*s' has an impossible size", STR_ARG(t->name));
    t->bytes = blocks * type->bytes;
    return 0;
}

static int tensor_read(struct cursor *c, struct gguf_tensor *t)
{
    int result = cursor_string(c, "the name of a tensor", &t->name);
    if (result < 0)
        return result;
    if (t->name.n >= NAME_MAX_BYTES || !key_is_good(t->name))
        return DAMAGED(c, "at byte %zu there should be a tensor's name", c->at - t->name.n);
    result = tensor_read_dims(c, t);
    if (result == 0)
        result = tensor_read_type(c, t);
    if (result == 0)
        result = cursor_u64(c, "the place of a tensor", &t->offset);
    return result;
}

static int tensor_compare(const void *left, const void *right)
{
    return str_compare((*(const struct gguf_tensor *const *)left)->name,
                       (*(const struct gguf_tensor *const *)right)->name);
}

static int header_check_names(struct cursor *c, const struct gguf_header *h)
{
    const struct gguf_tensor **CLEAN_FREE sorted = calloc(h->n_tensors + 1, sizeof(*sorted));
    if (!sorted)
        return error_set(c->err, ENOMEM, "out of memory for the header of %s", h->what);
    for (size_t i = 0; i < h->n_tensors; i++)
        sorted[i] = &h->tensor[i];
    qsort(sorted, h->n_tensors, sizeof(*sorted), tensor_compare);
    for (size_t i = 1; i < h->n_tensors; i++) {
        if (str_eq(sorted[i - 1]->name, sorted[i]->name))
            return DAMAGED(c, "it has the tensor '%.*s' twice", STR_ARG(sorted[i]->name));
    }
    return 0;
}

static int header_read_tensors(struct cursor *c, struct gguf_header *h, uint64_t n)
{
    if (n > h->size / TENSOR_LEAST)
        return DAMAGED(c, "it says that it has %llu tensors, more than fit into it",
                       (unsigned long long)n);
    if (n > c->n / TENSOR_LEAST)
        return -EAGAIN;
    h->tensor = calloc(n ? (size_t)n : 1, sizeof(*h->tensor));
    if (!h->tensor)
        return error_set(c->err, ENOMEM, "out of memory for the header of %s", h->what);
    for (; h->n_tensors < n; h->n_tensors++) {
        int result = tensor_read(c, &h->tensor[h->n_tensors]);
        if (result < 0)
            return result;
    }
    return header_check_names(c, h);
}

static int header_read_alignment(struct cursor *c, struct gguf_header *h)
{
    const struct gguf_kv *kv = gguf_header_find(h, STR("general.alignment"));
    int64_t value = 32;
    if (kv && (kv->array || kv->type != GGUF_U32 || !gguf_kv_integer(kv, 0, &value) || value == 0 ||
               (value & (value - 1))))
        return DAMAGED(c, "its alignment is no power of two");
    h->alignment = (uint32_t)value;
    return 0;
}

static uint64_t pad(uint64_t bytes, uint64_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

/* Tensors lie one behind the other in the header's order, each at the next aligned place: no
 * overlap, no hole, nothing behind the end of the file. */
static int header_check_places(struct cursor *c, struct gguf_header *h)
{
    uint64_t start = pad(c->at, h->alignment), next = 0;
    for (size_t i = 0; i < h->n_tensors; i++) {
        const struct gguf_tensor *t = &h->tensor[i];
        if (t->offset != next)
            return DAMAGED(c, "the tensor '%.*s' %s", STR_ARG(t->name),
                           t->offset < next ? "overlaps the one before it"
                                            : "does not follow the one before it");
        if (start > h->size || next > h->size - start || t->bytes > h->size - start - next)
            return REFUSE(
                c,
                "is incomplete: it has %llu bytes, and its tensors go on behind them "
                "('%.*s' ends %llu bytes later): download it again",
                (unsigned long long)h->size, STR_ARG(t->name),
                (unsigned long long)(t->bytes -
                                     (h->size - start < next ? 0 : h->size - start - next)));
        next = pad(next + t->bytes, h->alignment);
        h->tensor_bytes += t->bytes;
        h->parameters += t->elements;
    }
    return 0;
}

static int header_read_start(struct cursor *c, struct gguf_header *h, uint64_t *ret_tensors,
                             uint64_t *ret_keys)
{
    const unsigned char *magic = NULL;
    int result = cursor_take(c, 4, "its first bytes", &magic);
    if (result < 0)
        return result;
    if (memcmp(magic, "GGUF", 4) != 0)
        return REFUSE(c, "is no GGUF file: it does not start with \"GGUF\"");
    result = cursor_u32(c, "its version", &h->version);
    if (result < 0)
        return result;
    if (h->version > 0xffff && h->version << 16 == 0)
        return REFUSE(c, "is a GGUF file for big-endian computers");
    if (h->version < 2 || h->version > 3)
        return REFUSE(c, "is a GGUF file of version %u; engines read 2 and 3", h->version);
    result = cursor_u64(c, "its number of tensors", ret_tensors);
    return result < 0 ? result : cursor_u64(c, "its number of keys", ret_keys);
}

int gguf_header_parse(const char *what, const void *bytes, size_t n, uint64_t size,
                      struct gguf_header *ret_header, struct gfxb_error *err)
{
    struct gguf_header h = {.what = what, .size = size};
    struct cursor c = {.header = &h, .bytes = bytes, .n = n, .err = err};
    uint64_t n_tensors = 0, n_kv = 0;
    int result = header_read_start(&c, &h, &n_tensors, &n_kv);
    if (result == 0)
        result = header_read_kv(&c, &h, n_kv);
    if (result == 0)
        result = header_read_tensors(&c, &h, n_tensors);
    if (result == 0)
        result = header_read_alignment(&c, &h);
    if (result == 0)
        result = header_check_places(&c, &h);
    if (result < 0) {
        gguf_header_done(&h);
        return result;
    }
    *ret_header = h;
    return 0;
}

void gguf_header_done(struct gguf_header *header)
{
    free(header->kv);
    free(header->tensor);
    header->kv = NULL;
    header->tensor = NULL;
    header->n_kv = header->n_tensors = 0;
}
