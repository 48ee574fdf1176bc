/* cmd_plan.c - the ranked choices for this computer, with a reason for each. */
#include "cli/cli.h"

enum { PLAN_MODEL = CLI_REQUEST_NEXT, PLAN_CONTEXT, PLAN_SVG };

static const struct cli_option plan_options[] = {
    CLI_REQUEST_OPTIONS,
    {"model", "MODEL", "for this model, by name or file: does it fit, and how?"},
    {"context", "TOKENS", "of one request (default: as much as is usual and fits)"},
    {"svg", NULL, "a picture of each way and where it stopped, to standard output"},
    {NULL, NULL, NULL},
};

/* What the file says and how the engine is told, beside what each choice adds. bytes: as far as
 * they are known; use NULL: the file is not here yet. */
static json_t *plan_model_json(const struct model *model, uint64_t bytes,
                               const struct model_use *use)
{
    json_t *object = json_pack("{s:o, s:o, s:o}", "name", report_json_text(model->name), "path",
                               report_json_text(model->path), "bytes", report_json_bytes(bytes));
    if (!use)
        return object;
    const struct gguf *g = &use->gguf;
    json_object_update_new(object, json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}",
                                             "architecture", report_json_text(g->architecture),
                                             "quantisation", report_json_text(g->quantisation),
                                             "parameters", report_json_bytes(g->parameters),
                                             "context_most", report_json_bytes(g->context),
                                             "layers", report_json_bytes(g->layers), "task",
                                             model_task_name(use->launch.task), "recipes",
                                             report_json_text(use->launch.recipes), "args",
                                             report_json_strings(use->launch.args)));
    return object;
}

/* "8.0 GiB on it and 0.3 GiB beside it, context 32768" */
static void plan_memory_text(const struct plan_choice *c)
{
    struct buf CLEAN_BUF where = BUF_INIT(400), with = BUF_INIT(100);
    if (!c->context || c->state == PLAN_REJECTED)
        return;
    if (c->host_bytes && c->gpu_layers <= c->layers)
        buf_addf(&where, "it for %zu of %zu layers and ", c->gpu_layers, c->layers + 1);
    else if (c->host_bytes)
        buf_add_text(&where, "it and ");
    buf_addf(&with, "context %u", c->context);
    if (c->slots > 1)
        buf_addf(&with, " for each of %u requests at a time", c->slots);
    if (c->n_members)
        text_print(stdout, "      needs %s here; %s",
                   report_known_bytes(c->need_bytes + c->host_bytes).text, buf_text(&with));
    else if (c->host_bytes)
        text_print(stdout, "      needs %s on %s%s of the computer's memory; %s",
                   report_known_bytes(c->need_bytes).text, buf_text(&where),
                   report_bytes(c->host_bytes).text, buf_text(&with));
    else
        text_print(stdout, "      needs %s of memory; %s", report_known_bytes(c->need_bytes).text,
                   buf_text(&with));
}

static const char *plan_state_style(enum plan_state state)
{
    return state == PLAN_PROVEN ? TEXT_GOOD : state == PLAN_REJECTED ? TEXT_BAD : "";
}

/* " with tower and attic", of the nodes of a set */
static void plan_names(const struct plan_choice *c, struct buf *ret)
{
    for (size_t i = 0; i < c->n_members; i++)
        buf_addf(ret, "%s%s",
                 i == 0                 ? " with "
                 : i + 1 < c->n_members ? ", "
                                        : " and ",
                 c->member[i].node->name);
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
    plan_names(c, &line);
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
        text_print(stdout, TEXT_BAD "Nothing can run here." TEXT_END
                                    " Each reason below says what would change that.\n");
        return;
    }
    const struct plan_choice *c = &plan->choice[plan->chosen];
    struct str name = c->gpu ? gfx_card_name(c->gpu->card) : STR_NONE;
    struct buf CLEAN_BUF with = BUF_INIT(1000);
    char several[32] = "";
    size_t n = 0;
    while (c->gpu_pci[n])
        n++;
    if (n > 1)
        snprintf(several, sizeof(several), "%zux ", n);
    plan_names(c, &with);
    text_print(stdout, TEXT_STRONG "%s%s%s%.*s%s%s%s%s" TEXT_END "%s\n",
               plan_backend_name(c->backend), name.n || n > 1 ? " on " : "", several, STR_ARG(name),
               c->gfx ? " (" : "", c->gfx ? c->gfx : "", c->gfx ? ")" : "", buf_text(&with),
               c->state == PLAN_PROVEN ? ", proven on this computer"
               : c->installed          ? ", installed, will be tested on first use"
                                       : ", will be installed and tested on first use");
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
    return a->gpu == b->gpu && set_a == set_b && !a->n_members == !b->n_members;
}

