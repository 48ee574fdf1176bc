/* cmd_run.c - answers a prompt on the best path that is proven here. */
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>

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

/* 1: the first word is a model, *ret_model; 0: it belongs to the prompt. */
static int run_find_model(struct cli *cli, const char *word, struct model *ret_model,
                          struct gfxb_error *err)
{
    bool is_path =
        str_ends(str_from(word), STR(".gguf")) || (strchr(word, '/') && access(word, F_OK) == 0);
    if (strpbrk(word, " \t\n") && !is_path)
        return 0;
    int result = cli_find_model(cli, word, ret_model, err);
    bool is_unknown = result == -GFXB_E_MODEL_UNKNOWN || result == -EINVAL || result == -ENOENT;
    if (is_unknown && !run_is_model_form(word) && !run_is_slip(word))
        return 0;
    return result < 0 ? result : 1;
}

static int run_read_stdin(struct buf *prompt, struct gfxb_error *err)
{
    if (isatty(STDIN_FILENO))
        return error_set(err, GFXB_E_USAGE,
                         "a prompt is missing: gfxbridge run \"your question\", or give it on "
                         "standard input");
    for (;;) {
        char *room = buf_room(prompt, 65536);
        ssize_t n = room ? read(STDIN_FILENO, room, 65536) : -1;
        if (!room)
            return error_set(err, GFXB_E_USAGE,
                             "the prompt on standard input is larger than 4 MiB");
        if (n < 0 && errno == EINTR && !cli_cancelled)
            continue;
        if (n < 0 && errno == EINTR)
            return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
        if (n < 0)
            return error_set(err, errno, "cannot read the prompt: %s", error_errno_text(errno));
        if (n == 0)
            return 0;
        buf_grew(prompt, (size_t)n);
    }
}

