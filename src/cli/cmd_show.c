/* cmd_show.c - what a model is, and how it would be started. */
#include "cli/cli.h"

static const struct cli_option show_options[] = {
    CLI_REQUEST_OPTIONS,
    {NULL, NULL, NULL},
};

static void show_text(const char *what, const char *text)
{
    if (text && *text)
        printf("%-14s %s\n", what, text);
}

/* What a file's header says, into *json; NULL: for people, as far as it has a label. */
static void show_header(const struct gguf *g, json_t *json)
{
    const struct {
        const char *name, *label, *text;
        uint64_t number; /* where text is NULL; 0 unknown */
    } rows[] = {
        {"architecture", "architecture", g->architecture, 0},
        {"name", NULL, g->name, 0},
        {"quantisation", "quantisation", g->quantisation, 0},
        {"parameters", NULL, NULL, g->parameters},
        {"bytes", NULL, NULL, g->bytes},
        {"tensors", NULL, NULL, g->tensors},
        {"parts", NULL, NULL, g->parts},
        {"context", "context", NULL, g->context},
        {"layers", "layers", NULL, g->layers},
        {"embedding", NULL, NULL, g->embedding},
        {"feed_forward", NULL, NULL, g->feed_forward},
        {"heads", "heads", NULL, g->heads},
        {"heads_kv", "KV heads", NULL, g->heads_kv},
        {"key_length", NULL, NULL, g->key_length},
        {"value_length", NULL, NULL, g->value_length},
        {"sliding_window", "window", NULL, g->sliding_window},
        {"experts", "experts", NULL, g->experts},
        {"experts_used", NULL, NULL, g->experts_used},
        {"vocabulary", "vocabulary", NULL, g->vocabulary},
        {"tokenizer", NULL, g->tokenizer, 0},
        {"template", NULL, g->template, 0},
        {"licence", NULL, g->licence, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (json)
            json_object_set_new(json, rows[i].name,
                                rows[i].text ? report_json_text(rows[i].text)
                                             : report_json_bytes(rows[i].number));
        else if (rows[i].label && rows[i].text)
            show_text(rows[i].label, rows[i].text);
        else if (rows[i].label && rows[i].number)
            printf("%-14s %llu\n", rows[i].label, (unsigned long long)rows[i].number);
    }
}

static void show_model_text(const struct model *m, const struct gguf *g)
{
    show_text("name", m->name);
    show_text("file", m->path);
    show_text("projector", m->mmproj);
    show_text("origin", model_origin_name(m->origin));
    show_text("ours", m->ours ? "yes: gfxbridge rm deletes it" : "no: it stays as it is");
    show_text("repository", m->repository);
    show_text("commit", m->revision);
    show_text("size", report_known_bytes(m->bytes).text);
    show_text("task", model_task_name(m->task));
    show_text("labels", m->labels);
    show_text("licence", m->licence);
    show_header(g, NULL);
    if (g->parameters)
        printf("%-14s %.2f billion\n", "parameters", (double)g->parameters / 1e9);
    show_text("template", g->template ? "in the file" : "none in the file");
}

/* A name of the short list that is not here: what a pull would bring. */
static void show_available(struct cli *cli, const struct model_known *row)
{
    if (cli->json)
        cli_print_json(cli, json_pack("{s:n, s:o}", "model", "available", report_json_known(row)));
    else
        printf("%.*s is not here; gfxbridge pull %.*s brings %s from %.*s (licence %.*s)\n",
               STR_ARG(row->name), STR_ARG(row->name), report_known_bytes(row->bytes).text,
               STR_ARG(row->repository), STR_ARG(row->licence));
}

/* The choice that would be taken; NULL where nothing can be used. */
static const struct plan_choice *show_choice(const struct session *session)
{
    return session->plan->chosen < 0 ? NULL : &session->plan->choice[session->plan->chosen];
}

static json_t *show_launch_json(const struct session *session)
{
    const struct plan_choice *c = show_choice(session);
    const char **CLEAN_FREE args = c ? model_use_args(session->use, c) : NULL;
    const json_t *tuned = c ? session_tuned_for(session, c->fingerprint) : NULL;
    return json_pack("{s:o, s:o, s:o, s:O?}", "recipes",
                     report_json_text(session->use->launch.recipes), "command_line",
                     report_json_strings((char *const *)args), "choice",
                     c ? report_json_choice(c) : json_null(), "tuned", tuned);
}

static void show_launch_text(const struct session *session)
{
    const struct plan_choice *c = show_choice(session);
    struct buf CLEAN_BUF line = BUF_INIT(16384);
    const char **CLEAN_FREE args = c ? model_use_args(session->use, c) : NULL;
    show_text("recipe", session->use->launch.recipes);
    if (!c) {
        show_text("runs here", session->plan->n_choices ? session->plan->choice[0].reason : "no");
        return;
    }
    for (size_t i = 0; args[i]; i++)
        buf_addf(&line, "%s%s", i ? " " : "", args[i]);
    printf("%-14s %s%s%s, context %u, requests at a time %u\n", "runs here on",
           plan_backend_name(c->backend), c->gfx ? " " : "", c->gfx ? c->gfx : "", c->context,
           c->slots);
    show_text("arguments", buf_text(&line));
    const json_t *tuned = session_tuned_for(session, c->fingerprint), *one;
    size_t k;
    json_array_foreach(tuned, k, one) show_text(k ? "" : "tuned", json_string_value(one));
    show_text("as on the CPU", c->model_check ? c->model_check : "not tested: gfxbridge verify");
}

static int show_run(struct cli *cli, const struct cli_args *args)
{
    const struct model *model = &cli->model;
    const struct model_known *row = model_known_find(str_from(args->word[0]));
    struct session_request *request = cli_read_request(cli, args);
    int result = engine_model_find(cli_models(cli), args->word[0], &cli->model, &cli->err);
    if (result == -GFXB_E_MODEL_UNKNOWN && row) {
        show_available(cli, row);
        return CLI_DONE;
    }
    cli_check(cli, result);
    cli_request_model(cli, model);
    cli_request_served(cli);
    request->request.need_bytes = model->bytes;
    cli_plan(cli);
    if (cli->json) {
        json_t *header = json_object();
        show_header(&cli->session.use->gguf, header);
        cli_print_json(cli, json_pack("{s:o, s:o, s:o}", "model", report_json_model(model),
                                      "header", header, "launch", show_launch_json(&cli->session)));
    } else {
        show_model_text(model, &cli->session.use->gguf);
        show_launch_text(&cli->session);
    }
    return CLI_DONE;
}

const struct cli_command cli_command_show = {
    .name = "show",
    .words = "MODEL",
    .summary = "what a model is, whose it is, and how it is run here",
    .about = "From the file's own header: architecture, size, context, layers, quantisation, "
             "template; and the engine's arguments on the path that would be taken. MODEL is a "
             "name of `list` or a GGUF file; of a listed one that is not here it says what a pull "
             "would bring.",
    .options = show_options,
    .run = show_run,
};
