/* backends.c - install, uninstall and dry-run: one recipe, llamacpp, and its backends. */
#include "api/lemonade/lemonade.h"

#include <stdio.h>

/* "recipe" and "backend" of a request. */
static void backends_read(struct http_exchange *x, struct dialect_body *body, char ret_backend[32])
{
    char recipe[64];
    dialect_body_read(http_request(x)->body, body);
    dialect_body_text(body, "recipe", recipe, sizeof(recipe));
    dialect_body_text(body, "backend", ret_backend, 32);
    if (strcmp(recipe, LEMONADE_RECIPE) != 0)
        dialect_fail_at(&body->error, "recipe",
                        "no such recipe: '%s'; gfxbridge has " LEMONADE_RECIPE, recipe);
    if (plan_backend_from_name(ret_backend) < 0)
        dialect_fail_at(&body->error, "backend",
                        "no such backend: '%s'; the backends are rocm, vulkan and cpu",
                        ret_backend);
}

/* ---- install and uninstall ---- */

static json_t *backends_answer(const char *backend)
{
    return json_pack("{s:s, s:s, s:s}", "status", "success", "recipe", LEMONADE_RECIPE, "backend",
                     backend);
}

static json_t *backends_refusal(const char *backend, const char *message)
{
    return json_pack("{s:s, s:s, s:o}", "backend", backend, "recipe", LEMONADE_RECIPE, "error",
                     report_json_text(message));
}

/* The same, and "stream". False: it is refused. */
static bool backends_admit(struct http_exchange *x, char ret_backend[32], bool *ret_stream)
{
    struct dialect_body body;
    backends_read(x, &body, ret_backend);
    *ret_stream = dialect_body_flag(&body, "stream", false);
    bool recipe = body.error.param && strcmp(body.error.param, "recipe") == 0;
    if (body.error.status && recipe)
        body.error.status = 500; /* as Lemonade */
    if (body.error.status && ret_backend[0] && !recipe)
        dialect_reply_json(x, body.error.status, backends_refusal(ret_backend, body.error.message));
    else
        dialect_refuse(x, &body.error);
    return body.error.status == 0;
}

/* Installs the best package of the backend and proves it, as the command line does. */
static void backends_install(struct http_exchange *x)
{
    struct dialect_stream stream = {.x = x};
    const struct log log = {lemonade_step, &stream};
    struct session_request r = serve_of(x)->request;
    struct session session = {.plan = NULL};
    struct gfxb_error err = {.code = 0};
    char backend[32];
    if (!backends_admit(x, backend, &stream.on))
        return;
    r.request.backend = plan_backend_from_name(backend);
    r.cancel = http_cancelled(x);
    r.log = &log;
    r.net.progress = lemonade_progress_file;
    r.net.context = &stream;
    lemonade_begin(&stream);
    if (session_bring_up(&r, NULL, &session, &err) == 0) {
        json_t *answer = backends_answer(backend);
        json_object_set_new(answer, "gfxbridge", report_json_choice(session.running));
        lemonade_end(&stream, 200, answer);
    } else {
        struct dialect_error error;
        dialect_error_from(&err, &error);
        lemonade_end(&stream, error.status, backends_refusal(backend, err.text));
    }
    session_done(&session);
}

static void backends_uninstall(struct http_exchange *x)
{
    struct dialect_error error;
    struct gfxb_error err = {.code = 0};
    char backend[32];
    bool stream;
    if (!backends_admit(x, backend, &stream))
        return;
    if (dialect_remove_backend(x, (struct package_backend){.name = backend}, &err) == 0) {
        dialect_reply_json(x, 200, backends_answer(backend));
        return;
    }
    dialect_error_from(&err, &error);
    dialect_reply_json(x, error.status, backends_refusal(backend, err.text));
}

/* ---- dry-run ---- */

/* The row that a computer with this target would get if nothing stood in the way. */
static const struct gfx_package *dry_run_row(const struct gfx_tables *t, const char *backend,
                                             const struct gfx_target *target, enum gfx_os os)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *p = &t->package[i];
        if (!str_is(p->backend, backend) || p->os != os || !str_is(p->arch, "x86_64") ||
            !p->installable || !str_starts(p->locate, STR("https://")))
            continue;
        if (strcmp(backend, "rocm") != 0)
            return p;
        enum gfx_via via = target ? gfx_covers(t, target, p->gfx, NULL) : GFX_VIA_NONE;
        if (via == GFX_VIA_EXACT || via == GFX_VIA_GENERIC)
            return p;
    }
    return NULL;
}

/* https://HOST/OWNER/REPO/releases/download/TAG/FILE */
static void dry_run_parts(struct str url, struct str *ret_repo, struct str *ret_file)
{
    struct str rest = {url.p + 8, url.n - 8}, piece = STR_NONE, repo;
    str_cut(&rest, '/', &piece);
    repo = rest;
    str_cut(&rest, '/', &piece);
    str_cut(&rest, '/', &piece);
    *ret_repo = (struct str){repo.p, (size_t)(piece.p + piece.n - repo.p)};
    while (str_cut(&rest, '/', &piece))
        *ret_file = piece;
}

/* The dry-run answer for a backend and a gfx target, from the tables alone. target NULL: not known.
 */
static json_t *dry_run_json(const struct gfx_tables *tables, const char *backend, const char *arch,
                            const struct gfx_target *target, enum gfx_os os)
{
    const struct gfx_package *p = dry_run_row(tables, backend, target, os);
    struct str repo = STR_NONE, file = STR_NONE;
    if (p)
        dry_run_parts(p->locate, &repo, &file);
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "recipe",
                     LEMONADE_RECIPE, "backend", backend, "arch", arch, "supported", p != NULL,
                     "supports_split_archive", 0, "repo", report_json_str(repo), "version",
                     report_json_str(p ? p->tag : STR_NONE), "filename", report_json_str(file),
                     "url", report_json_str(p ? p->locate : STR_NONE), "package",
                     report_json_str(p ? p->id : STR_NONE), "bytes",
                     report_json_bytes(p ? p->size : 0));
}

/* Without "arch": the first GPU here that has a target. */
static const struct gfx_target *dry_run_target(const struct session_request *r, char arch[32])
{
    if (arch[0])
        return gfx_target_find(r->tables, str_from(arch));
    for (size_t i = 0; i < r->machine->n_gpus; i++) {
        const struct gfx_target *target = r->machine->gpu[i].target;
        if (!target)
            continue;
        snprintf(arch, 32, "%.*s", STR_ARG(target->gfx));
        return target;
    }
    return NULL;
}

static void backends_dry_run(struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    struct dialect_body body;
    char backend[32], arch[32];
    backends_read(x, &body, backend);
    dialect_body_text(&body, "arch", arch, sizeof(arch));
    if (dialect_refuse(x, &body.error))
        return;
    const struct gfx_target *target = dry_run_target(r, arch);
    dialect_reply_json(x, 200, dry_run_json(r->tables, backend, arch, target, r->request.os));
}

const struct http_route lemonade_backend_routes[] = {
    {HTTP_POST, "/v1/install", backends_install, HTTP_BLOCKS, 0},
    {HTTP_POST, "/v1/install/dry-run", backends_dry_run, 0, 0},
    {HTTP_POST, "/v1/uninstall", backends_uninstall, HTTP_BLOCKS, 0},
    {0},
};
