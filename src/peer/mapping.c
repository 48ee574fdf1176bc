/* mapping.c - anybody's mapping: a table whose first column is an id, a name or a gfx target, and
 * whose second is the target or the package for it. */
#include "peer/private.h"

/* Is it a package of ours, or a file that one of them is got from? */
static const struct gfx_package *mapping_package(const struct gfx_tables *t, struct str says)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *package = &t->package[i];
        if (str_eq(package->id, says) ||
            (str_has(package->locate, STR("://")) && str_ends(package->locate, says)))
            return package;
    }
    return NULL;
}

static void mapping_judge_target(struct peer *p, const struct peer_claim *claim, struct str key,
                                 struct str says, const struct gfx_query *query)
{
    const struct gfx_target *target = query->target[0];
    const struct gfx_package *package = mapping_package(p->tables, says);
    char *CLEAN_FREE text = xasprintf("%.*s", STR_ARG(says));
    bool is_target = gfx_target_find(p->tables, says) || str_starts(says, STR("gfx"));
    bool right = is_target ? peer_is_family_of(says, target->gfx) : false;
    struct buf CLEAN_BUF is = BUF_INIT(4096), CLEAN_BUF source = BUF_INIT(4096);
    if (is_target) {
        buf_add_str(&is, target->gfx);
        buf_addf(&source, "targets.tsv:%u", target->line);
        if (query->n_cards)
            buf_clear(&source);
        if (query->n_cards)
            buf_addf(&source, "cards.tsv:%u (%.*s)", query->card[0]->line,
                     STR_ARG(gfx_card_source(query->card[0])));
    } else if (package) {
        enum gfx_via via = gfx_covers(p->tables, target, package->gfx, NULL);
        right = package->gfx.n == 0 || via == GFX_VIA_EXACT || via == GFX_VIA_GENERIC ||
                gfx_covers(p->tables, target, package->unconfirmed, NULL) == GFX_VIA_EXACT;
        buf_addf(&is, "it is %.*s, and that package holds code for %.*s", STR_ARG(target->gfx),
                 STR_ARG(package->gfx));
        buf_addf(&source, "packages.tsv:%u (%.*s)", package->line, STR_ARG(package->source));
    }
    bool open = !is_target && !package;
    p->result->claims++;
    p->result->open += open;
    p->result->right += right;
    if (!right && !open)
        peer_mistake(p, claim, key, text, buf_text(&is), buf_text(&source));
}

static void mapping_judge(struct peer *p, const struct peer_claim *claim, struct str key,
                          struct str says)
{
    struct gfx_query *query;
    struct gfxb_error err;
    char *CLEAN_FREE text = xstr_dup(key);
    if (gfx_query_new(p->tables, text, &query, &err) < 0) {
        peer_judge_open(p);
        return;
    }
    if (query->n_targets == 1 && !query->ambiguous)
        mapping_judge_target(p, claim, key, says, query);
    else
        peer_judge_open(p);
    gfx_query_free(query);
}

int peer_mapping_read(struct peer *p)
{
    static const char *const keys[] = {"id", "name", "gfx", NULL};
    struct buf CLEAN_BUF bytes = BUF_INIT(PEER_TEXT_MAX);
    int r = fs_read(p->request->file, PEER_TEXT_MAX, &bytes);
    if (r < 0)
        return fs_error(p->err, -r, "read", p->request->file);
    struct str rest = buf_view(&bytes), line, key, says;
    bool head = false;
    for (unsigned n = 1; !peer_stopped(p) && str_cut(&rest, '\n', &line); n++) {
        line = str_trim_end(line, '\r');
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (!str_cut(&line, '\t', &key) || !line.n || memchr(line.p, '\t', line.n))
            return error_set(p->err, GFXB_E_TABLE, "%s:%u: a row has two fields and a tab between",
                             p->request->file, n);
        says = line;
        struct peer_claim claim = {
            .path = p->request->file, .line = n, .table = STR("mapping"), .os = p->request->os};
        if (head && !str_is(says, "-"))
            mapping_judge(p, &claim, key, says);
        bool known = false;
        for (size_t i = 0; keys[i]; i++)
            known |= str_is(key, keys[i]);
        if (!head && !known)
            return error_set(p->err, GFXB_E_TABLE,
                             "%s:%u: the first column is called id, name or gfx, not '%.*s'",
                             p->request->file, n, STR_ARG(key));
        head = true;
    }
    return head ? 0 : error_set(p->err, GFXB_E_TABLE, "%s: the table is empty", p->request->file);
}
