/* error.h - one way to fail: a negative number back, one sentence in the caller's gfxb_error. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/str.h"
#include <gfxbridge.h>
#include <stdarg.h>

/*
 * Fill *err (may be NULL) with code (positive: errno or GFXB_E_) and a sentence; text that does not
 * fit is cut at a character boundary. Returns -code, so that "return error_set(...)" is the idiom.
 */
int error_set(struct gfxb_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put a sentence's beginning before what *err says already: "installing X: " + text. Keeps the
 * code. */
void error_prefix(struct gfxb_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* strerror that is thread-safe and independent of the locale: the text of errno value code. */
const char *error_errno_text(int code);

/* Did this process lack something of its own (memory, a descriptor, a thread or process), so that
 * the failure says nothing about what it worked on? code: positive, an errno value or GFXB_E_. */
bool error_is_ours(int code);

/* The number of a reason code by its stable name ("ok" is 0); -EINVAL: there is none. */
int error_code_number(struct str name);

#endif
