/* All packages of one backend together: the one to prefer, and taking them away. */
#include "package/package.h"

#include <errno.h>

/* The newest package of a backend whose digest begins so; NULL none. */
static const char *prefer_find(const struct package_list *list, struct package_backend backend,
                               const char *prefix)
{
    for (size_t i = 0; i < list->n; i++) {
        if (package_is_of(&list->item[i], backend) &&
            str_starts(str_from(list->item[i].digest), str_from(prefix)))
            return list->item[i].digest;
    }
    return NULL;
}

int package_use(const struct package_env *env, struct package_backend backend, const char *prefix,
                struct gfxb_error *err)
{
    struct str engine = backend.engine.n ? backend.engine : gfx_engine_default();
    struct package_list list;
    if (strcmp(prefix, "none") == 0)
        return package_pin(env, backend, NULL, err);
    int result = package_list_new(env, &list, err);
    if (result < 0)
        return result;
    const char *digest = prefer_find(&list, backend, prefix);
    if (digest)
        result = package_pin(env, backend, digest, err);
    else if (!prefix[0])
        result = error_set(err, ENOENT,
                           "no package of %.*s:%s is installed: gfxbridge backends install %.*s:%s "
                           "brings one",
                           STR_ARG(engine), backend.name, STR_ARG(engine), backend.name);
    else
        result = error_set(err, ENOENT,
                           "no installed package of %.*s:%s has a digest that begins with '%s'; "
                           "see gfxbridge backends list",
                           STR_ARG(engine), backend.name, prefix);
    package_list_done(&list);
    return result;
}

int package_remove_backend(const struct package_env *env, struct package_backend backend,
                           size_t *ret_n, struct gfxb_error *err)
{
    struct str engine = backend.engine.n ? backend.engine : gfx_engine_default();
    struct package_list list;
    size_t n = 0;
    int result = package_list_new(env, &list, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < list.n && result == 0; i++) {
        if (!package_is_of(&list.item[i], backend))
            continue;
        result = package_remove(env, list.item[i].digest, err);
        n++;
    }
    package_list_done(&list);
    if (result == 0 && n == 0)
        return error_set(err, ENOENT, "no package of %.*s:%s is installed", STR_ARG(engine),
                         backend.name);
    if (result == 0)
        *ret_n = n;
    return result;
}
