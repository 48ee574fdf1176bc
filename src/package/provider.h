/* provider.h - one way to bring engine packages here; one file, one row of provider_table
 * (install.c) and one of usable.c each. Private to package/. */
#ifndef PACKAGE_PROVIDER_H
#define PACKAGE_PROVIDER_H

#include "package/package.h"

struct provider {
    const char *name;   /* the provider column of packages.tsv */
    bool needs_network; /* refused with "offline" when the user said --no-network */
    /* Is the row's package here, as env wants it? NULL: any package with its id is. */
    bool (*has)(const struct package_env *env, const struct gfx_package *row);
    /* Bring the row's package into the store. The row is for this system and not yet installed. */
    int (*install)(const struct package_env *env, const struct gfx_package *row,
                   struct gfxb_error *err);
};

/* What ends it early when it is not 0; NULL: nothing does. */
const atomic_int *provider_cancel(const struct package_env *env);

/* 0, or -GFXB_E_INTERRUPTED. */
int provider_check_cancel(const struct package_env *env, struct gfxb_error *err);

/* The names of all of them, NULL-terminated. */
extern const char *const provider_names[];

/* Says that there is none of this name. -GFXB_E_NO_PACKAGE. */
int provider_unknown(struct str name, struct gfxb_error *err);

extern const struct provider provider_debian, provider_file, provider_github, provider_system;

#endif
