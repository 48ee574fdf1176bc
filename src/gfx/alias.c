/* alias.c - data/names.tsv: processors, code names, computers, and words that boards add to a name.
 */
#include "gfx/name.h"
#include "gfx/rows.h"

/* Made by the build from data/names.tsv. */
extern const char gfx_data_names[], gfx_data_names_end[];

enum { KIND, NAMES, GFX, MEANS, SOURCE };

static const char *const alias_columns[] = {"kind", "names", "gfx", "means", "source", NULL};

static void alias_open(struct table *table)
{
    table_init(table, "names.tsv",
               (struct str){gfx_data_names, (size_t)(gfx_data_names_end - gfx_data_names)},
               alias_columns);
}

/* The word, where '#' of the pattern is any digit? */
static bool alias_word_is(struct str pattern, struct str word)
{
    for (size_t i = 0; pattern.n == word.n && i < word.n; i++) {
        bool digit = word.p[i] >= '0' && word.p[i] <= '9';
        char c = str_lower(pattern.p[i]);
        if (c != word.p[i] && !(c == '#' && digit))
            return false;
    }
    return pattern.n == word.n;
}

static bool alias_has_word(struct str words, struct str pattern)
{
    struct str word;
    while (str_word(&words, &word)) {
        if (alias_word_is(pattern, word))
            return true;
    }
    return false;
}

/* All words of the name are among these? */
static bool alias_fits(struct str name, struct str words)
{
    struct str pattern;
    bool any = false;
    while (str_word(&name, &pattern)) {
        if (!alias_has_word(words, pattern))
            return false;
        any = true;
    }
    return any;
}

bool gfx_alias_find(struct str words, struct gfx_alias *ret_alias)
{
    struct table table;
    struct table_row row;
    size_t longest = 0;
    alias_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        struct str rest = row.field[NAMES], name;
        while (!str_is(row.field[KIND], "word") && str_cut(&rest, ';', &name)) {
            name = str_trim(name);
            if (name.n <= longest || !alias_fits(name, words))
                continue;
            longest = name.n;
            *ret_alias =
                (struct gfx_alias){row.field[KIND], name, row.field[GFX], row.field[MEANS]};
        }
    }
    return longest > 0;
}

bool gfx_alias_is_word(struct str word)
{
    struct table table;
    struct table_row row;
    alias_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        struct str rest = row.field[NAMES], name, one;
        while (str_is(row.field[KIND], "word") && str_cut(&rest, ';', &name)) {
            while (str_word(&name, &one)) {
                if (alias_word_is(one, word))
                    return true;
            }
        }
    }
    return false;
}

int gfx_aliases_check(const struct gfx_tables *t, struct gfxb_error *err)
{
    static const char *const kinds[] = {"processor", "chip", "device", "word", NULL};
    struct table table;
    struct table_row row;
    int more;
    alias_open(&table);
    while ((more = table_next(&table, &row, err)) > 0) {
        const struct gfx_cursor at = {&table, &row, NULL, NULL};
        unsigned kind;
        struct str rest = row.field[GFX], gfx;
        int result = gfx_field_word(&at, KIND, kinds, &kind, err);
        if (result == 0)
            result = gfx_field_required(&at, NAMES, err);
        if (result == 0)
            result = gfx_field_required(&at, SOURCE, err);
        if (result < 0)
            return result;
        while (str_word(&rest, &gfx)) {
            if (!gfx_target_find(t, gfx))
                return table_error(&table, &row, GFX, err, "'%.*s' is no row of targets.tsv",
                                   STR_ARG(gfx));
        }
    }
    return more;
}
