/*
 * dialect_body.h - a request body, looked over before anything is done with it. What the engine is
 * known to mishandle is refused here, whatever the dialect: numbers that wrap around or are no
 * numbers, grammars whose nesting overflows its stack, addresses that it would fetch.
 */
#ifndef API_DIALECT_BODY_H
#define API_DIALECT_BODY_H

#include "api/dialect_error.h"
#include "api/json_scan.h"

enum {
    DIALECT_MEMBERS_MAX = 96, /* the largest request of a real client has about 40 */
    DIALECT_NAME_MAX = 200,   /* bytes of a model's name */
    DIALECT_NAME_SIZE = DIALECT_NAME_MAX + 1,
};

struct dialect_member {
    struct str name, value; /* as in struct json_scan_member */
    enum json_kind kind;
};

struct dialect_body {
    struct str text; /* lent by the caller */
    struct dialect_member member[DIALECT_MEMBERS_MAX];
    size_t n;
};

/* 0, or -EINVAL with *ret_error filled (status 400, and the member that is at fault). */
int dialect_body_read(struct str text, struct dialect_body *ret_body,
                      struct dialect_error *ret_error);

/* The outermost member of this name, null included; NULL when there is none. */
const struct dialect_member *dialect_body_find(const struct dialect_body *body, const char *name);

/* A boolean member: fallback when it is absent or null, -EINVAL with *ret_error for another kind.
 */
int dialect_body_flag(const struct dialect_body *body, const char *name, bool fallback,
                      bool *ret_value, struct dialect_error *ret_error);

/* A text member without its escapes: into ret (of `size` bytes), "" when it is absent or null.
 * -EINVAL with *ret_error when it is no string, or longer. */
int dialect_body_text(const struct dialect_body *body, const char *name, char *ret, size_t size,
                      struct dialect_error *ret_error);

/*
 * The model that is asked for ("model", or "name" where that is absent and `also_name`): "" when
 * none is. The name follows the grammar of dialect_name_ok.
 */
int dialect_body_model(const struct dialect_body *body, bool also_name,
                       char ret_name[DIALECT_NAME_SIZE], struct dialect_error *ret_error);

/* Letters, digits and -_.:/@+ only; no path: no leading "/" or ".", no "//", no "..". */
bool dialect_name_ok(struct str name);

/* A member to be replaced or added; value is JSON text. */
struct dialect_edit {
    const char *name;
    struct str value;
};

/* The body with these members in place of its own; every other byte stays. */
void dialect_body_edit(const struct dialect_body *body, const struct dialect_edit *edit, size_t n,
                       struct buf *ret);

/* "text" as JSON, quotes included. */
void dialect_json_text(struct str text, struct buf *ret);

#endif
