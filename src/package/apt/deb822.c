/* deb822.c - Debian's control files. */
#include "package/apt/apt.h"

static bool deb822_is_blank(struct str line)
{
    return str_trim(line).n == 0;
}

/* The view from the beginning of first to the end of last, both in the same bytes. */
static struct str deb822_span(struct str first, struct str last)
{
    return (struct str){first.p, (size_t)(last.p + last.n - first.p)};
}

bool deb822_stanza(struct str *rest, struct str *ret_stanza)
{
    struct str line = STR_NONE, first = STR_NONE, last = STR_NONE;
    while (str_cut(rest, '\n', &line)) {
        if (deb822_is_blank(line)) {
            if (first.p)
                break;
            continue;
        }
        if (!first.p)
            first = line;
        last = line;
    }
    if (!first.p)
        return false;
    *ret_stanza = deb822_span(first, last);
    return true;
}

static bool deb822_continues(struct str line)
{
    return line.n && (line.p[0] == ' ' || line.p[0] == '\t');
}

struct str deb822_field(struct str stanza, const char *name)
{
    struct str line = STR_NONE, value = STR_NONE;
    bool inside = false;
    while (str_cut(&stanza, '\n', &line)) {
        if (inside && deb822_continues(line)) {
            value = deb822_span(value, line);
            continue;
        }
        if (inside)
            break;
        struct str tail = line, key = STR_NONE;
        if (deb822_continues(line) || !str_cut(&tail, ':', &key) || !tail.p)
            continue;
        inside = str_eq_nocase(str_trim(key), str_from(name));
        if (inside)
            value = tail;
    }
    return str_trim(value);
}

void deb822_strip_comments(struct str bytes, struct buf *ret)
{
    struct str line = STR_NONE;
    while (str_cut(&bytes, '\n', &line)) {
        if (line.n && line.p[0] == '#')
            continue;
        buf_add_str(ret, line);
        buf_add_char(ret, '\n');
    }
}
