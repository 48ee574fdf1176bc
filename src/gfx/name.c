/* name.c - names of cards as people write them, made comparable. */
#include "gfx/name.h"
#include "gfx/gfx.h"

/* Words that half of all names carry and that tell no card from another. */
const char *const gfx_noise_words[] = {
    "amd",     "ati",          "radeon",      "tm",         "r",    "c",   "graphics", "gpu",
    "gpus",    "series",       "card",        "video",      "vga",  "inc", "advanced", "micro",
    "devices", "adapter",      "controller",  "display",    "the",  "apu", "igpu",     "dgpu",
    "egpu",    "technologies", "corporation", "compatible", "radv", NULL,
};

static bool char_is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool char_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool char_is_word(char c)
{
    return char_is_letter(c) || char_is_digit(c) || c == '+' || (unsigned char)c >= 0x80;
}

static bool word_is_noise(struct str word)
{
    for (size_t i = 0; gfx_noise_words[i]; i++) {
        if (word.p[0] == gfx_noise_words[i][0] && str_is(word, gfx_noise_words[i]))
            return true;
    }
    return false;
}

static void name_add_word(struct gfx_name *name, struct str word)
{
    if (word.n == 0 || word_is_noise(word) || name->n + word.n + 1 >= sizeof(name->text))
        return;
    if (name->n)
        name->text[name->n++] = ' ';
    memcpy(name->text + name->n, word.p, word.n);
    name->n += word.n;
}

/* The trade mark signs of UTF-8 at p: how many bytes to skip. */
static size_t sign_bytes(struct str rest)
{
    if (str_starts(rest, STR("\xe2\x84\xa2")))
        return 3;
    return str_starts(rest, STR("\xc2\xae")) ? 2 : 0;
}

/* Cut "rx7900xtx" after runs of two or more letters and before them; "780m" and "w7900" stay. */
static void name_add_parts(struct gfx_name *name, struct str word)
{
    size_t start = 0, run = 0; /* run: letters at the end of what was walked */
    for (size_t i = 0; i < word.n; i++) {
        bool letter = char_is_letter(word.p[i]);
        bool next_two = letter && i + 1 < word.n && char_is_letter(word.p[i + 1]);
        bool cut = (!letter && run >= 2) || (next_two && run == 0 && i > start);
        if (cut) {
            name_add_word(name, (struct str){word.p + start, i - start});
            start = i;
        }
        run = letter ? run + 1 : 0;
    }
    name_add_word(name, (struct str){word.p + start, word.n - start});
}

void gfx_name_normalise(struct str raw, bool split, struct gfx_name *ret_name)
{
    char lower[GFX_NAME_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < raw.n && n < sizeof(lower); i++) {
        size_t skip = sign_bytes((struct str){raw.p + i, raw.n - i});
        char c = raw.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        lower[n++] = skip || !char_is_word(c) ? ' ' : c;
        i += skip ? skip - 1 : 0;
    }
    ret_name->n = 0;
    struct str rest = {lower, n}, word;
    while (str_word(&rest, &word)) {
        if (split)
            name_add_parts(ret_name, word);
        else
            name_add_word(ret_name, word);
    }
}

/* The next character that is no blank; false at the end. */
static bool name_next(const struct gfx_name *name, size_t *at, char *ret_c)
{
    while (*at < name->n && name->text[*at] == ' ')
        (*at)++;
    if (*at == name->n)
        return false;
    *ret_c = name->text[(*at)++];
    return true;
}

bool gfx_name_equal(const struct gfx_name *a, const struct gfx_name *b)
{
    size_t i = 0, k = 0;
    for (;;) {
        char ca = 0, cb = 0;
        bool more_a = name_next(a, &i, &ca), more_b = name_next(b, &k, &cb);
        if (!more_a || !more_b)
            return more_a == more_b;
        if (ca != cb)
            return false;
    }
}

bool gfx_name_has_words(const struct gfx_name *name, const struct gfx_name *part)
{
    struct str rest = {part->text, part->n}, word;
    struct str all = {name->text, name->n};
    bool any = false;
    while (str_word(&rest, &word)) {
        if (!str_list_has(all, word))
            return false;
        any = true;
    }
    return any;
}

/* "w7000": "w", "7000", "". */
struct word_parts {
    struct str head, digits, tail;
};

