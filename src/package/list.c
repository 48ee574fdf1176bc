/* list.c - what is installed: the store's directory, read every time. */
#include "package/package_private.h"

#include <errno.h>

#define LIST_PINS_MAX (1u << 20)

bool package_is_digest(struct str text)
{
    size_t n = 0;
    while (n < text.n && str_hex_digit(text.p[n]) >= 0 && str_lower(text.p[n]) == text.p[n])
        n++;
    return n == text.n && n == DIGEST_HEX - 1;
}

/* A directory without a readable manifest is no package: never published by us, or damaged. */
static int list_take(const struct package_env *env, struct package_list *list, const char *path,
                     const char *name)
{
    struct package package = {0};
    int r = manifest_read(path, &package);
    if (manifest_is_unknown(r))
        return r;
    if (r == 0 && strcmp(package.digest, name) == 0) {
        list->item = xreallocarray(list->item, list->n + 1, sizeof(*list->item));
        list->item[list->n++] = package;
    } else {
        log_at(env->log, LOG_WARNING, "%s is damaged and is not used", path);
        manifest_package_done(&package);
    }
    return 0;
}

static int list_read_dir(const struct package_env *env, struct package_list *list)
{
    char *CLEAN_FREE packages = xfs_join(env->data_dir, "packages");
    DIR *CLEAN_DIR dir = opendir(packages);
    const char *name;
    int r = dir || errno == ENOENT ? 0 : -errno;
    while (r == 0 && (name = fs_next(dir))) {
        char *CLEAN_FREE path = xfs_join(packages, name);
        if (str_starts(str_from(name), STR(STORE_STAGE_PREFIX)))
            store_sweep_stage(path);
        else if (package_is_digest(str_from(name)))
            r = list_take(env, list, path, name);
    }
    return r;
}

static int list_newest_first(const void *a, const void *b)
{
    const struct package *one = a, *other = b;
    if (one->installed != other->installed)
        return one->installed > other->installed ? -1 : 1;
    return strcmp(one->digest, other->digest);
}

bool package_is_of(const struct package *package, struct package_backend backend)
{
    struct str engine = backend.engine.n ? backend.engine : gfx_engine_default();
    return str_is(engine, package->engine) && strcmp(package->backend, backend.name) == 0;
}

/* DATA/packages/pins: one "backend digest" a line. */
static int list_read_pins(const struct package_env *env, struct buf *ret_pins)
{
    char *CLEAN_FREE path = xfs_join(env->data_dir, "packages/pins");
    int r = fs_read(path, LIST_PINS_MAX, ret_pins);
    return r == -ENOENT ? 0 : r;
}

static void list_mark_pinned(struct package_list *list, struct str pins)
{
    struct str line = STR_NONE, backend = STR_NONE;
    while (str_cut(&pins, '\n', &line)) {
        if (!str_cut(&line, ' ', &backend))
            continue;
        for (size_t i = 0; i < list->n; i++) {
            struct package *package = &list->item[i];
            if (str_is(backend, package->backend) && str_is(line, package->digest))
                package->pinned = true;
        }
    }
}

int package_list_new(const struct package_env *env, struct package_list *ret_list,
                     struct gfxb_error *err)
{
    struct package_list list = {NULL, 0};
    struct buf CLEAN_BUF pins = BUF_INIT(LIST_PINS_MAX);
    int r = list_read_dir(env, &list) ?: list_read_pins(env, &pins);
    if (r < 0) {
        package_list_done(&list);
        return error_set(err, -r, "cannot read the packages in %s: %s", env->data_dir,
                         error_errno_text(-r));
    }
    if (list.n)
        qsort(list.item, list.n, sizeof(*list.item), list_newest_first);
    list_mark_pinned(&list, buf_view(&pins));
    for (size_t i = 0; package_sources[i]; i++) {
        if (package_sources[i]->has_cache)
            store_sweep_cache(env, package_sources[i]->name);
    }
    *ret_list = list;
    return 0;
}

void package_list_done(struct package_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        manifest_package_done(&list->item[i]);
    free(list->item);
    *list = (struct package_list){NULL, 0};
}

/* The pins without those of this backend, and with one line more when digest is given. */
static int list_write_pin(const struct package_env *env, const struct package_list *list,
                          struct package_backend backend, const char *digest,
                          struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(LIST_PINS_MAX);
    for (size_t i = 0; i < list->n; i++) {
        const struct package *package = &list->item[i];
        if (package->pinned && !package_is_of(package, backend))
            buf_addf(&text, "%s %s\n", package->backend, package->digest);
    }
    if (digest)
        buf_addf(&text, "%s %s\n", backend.name, digest);
    char *CLEAN_FREE path = xfs_join(env->data_dir, "packages/pins");
    return fs_write(path, buf_text(&text), text.n, 0644, err);
}

/* Out of the store, and its pin. */
static int list_remove(const struct package_env *env, const struct package_list *list,
                       const struct package *package, struct gfxb_error *err)
{
    struct package_backend backend = {str_from(package->engine), package->backend};
    int r = store_discard(env, package->dir, err);
    return r == 0 && package->pinned ? list_write_pin(env, list, backend, NULL, err) : r;
}

int package_remove(const struct package_env *env, const char *digest, struct gfxb_error *err)
{
    struct package_list CLEAN_PACKAGES list = {NULL, 0};
    int r = package_list_new(env, &list, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.n; i++) {
        if (strcmp(list.item[i].digest, digest) == 0)
            return list_remove(env, &list, &list.item[i], err);
    }
    return error_set(err, ENOENT, "no installed package has the digest %s", digest);
}

/* ---- all packages of one backend together ---- */

/* The newest package of a backend whose digest begins so; NULL none. */
static const char *list_find_newest(const struct package_list *list, struct package_backend backend,
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
    bool is_none = strcmp(prefix, "none") == 0;
    struct package_list CLEAN_PACKAGES list = {NULL, 0};
    int r = package_list_new(env, &list, err);
    if (r < 0)
        return r;
    const char *digest = is_none ? NULL : list_find_newest(&list, backend, prefix);
    if (digest || is_none)
        return list.n ? list_write_pin(env, &list, backend, digest, err) : 0;
    if (!prefix[0])
        return error_set(err, ENOENT,
                         "no package of %.*s:%s is installed: gfxbridge backends install %.*s:%s "
                         "brings one",
                         STR_ARG(engine), backend.name, STR_ARG(engine), backend.name);
    return error_set(err, ENOENT,
                     "no installed package of %.*s:%s has a digest that begins with '%s'; see "
                     "gfxbridge backends list",
                     STR_ARG(engine), backend.name, prefix);
}

int package_remove_backend(const struct package_env *env, struct package_backend backend,
                           size_t *ret_n, struct gfxb_error *err)
{
    struct str engine = backend.engine.n ? backend.engine : gfx_engine_default();
    struct package_list CLEAN_PACKAGES list = {NULL, 0};
    size_t n = 0;
    int r = package_list_new(env, &list, err);
    for (size_t i = 0; i < list.n && r == 0; i++) {
        if (!package_is_of(&list.item[i], backend))
            continue;
        r = list_remove(env, &list, &list.item[i], err);
        n++;
    }
    if (r == 0 && n == 0)
        return error_set(err, ENOENT, "no package of %.*s:%s is installed", STR_ARG(engine),
                         backend.name);
    if (r == 0)
        *ret_n = n;
    return r;
}
