/*
 * header.h - the layout of a GGUF header, without what it means. Private to model/.
 *
 * gguf_header_parse looks at every byte of the header once, never behind what it was given, and
 * accepts what the engine's own reader accepts: facts.c then reads the values.
 */
#ifndef MODEL_GGUF_HEADER_H
#define MODEL_GGUF_HEADER_H

#include "base/xalloc.h"
#include "model/model.h"

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES,
};

/* One key with its value: views into the bytes. */
struct gguf_kv {
    struct str key;
    enum gguf_type type; /* of the value, or of the elements when array */
    bool array;
    uint64_t n;       /* elements; 1 of a single value */
    struct str value; /* the bytes of all of it, with the lengths of strings */
};

struct gguf_tensor {
    struct str name;
    uint64_t dims[4]; /* 1 for those that are not there */
    uint64_t elements, bytes, offset;
    uint32_t type;
};

struct gguf_header {
    const char *what;       /* the file, for sentences; lent */
    struct gfxb_error *err; /* where they go; lent */
    uint64_t size;          /* of the file */
    uint32_t version, alignment;
    struct gguf_kv *kv; /* sorted by key */
    size_t n_kv;
    struct gguf_tensor *tensor; /* in the file's order */
    size_t n_tensors;
    uint64_t tensor_bytes, parameters;
};

/* 0, -EAGAIN (more than n bytes of the file are needed), -GFXB_E_MODEL_DAMAGED, -ENOMEM. The header
 * lends from what, bytes and err. */
int gguf_header_parse(const char *what, const void *bytes, size_t n, uint64_t size,
                      struct gguf_header *ret_header, struct gfxb_error *err);
void gguf_header_done(struct gguf_header *header);

/* NULL when there is no such key. */
const struct gguf_kv *gguf_header_find(const struct gguf_header *header, struct str key);
/* Element i of a number or a list of numbers as a signed 64-bit value; false for other types, for
 * fractions and behind the end. */
bool gguf_kv_integer(const struct gguf_kv *kv, uint64_t i, int64_t *ret_value);
/* A single number of this type (GGUF_TYPES: any integer). Without the key (kv is NULL) *ret_value
 * stays; false for everything else. */
bool gguf_kv_number(const struct gguf_kv *kv, enum gguf_type type, int64_t *ret_value);
/* The text of a single string; false when it is none. */
bool gguf_kv_text(const struct gguf_kv *kv, struct str *ret_text);

/* general.file_type in a model's name: "Q4_K_M"; NULL unknown. */
const char *gguf_file_type_name(int64_t file_type);

/* ---- facts.c, vocabulary.c: what the values mean. Errors are the header's. ---- */

/* Fill everything of *gguf from one header; it is done by the caller in every case. */
int gguf_facts_read(const struct gguf_header *header, struct gguf *gguf);
/* Its tokens and the lists that go with them; after the texts. */
int gguf_vocabulary_read(const struct gguf_header *header, struct gguf *gguf);
/* The tensors of one header (of several parts) into gguf->layer and the sums. */
int gguf_layers_add(const struct gguf_header *header, struct gguf *gguf);

/* "WHAT sentence", and "WHAT is damaged: sentence". Both are -GFXB_E_MODEL_DAMAGED. */
#define gguf_refuse(what, err, format, ...)                                                        \
    error_set(err, GFXB_E_MODEL_DAMAGED, "%s " format, what, ##__VA_ARGS__)
#define gguf_damaged(header, format, ...)                                                          \
    gguf_refuse((header)->what, (header)->err, "is damaged: " format, ##__VA_ARGS__)

/* ---- shape.c: rows of data/architectures.tsv ---- */

struct architecture {
    enum model_task task;
    uint32_t period; /* 0: the file says it */
    bool first;
    uint32_t window; /* 0: the file says it */
};

/* The row of this name, or a zero one. An error of the table is *err's. */
int architecture_find(struct str name, struct architecture *ret_row, struct gfxb_error *err);
/* The rules of the table, for model_tables_check. */
int architectures_check(struct gfxb_error *err);

#endif
