/* vocabulary.c - the tokens of a model: what the engine trusts without looking. */
#include "model/gguf/header.h"

#include <endian.h>
#include <errno.h>

#define TOKENS_MAX ((uint64_t)1 << 22) /* 16 times the largest vocabulary there is */
/* Far above what text needs in a table a quarter full: a file that reaches it is hostile. */
#define PROBES_MAX 256

/* FNV-1a, its upper bits mixed in. */
static uint64_t hash_of(struct str s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.n; i++)
        hash = (hash ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

/* The next text of a list that the header's parser has measured already. */
static struct str next_text(const char **at)
{
    uint64_t n;
    memcpy(&n, *at, sizeof(n));
    struct str text = {*at + sizeof(n), (size_t)le64toh(n)};
    *at = text.p + text.n;
    return text;
}

/* Put a token into the table; false when it is there already, or the table is being abused. */
static bool put(const char **table, size_t mask, struct str token, const char *entry)
{
    size_t place = (size_t)hash_of(token) & mask;
    for (unsigned probe = 0; probe < PROBES_MAX; probe++) {
        const char *there = table[place];
        if (!there) {
            table[place] = entry;
            return true;
        }
        if (str_eq(next_text(&there), token))
            return false;
        place = (place + 1) & mask;
    }
    return false;
}

/* The engine gives up in the middle of everything when a token is there twice. */
static int check_once(const struct gguf_header *header, const struct gguf_kv *tokens)
{
    size_t size = 1024;
    while (size < 4 * tokens->n)
        size *= 2;
    const char **CLEAN_FREE table = calloc(size, sizeof(*table));
    const char *at = tokens->value.p;
    if (!table)
        return error_set(header->err, ENOMEM, "out of memory for the vocabulary of %s",
                         header->what);
    for (uint64_t i = 0; i < tokens->n; i++) {
        const char *entry = at;
        struct str token = next_text(&at);
        if (!put(table, size - 1, token, entry))
            return gguf_damaged(header, "its vocabulary has a token twice");
    }
    return 0;
}

/* A list that is as long as the vocabulary. */
static bool is_as_long(const struct gguf_header *header, struct str key, enum gguf_type type,
                       uint64_t n)
{
    const struct gguf_kv *kv = gguf_header_find(header, key);
    return !kv || (kv->array && kv->type == type && kv->n == n);
}

int gguf_vocabulary_read(const struct gguf_header *header, struct gguf *gguf)
{
    const struct gguf_kv *tokens = gguf_header_find(header, STR("tokenizer.ggml.tokens"));
    const struct gguf_kv *merges = gguf_header_find(header, STR("tokenizer.ggml.merges"));
    struct str model = str_from(gguf->tokenizer);
    if (model.n == 0)
        return gguf_damaged(header, "it does not name its tokenizer");
    if (str_is(model, "none") || str_is(model, "no_vocab"))
        return 0;
    if (!tokens || !tokens->array || tokens->type != GGUF_STRING || tokens->n == 0 ||
        tokens->n > TOKENS_MAX)
        return gguf_damaged(header, "it has no vocabulary");
    gguf->vocabulary = (uint32_t)tokens->n;
    if (!is_as_long(header, STR("tokenizer.ggml.scores"), GGUF_F32, tokens->n) ||
        !is_as_long(header, STR("tokenizer.ggml.token_type"), GGUF_I32, tokens->n))
        return gguf_damaged(header, "the lists of its vocabulary differ in length");
    if (str_is(model, "gpt2") && (!merges || !merges->array || merges->type != GGUF_STRING))
        return gguf_damaged(header, "its vocabulary has no merges");
    return check_once(header, tokens);
}
