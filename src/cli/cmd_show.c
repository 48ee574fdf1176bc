/* cmd_show.c - what a model is, and how it would be started. */
#include "cli/request.h"
#include "session/session.h"

static const struct cli_option show_options[] = {
    CLI_REQUEST_OPTIONS,
    {NULL, NULL, NULL},
};

static json_t *show_header_json(const struct gguf *g)
{
    json_t *object = json_object();
    json_object_set_new(object, "architecture", report_json_text(g->architecture));
    json_object_set_new(object, "name", report_json_text(g->name));
    json_object_set_new(object, "quantisation", report_json_text(g->quantisation));
    json_object_set_new(object, "parameters", report_json_bytes(g->parameters));
    json_object_set_new(object, "bytes", report_json_bytes(g->bytes));
    json_object_set_new(object, "tensors", report_json_bytes(g->tensors));
    json_object_set_new(object, "parts", json_integer(g->parts));
    json_object_set_new(object, "context", report_json_bytes(g->context));
    json_object_set_new(object, "layers", report_json_bytes(g->layers));
    json_object_set_new(object, "embedding", report_json_bytes(g->embedding));
    json_object_set_new(object, "feed_forward", report_json_bytes(g->feed_forward));
    json_object_set_new(object, "heads", report_json_bytes(g->heads));
    json_object_set_new(object, "heads_kv", report_json_bytes(g->heads_kv));
    json_object_set_new(object, "key_length", report_json_bytes(g->key_length));
    json_object_set_new(object, "value_length", report_json_bytes(g->value_length));
    json_object_set_new(object, "sliding_window", report_json_bytes(g->sliding_window));
    json_object_set_new(object, "experts", report_json_bytes(g->experts));
    json_object_set_new(object, "experts_used", report_json_bytes(g->experts_used));
    json_object_set_new(object, "vocabulary", report_json_bytes(g->vocabulary));
    json_object_set_new(object, "tokenizer", report_json_text(g->tokenizer));
    json_object_set_new(object, "template", report_json_text(g->template));
    json_object_set_new(object, "licence", report_json_text(g->licence));
    return object;
}

static void show_number(const char *what, uint64_t number)
{
    if (number)
        printf("%-14s %llu\n", what, (unsigned long long)number);
}

static void show_text(const char *what, const char *text)
{
    if (text && *text)
        printf("%-14s %s\n", what, text);
}

static void show_model_text(const struct model *m, const struct gguf *g)
{
    char size[32];
    report_bytes_text(m->bytes, size, sizeof(size));
    show_text("name", m->name);
    show_text("file", m->path);
    show_text("projector", m->mmproj);
    show_text("origin", model_origin_name(m->origin));
    show_text("ours", m->ours ? "yes: gfxbridge rm deletes it" : "no: it stays as it is");
    show_text("repository", m->repository);
    show_text("commit", m->revision);
    show_text("size", size);
    show_text("task", model_task_name(m->task));
    show_text("labels", m->labels);
    show_text("licence", m->licence);
    show_text("architecture", g->architecture);
    show_text("quantisation", g->quantisation);
    if (g->parameters)
        printf("%-14s %.2f billion\n", "parameters", (double)g->parameters / 1e9);
    show_number("context", g->context);
    show_number("layers", g->layers);
    show_number("heads", g->heads);
    show_number("KV heads", g->heads_kv);
    show_number("window", g->sliding_window);
    show_number("experts", g->experts);
    show_number("vocabulary", g->vocabulary);
    show_text("template", g->template ? "in the file" : "none in the file");
}

/* A name of the short list that is not here: what a pull would bring. */
static int show_available(struct cli *cli, const char *name, struct gfxb_error *err)
{
    int result = -err->code;
    const struct model_known *row = model_known_find(str_from(name));
    if (row && cli->json) {
        result = cli_print_json(
            json_pack("{s:n, s:o}", "model", "available", report_json_known(row)), err);
    } else if (row) {
        char size[32];
        report_bytes_text(row->bytes, size, sizeof(size));
        printf("%.*s is not here; gfxbridge pull %.*s brings %s from %.*s (licence %.*s)\n",
               STR_ARG(row->name), STR_ARG(row->name), size, STR_ARG(row->repository),
               STR_ARG(row->licence));
        result = 0;
    }
    return result;
}

/* The engine's arguments on the choice that would be taken; "null" where nothing can be used. */
static json_t *show_launch_json(const struct session *session)
{
    const struct plan *plan = session->plan;
    const struct plan_choice *c = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    const char **args = c ? model_use_args(session->use, c) : NULL;
    json_t *words = json_array();
    for (size_t i = 0; args && args[i]; i++)
        json_array_append_new(words, report_json_text(args[i]));
    free(args);
    json_t *object = json_object();
    json_object_set_new(object, "recipes", report_json_text(session->use->launch.recipes));
    json_object_set_new(object, "command_line", words);
    json_object_set_new(object, "choice", c ? report_json_choice(c) : json_null());
    return object;
}

static void show_launch_text(const struct session *session)
{
    const struct plan *plan = session->plan;
    const struct plan_choice *c = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    struct buf CLEAN_BUF line = BUF_INIT(16384);
    const char **args = c ? model_use_args(session->use, c) : NULL;
    show_text("recipe", session->use->launch.recipes);
    if (!c) {
        show_text("runs here", plan->n_choices ? plan->choice[0].reason : "no");
        return;
    }
    for (size_t i = 0; args && args[i]; i++)
        buf_addf(&line, "%s%s", i ? " " : "", args[i]);
    free(args);
    printf("%-14s %s%s%s, context %u\n", "runs here on", plan_backend_name(c->backend),
           c->gfx ? " " : "", c->gfx ? c->gfx : "", c->context);
    show_text("arguments", buf_text(&line));
}

static int show_model(struct cli *cli, struct session_request *request, const struct model *model,
                      struct gfxb_error *err)
{
    struct session session = {0};
    request->model = model->path;
    request->mmproj = model->mmproj;
    request->known = model_known_find(str_from(model->name));
    request->request.need_bytes = model->bytes;
    int result = session_plan(request, &session, err);
    if (result == 0 && cli->json) {
        result = cli_print_json(json_pack("{s:o, s:o, s:o}", "model", report_json_model(model),
                                          "header", show_header_json(&session.use->gguf), "launch",
                                          show_launch_json(&session)),
                                err);
    } else if (result == 0) {
        show_model_text(model, &session.use->gguf);
        show_launch_text(&session);
    }
    session_done(&session);
    return result;
}

static int show_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct session_request request;
    struct model model;
    int result = cli_session_request(cli, args, &request, err);
    if (result == 0)
        result = cli_find_model(cli, args->word[0], &model, err);
    if (result == -GFXB_E_MODEL_UNKNOWN)
        return show_available(cli, args->word[0], err);
    if (result < 0)
        return result;
    result = show_model(cli, &request, &model, err);
    model_done(&model);
    return result;
}

const struct cli_command cli_command_show = {
    .name = "show",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "what a model is, whose it is, and how it is run here",
    .about = "From the file's own header: architecture, size, context, layers, quantisation, "
             "template; and the engine's arguments on the path that would be taken. MODEL is a "
             "name of `list` or a GGUF file; of a listed one that is not here it says what a pull "
             "would bring.",
    .options = show_options,
    .run = show_run,
};
