/* cmd_plan.c - the ranked choices for this computer, with a reason for each. */
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>

enum { PLAN_MODEL = CLI_REQUEST_NEXT, PLAN_CONTEXT };

/* What the plan is for. Zero: nothing in particular. */
struct plan_subject {
    struct model model;            /* on this disk; path NULL when it is not here yet */
    const struct model_known *row; /* of the list */
    uint64_t bytes;
};

static const struct cli_option plan_options[] = {
    CLI_REQUEST_OPTIONS,
    {"model", "MODEL", "for this model, by name or file: does it fit, and how?"},
    {"context", "TOKENS", "with so much context (default: as much as is usual and fits)"},
    {NULL, NULL, NULL},
};

/* What the file says and how the engine is told, beside what each choice adds. */
static json_t *plan_model_json(const struct plan_subject *subject, const struct model_use *use)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", report_json_text(subject->model.name));
    json_object_set_new(o, "path", report_json_text(subject->model.path));
    json_object_set_new(o, "bytes", report_json_bytes(subject->bytes));
    if (!use)
        return o;
    json_object_set_new(o, "architecture", report_json_text(use->gguf.architecture));
    json_object_set_new(o, "quantisation", report_json_text(use->gguf.quantisation));
    json_object_set_new(o, "parameters", report_json_bytes(use->gguf.parameters));
    json_object_set_new(o, "context_most", report_json_bytes(use->gguf.context));
    json_object_set_new(o, "layers", report_json_bytes(use->gguf.layers));
    json_object_set_new(o, "task", json_string(model_task_name(use->launch.task)));
    json_object_set_new(o, "recipes", report_json_text(use->launch.recipes));
    json_object_set_new(o, "args", report_json_strings(use->launch.args));
    return o;
}

static int plan_answer_json(const struct session *session, const struct plan_subject *subject,
                            struct gfxb_error *err)
{
    json_t *answer = report_json_plan(session->plan);
    json_object_set_new(answer, "model",
                        subject->bytes ? plan_model_json(subject, session->use) : json_null());
    return cli_print_json(answer, err);
}

/* "8.0 GiB on it and 0.3 GiB beside it, context 32768" */
static void plan_memory_text(const struct plan_choice *c)
{
    char need[32], host[32];
    if (!c->context || c->state == PLAN_REJECTED)
        return;
    report_bytes_text(c->need_bytes, need, sizeof(need));
    report_bytes_text(c->host_bytes, host, sizeof(host));
    if (c->host_bytes && c->gpu_layers <= c->layers)
        text_print(stdout,
                   "      needs %s on it for %zu of %zu layers and %s of the computer's "
                   "memory; context %u",
                   need, c->gpu_layers, c->layers + 1, host, c->context);
    else if (c->host_bytes)
        text_print(stdout, "      needs %s on it and %s of the computer's memory; context %u", need,
                   host, c->context);
    else
        text_print(stdout, "      needs %s of memory; context %u", need, c->context);
}

static const char *plan_state_style(enum plan_state state)
{
    return state == PLAN_PROVEN ? TEXT_GOOD : state == PLAN_REJECTED ? TEXT_BAD : "";
}

static void plan_choice_text(const struct plan_choice *c, bool chosen)
{
    struct buf CLEAN_BUF line = BUF_INIT(4000);
    buf_addf(&line, "%s %-8s %s%-9s" TEXT_END TEXT_HANG, chosen ? "->" : "  ",
             plan_backend_name(c->backend), plan_state_style(c->state), plan_state_name(c->state));
    for (char *const *pci = c->gpu_pci; *pci && **pci; pci++)
        buf_addf(&line, "%s%s", pci == c->gpu_pci ? " " : "+", *pci);
    if (c->gfx)
        buf_addf(&line, " %s", c->gfx);
    if (c->package)
        buf_addf(&line, " %s", c->package);
    if (c->code)
        buf_addf(&line, " [%s]", gfxb_code_name(c->code));
    text_print(stdout, "%s\n      %s", buf_text(&line), c->reason);
    for (char *const *w = c->warning; *w; w++)
        text_print(stdout, "      " TEXT_WARN "note: %s" TEXT_END, *w);
    plan_memory_text(c);
}

/* The answer first, in one sentence. */
static void plan_headline(const struct plan *plan)
{
    if (plan->chosen < 0) {
        text_print(stdout, TEXT_BAD "Nothing can be used here:" TEXT_END
                                    " each reason below says what would change that.\n");
        return;
    }
    const struct plan_choice *c = &plan->choice[plan->chosen];
    struct str name = c->gpu ? gfx_card_name(c->gpu->card) : STR_NONE;
    char several[32] = "";
    size_t n = 0;
    while (c->gpu_pci[n])
        n++;
    if (n > 1)
        snprintf(several, sizeof(several), "%zux ", n);
    text_print(stdout, TEXT_STRONG "%s%s%s%.*s%s%s%s" TEXT_END "%s\n",
               plan_backend_name(c->backend), name.n || n > 1 ? " on " : "", several, STR_ARG(name),
               c->gfx ? " (" : "", c->gfx ? c->gfx : "", c->gfx ? ")" : "",
               c->state == PLAN_PROVEN ? ", proven on this computer"
               : c->installed          ? ", installed; its first use proves it"
                                       : ", to be installed and proven by its first use");
    if (plan->left_out < 0)
        return;
    const struct plan_choice *out = &plan->choice[plan->left_out];
    struct str card = gfx_card_name(out->gpu->card);
    text_print(stdout, TEXT_WARN "%.*s%s%s is left out:" TEXT_END " %s\n", STR_ARG(card),
               card.n ? " at " : "The GPU at ",
               out->gpu->pci[0] ? out->gpu->pci : "an unknown address", out->reason);
}

