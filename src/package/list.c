/* What is installed: the store's directory is the truth, read anew every time. */
#include "package/manifest.h"
#include "package/provider.h"
#include "package/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define LIST_PINS_MAX (1u << 20)

static bool list_is_digest(struct str name)
{
    if (name.n != 64)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (!strchr("0123456789abcdef", name.p[i]))
            return false;
    }
    return true;
}

static int list_append(struct package_list *list, struct package *package)
{
    struct package *grown = reallocarray(list->item, list->n + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    list->item = grown;
    list->item[list->n++] = *package;
    return 0;
}

/* A directory without a readable manifest is no package: never published by us, or damaged. */
static int list_take(const struct package_env *env, struct package_list *list, const char *path,
                     const char *name)
{
    struct package package = {0};
    int r = manifest_read(path, &package);
    if (r == 0 && strcmp(package.digest, name) == 0) {
        r = list_append(list, &package);
        if (r == 0)
            return 0;
    } else if (r != -ENOMEM) {
        log_at(env->log, LOG_WARNING, "%s is damaged and is not used", path);
        r = 0;
    }
    manifest_package_done(&package);
    return r;
}

static int list_read_dir(const struct package_env *env, const char *packages,
                         struct package_list *list)
{
    DIR *dir = opendir(packages);
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(dir))) {
        struct str name = str_from(entry->d_name);
        char *CLEAN_FREE path = fs_join(packages, entry->d_name);
        if (!path)
            r = -ENOMEM;
        else if (str_starts(name, STR(STORE_STAGE_PREFIX)))
            store_sweep_stage(path);
        else if (list_is_digest(name))
            r = list_take(env, list, path, entry->d_name);
    }
    closedir(dir);
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
    char *CLEAN_FREE path = fs_join(env->data_dir, "packages/pins");
    if (!path)
        return -ENOMEM;
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

static void list_sweep_caches(const struct package_env *env)
{
    for (size_t i = 0; provider_names[i]; i++)
        store_sweep_cache(env, provider_names[i]);
}

int package_list_new(const struct package_env *env, struct package_list *ret_list,
                     struct gfxb_error *err)
{
    struct package_list list = {NULL, 0};
    struct buf CLEAN_BUF pins = BUF_INIT(LIST_PINS_MAX);
    char *CLEAN_FREE packages = fs_join(env->data_dir, "packages");
    int r = packages ? list_read_dir(env, packages, &list) : -ENOMEM;
    if (r == 0)
        r = list_read_pins(env, &pins);
    if (r < 0) {
        package_list_done(&list);
        return error_set(err, -r, "cannot read the packages in %s: %s", env->data_dir,
                         error_errno_text(-r));
    }
    if (list.n)
        qsort(list.item, list.n, sizeof(*list.item), list_newest_first);
    list_mark_pinned(&list, buf_view(&pins));
    list_sweep_caches(env);
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

bool store_has_id(const struct package_env *env, struct str id)
{
    struct package_list list = {NULL, 0};
    bool found = false;
    if (package_list_new(env, &list, NULL) < 0)
        return false;
    for (size_t i = 0; i < list.n && !found; i++)
        found = str_is(id, list.item[i].id);
    package_list_done(&list);
    return found;
}

static const struct package *list_find_digest(const struct package_list *list, const char *digest)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].digest, digest) == 0)
            return &list->item[i];
    }
    return NULL;
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
    char *CLEAN_FREE path = fs_join(env->data_dir, "packages/pins");
    if (!path || !buf_ok(&text))
        return error_set(err, ENOMEM, "out of memory");
    return fs_write(path, buf_text(&text), text.n, 0644, err);
}

int package_pin(const struct package_env *env, struct package_backend backend, const char *digest,
                struct gfxb_error *err)
{
    struct package_list list = {NULL, 0};
    int r = package_list_new(env, &list, err);
    if (r < 0)
        return r;
    const struct package *package = digest ? list_find_digest(&list, digest) : NULL;
    if (digest && (!package || !package_is_of(package, backend)))
        r = error_set(err, ENOENT, "no installed %s package has the digest %s", backend.name,
                      digest);
    else if (list.n)
        r = list_write_pin(env, &list, backend, digest, err);
    package_list_done(&list);
    return r;
}

int package_remove(const struct package_env *env, const char *digest, struct gfxb_error *err)
{
    struct package_list list = {NULL, 0};
    int r = package_list_new(env, &list, err);
    if (r < 0)
        return r;
    const struct package *package = list_find_digest(&list, digest);
    if (!package)
        r = error_set(err, ENOENT, "no installed package has the digest %s", digest);
    else
        r = store_discard(env, package->dir, err);
    if (r == 0 && package->pinned)
        r = list_write_pin(env, &list,
                           (struct package_backend){str_from(package->engine), package->backend},
                           NULL, err);
    package_list_done(&list);
    return r;
}
