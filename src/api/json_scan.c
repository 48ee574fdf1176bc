/* json_scan.c - reads a JSON text once, without building anything. */
#include "api/dialect.h"

#include <errno.h>

struct scan {
    struct str text;
    size_t at;
    json_scan_take *take;
    void *context;
    struct gfxb_error *err;
};

static int scan_value(struct scan *s, struct str parent, unsigned depth, enum json_kind *ret_kind);

static int scan_refuse(const struct scan *s, const char *what)
{
    return error_set(s->err, EINVAL, "not valid JSON: %s at byte %zu", what, s->at);
}

/* The next byte; 0 at the end. A NUL byte is never allowed, so the two cases need no distinction.
 */
static char scan_peek(const struct scan *s)
{
    return s->at < s->text.n ? s->text.p[s->at] : '\0';
}

/* Steps over the next byte if it is this one, which is not NUL. */
static bool scan_accept(struct scan *s, char c)
{
    bool there = scan_peek(s) == c;
    s->at += there;
    return there;
}

static void scan_blanks(struct scan *s)
{
    while (scan_accept(s, ' ') || scan_accept(s, '\n') || scan_accept(s, '\t') ||
           scan_accept(s, '\r'))
        ;
}

static struct str scan_rest(const struct scan *s)
{
    return str_skip(s->text, s->at);
}

/* ---- strings ---- */

