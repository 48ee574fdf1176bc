/* cmd_verify.c - does a model compute on its device as on the CPU? */
#include "cli/cli.h"

enum { VERIFY_PATIENCE_MS = 600000 };

static const struct cli_option verify_options[] = {
    CLI_REQUEST_OPTIONS,
    {NULL, NULL, NULL},
};

struct verify {
    struct cli *cli;
    struct session_history history; /* choices on which the model differed */
    json_t *results;                /* lent from cli; NULL: for people */
};

/* What was found on the choice that runs: code of session_check_model, positive. */
static void verify_tell(const struct verify *v, int code, const struct engine_comparison *c)
{
    const struct session *session = &v->cli->session;
    const char *backend = plan_backend_name(session->running->backend);
    const char *what = code == GFXB_E_OK               ? "same"
                       : code == GFXB_E_MODEL_MISMATCH ? "differs"
                                                       : "unknown";
    char device[256];
    engine_placement_text(&session->placement, device, sizeof(device));
    if (v->results) {
        json_array_append_new(v->results,
                              json_pack("{s:s, s:o, s:o, s:s, s:s, s:o, s:i, s:i, s:f, s:f}",
                                        "backend", backend, "device", report_json_text(device),
                                        "package", report_json_text(session->package->id), "result",
                                        what, "code", gfxb_code_name(code), "reason",
                                        code ? report_json_text(v->cli->err.text) : json_null(),
                                        "prompts", (int)c->prompts, "differ", (int)c->differ,
                                        "greatest", c->greatest, "allowed", c->allowed));
    } else if (code == GFXB_E_OK) {
        text_print(stdout,
                   TEXT_GOOD "%s" TEXT_END " on %s computes this model as the CPU does: the first "
                             "tokens of %u prompts, log-probabilities at most %.2f apart (%.2f "
                             "allowed)",
                   backend, device, c->prompts, c->greatest, c->allowed);
    } else {
        text_print(stderr, TEXT_BAD "%s" TEXT_END " on %s: %s", backend, device, v->cli->err.text);
    }
}

/* The best choice that is left runs. True: look at the next one. */
static bool verify_one(struct verify *v, int *ret_code)
{
    struct cli *cli = v->cli;
    struct engine_comparison comparison = {.prompts = 0};
    struct session_check check = {.patience_ms = VERIFY_PATIENCE_MS, .cancel = &cli_cancelled};
    int result = session_check_model(&cli->request, &cli->session, &check, &comparison, &cli->err);
    if (result == -GFXB_E_INTERRUPTED || session_is_ours(-result))
        cli_fail(cli);
    verify_tell(v, -result, &comparison);
    *ret_code = -result;
    if (result != -GFXB_E_MODEL_MISMATCH)
        return false;
    const char *fingerprint = cli->session.running->fingerprint;
    session_history_add(&v->history,
                        &(struct session_failure){(char *)(uintptr_t)fingerprint, cli->err.text,
                                                  GFXB_E_MODEL_MISMATCH, false});
    return true;
}

static int verify_run(struct cli *cli, const struct cli_args *args)
{
    struct verify v = {.cli = cli};
    int code = GFXB_E_OK, result = 0;
    cli_catch_signals();
    cli_read_request(cli, args);
    cli_check(cli, engine_model_find(cli_models(cli), args->word[0], &cli->model, &cli->err));
    cli_request_model(cli, &cli->model);
    cli_request_options(cli, args->word[0]);
    cli->request.recheck = true;
    if (cli->json)
        cli->answer = v.results = json_array();
    do {
        result = session_bring_up(&cli->request, &v.history, &cli->session, &cli->err);
    } while (result >= 0 && verify_one(&v, &code));
    bool differed = v.history.n_failed > 0;
    session_history_done(&v.history);
    if (result < 0 && !differed)
        cli_check_bring_up(cli, result);
    const bool ours = result < 0 && session_is_ours(-result);
    if (result < 0 && !ours)
        text_print(stderr, "gfxbridge: nothing else can run this model: %s", cli->err.text);
    if (cli->json)
        cli_print_json(cli, json_pack("{s:o, s:O}", "model", report_json_text(cli->model.name),
                                      "results", v.results));
    if (ours) /* it says nothing about the choices that are left */
        cli_fail(cli);
    if (result < 0)
        return CLI_PROOF_FAILED;
    return differed || code ? CLI_FAILED : CLI_DONE;
}

const struct cli_command cli_command_verify = {
    .name = "verify",
    .words = "MODEL",
    .summary = "test that a model computes on its device as on the CPU",
    .about =
        "Starts the model as run would, lets it begin answers to six fixed prompts, and compares "
        "the "
        "tokens and their probabilities with those of the CPU, which reads the same file. The "
        "outcome is stored for this model. Where they differ, this model is served by the "
        "next choice from then on, which is tested too, until verify passes.\n"
        "The exit code is 0 when the best choice computes as the CPU does; 1 when it does not and "
        "another one takes over, or when it could not be compared (too little memory, a model "
        "that writes no text); 4 when no choice is left.",
    .options = verify_options,
    .live = true,
    .run = verify_run,
};
