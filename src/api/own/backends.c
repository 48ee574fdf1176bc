/* backends.c - backends over HTTP: install and verify go on as downloads, use and remove do not. */
#include "api/serve.h"

#include <errno.h>
#include <stdio.h>

enum { BACKEND_INSTALL, BACKEND_VERIFY, BACKEND_USE, BACKEND_REMOVE };

struct backend_request {
    struct str engine; /* its kind; static */
    enum plan_backend backend;
    char digest[DIGEST_HEX]; /* of use: its beginning, or "none"; "" the newest */
};

/* The backend that a request names. False: the request was refused. */
static bool backend_read(struct http_exchange *x, struct backend_request *ret)
{
    struct dialect_body body;
    char name[64];
    dialect_body_read(http_request(x)->body, &body);
    dialect_body_text(&body, "backend", name, sizeof(name));
    dialect_body_text(&body, "digest", ret->digest, sizeof(ret->digest));
    if (plan_backend_read(name, &ret->engine, &ret->backend) < 0) {
        struct buf CLEAN_BUF all = BUF_INIT(1024);
        plan_backend_list(&all);
        dialect_fail_at(&body.error, "backend", "No such backend: they are %s.", buf_text(&all));
    }
    return !dialect_refuse(x, &body.error);
}

/* ---- install and verify ---- */

static int backend_install(const struct session_request *r, json_t **ret_result,
                           struct gfxb_error *err)
{
    struct session session = {0};
    int result = session_bring_up(r, NULL, &session, err);
    if (result == 0)
        *ret_result = report_json_choice(session.running);
    session_done(&session);
    return result;
}

/* Tests one choice and adds the result; the last failure stays in *err. */
static int backend_prove(const struct session_request *r, struct session *session, size_t i,
                         json_t *results, int *failed, struct gfxb_error *err)
{
    struct engine_proof proof;
    int result = session_prove(r, session, i, &proof, err);
    if (result < 0)
        return result;
    json_array_append_new(results, report_json_proof(&session->plan->choice[i], &proof));
    if (!proof.passed)
        *failed = error_set(err, proof.code, "%s", proof.sentence);
    engine_proof_done(&proof);
    return 0;
}

static int backend_verify(const struct session_request *r, json_t **ret_result,
                          struct gfxb_error *err)
{
    struct session session = {0};
    int result = session_plan(r, &session, err), failed = 0;
    if (result < 0)
        return result;
    json_t *results = json_array();
    for (size_t i = 0; i < session.plan->n_choices && result == 0; i++) {
        if (session_can_prove(&session.plan->choice[i]))
            result = backend_prove(r, &session, i, results, &failed, err);
    }
    if (result == 0 && json_array_size(results) == 0)
        result =
            error_set(err, GFXB_E_NO_PACKAGE, "no package for %s is installed: install it first",
                      plan_backend_name((enum plan_backend)r->request.backend));
    *ret_result = json_pack("{s:o}", "results", results);
    session_done(&session);
    return result < 0 ? result : failed;
}

/* Install and verify: about says which. */
static void backend_work(struct http_exchange *x)
{
    struct backend_request request;
    struct gfxb_error err = {.code = 0};
    json_t *result = NULL;
    char name[64];
    if (!backend_read(x, &request))
        return;
    snprintf(name, sizeof(name), "%.*s:%s", STR_ARG(request.engine),
             plan_backend_name(request.backend));
    struct download *d = download_begin(x, "backend", name);
    if (!d)
        return;
    struct session_request r = download_request(d);
    r.request.engine = request.engine;
    r.request.backend = (int)request.backend;
    r.model = NULL;
    int code = http_route(x)->about == BACKEND_INSTALL ? backend_install(&r, &result, &err)
                                                       : backend_verify(&r, &result, &err);
    download_end(d, code, &err, result);
}

/* ---- use and remove ---- */

static struct package_env backend_env(const struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    return (struct package_env){.data_dir = r->data_dir,
                                .tables = r->tables,
                                .root = r->root,
                                .no_network = r->request.no_network,
                                .log = r->log};
}

struct backend_use {
    struct pool *pool;
    const char *backend;
    char model[DIALECT_NAME_SIZE]; /* one that runs on it; "" none */
};

static void backend_find_use(void *context)
{
    struct backend_use *use = context;
    struct pool_status m;
    for (size_t i = 0; pool_at(use->pool, i, &m); i++) {
        if (strcmp(m.backend, use->backend) == 0)
            snprintf(use->model, sizeof(use->model), "%s", m.name);
    }
}

int dialect_remove_backend(struct http_exchange *x, struct package_backend backend,
                           struct gfxb_error *err)
{
    struct package_env env = backend_env(x);
    struct backend_use use = {.pool = serve_of(x)->pool, .backend = backend.name};
    size_t removed = 0;
    http_in_loop(x, backend_find_use, &use);
    if (use.model[0])
        return error_set(err, EBUSY, "%s runs on %s: unload it first", use.model, backend.name);
    return package_remove_backend(&env, backend, &removed, err);
}

/* Use and remove: about says which. */
static void backend_change(struct http_exchange *x)
{
    struct package_env env = backend_env(x);
    struct backend_request request;
    struct gfxb_error err;
    if (!backend_read(x, &request))
        return;
    struct package_backend packages = {request.engine, session_package_backend(request.backend)};
    int result = http_route(x)->about == BACKEND_USE
                     ? package_use(&env, packages, request.digest, &err)
                     : dialect_remove_backend(x, packages, &err);
    if (result < 0)
        dialect_reply_failure(x, &err);
    else
        dialect_reply_json(x, 200, json_pack("{s:i, s:s}", "schema", 1, "status", "success"));
}

const struct http_route backend_routes[] = {
    {HTTP_POST, "/gfxbridge/backends/install", backend_work, HTTP_BLOCKS, BACKEND_INSTALL},
    {HTTP_POST, "/gfxbridge/backends/verify", backend_work, HTTP_BLOCKS, BACKEND_VERIFY},
    {HTTP_POST, "/gfxbridge/backends/use", backend_change, HTTP_BLOCKS, BACKEND_USE},
    {HTTP_POST, "/gfxbridge/backends/remove", backend_change, HTTP_BLOCKS, BACKEND_REMOVE},
    {0},
};
