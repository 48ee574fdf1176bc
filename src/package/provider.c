/* What every provider needs and the program that only reads links too: no library comes with it. */
#include "package/provider.h"

const volatile sig_atomic_t *provider_cancel(const struct package_env *env)
{
    return env->net ? env->net->fetch.cancel : NULL;
}

int provider_check_cancel(const struct package_env *env, struct gfxb_error *err)
{
    const volatile sig_atomic_t *cancel = provider_cancel(env);
    return cancel && *cancel ? error_set(err, GFXB_E_INTERRUPTED, "interrupted") : 0;
}
