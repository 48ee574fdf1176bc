/* vocab.c - learns the canary's vocabulary and encodes text with it. */
#include "vocab.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "\xe2\x96\x81" // U+2581, which stands for a space inside pieces

enum { WORDS_MAX = 8192, WORD_SYMBOLS = 20, SLOTS = 4096, TEXT_MAX = 4096 };

struct word {
    int symbols[WORD_SYMBOLS]; // piece ids
    int n;
    int count;
};

struct word_counts {
    char texts[WORDS_MAX][WORD_SYMBOLS + 1]; // a space is ' ' here
    int counts[WORDS_MAX];
    int n;
};

struct word_counts *word_counts_new(void)
{
    return calloc(1, sizeof(struct word_counts));
}

void word_counts_free(struct word_counts *w)
{
    free(w);
}

static void count_word(struct word_counts *w, const char *text, int weight)
{
    int i = 0;
    while (i < w->n && strcmp(w->texts[i], text) != 0)
        i++;
    if (i == WORDS_MAX)
        return;
    if (i == w->n)
        strcpy(w->texts[w->n++], text);
    w->counts[i] += weight;
}

void word_counts_add(struct word_counts *w, const char *text, int weight)
{
    for (const char *p = text; *p;) {
        char word[WORD_SYMBOLS + 1];
        int n = 0;
        if (*p == ' ' && isalpha((unsigned char)p[1]))
            word[n++] = *p++;
        if (!isalpha((unsigned char)*p)) {
            p++;
            continue;
        }
        while (isalpha((unsigned char)*p) && n < WORD_SYMBOLS)
            word[n++] = *p++;
        word[n] = '\0';
        count_word(w, word, weight);
    }
}

static unsigned hash(const char *text, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return (h ^ (h >> 15)) % SLOTS;
}

static int vocab_find(const struct vocab *v, const char *text, size_t n)
{
    if (n >= PIECE_MAX)
        return -1;
    for (unsigned s = hash(text, n); v->slots[s]; s = (s + 1) % SLOTS) {
        const char *piece = v->pieces[v->slots[s] - 1].text;
        if (strncmp(piece, text, n) == 0 && piece[n] == '\0')
            return v->slots[s] - 1;
    }
    return -1;
}

static int vocab_add(struct vocab *v, const char *text, float score, int type)
{
    struct piece *p = &v->pieces[v->n];
    snprintf(p->text, sizeof(p->text), "%.*s", PIECE_MAX - 1, text);
    p->score = score;
    p->type = type;
    unsigned s = hash(p->text, strlen(p->text));
    while (v->slots[s])
        s = (s + 1) % SLOTS;
    v->slots[s] = v->n + 1;
    return v->n++;
}

static void add_fixed_pieces(struct vocab *v)
{
    memset(v, 0, sizeof(*v));
    vocab_add(v, "<unk>", 0, PIECE_UNKNOWN);
    vocab_add(v, "<s>", 0, PIECE_CONTROL);
    vocab_add(v, "</s>", 0, PIECE_CONTROL);
    vocab_add(v, "<|user|>", 0, PIECE_CONTROL);
    vocab_add(v, "<|assistant|>", 0, PIECE_CONTROL);
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", (unsigned)b);
        vocab_add(v, text, 0, PIECE_BYTE);
    }
    vocab_add(v, SPACE, -10000, PIECE_NORMAL);
    for (int c = '!'; c <= '~'; c++) {
        char text[2] = {(char)c, '\0'};
        vocab_add(v, text, -10000, PIECE_NORMAL);
    }
}

static void split_word(const struct vocab *v, const char *text, int count, struct word *ret)
{
    ret->n = 0;
    ret->count = count;
    for (; *text; text++)
        ret->symbols[ret->n++] =
            *text == ' ' ? vocab_find(v, SPACE, strlen(SPACE)) : vocab_find(v, text, 1);
}

static void join_pair(struct word *w, int left, int right, int joined)
{
    int n = 0;
    for (int i = 0; i < w->n; i++) {
        if (i + 1 < w->n && w->symbols[i] == left && w->symbols[i + 1] == right) {
            w->symbols[n++] = joined;
            i++;
        } else {
            w->symbols[n++] = w->symbols[i];
        }
    }
    w->n = n;
}

