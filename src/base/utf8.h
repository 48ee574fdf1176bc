/* utf8.h - where a UTF-8 character begins and ends. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"

/* Bytes of the well-formed character that s begins with, 1 to 4; 0: it begins with none. Overlong
 * forms, surrogates and what is beyond U+10FFFF are not well-formed (RFC 3629). */
size_t utf8_length(struct str s);

/* s without an incomplete character at its end: for text that a buffer was too small for. */
struct str utf8_whole(struct str s);

/* At most max bytes of s, cut at the beginning of a character. */
struct str utf8_cut(struct str s, size_t max);

#endif
