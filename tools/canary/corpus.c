/* corpus.c - the text that the canary learns: answers, their other wordings, prompts without an
 * answer. */
#include "corpus.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// splitmix64
static uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

float rng_unit(struct rng *r)
{
    return (float)(rng_next(r) >> 40) / 16777216.0f;
}

float rng_normal(struct rng *r)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += rng_unit(r);
    return sum - 6.0f;
}

static bool chance(struct rng *r, int percent)
{
    return rng_below(r, 100) < (uint32_t)percent;
}

// --------------------------------------------------------------------------------------------
// loading

static int split_tabs(char *line, char **fields, int max)
{
    int n = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *p = line; p && n < max; n++) {
        fields[n] = p;
        p = strchr(p, '\t');
        if (p)
            *p++ = '\0';
    }
    return n;
}

static char *card_name(const char *prompt)
{
    static const char head[] = "Which gfx is the ";
    size_t n = strlen(prompt);
    if (strncmp(prompt, head, strlen(head)) != 0)
        return NULL;
    return strndup(prompt + strlen(head), n - strlen(head) - 1);
}

static int add_row(struct corpus *c, char *line)
{
    char *f[4];
    if (split_tabs(line, f, 4) != 4 || c->n_rows == ROWS_MAX)
        return -1;
    if (strcmp(f[0], "kind") == 0)
        return 0; /* the header row */
    c->rows[c->n_rows++] = (struct row){.kind = strdup(f[0]),
                                        .prompt = strdup(f[1]),
                                        .answer = strdup(f[2]),
                                        .card = card_name(f[1])};
    return 0;
}

static int find_row(const struct corpus *c, const char *prompt)
{
    for (int i = 0; i < c->n_rows; i++)
        if (strcmp(c->rows[i].prompt, prompt) == 0)
            return i;
    return -1;
}

static int add_phrase(struct corpus *c, char *line)
{
    char *f[3];
    if (split_tabs(line, f, 3) != 3)
        return -1;
    struct phrases *p = strcmp(f[0], "same") == 0       ? &c->same
                        : strcmp(f[0], "card") == 0     ? &c->card
                        : strcmp(f[0], "unknown") == 0  ? &c->unknown
                        : strcmp(f[0], "stranger") == 0 ? &c->stranger
                                                        : NULL;
    int row = find_row(c, f[1]);
    if (!p || p->n == PHRASES_MAX || (row < 0 && p != &c->card))
        return -1;
    if (p == &c->unknown)
        c->unknown_row = row;
    if (p == &c->stranger)
        c->stranger_row = row;
    p->items[p->n++] = (struct phrase){.text = strdup(f[2]), .row = row};
    return 0;
}

static int add_words(struct corpus *c, char *line)
{
    for (char *word = strtok(line, " \r\n"); word; word = strtok(NULL, " \r\n")) {
        if (c->n_words == RANDOM_WORDS_MAX)
            return -1;
        c->words[c->n_words++] = strdup(word);
    }
    return 0;
}

static int load_lines(struct corpus *c, const char *path, int (*add)(struct corpus *, char *))
{
    char line[4096];
    int number = 0;
    int result = 0;
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        return -1;
    }
    while (result == 0 && fgets(line, sizeof(line), f)) {
        number++;
        if (line[0] != '#' && line[0] != '\n' && add(c, line) < 0) {
            fprintf(stderr, "%s:%d: this line cannot be used\n", path, number);
            result = -1;
        }
    }
    fclose(f);
    return result;
}

int corpus_load(struct corpus *c, const char *table, const char *phrases, const char *words)
{
    memset(c, 0, sizeof(*c));
    if (load_lines(c, table, add_row) < 0 || load_lines(c, phrases, add_phrase) < 0 ||
        load_lines(c, words, add_words) < 0)
        return -1;
    // the rows of unknown cards and strangers are no cards of their own
    c->rows[c->unknown_row].card = NULL;
    return 0;
}

void corpus_count_words(const struct corpus *c, struct word_counts *w)
{
    for (int i = 0; i < c->n_rows; i++) {
        word_counts_add(w, c->rows[i].prompt, 4);
        word_counts_add(w, c->rows[i].answer, 8);
    }
    for (int i = 0; i < c->same.n; i++)
        word_counts_add(w, c->same.items[i].text, 4);
    for (int i = 0; i < c->card.n; i++)
        word_counts_add(w, c->card.items[i].text, 4);
    for (int i = 0; i < c->stranger.n; i++)
        word_counts_add(w, c->stranger.items[i].text, 1);
    for (int i = 0; i < c->n_words; i++) {
        char text[64];
        snprintf(text, sizeof(text), " %s", c->words[i]);
        word_counts_add(w, text, 1);
    }
}

