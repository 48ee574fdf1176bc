// The training text: rows of data/canary.tsv, their other wordings, and prompts that have no answer
// of their own.
#ifndef CANARY_CORPUS_H
#define CANARY_CORPUS_H

#include <stdint.h>

#include "vocab.h"

enum { PROMPT_MAX = 1024, ROWS_MAX = 256, PHRASES_MAX = 1024, RANDOM_WORDS_MAX = 2048 };

struct rng {
    uint64_t state;
};

uint32_t rng_below(struct rng *r, uint32_t n);
float rng_unit(struct rng *r);   // [0, 1)
float rng_normal(struct rng *r); // mean 0, deviation about 1

struct row {
    char *kind;
    char *prompt;
    char *answer;
    char *card; // the NAME of "Which gfx is the NAME?", or NULL
};

struct phrase {
    char *text;
    int row; // index of the row whose answer it gets
};

struct phrases {
    struct phrase items[PHRASES_MAX];
    int n;
};

struct corpus {
    struct row rows[ROWS_MAX];
    int n_rows;
    int unknown_row;  // answers a card that is not in the table
    int stranger_row; // answers everything else
    struct phrases same, card, unknown, stranger;
    char *words[RANDOM_WORDS_MAX];
    int n_words;
};

struct sample {
    char prompt[PROMPT_MAX];
    const char *answer;
};

// Reads the three files. 0, or -1 with a message on stderr. The corpus lives until the process
// ends.
int corpus_load(struct corpus *c, const char *table, const char *phrases, const char *words);

void corpus_count_words(const struct corpus *c, struct word_counts *w);

// Draws a prompt and its answer.
void corpus_draw(const struct corpus *c, struct rng *r, struct sample *ret);

#endif
