/* compare.c - `table compare`: another program's tables against ours. */
#include "cli/cli.h"
#include "peer/peer.h"

enum { COMPARE_URL, COMPARE_SOURCE, COMPARE_FILE, COMPARE_REPORT, COMPARE_PATCH };

static json_t *compare_json(const char *name, const struct peer_result *result, size_t claims)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->n; i++) {
        const struct peer_mistake *m = &result->mistake[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "place",
                            report_json_text(m->place), "table", report_json_text(m->table),
                            "subjects", report_json_text(m->subjects), "says",
                            report_json_text(m->says), "right", report_json_text(m->right),
                            "source", report_json_text(m->source), "claims", (int)m->claims));
    }
    return json_pack("{s:o, s:o, s:i, s:i, s:i, s:i, s:o}", "peer", report_json_text(name),
                     "version", report_json_text(result->version), "claims", (int)result->claims,
                     "right", (int)result->right, "wrong", (int)claims, "open", (int)result->open,
                     "mistakes", list);
}

/* Nothing in it ends the cell, the row or the table. */
static void compare_cell(const char *text)
{
    for (const char *c = text; *c; c++) {
        size_t control = text_control(c);
        printf(*c == '|' || *c == '\\' ? "\\%c" : "%c", control ? '?' : *c);
        c += control == 2;
    }
}

/* For an issue in the peer's tracker: a table in Markdown. */
static void compare_report(const char *name, const struct peer_result *result, size_t wrong)
{
    compare_cell(name);
    printf(
        "%s%s: %zu statements about GPUs compared with gfxbridge's tables, %zu wrong, %zu not "
        "known.\n\n| place | table | for | it says | right | source |\n|---|---|---|---|---|---|\n",
        result->version[0] ? " " : "", result->version, result->claims, wrong, result->open);
    for (size_t i = 0; i < result->n; i++) {
        const char *const field[] = {result->mistake[i].place,    result->mistake[i].table,
                                     result->mistake[i].subjects, result->mistake[i].says,
                                     result->mistake[i].right,    result->mistake[i].source};
        for (size_t f = 0; f < sizeof(field) / sizeof(field[0]); f++) {
            fputs(f ? " | " : "| ", stdout);
            compare_cell(field[f]);
        }
        puts(" |");
    }
}

static void compare_text(FILE *out, const char *name, const struct peer_result *result,
                         size_t wrong)
{
    for (size_t i = 0; i < result->n; i++) {
        const struct peer_mistake *m = &result->mistake[i];
        text_print(out, "%s (%s): " TEXT_HANG "%s", m->place, m->table, m->subjects);
        text_print(out, "  it says: " TEXT_HANG "%s", m->says);
        text_print(out, "  right:   " TEXT_HANG "%s " TEXT_FAINT "[%s]" TEXT_END, m->right,
                   m->source);
    }
    text_print(out, "%s%s%s: %zu statements, %zu right, %zu wrong, %zu not known", name,
               result->version[0] ? " " : "", result->version, result->claims, result->right, wrong,
               result->open);
}

/* A terminal would obey what a source text has in it. */
static bool compare_is_safe(const char *patch)
{
    for (const char *c = patch; c && *c; c++) {
        if (*c != '\n' && *c != '\t' && text_control(c))
            return false;
    }
    return true;
}

static void compare_show(struct cli *cli, const struct cli_args *args,
                         const struct peer_result *result)
{
    const char *name = args->word[1];
    size_t wrong = 0;
    for (size_t i = 0; i < result->n; i++)
        wrong += result->mistake[i].claims;
    if (args->value[COMPARE_REPORT])
        compare_report(name, result, wrong);
    else if (cli->json)
        cli_print_json(cli, compare_json(name, result, wrong));
    else
        compare_text(args->value[COMPARE_PATCH] ? stderr : stdout, name, result, wrong);
    if (isatty(STDOUT_FILENO) && !compare_is_safe(result->patch))
        cli_die(cli, GFXB_E_USAGE,
                "the patch has control characters: write it to a file with > NAME");
    if (result->patch)
        fputs(result->patch, stdout);
}

int cli_table_compare(struct cli *cli, const struct cli_args *args)
{
    struct package_net net = cli_package_net(cli);
    struct peer_request request = {
        .name = args->n_words > 1 ? args->word[1] : NULL,
        .url = args->value[COMPARE_URL],
        .dir = args->value[COMPARE_SOURCE],
        .file = args->value[COMPARE_FILE],
        .os = cli->os,
        .net = &net.fetch,
        .cancel = &cli_cancelled,
    };
    bool patch = args->value[COMPARE_PATCH];
    struct peer_result result = {.n = 0};
    if (!request.name || !request.url + !request.dir + !request.file != 2)
        cli_die(cli, GFXB_E_USAGE,
                "table compare needs the name of a program and one of --url, --source, --file");
    if (patch && (!request.dir || cli->json || args->value[COMPARE_REPORT]))
        cli_die(cli, GFXB_E_USAGE,
                "--patch needs --source, and prints the patch alone: no --json, no --report");
    if (request.url && cli->no_network)
        cli_die(cli, GFXB_E_OFFLINE,
                "a server is asked over the network: without it give --source or --file");
    cli_catch_signals();
    int r = peer_compare(cli_tables(cli), &request, patch, &result, &cli->err);
    if (r == 0)
        compare_show(cli, args, &result);
    int code = result.n ? CLI_FAILED : CLI_DONE;
    peer_result_done(&result);
    cli_check(cli, r);
    return code;
}
