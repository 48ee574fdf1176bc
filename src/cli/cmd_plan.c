#include "cli/text.h"
#include "cli/wish.h"

#include <errno.h>
#include <sys/stat.h>

enum { PLAN_MODEL = CLI_WISH_NEXT };

static const struct cli_option plan_options[] = {
    CLI_WISH_OPTIONS,
    {"model", "FILE", "for this GGUF file: does it fit?"},
    {NULL, NULL, NULL},
};

/* The weights take at least the file's size wherever they are put. */
static int plan_model_bytes(const char *model, uint64_t *ret_bytes, struct gfxb_error *err)
{
    struct stat st;
    if (stat(model, &st) < 0)
        return error_set(err, errno, "cannot read the model %s: %s", model,
                         error_errno_text(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "the model %s is no file: give a GGUF file", model);
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

static int plan_answer_json(const struct plan *plan, const char *model, uint64_t bytes,
                            struct gfxb_error *err)
{
    json_t *answer = report_json_plan(plan);
    json_object_set_new(answer, "model",
                        model ? json_pack("{s:s, s:I}", "path", model, "bytes", (json_int_t)bytes)
                              : json_null());
    return cli_print_json(answer, err);
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
    if (c->gpu_pci[0] && c->gpu_pci[0][0])
        buf_addf(&line, " %s", c->gpu_pci[0]);
    if (c->gfx)
        buf_addf(&line, " %s", c->gfx);
    if (c->package)
        buf_addf(&line, " %s", c->package);
    if (c->code)
        buf_addf(&line, " [%s]", gfxb_code_name(c->code));
    text_print(stdout, "%s\n      %s", buf_text(&line), c->reason);
    for (char *const *w = c->warning; *w; w++)
        text_print(stdout, "      " TEXT_WARN "note: %s" TEXT_END, *w);
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
    struct str name = c->gpu && c->gpu->card ? c->gpu->card->name : STR_NONE;
    text_print(stdout, TEXT_STRONG "%s%s%.*s%s%s%s" TEXT_END "%s\n", plan_backend_name(c->backend),
               name.n ? " on " : "", STR_ARG(name), c->gfx ? " (" : "", c->gfx ? c->gfx : "",
               c->gfx ? ")" : "",
               c->state == PLAN_PROVEN ? ", proven on this computer"
               : c->installed          ? ", installed; its first use proves it"
                                       : ", to be installed and proven by its first use");
}

/* Is this the first choice of its backend on its GPU? The others differ in the package alone. */
static bool plan_is_first(const struct plan *plan, size_t i)
{
    const struct plan_choice *c = &plan->choice[i];
    for (size_t k = 0; k < i; k++) {
        const struct plan_choice *o = &plan->choice[k];
        if (o->backend == c->backend && (o->gpu == c->gpu || c->state == PLAN_REJECTED))
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

static int plan_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct path_request request;
    struct path path = {0};
    const char *model = args->value[PLAN_MODEL];
    uint64_t bytes = 0;
    int result = cli_path_request(cli, args, &request, err);
    if (result == 0 && model)
        result = plan_model_bytes(model, &bytes, err);
    request.wish.need_bytes = bytes;
    if (result == 0)
        result = path_plan(&request, &path, err);
    if (result < 0)
        return result;
    if (cli->json)
        result = plan_answer_json(path.plan, model, bytes, err);
    else
        plan_text(path.plan, cli->verbose);
    if (result == 0 && path.plan->chosen < 0)
        result = CLI_NOTHING_USABLE;
    path_plan_done(&path);
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
    .run = plan_run,
};