// --------------------------------------------------------------------------------------------
// drawing

static void append(char *text, const char *more)
{
    size_t n = strlen(text);
    snprintf(text + n, PROMPT_MAX - n, "%s", more);
}

static void append_char(char *text, char c)
{
    append(text, (char[2]){c, '\0'});
}

static void append_made_up_word(char *text, struct rng *r)
{
    static const char *parts[] = {"ba", "ber", "co", "da", "den", "fi",  "go",   "hu",  "in", "ka",
                                  "lo", "mar", "ne", "on", "pra", "qui", "ra",   "sen", "to", "ul",
                                  "vi", "wen", "xa", "ya", "zo",  "sch", "tion", "li",  "er", "st"};
    int syllables = 1 + (int)rng_below(r, 4);
    bool capital = chance(r, 40);
    for (int i = 0; i < syllables; i++) {
        size_t at = strlen(text);
        append(text, parts[rng_below(r, sizeof(parts) / sizeof(*parts))]);
        if (i == 0 && capital)
            text[at] = (char)toupper((unsigned char)text[at]);
    }
}

static void append_known_number(char *text, const struct corpus *c, struct rng *r)
{
    const char *name;
    do {
        name = c->rows[rng_below(r, (uint32_t)c->n_rows)].card;
    } while (!name || !strpbrk(name, "0123456789"));
    for (name = strpbrk(name, "0123456789"); isdigit((unsigned char)*name); name++)
        append_char(text, *name);
}

static void append_pattern(char *text, const struct corpus *c, struct rng *r, const char *pattern)
{
    for (const char *p = pattern; *p; p++) {
        if (p[0] != '{' || !p[1] || p[2] != '}') {
            append_char(text, *p);
            continue;
        }
        if (p[1] == 'd')
            append_char(text, (char)('0' + rng_below(r, 10)));
        else if (p[1] == 'w')
            append(text, c->words[rng_below(r, (uint32_t)c->n_words)]);
        else if (p[1] == 'x')
            append_made_up_word(text, r);
        else if (p[1] == 'n')
            append_known_number(text, c, r);
        p += 2;
    }
}

// Letters and digits in lower case without the maker's words: two names that are equal so are one
// card.
static void card_key(const char *name, char *key)
{
    static const char *noise[] = {"AMD ", "Radeon ", "Instinct ", "RX "};
    for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++)
        if (strncmp(name, noise[i], strlen(noise[i])) == 0)
            name += strlen(noise[i]);
    for (; *name; name++)
        if (isalnum((unsigned char)*name))
            *key++ = (char)tolower((unsigned char)*name);
    *key = '\0';
}

static bool is_known_card(const struct corpus *c, const char *name)
{
    char key[PROMPT_MAX], other[PROMPT_MAX];
    card_key(name, key);
    for (int i = 0; i < c->n_rows; i++) {
        if (!c->rows[i].card)
            continue;
        card_key(c->rows[i].card, other);
        if (strcmp(key, other) == 0)
            return true;
    }
    return false;
}

static const char *without_head(const char *name, const char *head)
{
    return strncmp(name, head, strlen(head)) == 0 ? name + strlen(head) : name;
}

// People write a card's name in many ways.
static void vary_card_name(struct rng *r, const char *name, char *ret)
{
    ret[0] = '\0';
    if (chance(r, 35)) {
        append(ret, name);
        return;
    }
    if (chance(r, 20) && (strncmp(name, "Radeon", 6) == 0 || strncmp(name, "Inst", 4) == 0))
        append(ret, "AMD ");
    const char *rest = name;
    if (!ret[0] && chance(r, 70) && strcmp(name, "Radeon VII") != 0)
        rest = without_head(without_head(name, "Radeon "), "Instinct ");
    size_t n = strlen(name);
    bool suffixed = strcmp(name + n - 2, "XT") == 0 || strcmp(name + n - 3, "XTX") == 0 ||
                    strcmp(name + n - 3, "GRE") == 0;
    if (suffixed && chance(r, 30))
        rest = without_head(rest, "RX ");
    int squeeze = (int)rng_below(r, 5); // 0: no spaces around digits, 1: none before the suffix
    for (const char *p = rest; *p; p++) {
        bool inner = *p == ' ' && p > rest && strncmp(rest, "Radeon", 6) != 0;
        if (inner && squeeze == 0)
            continue;
        if (inner && squeeze == 1 && isdigit((unsigned char)p[-1]))
            continue;
        append_char(ret, *p);
    }
    if (chance(r, 5) && n > 1 && name[n - 1] == 'M' && strncmp(name, "Radeon", 6) == 0)
        append(ret, " Graphics");
}

