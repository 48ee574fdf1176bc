#include "report/report.h"

static json_t *plan_json_evidence(const struct plan_choice *choice)
{
    json_t *array = json_array();
    for (size_t i = 0; i < choice->n_evidence; i++) {
        const struct plan_evidence *e = &choice->evidence[i];
        json_t *object = json_object();
        json_object_set_new(object, "rung", json_string(plan_rung_name(e->rung)));
        json_object_set_new(object, "ok", report_json_tri(e->ok));
        json_object_set_new(object, "detail", report_json_text(e->detail));
        json_array_append_new(array, object);
    }
    return array;
}

/* {"NAME": "text"} from "NAME=text" */
static json_t *plan_json_env(char *const *env)
{
    json_t *object = json_object();
    for (; *env; env++) {
        struct str rest = str_from(*env), name;
        if (str_cut(&rest, '=', &name))
            json_object_setn_new(object, name.p, name.n,
                                 json_stringn(rest.p ? rest.p : "", rest.n));
    }
    return object;
}

json_t *report_json_choice(const struct plan_choice *choice)
{
    json_t *object = json_object();
    json_object_set_new(object, "rank", json_integer(choice->rank));
    json_object_set_new(object, "backend", json_string(plan_backend_name(choice->backend)));
    json_object_set_new(object, "gpus", report_json_strings(choice->gpu_pci));
    json_object_set_new(object, "gfx", report_json_text(choice->gfx));
    json_object_set_new(object, "package", report_json_text(choice->package));
    json_object_set_new(object, "source", report_json_text(choice->provider));
    json_object_set_new(object, "installed", json_boolean(choice->installed != NULL));
    json_object_set_new(object, "state", json_string(plan_state_name(choice->state)));
    json_object_set_new(object, "code", json_string(gfxb_code_name(choice->code)));
    json_object_set_new(object, "reason", report_json_text(choice->reason));
    json_object_set_new(object, "evidence", plan_json_evidence(choice));
    json_object_set_new(object, "need_bytes", report_json_bytes(choice->need_bytes));
    json_object_set_new(object, "have_bytes", report_json_bytes(choice->have_bytes));
    json_object_set_new(object, "host_bytes", report_json_bytes(choice->host_bytes));
    json_object_set_new(object, "context", report_json_bytes(choice->context));
    json_object_set_new(object, "gpu_layers", report_json_bytes(choice->gpu_layers));
    json_object_set_new(object, "layers", report_json_bytes(choice->layers));
    json_object_set_new(object, "env", plan_json_env(choice->env));
    json_object_set_new(object, "args", report_json_strings(choice->args));
    json_object_set_new(object, "warnings", report_json_strings(choice->warning));
    return object;
}

json_t *report_json_plan(const struct plan *plan)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < plan->n_choices; i++)
        json_array_append_new(choices, report_json_choice(&plan->choice[i]));
    json_t *object = json_object();
    json_object_set_new(object, "policy", json_string(plan_policy_name(plan->policy)));
    json_object_set_new(object, "choices", choices);
    json_object_set_new(object, "chosen",
                        plan->chosen < 0 ? json_null() : json_integer(plan->chosen));
    return object;
}
