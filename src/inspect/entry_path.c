/* entry_path.c - names of archive entries and targets of links: pure, no file is touched. */
#include "inspect/inspect_private.h"

#include <stdio.h>

static const char *entry_text_problem(struct str name)
{
    const unsigned char *p = (const unsigned char *)name.p;
    for (size_t i = 0; i < name.n;) {
        if (p[i] == '\0')
            return "contains a NUL byte";
        if (p[i] < 0x20 || p[i] == 0x7f)
            return "contains a control character";
        if (p[i] == '\\')
            return "contains a backslash, which means another path on Windows";
        size_t length = utf8_length((struct str){name.p + i, name.n - i});
        if (!length)
            return "is not UTF-8 text";
        if (length == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0)
            return "contains a control character"; /* U+0080 to U+009F */
        i += length;
    }
    return NULL;
}

const char *entry_path_clean(struct str name, struct buf *ret)
{
    const char *problem = entry_text_problem(name);
    if (problem)
        return problem;
    if (!name.n)
        return "is empty";
    if (name.p[0] == '/')
        return "is absolute";
    struct buf CLEAN_BUF clean = BUF_INIT(ENTRY_PATH_MAX + 1);
    struct str part;
    unsigned depth = 0;
    while (str_cut(&name, '/', &part)) {
        if (!part.n || str_is(part, "."))
            continue;
        if (str_is(part, ".."))
            return "leads out of the archive with '..'";
        if (part.n > ENTRY_NAME_MAX)
            return "is too long";
        if (++depth > ENTRY_DEPTH_MAX)
            return "is nested too deeply";
        if (clean.n)
            buf_add_char(&clean, '/');
        buf_add_str(&clean, part);
    }
    if (!buf_ok(&clean) || clean.n > ENTRY_PATH_MAX)
        return "is too long";
    buf_add_str(ret, buf_view(&clean));
    return NULL;
}

const char *entry_link_problem(struct str path, struct str target)
{
    const char *problem = entry_text_problem(target);
    if (problem)
        return problem;
    if (!target.n || target.n > ENTRY_PATH_MAX)
        return target.n ? "is too long" : "is empty";
    if (target.p[0] == '/')
        return "is absolute";
    unsigned up = 0, depth = 0;
    for (size_t i = 0; i < path.n; i++)
        depth += path.p[i] == '/';
    bool went_down = false;
    struct str part;
    while (str_cut(&target, '/', &part)) {
        if (!part.n || str_is(part, "."))
            continue;
        if (!str_is(part, "..")) {
            went_down = true;
            continue;
        }
        if (went_down)
            return "goes up again behind a directory, which may itself be a link";
        if (++up > depth)
            return "leads out of the archive";
    }
    return NULL;
}

void entry_path_show(struct str name, char *ret_text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';
        size_t need = plain ? 1 : 4;
        if (at + need + 4 > size) { /* room for "..." and the NUL */
            snprintf(ret_text + at, size - at, "...");
            return;
        }
        if (plain)
            ret_text[at] = (char)c;
        else
            snprintf(ret_text + at, size - at, "\\x%02x", c);
        at += need;
    }
    ret_text[at] = '\0';
}
