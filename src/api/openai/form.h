/* form.h - multipart/form-data (RFC 7578), read strictly. Private to api/openai/. */
#ifndef API_OPENAI_FORM_H
#define API_OPENAI_FORM_H

#include "api/dialect.h"

enum { FORM_PARTS_MAX = 32, FORM_NAME_MAX = 100, FORM_BOUNDARY_MAX = 70 };

struct form_part {
    char name[FORM_NAME_MAX + 1];
    bool file;        /* it came with a file's name */
    struct str value; /* into the body */
};

struct form {
    struct form_part part[FORM_PARTS_MAX];
    size_t n;
};

/* type: the Content-Type. Views into body. Faults, among them a name that appears twice (but
 * "x[]"), go into *error. */
void form_read(struct str type, struct str body, struct form *ret_form,
               struct dialect_error *error);

/* The part of this name; NULL: there is none. */
const struct form_part *form_find(const struct form *form, const char *name);

/* Another part at the end; name is a constant. */
void form_add(struct buf *out, const char *boundary, const char *name, bool file, struct str value);

#endif
