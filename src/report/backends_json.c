#include "report/report.h"
#include "session/session.h"

json_t *report_json_package(const struct package *p)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", report_json_text(p->id));
    json_object_set_new(object, "backend", report_json_text(p->backend));
    json_object_set_new(object, "source", report_json_text(p->provider));
    json_object_set_new(object, "version", report_json_text(p->version));
    json_object_set_new(object, "digest", report_json_text(p->digest));
    json_object_set_new(object, "gfx", report_json_words(str_from(p->gfx)));
    json_object_set_new(object, "bytes", report_json_bytes(p->bytes));
    json_object_set_new(object, "pinned", json_boolean(p->pinned));
    return object;
}

json_t *report_json_backends(const struct session *path)
{
    json_t *packages = json_array();
    for (size_t i = 0; i < path->packages.n; i++)
        json_array_append_new(packages, report_json_package(&path->packages.item[i]));
    json_t *answer = report_json_plan(path->plan);
    json_object_set_new(answer, "packages", packages);
    return answer;
}

json_t *report_json_proof(const struct plan_choice *choice, const struct engine_proof *proof)
{
    json_t *rungs = json_array();
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        json_t *rung = json_object();
        json_object_set_new(rung, "rung", json_string(plan_rung_name(proof->rung[i].rung)));
        json_object_set_new(rung, "ok", report_json_tri(proof->rung[i].ok));
        json_object_set_new(rung, "detail", report_json_text(proof->rung[i].detail));
        json_array_append_new(rungs, rung);
    }
    json_t *object = json_object();
    json_object_set_new(object, "backend", json_string(plan_backend_name(choice->backend)));
    json_object_set_new(object, "package", report_json_text(choice->package));
    json_object_set_new(object, "passed", json_boolean(proof->passed));
    json_object_set_new(object, "code", json_string(gfxb_code_name(proof->code)));
    json_object_set_new(object, "reason", report_json_text(proof->sentence));
    json_object_set_new(object, "device", report_json_text(proof->shown));
    json_object_set_new(object, "rungs", rungs);
    return object;
}

const char *doctor_severity_name(enum doctor_severity severity)
{
    static const char *const names[] = {
        [DOCTOR_BLOCK] = "block",
        [DOCTOR_WARN] = "warn",
        [DOCTOR_INFO] = "info",
    };
    return names[severity];
}

json_t *report_json_finding(const struct doctor_finding *f)
{
    json_t *object = json_object();
    json_object_set_new(object, "code", report_json_text(f->code));
    json_object_set_new(object, "severity", json_string(doctor_severity_name(f->severity)));
    json_object_set_new(object, "what", report_json_text(f->what));
    json_object_set_new(object, "why", report_json_text(f->why));
    json_object_set_new(object, "remedy", report_json_text(f->remedy));
    return object;
}
