/* cmd_explain.c - the five questions for a card, a gfx target, or this computer. */
#include "cli/cli.h"

/* One target that is asked about. */
struct answer {
    const struct gfx_target *target; /* NULL: no LLVM target, or unknown */
    const struct gfx_card *card;     /* one of the cards asked about; NULL when asked by target */
};

/* What was found for a query, or in this computer: cards (several revisions may match) and the
 * targets to be answered for. */
struct explain {
    const struct gfx_tables *tables;
    enum gfx_os os;
    bool verbose; /* also quirks that are knowledge only and change nothing */
    const struct gfx_card **card;
    size_t n_cards;
    struct answer *answer;
    size_t n_answers;
    bool ambiguous;
};

/* ---- one target ---- */

static struct str answer_generation(const struct answer *a)
{
    return a->target ? a->target->generation : gfx_card_generation(a->card);
}

/* Why a->target is NULL; NULL: it is not. */
static const char *answer_no_gfx(const struct answer *a)
{
    if (a->target)
        return NULL;
    if (!a->card)
        return "the id is in no table";
    if (str_is(gfx_card_confidence(a->card), "unverified"))
        return "no source says which chip this id is";
    return "the chip is older than GCN and has no LLVM target: ROCm cannot drive it";
}

static bool answer_has_vulkan(const struct answer *a)
{
    return a->target && a->target->vulkan.n && !str_is(a->target->vulkan, "no");
}

static const char *answer_vulkan(const struct explain *e, const struct answer *a)
{
    if (!a->target) /* Radeon chips from before GCN have no Vulkan driver on any system. */
        return gfx_card_is_old(a->card) ? "no Vulkan driver exists for chips before GCN"
                                        : "unknown: no source says what this chip is";
    if (!answer_has_vulkan(a))
        return "no Vulkan driver offers this compute accelerator";
    if (e->os == GFX_WINDOWS)
        return "through the graphics driver of the card's maker";
    if (str_is(a->target->vulkan, "kernel"))
        return "with Mesa's RADV once the amdgpu driver is bound (on older kernels by the options "
               "amdgpu.si_support=1 or amdgpu.cik_support=1)";
    return "with Mesa's RADV (package mesa-vulkan-drivers)";
}

/* A ROCm package that holds code for the target. */
struct answer_package {
    size_t next; /* 0 before the first one */
    const struct gfx_package *row;
    enum gfx_via via;
    struct str used; /* the entry of its gfx list that serves */
};

/* The next one, in table order, those that can be installed first; false behind the last one. */
static bool answer_next_package(const struct explain *e, const struct answer *a,
                                struct answer_package *p)
{
    const struct gfx_tables *t = e->tables;
    while (a->target && p->next < 2 * t->n_packages) {
        size_t i = p->next++;
        p->row = &t->package[i % t->n_packages];
        if (!str_is(p->row->backend, "rocm") || p->row->os != e->os ||
            p->row->installable != (i < t->n_packages))
            continue;
        p->via = gfx_covers(t, a->target, p->row->gfx, &p->used);
        if (p->via != GFX_VIA_NONE)
            return true;
    }
    return false;
}

static const char *answer_via_name(enum gfx_via via)
{
    static const char *const names[] = {"none", "exact", "generic", "override"};
    return names[via];
}

/* Can a package be installed that holds code for the target itself? */
static bool answer_has_own(const struct explain *e, const struct answer *a)
{
    struct answer_package p = {.next = 0};
    while (answer_next_package(e, a, &p)) {
        if (p.row->installable && (p.via == GFX_VIA_EXACT || p.via == GFX_VIA_GENERIC))
            return true;
    }
    return false;
}

/* Rows about this target alone, and not about the other system; overrides where nothing else is
 * there. */
static bool answer_has_quirk(const struct explain *e, const struct answer *a,
                             const struct gfx_quirk *q)
{
    struct str other = e->os == GFX_WINDOWS ? STR("os=linux") : STR("os=windows");
    return a->target && q->gfx.n && gfx_quirk_names(q, a->target) &&
           !str_list_has(q->condition, other) &&
           (q->effect != GFX_OVERRIDE || !answer_has_own(e, a));
}

/* ---- JSON ---- */

static json_t *answer_family_json(const struct gfx_tables *t, const struct answer *a)
{
    const struct gfx_target *target = a->target;
    json_t *members = json_array();
    for (size_t i = 0; target && i < t->n_targets; i++) {
        if (str_eq(t->target[i].family, target->family) && t->target[i].covers.n == 0)
            json_array_append_new(members, report_json_str(t->target[i].gfx));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "name",
                     report_json_str(target ? target->family : STR_NONE), "generation",
                     report_json_str(answer_generation(a)), "asics",
                     report_json_str(target ? target->asics : STR_NONE), "members", members);
}

