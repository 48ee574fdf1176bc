/* alias.c - data/names.tsv: processors, code names, computers, and words that boards add to a name.
 */
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

/* A question's words in their order. */
struct alias_text {
    struct str word[GFX_NAME_BYTES / 2 + 1];
    size_t n;
};

static void alias_text_make(const struct gfx_name *name, struct alias_text *ret_text)
{
    struct str rest = {name->text, name->n};
    ret_text->n = 0;
    while (str_word(&rest, &ret_text->word[ret_text->n]))
        ret_text->n += !str_is(ret_text->word[ret_text->n], "+"); /* "7800X3D + RX 7900 XTX" */
}

/* Is the word one of those that the names of this kind are made of? */
static bool word_is_of(const char *kind, struct str word)
{
    struct table table;
    struct table_row row;
    alias_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        struct str rest = row.field[NAMES], name, one;
        while (str_is(row.field[KIND], kind) && str_cut(&rest, ';', &name)) {
            while (str_word(&name, &one)) {
                if (alias_word_is(one, word))
                    return true;
            }
        }
    }
    return false;
}

bool gfx_alias_is_word(struct str word)
{
    return word_is_of("word", word);
}

bool gfx_alias_is_unit(struct str word)
{
    return word_is_of("unit", word);
}

static bool word_is_number(struct str word)
{
    uint64_t value;
    return str_to_u64(word, 10, &value) == 0;
}

/* How many words the name takes from this one on, with those of the kind "between" inside it; 0: it
 * does not stand there. "Ryzen 250" is not "Ryzen 7, 250 GB". */
static size_t alias_length(struct str name, const struct alias_text *text, size_t from)
{
    struct str pattern = STR_NONE;
    size_t at = from;
    while (str_word(&name, &pattern)) {
        while (at > from && at < text->n && !alias_word_is(pattern, text->word[at]) &&
               word_is_of("between", text->word[at]))
            at++;
        if (at == text->n || !alias_word_is(pattern, text->word[at]))
            return 0;
        at++;
    }
    if (at < text->n && word_is_number(pattern) && gfx_alias_is_unit(text->word[at]))
        return 0;
    return at - from;
}

static bool alias_stands(struct str name, const struct alias_text *text, size_t *ret_from,
                         size_t *ret_n)
{
    for (*ret_from = 0; *ret_from < text->n; (*ret_from)++) {
        *ret_n = alias_length(name, text, *ret_from);
        if (*ret_n)
            return true;
    }
    return false;
}

/* Does any name of this kind stand there? */
static bool kind_stands(const char *kind, const struct alias_text *text)
{
    struct table table;
    struct table_row row;
    size_t from, n;
    alias_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        struct str rest = row.field[NAMES], name;
        while (str_is(row.field[KIND], kind) && str_cut(&rest, ';', &name)) {
            if (alias_stands(name, text, &from, &n))
                return true;
        }
    }
    return false;
}

/* The words around the name, without those that belong to it: "Ryzen 5" before it, "6-Core
 * Processor" behind it. */
static void alias_rest(const struct alias_text *text, size_t from, size_t n,
                       struct gfx_name *ret_rest)
{
    size_t to = from + n;
    while (from > 0 && (word_is_of("between", text->word[from - 1]) ||
                        word_is_of("maker", text->word[from - 1])))
        from--;
    if (to + 1 < text->n && word_is_number(text->word[to]) && gfx_alias_is_unit(text->word[to + 1]))
        to += 2;
    while (to < text->n && gfx_alias_is_word(text->word[to]))
        to++;
    ret_rest->n = 0;
    for (size_t i = 0; i < text->n; i++) {
        struct str word = text->word[i];
        if (i >= from && i < to)
            continue;
        memcpy(ret_rest->text + ret_rest->n, word.p, word.n);
        ret_rest->n += word.n;
        if (ret_rest->n < sizeof(ret_rest->text))
            ret_rest->text[ret_rest->n++] = ' ';
    }
}

static void alias_search(const struct alias_text *text, struct gfx_alias_match *match)
{
    struct table table;
    struct table_row row;
    size_t from, n;
    bool maker = kind_stands("maker", text), other = kind_stands("other", text);
    alias_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        struct str rest = row.field[NAMES], name;
        bool processor = str_is(row.field[KIND], "processor");
        bool named =
            processor || str_is(row.field[KIND], "chip") || str_is(row.field[KIND], "device");
        while (named && str_cut(&rest, ';', &name)) {
            name = str_trim(name);
            if (name.n <= match->alias.name.n || !alias_stands(name, text, &from, &n))
                continue;
            if (processor && other && !maker && !word_is_of("other", text->word[from]))
                continue;
            match->alias =
                (struct gfx_alias){row.field[KIND], name, row.field[GFX], row.field[MEANS]};
            match->maker = maker;
            alias_rest(text, from, n, &match->rest);
        }
    }
}

bool gfx_alias_find(struct str text, struct gfx_alias_match *ret_match)
{
    *ret_match = (struct gfx_alias_match){0};
    for (int split = 0; split <= 1; split++) {
        struct gfx_name name;
        struct alias_text words;
        gfx_name_normalise(text, split, &name);
        alias_text_make(&name, &words);
        alias_search(&words, ret_match);
    }
    return ret_match->alias.name.n > 0;
}

int gfx_aliases_check(const struct gfx_tables *t, struct gfxb_error *err)
{
    static const char *const kinds[] = {"processor", "chip",    "device", "word", "maker",
                                        "other",     "between", "unit",   NULL};
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