static bool plan_same_gpus(const struct plan_choice *a, const struct plan_choice *b)
{
    bool set_a = a->gpu_pci[0] && a->gpu_pci[1], set_b = b->gpu_pci[0] && b->gpu_pci[1];
    return a->gpu == b->gpu && set_a == set_b;
}

/* Is this the first choice of its backend on its GPUs? The others differ in the package alone. */
static bool plan_is_first(const struct plan *plan, size_t i)
{
    const struct plan_choice *c = &plan->choice[i];
    for (size_t k = 0; k < i; k++) {
        const struct plan_choice *o = &plan->choice[k];
        if (o->backend == c->backend && (plan_same_gpus(o, c) || c->state == PLAN_REJECTED))
            return false;
    }
    return true;
}

static void plan_text(const struct plan *plan, bool verbose)
{
    size_t hidden = 0;
    plan_headline(plan);
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        if (!verbose && !plan_is_first(plan, i)) {
            hidden++;
            continue;
        }
        plan_choice_text(c, (int)i == plan->chosen);
        for (size_t k = 0; verbose && k < c->n_evidence; k++) {
            const struct plan_evidence *e = &c->evidence[k];
            text_print(stdout, "      " TEXT_FAINT "%s %s: " TEXT_HANG "%s" TEXT_END,
                       plan_rung_name(e->rung),
                       e->ok == TRI_YES  ? "holds"
                       : e->ok == TRI_NO ? "fails"
                                         : "unknown",
                       e->detail);
        }
    }
    if (hidden)
        text_print(stdout,
                   "\n%zu more with other packages or GPUs: --verbose shows them, with the "
                   "evidence.",
                   hidden);
}

/* A model of this disk, or a row of the list, of which only the size is known. */
static int plan_find(struct cli *cli, const char *name, struct plan_subject *subject,
                     struct gfxb_error *err)
{
    subject->row = model_known_find(str_from(name));
    int result = cli_find_model(cli, name, &subject->model, err);
    if (result == 0)
        subject->bytes = subject->model.bytes;
    else if (result == -GFXB_E_MODEL_UNKNOWN && subject->row && subject->row->bytes)
        subject->bytes = subject->row->bytes;
    else
        return result;
    if (!subject->model.name)
        subject->model.name = xstr_dup(subject->row->name);
    return 0;
}

static int plan_read_context(const char *text, uint32_t *ret_context, struct gfxb_error *err)
{
    uint64_t value;
    if (!text)
        return 0;
    if (str_to_u64(str_from(text), 10, &value) < 0 || value < 256 || value > INT32_MAX)
        return error_set(err, GFXB_E_USAGE, "no number of tokens: '%s'", text);
    *ret_context = (uint32_t)value;
    return 0;
}

static int plan_answer(struct cli *cli, const struct session_request *request,
                       const struct plan_subject *subject, struct gfxb_error *err)
{
    struct session session = {0};
    int result = session_plan(request, &session, err);
    if (result < 0)
        return result;
    if (cli->json)
        result = plan_answer_json(&session, subject, err);
    else
        plan_text(session.plan, cli->verbose);
    if (result == 0 && session.plan->chosen < 0)
        result = CLI_NOTHING_USABLE;
    session_done(&session);
    return result;
}

static int plan_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct session_request request;
    struct plan_subject subject = {.bytes = 0};
    const char *name = args->value[PLAN_MODEL];
    int result = cli_session_request(cli, args, &request, err);
    if (result == 0)
        result = plan_read_context(args->value[PLAN_CONTEXT], &request.context, err);
    if (result == 0 && name)
        result = plan_find(cli, name, &subject, err);
    request.model = subject.model.path;
    request.mmproj = subject.model.mmproj;
    request.known = subject.row;
    if (subject.bytes)
        request.request.need_bytes = model_offer_need(subject.bytes);
    if (result == 0)
        result = plan_answer(cli, &request, &subject, err);
    model_done(&subject.model);
    return result;
}

const struct cli_command cli_command_plan = {
    .name = "plan",
    .words = "",
    .summary = "ranked choices for this computer, with reasons",
    .about = "Ranks every way to run a model here: backend, GPU and engine package, best first. "
             "Rejected ones stay in the list with a reason code and one sentence. Changes nothing "
             "and uses no network. --verbose shows the evidence, rung by rung.",
    .options = plan_options,
    .any_os = true,
    .run = plan_run,
};
