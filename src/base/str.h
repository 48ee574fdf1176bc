/*
 * str.h - views of text. A struct str owns nothing: it is valid as long as what it points into.
 * Parsing moves views; nothing is copied until somebody needs a NUL.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p; /* NULL only when n is 0 */
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE     ((struct str){NULL, 0})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

struct str str_from(const char *text); /* NULL gives the empty view */
bool str_eq(struct str a, struct str b);
int str_hex_digit(char c);                      /* 0 to 15; -1: it is none */
char str_lower(char c);                         /* ASCII only, whatever the locale */
bool str_eq_nocase(struct str a, struct str b); /* the same */
bool str_is(struct str a, const char *text);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix); /* ASCII case ignored */
bool str_ends(struct str s, struct str suffix);
struct str str_skip(struct str s, size_t n);        /* without its first n bytes, which it has */
bool str_strip(struct str *s, struct str prefix);   /* off its beginning; false: it is not there */
bool str_has(struct str s, struct str part);        /* substring */
bool str_has_nocase(struct str s, struct str part); /* substring, ASCII case ignored */
int str_compare(struct str a, struct str b);        /* like strcmp: bytes, then length */
struct str str_trim(struct str s);                  /* without ASCII white space at both ends */
struct str str_trim_end(struct str s, char c);      /* without any c at its end */

/*
 * Cut the next piece up to separator off *rest: false when *rest is used up. A last piece without a
 * separator counts. "a,,b" gives "a", "", "b".
 */
bool str_cut(struct str *rest, char separator, struct str *ret_piece);

/* The next run of non-blanks (space, tab, CR, LF) off *rest; false when none is left. */
bool str_word(struct str *rest, struct str *ret_word);

/* Take the next line "NAME SEPARATOR VALUE" from *rest, both trimmed; lines without the separator
 * are passed over. False at the end. */
bool str_pair(struct str *rest, char separator, struct str *ret_name, struct str *ret_value);
/* True when the blank-separated list holds exactly this word. */
bool str_list_has(struct str list, struct str word);

/*
 * The whole view as a number in base 10 or 16 (no sign, no blanks, an optional 0x in base 16).
 * 0, or -EINVAL (not a number), -ERANGE (does not fit).
 */
int str_to_u64(struct str s, unsigned base, uint64_t *ret_value);

/* A NUL-terminated copy, to be freed by the caller; NULL when out of memory. */
char *str_dup(struct str s);

#endif