/* *ret_chat: may it be a chat? and then: is it one, as no prompt was given? */
static int run_read_words(struct cli *cli, const struct cli_args *args, struct model *model,
                          struct buf *prompt, bool *ret_chat, struct gfxb_error *err)
{
    size_t i = 0;
    if (args->n_words) {
        int result = run_find_model(cli, args->word[0], model, err);
        if (result < 0)
            return result;
        i = (size_t)result;
    }
    for (bool first = true; i < args->n_words; i++, first = false)
        buf_addf(prompt, "%s%s", first ? "" : " ", args->word[i]);
    if (prompt->n == 0 && *ret_chat)
        return 0;
    *ret_chat = false;
    int result = prompt->n ? 0 : run_read_stdin(prompt, err);
    if (result < 0)
        return result;
    if (!buf_ok(prompt))
        return error_set(err, GFXB_E_USAGE, "the prompt is larger than 4 MiB");
    if (prompt->n && memchr(prompt->p, '\0', prompt->n))
        return error_set(err, GFXB_E_USAGE, "the prompt holds a NUL byte: give text");
    if (str_trim(buf_view(prompt)).n == 0)
        return error_set(err, GFXB_E_USAGE, "the prompt is empty: ask something");
    return 0;
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

/* What the stored proof of the running choice reached; null where there is none. */
static json_t *run_covers(const struct session *session)
{
    const struct engine_proof *proof =
        engine_proofs_find(session->stored, session->running->fingerprint);
    return proof ? report_json_covers(&proof->covers) : json_null();
}

static int run_print_json(const struct session *session, const struct engine_reply *reply,
                          struct gfxb_error *err)
{
    char device[256];
    engine_placement_text(&session->placement, device, sizeof(device));
    json_t *choice = report_json_choice(session->running);
    json_t *answer = json_object();
    json_object_set_new(answer, "text", report_json_str((struct str){reply->text, reply->n}));
    json_object_set_new(answer, "backend",
                        json_string(plan_backend_name(session->running->backend)));
    json_object_set_new(answer, "device", report_json_text(device));
    json_object_set_new(answer, "package", report_json_text(session->package->id));
    json_object_set_new(answer, "model", report_json_text(session->model));
    json_object_set_new(answer, "proof",
                        json_pack("{s:O, s:o}", "rungs", json_object_get(choice, "evidence"),
                                  "covers", run_covers(session)));
    json_object_set_new(answer, "timings",
                        json_pack("{s:f, s:f, s:f, s:i}", "load_ms", session->load_ms,
                                  "first_token_ms", reply->first_token_ms, "tokens_per_second",
                                  reply->tokens_per_second, "tokens", (int)reply->tokens));
    json_t *rejected = json_array();
    for (size_t i = 0; i < session->plan->n_choices; i++) {
        if (session->plan->choice[i].state == PLAN_REJECTED)
            json_array_append_new(rejected, report_json_choice(&session->plan->choice[i]));
    }
    json_object_set_new(answer, "rejected", rejected);
    json_decref(choice);
    return cli_print_json(answer, err);
}

static void run_tell(const struct session *session, bool canary)
{
    cli_tell_choice(session);
    if (canary)
        text_print(stderr, "This was the built-in canary, which knows little but Radeon cards: "
                           "gfxbridge list --available names models to pull.");
}

static int run_once(const struct cli *cli, const struct session_request *request,
                    struct session *session, const char *prompt, unsigned max_tokens,
                    struct gfxb_error *err)
{
    bool ended_line = true;
    struct engine_reply reply;
    struct engine_chat chat = {.prompt = prompt,
                               .max_tokens = max_tokens,
                               .temperature = request->model ? -1 : 0,
                               .silence_ms = ENGINE_SILENCE_MS,
                               .on_text = cli->json ? NULL : run_on_text,
                               .context = &ended_line,
                               .cancel = &cli_cancelled,
                               .log = &cli->log};
    int result = session_ask(request, session, &chat, run_end_line, &reply, err);
    run_end_line(&ended_line);
    if (result < 0)
        return cli_nowhere(cli, session, result, err);
    if (cli->json)
        result = run_print_json(session, &reply, err);
    else if (!cli->quiet)
        run_tell(session, request->model == NULL);
    engine_reply_done(&reply);
    return result;
}

static int run_max_tokens(const struct cli_args *args, unsigned *ret_tokens, struct gfxb_error *err)
{
    const char *text = args->value[RUN_MAX_TOKENS];
    uint64_t number = 0;
    if (text && (str_to_u64(str_from(text), 10, &number) < 0 || number == 0 || number > 1u << 24))
        return error_set(err, GFXB_E_USAGE, "--max-tokens is a number from 1 on, not '%s'", text);
    *ret_tokens = (unsigned)number;
    return 0;
}

static int run_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct session_request request;
    struct buf CLEAN_BUF prompt = BUF_INIT(RUN_PROMPT_MAX);
    unsigned max_tokens = 0;
    struct model model = {.name = NULL};
    bool chat = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !cli->json;
    cli_catch_signals();
    int result = run_max_tokens(args, &max_tokens, err);
    if (result == 0)
        result = run_read_words(cli, args, &model, &prompt, &chat, err);
    if (result == 0)
        result = cli_session_request(cli, args, &request, err);
    if (result < 0) {
        model_done(&model);
        return result;
    }
    struct session session = {0};
    bool canary = !model.name || model.origin == MODEL_BUILTIN; /* the engine that proved itself */
    request.model = canary ? NULL : model.path;
    request.mmproj = model.mmproj;
    request.known = model.name ? model_known_find(str_from(model.name)) : NULL;
    result = session_bring_up(&request, NULL, &session, err);
    if (result < 0)
        result = cli_nowhere(cli, &session, result, err);
    else if (chat)
        result = chat_run(cli, &request, &session, max_tokens, err);
    else
        result = run_once(cli, &request, &session, buf_text(&prompt), max_tokens, err);
    session_done(&session);
    model_done(&model);
    return result;
}

const struct cli_command cli_command_run = {
    .name = "run",
    .words = "[MODEL] [PROMPT...]",
    .max_words = SIZE_MAX,
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