static struct word_parts word_cut(struct str word)
{
    size_t from = 0, to;
    while (from < word.n && !char_is_digit(word.p[from]))
        from++;
    for (to = from; to < word.n && char_is_digit(word.p[to]);)
        to++;
    return (struct word_parts){
        {word.p, from}, {word.p + from, to - from}, {word.p + to, word.n - to}};
}

/* Is `word` of the series `wanted`, whose number ends with at least two zeros? */
static bool word_is_of_series(struct str wanted, struct str word)
{
    struct word_parts series = word_cut(wanted), one = word_cut(word);
    size_t n = series.digits.n;
    while (n && series.digits.p[n - 1] == '0')
        n--;
    return n && series.digits.n - n >= 2 && one.digits.n == series.digits.n &&
           memcmp(one.digits.p, series.digits.p, n) == 0 && str_eq(series.head, one.head) &&
           str_eq(series.tail, one.tail);
}

static bool name_has_series(const struct gfx_name *name, struct str wanted)
{
    struct str all = {name->text, name->n}, word;
    while (str_word(&all, &word)) {
        if (word_is_of_series(wanted, word))
            return true;
    }
    return false;
}

bool gfx_name_is_of_series(const struct gfx_name *name, const struct gfx_name *series)
{
    struct str rest = {series->text, series->n}, word;
    struct str all = {name->text, name->n};
    bool any = false;
    while (str_word(&rest, &word)) {
        if (name_has_series(name, word))
            any = true;
        else if (!str_list_has(all, word))
            return false;
    }
    return any;
}

static size_t name_squash(const struct gfx_name *name, char ret_text[static GFX_NAME_BYTES])
{
    size_t n = 0, at = 0;
    while (name_next(name, &at, &ret_text[n]))
        n++;
    return n;
}

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned gfx_name_distance(const struct gfx_name *a, const struct gfx_name *b, unsigned limit)
{
    char x[GFX_NAME_BYTES], y[GFX_NAME_BYTES];
    size_t nx = name_squash(a, x), ny = name_squash(b, y);
    if (nx < 2 || ny < 2 || memcmp(x, y, 2) != 0 || (nx > ny ? nx - ny : ny - nx) > limit)
        return limit + 1;
    unsigned row[GFX_NAME_BYTES + 1];
    for (size_t k = 0; k <= ny; k++)
        row[k] = (unsigned)k;
    for (size_t i = 0; i < nx; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        unsigned best = row[0];
        for (size_t k = 0; k < ny; k++) {
            unsigned edit = diagonal + (x[i] != y[k]);
            diagonal = row[k + 1];
            row[k + 1] = smallest(edit, row[k] + 1, row[k + 1] + 1);
            best = row[k + 1] < best ? row[k + 1] : best;
        }
        if (best > limit)
            return limit + 1;
    }
    return row[ny] < limit ? row[ny] : row[ny] > limit ? limit + 1 : limit;
}

struct str gfx_name_head(struct str text)
{
    size_t n = 0, from = 0;
    while (n < text.n && text.p[n] != '(' && text.p[n] != '[')
        n++;
    for (size_t i = 0; i + 1 < n; i++) {
        if ((text.p[i] == ':' || text.p[i] == '=') && text.p[i + 1] == ' ')
            from = i + 1;
    }
    return (struct str){text.p + from, n - from};
}

bool gfx_name_phrase(struct str text, unsigned number, struct str *ret_phrase)
{
    static const char *const joints[] = {" w/ ", " with ", ": "};
    unsigned n = 0;
    for (size_t i = text.n; i-- > 0;) {
        if (text.p[i] != '[' && text.p[i] != '(')
            continue;
        struct str inner = {text.p + i + 1, text.n - i - 1};
        size_t end = 0;
        while (end < inner.n && inner.p[end] != ']' && inner.p[end] != ')')
            end++;
        inner.n = end;
        if (n++ == number) {
            *ret_phrase = inner;
            return true;
        }
    }
    for (size_t k = 0; k < sizeof(joints) / sizeof(joints[0]); k++) {
        struct str joint = str_from(joints[k]);
        for (size_t i = 0; i + joint.n < text.n; i++) {
            if (str_eq_nocase((struct str){text.p + i, joint.n}, joint) && n++ == number) {
                *ret_phrase = (struct str){text.p + i + joint.n, text.n - i - joint.n};
                return true;
            }
        }
    }
    return false;
}
