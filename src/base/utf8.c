/* utf8.c - UTF-8 as RFC 3629 has it. */
#include "base/utf8.h"

static bool utf8_continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

size_t utf8_length(struct str s)
{
    if (!s.n)
        return 0;
    unsigned char first = (unsigned char)s.p[0];
    if (first < 0x80)
        return 1;
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (!utf8_continues(s.p[i]))
            return 0;
    }
    unsigned char second = (unsigned char)s.p[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
    return overlong || beyond ? 0 : n;
}

struct str utf8_whole(struct str s)
{
    size_t start = s.n;
    while (start > 0 && utf8_continues(s.p[start - 1]))
        start--;
    if (start > 0 && !utf8_length((struct str){s.p + start - 1, s.n - start + 1}))
        s.n = start - 1;
    return s;
}

struct str utf8_cut(struct str s, size_t max)
{
    if (s.n <= max)
        return s;
    while (max > 0 && utf8_continues(s.p[max]))
        max--;
    return (struct str){s.p, max};
}
