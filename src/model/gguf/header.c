/* header.c - the layout of a GGUF header, read strictly: never behind what is there. */
#include "model/gguf/header.h"
#include "model/gguf/gguf.h"

#include <endian.h>
#include <errno.h>

/* ---- how tensors are stored. Names and sizes: ggml/src/ggml.c, include/llama.h of llama.cpp 0.7.0
 * ---- */

struct gguf_tensor_type {
    const char *name; /* NULL: no such type */
    uint32_t block;   /* elements of one block; 0: llama.cpp has removed the type */
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
    [41] = {"Q1_0", 128, 18},    [42] = {"Q2_0", 64, 18},     [4] = {"Q4_2", 0, 0},
    [5] = {"Q4_3", 0, 0},        [31] = {"Q4_0_4_4", 0, 0},   [32] = {"Q4_0_4_8", 0, 0},
    [33] = {"Q4_0_8_8", 0, 0},   [36] = {"IQ4_NL_4_4", 0, 0}, [37] = {"IQ4_NL_4_8", 0, 0},
    [38] = {"IQ4_NL_8_8", 0, 0},
};

static const struct gguf_tensor_type *gguf_tensor_type(uint32_t type)
{
    if (type >= sizeof(types) / sizeof(types[0]) || !types[type].name)
        return NULL;
    return &types[type];
}

