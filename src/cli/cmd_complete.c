/*
 * cmd_complete.c - what the shells' completion asks (dist/completion/): the candidates for the last
 * of these words, one a line, behind a tab what it means. The line ":file" or ":dir" asks the shell
 * for its own files or directories too. Not in --help: nobody types it.
 */
#include "cli/cli.h"
#include "node/node.h"

/* The words so far; the last one, cur, is being typed. */
struct complete {
    struct cli *cli;
    const struct cli_command *command; /* NULL: not typed yet */
    struct str cur;
    size_t position; /* of cur among the command's words, options left out */
};

static void complete_offer(const struct complete *c, struct str candidate, const char *meaning)
{
    if (str_starts(candidate, c->cur))
        printf("%.*s\t%s\n", STR_ARG(candidate), meaning ? meaning : "");
}

static void complete_pci(const struct complete *c)
{
    const struct machine *m = cli_machine(c->cli);
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct gfx_card *card = m->gpu[i].card;
        char *CLEAN_FREE name = card ? xstr_dup(gfx_card_name(card)) : NULL;
        if (m->gpu[i].pci[0])
            complete_offer(c, str_from(m->gpu[i].pci), name);
    }
}

/* Alternatives themselves ("linux|windows"), not a name for them ("FILE"). */
static bool complete_is_literal(struct str word)
{
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] >= 'A' && word.p[i] <= 'Z')
            return false;
    }
    return word.n > 0;
}

static void complete_backends(const struct complete *c)
{
    struct gfx_engine engine;
    for (size_t i = 0; gfx_engine_at(i / PLAN_BACKENDS, &engine); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s:%s", STR_ARG(engine.name),
                 plan_backend_name((enum plan_backend)(i % PLAN_BACKENDS)));
        complete_offer(c, str_from(name), NULL);
    }
}

static void complete_nodes(const struct complete *c)
{
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    if (node_peers_read(c->cli->config_dir, peers, NULL) < 0)
        return;
    for (size_t i = 0; i < peers->n; i++)
        complete_offer(c, str_from(peers->peer[i].name), peers->peer[i].address);
}

static void complete_models_here(const struct complete *c)
{
    struct model_list list;
    engine_model_list_new(cli_models(c->cli), &list);
    for (size_t i = 0; i < list.n; i++)
        complete_offer(c, str_from(model_shown(&list.item[i])), model_task_name(list.item[i].task));
    model_list_done(&list);
}

static void complete_models_known(const struct complete *c)
{
    const struct model_knowns *all = model_knowns();
    for (size_t i = 0; i < all->n; i++) {
        char *CLEAN_FREE labels = xstr_dup(all->item[i].labels);
        complete_offer(c, all->item[i].name, labels);
    }
}

static void complete_agents(const struct complete *c)
{
    struct str agent, program;
    for (size_t i = 0; launch_agent_at(c->cli, i, &agent, &program); i++) {
        char *CLEAN_FREE name = xstr_dup(program);
        complete_offer(c, agent, name);
    }
}

/* What is here, but for pull, which wants what is not; what could be pulled is also shown and
 * planned for; what is read as a file where it lies may be any file. */
static void complete_models(const struct complete *c)
{
    bool pull = c->command == &cli_command_pull;
    bool describes = c->command == &cli_command_show || c->command == &cli_command_plan;
    if (!pull)
        complete_models_here(c);
    if (pull || describes)
        complete_models_known(c);
    if (describes || c->command == &cli_command_run)
        puts(":file");
}

/* By the name that help has for a value: "PCI", "DIR|FILE.machine", "rocm|vulkan". */
static void complete_value(const struct complete *c, struct str value)
{
    struct str piece;
    while (str_cut(&value, '|', &piece)) {
        if (complete_is_literal(piece))
            complete_offer(c, piece, NULL);
        else if (str_is(piece, "PCI"))
            complete_pci(c);
        else if (str_is(piece, "KIND:BACKEND"))
            complete_backends(c);
        else if (str_is(piece, "MODEL"))
            complete_models(c);
        else if (str_is(piece, "AGENT"))
            complete_agents(c);
        else if (str_is(piece, "NODE"))
            complete_nodes(c);
        else if (str_is(piece, "DIR"))
            puts(":dir");
        else if (str_starts(piece, STR("FILE")) || str_is(piece, "PATH"))
            puts(":file");
    }
}

/* "[list|install] [FILE]": the names of the word at this position; the last one may repeat. */
static struct str complete_word_value(struct str words, size_t position)
{
    struct str word = STR_NONE, last = STR_NONE;
    for (size_t i = 0; i <= position && str_word(&words, &word); i++)
        last = word;
    bool repeats = str_ends(last, STR("...")) || str_ends(last, STR("...]"));
    if (word.p != last.p && !repeats)
        return STR_NONE;
    while (last.n && strchr("[(", last.p[0])) {
        last.p++;
        last.n--;
    }
    while (last.n && strchr(").]", last.p[last.n - 1]))
        last.n--;
    return last;
}

static const struct cli_option *complete_find_option(const struct cli_option *options,
                                                     struct str name)
{
    for (; options && options->name; options++) {
        if (str_is(name, options->name))
            return options;
    }
    return NULL;
}

/* The option that this word is and that takes the next word as its value; NULL none. */
static const struct cli_option *complete_awaits(const struct complete *c, const char *word)
{
    struct str name = str_from(word);
    if (!str_starts(name, STR("--")) || strchr(word, '='))
        return NULL;
    name = (struct str){name.p + 2, name.n - 2};
    const struct cli_option *o = complete_find_option(cli_globals, name);
    if (!o && c->command)
        o = complete_find_option(c->command->options, name);
    return o && o->value ? o : NULL;
}

static void complete_options(const struct complete *c, const struct cli_option *options)
{
    for (; options && options->name; options++) {
        char name[64];
        snprintf(name, sizeof(name), "--%s", options->name);
        complete_offer(c, str_from(name), options->help);
    }
}

static void complete_commands(const struct complete *c)
{
    for (const struct cli_command *const *command = cli_commands; *command; command++)
        complete_offer(c, str_from((*command)->name), (*command)->summary);
}

static int complete_run(struct cli *cli, const struct cli_args *args)
{
    struct complete c = {.cli = cli};
    const struct cli_option *awaited = NULL;
    if (args->n_words == 0)
        return CLI_DONE;
    c.cur = str_from(args->word[args->n_words - 1]);
    for (size_t i = 0; i + 1 < args->n_words; i++) {
        const char *word = args->word[i];
        const struct cli_option *value_of = awaited;
        awaited = value_of ? NULL : complete_awaits(&c, word);
        if (value_of || word[0] == '-')
            continue;
        if (c.command)
            c.position++;
        else if (!(c.command = cli_find_command(word)))
            return CLI_DONE;
    }
    if (awaited) {
        complete_value(&c, str_from(awaited->value));
    } else if (str_starts(c.cur, STR("-"))) {
        complete_options(&c, c.command ? c.command->options : NULL);
        complete_options(&c, cli_globals);
    } else if (c.command) {
        complete_value(&c, complete_word_value(str_from(c.command->words), c.position));
    } else {
        complete_commands(&c);
    }
    return CLI_DONE;
}

const struct cli_command cli_command_complete = {
    .name = "complete",
    .words = "[WORD...]",
    .summary = "candidates for the shells' completion",
    .about = "Prints what may stand for the last WORD: for the completion of bash, zsh and fish.",
    .run = complete_run,
};