static json_t *answer_package_json(const struct answer_package *p)
{
    return json_pack("{s:o, s:o, s:s, s:s, s:b, s:s, s:o, s:b}", "id", report_json_str(p->row->id),
                     "source", report_json_str(p->row->provider), "backend", "rocm", "os",
                     p->row->os == GFX_WINDOWS ? "windows" : "linux", "holds_exactly",
                     p->via == GFX_VIA_EXACT, "via", answer_via_name(p->via), "runtime",
                     report_json_str(p->row->runtime), "installable", (int)p->row->installable);
}

static json_t *answer_quirk_json(const struct gfx_quirk *q)
{
    static const char *const effect[] = {
        [GFX_BLOCK] = "block",   [GFX_WARN] = "warn",         [GFX_ENV] = "env",
        [GFX_ARG] = "arg",       [GFX_OVERRIDE] = "override", [GFX_NOTE] = "note",
        [GFX_MEMORY] = "memory",
    };
    return json_pack("{s:o, s:o, s:s, s:o, s:o}", "id", report_json_str(q->id), "effect",
                     report_json_str(q->text), "kind", effect[q->effect], "remedy",
                     report_json_str(q->remedy), "source", report_json_str(q->source));
}

static json_t *answer_json(const struct explain *e, const struct answer *a)
{
    struct answer_package p = {.next = 0};
    json_t *packages = json_array(), *quirks = json_array();
    while (answer_next_package(e, a, &p))
        json_array_append_new(packages, answer_package_json(&p));
    for (size_t i = 0; i < e->tables->n_quirks; i++) {
        if (answer_has_quirk(e, a, &e->tables->quirk[i]))
            json_array_append_new(quirks, answer_quirk_json(&e->tables->quirk[i]));
    }
    bool vulkan = answer_has_vulkan(a);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:b, s:s}, s:o}", "gfx",
                     report_json_str(a->target ? a->target->gfx : STR_NONE), "reason",
                     report_json_text(answer_no_gfx(a)), "family", answer_family_json(e->tables, a),
                     "packages", packages, "if_unavailable",
                     report_json_words(vulkan ? STR("vulkan cpu") : STR("cpu")), "vulkan", "works",
                     (int)vulkan, "reason", answer_vulkan(e, a), "quirks", quirks);
}

static json_t *explain_card_json(const struct gfx_card *card)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "device_id",
        json_sprintf("%04x", card->device), "revision",
        card->revision < 0 ? json_null() : json_sprintf("%02x", (unsigned)card->revision), "name",
        report_json_str(gfx_card_name(card)), "asic", report_json_str(gfx_card_asic(card)), "gfx",
        report_json_str(gfx_card_gfx(card)), "generation",
        report_json_str(gfx_card_generation(card)), "kind",
        report_json_text(machine_kind_name(card->kind)), "confidence",
        report_json_str(gfx_card_confidence(card)), "source",
        report_json_str(gfx_card_source(card)));
}

static json_t *explain_json(const struct explain *e, const char *query)
{
    json_t *matches = json_array(), *answers = json_array();
    for (size_t i = 0; i < e->n_cards; i++)
        json_array_append_new(matches, explain_card_json(e->card[i]));
    for (size_t i = 0; i < e->n_answers; i++)
        json_array_append_new(answers, answer_json(e, &e->answer[i]));
    return json_pack("{s:o, s:o, s:b, s:o}", "query", report_json_text(query), "matches", matches,
                     "ambiguous", (int)e->ambiguous, "answers", answers);
}

/* ---- text ---- */

static void answer_packages_text(const struct explain *e, const struct answer *a)
{
    struct answer_package p = {.next = 0};
    const char *label = "3 ROCm package?   ";
    while (answer_next_package(e, a, &p) && p.row->installable) {
        text_print(stdout, "%-18s" TEXT_HANG "%.*s (%s %.*s, runtime %.*s)", label,
                   STR_ARG(p.row->id), p.via == GFX_VIA_EXACT ? "holds" : answer_via_name(p.via),
                   STR_ARG(p.used), STR_ARG(p.row->runtime));
        label = "";
    }
    if (label[0])
        text_print(stdout, "%s" TEXT_HANG "none that can be installed here holds code for it",
                   label);
}

static void answer_quirks_text(const struct explain *e, const struct answer *a)
{
    size_t hidden = 0;
    for (size_t i = 0; i < e->tables->n_quirks; i++) {
        const struct gfx_quirk *q = &e->tables->quirk[i];
        if (!answer_has_quirk(e, a, q))
            continue;
        if (q->effect == GFX_NOTE && !e->verbose)
            hidden++;
        else
            text_print(stdout, "  note: " TEXT_HANG "%.*s%s%.*s", STR_ARG(q->text),
                       q->remedy.n ? " Remedy: " : "", STR_ARG(q->remedy));
    }
    if (hidden)
        text_print(stdout, "  %zu note%s on this target with --verbose", hidden,
                   hidden == 1 ? "" : "s");
}

