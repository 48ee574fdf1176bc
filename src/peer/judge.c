/* judge.c - is a peer's claim right by our rows? */
#include "peer/private.h"

bool peer_glob(struct str pattern, struct str name)
{
    for (;;) {
        if (pattern.n && pattern.p[0] == '*') {
            pattern = str_skip(pattern, 1);
            for (size_t i = 0; i <= name.n; i++) {
                if (peer_glob(pattern, str_skip(name, i)))
                    return true;
            }
            return false;
        }
        if (pattern.n == 0 || name.n == 0)
            return pattern.n == name.n;
        if (pattern.p[0] != name.p[0])
            return false;
        pattern = str_skip(pattern, 1);
        name = str_skip(name, 1);
    }
}

bool peer_is_chip(const struct gfx_target *target)
{
    return target->covers.n == 0;
}

bool peer_is_family_of(struct str gfx, struct str target)
{
    if (gfx.n && gfx.p[gfx.n - 1] == 'X')
        return gfx.n == target.n && memcmp(gfx.p, target.p, gfx.n - 1) == 0;
    return str_eq(gfx, target);
}

static bool judge_fits(const struct peer *p, const struct peer_row *row,
                       const struct peer_claim *claim)
{
    return str_is(row->peer, p->request->name) && str_eq(row->table, claim->table) &&
           (row->os < 0 || row->os == (int)claim->os);
}

/* One row's answer. Code whose runtime cannot be had may be refused; AMD has no driver for
 * accelerators on Windows. */
static enum peer_truth judge_row(const struct peer *p, const struct peer_row *row,
                                 const struct peer_claim *claim, const struct gfx_target *target)
{
    if (!row->asset || gfx_covers(p->tables, target, row->unconfirmed, NULL) == GFX_VIA_EXACT)
        return PEER_OPEN;
    enum gfx_via via = gfx_covers(p->tables, target, row->gfx, NULL);
    if (via != GFX_VIA_EXACT && via != GFX_VIA_GENERIC)
        return PEER_NO;
    bool runs = !row->package || !str_is(row->package->runtime, "therock") ||
                gfx_runtime_find(p->tables, row->package, target->gfx, true);
    bool driven = claim->os != GFX_WINDOWS || target->kind != GFX_ACCELERATOR;
    return runs && driven ? PEER_YES : PEER_OPEN;
}

static void judge_name_row(const struct peer_row *row, struct buf *ret_source)
{
    buf_clear(ret_source);
    buf_addf(ret_source, "%s.tsv:%u (%.*s)", row->package ? "packages" : "peers", row->line,
             STR_ARG(row->source));
}

enum peer_truth peer_holds(const struct peer *p, const struct peer_claim *claim,
                           const struct gfx_target *target, struct buf *ret_right,
                           struct buf *ret_source)
{
    enum peer_truth truth = PEER_NO;
    const struct peer_row *no = NULL, *any = NULL;
    for (size_t i = 0; i < p->rows.n; i++) {
        const struct peer_row *row = &p->rows.row[i];
        if (!judge_fits(p, row, claim))
            continue;
        any = row;
        if (row->asset && claim->asset.n && !peer_glob(str_from(row->asset), claim->asset))
            continue;
        enum peer_truth one = judge_row(p, row, claim, target);
        if (one == PEER_YES) {
            buf_addf(ret_right, "%s holds code for it", row->asset);
            judge_name_row(row, ret_source);
            return PEER_YES;
        }
        truth = one == PEER_OPEN ? PEER_OPEN : truth;
        no = row;
    }
    if (!any || truth == PEER_OPEN)
        return PEER_OPEN;
    if (no && claim->asset.n)
        buf_addf(ret_right, "it holds code for %.*s", STR_ARG(no->gfx));
    else if (no)
        buf_addf(ret_right, "no package%s holds code for it",
                 no->os < 0              ? ""
                 : no->os == GFX_WINDOWS ? " for Windows"
                                         : " for Linux");
    else
        buf_addf(ret_right, "no file %.*s is published", STR_ARG(claim->asset));
    judge_name_row(no ? no : any, ret_source);
    return PEER_NO;
}

