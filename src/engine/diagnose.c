/* diagnose.c - why an engine ended, in one sentence, by data/causes.tsv. */
#include "engine/engine_private.h"

#include <stdio.h>
#include <sys/wait.h>

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
        if (engine_cause_is_harmless(&found[i]) || found[i].code == GFXB_E_NOT_ON_DEVICE)
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
    if (WIFSIGNALED(status))
        buf_addf(&text, "gfxbridge: the engine ended by %d\n", WTERMSIG(status));
    buf_add_str(&text, log);
    struct str words = diagnose_last_words(kind, log);
    if (diagnose_cause(buf_view(&text), &cause)) {
        struct str which = STR_NONE; /* library, architecture, tokenizer */
        bool spare;
        if (cause.code == GFXB_E_LIBRARY_MISSING)
            which = words;
        else if (cause.code == GFXB_E_MODEL_UNUSABLE && kind->cut_stamp(&cause.line, &spare))
            which = utf8_cut(cause.line, DIAGNOSE_WORDS_MAX);
        return error_set(err, cause.code, "the engine ended %s (%s): %.*s%s%.*s%s%.*s", what, how,
                         STR_ARG(cause.text), which.n ? ": " : "", STR_ARG(which),
                         cause.remedy.n ? "; " : "", STR_ARG(cause.remedy));
    }
    int code = WIFSIGNALED(status) ? GFXB_E_ENGINE_CRASH : GFXB_E_ENGINE_EXIT;
    if (words.n == 0)
        return error_set(err, code, "the engine ended %s (%s) without a word", what, how);
    return error_set(err, code, "the engine ended %s (%s); its last words: %.*s", what, how,
                     STR_ARG(words));
}
