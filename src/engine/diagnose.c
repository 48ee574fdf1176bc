#include "engine/diagnose.h"

#include <stdio.h>
#include <sys/wait.h>

#define DIAGNOSE_WORDS_MAX  240
#define DIAGNOSE_CAUSES_MAX 8

/* "0.04.040.428 E slot   operator(): text": the level letter says it best. */
static bool diagnose_is_error(struct str line)
{
    static const char *const marks[] = {"error",     "failed",           "abort", "cannot",
                                        "not found", "terminate called", "fatal"};
    struct str rest = line, word;
    if (str_word(&rest, &word) && word.n && word.p[0] >= '0' && word.p[0] <= '9' &&
        str_word(&rest, &word) && word.n == 1)
        return word.p[0] == 'E';
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (str_has_nocase(line, str_from(marks[i])))
            return true;
    }
    return false;
}

/* Without the time stamp and the level: they say nothing to a person. */
static struct str diagnose_strip(struct str line)
{
    struct str rest = line, word;
    if (str_word(&rest, &word) && word.n > 4 && word.p[0] >= '0' && word.p[0] <= '9' &&
        memchr(word.p, '.', word.n) && str_word(&rest, &word) && word.n == 1)
        line = str_trim(rest);
    if (line.n > DIAGNOSE_WORDS_MAX)
        line.n = DIAGNOSE_WORDS_MAX;
    return utf8_whole(line);
}

struct str diagnose_last_words(struct str log)
{
    struct str line, last = STR_NONE, error = STR_NONE;
    while (str_cut(&log, '\n', &line)) {
        line = str_trim(line);
        if (line.n == 0 || memchr(line.p, '\0', line.n))
            continue;
        last = line;
        if (diagnose_is_error(line))
            error = line;
    }
    return diagnose_strip(error.n ? error : last);
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

int diagnose_explain(int status, struct str log, const char *what, struct gfxb_error *err)
{
    char how[64];
    struct buf CLEAN_BUF text = BUF_INIT(log.n + 128);
    struct engine_cause cause;
    child_status_text(status, how, sizeof(how));
    buf_addf(&text, "gfxbridge: the engine ended: %s\n", how);
    buf_add_str(&text, log);
    if (diagnose_cause(buf_view(&text), &cause))
        return error_set(err, cause.code, "the engine ended %s (%s): %.*s%s%.*s", what, how,
                         STR_ARG(cause.text), cause.remedy.n ? "; " : "", STR_ARG(cause.remedy));
    struct str words = diagnose_last_words(log);
    int code = WIFSIGNALED(status) ? GFXB_E_ENGINE_CRASH : GFXB_E_ENGINE_EXIT;
    if (words.n == 0)
        return error_set(err, code, "the engine ended %s (%s) without a word", what, how);
    return error_set(err, code, "the engine ended %s (%s); its last words: %.*s", what, how,
                     STR_ARG(words));
}