/* The UTF-16 unit of the \u escape that s begins with; -1: it begins with none. */
static int scan_unit(struct str s)
{
    int unit = 0;
    if (s.n < 6 || s.p[0] != '\\' || s.p[1] != 'u')
        return -1;
    for (size_t i = 2; i < 6; i++) {
        int digit = str_hex_digit(s.p[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* One escape. plain: set when it stands for a character that needs none. */
static int scan_escape(struct scan *s, bool *plain)
{
    char c = s->at + 1 < s->text.n ? s->text.p[s->at + 1] : '\0';
    if (c != 'u') {
        if (c == '\0' || !strchr("\"\\/bfnrt", c))
            return scan_refuse(s, "an unknown escape");
        *plain |= c == '/';
        s->at += 2;
        return 0;
    }
    int unit = scan_unit(scan_rest(s));
    if (unit < 0)
        return scan_refuse(s, "a broken \\u escape");
    s->at += 6;
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return scan_refuse(s, "half of a surrogate pair");
    if (unit >= 0xd800 && unit <= 0xdbff) {
        int low = scan_unit(scan_rest(s));
        if (low < 0xdc00 || low > 0xdfff)
            return scan_refuse(s, "half of a surrogate pair");
        s->at += 6;
    }
    *plain |= unit >= 0x20 && unit < 0x7f && unit != '"' && unit != '\\';
    return 0;
}

static int scan_string(struct scan *s, bool *ret_plain_escapes)
{
    bool plain = false;
    s->at++;
    while (!scan_accept(s, '"')) {
        if (s->at >= s->text.n)
            return scan_refuse(s, "a string without an end");
        unsigned char c = (unsigned char)s->text.p[s->at];
        if (c < 0x20)
            return scan_refuse(s, "a control character in a string");
        if (c == '\\') {
            int code = scan_escape(s, &plain);
            if (code < 0)
                return code;
            continue;
        }
        size_t n = c < 0x80 ? 1 : utf8_length(scan_rest(s));
        if (n == 0)
            return scan_refuse(s, "a byte that is not UTF-8");
        s->at += n;
    }
    *ret_plain_escapes = plain;
    return 0;
}

int json_scan_char(struct str *rest)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    size_t n = 1;
    if (rest->n == 0)
        return -1;
    int c = (unsigned char)rest->p[0];
    if (c == '\\' && rest->n > 1) {
        const char *letter = memchr(letters, rest->p[1], sizeof(letters) - 1);
        int unit = scan_unit(*rest);
        n = unit < 0 ? 2 : 6;
        c = unit >= 0 ? unit : letter ? meant[letter - letters] : rest->p[1];
    }
    *rest = str_skip(*rest, n);
    return c;
}

/* ---- numbers ---- */

static size_t scan_digits(struct scan *s)
{
    size_t start = s->at;
    while (scan_peek(s) >= '0' && scan_peek(s) <= '9')
        s->at++;
    return s->at - start;
}

static int scan_number(struct scan *s)
{
    scan_accept(s, '-');
    bool zero = scan_peek(s) == '0';
    size_t digits = scan_digits(s);
    bool good = digits > 0 && (digits == 1 || !zero);
    if (scan_accept(s, '.'))
        good &= scan_digits(s) > 0;
    if (scan_accept(s, 'e') || scan_accept(s, 'E')) {
        if (!scan_accept(s, '+'))
            scan_accept(s, '-');
        good &= scan_digits(s) > 0;
    }
    return good ? 0 : scan_refuse(s, "a broken number");
}

/* ---- objects and arrays ---- */

static int scan_member(struct scan *s, struct str parent, unsigned depth)
{
    struct json_scan_member m = {.parent = parent, .depth = depth};
    size_t start = s->at + 1;
    bool plain_escapes = false;
    if (scan_peek(s) != '"')
        return scan_refuse(s, "a member without a name");
    int code = scan_string(s, &plain_escapes);
    if (code < 0)
        return code;
    m.name = (struct str){s->text.p + start, s->at - start - 1};
    if (plain_escapes)
        return scan_refuse(s, "a name written with escapes");
    scan_blanks(s);
    if (!scan_accept(s, ':'))
        return scan_refuse(s, "a missing colon");
    scan_blanks(s);
    start = s->at;
    code = scan_value(s, m.name, depth + 1, &m.kind);
    if (code < 0)
        return code;
    m.value = (struct str){s->text.p + start, s->at - start};
    return s->take ? s->take(s->context, &m, s->err) : 0;
}

/* The members or items between two brackets, the first of which is the next byte. */
static int scan_group(struct scan *s, struct str parent, unsigned depth, char end)
{
    enum json_kind kind;
    if (depth > JSON_SCAN_DEPTH)
        return scan_refuse(s, "too many nested levels");
    s->at++;
    scan_blanks(s);
    if (scan_accept(s, end))
        return 0;
    do {
        scan_blanks(s);
        int code =
            end == '}' ? scan_member(s, parent, depth) : scan_value(s, parent, depth + 1, &kind);
        if (code < 0)
            return code;
        scan_blanks(s);
    } while (scan_accept(s, ','));
    return scan_accept(s, end) ? 0 : scan_refuse(s, "a missing comma");
}

static int scan_value(struct scan *s, struct str parent, unsigned depth, enum json_kind *ret_kind)
{
    static const struct {
        struct str word;
        enum json_kind kind;
    } words[] = {{{"true", 4}, JSON_KIND_BOOL},
                 {{"false", 5}, JSON_KIND_BOOL},
                 {{"null", 4}, JSON_KIND_NULL}};
    bool ignored;
    switch (scan_peek(s)) {
    case '{':
        *ret_kind = JSON_KIND_OBJECT;
        return scan_group(s, parent, depth, '}');
    case '[':
        *ret_kind = JSON_KIND_ARRAY;
        return scan_group(s, parent, depth, ']');
    case '"':
        *ret_kind = JSON_KIND_STRING;
        return scan_string(s, &ignored);
    }
    for (size_t i = 0; i < 3; i++) {
        *ret_kind = words[i].kind;
        if (str_starts(scan_rest(s), words[i].word)) {
            s->at += words[i].word.n;
            return 0;
        }
    }
    *ret_kind = JSON_KIND_NUMBER;
    return scan_number(s);
}

int json_scan(struct str text, json_scan_take *take, void *context, struct gfxb_error *err)
{
    struct scan s = {.text = text, .take = take, .context = context, .err = err};
    enum json_kind kind;
    scan_blanks(&s);
    if (s.at >= text.n)
        return error_set(err, EINVAL, "missing request body");
    int code = scan_value(&s, STR_NONE, 1, &kind);
    if (code < 0)
        return code;
    scan_blanks(&s);
    return s.at < text.n ? scan_refuse(&s, "more than one value") : 0;
}