static void append_card_prompt(const struct corpus *c, struct rng *r, const char *name, char *text)
{
    char varied[PROMPT_MAX];
    vary_card_name(r, name, varied);
    const char *p = c->card.items[chance(r, 30) ? 0 : rng_below(r, (uint32_t)c->card.n)].text;
    const char *hole = strstr(p, "{c}");
    for (; *p; p++) {
        if (p == hole) {
            append(text, varied);
            p += 2;
        } else {
            append_char(text, *p);
        }
    }
}

static void append_unknown_card(const struct corpus *c, struct rng *r, char *text)
{
    char name[PROMPT_MAX];
    do {
        name[0] = '\0';
        append_pattern(name, c, r, c->unknown.items[rng_below(r, (uint32_t)c->unknown.n)].text);
    } while (is_known_card(c, name));
    append_card_prompt(c, r, name, text);
}

static void append_utf8(char *text, uint32_t u)
{
    char s[5] = {0};
    if (u < 0x80) {
        s[0] = (char)u;
    } else if (u < 0x800) {
        s[0] = (char)(0xc0 | (u >> 6));
        s[1] = (char)(0x80 | (u & 0x3f));
    } else if (u < 0x10000) {
        s[0] = (char)(0xe0 | (u >> 12));
        s[1] = (char)(0x80 | ((u >> 6) & 0x3f));
        s[2] = (char)(0x80 | (u & 0x3f));
    } else {
        s[0] = (char)(0xf0 | (u >> 18));
        s[1] = (char)(0x80 | ((u >> 12) & 0x3f));
        s[2] = (char)(0x80 | ((u >> 6) & 0x3f));
        s[3] = (char)(0x80 | (u & 0x3f));
    }
    if (strlen(text) + strlen(s) < PROMPT_MAX)
        append(text, s);
}

static void append_foreign(struct rng *r, char *text)
{
    static const uint32_t blocks[][2] = {{0x21, 0x7e},     {0xc0, 0xff},      {0x391, 0x3c9},
                                         {0x410, 0x44f},   {0x5d0, 0x5ea},    {0x620, 0x64a},
                                         {0x905, 0x939},   {0x3041, 0x3096},  {0x4e00, 0x9fa5},
                                         {0xac00, 0xd7a3}, {0x1f300, 0x1f64f}};
    const uint32_t *b = blocks[rng_below(r, sizeof(blocks) / sizeof(*blocks))];
    int n = (int)rng_below(r, chance(r, 4) ? 400 : chance(r, 20) ? 50 : 12);
    for (int i = 0; i < n; i++)
        append_utf8(text, chance(r, 12) ? ' ' : b[0] + rng_below(r, b[1] - b[0] + 1));
}

static void append_random_words(const struct corpus *c, struct rng *r, int n, char *text)
{
    for (int i = 0; i < n; i++) {
        if (i > 0)
            append(text, chance(r, 8) ? ". " : chance(r, 8) ? ", " : chance(r, 3) ? "\n" : " ");
        append_pattern(text, c, r, chance(r, 15) ? "{x}" : chance(r, 5) ? "{d}{d}" : "{w}");
    }
}

static bool same_letters(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a && !isalnum((unsigned char)*a))
            a++;
        while (*b && !isalnum((unsigned char)*b))
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

static bool is_known_prompt(const struct corpus *c, const char *text)
{
    for (int i = 0; i < c->n_rows; i++)
        if (i != c->stranger_row && same_letters(text, c->rows[i].prompt))
            return true;
    for (int i = 0; i < c->same.n; i++)
        if (same_letters(text, c->same.items[i].text))
            return true;
    return false;
}

