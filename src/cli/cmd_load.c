/* cmd_load.c - load, unload and stop: calls to the running server. */
#include "cli/cli.h"

enum { LOAD_PIN, LOAD_CONTEXT, LOAD_BACKEND };

static const struct cli_option load_options[] = {
    {"pin", NULL, "keep it loaded until it is unloaded by name"},
    {"context", "TOKENS", "with room for this many tokens in one request"},
    {"backend", "rocm|vulkan|cpu", "on this backend"},
    {NULL, NULL, NULL},
};

/* Asks the server, and tells people what it has done. body NULL: the model's name is no text. */
static int load_ask(struct cli *cli, const char *path, json_t *body, const char *name,
                    const char *done)
{
    if (!body)
        cli_die(cli, GFXB_E_USAGE, "'%s' is no name of a model", name);
    json_t *answer = control_ask(cli, path, body);
    if (cli->json)
        cli_print_json(cli, json_incref(answer));
    else
        text_print(stdout, "%s%s%s", name, name[0] ? " " : "", done);
    return CLI_DONE;
}

static int load_run(struct cli *cli, const struct cli_args *args)
{
    const char *context = args->value[LOAD_CONTEXT], *name = args->word[0];
    json_t *body =
        json_pack("{s:s, s:s*}", "model_name", name, "llamacpp_backend", args->value[LOAD_BACKEND]);
    if (args->value[LOAD_PIN])
        json_object_set_new(body, "pinned", json_true());
    if (context)
        json_object_set_new(
            body, "ctx_size",
            json_integer((json_int_t)cli_number(cli, "--context", context, 1, INT32_MAX)));
    return load_ask(cli, "/api/v1/load", body, name, "is loaded.");
}

const struct cli_command cli_command_load = {
    .name = "load",
    .words = "MODEL",
    .summary = "load a model into the running server",
    .about = "Waits until it is ready to answer. Models load by themselves on first use; this is "
             "for the first answer to come at once.",
    .options = load_options,
    .run = load_run,
};

static int unload_run(struct cli *cli, const struct cli_args *args)
{
    const char *name = args->n_words ? args->word[0] : NULL;
    return load_ask(cli, "/api/v1/unload", json_pack("{s:s*}", "model_name", name),
                    name ? name : "", name ? "is unloaded." : "All models are unloaded.");
}

const struct cli_command cli_command_unload = {
    .name = "unload",
    .words = "[MODEL]",
    .summary = "unload a model of the running server, or all",
    .about = "Answers under way are finished first.",
    .run = unload_run,
};

static int stop_run(struct cli *cli, const struct cli_args *args)
{
    return load_ask(cli, "/internal/stop", json_object(), "",
                    "The server ends: answers under way are finished first.");
}

const struct cli_command cli_command_stop = {
    .name = "stop",
    .summary = "end the running server",
    .about = "Answers under way are finished first, for at most 30 seconds.",
    .run = stop_run,
};
