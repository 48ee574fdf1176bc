/* cmd_run.c - answers a prompt on the best path that is proven here. */
#include "cli/cli.h"

enum { RUN_MAX_TOKENS = CLI_REQUEST_NEXT, RUN_PROMPT_MAX = 4 << 20 };

static const struct cli_option run_options[] = {
    CLI_REQUEST_OPTIONS,
    {"max-tokens", "N", "end the answer after this many tokens"},
    {NULL, NULL, NULL},
};

/* A word that can only be meant as a model, also when it is misspelt or not here. */
static bool run_is_model_form(const char *word)
{
    struct model_name name;
    if (str_ends(str_from(word), STR(".gguf")))
        return true;
    if (model_name_parse(word, &name, NULL) < 0)
        return false;
    return name.kind == MODEL_NAME_LISTED || name.kind == MODEL_NAME_URL || strpbrk(word, "/:");
}

/* A slip in the name of a model that could be pulled, rather than a word of a prompt? */
static bool run_is_slip(const char *word)
{
    char nearest[300] = "";
    if (strpbrk(word, "0123456789"))
        model_name_nearest_known(word, nearest, sizeof(nearest));
    return nearest[0] != '\0';
}

/* Is the word a model? Then it is cli->model; else it belongs to the prompt. */
static bool run_find_model(struct cli *cli, const char *word)
{
    bool is_path =
        str_ends(str_from(word), STR(".gguf")) || (strchr(word, '/') && access(word, F_OK) == 0);
    if (strpbrk(word, " \t\n") && !is_path)
        return false;
    int result = engine_model_find(cli_models(cli), word, &cli->model, &cli->err);
    bool is_unknown = result == -GFXB_E_MODEL_UNKNOWN || result == -EINVAL || result == -ENOENT;
    if (is_unknown && !run_is_model_form(word) && !run_is_slip(word))
        return false;
    cli_check(cli, result);
    return true;
}

/* A prompt that can be asked: of the command line, else of stdin. */
static void run_check_prompt(struct cli *cli, struct buf *prompt)
{
    if (prompt->n == 0 && isatty(STDIN_FILENO))
        cli_die(cli, GFXB_E_USAGE,
                "a prompt is missing: gfxbridge run \"your question\", or give it on standard "
                "input");
    if (prompt->n == 0)
        cli_read_stdin(cli, "prompt", prompt);
    if (!buf_ok(prompt))
        cli_die(cli, GFXB_E_USAGE, "the prompt is larger than 4 MiB");
    if (prompt->n && memchr(prompt->p, '\0', prompt->n))
        cli_die(cli, GFXB_E_USAGE, "the prompt holds a NUL byte: give text");
    if (str_trim(buf_view(prompt)).n == 0)
        cli_die(cli, GFXB_E_USAGE, "the prompt is empty: ask something");
}

static void run_end_line(void *context)
{
    bool *ended_line = context;
    if (!*ended_line)
        putchar('\n');
    *ended_line = true;
    fflush(stdout);
}

static int run_on_text(void *context, struct str piece, bool thinking)
{
    if (thinking)
        return 0;
    bool *ended_line = context;
    if (piece.n)
        *ended_line = piece.p[piece.n - 1] == '\n';
    fwrite(piece.p, 1, piece.n, stdout);
    return fflush(stdout) == 0 ? 0 : -errno;
}

