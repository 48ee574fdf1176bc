/* causes.c - what messages mean: data/causes.tsv found in a text, the root first. */
#include "engine/engine_private.h"

extern const char engine_data_causes_tsv[], engine_data_causes_tsv_end[];
extern const char engine_data_programs_tsv[], engine_data_programs_tsv_end[];

enum { PATTERN, GFX, WEIGHT, CODE, TEXT, REMEDY, PROGRAM, SOURCE };

static const char *const causes_columns[] = {"pattern", "gfx",     "weight", "code", "text",
                                             "remedy",  "program", "source", NULL};
static const char *const programs_columns[] = {"pattern", "program", "send", "source", NULL};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}

/* "-22", not "a-2" and not a dash. */
static bool is_minus(struct str text, size_t i, bool pattern)
{
    if (text.p[i] != '-' || i + 1 == text.n || (i > 0 && is_word(str_lower(text.p[i - 1]))))
        return false;
    return is_digit(text.p[i + 1]) || (pattern && text.p[i + 1] == '#');
}

/* The text as patterns are compared with it: small letters, words and numbers with one blank
 * between them, lines kept. What stands between words changes from program to program. */
static void causes_plain(struct str text, const char *kept, struct buf *ret)
{
    bool gap = false, pattern = strchr(kept, '#');
    for (size_t i = 0; i < text.n; i++) {
        char c = str_lower(text.p[i]), last = ret->n ? ret->p[ret->n - 1] : '\n';
        bool sign = c && strchr(kept, c);
        if (!is_word(c) && !sign && !is_minus(text, i, pattern)) {
            gap = true;
            continue;
        }
        if (gap && (!sign || c == '#') && !strchr("\n*|", last))
            buf_add_char(ret, ' ');
        gap = false;
        buf_add_char(ret, c);
    }
}

/* Does the piece stand at p? '#' is any number. A number ends where its digits end; a piece that is
 * `whole` where its word does. Returns the bytes it takes; 0: no. */
static size_t piece_length(struct str piece, bool whole, const char *p, const char *end)
{
    const char *at = p;
    for (size_t i = 0; i < piece.n; i++) {
        const char *from = at;
        if (piece.p[i] == '#') {
            while (at < end && is_digit(*at))
                at++;
        } else if (at < end && *at == piece.p[i]) {
            at++;
        }
        if (at == from)
            return 0;
    }
    char last = piece.p[piece.n - 1];
    bool open = at < end && (whole || last == '#' || is_digit(last)) && is_word(*at) &&
                (whole || *at != '_');
    return open ? 0 : (size_t)(at - p);
}

/* Find the piece at the beginning of a word of the text. Returns where, and its length. */
static const char *piece_find(struct str piece, bool whole, struct str text, size_t *ret_n)
{
    const char *end = text.p + text.n, *sign = memchr(piece.p, '#', piece.n);
    size_t head = sign ? (size_t)(sign - piece.p) : piece.n;
    for (const char *p = text.p; p < end; p++) {
        p = memmem(p, (size_t)(end - p), piece.p, head);
        if (!p)
            return NULL;
        if (p > text.p && is_word(p[-1]))
            continue;
        *ret_n = piece_length(piece, whole, p, end);
        if (*ret_n)
            return p;
    }
    return NULL;
}

/* Do the other pieces follow in this line? */
static bool pieces_follow(struct str pieces, struct str line)
{
    struct str piece;
    while (str_cut(&pieces, '*', &piece)) {
        size_t n = 0;
        const char *at = piece.n ? piece_find(piece, false, line, &n) : line.p;
        if (piece.n && !at)
            return false;
        line = (struct str){at + n, line.n - (size_t)(at + n - line.p)};
    }
    return true;
}

/* One pattern; a single word is a name, which another name may begin with. NULL: not found. */
static const char *pattern_find(struct str pattern, struct str text)
{
    struct str first = STR_NONE;
    bool name = !memchr(pattern.p, ' ', pattern.n) && !memchr(pattern.p, '*', pattern.n);
    str_cut(&pattern, '*', &first);
    while (text.n) {
        size_t n;
        const char *at = piece_find(first, name, text, &n);
        if (!at)
            return NULL;
        struct str line = STR_NONE;
        text = (struct str){at + n, text.n - (size_t)(at + n - text.p)};
        str_cut(&text, '\n', &line);
        if (pieces_follow(pattern, line)) /* else from no later place of this line either */
            return at;
    }
    return NULL;
}

/* The first place of any of the patterns, which a '|' separates. NULL: none is there. */
static const char *patterns_find(struct str patterns, struct str text)
{
    struct buf CLEAN_BUF plain = BUF_INIT(patterns.n + 1);
    const char *first = NULL;
    causes_plain(patterns, "*#|", &plain);
    struct str rest = buf_view(&plain), pattern;
    while (str_cut(&rest, '|', &pattern)) {
        const char *at = pattern.n ? pattern_find(pattern, text) : NULL;
        if (at && (!first || at < first))
            first = at;
    }
    return first;
}

static bool text_names_gfx(struct str list, struct str text)
{
    struct str gfx;
    size_t n;
    bool any = list.n == 0;
    while (!any && str_word(&list, &gfx))
        any = piece_find(gfx, true, text, &n);
    return any;
}

static unsigned lines_before(struct str text, const char *at)
{
    unsigned n = 0;
    for (const char *p = text.p; (p = memchr(p, '\n', (size_t)(at - p))); p++)
        n++;
    return n;
}