static void answer_text(const struct explain *e, const struct answer *a)
{
    bool vulkan = answer_has_vulkan(a);
    if (a->target)
        text_print(stdout,
                   "1 Which family?   " TEXT_HANG
                   "%.*s, %.*s (%.*s)\n2 Which gfx?      " TEXT_STRONG "%.*s" TEXT_END,
                   STR_ARG(a->target->generation), STR_ARG(a->target->family),
                   STR_ARG(a->target->asics), STR_ARG(a->target->gfx));
    else
        text_print(stdout, "1 Which family?   %.*s\n2 Which gfx?      " TEXT_HANG "none: %s",
                   STR_ARG(answer_generation(a)), answer_no_gfx(a));
    answer_packages_text(e, a);
    text_print(stdout, "4 If unavailable? %sthe CPU\n5 Vulkan works?   " TEXT_HANG "%s: %s",
               vulkan ? "Vulkan, then " : "", vulkan ? "yes" : "no", answer_vulkan(e, a));
    answer_quirks_text(e, a);
}

/* The cards of one answer on one line; a family has too many to name them all. */
static void explain_cards_text(const struct explain *e, const struct answer *a)
{
    enum { SHOWN = 4 };
    size_t n = 0;
    struct str last = STR_NONE, gfx = a->target ? a->target->gfx : STR_NONE;
    struct buf CLEAN_BUF line = BUF_INIT(4000);
    for (size_t i = 0; i < e->n_cards; i++) {
        struct str name = gfx_card_name(e->card[i]);
        if (!str_eq(gfx_card_gfx(e->card[i]), gfx) || str_eq(name, last))
            continue;
        last = name;
        if (n++ < SHOWN)
            buf_addf(&line, "%s%.*s (1002:%04x)", n > 1 ? ", " : "", STR_ARG(name),
                     e->card[i]->device);
    }
    if (n > SHOWN)
        buf_addf(&line, " and %zu more", n - SHOWN);
    if (n)
        text_print(stdout, "%s", buf_text(&line));
}

static void explain_text(const struct explain *e)
{
    if (e->ambiguous)
        text_print(stdout,
                   "The query fits several chips: the PCI id (gfxbridge detect) tells which.\n");
    for (size_t i = 0; i < e->n_answers; i++) {
        if (i)
            putchar('\n');
        explain_cards_text(e, &e->answer[i]);
        answer_text(e, &e->answer[i]);
    }
}

/* ---- which targets ---- */

static void explain_add_card(struct explain *e, const struct gfx_card *card)
{
    e->card = xreallocarray(e->card, e->n_cards + 1, sizeof(*e->card));
    e->card[e->n_cards++] = card;
}

/* One answer a target; NULL is the answer of cards that have none. */
static void explain_add_answer(struct explain *e, const struct gfx_target *target,
                               const struct gfx_card *card)
{
    for (size_t i = 0; i < e->n_answers; i++) {
        if (e->answer[i].target == target)
            return;
    }
    e->answer = xreallocarray(e->answer, e->n_answers + 1, sizeof(*e->answer));
    e->answer[e->n_answers++] = (struct answer){target, card};
}

static void explain_query(struct cli *cli, const char *text, struct explain *e)
{
    struct gfx_query *query;
    cli_check(cli, gfx_query_new(e->tables, text, &query, &cli->err));
    e->ambiguous = query->ambiguous;
    for (size_t i = 0; i < query->n_cards; i++) {
        const struct gfx_card *card = query->card[i];
        explain_add_card(e, card);
        explain_add_answer(e, gfx_target_find(e->tables, gfx_card_gfx(card)), card);
    }
    for (size_t i = 0; i < query->n_targets; i++)
        explain_add_answer(e, query->target[i], NULL);
    gfx_query_free(query);
}

static void explain_machine(const struct machine *m, struct explain *e)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        if (gpu->vendor != 0x1002 && !gpu->target)
            continue;
        if (gpu->card)
            explain_add_card(e, gpu->card);
        explain_add_answer(e, gpu->target, gpu->card);
    }
}

static int explain_run(struct cli *cli, const struct cli_args *args)
{
    const char *query = args->n_words ? args->word[0] : NULL;
    struct explain e = {.tables = cli_tables(cli), .os = cli->os, .verbose = cli->verbose};
    if (query)
        explain_query(cli, query, &e);
    else
        explain_machine(cli_machine(cli), &e);
    if (e.n_answers == 0)
        text_print(stderr, "gfxbridge: no AMD GPU was found in this computer: gfxbridge explain "
                           "NAME answers for a card by its name");
    else if (cli->json)
        cli_print_json(cli, explain_json(&e, query));
    else
        explain_text(&e);
    free(e.answer);
    free(e.card);
    return e.n_answers ? CLI_DONE : CLI_NOTHING_USABLE;
}

const struct cli_command cli_command_explain = {
    .name = "explain",
    .words = "[QUERY]",
    .summary = "the five questions for a card, a gfx target or this computer",
    .about = "Which family, which gfx, which ROCm package, what if it is unavailable, does Vulkan "
             "still work. QUERY is a PCI id (VENDOR:DEVICE or VENDOR:DEVICE:REVISION in hex), an "
             "LLVM target, a family with its last digit an X, a generation, or a retail name in "
             "quotes; without it, this computer. A name that several chips share gives all of "
             "them. --os windows answers from those rows.",
    .any_os = true,
    .run = explain_run,
};
