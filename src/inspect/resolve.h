/*
 * resolve.h - which libraries that a package's ELF files ask for are neither inside nor on the
 * computer, looked for as the dynamic loader will. Private to inspect/.
 */
#ifndef INSPECT_RESOLVE_H
#define INSPECT_RESOLVE_H

#include "inspect/inspector.h"

/*
 * Fill found.unresolved, and found.resolved where everything could be looked up (a captured machine
 * may not have recorded its libraries). directory is absolute and of the live computer; the host's
 * libraries are looked for below options->host.
 */
int resolve_all(struct inspector *in, const char *directory, struct gfxb_error *err);

#endif
