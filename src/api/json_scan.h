/*
 * json_scan.h - one look over a JSON text of foreign origin, without building anything: it is
 * grammatical, UTF-8, and nests no deeper than JSON_SCAN_DEPTH; each member of each object is
 * shown once. A body of many megabytes (images) costs one pass and no memory.
 */
#ifndef API_JSON_SCAN_H
#define API_JSON_SCAN_H

#include "base/base.h"

/* Nested JSON schemas of real clients stay below 40. */
enum { JSON_SCAN_DEPTH = 128 };

enum json_kind {
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_BOOL,
    JSON_KIND_NULL,
};

/* One member of an object; all views are into the text. Names are as written, without quotes: a
 * name that spells an ordinary character as an escape ("mod\u0065l") is refused, so comparing the
 * bytes is comparing the names. */
struct json_scan_member {
    struct str parent; /* name of the member whose value this object is (or, through arrays, is an
                          item of); empty at the top */
    struct str name;
    struct str value; /* with quotes or brackets, blanks cut off */
    enum json_kind kind;
    unsigned depth; /* 1: of the outermost object */
};

/* Members are shown when their value has ended, so inner ones first. Negative: stop, with *err
 * filled by the callee. */
typedef int json_scan_take(void *context, const struct json_scan_member *member,
                           struct gfxb_error *err);

/* 0 when the whole text is one JSON value; else -EINVAL with a sentence that names the byte, or
 * what take said. take NULL: only look. */
int json_scan(struct str text, json_scan_take *take, void *context, struct gfxb_error *err);

/* The next character of a scanned string, off *rest, which begins as its value without the quotes:
 * a byte, or the UTF-16 unit that a \u escape spells. -1 at the end. */
int json_scan_char(struct str *rest);

#endif
