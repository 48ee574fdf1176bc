/* diagnose.c - why an engine ended, in one sentence, by data/causes.tsv. */
#include "engine/engine_private.h"

#include <stdio.h>
#include <sys/wait.h>

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

/* A copy in small letters, as patterns and texts are compared. */
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

#define DIAGNOSE_WORDS_MAX  240
#define DIAGNOSE_CAUSES_MAX 8

/* Where the engine says how bad a line is, that counts; else words that errors have. */
static bool diagnose_is_error(const struct engine_kind *kind, struct str line)
{
    static const char *const marks[] = {"error",     "failed",           "abort", "cannot",
                                        "not found", "terminate called", "fatal"};
    bool error = false;
    if (kind->cut_stamp(&line, &error))
        return error;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (str_has_nocase(line, str_from(marks[i])))
            return true;
    }
    return false;
}

struct str diagnose_last_words(const struct engine_kind *kind, struct str log)
{
    struct str line, last = STR_NONE, error = STR_NONE;
    while (str_cut(&log, '\n', &line)) {
        line = str_trim(line);
        if (line.n == 0 || memchr(line.p, '\0', line.n))
            continue;
        last = line;
        if (diagnose_is_error(kind, line))
            error = line;
    }
    line = error.n ? error : last;
    bool spare;
    kind->cut_stamp(&line, &spare); /* time and level say nothing to a person */
    return utf8_cut(line, DIAGNOSE_WORDS_MAX);
}

bool diagnose_cause(struct str text, struct engine_cause *ret_cause)
{
    struct engine_cause found[DIAGNOSE_CAUSES_MAX];
    size_t n = engine_cause_find(text, found, DIAGNOSE_CAUSES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (found[i].code == GFXB_E_OK || found[i].code == GFXB_E_NOT_ON_DEVICE ||
            found[i].code == GFXB_E_TOO_SLOW)
            continue;
        *ret_cause = found[i];
        return true;
    }
    return false;
}

int diagnose_explain(const struct engine_kind *kind, int status, struct str log, const char *what,
                     struct gfxb_error *err)
{
    char how[64];
    struct buf CLEAN_BUF text = BUF_INIT(log.n + 128);
    struct engine_cause cause;
    child_status_text(status, how, sizeof(how));
    buf_addf(&text, "gfxbridge: the engine ended: %s\n", how);
    buf_add_str(&text, log);
    struct str words = diagnose_last_words(kind, log);
    if (diagnose_cause(buf_view(&text), &cause)) {
        bool library = cause.code == GFXB_E_LIBRARY_MISSING && words.n; /* which one */
        return error_set(err, cause.code, "the engine ended %s (%s): %.*s%s%.*s%s%.*s", what, how,
                         STR_ARG(cause.text), library ? ": " : "",
                         STR_ARG(library ? words : STR_NONE), cause.remedy.n ? "; " : "",
                         STR_ARG(cause.remedy));
    }
    int code = WIFSIGNALED(status) ? GFXB_E_ENGINE_CRASH : GFXB_E_ENGINE_EXIT;
    if (words.n == 0)
        return error_set(err, code, "the engine ended %s (%s) without a word", what, how);
    return error_set(err, code, "the engine ended %s (%s); its last words: %.*s", what, how,
                     STR_ARG(words));
}
