/* cmd_explain.c - the five questions for a card, a gfx target, or this computer. */
#include "cli/cli.h"

/* One target that is asked about. */
struct answer {
    const struct gfx_target *target; /* NULL: no LLVM target, or unknown */
    const struct gfx_card *card;     /* one of the cards asked about; NULL when asked by target */
    const struct machine_gpu *gpu;   /* of this computer; NULL: none is asked about */
};

/* What was found for a query, or in this computer: cards (several revisions may match) and the
 * targets to be answered for. */
struct explain {
    const struct gfx_tables *tables;
    const struct machine *machine; /* NULL: none is asked about */
    enum gfx_os os;
    bool verbose; /* also quirks that are knowledge only and change nothing */
    const struct gfx_card **card;
    size_t n_cards;
    struct answer *answer;
    size_t n_answers;
    bool ambiguous;
    struct gfx_alias alias; /* what the query was, when it was no GPU's own name */
    FILE *out;
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

static struct plan_quirk_case answer_case(const struct explain *e, const struct answer *a,
                                          enum plan_backend backend)
{
    return (struct plan_quirk_case){e->tables, a->target, e->os, backend, NULL, NULL, NULL};
}

/* The row that keeps a backend from this target on the whole system, whatever the computer. */
static const struct gfx_quirk *answer_block(const struct explain *e, const struct answer *a,
                                            enum plan_backend backend)
{
    struct plan_quirk_case c = answer_case(e, a, backend);
    for (size_t i = 0; i < e->tables->n_quirks; i++) {
        const struct gfx_quirk *q = &e->tables->quirk[i];
        if (q->effect == GFX_BLOCK && plan_quirk_could(&c, q) == TRI_YES)
            return q;
    }
    return NULL;
}

static bool answer_has_vulkan(const struct explain *e, const struct answer *a)
{
    return a->target && a->target->vulkan.n && !str_is(a->target->vulkan, "no") &&
           !answer_block(e, a, PLAN_VULKAN);
}

static struct str answer_vulkan(const struct explain *e, const struct answer *a)
{
    const struct gfx_quirk *block = a->target ? answer_block(e, a, PLAN_VULKAN) : NULL;
    if (!a->target) /* Radeon chips from before GCN have no Vulkan driver on any system. */
        return gfx_card_is_old(a->card) ? STR("no Vulkan driver exists for chips before GCN")
                                        : STR("unknown: no source says what this chip is");
    if (block)
        return block->text;
    if (!answer_has_vulkan(e, a))
        return STR("no Vulkan driver offers this compute accelerator");
    if (e->os == GFX_WINDOWS)
        return STR("through the graphics driver of the card's maker");
    if (str_is(a->target->vulkan, "kernel"))
        return STR("with Mesa's RADV once the amdgpu driver is bound (on older kernels by the "
                   "options amdgpu.si_support=1 or amdgpu.cik_support=1)");
    return STR("with Mesa's RADV (package mesa-vulkan-drivers)");
}

/* A ROCm package that holds code for the target. */
struct answer_package {
    size_t next; /* 0 before the first one */
    const struct gfx_package *row;
    enum gfx_via via;
    struct str used; /* the entry of its gfx list that serves */
};

/* May code for another target serve? Only where a row's condition can hold: not on Windows. */
static bool answer_may_override(const struct explain *e, const struct answer *a, struct str used)
{
    struct plan_quirk_case c = answer_case(e, a, PLAN_ROCM);
    for (size_t i = 0; i < e->tables->n_quirks; i++) {
        const struct gfx_quirk *q = &e->tables->quirk[i];
        if (q->effect == GFX_OVERRIDE && str_eq(q->value, used) &&
            plan_quirk_could(&c, q) != TRI_NO)
            return true;
    }
    return false;
}

/* The next one in the order of plan: those that can be installed; how their code serves; those that
 * need no ROCm of the computer; as in the table. False behind the last one. */
static bool answer_next_package(const struct explain *e, const struct answer *a,
                                struct answer_package *p)
{
    enum { VIAS = 3, PASSES = 2 * VIAS * 2 };
    const size_t n = e->tables->n_packages;
    while (a->target && p->next < PASSES * n) {
        size_t pass = p->next / n;
        p->row = &e->tables->package[p->next++ % n];
        if (!str_is(p->row->backend, "rocm") || p->row->os != e->os ||
            p->row->installable != (pass < PASSES / 2) ||
            str_is(p->row->runtime, "system") != (pass % 2 == 1))
            continue;
        p->via = gfx_covers(e->tables, a->target, p->row->gfx, &p->used);
        if (p->via == (enum gfx_via)(GFX_VIA_EXACT + pass / 2 % VIAS) &&
            (p->via != GFX_VIA_OVERRIDE || answer_may_override(e, a, p->used)) &&
            !answer_block(e, a, PLAN_ROCM))
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

/* Of a computer what plan would say; of a card whatever could be. */
static bool answer_is_about(const struct plan_quirk_case *c, const struct gfx_quirk *q)
{
    enum tri is = plan_quirk_could(c, q);
    return c->machine ? is == TRI_YES : is != TRI_NO;
}

/* Can the row be about one of the ways in which this target may run? In a computer a package that
 * needs its ROCm is none of them where another one serves. */
static bool answer_could(const struct explain *e, const struct answer *a, const struct gfx_quirk *q)
{
    bool any = false;
    struct answer_package p = {.next = 0};
    struct plan_quirk_case c = answer_case(e, a, PLAN_ROCM);
    c.gpu = a->gpu;
    c.machine = a->gpu ? e->machine : NULL;
    while (answer_next_package(e, a, &p) && p.row->installable) {
        c.package = p.row;
        if (any && a->gpu && str_is(p.row->runtime, "system"))
            continue;
        any = true;
        if (answer_is_about(&c, q))
            return true;
    }
    c.package = NULL;
    if (!any && answer_is_about(&c, q))
        return true;
    c.backend = PLAN_VULKAN;
    return answer_is_about(&c, q);
}

/* Rows about this target alone that can hold; overrides where nothing else is there; rows that are
 * knowledge only, when no computer is asked about, whatever their condition. */
static bool answer_has_quirk(const struct explain *e, const struct answer *a,
                             const struct gfx_quirk *q)
{
    struct str other = e->os == GFX_WINDOWS ? STR("os=linux") : STR("os=windows");
    if (!a->target || !q->gfx.n || !gfx_quirk_names(q, a->target) ||
        str_list_has(q->condition, other) || (q->effect == GFX_OVERRIDE && answer_has_own(e, a)))
        return false;
    return (q->effect == GFX_NOTE && !a->gpu) || str_list_has(q->condition, STR("never")) ||
           answer_could(e, a, q);
}

/* What is known elsewhere of a backend on this target; package empty: of any. */
static struct gfx_known answer_known(const struct explain *e, const struct answer *a,
                                     const char *backend, struct str package)
{
    bool here = a->target && e->os == GFX_LINUX;
    return here ? gfx_known_of(e->tables, a->target, "", backend, package)
                : (struct gfx_known){.proven = 0};
}

/* ---- JSON ---- */

static json_t *answer_known_json(const struct explain *e, const struct answer *a,
                                 const char *backend, struct str package)
{
    struct gfx_known known = answer_known(e, a, backend, package);
    return json_pack("{s:i, s:i, s:i}", "proven", (int)known.proven, "failed", (int)known.failed,
                     "emulated", (int)known.emulated);
}

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

static json_t *answer_package_json(const struct explain *e, const struct answer *a,
                                   const struct answer_package *p)
{
    return json_pack(
        "{s:o, s:o, s:s, s:s, s:b, s:s, s:o, s:b, s:o}", "id", report_json_str(p->row->id),
        "source", report_json_str(p->row->provider), "backend", "rocm", "os",
        p->row->os == GFX_WINDOWS ? "windows" : "linux", "holds_exactly", p->via == GFX_VIA_EXACT,
        "via", answer_via_name(p->via), "runtime", report_json_str(p->row->runtime), "installable",
        (int)p->row->installable, "proofs", answer_known_json(e, a, "rocm", p->row->id));
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
        json_array_append_new(packages, answer_package_json(e, a, &p));
    for (size_t i = 0; i < e->tables->n_quirks; i++) {
        if (answer_has_quirk(e, a, &e->tables->quirk[i]))
            json_array_append_new(quirks, answer_quirk_json(&e->tables->quirk[i]));
    }
    bool vulkan = answer_has_vulkan(e, a);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:b, s:o, s:o}, s:o}", "gfx",
                     report_json_str(a->target ? a->target->gfx : STR_NONE), "reason",
                     report_json_text(answer_no_gfx(a)), "family", answer_family_json(e->tables, a),
                     "packages", packages, "if_unavailable",
                     report_json_words(vulkan ? STR("vulkan cpu") : STR("cpu")), "vulkan", "works",
                     (int)vulkan, "reason", report_json_str(answer_vulkan(e, a)), "proofs",
                     answer_known_json(e, a, "vulkan", STR_NONE), "quirks", quirks);
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
    return json_pack("{s:o, s:o, s:b, s:o, s:o}", "query", report_json_text(query), "matches",
                     matches, "ambiguous", (int)e->ambiguous, "means",
                     report_json_str(e->alias.means), "answers", answers);
}