static struct str line_number(struct str text, unsigned n)
{
    struct str line = STR_NONE;
    for (unsigned i = 0; i <= n; i++)
        str_cut(&text, '\n', &line);
    return str_trim(line);
}

static void causes_open(struct table *table)
{
    struct str bytes = {engine_data_causes_tsv,
                        (size_t)(engine_data_causes_tsv_end - engine_data_causes_tsv)};
    table_init(table, "data/causes.tsv", bytes, causes_columns);
}

static bool causes_row(const struct table_row *row, struct engine_cause *ret_cause)
{
    *ret_cause = (struct engine_cause){
        .text = row->field[TEXT],
        .remedy = row->field[REMEDY],
        .program = row->field[PROGRAM],
    };
    ret_cause->code = error_code_number(row->field[CODE]);
    ret_cause->effect = str_is(row->field[WEIGHT], "effect");
    return ret_cause->code >= 0;
}

bool engine_cause_is_harmless(const struct engine_cause *cause)
{
    return cause->code == GFXB_E_OK || cause->code == GFXB_E_TOO_SLOW;
}

/* Causes before what follows from them before what is harmless; then what came first. */
static bool cause_precedes(const struct engine_cause *a, const struct engine_cause *b)
{
    unsigned rank_a = engine_cause_is_harmless(a) ? 2 : a->effect;
    unsigned rank_b = engine_cause_is_harmless(b) ? 2 : b->effect;
    return rank_a != rank_b ? rank_a < rank_b : a->line_number < b->line_number;
}

/* Keep the first `max`, in order. */
static void cause_insert(const struct engine_cause *cause, struct engine_cause *list, size_t max,
                         size_t *n)
{
    size_t at = *n;
    while (at > 0 && cause_precedes(cause, &list[at - 1]))
        at--;
    if (at == max)
        return;
    size_t last = *n < max ? *n : max - 1;
    memmove(&list[at + 1], &list[at], (last - at) * sizeof(list[0]));
    list[at] = *cause;
    *n += *n < max;
}

static bool numbers_have(const struct buf *numbers, unsigned number)
{
    for (size_t at = 0; at + sizeof(number) <= numbers->n; at += sizeof(number)) {
        if (memcmp(numbers->p + at, &number, sizeof(number)) == 0)
            return true;
    }
    return false;
}

size_t engine_cause_find(struct str text, struct engine_cause *ret_causes, size_t max)
{
    struct buf CLEAN_BUF plain = BUF_INIT(text.n + 1);
    struct buf CLEAN_BUF lines = BUF_INIT(1u << 20); /* numbers of lines that a row explains */
    struct table table;
    struct table_row row;
    struct engine_cause cause;
    size_t n = 0;
    causes_plain(text, "\n", &plain);
    struct str all = buf_view(&plain);
    causes_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        const char *at = patterns_find(row.field[PATTERN], all);
        if (!at || !causes_row(&row, &cause) || !text_names_gfx(row.field[GFX], all))
            continue;
        cause.line_number = lines_before(all, at);
        if (numbers_have(&lines, cause.line_number))
            continue;
        buf_add(&lines, &cause.line_number, sizeof(cause.line_number));
        cause.line = line_number(text, cause.line_number++);
        cause_insert(&cause, ret_causes, max, &n);
    }
    return n;
}

static void programs_open(struct table *table)
{
    struct str bytes = {engine_data_programs_tsv,
                        (size_t)(engine_data_programs_tsv_end - engine_data_programs_tsv)};
    table_init(table, "data/programs.tsv", bytes, programs_columns);
}

bool engine_speaker_find(struct str text, struct engine_speaker *ret_speaker)
{
    struct buf CLEAN_BUF plain = BUF_INIT(text.n + 1);
    struct table table;
    struct table_row row;
    causes_plain(text, "\n", &plain);
    programs_open(&table);
    while (table_next(&table, &row, NULL) > 0) {
        if (patterns_find(row.field[0], buf_view(&plain))) {
            *ret_speaker = (struct engine_speaker){row.field[1], row.field[2]};
            return true;
        }
    }
    return false;
}

static int programs_check(struct gfxb_error *err)
{
    struct table table;
    struct table_row row;
    int more;
    programs_open(&table);
    while ((more = table_next(&table, &row, err)) > 0) {
        for (unsigned i = 0; i < row.n; i++) {
            if (row.field[i].n == 0)
                return table_error(&table, &row, i, err, "a row must have this field");
        }
    }
    return more;
}

int engine_causes_check(struct gfxb_error *err)
{
    struct table table;
    struct table_row row;
    struct engine_cause cause;
    int more;
    causes_open(&table);
    while ((more = table_next(&table, &row, err)) > 0) {
        if (!causes_row(&row, &cause))
            return table_error(&table, &row, CODE, err, "no such reason code");
        if (row.field[WEIGHT].n && !cause.effect)
            return table_error(&table, &row, WEIGHT, err, "it is 'effect' or nothing");
        struct str rest = row.field[PATTERN], pattern;
        while (str_cut(&rest, '|', &pattern)) {
            pattern = str_trim(pattern);
            if (pattern.n < 6 || pattern.p[0] == '*' || pattern.p[0] == '#')
                return table_error(&table, &row, PATTERN, err, "the pattern says too little");
        }
        if (cause.text.n == 0 || cause.program.n == 0 || row.field[SOURCE].n == 0)
            return table_error(&table, &row, TEXT, err,
                               "the sentence, the program or the source is missing");
    }
    return more < 0 ? more : programs_check(err);
}
