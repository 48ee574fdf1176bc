#include "http/fields.h"

#include <errno.h>

size_t http_head_end(struct str bytes, size_t *from)
{
    size_t start = *from > 3 ? *from - 3 : 0;
    const char *end =
        bytes.n > start ? memmem(bytes.p + start, bytes.n - start, "\r\n\r\n", 4) : NULL;
    *from = bytes.n;
    return end ? (size_t)(end - bytes.p) + 4 : 0;
}

bool http_line(struct str *rest, struct str *ret_line)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!end || end == rest->p || end[-1] != '\r')
        return false;
    size_t n = (size_t)(end - rest->p) - 1;
    if (memchr(rest->p, '\r', n))
        return false;
    *ret_line = (struct str){rest->p, n};
    rest->p += n + 2;
    rest->n -= n + 2;
    return true;
}

static bool http_is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!http_is_token_char((unsigned char)s.p[i]))
            return false;
    }
    return s.n > 0;
}

static bool http_is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool http_field(struct str line, struct http_field *ret_field)
{
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    if (!colon)
        return false;
    size_t n = (size_t)(colon - line.p);
    struct http_field field = {{line.p, n}, {colon + 1, line.n - n - 1}};
    if (!http_is_token(field.name) || !http_is_value(field.value))
        return false;
    field.value = str_trim(field.value);
    *ret_field = field;
    return true;
}

int http_length(struct str value, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (value.n == 0 || value.n > 18)
        return -EINVAL;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return -EINVAL;
        length = length * 10 + (uint64_t)(value.p[i] - '0');
    }
    *ret_length = length;
    return 0;
}

bool http_list_has(struct str list, const char *word)
{
    struct str piece;
    while (str_cut(&list, ',', &piece)) {
        if (str_eq_nocase(str_trim(piece), str_from(word)))
            return true;
    }
    return false;
}
