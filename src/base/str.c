/* str.c - views of text: compare, cut, read numbers. */
#include "base/base.h"

#include <errno.h>

char str_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool str_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

struct str str_from(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (str_lower(a.p[i]) != str_lower(b.p[i]))
            return false;
    }
    return true;
}

bool str_is(struct str a, const char *text)
{
    return str_eq(a, str_from(text));
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

struct str str_skip(struct str s, size_t n)
{
    return (struct str){s.p + n, s.n - n};
}

bool str_strip(struct str *s, struct str prefix)
{
    bool there = str_starts(*s, prefix);
    if (there)
        *s = str_skip(*s, prefix.n);
    return there;
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq_nocase((struct str){s.p, prefix.n}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq((struct str){s.p + (s.n - suffix.n), suffix.n}, suffix);
}

bool str_has(struct str s, struct str part)
{
    return part.n == 0 || (s.n && memmem(s.p, s.n, part.p, part.n) != NULL);
}

bool str_has_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.n <= s.n; i++) {
        if (str_eq_nocase((struct str){s.p + i, part.n}, part))
            return true;
    }
    return part.n == 0;
}

int str_compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    if (order != 0)
        return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

struct str str_trim(struct str s)
{
    while (s.n && str_is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && str_is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_trim_end(struct str s, char c)
{
    while (s.n && s.p[s.n - 1] == c)
        s.n--;
    return s;
}

bool str_cut(struct str *rest, char separator, struct str *ret_piece)
{
    if (!rest->p)
        return false;
    const char *end = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
    if (!end) {
        *ret_piece = *rest;
        *rest = STR_NONE;
        return true;
    }
    *ret_piece = (struct str){rest->p, (size_t)(end - rest->p)};
    rest->n -= ret_piece->n + 1;
    rest->p = end + 1;
    return true;
}

bool str_word(struct str *rest, struct str *ret_word)
{
    size_t start = 0;
    while (start < rest->n && str_is_blank(rest->p[start]))
        start++;
    size_t end = start;
    while (end < rest->n && !str_is_blank(rest->p[end]))
        end++;
    if (end == start)
        return false;
    *ret_word = (struct str){rest->p + start, end - start};
    rest->p += end;
    rest->n -= end;
    return true;
}

bool str_pair(struct str *rest, char separator, struct str *ret_name, struct str *ret_value)
{
    struct str line, name;
    while (str_cut(rest, '\n', &line)) {
        line = str_trim(line);
        if (!str_cut(&line, separator, &name) || !line.p)
            continue;
        *ret_name = str_trim(name);
        *ret_value = str_trim(line);
        return true;
    }
    return false;
}

bool str_list_has(struct str list, struct str word)
{
    struct str item;
    while (str_word(&list, &item)) {
        if (str_eq(item, word))
            return true;
    }
    return false;
}

int str_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int str_to_u64(struct str s, unsigned base, uint64_t *ret_value)
{
    if (base == 16 && s.n > 2 && s.p[0] == '0' && str_lower(s.p[1]) == 'x') {
        s.p += 2;
        s.n -= 2;
    }
    if (s.n == 0)
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)str_hex_digit(s.p[i]);
        if (digit >= base)
            return -EINVAL;
        if (value > (UINT64_MAX - digit) / base)
            return -ERANGE;
        value = value * base + digit;
    }
    *ret_value = value;
    return 0;
}

char *str_dup(struct str s)
{
    char *copy = malloc(s.n + 1);
    if (!copy)
        return NULL;
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}
