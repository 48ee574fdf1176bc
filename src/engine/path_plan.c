/* path_plan.c - the plan from what is on disk: installed packages, stored proofs, what cannot be
 * brought here. Nothing of it installs, proves or starts anything, so that a program which only
 * plans links none of that. */
#include "engine/path_private.h"

#include <errno.h>

struct package_env path_package_env(const struct path_request *r)
{
    return (struct package_env){.data_dir = r->data_dir,
                                .tables = r->tables,
                                .root = r->root,
                                .no_network = r->wish.no_network,
                                .log = r->log};
}

/* ---- what is on disk, as the plan wants it ---- */

static void path_forget_situation(struct path *path)
{
    plan_free(path->plan);
    free(path->proof);
    engine_proofs_free(path->stored);
    free(path->installed);
    package_list_done(&path->packages);
    path->plan = NULL;
    path->proof = NULL;
    path->n_proofs = 0;
    path->stored = NULL;
    path->installed = NULL;
}

static int path_read_packages(const struct path_request *r, struct path *path,
                              struct gfxb_error *err)
{
    struct package_env env = path_package_env(r);
    int result = r->data_dir ? package_list_new(&env, &path->packages, err) : 0;
    if (result < 0)
        return result;
    path->installed = calloc(path->packages.n + 1, sizeof(*path->installed));
    if (!path->installed)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < path->packages.n; i++) {
        const struct package *p = &path->packages.item[i];
        path->installed[i] = (struct plan_installed){.id = p->id,
                                                     .provider = p->provider,
                                                     .backend = p->backend,
                                                     .digest = p->digest,
                                                     .gfx = p->gfx,
                                                     .blas = p->blas,
                                                     .pinned = p->pinned};
    }
    return 0;
}

static int path_read_proofs(const struct path_request *r, struct path *path, struct gfxb_error *err)
{
    size_t n = 0;
    int result = r->data_dir ? engine_proofs_new(r->data_dir, &path->stored, err) : 0;
    if (result < 0)
        return result;
    const struct plan_proof *stored =
        path->stored ? engine_proofs_for_plan(path->stored, &n) : NULL;
    path->proof = calloc(n + path->n_failures + 1, sizeof(*path->proof));
    if (!path->proof)
        return error_set(err, ENOMEM, "out of memory");
    /* Failures of this walk come first: they are newer than what is stored under the same name. */
    for (size_t i = 0; i < path->n_failures; i++) {
        const struct path_failure *f = &path->failure[i];
        path->proof[i] = (struct plan_proof){
            .fingerprint = f->fingerprint, .code = f->code, .detail = f->detail, .fresh = true};
    }
    for (size_t i = 0; i < n; i++)
        path->proof[path->n_failures + i] = stored[i];
    path->n_proofs = n + path->n_failures;
    return 0;
}

/* Is this the first installable row of its provider, so that the provider is to be asked? */
static bool path_is_first_row(const struct gfx_tables *t, size_t i)
{
    if (!t->package[i].installable)
        return false;
    for (size_t k = 0; k < i; k++) {
        if (t->package[k].installable && str_eq(t->package[k].provider, t->package[i].provider))
            return false;
    }
    return true;
}

/* Which providers can bring nothing to this computer at all (no apt, say), and why. */
static int path_ask_providers(const struct path_request *r, struct path *path,
                              struct gfxb_error *err)
{
    struct package_env env = path_package_env(r);
    const struct gfx_tables *t = r->tables;
    if (path->providers_asked || !r->data_dir || !r->machine->live)
        return 0;
    path->providers_asked = true;
    for (size_t i = 0; i < t->n_packages && path->n_unusable < PATH_PROVIDERS_MAX; i++) {
        struct gfxb_error why;
        int code = path_is_first_row(t, i)
                       ? package_provider_usable(&env, t->package[i].provider, &why)
                       : 0;
        if (code == 0)
            continue;
        struct plan_provider *p = &path->unusable[path->n_unusable++];
        *p = (struct plan_provider){str_dup(t->package[i].provider), -code, strdup(why.text)};
        if (!p->name || !p->reason)
            return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

/* Look into the model's file, once, before any engine does. */
static int path_read_model(const struct path_request *r, struct path *path, struct gfxb_error *err)
{
    struct model_wish wish = {.file = r->model,
                              .mmproj = r->mmproj,
                              .known = r->known,
                              .context = r->context,
                              .slots = r->slots};
    if (!r->model || path->use)
        return 0;
    path->use = calloc(1, sizeof(*path->use));
    if (!path->use)
        return error_set(err, ENOMEM, "out of memory");
    int result = model_use_new(&wish, path->use, err);
    if (result < 0) {
        free(path->use);
        path->use = NULL;
    }
    return result;
}

int path_make_plan(const struct path_request *r, struct path *path, struct gfxb_error *err)
{
    path_forget_situation(path);
    int result = path_read_model(r, path, err);
    if (result == 0)
        result = path_read_packages(r, path, err);
    if (result == 0)
        result = path_read_proofs(r, path, err);
    if (result == 0)
        result = path_ask_providers(r, path, err);
    if (result < 0)
        return result;
    struct plan_wish wish = r->wish;
    if (path->use) {
        wish.model = &path->use->shape;
        wish.use = path->use->use;
    }
    wish.unusable = path->unusable;
    wish.n_unusable = path->n_unusable;
    wish.installed = path->installed;
    wish.n_installed = path->packages.n;
    wish.proof = path->proof;
    wish.n_proofs = path->n_proofs;
    wish.canary_version = engine_canary_version();
    return plan_new(r->machine, r->tables, &wish, &path->plan, err);
}

int path_plan(const struct path_request *request, struct path *ret_path, struct gfxb_error *err)
{
    struct path path = {0};
    int result = path_make_plan(request, &path, err);
    if (result < 0)
        path_plan_done(&path);
    else
        *ret_path = path;
    return result;
}

void path_plan_done(struct path *path)
{
    path_forget_situation(path);
    for (size_t i = 0; i < path->n_failures; i++) {
        free(path->failure[i].fingerprint);
        free(path->failure[i].detail);
    }
    for (size_t i = 0; i < path->n_unusable; i++) {
        free((char *)path->unusable[i].name);
        free((char *)path->unusable[i].reason);
    }
    if (path->use)
        model_use_done(path->use);
    free(path->use);
    free(path->failure);
    free(path->model);
    *path = (struct path){0};
}
