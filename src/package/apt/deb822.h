/*
 * deb822.h - Debian's control files: stanzas of "Name: value" lines, separated by blank lines. A
 * line that begins with a blank goes on with the value above it. Private to package/.
 */
#ifndef PACKAGE_APT_DEB822_H
#define PACKAGE_APT_DEB822_H

#include "base/base.h"

/* Cut the next stanza off *rest; false when none is left. */
bool deb822_stanza(struct str *rest, struct str *ret_stanza);

/* A field's value, trimmed, with the newlines of its continuation lines; empty when it is absent.
 * Names are compared without case. */
struct str deb822_field(struct str stanza, const char *name);

/* The bytes without comment lines (those that begin with '#'), which may stand inside a value. */
void deb822_strip_comments(struct str bytes, struct buf *ret);

#endif
