/*
 * dialect_numbers.h - the numbers of a request and what each may be. The engine takes a number
 * that does not fit for another one (4294967296 tokens are 0, -2147483649 are 2147483647), and one
 * that is a text for none at all.
 */
#ifndef API_DIALECT_NUMBERS_H
#define API_DIALECT_NUMBERS_H

#include "api/dialect_error.h"
#include "api/json_scan.h"

/* 0 for a good one, for null, and for a member that is none of the table's; else -EINVAL with
 * *ret_error filled. */
int dialect_number_check(struct str name, struct str value, enum json_kind kind,
                         struct dialect_error *ret_error);
/* The same for a number that was read already. */
int dialect_number_fits(const char *name, double value, struct dialect_error *ret_error);

#endif
