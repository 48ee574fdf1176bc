/* rocm_cli.c - the sources of AMD's rocm-cli: which TheRock family a target takes, and targets by
 * PCI id and by name. */
#include "peer/private.h"

enum { PATTERNS_MAX = 64, ARMS_MAX = 1024 };

/* One arm of a match: "a" | "b" => Some("value"), or value if value.starts_with("a") => ... */
struct arm {
    struct str pattern[PATTERNS_MAX];
    size_t n;
    bool prefix;
    struct str value;
    struct str bytes; /* with the comma behind it */
};

struct arms {
    struct arm *arm;
    size_t n, capacity;
};

/* value.starts_with("a") || value.starts_with("b") */
static int read_prefixes(struct peer_scan *s, struct arm *arm)
{
    int r = peer_scan_need(s, "value if", NULL);
    arm->prefix = true;
    do {
        if (arm->n == PATTERNS_MAX)
            return peer_unknown(s->p, s->text, s->end, "an arm has too many patterns");
        if (r == 0)
            r = peer_scan_need(s, "value . starts_with ( $ )", &arm->pattern[arm->n++]);
    } while (r == 0 && peer_scan_take(s, "|") && (r = peer_scan_need(s, "|", NULL)) == 0);
    return r;
}

static int read_strings(struct peer_scan *s, struct arm *arm)
{
    int r;
    do {
        if (arm->n == PATTERNS_MAX)
            return peer_unknown(s->p, s->text, s->end, "an arm has too many patterns");
        r = peer_scan_need(s, "$", &arm->pattern[arm->n++]);
    } while (r == 0 && peer_scan_take(s, "|"));
    return r;
}

static int read_arm(struct peer_scan *s, struct arm *arm)
{
    const char *from = s->token.p - s->is_string;
    int r = s->is_string ? read_strings(s, arm) : read_prefixes(s, arm);
    if (r == 0)
        r = peer_scan_need(s, "= >", NULL);
    bool block = r == 0 && peer_scan_take(s, "{");
    if (r == 0)
        r = peer_scan_need(s, "Some ( $", &arm->value);
    if (r == 0 && peer_scan_take(s, "."))
        r = peer_scan_need(s, "to_owned ( )", NULL);
    if (r == 0)
        r = peer_scan_need(s, block ? ") }" : ")", NULL);
    (void)(r == 0 && peer_scan_take(s, ","));
    arm->bytes = (struct str){from, (size_t)(s->end - from)};
    return r;
}

/* The arms of the match behind this function's name; "_ => None" is the last. */
static int read_match(struct peer *p, const struct peer_text *text, const char *function,
                      const char *match, struct arms *ret)
{
    struct peer_scan s;
    int r = peer_scan_find(&s, p, text, function);
    while (r == 0 && s.token.p && !(peer_scan_take(&s, "match")))
        peer_scan_next(&s);
    if (r == 0)
        r = peer_scan_need(&s, match, NULL);
    while (r == 0 && !peer_scan_is(&s, "_")) {
        struct arm arm = {.n = 0};
        r = ret->n < ARMS_MAX ? read_arm(&s, &arm)
                              : peer_unknown(p, text, s.end, "there are too many arms");
        if (!array_grow(&ret->arm, ret->n, &ret->capacity, sizeof(arm)))
            xalloc_die();
        ret->arm[ret->n++] = arm;
    }
    return r == 0 ? peer_scan_need(&s, "_ = > None", NULL) : r;
}

static bool arm_takes(const struct arm *arm, struct str word)
{
    for (size_t i = 0; i < arm->n; i++) {
        if (arm->prefix ? str_starts(word, arm->pattern[i]) : str_eq(word, arm->pattern[i]))
            return true;
    }
    return false;
}

static size_t arms_find(const struct arms *arms, struct str word)
{
    size_t i = 0;
    while (i < arms->n && !arm_takes(&arms->arm[i], word))
        i++;
    return i;
}