/* ---- text ---- */

static void answer_packages_text(const struct explain *e, const struct answer *a)
{
    struct answer_package p = {.next = 0};
    const char *label = "3 ROCm package?   ";
    while (answer_next_package(e, a, &p) && p.row->installable) {
        struct gfx_known known = answer_known(e, a, "rocm", p.row->id);
        struct buf CLEAN_BUF words = BUF_INIT(200);
        gfx_known_write(&known, &words);
        text_print(e->out, "%-18s" TEXT_HANG "%.*s (%s %.*s, runtime %.*s): %s", label,
                   STR_ARG(p.row->id), p.via == GFX_VIA_EXACT ? "holds" : answer_via_name(p.via),
                   STR_ARG(p.used), STR_ARG(p.row->runtime), buf_text(&words));
        label = "";
    }
    if (label[0])
        text_print(e->out,
                   "%s" TEXT_HANG "no package that can be installed here contains code for it",
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
            text_print(e->out, "  note: " TEXT_HANG "%.*s%s%.*s", STR_ARG(q->text),
                       q->remedy.n ? " Remedy: " : "", STR_ARG(q->remedy));
    }
    if (hidden)
        text_print(e->out, "  %zu note%s on this target with --verbose", hidden,
                   hidden == 1 ? "" : "s");
}

