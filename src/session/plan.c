/* plan.c - the plan from what is on disk: installed packages, stored proofs, what cannot be brought
 * here. Nothing of it installs, proves or starts anything. */
#include "base/xalloc.h"
#include "session/session_private.h"
#include "sysroot/sysroot.h"

const struct engine_kind *session_kind(const struct session_request *r)
{
    const struct engine_kind *kind = r->known ? NULL : engine_kind_find(r->request.engine);
    return kind ? kind : engine_kind_of_model(r->known);
}

struct package_env session_package_env(const struct session_request *r)
{
    return (struct package_env){.data_dir = r->data_dir,
                                .tables = r->tables,
                                .root = r->root,
                                .no_network = r->request.no_network,
                                .log = r->log};
}

static void session_forget_plan(struct session *session)
{
    plan_free(session->plan);
    free(session->proof);
    engine_proofs_free(session->stored);
    free(session->installed);
    package_list_done(&session->packages);
    session->plan = NULL;
    session->proof = NULL;
    session->n_proofs = 0;
    session->stored = NULL;
    session->installed = NULL;
    session->running = NULL;
    session->package = NULL;
}

static int session_read_packages(const struct session_request *r, struct session *session,
                                 struct gfxb_error *err)
{
    struct package_env env = session_package_env(r);
    int result = r->data_dir ? package_list_new(&env, &session->packages, err) : 0;
    if (result < 0)
        return result;
    session->installed = xcalloc(session->packages.n + 1, sizeof(*session->installed));
    for (size_t i = 0; i < session->packages.n; i++) {
        const struct package *p = &session->packages.item[i];
        session->installed[i] =
            (struct plan_installed){.engine = str_from(p->engine),
                                    .id = p->id,
                                    .provider = p->provider,
                                    .backend = p->backend,
                                    .digest = p->digest,
                                    .gfx = p->gfx,
                                    .blas = p->blas,
                                    .pinned = p->pinned,
                                    .version = p->version,
                                    .protocol = session_protocol(r, session, p)};
    }
    return 0;
}

static int session_read_proofs(const struct session_request *r, struct session *session,
                               struct gfxb_error *err)
{
    size_t n = 0;
    int result = r->data_dir ? engine_proofs_new(r->data_dir, &session->stored, err) : 0;
    if (result < 0)
        return result;
    const struct plan_proof *stored =
        session->stored ? engine_proofs_for_plan(session->stored, &n) : NULL;
    session->proof = xcalloc(n + session->n_failures + 1, sizeof(*session->proof));
    /* Failures of this bring-up come first: they are newer than what is stored under the same
     * name. */
    for (size_t i = 0; i < session->n_failures; i++) {
        const struct session_failure *f = &session->failure[i];
        session->proof[i] = (struct plan_proof){
            .fingerprint = f->fingerprint, .code = f->code, .detail = f->detail, .fresh = true};
    }
    for (size_t i = 0; i < n; i++)
        session->proof[session->n_failures + i] = stored[i];
    session->n_proofs = n + session->n_failures;
    session_read_checks(r, session);
    session_read_tuned(r, session);
    return 0;
}

/* Is this the first installable row of its provider, so that the provider must be asked? */
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
static int session_ask_providers(const struct session_request *r, struct session *session,
                                 struct gfxb_error *err)
{
    struct package_env env = session_package_env(r);
    const struct gfx_tables *t = r->tables;
    if (session->providers_asked || !r->data_dir || !r->machine->live)
        return 0;
    root_take_error(r->root);
    for (size_t i = 0; i < t->n_packages && session->n_unusable < SESSION_PROVIDERS_MAX; i++) {
        struct gfxb_error why;
        int code = session_is_first_row(t, i)
                       ? package_provider_usable(&env, t->package[i].provider, &why)
                       : 0;
        int lacked = root_take_error(r->root);
        if (lacked < 0)
            return error_set(err, -lacked, "cannot read this computer: %s",
                             error_errno_text(-lacked));
        if (code < 0 && error_is_ours(-code))
            return error_set(err, -code, "%s", why.text);
        if (code < 0)
            session->unusable[session->n_unusable++] =
                (struct plan_provider){xstr_dup(t->package[i].provider), -code, xstrdup(why.text)};
    }
    session->providers_asked = true;
    return 0;
}

