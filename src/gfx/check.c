/* check.c - the rules between tables, behind `table check`. */
#include "gfx/rows.h"

#include <stdio.h>
#include <time.h>

/* "file:line: sentence" */
static int finding(const struct gfx_tables *t, enum gfx_table table, unsigned line,
                   struct gfxb_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static int finding(const struct gfx_tables *t, enum gfx_table table, unsigned line,
                   struct gfxb_error *err, const char *format, ...)
{
    struct buf CLEAN_BUF text = BUF_INIT(512);
    char *room = buf_room(&text, 400);
    va_list args;
    va_start(args, format);
    if (room) {
        int n = vsnprintf(room, 400, format, args);
        buf_grew(&text, n < 0 ? 0 : n < 400 ? (size_t)n : 399);
    }
    va_end(args);
    return error_set(err, GFXB_E_TABLE, "%s:%u: %s", t->file[table], line, buf_text(&text));
}

static bool target_is_generic(const struct gfx_target *target)
{
    return target->covers.n > 0;
}

/* Every gfx of the list is a row of the targets table. */
static int list_check(const struct gfx_tables *t, enum gfx_table table, unsigned line,
                      struct str list, struct gfxb_error *err)
{
    struct str word;
    while (str_word(&list, &word)) {
        if (!gfx_target_find(t, word))
            return finding(t, table, line, err, "'%.*s' is not in %s", STR_ARG(word),
                           t->file[GFX_TARGETS]);
    }
    return 0;
}

static int source_check(const struct gfx_tables *t, enum gfx_table table, unsigned line,
                        struct str source, struct gfxb_error *err)
{
    if (source.n)
        return 0;
    return finding(t, table, line, err, "the row has no source");
}

static int target_check_generic(const struct gfx_tables *t, const struct gfx_target *target,
                                struct gfxb_error *err)
{
    if (target->generic.n) {
        const struct gfx_target *generic = gfx_target_find(t, target->generic);
        if (!generic || !str_list_has(generic->covers, target->gfx))
            return finding(t, GFX_TARGETS, target->line, err, "'%.*s' does not cover '%.*s'",
                           STR_ARG(target->generic), STR_ARG(target->gfx));
    }
    struct str rest = target->covers, word;
    while (str_word(&rest, &word)) {
        const struct gfx_target *covered = gfx_target_find(t, word);
        if (!covered || !str_eq(covered->generic, target->gfx))
            return finding(t, GFX_TARGETS, target->line, err,
                           "'%.*s' is covered here, but '%.*s' is not its generic target",
                           STR_ARG(word), STR_ARG(target->gfx));
    }
    return 0;
}

static int target_check(const struct gfx_tables *t, const struct gfx_target *target,
                        struct gfxb_error *err)
{
    int result = source_check(t, GFX_TARGETS, target->line, target->source, err);
    if (result == 0)
        result = target_check_generic(t, target, err);
    if (result < 0 || target_is_generic(target))
        return result;
    if (target->family.n == 0 || target->generation.n == 0)
        return finding(t, GFX_TARGETS, target->line, err, "'%.*s' has no family or no generation",
                       STR_ARG(target->gfx));
    if (target->vulkan.n == 0)
        return finding(t, GFX_TARGETS, target->line, err,
                       "whether Vulkan works on '%.*s' is not said", STR_ARG(target->gfx));
    for (const struct gfx_target *before = t->target; target->kfd && before < target; before++) {
        if (before->kfd == target->kfd)
            return finding(t, GFX_TARGETS, target->line, err, "'%.*s' has the kfd value of '%.*s'",
                           STR_ARG(target->gfx), STR_ARG(before->gfx));
    }
    return 0;
}

/* Family, gfx and Vulkan come from the target's row; a card without a gfx must say why. */
static int card_check(const struct gfx_tables *t, const struct gfx_card *card,
                      struct gfxb_error *err)
{
    int result = source_check(t, GFX_CARDS, card->line, gfx_card_source(card), err);
    if (result < 0)
        return result;
    if (gfx_card_gfx(card).n == 0) {
        if (gfx_card_generation(card).n || str_is(gfx_card_confidence(card), "unverified"))
            return 0;
        return finding(t, GFX_CARDS, card->line, err,
                       "no gfx, and neither an older generation nor 'unverified' says why");
    }
    const struct gfx_target *target = gfx_target_find(t, gfx_card_gfx(card));
    if (!target || target_is_generic(target))
        return finding(t, GFX_CARDS, card->line, err, "'%.*s' is not a target in %s",
                       STR_ARG(gfx_card_gfx(card)), t->file[GFX_TARGETS]);
    return 0;
}

static int package_check_runtime(const struct gfx_tables *t, const struct gfx_package *p,
                                 struct gfxb_error *err)
{
    if (!str_is(p->runtime, "therock"))
        return 0;
    struct str rest = p->gfx, word;
    while (str_word(&rest, &word)) {
        if (!gfx_runtime_find(t, p, gfx_name_bare(word), false))
            return finding(t, GFX_PACKAGES, p->line, err,
                           "no runtime package holds '%.*s', which this one needs", STR_ARG(word));
    }
    return 0;
}

/* What can be installed can be run. */
static int package_check_engine(const struct gfx_tables *t, const struct gfx_package *p,
                                struct gfxb_error *err)
{
    struct gfx_engine engine;
    bool runtime = str_is(p->backend, "runtime");
    if (p->engine.n && (runtime || !gfx_engine_find(p->engine, &engine)))
        return finding(t, GFX_PACKAGES, p->line, err, "'%.*s' is not its engine",
                       STR_ARG(p->engine));
    if (p->engine.n == 0 && p->installable && !runtime)
        return finding(t, GFX_PACKAGES, p->line, err, "the row does not say of which engine it is");
    return 0;
}

static int package_check(const struct gfx_tables *t, const struct gfx_package *p,
                         struct gfxb_error *err)
{
    int result = source_check(t, GFX_PACKAGES, p->line, p->source, err)
                     ?: list_check(t, GFX_PACKAGES, p->line, p->gfx, err)
                     ?: list_check(t, GFX_PACKAGES, p->line, p->unconfirmed, err)
                     ?: package_check_runtime(t, p, err)
                     ?: package_check_engine(t, p, err);
    if (result < 0)
        return result;
    struct str rest = p->unconfirmed, word;
    while (str_word(&rest, &word)) {
        if (str_list_has(p->gfx, word))
            return finding(t, GFX_PACKAGES, p->line, err, "'%.*s' is both certain and unconfirmed",
                           STR_ARG(word));
    }
    if (p->installable && str_is(p->provider, "github") &&
        (!str_starts(p->locate, STR("https://")) || p->tag.n == 0))
        return finding(t, GFX_PACKAGES, p->line, err,
                       "an installable package of this provider needs an exact URL and a tag");
    return 0;
}

/* A substitute must have the same instructions and as many registers. */
static int quirk_check_override(const struct gfx_tables *t, const struct gfx_quirk *quirk,
                                struct gfxb_error *err)
{
    const struct gfx_target *substitute = gfx_target_find(t, quirk->value);
    if (!substitute)
        return finding(t, GFX_QUIRKS, quirk->line, err, "'%.*s' is not in %s",
                       STR_ARG(quirk->value), t->file[GFX_TARGETS]);
    struct str rest = quirk->gfx, word;
    while (str_word(&rest, &word)) {
        const struct gfx_target *target = gfx_target_find(t, word);
        bool alike = target && target->generic.n && target->kfd && target->vgpr_kib &&
                     str_eq(target->generic, substitute->generic) &&
                     target->kfd / 100 == substitute->kfd / 100 &&
                     target->vgpr_kib == substitute->vgpr_kib;
        if (!alike)
            return finding(t, GFX_QUIRKS, quirk->line, err,
                           "'%.*s' is no substitute for '%.*s': not the same instructions and "
                           "registers",
                           STR_ARG(quirk->value), STR_ARG(word));
    }
    return 0;
}

static int quirk_check(const struct gfx_tables *t, const struct gfx_quirk *quirk,
                       struct gfxb_error *err)
{
    return source_check(t, GFX_QUIRKS, quirk->line, quirk->source, err)
               ?: list_check(t, GFX_QUIRKS, quirk->line, quirk->gfx, err)
               ?: (quirk->effect == GFX_OVERRIDE ? quirk_check_override(t, quirk, err) : 0);
}

/* Of one origin with the outcomes: a table of the user's own may lack what they name. */
static bool proof_is_beside(const struct gfx_tables *t, enum gfx_table table)
{
    return str_eq(fs_dir(t->file[GFX_PROOFS]), fs_dir(t->file[table]));
}

/* The target is the card's. */
static int proof_check_card(const struct gfx_tables *t, const struct gfx_proof *p,
                            struct gfxb_error *err)
{
    const struct gfx_target *target = gfx_target_find(t, p->gfx);
    uint64_t device = 0;
    bool amd = str_starts(p->card, STR("1002:"));
    str_to_u64(str_skip(p->card, 5), 16, &device);
    const struct gfx_card *card = amd ? gfx_card_find(t, (uint16_t)device, -1) : NULL;
    if (amd ? !target || target_is_generic(target) : p->gfx.n > 0)
        return finding(t, GFX_PROOFS, p->line, err, "'%.*s' is not a target of the card %.*s",
                       STR_ARG(p->gfx), STR_ARG(p->card));
    if (amd && !card && proof_is_beside(t, GFX_CARDS))
        return finding(t, GFX_PROOFS, p->line, err, "the card %.*s is not in %s", STR_ARG(p->card),
                       t->file[GFX_CARDS]);
    if (card && !str_eq(gfx_card_gfx(card), p->gfx) &&
        (gfx_card_gfx(card).n || gfx_card_is_old(card)))
        return finding(t, GFX_PROOFS, p->line, err, "%s:%u says that the card %.*s is '%.*s'",
                       t->file[GFX_CARDS], card->line, STR_ARG(p->card),
                       STR_ARG(gfx_card_gfx(card)));
    return 0;
}

/* A day from tomorrow on cannot have been. */
static bool date_is_to_come(struct str date)
{
    char limit[16] = "";
    time_t tomorrow = time(NULL) + 24 * 3600;
    struct tm parts;
    if (gmtime_r(&tomorrow, &parts))
        strftime(limit, sizeof(limit), "%Y-%m-%d", &parts);
    return str_compare(date, str_from(limit)) > 0;
}

static int proof_check(const struct gfx_tables *t, const struct gfx_proof *p,
                       struct gfxb_error *err)
{
    const struct gfx_package *row;
    const struct gfx_target *target = gfx_target_find(t, p->gfx);
    struct str backend = gfx_proof_backend(t, p, &row);
    bool rocm = str_is(backend, "rocm"), proven = str_is(p->outcome, "proven");
    if (!row && !proof_is_beside(t, GFX_PACKAGES))
        return 0;
    if (p->gfx.n && !target && !proof_is_beside(t, GFX_TARGETS))
        return 0;
    if ((!rocm && !str_is(backend, "vulkan")) || (row && row->os != GFX_LINUX))
        return finding(t, GFX_PROOFS, p->line, err,
                       "'%.*s' is no package for ROCm or Vulkan on Linux", STR_ARG(p->package));
    int result = proof_check_card(t, p, err);
    if (result < 0)
        return result;
    if (rocm && (!target || (row && proven && !gfx_covers(t, target, row->gfx, NULL) &&
                             !gfx_covers(t, target, row->unconfirmed, NULL))))
        return finding(t, GFX_PROOFS, p->line, err, "'%.*s' holds no code for '%.*s'",
                       STR_ARG(p->package), STR_ARG(p->gfx));
    if (!rocm && proven && target && str_is(target->vulkan, "no"))
        return finding(t, GFX_PROOFS, p->line, err, "no Vulkan driver offers '%.*s'",
                       STR_ARG(p->gfx));
    if (!p->emulated && p->kernel.n == 0)
        return finding(t, GFX_PROOFS, p->line, err, "the row does not say which kernel ran");
    if (date_is_to_come(p->date))
        return finding(t, GFX_PROOFS, p->line, err, "the day '%.*s' is yet to come",
                       STR_ARG(p->date));
    return 0;
}

/* What remains when ROCm is unavailable: a package for Vulkan and one for the CPU. */
static int fallback_check(const struct gfx_tables *t, enum gfx_os os, const char *backend,
                          struct gfxb_error *err)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *p = &t->package[i];
        if (p->os == os && p->installable && str_is(p->backend, backend))
            return 0;
    }
    return finding(t, GFX_PACKAGES, t->n_packages ? t->package[t->n_packages - 1].line : 1, err,
                   "no installable %s package for %s: nothing is left when ROCm is unavailable",
                   backend, gfx_os_words[os]);
}

int gfx_tables_check(const struct gfx_tables *t, struct gfxb_error *err)
{
    int result = gfx_engines_check(err);
    for (size_t i = 0; result == 0 && i < t->n_targets; i++)
        result = target_check(t, &t->target[i], err);
    for (size_t i = 0; result == 0 && i < t->n_cards; i++)
        result = card_check(t, &t->card[i], err);
    for (size_t i = 0; result == 0 && i < t->n_packages; i++)
        result = package_check(t, &t->package[i], err);
    for (size_t i = 0; result == 0 && i < t->n_quirks; i++)
        result = quirk_check(t, &t->quirk[i], err);
    for (unsigned os = GFX_LINUX; result == 0 && os <= GFX_WINDOWS; os++) {
        result = fallback_check(t, (enum gfx_os)os, "vulkan", err)
                     ?: fallback_check(t, (enum gfx_os)os, "cpu", err);
    }
    for (size_t i = 0; result == 0 && i < t->n_proofs; i++)
        result = proof_check(t, &t->proof[i], err);
    return result;
}