static json_t *run_json(const struct session *session, const struct engine_reply *reply)
{
    const struct plan *plan = session->plan;
    const struct engine_proof *proof =
        engine_proofs_find(session->stored, session->running->fingerprint);
    char device[256];
    engine_placement_text(&session->placement, device, sizeof(device));
    json_t *choice = report_json_choice(session->running), *rejected = json_array();
    for (size_t i = 0; i < plan->n_choices; i++) {
        if (plan->choice[i].state == PLAN_REJECTED)
            json_array_append_new(rejected, report_json_choice(&plan->choice[i]));
    }
    json_t *answer = json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:{s:O, s:o}, s:{s:f, s:f, s:f, s:i}, s:o}", "text",
        report_json_str((struct str){reply->text, reply->n}), "backend",
        plan_backend_name(session->running->backend), "device", report_json_text(device), "package",
        report_json_text(session->package->id), "model", report_json_text(session->model), "proof",
        "rungs", json_object_get(choice, "evidence"), "covers",
        proof ? report_json_covers(&proof->covers) : json_null(), "timings", "load_ms",
        session->load_ms, "first_token_ms", reply->first_token_ms, "tokens_per_second",
        reply->tokens_per_second, "tokens", (int)reply->tokens, "rejected", rejected);
    json_decref(choice);
    return answer;
}

static void run_once(struct cli *cli, const char *prompt, unsigned max_tokens)
{
    bool ended_line = true, canary = !cli->request.model;
    struct engine_reply reply;
    json_t *request = cli_engine_request(cli), *messages = json_object_get(request, "messages");
    json_t *message = json_pack("{s:s, s:s}", "role", "user", "content", prompt);
    if (!message)
        cli_die(cli, EINVAL, "the prompt is not UTF-8 text");
    json_array_append_new(messages, message);
    char *CLEAN_FREE text = json_dumps(messages, JSON_COMPACT);
    struct engine_chat chat = {.messages = text,
                               .options = request,
                               .max_tokens = max_tokens,
                               .temperature = canary && !json_object_size(cli->options) ? 0 : -1,
                               .silence_ms = ENGINE_SILENCE_MS,
                               .on_text = cli->json ? NULL : run_on_text,
                               .context = &ended_line,
                               .cancel = &cli_cancelled,
                               .log = &cli->log};
    int result = session_ask(&cli->request, &cli->session, &chat, run_end_line, &reply, &cli->err);
    run_end_line(&ended_line);
    json_decref(request);
    cli_check_bring_up(cli, result);
    if (cli->json)
        cli_print_json(cli, run_json(&cli->session, &reply));
    else if (!cli->quiet)
        cli_tell_choice(&cli->session);
    if (!cli->json && !cli->quiet && canary)
        text_print(stderr, "This was the built-in canary, which knows little but Radeon cards: "
                           "gfxbridge list --available names models to pull.");
    engine_reply_done(&reply);
}

static int run_run(struct cli *cli, const struct cli_args *args)
{
    struct buf CLEAN_BUF prompt = BUF_INIT(RUN_PROMPT_MAX);
    const char *most = args->value[RUN_MAX_TOKENS];
    cli_catch_signals();
    unsigned max_tokens = most ? cli_number(cli, "--max-tokens", most, 1, 1 << 24) : 0;
    bool named = args->n_words && run_find_model(cli, args->word[0]);
    cli_join_words(args, named, &prompt);
    bool chat = prompt.n == 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !cli->json;
    if (!chat)
        run_check_prompt(cli, &prompt);
    cli_read_request(cli, args);
    cli_request_model(cli, &cli->model);
    if (cli->model.origin == MODEL_BUILTIN) /* the engine that proved itself */
        cli->request.model = NULL;
    cli_request_options(cli, named ? args->word[0] : ENGINE_CANARY);
    cli_check_bring_up(cli, session_bring_up(&cli->request, NULL, &cli->session, &cli->err));
    if (chat)
        chat_run(cli, max_tokens);
    else
        run_once(cli, buf_text(&prompt), max_tokens);
    return CLI_DONE;
}

const struct cli_command cli_command_run = {
    .name = "run",
    .words = "[MODEL] [PROMPT...]",
    .summary = "answer one prompt on the best proven path",
    .about = "Plans, installs an engine package when none is there, proves it on this computer, "
             "and answers. MODEL is a name of `list`, or a GGUF file; without it the built-in "
             "canary answers. Without PROMPT standard input is read, or a terminal becomes a chat. "
             "The answer goes to stdout; progress, the path that was taken and the "
             "reason for each better path that was not go to stderr.",
    .options = run_options,
    .live = true,
    .run = run_run,
};