static void answer_text(const struct explain *e, const struct answer *a)
{
    bool vulkan = answer_has_vulkan(e, a);
    if (a->target)
        text_print(e->out,
                   "1 Which family?   " TEXT_HANG
                   "%.*s, %.*s (%.*s)\n2 Which gfx?      " TEXT_STRONG "%.*s" TEXT_END,
                   STR_ARG(a->target->generation), STR_ARG(a->target->family),
                   STR_ARG(a->target->asics), STR_ARG(a->target->gfx));
    else
        text_print(e->out, "1 Which family?   %.*s\n2 Which gfx?      " TEXT_HANG "none: %s",
                   STR_ARG(answer_generation(a)), answer_no_gfx(a));
    answer_packages_text(e, a);
    struct gfx_known known = answer_known(e, a, "vulkan", STR_NONE);
    struct buf CLEAN_BUF words = BUF_INIT(200);
    if (vulkan) {
        buf_add_text(&words, "; ");
        gfx_known_write(&known, &words);
    }
    text_print(e->out, "4 If unavailable? %sthe CPU\n5 Vulkan works?   " TEXT_HANG "%s: %.*s%s",
               vulkan ? "Vulkan, then " : "", vulkan ? "yes" : "no", STR_ARG(answer_vulkan(e, a)),
               buf_text(&words));
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
        text_print(e->out, "%s", buf_text(&line));
}