const struct peer_row *peer_row_of(const struct peer *p, struct str table,
                                   const struct gfx_target *target)
{
    struct peer_claim claim = {.table = table};
    for (size_t i = 0; i < p->rows.n; i++) {
        const struct peer_row *row = &p->rows.row[i];
        if (judge_fits(p, row, &claim) && judge_row(p, row, &claim, target) == PEER_YES)
            return row;
    }
    return NULL;
}

/* ---- mistakes ---- */

/* The same place, table and reason as the last one: it stands for this one too. */
static bool judge_joins(const struct peer_mistake *last, const struct peer_mistake *new)
{
    return strcmp(last->place, new->place) == 0 && strcmp(last->table, new->table) == 0 &&
           strcmp(last->says, new->says) == 0 && strcmp(last->right, new->right) == 0;
}

void peer_mistake(struct peer *p, const struct peer_claim *claim, struct str subject,
                  const char *says, const char *right, const char *source)
{
    struct peer_result *result = p->result;
    struct peer_mistake new = {
        .place = claim->line ? xasprintf("%s:%u", claim->path, claim->line) : xstrdup(claim->path),
        .table = xstr_dup(claim->table),
        .subjects = xstr_dup(subject),
        .says = xstrdup(says),
        .right = xstrdup(right),
        .source = xstrdup(source),
        .claims = 1,
    };
    for (size_t i = 0; i < result->n; i++) {
        struct peer_mistake *old = &result->mistake[i];
        if (!judge_joins(old, &new))
            continue;
        /* Revisions of one id share its name. */
        if (!str_ends(str_from(old->subjects), subject)) {
            char *subjects = xasprintf("%s, %s", old->subjects, new.subjects);
            free(old->subjects);
            old->subjects = subjects;
        }
        old->claims++;
        peer_mistake_done(&new);
        return;
    }
    if (!array_grow(&result->mistake, result->n, &result->capacity, sizeof(new)))
        xalloc_die();
    result->mistake[result->n++] = new;
}

bool peer_judge_package(struct peer *p, const struct peer_claim *claim,
                        const struct gfx_target *target, bool says)
{
    struct buf CLEAN_BUF right = BUF_INIT(4096), CLEAN_BUF source = BUF_INIT(4096);
    struct buf CLEAN_BUF said = BUF_INIT(4096);
    enum peer_truth truth = peer_holds(p, claim, target, &right, &source);
    buf_add_text(&said, says ? "supported" : "not supported");
    if (says && claim->asset.n)
        buf_addf(&said, ", by %.*s", STR_ARG(claim->asset));
    p->result->claims++;
    if (truth == PEER_OPEN)
        p->result->open++;
    else if (says == (truth == PEER_YES))
        p->result->right++;
    else
        peer_mistake(p, claim, target->gfx, buf_text(&said), buf_text(&right), buf_text(&source));
    return truth != PEER_OPEN && says != (truth == PEER_YES);
}

void peer_judge_open(struct peer *p)
{
    p->result->claims++;
    p->result->open++;
}

bool peer_judge_card(struct peer *p, const struct peer_claim *claim, const struct gfx_card *card,
                     struct str gfx)
{
    struct str right = gfx_card_gfx(card);
    p->result->claims++;
    if (right.n == 0 && !gfx_card_is_old(card)) {
        p->result->open++;
        return false;
    }
    if (peer_is_family_of(gfx, right)) {
        p->result->right++;
        return false;
    }
    char *CLEAN_FREE says = xasprintf("%.*s", STR_ARG(gfx));
    char *CLEAN_FREE is = right.n ? xstr_dup(right) : xstrdup("no gfx target");
    char *CLEAN_FREE source =
        xasprintf("cards.tsv:%u (%.*s)", card->line, STR_ARG(gfx_card_source(card)));
    char *CLEAN_FREE subject =
        xasprintf("1002:%04x %.*s", card->device, STR_ARG(gfx_card_name(card)));
    peer_mistake(p, claim, str_from(subject), says, is, source);
    return true;
}
