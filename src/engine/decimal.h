/* decimal.h - decimal numbers in text, whatever the locale. Private to engine/. */
#ifndef ENGINE_DECIMAL_H
#define ENGINE_DECIMAL_H

#include "base/base.h"

/* The whole view as a number without a sign: "12", "0.53". 0, -EINVAL, or -ERANGE above 1e15. */
int decimal_parse(struct str text, double *ret_value);

/* Append a number from 0 to 1e15 with three digits behind the point; others as 0. */
void decimal_add(struct buf *to, double value);

#endif