static void explain_text(const struct explain *e)
{
    if (e->alias.name.n)
        text_print(e->out, "%.*s is a %.*s: %.*s.", STR_ARG(e->alias.name), STR_ARG(e->alias.kind),
                   STR_ARG(e->alias.means));
    if (e->ambiguous)
        text_print(e->out,
                   "The query fits several chips: the PCI id (gfxbridge detect) tells which.\n");
    for (size_t i = 0; i < e->n_answers; i++) {
        if (i)
            putc('\n', e->out);
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
                               const struct gfx_card *card, const struct machine_gpu *gpu)
{
    for (size_t i = 0; i < e->n_answers; i++) {
        if (e->answer[i].target == target)
            return;
    }
    e->answer = xreallocarray(e->answer, e->n_answers + 1, sizeof(*e->answer));
    e->answer[e->n_answers++] = (struct answer){target, card, gpu};
}

static void explain_query(struct cli *cli, const char *text, struct explain *e)
{
    struct gfx_query *query;
    cli_check(cli, gfx_query_new(e->tables, text, &query, &cli->err));
    e->ambiguous = query->ambiguous;
    e->alias = query->alias;
    for (size_t i = 0; i < query->n_cards; i++) {
        const struct gfx_card *card = query->card[i];
        explain_add_card(e, card);
        explain_add_answer(e, gfx_target_find(e->tables, gfx_card_gfx(card)), card, NULL);
    }
    for (size_t i = 0; i < query->n_targets; i++)
        explain_add_answer(e, query->target[i], NULL, NULL);
    gfx_query_free(query);
}

static void explain_machine(const struct machine *m, struct explain *e)
{
    e->machine = m;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        if (gpu->vendor != 0x1002 && !gpu->target)
            continue;
        if (gpu->card)
            explain_add_card(e, gpu->card);
        explain_add_answer(e, gpu->target, gpu->card, gpu);
    }
}

void explain_this_machine(struct cli *cli, FILE *out)
{
    struct explain e = {.tables = cli_tables(cli), .os = GFX_LINUX, .out = out};
    explain_machine(cli_machine(cli), &e);
    explain_text(&e);
    free(e.answer);
    free(e.card);
}

static int explain_run(struct cli *cli, const struct cli_args *args)
{
    enum { TEXT_MIB = 1 };
    struct buf CLEAN_BUF text = BUF_INIT(TEXT_MIB << 20);
    struct explain e = {
        .tables = cli_tables(cli), .os = cli->os, .verbose = cli->verbose, .out = stdout};
    if (args->n_words == 1 && strcmp(args->word[0], "-") == 0)
        cli_read_stdin(cli, "text", &text);
    else
        cli_join_words(args, 0, &text);
    if (!buf_ok(&text))
        cli_die(cli, GFXB_E_USAGE, "the text is larger than %d MiB", TEXT_MIB);
    const char *query = args->n_words ? buf_text(&text) : NULL;
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
    .words = "[QUERY...]",
    .summary = "the five questions for a card, a gfx target or this computer",
    .about = "Which family, which gfx, which ROCm package, what if it is unavailable, does Vulkan "
             "still work. QUERY is a GPU's name as its box, Windows or a program has it, a PCI id "
             "(1002:744c, PCI\\VEN_1002&DEV_744C), an LLVM target, a family with its last digit "
             "an X, a generation, a chip's code name, a processor or a computer, or whole lines "
             "of lspci, rocminfo, vulkaninfo, clinfo, dmesg and the like (- reads them from "
             "standard input); without it, this computer. A name that several chips share gives "
             "all of them. --os windows answers from those rows.",
    .any_os = true,
    .run = explain_run,
};
