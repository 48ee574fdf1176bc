#include "engine/engine.h"

extern const char engine_data_causes_tsv[], engine_data_causes_tsv_end[];

static const char *const causes_columns[] = {"pattern", "code",   "text", "remedy",
                                             "program", "source", NULL};

static void causes_open(struct table *table)
{
    struct str bytes = {engine_data_causes_tsv,
                        (size_t)(engine_data_causes_tsv_end - engine_data_causes_tsv)};
    table_init(table, "data/causes.tsv", bytes, causes_columns);
}

static bool causes_row(const struct table_row *row, struct engine_cause *ret_cause)
{
    *ret_cause = (struct engine_cause){
        .pattern = row->field[0],
        .text = row->field[2],
        .remedy = row->field[3],
        .program = row->field[4],
        .source = row->field[5],
    };
    ret_cause->code = error_code_number(row->field[1]);
    return ret_cause->code >= 0;
}

/* A copy in small letters, as patterns and texts are compared. Out of memory: nothing is found. */
static struct str causes_lower(struct str text, struct buf *ret)
{
    buf_add_str(ret, text);
    for (size_t i = 0; i < ret->n; i++)
        ret->p[i] = str_lower(ret->p[i]);
    return buf_view(ret);
}

/* Do the pieces of the pattern come one after the other in the line? */
static bool causes_match_line(struct str pattern, struct str line)
{
    struct str piece;
    while (str_cut(&pattern, '*', &piece)) {
        if (piece.n == 0)
            continue;
        const char *at = line.n ? memmem(line.p, line.n, piece.p, piece.n) : NULL;
        if (!at)
            return false;
        size_t used = (size_t)(at - line.p) + piece.n;
        line = (struct str){line.p + used, line.n - used};
    }
    return true;
}

static bool causes_match(struct str pattern, struct str text)
{
    struct str rest = pattern, first = STR_NONE, line;
    str_cut(&rest, '*', &first);
    while (text.n) { /* jump from one line that holds the first piece to the next */
        const char *at = memmem(text.p, text.n, first.p, first.n);
        if (!at)
            return false;
        text = (struct str){at, text.n - (size_t)(at - text.p)};
        str_cut(&text, '\n', &line);
        if (causes_match_line(pattern, line))
            return true;
    }
    return false;
}

static bool causes_row_matches(const struct engine_cause *cause, struct str text)
{
    struct buf CLEAN_BUF pattern = BUF_INIT(cause->pattern.n + 1);
    struct str low = causes_lower(cause->pattern, &pattern);
    return low.n && causes_match(low, text);
}

size_t engine_cause_find(struct str text, struct engine_cause *ret_causes, size_t max)
{
    struct buf CLEAN_BUF low = BUF_INIT(text.n + 1);
    struct table table;
    struct table_row row;
    struct engine_cause cause;
    size_t n = 0;
    text = causes_lower(text, &low);
    causes_open(&table);
    while (n < max && table_next(&table, &row, NULL) > 0) {
        if (causes_row(&row, &cause) && causes_row_matches(&cause, text))
            ret_causes[n++] = cause;
    }
    return n;
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
            return table_error(&table, &row, 1, err, "no such reason code");
        if (cause.pattern.n < 6 || cause.pattern.p[0] == '*')
            return table_error(&table, &row, 0, err, "the pattern says too little");
        if (cause.text.n == 0)
            return table_error(&table, &row, 2, err, "the sentence is missing");
        if (cause.program.n == 0 || cause.source.n == 0)
            return table_error(&table, &row, 5, err, "the program or the source is missing");
    }
    return more;
}
