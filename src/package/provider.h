/* provider.h - one way to bring engine packages here; one file and one row of provider_table each.
 * Private to package/. */
#ifndef PACKAGE_PROVIDER_H
#define PACKAGE_PROVIDER_H

#include "package/package.h"

struct provider {
    const char *name;   /* the provider column of packages.tsv */
    bool needs_network; /* refused with "offline" when the user said --no-network */
    /* 0, or a code and the reason why it cannot bring anything to this computer. No network. */
    int (*usable)(const struct package_env *env, struct gfxb_error *err);
    /* Is the row's package here, as env wants it? NULL: any package with its id is. */
    bool (*has)(const struct package_env *env, const struct gfx_package *row);
    /* Bring the row's package into the store. The row is for this system and not yet installed. */
    int (*install)(const struct package_env *env, const struct gfx_package *row,
                   struct gfxb_error *err);
};

extern const struct provider *const provider_table[];
extern const size_t provider_count;

extern const struct provider provider_debian, provider_file, provider_github, provider_system;

#endif
