/* proof.c - data/proofs.tsv: what came of proofs on cards elsewhere. */
#include "gfx/rows.h"

enum { CARD, DATE = 6, OUTCOME, TOKENS, SOURCE }; /* columns with rules of their own */

static const char *const on_words[] = {"hardware", "emulated", NULL};

#define COLUMN(title, field, member) GFX_COLUMN(title, field, struct gfx_proof, member)

static const struct gfx_column proof_columns[] = {
    {COLUMN("card", REQUIRED, card)},
    {COLUMN("gfx", TARGETS, gfx)},
    {COLUMN("on", WORD, emulated), .words = on_words},
    {COLUMN("package", REQUIRED, package)},
    {COLUMN("kernel", TEXT, kernel)},
    {COLUMN("driver", REQUIRED, driver)},
    {COLUMN("date", REQUIRED, date)},
    {COLUMN("outcome", REQUIRED, outcome)},
    {COLUMN("tokens_per_second", NUMBER, tokens_per_second), .max = 1000000},
    {COLUMN("source", REQUIRED, source)},
    {.title = NULL},
};

/* Does the text have this form: d a decimal digit, x a lower-case hexadecimal one? */
static bool proof_fits(struct str text, const char *form)
{
    size_t i = 0;
    for (; form[i] && i < text.n; i++) {
        int digit = str_hex_digit(text.p[i]);
        bool lower = str_lower(text.p[i]) == text.p[i];
        if (form[i] == 'd'   ? digit < 0 || digit > 9
            : form[i] == 'x' ? digit < 0 || !lower
                             : text.p[i] != form[i])
            return false;
    }
    return !form[i] && i == text.n;
}

static bool date_is_good(struct str date)
{
    uint64_t month = 0, day = 0;
    if (!proof_fits(date, "dddd-dd-dd"))
        return false;
    str_to_u64((struct str){date.p + 5, 2}, 10, &month);
    str_to_u64((struct str){date.p + 8, 2}, 10, &day);
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* Sorted by the fields that say what ran, which have one outcome; then by source. */
static int proof_check_order(const struct gfx_cursor *at, struct gfxb_error *err)
{
    const struct str *field = at->row->field, *before = at->before ? at->before->field : NULL;
    for (unsigned i = CARD; before && i <= SOURCE; i++) {
        int order = str_compare(before[i], field[i]);
        if (i == OUTCOME && order != 0)
            return GFX_BAD(at, OUTCOME, "'%.*s' contradicts the row before, which says '%.*s'",
                           STR_ARG(field[i]), STR_ARG(before[i]));
        if (order > 0)
            return GFX_BAD(at, i, "rows must be sorted by their fields");
        if (order < 0)
            return 0;
    }
    return before ? GFX_BAD(at, CARD, "the row is listed twice") : 0;
}

static int proof_check(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_proof *proof = item;
    bool proven = str_is(proof->outcome, "proven");
    proof->line = at->row->line;
    if (!proof_fits(proof->card, "xxxx:xxxx"))
        return GFX_BAD(at, CARD, "'%.*s' is not a PCI id such as 1002:744c", STR_ARG(proof->card));
    if (!date_is_good(proof->date))
        return GFX_BAD(at, DATE, "'%.*s' is not a date such as 2026-11-30", STR_ARG(proof->date));
    if (!proven && error_code_number(proof->outcome) <= 0)
        return GFX_BAD(at, OUTCOME, "'%.*s' is neither 'proven' nor a reason code",
                       STR_ARG(proof->outcome));
    if (!proven && proof->tokens_per_second)
        return GFX_BAD(at, TOKENS, "what failed has no speed");
    return proof_check_order(at, err);
}

const struct gfx_reader gfx_proof_reader = {proof_columns, sizeof(struct gfx_proof), 4096,
                                            proof_check};

struct str gfx_proof_backend(const struct gfx_tables *t, const struct gfx_proof *proof,
                             const struct gfx_package **ret_row)
{
    struct gfx_engine engine;
    struct str rest = proof->package, kind;
    *ret_row = NULL;
    for (size_t i = 0; i < t->n_packages && !*ret_row; i++) {
        if (str_eq(t->package[i].id, proof->package))
            *ret_row = &t->package[i];
    }
    if (*ret_row)
        return (*ret_row)->backend;
    return str_cut(&rest, ':', &kind) && gfx_engine_find(kind, &engine) ? rest : STR_NONE;
}

struct gfx_known gfx_known_of(const struct gfx_tables *t, const struct gfx_target *target,
                              const char *card, const char *backend, struct str package)
{
    struct gfx_known known = {0};
    for (size_t i = 0; i < t->n_proofs; i++) {
        const struct gfx_proof *proof = &t->proof[i];
        const struct gfx_package *row;
        bool here = target ? str_eq(proof->gfx, target->gfx) : str_is(proof->card, card);
        if (!here || (package.n && !str_eq(proof->package, package)) ||
            !str_is(gfx_proof_backend(t, proof, &row), backend))
            continue;
        bool proven = str_is(proof->outcome, "proven");
        known.proven += proven && !proof->emulated;
        known.failed += !proven && !proof->emulated;
        known.emulated += proven && proof->emulated;
    }
    return known;
}

void gfx_known_write(const struct gfx_known *known, struct buf *ret)
{
    size_t before = ret->n;
    if (known->proven)
        buf_addf(ret, "proven by %u", known->proven);
    if (known->failed)
        buf_addf(ret, "%sfailed for %u", ret->n > before ? ", " : "", known->failed);
    if (ret->n == before)
        buf_addf(ret, "published%s", known->emulated ? ", proven on an emulator" : "");
}
