/* From a row of packages.tsv to the provider that brings it. */
#include "package/provider.h"
#include "package/store.h"

#include <errno.h>
#include <sys/utsname.h>

static const struct provider *const provider_table[] = {
    &provider_debian,
    &provider_github,
    &provider_system,
    &provider_file,
};

int provider_check_cancel(const struct package_env *env, struct gfxb_error *err)
{
    const atomic_int *cancel = provider_cancel(env);
    return cancel && *cancel ? error_set(err, GFXB_E_INTERRUPTED, "interrupted") : 0;
}

static const struct provider *install_provider(struct str name, struct gfxb_error *err)
{
    for (size_t i = 0; i < sizeof(provider_table) / sizeof(provider_table[0]); i++) {
        if (str_is(name, provider_table[i]->name))
            return provider_table[i];
    }
    provider_unknown(name, err);
    return NULL;
}

static int install_check_row(const struct gfx_package *row, struct gfxb_error *err)
{
    struct utsname system;
    if (row->os != GFX_LINUX)
        return error_set(err, GFXB_E_NO_PACKAGE, "%.*s is not for Linux", STR_ARG(row->id));
    if (uname(&system) == 0 && row->arch.n && !str_is(row->arch, system.machine))
        return error_set(err, GFXB_E_NO_PACKAGE, "%.*s is for %.*s and this computer is %s",
                         STR_ARG(row->id), STR_ARG(row->arch), system.machine);
    return 0;
}

int package_install(const struct package_env *env, const struct gfx_package *row,
                    struct gfxb_error *err)
{
    if (env->data_dir[0] != '/')
        return error_set(err, EINVAL, "\"%s\" is no absolute path", env->data_dir);
    const struct provider *provider = install_provider(row->provider, err);
    if (!provider)
        return -GFXB_E_NO_PACKAGE;
    if (provider->has ? provider->has(env, row) : store_has_id(env, row->id))
        return 0;
    int r = install_check_row(row, err);
    if (r == 0 && env->no_network && provider->needs_network)
        r = error_set(err, GFXB_E_OFFLINE,
                      "%.*s is not installed and the network may not be used: install it once "
                      "without --no-network",
                      STR_ARG(row->id));
    if (r == 0)
        r = package_provider_usable(env, row->provider, err);
    if (r == 0)
        r = store_check_place(env, 0, err);
    return r < 0 ? r : provider->install(env, row, err);
}
