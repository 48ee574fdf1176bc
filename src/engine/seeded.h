/*
 * seeded.h - canaries of random weights, made from a seed when they are first needed: one for every
 * tensor type and shape of models that people use. A network of random weights has no redundancy,
 * so every wrong number changes its answer; and its tensors are random bytes of the format itself,
 * so nothing has to be quantised. What each answers is in data/seeded.tsv. Private to engine/, and
 * to tools/canary, which finds the answers.
 */
#ifndef ENGINE_SEEDED_H
#define ENGINE_SEEDED_H

#include "base/base.h"

enum {
    SEEDED_VOCAB = 512,
    SEEDED_FIRST = 259,        /* the first token of text: before it are controls and bytes */
    SEEDED_CONTEXT = 4096,     /* tokens */
    SEEDED_FILE_MAX = 8 << 20, /* bytes of the largest file */
};

/*
 * The whole file. shape: "dense" (heads of 64 in groups of two), "window" (grouped heads of 128,
 * sliding windows of 64 tokens), "experts" (two of eight experts a token, heads of 128). types: the
 * names of tensor types ("Q4_K"), separated by blanks, which its matrices have in turn. -EINVAL:
 * another shape or type. Same bytes for the same arguments on every computer.
 */
int seeded_write(struct str shape, struct str types, uint64_t seed, struct buf *ret,
                 struct gfxb_error *err);

enum { SEEDED_HOLLOW_WIDTH = 4096 };

/*
 * The head of a model of one layer whose weights are all 0, and the size of its file: the rest is a
 * hole. Its feed-forward part has 3 * SEEDED_HOLLOW_WIDTH * forward weights of 16 bits, and
 * the rest is equal whatever forward is.
 */
void seeded_write_hollow(int forward, struct buf *ret_head, uint64_t *ret_size);

/* n tokens of text that follow from a seed: a prompt. */
void seeded_prompt(uint64_t seed, size_t n, uint32_t ret_tokens[]);

/* Two lower-case letters, the text of a token; "" for those before SEEDED_FIRST. */
void seeded_token_text(uint32_t token, char ret_text[3]);

#endif