/* Is this the first choice of its backend on its GPUs? The others differ in the package alone. Why
 * a node cannot help is always told. */
static bool plan_is_first(const struct plan *plan, size_t i)
{
    const struct plan_choice *c = &plan->choice[i];
    if (c->n_members && c->state == PLAN_REJECTED)
        return true;
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

/* How far each way got: the rungs, and the reason where it stopped. */
static void plan_svg(const struct plan *plan)
{
    static const char *const names[PLAN_RUNGS] = {"which card",     "code for it",
                                                  "allowed here",   "engine sees it",
                                                  "computes right", "fast enough"};
    struct diagram d = {.body = BUF_INIT(4 << 20)};
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        struct diagram_step step[PLAN_RUNGS];
        struct buf CLEAN_BUF heading = BUF_INIT(1000);
        if (!plan_is_first(plan, i))
            continue;
        for (size_t k = 0; k < PLAN_RUNGS; k++)
            step[k] = (struct diagram_step){names[k], "not tested", TRI_UNKNOWN};
        for (size_t k = 0; k < c->n_evidence; k++) {
            struct diagram_step *s = &step[c->evidence[k].rung];
            s->ok = c->evidence[k].ok;
            s->value = s->ok == TRI_YES ? "yes" : s->ok == TRI_NO ? "no" : "unknown";
        }
        if (c->gfx && step[PLAN_E0].ok == TRI_YES)
            step[PLAN_E0].value = c->gfx;
        buf_addf(&heading, "%s%s%s%.*s", (int)i == plan->chosen ? "→ " : "",
                 plan_backend_name(c->backend), c->gpu ? " on " : "",
                 STR_ARG(c->gpu ? gfx_card_name(c->gpu->card) : STR_NONE));
        plan_names(c, &heading);
        buf_addf(&heading, ": %s", c->package ? c->package : "no package");
        diagram_row(&d, buf_text(&heading), c->reason, step, PLAN_RUNGS);
    }
    diagram_print(&d, "From this computer's cards to an answer, best first");
}

/* cli->model: a model of this disk, or only the name of a row of the list. Returns its bytes. */
static uint64_t plan_find_model(struct cli *cli, const char *name)
{
    const struct model_known *row = model_known_find(str_from(name));
    int result = engine_model_find(cli_models(cli), name, &cli->model, &cli->err);
    if (result != -GFXB_E_MODEL_UNKNOWN || !row || !row->bytes)
        cli_check(cli, result);
    else
        cli->model.name = xstr_dup(row->name);
    cli_request_model(cli, &cli->model);
    cli->request.known = row;
    return result < 0 ? row->bytes : cli->model.bytes;
}

static int plan_run(struct cli *cli, const struct cli_args *args)
{
    struct session_request *request = cli_read_request(cli, args);
    const char *context = args->value[PLAN_CONTEXT], *name = args->value[PLAN_MODEL];
    uint64_t bytes = 0;
    cli_request_served(cli);
    if (context)
        request->context = cli_number(cli, "--context", context, 256, INT32_MAX);
    if (name)
        bytes = plan_find_model(cli, name);
    if (bytes)
        request->request.need_bytes = model_offer_need(bytes);
    const struct plan *plan = cli_plan(cli);
    if (cli->json) {
        json_t *answer = report_json_plan(plan);
        json_object_set_new(answer, "model",
                            bytes ? plan_model_json(&cli->model, bytes, cli->session.use)
                                  : json_null());
        cli_print_json(cli, answer);
    } else if (args->value[PLAN_SVG]) {
        plan_svg(plan);
    } else {
        plan_text(plan, cli->verbose);
    }
    return plan->chosen < 0 ? CLI_NOTHING_USABLE : CLI_DONE;
}

const struct cli_command cli_command_plan = {
    .name = "plan",
    .summary = "ranked choices for this computer, with reasons",
    .about = "Ranks every way to run a model here: backend, GPU and engine package, best first. "
             "Rejected ones stay in the list with a reason code and one sentence. Changes nothing "
             "and uses no network, except that --nodes asks the paired computers what they have. "
             "--verbose shows the evidence, rung by rung.",
    .options = plan_options,
    .any_os = true,
    .run = plan_run,
};
