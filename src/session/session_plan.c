/* session_plan.c - the plan from what is on disk: installed packages, stored proofs, what cannot be
 * brought here. Nothing of it installs, proves or starts anything, so that a program which only
 * plans links none of that. */
#include "session/session.h"
#include "session/session_private.h"

#include <errno.h>

struct package_env session_package_env(const struct session_request *r)
{
    return (struct package_env){.data_dir = r->data_dir,
                                .tables = r->tables,
                                .root = r->root,
                                .no_network = r->request.no_network,
                                .log = r->log};
}

/* ---- what is on disk, as the plan wants it ---- */

static void session_forget_situation(struct session *path)
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

static int session_read_packages(const struct session_request *r, struct session *path,
                                 struct gfxb_error *err)
{
    struct package_env env = session_package_env(r);
    int result = r->data_dir ? package_list_new(&env, &path->packages, err) : 0;
    if (result < 0)
        return result;
    path->installed = calloc(path->packages.n + 1, sizeof(*path->installed));
    if (!path->installed)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < path->packages.n; i++) {
        const struct package *p = &path->packages.item[i];
        path->installed[i] = (struct plan_installed){.engine = str_from(p->engine),
                                                     .id = p->id,
                                                     .provider = p->provider,
                                                     .backend = p->backend,
                                                     .digest = p->digest,
                                                     .gfx = p->gfx,
                                                     .blas = p->blas,
                                                     .pinned = p->pinned};
    }
    return 0;
}

static int session_read_proofs(const struct session_request *r, struct session *path,
                               struct gfxb_error *err)
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
        const struct session_failure *f = &path->failure[i];
        path->proof[i] = (struct plan_proof){
            .fingerprint = f->fingerprint, .code = f->code, .detail = f->detail, .fresh = true};
    }
    for (size_t i = 0; i < n; i++)
        path->proof[path->n_failures + i] = stored[i];
    path->n_proofs = n + path->n_failures;
    return 0;
}

/* Is this the first installable row of its provider, so that the provider is to be asked? */
static bool session_is_first_row(const struct gfx_tables *t, size_t i)
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
static int session_ask_providers(const struct session_request *r, struct session *path,
                                 struct gfxb_error *err)
{
    struct package_env env = session_package_env(r);
    const struct gfx_tables *t = r->tables;
    if (path->providers_asked || !r->data_dir || !r->machine->live)
        return 0;
    path->providers_asked = true;
    for (size_t i = 0; i < t->n_packages && path->n_unusable < PATH_PROVIDERS_MAX; i++) {
        struct gfxb_error why;
        int code = session_is_first_row(t, i)
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
static int session_read_model(const struct session_request *r, struct session *path,
                              struct gfxb_error *err)
{
    struct model_request request = {.file = r->model,
                                    .mmproj = r->mmproj,
                                    .known = r->known,
                                    .context = r->context,
                                    .slots = r->slots};
    if (!r->model || path->use)
        return 0;
    path->use = calloc(1, sizeof(*path->use));
    if (!path->use)
        return error_set(err, ENOMEM, "out of memory");
    int result = model_use_new(&request, path->use, err);
    if (result < 0) {
        free(path->use);
        path->use = NULL;
    }
    return result;
}

int session_make_plan(const struct session_request *r, struct session *path, struct gfxb_error *err)
{
    session_forget_situation(path);
    int result = session_read_model(r, path, err);
    if (result == 0)
        result = session_read_packages(r, path, err);
    if (result == 0)
        result = session_read_proofs(r, path, err);
    if (result == 0)
        result = session_ask_providers(r, path, err);
    if (result < 0)
        return result;
    struct plan_request request = r->request;
    if (path->use) {
        request.model = &path->use->shape;
        request.use = path->use->use;
    }
    if (r->known)
        request.engine = r->known->engine;
    request.unusable = path->unusable;
    request.n_unusable = path->n_unusable;
    request.installed = path->installed;
    request.n_installed = path->packages.n;
    request.proof = path->proof;
    request.n_proofs = path->n_proofs;
    request.canary_version = engine_canary_version(engine_kind_of_model(r->known));
    return plan_new(r->machine, r->tables, &request, &path->plan, err);
}

int session_plan(const struct session_request *request, struct session *ret_path,
                 struct gfxb_error *err)
{
    struct session path = {0};
    int result = session_make_plan(request, &path, err);
    if (result < 0)
        session_plan_done(&path);
    else
        *ret_path = path;
    return result;
}

void session_plan_done(struct session *path)
{
    session_forget_situation(path);
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
    *path = (struct session){0};
}