/* Look into the model's file, once for each context that is wanted, before any engine does. */
static int session_read_model(const struct session_request *r, struct session *session,
                              struct gfxb_error *err)
{
    struct model_request request = {.file = r->model,
                                    .mmproj = r->mmproj,
                                    .known = r->known,
                                    .context = r->context,
                                    .slots = r->slots};
    struct model_use use;
    if (!r->model || (session->use && session->use_context == r->context))
        return 0;
    int result = model_use_new(&request, &use, err);
    if (result < 0)
        return result;
    if (session->use)
        model_use_done(session->use);
    else
        session->use = xcalloc(1, sizeof(*session->use));
    *session->use = use;
    session->use_context = r->context;
    return 0;
}

static int session_plan_once(const struct session_request *r, struct session *session,
                             struct gfxb_error *err)
{
    session_forget_plan(session);
    int result = session_read_model(r, session, err);
    if (result == 0)
        result = session_read_packages(r, session, err);
    if (result == 0)
        result = session_read_proofs(r, session, err);
    if (result == 0)
        result = session_ask_providers(r, session, err);
    if (result < 0)
        return result;
    struct plan_request request = r->request;
    char canary_version[ENGINE_CANARY_VERSION_MAX];
    if (session->use) {
        request.model = &session->use->shape;
        request.use = session->use->use;
        if (r->slots > 1 && session_tuned_slots(session))
            request.use.slots = session_tuned_slots(session);
    }
    if (r->known)
        request.engine = r->known->engine;
    request.unusable = session->unusable;
    request.n_unusable = session->n_unusable;
    request.installed = session->installed;
    request.n_installed = session->packages.n;
    request.proof = session->proof;
    request.n_proofs = session->n_proofs;
    engine_canary_version(session_kind(r), canary_version);
    request.canary_version = canary_version;
    session_take_nodes(session, &request);
    return plan_new(r->machine, r->tables, &request, &session->plan, err);
}

int session_make_plan(const struct session_request *r, struct session *session,
                      struct gfxb_error *err)
{
    int result = session_plan_once(r, session, err);
    if (result < 0 || !session_wants_nodes(r, session))
        return result;
    session_forget_plan(session);
    result = session_ask_nodes(r, session, err);
    return result < 0 ? result : session_plan_once(r, session, err);
}

int session_plan(const struct session_request *request, struct session *ret_session,
                 struct gfxb_error *err)
{
    struct session session = {0};
    struct session_request own = *request;
    if (!own.request.want_set)
        own.config_dir = NULL; /* a mere plan waits for nobody */
    int result = session_make_plan(&own, &session, err);
    if (result < 0)
        session_done(&session);
    else
        *ret_session = session;
    return result;
}

void session_forget_failures(struct session *session)
{
    for (size_t i = 0; i < session->n_failures; i++) {
        free(session->failure[i].fingerprint);
        free(session->failure[i].detail);
    }
    free(session->failure);
    session->failure = NULL;
    session->n_failures = 0;
}

void session_done(struct session *session)
{
    engine_stop(session->engine);
    if (session->blame)
        blame_done(session->blame);
    free(session->blame);
    session_forget_plan(session);
    session_nodes_done(session);
    session_forget_failures(session);
    for (size_t i = 0; i < session->n_unusable; i++) {
        free((char *)(uintptr_t)session->unusable[i].name);
        free((char *)(uintptr_t)session->unusable[i].reason);
    }
    if (session->use)
        model_use_done(session->use);
    free(session->use);
    free(session->model);
    free(session->slots_dir);
    free(session->model_state);
    free(session->tested);
    json_decref(session->tuned);
    *session = (struct session){0};
}
