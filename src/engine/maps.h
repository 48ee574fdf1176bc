/* maps.h - which ROCm libraries a process has mapped, and from where. Private to engine/; fuzzed.
 */
#ifndef ENGINE_MAPS_H
#define ENGINE_MAPS_H

#include "base/base.h"

#define MAPS_LIBRARIES_MAX 64

struct maps_library {
    struct str path; /* lent by the text */
    struct str name; /* its last component */
    struct str tree; /* the directory that its lib directory is in, or package_dir */
};

struct maps {
    struct maps_library item[MAPS_LIBRARIES_MAX]; /* each path once */
    size_t n;
};

/* The ROCm libraries in the text of /proc/PID/maps. package_dir ("" none) is one tree whatever the
 * directories in it. */
void maps_parse(struct str text, struct str package_dir, struct maps *ret_maps);

/* Two libraries that come from different trees: true and *ret_a, *ret_b. */
bool maps_are_mixed(const struct maps *maps, const struct maps_library **ret_a,
                    const struct maps_library **ret_b);

#endif
