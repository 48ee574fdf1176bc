/* ldcache.h - /etc/ld.so.cache: which sonames the dynamic loader knows, and where. Private to
 * package/. */
#ifndef INSPECT_LDCACHE_H
#define INSPECT_LDCACHE_H

#include "base/base.h"

/* The path of a soname's library for this ELF machine; empty when the cache has none, or is none. A
 * view into the cache's bytes, NUL-terminated there. */
struct str ldcache_find(struct str cache, unsigned machine, struct str soname);

#endif
