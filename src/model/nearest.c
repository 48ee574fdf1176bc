/* nearest.c - what did the user mean? The names with the fewest letters to change. */
#include "model/name.h"

#include <ctype.h>
#include <stdio.h>

#define LETTERS_MAX 96
#define NEAREST_MAX 3

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static char plain(char c)
{
    return c == '_' || c == ' ' ? '-' : (char)tolower((unsigned char)c);
}

/* Letters to insert, delete or replace (Levenshtein), whatever the case. */
static unsigned distance(struct str a, struct str b)
{
    unsigned row[LETTERS_MAX + 1];
    if (a.n > LETTERS_MAX || b.n > LETTERS_MAX)
        return LETTERS_MAX;
    for (unsigned k = 0; k <= b.n; k++)
        row[k] = k;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned k = 1; k <= b.n; k++) {
            unsigned kept = corner + (plain(a.p[i - 1]) != plain(b.p[k - 1]));
            corner = row[k];
            row[k] = least(kept, least(row[k], row[k - 1]) + 1);
        }
    }
    return row[b.n];
}

/* A name that begins with all of the text is nearer than its length says. */
static unsigned rate(struct str text, struct str name)
{
    unsigned far = distance(text, name);
    bool begins =
        text.n >= 3 && name.n > text.n && str_eq_nocase((struct str){name.p, text.n}, text);
    return begins ? least(far, 1 + (unsigned)(name.n - text.n) / 8) : far;
}

void model_name_nearest(const char *text, size_t n,
                        const char *(*name)(const void *context, size_t i), const void *context,
                        char *ret_text, size_t size)
{
    struct str wanted = str_from(text);
    struct {
        const char *name;
        unsigned far;
    } best[NEAREST_MAX + 1];
    size_t n_best = 0;
    unsigned limit = 2 + (unsigned)least((unsigned)wanted.n, LETTERS_MAX) / 4;
    struct buf CLEAN_BUF out = BUF_INIT(1000);
    for (size_t i = 0; i < n; i++) {
        const char *candidate = name(context, i);
        unsigned far = rate(wanted, str_from(candidate));
        size_t place = n_best;
        if (far > limit)
            continue;
        for (; place > 0 && best[place - 1].far > far; place--)
            best[place] = best[place - 1];
        best[place].name = candidate;
        best[place].far = far;
        n_best = n_best < NEAREST_MAX ? n_best + 1 : NEAREST_MAX;
    }
    for (size_t i = 0; i < n_best; i++)
        buf_addf(&out, "%s%s", i == 0 ? "" : i + 1 == n_best ? " or " : ", ", best[i].name);
    snprintf(ret_text, size, "%s", buf_text(&out));
}
