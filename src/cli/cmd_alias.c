/* cmd_alias.c - other names of models. */
#include "cli/cli.h"

static void alias_print(json_t *all)
{
    const char *name, *key;
    json_t *own, *value;
    json_object_foreach(all, name, own)
    {
        const char *model = cli_json_text(own, MODEL_OPTION_MODEL);
        struct buf CLEAN_BUF line = BUF_INIT(1 << 20);
        json_object_foreach(own, key, value)
        {
            char *CLEAN_FREE text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
            if (strcmp(key, MODEL_OPTION_MODEL) != 0)
                buf_addf(&line, "%s%s %s", line.n ? ", " : "", key, text ? text : "");
        }
        text_print(stdout, "%s  " TEXT_HANG "%s%s" TEXT_FAINT "%s%s" TEXT_END, name,
                   model[0] ? "stands for " : "", model, model[0] && line.n ? ", with " : "",
                   buf_text(&line));
    }
}

/* {"aliases":[{name, model, options:{}}]} */
static json_t *alias_json(json_t *all)
{
    json_t *list = json_array(), *own;
    const char *name;
    json_object_foreach(all, name, own)
    {
        json_t *options = json_copy(own);
        json_t *model = json_incref(json_object_get(own, MODEL_OPTION_MODEL));
        json_object_del(options, MODEL_OPTION_MODEL);
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:o}", "name", name, "model",
                                        model ? model : json_string(name), "options", options));
    }
    return json_pack("{s:o}", "aliases", list);
}

static void alias_list(struct cli *cli, json_t *all)
{
    if (cli->json)
        cli_print_json(cli, alias_json(all));
    else if (json_object_size(all))
        alias_print(all);
    else if (!cli->quiet)
        text_print(stderr, "There are no aliases: gfxbridge alias NAME MODEL makes one.");
}

static void alias_remove(struct cli *cli, const json_t *all, const char *word)
{
    const char *name = model_options_name(all, word);
    if (!name || !json_object_get(json_object_get(all, name), MODEL_OPTION_MODEL))
        cli_die(cli, ENOENT, "no alias is called %s: gfxbridge alias lists them", word);
    cli_check(cli, engine_model_remove(cli_models(cli), name, NULL, &cli->err));
}

static int alias_run(struct cli *cli, const struct cli_args *args)
{
    const char *name = args->n_words ? args->word[0] : NULL;
    if (args->n_words == 1)
        cli_die(cli, GFXB_E_USAGE, "alias needs two words, NAME MODEL or rm NAME");
    cli_need_data_dir(cli);
    cli_check(cli, model_options_read(cli_models(cli), &cli->answer, &cli->err));
    if (!name) {
        alias_list(cli, cli->answer);
    } else if (strcmp(name, "rm") == 0) {
        alias_remove(cli, cli->answer, args->word[1]);
    } else { /* its options stay */
        const char *same = model_options_name(cli->answer, name);
        cli_check(cli,
                  engine_model_alias(cli_models(cli), name, args->word[1],
                                     same ? json_object_get(cli->answer, same) : NULL, &cli->err));
    }
    return CLI_DONE;
}

const struct cli_command cli_command_alias = {
    .name = "alias",
    .words = "[NAME|rm] [MODEL]",
    .summary = "give a model another name",
    .about = "alias NAME MODEL lets NAME stand for MODEL, everywhere that a model is named: on the "
             "command line and in every API. alias rm NAME removes the name and leaves the model. "
             "Without words it lists the names, with the options that go with them. Ollama's "
             "clients make such names too, with ollama cp and ollama create.",
    .run = alias_run,
};