// The most frequent pair whose joined text still fits a piece; the lower ids win a tie. -1 when
// there is none.
static int best_pair(const struct vocab *v, const struct word *words, int n_words, int *pairs)
{
    int best = -1;
    memset(pairs, 0, sizeof(int) * VOCAB_SIZE * VOCAB_SIZE);
    for (int i = 0; i < n_words; i++)
        for (int k = 0; k + 1 < words[i].n; k++)
            pairs[words[i].symbols[k] * VOCAB_SIZE + words[i].symbols[k + 1]] += words[i].count;
    for (int i = 0; i < v->n * VOCAB_SIZE; i++) {
        if (pairs[i] == 0 || (best >= 0 && pairs[i] <= pairs[best]))
            continue;
        const char *left = v->pieces[i / VOCAB_SIZE].text;
        const char *right = v->pieces[i % VOCAB_SIZE].text;
        if (strlen(left) + strlen(right) < PIECE_MAX)
            best = i;
    }
    return best;
}

void vocab_learn(struct vocab *v, const struct word_counts *w)
{
    struct word *words = calloc((size_t)w->n, sizeof(*words));
    int *pairs = calloc(VOCAB_SIZE * VOCAB_SIZE, sizeof(int));
    add_fixed_pieces(v);
    for (int i = 0; words && i < w->n; i++)
        split_word(v, w->texts[i], w->counts[i], &words[i]);
    for (int rank = 1; words && pairs && v->n < VOCAB_SIZE; rank++) {
        int best = best_pair(v, words, w->n, pairs);
        if (best < 0)
            break;
        int left = best / VOCAB_SIZE;
        int right = best % VOCAB_SIZE;
        char text[2 * PIECE_MAX];
        snprintf(text, sizeof(text), "%s%s", v->pieces[left].text, v->pieces[right].text);
        int joined = vocab_find(v, text, strlen(text)); // the same text may come from another pair
        if (joined < 0)
            joined = vocab_add(v, text, (float)-rank, PIECE_NORMAL);
        for (int i = 0; i < w->n; i++)
            join_pair(&words[i], left, right, joined);
    }
    free(pairs);
    free(words);
}

struct symbol {
    int at;
    int n;
    float score; // of joining with the next symbol
    int joins;   // whether the join is in the vocabulary
};

static void score_join(const struct vocab *v, const char *text, struct symbol *s, int i, int n)
{
    int id = i + 1 < n ? vocab_find(v, text + s[i].at, (size_t)(s[i].n + s[i + 1].n)) : -1;
    s[i].joins = id >= 0;
    s[i].score = id >= 0 ? v->pieces[id].score : 0;
}

static int split_characters(const char *text, struct symbol *s)
{
    int n = 0;
    for (int at = 0; text[at];) {
        unsigned char c = (unsigned char)text[at];
        int len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        for (int k = 1; k < len; k++)
            if (!text[at + k])
                len = k;
        s[n++] = (struct symbol){.at = at, .n = len};
        at += len;
    }
    return n;
}

static int join_symbols(const struct vocab *v, const char *text, struct symbol *s, int n)
{
    for (int i = 0; i < n; i++)
        score_join(v, text, s, i, n);
    for (;;) {
        int best = -1;
        for (int i = 0; i + 1 < n; i++)
            if (s[i].joins && (best < 0 || s[i].score > s[best].score))
                best = i;
        if (best < 0)
            return n;
        s[best].n += s[best + 1].n;
        memmove(&s[best + 1], &s[best + 2], (size_t)(n - best - 2) * sizeof(*s));
        n--;
        score_join(v, text, s, best, n);
        if (best > 0)
            score_join(v, text, s, best - 1, n);
    }
}

int vocab_encode(const struct vocab *v, const char *text, int *ret_tokens, int max)
{
    char escaped[3 * TEXT_MAX + 1];
    struct symbol symbols[3 * TEXT_MAX];
    int n = 0;
    for (int i = 0; text[i] && i < TEXT_MAX; i++) {
        if (text[i] == ' ') {
            memcpy(escaped + n, SPACE, 3);
            n += 3;
        } else {
            escaped[n++] = text[i];
        }
    }
    escaped[n] = '\0';
    int n_symbols = join_symbols(v, escaped, symbols, split_characters(escaped, symbols));
    int n_tokens = 0;
    for (int i = 0; i < n_symbols; i++) {
        const char *part = escaped + symbols[i].at;
        int id = vocab_find(v, part, (size_t)symbols[i].n);
        for (int k = 0; k < (id >= 0 ? 1 : symbols[i].n) && n_tokens < max; k++)
            ret_tokens[n_tokens++] = id >= 0 ? id : TOKEN_BYTES + (unsigned char)part[k];
    }
    return n_tokens;
}
