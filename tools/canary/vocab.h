// The canary's vocabulary: control tokens, 256 byte tokens, the printable characters, and learned
// pieces. Encoding follows llama.cpp's "llama" (SentencePiece) tokenizer: the adjacent pair with
// the best score is joined until none is left; what is not in the vocabulary becomes bytes.
#ifndef CANARY_VOCAB_H
#define CANARY_VOCAB_H

enum {
    VOCAB_SIZE = 768,
    PIECE_MAX = 24, // bytes of a piece, with its NUL; a space is three bytes (U+2581)

    TOKEN_UNKNOWN = 0,
    TOKEN_BOS = 1,
    TOKEN_EOS = 2,
    TOKEN_USER = 3,
    TOKEN_ASSISTANT = 4,
    TOKEN_BYTES = 5, // token of byte b is TOKEN_BYTES + b
};

enum piece_type { // values of tokenizer.ggml.token_type
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN = 2,
    PIECE_CONTROL = 3,
    PIECE_BYTE = 6,
};

struct piece {
    char text[PIECE_MAX];
    float score;
    int type;
};

struct vocab {
    struct piece pieces[VOCAB_SIZE];
    int n;
    int slots[4096]; // open-addressed hash of text -> id + 1
};

struct word_counts; // words of the training text, see vocab_count

struct word_counts *word_counts_new(void);
void word_counts_free(struct word_counts *w);

// Counts the words of `text`; a word is a run of letters, with the space before it where there is
// one.
void word_counts_add(struct word_counts *w, const char *text, int weight);

// Learns the vocabulary by joining the most frequent pair again and again. The result depends on
// the counts alone.
void vocab_learn(struct vocab *v, const struct word_counts *w);

// Tokens of UTF-8 (or any) text, at most `max` of them; returns how many.
int vocab_encode(const struct vocab *v, const char *text, int *ret_tokens, int max);

#endif
