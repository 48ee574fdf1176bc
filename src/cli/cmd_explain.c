#include "cli/answer.h"
#include "cli/text.h"

#include <errno.h>

/* What was found for a query, or in this computer: cards (several revisions may match) and the
 * targets to be answered for. */
struct explain {
    const struct gfx_card **card;
    size_t n_cards;
    struct answer *answer;
    size_t n_answers;
    bool ambiguous;
};

static void explain_done(struct explain *e)
{
    for (size_t i = 0; i < e->n_answers; i++)
        answer_done(&e->answer[i]);
    free(e->answer);
    free(e->card);
}

static int explain_add_card(struct explain *e, const struct gfx_card *card)
{
    const struct gfx_card **grown = reallocarray(e->card, e->n_cards + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    e->card = grown;
    e->card[e->n_cards++] = card;
    return 0;
}

/* One answer a target; NULL is the answer of cards that have none. */
static int explain_add_answer(const struct cli *cli, struct explain *e,
                              const struct gfx_target *target, const struct gfx_card *card,
                              struct gfxb_error *err)
{
    for (size_t i = 0; i < e->n_answers; i++) {
        if (e->answer[i].target == target)
            return 0;
    }
    struct answer *grown = reallocarray(e->answer, e->n_answers + 1, sizeof(*grown));
    if (!grown)
        return error_set(err, ENOMEM, "out of memory");
    e->answer = grown;
    int result = answer_init(cli->tables, cli->os, target, card, &grown[e->n_answers], err);
    if (result == 0)
        e->n_answers++;
    return result;
}

static int explain_query(const struct cli *cli, const char *text, struct explain *e,
                         struct gfxb_error *err)
{
    struct gfx_query *query;
    int result = gfx_query_new(cli->tables, text, &query, err);
    if (result < 0)
        return result;
    e->ambiguous = query->ambiguous;
    for (size_t i = 0; i < query->n_cards && result == 0; i++) {
        const struct gfx_card *card = query->card[i];
        result = explain_add_card(e, card) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
        if (result == 0)
            result = explain_add_answer(cli, e, gfx_target_find(cli->tables, gfx_card_gfx(card)),
                                        card, err);
    }
    for (size_t i = 0; i < query->n_targets && result == 0; i++)
        result = explain_add_answer(cli, e, query->target[i], NULL, err);
    gfx_query_free(query);
    return result;
}

static int explain_machine(struct cli *cli, struct explain *e, struct gfxb_error *err)
{
    const struct machine *m;
    int result = cli_machine(cli, &m, err);
    bool any = false;
    for (size_t i = 0; result == 0 && i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        if (gpu->vendor != 0x1002 && !gpu->target)
            continue;
        any = true;
        if (gpu->card && explain_add_card(e, gpu->card) < 0)
            result = error_set(err, ENOMEM, "out of memory");
        if (result == 0)
            result = explain_add_answer(cli, e, gpu->target, gpu->card, err);
    }
    if (result == 0 && !any)
        result =
            error_set(err, GFXB_E_NO_GPU,
                      "no AMD GPU was found in this computer: gfxbridge explain NAME answers for a "
                      "card by its name");
    return result;
}

static json_t *explain_card_json(const struct gfx_card *card)
{
    json_t *object = json_object();
    json_object_set_new(object, "device_id", json_sprintf("%04x", card->device));
    json_object_set_new(object, "revision",
                        card->revision < 0 ? json_null()
                                           : json_sprintf("%02x", (unsigned)card->revision));
    json_object_set_new(object, "name", report_json_str(gfx_card_name(card)));
    json_object_set_new(object, "asic", report_json_str(gfx_card_asic(card)));
    json_object_set_new(object, "gfx", report_json_str(gfx_card_gfx(card)));
    json_object_set_new(object, "generation", report_json_str(gfx_card_generation(card)));
    json_object_set_new(object, "kind", report_json_text(machine_kind_name(card->kind)));
    json_object_set_new(object, "confidence", report_json_str(gfx_card_confidence(card)));
    json_object_set_new(object, "source", report_json_str(gfx_card_source(card)));
    return object;
}

static int explain_json(const struct cli *cli, const char *query, const struct explain *e,
                        struct gfxb_error *err)
{
    json_t *matches = json_array(), *answers = json_array();
    for (size_t i = 0; i < e->n_cards; i++)
        json_array_append_new(matches, explain_card_json(e->card[i]));
    for (size_t i = 0; i < e->n_answers; i++)
        json_array_append_new(answers, answer_json(cli->tables, cli->os, &e->answer[i]));
    json_t *object = json_object();
    json_object_set_new(object, "query", report_json_text(query));
    json_object_set_new(object, "matches", matches);
    json_object_set_new(object, "ambiguous", json_boolean(e->ambiguous));
    json_object_set_new(object, "answers", answers);
    return cli_print_json(object, err);
}

/* The cards of one answer on one line; a family has too many to name them all. */
static void explain_cards_text(const struct explain *e, const struct answer *a)
{
    enum { SHOWN = 4 };
    size_t n = 0;
    struct str last = STR_NONE;
    struct buf CLEAN_BUF line = BUF_INIT(4000);
    for (size_t i = 0; i < e->n_cards; i++) {
        const struct gfx_card *card = e->card[i];
        struct str gfx = a->target ? a->target->gfx : STR_NONE;
        if (!str_eq(gfx_card_gfx(card), gfx) || str_eq(gfx_card_name(card), last))
            continue;
        last = gfx_card_name(card);
        if (n++ < SHOWN)
            buf_addf(&line, "%s%.*s (1002:%04x)", n > 1 ? ", " : "", STR_ARG(gfx_card_name(card)),
                     card->device);
    }
    if (n > SHOWN)
        buf_addf(&line, " and %zu more", n - SHOWN);
    if (n)
        text_print(stdout, "%s", buf_text(&line));
}

static void explain_text(const struct cli *cli, const struct explain *e)
{
    if (e->ambiguous) {
        text_print(stdout,
                   "The query fits several chips: the PCI id (gfxbridge detect) tells which.");
        putchar('\n');
    }
    for (size_t i = 0; i < e->n_answers; i++) {
        if (i)
            putchar('\n');
        explain_cards_text(e, &e->answer[i]);
        answer_text(cli->tables, cli->os, &e->answer[i], cli->verbose);
    }
}

static int explain_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const struct gfx_tables *tables;
    const char *query = args->n_words ? args->word[0] : NULL;
    struct explain e = {0};
    int result = cli_tables(cli, &tables, err);
    if (result == 0)
        result = query ? explain_query(cli, query, &e, err) : explain_machine(cli, &e, err);
    if (result == 0 && cli->json)
        result = explain_json(cli, query, &e, err);
    else if (result == 0)
        explain_text(cli, &e);
    explain_done(&e);
    if (result == -GFXB_E_NO_GPU) {
        text_print(stderr, "gfxbridge: %s", err->text);
        return CLI_NOTHING_USABLE;
    }
    return result;
}

const struct cli_command cli_command_explain = {
    .name = "explain",
    .words = "[QUERY]",
    .max_words = 1,
    .summary = "the five questions for a card, a gfx target or this computer",
    .about = "Which family, which gfx, which ROCm package, what if it is unavailable, does Vulkan "
             "still work. QUERY is a PCI id (VENDOR:DEVICE or VENDOR:DEVICE:REVISION in hex), an "
             "LLVM target, a family with its last digit an X, a generation, or a retail name in "
             "quotes; without it, this computer. A name that several chips share gives all of "
             "them. --os windows answers from those rows.",
    .any_os = true,
    .run = explain_run,
};