static struct peer_claim arm_claim(const struct peer_text *text, const struct arm *arm,
                                   const char *table)
{
    return (struct peer_claim){
        .path = text->path,
        .line = peer_line(text, arm->bytes.p),
        .table = str_from(table),
        .asset = arm->value,
    };
}

/* "a" | "b" => Some("value"): the patterns are collected first. */
static void write_pattern(struct buf *arm, struct str pattern)
{
    size_t line = arm->n;
    while (line > 0 && arm->p[line - 1] != '\n')
        line--;
    const char *between = arm->n == 0 ? "" : arm->n - line < 84 ? " | " : "\n        | ";
    buf_addf(arm, "%s\"%.*s\"", between, STR_ARG(pattern));
}

static void write_arm(struct buf *by, struct buf *patterns, struct str value, const char *end)
{
    if (patterns->n)
        buf_addf(by, "%s%s => Some(\"%.*s\"%s),", by->n ? "\n        " : "", buf_text(patterns),
                 STR_ARG(value), end);
    buf_done(patterns);
}

/* ---- families of TheRock ---- */

/* The targets that this arm decides, as exact arms: one for each family that holds some of them. */
static void mend_family(struct peer *p, struct peer_text *text, const struct arms *arms,
                        size_t index)
{
    const struct arm *arm = &arms->arm[index];
    const struct gfx_tables *t = p->tables;
    struct buf by = BUF_INIT(1 << 20);
    for (size_t r = 0; r < p->rows.n; r++) {
        const struct peer_row *row = &p->rows.row[r];
        struct buf patterns = BUF_INIT(1 << 16);
        for (size_t i = 0; i < t->n_targets && row->asset; i++) {
            const struct gfx_target *target = &t->target[i];
            if (peer_is_chip(target) && arms_find(arms, target->gfx) == index &&
                peer_row_of(p, STR("therock"), target) == row)
                write_pattern(&patterns, target->gfx);
        }
        write_arm(&by, &patterns, str_from(row->asset), ".to_owned()");
    }
    peer_mend(text, arm->bytes, &by);
}

static int read_families(struct peer *p, struct peer_text *text)
{
    struct arms arms = {.n = 0};
    int r = read_match(p, text, "fn normalize_therock_family(", "target . as_str ( ) {", &arms);
    for (size_t a = 0; r == 0 && a < arms.n && !peer_stopped(p); a++) {
        struct peer_claim claim = arm_claim(text, &arms.arm[a], "therock");
        bool wrong = false;
        for (size_t i = 0; i < p->tables->n_targets; i++) {
            const struct gfx_target *target = &p->tables->target[i];
            if (peer_is_chip(target) && arms_find(&arms, target->gfx) == a)
                wrong |= peer_judge_package(p, &claim, target, true);
        }
        if (wrong)
            mend_family(p, text, &arms, a);
    }
    free(arms.arm);
    return r;
}

/* ---- PCI ids ---- */

/* What is right of the arm, then an arm for each id that is another target's. */
static void mend_ids(struct peer *p, struct peer_text *text, const struct arm *arm)
{
    struct buf by = BUF_INIT(1 << 20), right = BUF_INIT(1 << 16),
               CLEAN_BUF rest = BUF_INIT(1 << 16);
    for (size_t i = 0; i < arm->n; i++) {
        uint64_t id = 0;
        str_to_u64(arm->pattern[i], 16, &id);
        const struct gfx_card *card = gfx_card_find(p->tables, (uint16_t)id, -1);
        struct buf one = BUF_INIT(4096);
        bool stays = !card || str_eq(gfx_card_gfx(card), arm->value);
        if (stays || gfx_card_gfx(card).n)
            write_pattern(stays ? &right : &one, arm->pattern[i]);
        write_arm(&rest, &one, gfx_card_gfx(card), "");
    }
    write_arm(&by, &right, arm->value, "");
    if (by.n && rest.n)
        buf_add_text(&by, "\n        ");
    buf_add_str(&by, buf_view(&rest));
    peer_mend(text, arm->bytes, &by);
}

