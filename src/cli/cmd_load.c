/* cmd_load.c - load, unload and stop: calls to the running server. */
#include "cli/request.h"

enum { LOAD_PIN, LOAD_CONTEXT, LOAD_BACKEND };

static const struct cli_option load_options[] = {
    {"pin", NULL, "keep it loaded until it is unloaded by name"},
    {"context", "TOKENS", "with room for so many tokens"},
    {"backend", "rocm|vulkan|cpu", "on this backend"},
    {NULL, NULL, NULL},
};

static int load_request(const struct cli_args *args, json_t **ret_body, struct gfxb_error *err)
{
    uint64_t context;
    json_t *body = json_pack("{s:s}", "model_name", args->word[0]);
    if (!body)
        return error_set(err, GFXB_E_USAGE, "'%s' is no name of a model", args->word[0]);
    if (args->value[LOAD_PIN])
        json_object_set_new(body, "pinned", json_true());
    if (args->value[LOAD_BACKEND])
        json_object_set_new(body, "llamacpp_backend", json_string(args->value[LOAD_BACKEND]));
    *ret_body = body;
    if (!args->value[LOAD_CONTEXT])
        return 0;
    if (str_to_u64(str_from(args->value[LOAD_CONTEXT]), 10, &context) == 0 && context &&
        context <= INT32_MAX) {
        json_object_set_new(body, "ctx_size", json_integer((json_int_t)context));
        return 0;
    }
    json_decref(body);
    return error_set(err, GFXB_E_USAGE, "--context is a number from 1 on, not '%s'",
                     args->value[LOAD_CONTEXT]);
}

static int load_tell(const struct cli *cli, json_t *answer, const char *done, const char *name,
                     struct gfxb_error *err)
{
    if (cli->json)
        return cli_print_json(answer, err);
    json_decref(answer);
    text_print(stdout, "%s%s%s", name ? name : "", name ? " " : "", done);
    return CLI_DONE;
}

static int load_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    json_t *body = NULL, *answer;
    int result = load_request(args, &body, err);
    if (result == 0)
        result = control_ask(cli, "/api/v1/load", body, &answer, err);
    return result < 0 ? result : load_tell(cli, answer, "is loaded.", args->word[0], err);
}

const struct cli_command cli_command_load = {
    .name = "load",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "load a model into the running server",
    .about = "Waits until it is ready to answer. Models load by themselves on first use; this is "
             "for the first answer to come at once.",
    .options = load_options,
    .run = load_run,
};

static const struct cli_option unload_options[] = {{NULL, NULL, NULL}};

static int unload_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    json_t *answer;
    json_t *body = args->n_words ? json_pack("{s:s}", "model_name", args->word[0]) : json_object();
    if (!body)
        return error_set(err, GFXB_E_USAGE, "'%s' is no name of a model", args->word[0]);
    int result = control_ask(cli, "/api/v1/unload", body, &answer, err);
    if (result < 0)
        return result;
    return load_tell(cli, answer, args->n_words ? "is unloaded." : "All models are unloaded.",
                     args->n_words ? args->word[0] : NULL, err);
}

const struct cli_command cli_command_unload = {
    .name = "unload",
    .words = "[MODEL]",
    .max_words = 1,
    .summary = "unload a model of the running server, or all",
    .about = "Answers under way are finished first.",
    .options = unload_options,
    .run = unload_run,
};
