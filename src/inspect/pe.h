/* pe.h - Windows programs and libraries: only where their device code is. Private to inspect/. */
#ifndef INSPECT_PE_H
#define INSPECT_PE_H

#include "inspect/image.h"

bool pe_begins(const unsigned char *bytes, size_t n);

/* The section that HIP's compiler puts code-object bundles into; size 0: there is none.
 * *ret_program: a program, not a DLL. -EBADMSG when it is not a PE file or cut off. */
int pe_read(const struct image *image, struct extent *ret_fatbin, bool *ret_program);

#endif
