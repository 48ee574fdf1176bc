/* error.c - one sentence for a person, and the names of the reason codes. */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* wanted: what vsnprintf says of the text it has written. */
static void error_cut_text(struct gfxb_error *err, int wanted)
{
    size_t n = wanted < 0 ? 0 : strlen(err->text);
    if (wanted >= (int)sizeof(err->text))
        n = utf8_whole((struct str){err->text, n}).n;
    err->text[n] = '\0';
}

int error_set(struct gfxb_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        error_cut_text(err, vsnprintf(err->text, sizeof(err->text), format, args));
        va_end(args);
    }
    return -code;
}

void error_prefix(struct gfxb_error *err, const char *format, ...)
{
    if (!err)
        return;
    struct gfxb_error old = *err;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(err->text)) {
        *err = old;
        return;
    }
    int more = snprintf(err->text + n, sizeof(err->text) - (size_t)n, "%s", old.text);
    error_cut_text(err, more < 0 ? more : n + more);
}

const char *error_errno_text(int code)
{
    const char *text = strerrordesc_np(code);
    return text ? text : "unknown error";
}

bool error_is_ours(int code)
{
    return code == ENOMEM || code == EMFILE || code == ENFILE || code == EAGAIN;
}

const char *gfxb_code_name(int code)
{
    switch (code) {
#define ERROR_CODE_CASE(id, number, name)                                                          \
    case GFXB_E_##id:                                                                              \
        return name;
        GFXB_CODE_MAP(ERROR_CODE_CASE)
#undef ERROR_CODE_CASE
    default:
        return "io-error";
    }
}

int error_code_number(struct str name)
{
#define ERROR_CODE_IS(id, number, text)                                                            \
    if (str_is(name, text))                                                                        \
        return number;
    GFXB_CODE_MAP(ERROR_CODE_IS)
#undef ERROR_CODE_IS
    return -EINVAL;
}
