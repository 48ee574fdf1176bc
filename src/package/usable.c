/* usable.c - can a provider bring anything to this computer at all? Asked for every plan: so this
 * file needs nothing of what installs. */
#include "package/apt/apt.h"
#include "package/provider.h"
#include "sysroot/sysroot.h"

#include <errno.h>

const char *const provider_names[] = {"debian", "github", "system", "file", NULL};

int provider_unknown(struct str name, struct gfxb_error *err)
{
    return error_set(err, GFXB_E_NO_PACKAGE, "this gfxbridge cannot install packages from \"%.*s\"",
                     STR_ARG(name));
}

/* Are apt and dpkg there? */
static int usable_apt(struct gfxb_error *err)
{
    static const char *const programs[] = {"/usr/bin/apt-get", "/usr/bin/apt-cache",
                                           "/usr/bin/dpkg-deb", "/usr/bin/dpkg"};
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (access(programs[i], X_OK) < 0)
            return error_set(err, GFXB_E_NO_PACKAGE,
                             "%s is not on this computer, so engine packages of the distribution "
                             "cannot be fetched: use another package source (github, file, "
                             "system)",
                             programs[i]);
    }
    return 0;
}

static int usable_debian(const struct package_env *env, struct gfxb_error *err)
{
    struct debian_host host = {0};
    int r = debian_host_new(env->root, &host, err);
    debian_host_done(&host);
    if (!root_is_live(env->root)) /* what a capture does not hold is no reason against it */
        return r == -ENODATA ? 0 : r;
    return r < 0 ? r : usable_apt(err);
}

int package_provider_usable(const struct package_env *env, struct str provider,
                            struct gfxb_error *err)
{
    for (size_t i = 0; provider_names[i]; i++) {
        if (str_is(provider, provider_names[i]))
            return str_is(provider, "debian") ? usable_debian(env, err) : 0;
    }
    return provider_unknown(provider, err);
}

const atomic_int *provider_cancel(const struct package_env *env)
{
    return env->net ? env->net->fetch.cancel : NULL;
}