static int judge_ids(struct peer *p, struct peer_text *text, const struct arm *arm)
{
    struct peer_claim claim = arm_claim(text, arm, "PCI ids");
    bool wrong = false;
    for (size_t i = 0; i < arm->n; i++) {
        uint64_t id;
        if (arm->prefix || str_to_u64(arm->pattern[i], 16, &id) < 0 || id > UINT16_MAX)
            return peer_unknown(p, text, arm->pattern[i].p, "this is not a PCI device id");
        const struct gfx_card *card = gfx_card_find(p->tables, (uint16_t)id, -1);
        if (card)
            wrong |= peer_judge_card(p, &claim, card, arm->value);
        else
            peer_judge_open(p);
    }
    if (wrong)
        mend_ids(p, text, arm);
    return 0;
}

static int read_ids(struct peer *p, struct peer_text *text)
{
    struct arms arms = {.n = 0};
    int r = read_match(p, text, "fn gfx_target_from_amd_pci_device_id(",
                       "device_id . to_ascii_lowercase ( ) . as_str ( ) {", &arms);
    for (size_t a = 0; r == 0 && a < arms.n && !peer_stopped(p); a++)
        r = judge_ids(p, text, &arms.arm[a]);
    free(arms.arm);
    return r;
}

/* ---- names ---- */

static void write_name(const struct peer_rule *rule, struct buf *ret)
{
    for (size_t i = 0; i < rule->n; i++)
        buf_addf(ret,
                 "%sAmdMarketingGfxTarget {\n        pattern: \"%.*s\",\n"
                 "        gfx_target: \"%.*s\",\n    }",
                 i ? ",\n    " : "", STR_ARG(rule->literal[i]), STR_ARG(rule->gfx));
}

/* AmdMarketingGfxTarget { pattern: "a", gfx_target: "gfx" }, ... ] */
static int read_name_rules(struct peer_scan *s, struct peer_rules *rules)
{
    int r = peer_scan_need(s, ": & [ AmdMarketingGfxTarget ] = & [", NULL);
    while (r == 0 && !peer_scan_take(s, "]")) {
        struct peer_rule rule = {.n = 1, .line = peer_line(s->text, s->token.p)};
        const char *from = s->token.p;
        if (rules->n == PEER_RULES_MAX)
            return peer_unknown(s->p, s->text, s->end, "there are too many rules");
        r = peer_scan_need(s, "AmdMarketingGfxTarget { pattern : $ ,", &rule.literal[0]);
        if (r == 0)
            r = peer_scan_need(s, "gfx_target : $", &rule.gfx);
        (void)(r == 0 && peer_scan_take(s, ","));
        if (r == 0)
            r = peer_scan_need(s, "}", NULL);
        rule.bytes = (struct str){from, (size_t)(s->end - from)};
        (void)(r == 0 && peer_scan_take(s, ","));
        if (!array_grow(&rules->rule, rules->n, &rules->capacity, sizeof(rule)))
            xalloc_die();
        rules->rule[rules->n++] = rule;
    }
    return r;
}

static int read_names(struct peer *p, struct peer_text *text)
{
    struct peer_rules rules = {
        .text = text, .words = true, .between = ",\n    ", .write = write_name};
    struct peer_scan s;
    int r = peer_scan_find(&s, p, text, "const AMD_MARKETING_GFX_TARGETS");
    if (r == 0)
        r = read_name_rules(&s, &rules);
    if (r == 0)
        peer_judge_names(p, text, &rules);
    free(rules.rule);
    return r;
}

static int rocm_cli_read(struct peer *p)
{
    struct peer_text *text = peer_open(p, "crates/rocm-core/src/lib.rs");
    int r = text ? read_families(p, text) : -p->err->code;
    if (r == 0)
        r = read_ids(p, text);
    if (r == 0)
        r = read_names(p, text);
    peer_set_commit(p);
    return r;
}

const struct peer_driver peer_rocm_cli = {"rocm-cli", NULL, rocm_cli_read};
