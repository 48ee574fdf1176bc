/*
 * own.c - our own calls, for the web page and for scripts that have no command line:
 * what `gfxbridge detect`, `plan`, `doctor` and `backends list` print with --json.
 */
#include "api/serve.h"

#include "sysroot/sysroot.h"

/* With "schema": 1 before the rest, as the command line does. value is taken over. */
static void own_answer(struct http_exchange *x, json_t *value)
{
    json_t *whole = value ? json_pack("{s:i}", "schema", 1) : NULL;
    json_object_update_new(whole, value);
    dialect_reply_json(x, 200, whole);
}

/* The machine as it is now, not as it was when the server started. */
static void own_detect(struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    struct machine *m = NULL;
    struct gfxb_error err = {.code = 0};
    if (machine_new(r->root, r->tables, &m, &err) < 0) {
        dialect_reply_failure(x, &err);
        return;
    }
    own_answer(x, report_json_machine(m));
    machine_free(m);
}

static json_t *own_plan(const struct session *session)
{
    json_t *answer = report_json_plan(session->plan);
    json_object_set_new(answer, "model", json_null());
    return answer;
}

/* Every choice of the plan that has a stored proof, passed or failed. */
static json_t *own_proofs(const struct session *session)
{
    json_t *proofs = json_array();
    for (size_t i = 0; i < session->plan->n_choices; i++) {
        const struct plan_choice *c = &session->plan->choice[i];
        const struct engine_proof *proof =
            session->stored ? engine_proofs_find(session->stored, c->fingerprint) : NULL;
        if (proof)
            json_array_append_new(proofs, report_json_proof(c, proof));
    }
    return json_pack("{s:o}", "proofs", proofs);
}

enum { OWN_PLAN, OWN_BACKENDS, OWN_PROOFS };

/* What about says of the plan as it is now. */
static void own_planned(struct http_exchange *x)
{
    static json_t *(*const made[])(const struct session *session) = {
        [OWN_PLAN] = own_plan, [OWN_BACKENDS] = report_json_backends, [OWN_PROOFS] = own_proofs};
    struct session session = {.plan = NULL};
    struct gfxb_error err = {.code = 0};
    if (session_plan(&serve_of(x)->request, &session, &err) < 0)
        dialect_reply_failure(x, &err);
    else
        own_answer(x, made[http_route(x)->about](&session));
    session_done(&session);
}

static void own_doctor(struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    struct session session = {.plan = NULL};
    struct gfxb_error err = {.code = 0};
    struct doctor_case c = {
        .live = root_is_live(r->root),
        .data_dir = r->data_dir,
        .runtime_dir = r->runtime_dir,
        .machine = r->machine,
        .tables = r->tables,
        .findings = json_array(),
    };
    doctor_check_places(&c);
    if (session_plan(r, &session, &err) < 0) {
        doctor_tell_no_plan(&c, err.text);
    } else {
        c.plan = session.plan;
        doctor_examine(&c);
    }
    own_answer(x, json_pack("{s:b, s:o}", "ok", !c.problem, "findings", c.findings));
    session_done(&session);
}

const struct http_route gfxbridge_routes[] = {
    {HTTP_GET, "/gfxbridge/detect", own_detect, HTTP_BLOCKS, 0},
    {HTTP_GET, "/gfxbridge/plan", own_planned, HTTP_BLOCKS, OWN_PLAN},
    {HTTP_GET, "/gfxbridge/backends", own_planned, HTTP_BLOCKS, OWN_BACKENDS},
    {HTTP_GET, "/gfxbridge/proofs", own_planned, HTTP_BLOCKS, OWN_PROOFS},
    {HTTP_GET, "/gfxbridge/doctor", own_doctor, HTTP_BLOCKS, 0},
    {0},
};
