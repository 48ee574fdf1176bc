/*
 * names.h - a sorted set of names: sonames, gfx targets, paths. No name is in it twice. Filled by
 * package/, read by whoever gets an inspection.
 */
#ifndef INSPECT_NAMES_H
#define INSPECT_NAMES_H

#include "base/base.h"

/* More names than any package has; what a hostile file makes us keep stays bounded. */
#define NAMES_MAX 32768

struct names {
    char **name; /* owned */
    size_t n;
    size_t capacity;
};

void names_done(struct names *set); /* frees; the set is empty and usable again */

/* Add a name, in the order of its bytes. 0 also when it was there; -ENOMEM; -E2BIG when full. */
int names_add(struct names *set, struct str name);

/*
 * Add a gfx target to a set that is kept in the order of data/targets.tsv: length, then bytes.
 * Features are cut off ("gfx90a:sramecc+:xnack-" gives gfx90a). -EINVAL when it is no target's
 * name.
 */
int names_add_gfx(struct names *set, struct str target);

/* Add all of another set of gfx targets. */
int names_add_all_gfx(struct names *set, const struct names *other);

bool names_has(const struct names *set, struct str name); /* a set made with names_add */

/* The target's name at the beginning of text ("gfx90a", "gfx9-4-generic"), without features or
 * whatever else follows; empty when there is none. */
struct str names_gfx_prefix(struct str text);

#endif