const char *gguf_type_name(uint32_t type)
{
    const struct gguf_tensor_type *known = gguf_tensor_type(type);
    return known && known->block ? known->name : NULL;
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

/* What is left of the header. The first failure stays: all that is read after it is 0. */
struct cursor {
    const struct gguf_header *header;
    const unsigned char *bytes;
    size_t n, at;
    int result;
};

#define FAIL(c, failure) ((c)->result = (c)->result ? (c)->result : (failure))
#define REFUSE(c, ...)   FAIL(c, gguf_refuse((c)->header->what, (c)->header->err, __VA_ARGS__))
#define UNUSABLE(c, format, ...)                                                                   \
    FAIL(c, error_set((c)->header->err, GFXB_E_MODEL_UNUSABLE, "%s " format, (c)->header->what,    \
                      __VA_ARGS__))
#define DAMAGED(c, ...) FAIL(c, gguf_damaged((c)->header, __VA_ARGS__))

/* n more bytes; NULL when they are not there. */
static const unsigned char *cursor_take(struct cursor *c, uint64_t n, const char *of)
{
    if (n > c->header->size - c->at)
        REFUSE(c,
               "is damaged or incomplete: it ends after %llu bytes, inside %s that should "
               "reach %llu bytes further than byte %zu",
               (unsigned long long)c->header->size, of, (unsigned long long)n, c->at);
    else if (n > c->n - c->at)
        FAIL(c, -EAGAIN);
    if (c->result < 0)
        return NULL;
    c->at += (size_t)n;
    return c->bytes + c->at - n;
}

static uint64_t cursor_number(struct cursor *c, size_t size, const char *of)
{
    uint64_t value = 0;
    const unsigned char *p = cursor_take(c, size, of);
    if (p)
        memcpy(&value, p, size);
    return le64toh(value);
}

static uint32_t cursor_u32(struct cursor *c, const char *of)
{
    return (uint32_t)cursor_number(c, sizeof(uint32_t), of);
}

static uint64_t cursor_u64(struct cursor *c, const char *of)
{
    return cursor_number(c, sizeof(uint64_t), of);
}

static struct str cursor_string(struct cursor *c, const char *of)
{
    uint64_t n = cursor_u64(c, of);
    const unsigned char *p = cursor_take(c, n, of);
    return p ? (struct str){(const char *)p, (size_t)n} : STR_NONE;
}

/* Memory for n elements of this size, each of which takes at least this many bytes in the header.
 */
static void *cursor_allocate(struct cursor *c, uint64_t n, size_t size, size_t least,
                             const char *of)
{
    if (n > c->header->size / least)
        DAMAGED(c, "it says that it has %llu %s, more than fit into it", (unsigned long long)n, of);
    else if (n > c->n / least)
        FAIL(c, -EAGAIN);
    void *list = c->result < 0 ? NULL : calloc((size_t)n + 1, size);
    if (!list)
        FAIL(c, error_set(c->header->err, ENOMEM, "out of memory for the header of %s",
                          c->header->what));
    return list;
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

static enum gguf_type kv_read_type(struct cursor *c, const struct gguf_kv *kv)
{
    uint32_t type = cursor_u32(c, "the type of a value");
    if (type >= GGUF_TYPES || (kv->array && type == GGUF_ARRAY))
        DAMAGED(c, "'%.*s' has a value of type %u, which there is not",
                (int)(kv->key.n < KV_SHOWN ? kv->key.n : KV_SHOWN), kv->key.n ? kv->key.p : "",
                type);
    return (enum gguf_type)type;
}

static void kv_read_value(struct cursor *c, struct gguf_kv *kv)
{
    size_t begin = c->at, each = gguf_type_size(kv->type);
    if (each && kv->n > c->header->size / each)
        DAMAGED(c, "a list says that it has %llu elements", (unsigned long long)kv->n);
    if (each)
        cursor_take(c, kv->n * each, "a value");
    for (uint64_t i = 0; !each && c->result == 0 && i < kv->n; i++)
        cursor_string(c, "a text");
    kv->value = (struct str){(const char *)c->bytes + begin, c->at - begin};
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

static void kv_read(struct cursor *c, struct gguf_kv *kv)
{
    kv->key = cursor_string(c, "a key");
    if (!key_is_good(kv->key))
        DAMAGED(c, "at byte %zu there should be a key and there is none", c->at - kv->key.n);
    kv->n = 1;
    kv->type = kv_read_type(c, kv);
    if (kv->type == GGUF_ARRAY) {
        kv->array = true;
        kv->type = kv_read_type(c, kv);
        kv->n = cursor_u64(c, "the length of a list");
    }
    kv_read_value(c, kv);
}

static int kv_compare(const void *left, const void *right)
{
    return str_compare(((const struct gguf_kv *)left)->key, ((const struct gguf_kv *)right)->key);
}

static void header_read_kv(struct cursor *c, struct gguf_header *h, uint64_t n)
{
    h->kv = cursor_allocate(c, n, sizeof(*h->kv), KV_LEAST, "keys");
    for (; c->result == 0 && h->n_kv < n; h->n_kv++)
        kv_read(c, &h->kv[h->n_kv]);
    if (h->n_kv)
        qsort(h->kv, h->n_kv, sizeof(*h->kv), kv_compare);
    for (size_t i = 1; i < h->n_kv; i++) {
        if (str_eq(h->kv[i - 1].key, h->kv[i].key))
            DAMAGED(c, "it has the key '%.*s' twice",
                    (int)(h->kv[i].key.n < 80 ? h->kv[i].key.n : 80), h->kv[i].key.p);
    }
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

bool gguf_kv_number(const struct gguf_kv *kv, enum gguf_type type, int64_t *ret_value)
{
    return !kv || (!kv->array && (type == GGUF_TYPES || kv->type == type) &&
                   gguf_kv_integer(kv, 0, ret_value));
}

bool gguf_kv_text(const struct gguf_kv *kv, struct str *ret_text)
{
    const size_t length = sizeof(uint64_t);
    if (kv->array || kv->type != GGUF_STRING)
        return false;
    *ret_text = (struct str){kv->value.p + length, kv->value.n - length};
    return true;
}

static void tensor_read_dims(struct cursor *c, struct gguf_tensor *t)
{
    uint32_t n = cursor_u32(c, "the shape of a tensor");
    if (n > 4)
        DAMAGED(c, "the tensor '%.*s' has %u dimensions, at most 4 are possible", STR_ARG(t->name),
                n);
    t->elements = 1;
    for (uint32_t i = 0; c->result == 0 && i < 4; i++) {
        t->dims[i] = i < n ? cursor_u64(c, "the shape of a tensor") : 1;
        if (t->dims[i] == 0 || t->dims[i] > (uint64_t)INT64_MAX / t->elements)
            DAMAGED(c, "the tensor '%.*s' has an impossible shape", STR_ARG(t->name));
        t->elements *= t->dims[i];
    }
}

static void tensor_read_type(struct cursor *c, struct gguf_tensor *t)
{
    t->type = cursor_u32(c, "the type of a tensor");
    const struct gguf_tensor_type *type = gguf_tensor_type(t->type);
    if (!type) {
        REFUSE(c,
               "is damaged, newer than this gfxbridge, or made for another program: the tensor "
               "'%.*s' is stored in a way (type %u) that is not known",
               STR_ARG(t->name), t->type);
        return;
    }
    if (!type->block) {
        UNUSABLE(c,
                 "cannot be loaded: the tensor '%.*s' is stored as %s (type %u), which llama.cpp "
                 "has removed. Take another quantisation of this model, such as Q4_0",
                 STR_ARG(t->name), type->name, t->type);
        return;
    }
    if (t->dims[0] % type->block)
        DAMAGED(c, "rows of the tensor '%.*s' have %llu numbers, and %s stores them by %u",
                STR_ARG(t->name), (unsigned long long)t->dims[0], type->name, type->block);
    uint64_t blocks = t->elements / type->block;
    if (blocks > (uint64_t)INT64_MAX / type->bytes)
        DAMAGED(c, "the tensor '%.*s' has an impossible size", STR_ARG(t->name));
    t->bytes = blocks * type->bytes;
}

static void tensor_read(struct cursor *c, struct gguf_tensor *t)
{
    t->name = cursor_string(c, "the name of a tensor");
    if (t->name.n >= NAME_MAX_BYTES || !key_is_good(t->name))
        DAMAGED(c, "at byte %zu there should be a tensor's name", c->at - t->name.n);
    tensor_read_dims(c, t);
    tensor_read_type(c, t);
    t->offset = cursor_u64(c, "the place of a tensor");
}

static int tensor_compare(const void *left, const void *right)
{
    return str_compare((*(const struct gguf_tensor *const *)left)->name,
                       (*(const struct gguf_tensor *const *)right)->name);
}

static void header_check_names(struct cursor *c, const struct gguf_header *h)
{
    const struct gguf_tensor **CLEAN_FREE sorted =
        cursor_allocate(c, h->n_tensors, sizeof(*sorted), TENSOR_LEAST, "tensors");
    for (size_t i = 0; sorted && i < h->n_tensors; i++)
        sorted[i] = &h->tensor[i];
    if (sorted)
        qsort(sorted, h->n_tensors, sizeof(*sorted), tensor_compare);
    for (size_t i = 1; sorted && i < h->n_tensors; i++) {
        if (str_eq(sorted[i - 1]->name, sorted[i]->name))
            DAMAGED(c, "it has the tensor '%.*s' twice", STR_ARG(sorted[i]->name));
    }
}

static void header_read_tensors(struct cursor *c, struct gguf_header *h, uint64_t n)
{
    h->tensor = cursor_allocate(c, n, sizeof(*h->tensor), TENSOR_LEAST, "tensors");
    for (; c->result == 0 && h->n_tensors < n; h->n_tensors++)
        tensor_read(c, &h->tensor[h->n_tensors]);
    header_check_names(c, h);
}

static void header_read_alignment(struct cursor *c, struct gguf_header *h)
{
    int64_t value = 32;
    if (c->result < 0)
        return; /* the last value may be cut off */
    if (!gguf_kv_number(gguf_header_find(h, STR("general.alignment")), GGUF_U32, &value) ||
        value == 0 || (value & (value - 1)))
        DAMAGED(c, "its alignment is no power of two");
    h->alignment = (uint32_t)value;
}

static uint64_t pad(uint64_t bytes, uint64_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

/* Tensors lie one behind the other in the header's order, each at the next aligned place: no
 * overlap, no hole, nothing behind the end of the file. */
static void header_check_places(struct cursor *c, struct gguf_header *h)
{
    uint64_t start = c->result < 0 ? 0 : pad(c->at, h->alignment), next = 0;
    for (size_t i = 0; c->result == 0 && i < h->n_tensors; i++) {
        const struct gguf_tensor *t = &h->tensor[i];
        uint64_t room = start > h->size || next > h->size - start ? 0 : h->size - start - next;
        if (t->offset != next)
            DAMAGED(c, "the tensor '%.*s' %s", STR_ARG(t->name),
                    t->offset < next ? "overlaps the one before it"
                                     : "does not follow the one before it");
        if (t->bytes > room)
            REFUSE(c,
                   "is incomplete: it has %llu bytes, and its tensors go on behind them ('%.*s' "
                   "ends %llu bytes later): download it again",
                   (unsigned long long)h->size, STR_ARG(t->name),
                   (unsigned long long)(t->bytes - room));
        next = pad(next + t->bytes, h->alignment);
        h->tensor_bytes += t->bytes;
        h->parameters += t->elements;
    }
}

int gguf_header_parse(const char *what, const void *bytes, size_t n, uint64_t size,
                      struct gguf_header *ret_header, struct gfxb_error *err)
{
    struct gguf_header h = {.what = what, .err = err, .size = size};
    struct cursor c = {.header = &h, .bytes = bytes, .n = n};
    if (size == 0)
        REFUSE(&c, "is empty: download it again");
    const unsigned char *magic = cursor_take(&c, 4, "its first bytes");
    if (magic && memcmp(magic, "GGUF", 4) != 0) {
        const char *kind = fs_mistaken((struct str){bytes, n < 64 ? n : 64});
        REFUSE(&c, "is no GGUF file: it %s%s", kind ? "is " : "does not start with \"GGUF\"",
               kind ? kind : "");
    }
    h.version = cursor_u32(&c, "its version");
    if (h.version > 0xffff && h.version << 16 == 0)
        REFUSE(&c, "is a GGUF file for big-endian computers");
    if (h.version < 2 || h.version > 3)
        REFUSE(&c, "is a GGUF file of version %u; engines read 2 and 3", h.version);
    uint64_t n_tensors = cursor_u64(&c, "its number of tensors");
    header_read_kv(&c, &h, cursor_u64(&c, "its number of keys"));
    header_read_tensors(&c, &h, n_tensors);
    header_read_alignment(&c, &h);
    header_check_places(&c, &h);
    if (c.result < 0)
        gguf_header_done(&h);
    else
        *ret_header = h;
    return c.result;
}

void gguf_header_done(struct gguf_header *header)
{
    free(header->kv);
    free(header->tensor);
    header->kv = NULL;
    header->tensor = NULL;
    header->n_kv = header->n_tensors = 0;
}