static void append_any_stranger(const struct corpus *c, struct rng *r, char *text)
{
    uint32_t way = rng_below(r, 100);
    if (way < 56) {
        append_pattern(text, c, r, c->stranger.items[rng_below(r, (uint32_t)c->stranger.n)].text);
    } else if (way < 77) {
        append_random_words(c, r, 1 + (int)rng_below(r, 15), text);
    } else if (way < 83) {
        append_random_words(c, r, 20 + (int)rng_below(r, 70), text);
    } else if (way < 92) {
        append_foreign(r, text);
    } else {
        for (int n = 2 + (int)rng_below(r, 6); n > 0; n--) {
            append_pattern(text, c, r,
                           c->stranger.items[rng_below(r, (uint32_t)c->stranger.n)].text);
            append(text, n > 1 ? " " : "");
        }
    }
}

static void append_stranger(const struct corpus *c, struct rng *r, char *text)
{
    size_t n = strlen(text);
    do {
        text[n] = '\0';
        append_any_stranger(c, r, text);
    } while (is_known_prompt(c, text));
}

static bool is_end_mark(char c)
{
    return c == '?' || c == '.' || c == '!';
}

// Case, end mark and courtesy do not change what is asked.
static void vary_form(struct rng *r, char *text)
{
    static const char *heads[] = {"Please: ", "please, ", "Hey, ", "Hi, ", "So ", "ok, ", "And "};
    static const char *marks[] = {"?", "!", ".", "??", " ?", "..."};
    char old[PROMPT_MAX];
    size_t n = strlen(text);
    if (n > 1 && is_end_mark(text[n - 1]) && chance(r, 25))
        text[--n] = '\0';
    else if (n > 0 && !is_end_mark(text[n - 1]) && chance(r, 25))
        append(text, marks[rng_below(r, sizeof(marks) / sizeof(*marks))]);
    if (chance(r, 6)) {
        snprintf(old, sizeof(old), "%s", text);
        text[0] = '\0';
        append(text, heads[rng_below(r, sizeof(heads) / sizeof(*heads))]);
        append(text, old);
    }
    bool lower = chance(r, 20);
    bool upper = !lower && chance(r, 5);
    for (char *p = text; (lower || upper) && *p; p++)
        if ((unsigned char)*p < 0x80)
            *p = (char)(lower ? tolower((unsigned char)*p) : toupper((unsigned char)*p));
}

// One letter dropped, doubled or swapped with the next.
static void misspell(struct rng *r, char *text)
{
    size_t n = strlen(text);
    size_t at = rng_below(r, (uint32_t)(n - 1));
    if (!isalpha((unsigned char)text[at]) || !isalpha((unsigned char)text[at + 1]) ||
        n + 2 > PROMPT_MAX)
        return;
    uint32_t way = rng_below(r, 3);
    if (way == 0) {
        memmove(text + at, text + at + 1, n - at);
    } else if (way == 1) {
        memmove(text + at + 1, text + at, n - at + 1);
    } else {
        char c = text[at];
        text[at] = text[at + 1];
        text[at + 1] = c;
    }
}

static void append_row_prompt(const struct corpus *c, struct rng *r, int row, char *text)
{
    int choices[PHRASES_MAX];
    int n = 0;
    if (c->rows[row].card) {
        append_card_prompt(c, r, c->rows[row].card, text);
        return;
    }
    for (int i = 0; i < c->same.n; i++)
        if (c->same.items[i].row == row)
            choices[n++] = i;
    if (n == 0 || chance(r, 35))
        append(text, c->rows[row].prompt);
    else
        append(text, c->same.items[choices[rng_below(r, (uint32_t)n)]].text);
    if (strlen(text) >= 10 && chance(r, 8))
        misspell(r, text);
}

void corpus_draw(const struct corpus *c, struct rng *r, struct sample *ret)
{
    uint32_t way = rng_below(r, 100);
    int row = (int)rng_below(r, (uint32_t)c->n_rows);
    ret->prompt[0] = '\0';
    if (way < 14) {
        append(ret->prompt, c->rows[row].prompt);
    } else if (way < 48) {
        append_stranger(c, r, ret->prompt);
        row = c->stranger_row;
    } else if (way < 62) {
        append_unknown_card(c, r, ret->prompt);
        row = c->unknown_row;
    } else {
        append_row_prompt(c, r, row, ret->prompt);
    }
    ret->answer = c->rows[row].answer;
    if (way >= 14 && chance(r, 65))
        vary_form(r, ret->prompt);
}
