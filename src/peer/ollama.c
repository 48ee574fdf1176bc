/* ollama.c - the sources of Ollama: the targets that it builds, the GPUs that its page lists, and
 * the integrated ones that it uses by itself. */
#include "peer/private.h"

enum { CARD_ROWS_MAX = 16 };

static const struct str ollama_table = STR("rocm");

static struct peer_claim claim_at(const struct peer_text *text, const char *at, enum gfx_os os)
{
    return (struct peer_claim){
        .path = text->path, .line = peer_line(text, at), .table = ollama_table, .os = os};
}

/* The row of packages.tsv for the system. */
static struct str held(const struct peer *p, enum gfx_os os)
{
    for (size_t i = 0; i < p->rows.n; i++) {
        const struct peer_row *row = &p->rows.row[i];
        if (str_is(row->peer, p->request->name) && row->os == (int)os)
            return row->gfx;
    }
    return STR_NONE;
}

static bool holds(const struct peer *p, enum gfx_os os, const struct gfx_target *target)
{
    return gfx_covers(p->tables, target, held(p, os), NULL) == GFX_VIA_EXACT;
}

/* ---- what is built ---- */

/* The words "gfx90a:xnack+" whose target is, or is not, in the list. */
static void add_targets(struct buf *by, struct str words, struct str list, bool listed)
{
    struct str word;
    while (str_word(&words, &word)) {
        struct str rest = word, gfx;
        str_cut(&rest, ':', &gfx);
        if (str_list_has(list, gfx) == listed)
            buf_addf(by, "%s%.*s", by->n ? ";" : "", STR_ARG(word));
    }
}

/* "gfx908:xnack-;gfx942" of a preset */
static void judge_preset(struct peer *p, struct peer_text *text, struct str list, enum gfx_os os)
{
    struct peer_claim claim = claim_at(text, list.p, os);
    char *CLEAN_FREE words = xstr_dup(list);
    struct buf CLEAN_BUF gone = BUF_INIT(4096), CLEAN_BUF missing = BUF_INIT(4096);
    for (char *c = words; *c; c++)
        *c = *c == ';' ? ' ' : *c;
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        bool says = gfx_covers(p->tables, target, str_from(words), NULL) == GFX_VIA_EXACT;
        if (peer_is_chip(target) && peer_judge_package(p, &claim, target, says))
            buf_addf(says ? &gone : &missing, " %.*s", STR_ARG(target->gfx));
    }
    struct buf by = BUF_INIT(PEER_TEXT_MAX);
    add_targets(&by, str_from(words), buf_view(&gone), false);
    add_targets(&by, held(p, os), buf_view(&missing), true);
    if (gone.n + missing.n)
        peer_mend(text, list, &by);
    else
        buf_done(&by);
}

/* Presets "rocm_..._linux" and "rocm_..._windows", each with its "AMDGPU_TARGETS". */
static int read_presets(struct peer *p)
{
    struct peer_text *text = peer_open(p, "llama/server/CMakePresets.json");
    if (!text)
        return -p->err->code;
    struct peer_scan s;
    struct str preset = STR_NONE, list = STR_NONE;
    size_t n = 0;
    int r = 0;
    for (peer_scan_init(&s, p, text, text->bytes.p); r == 0 && s.token.p; peer_scan_next(&s)) {
        bool targets = s.is_string && str_is(s.token, "AMDGPU_TARGETS");
        if (!targets && !(s.is_string && str_is(s.token, "name")))
            continue;
        peer_scan_next(&s);
        r = peer_scan_need(&s, ": $", targets ? &list : &preset);
        if (!targets || !str_starts(preset, STR("rocm_")) ||
            !(str_ends(preset, STR("_linux")) || str_ends(preset, STR("_windows"))))
            continue;
        if (r == 0)
            judge_preset(p, text, list, str_ends(preset, STR("_linux")) ? GFX_LINUX : GFX_WINDOWS);
        n++;
    }
    if (r == 0 && n == 0)
        r = peer_unknown(p, text, text->bytes.p, "no preset rocm_..._linux has AMDGPU_TARGETS");
    return r;
}

/* ---- integrated GPUs ---- */

/* Lines "gfx1151": {}, of a map: what is wrong goes, what is missing comes before its end. */
static int read_integrated(struct peer *p)
{
    struct peer_text *text = peer_open(p, "discover/runner.go");
    struct peer_scan s;
    struct buf CLEAN_BUF listed = BUF_INIT(4096);
    int r = text ? peer_scan_find(&s, p, text, "var defaultIntegratedROCmGFXTargets = ")
                 : -p->err->code;
    if (r == 0)
        r = peer_scan_need(&s, "map [ string ] struct { } {", NULL);
    const char *from = r == 0 ? s.end : NULL;
    while (r == 0 && !peer_scan_is(&s, "}")) {
        struct str gfx = STR_NONE;
        r = peer_scan_need(&s, "$ : { }", &gfx);
        const struct gfx_target *target = gfx_target_find(p->tables, gfx);
        if (r == 0 && !target)
            r = peer_unknown(p, text, gfx.p, "this is no target");
        if (r < 0)
            return r;
        struct peer_claim claim = claim_at(text, gfx.p, GFX_LINUX);
        struct buf none = BUF_INIT(1);
        if (peer_judge_package(p, &claim, target, true))
            peer_mend(text, (struct str){gfx.p - 1, (size_t)(s.end - gfx.p + 1)}, &none);
        buf_addf(&listed, " %.*s", STR_ARG(gfx));
        (void)peer_scan_take(&s, ",");
    }
    if (r < 0)
        return r;
    struct buf by = BUF_INIT(4096);
    struct peer_claim claim = claim_at(text, from, GFX_LINUX);
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        if (peer_is_chip(target) && target->kind == GFX_INTEGRATED &&
            !str_list_has(buf_view(&listed), target->gfx) &&
            peer_judge_package(p, &claim, target, false))
            buf_addf(&by, "\t\"%.*s\": {},\n", STR_ARG(target->gfx));
    }
    if (by.n)
        peer_mend(text, (struct str){s.token.p, 0}, &by);
    return 0;
}

/* ---- the page ---- */

/* The fields of a Markdown row "| a | b |"; false: it has not two. */
static bool row_fields(struct str line, struct str *ret_first, struct str *ret_second)
{
    if (!str_strip(&line, STR("|")) || !str_cut(&line, '|', ret_first) ||
        !str_cut(&line, '|', ret_second) || str_trim(line).n)
        return false;
    *ret_first = str_trim(*ret_first);
    *ret_second = str_trim(*ret_second);
    return true;
}

/* Has every row from this one, the table's first, two fields? Both are written when it is mended.
 */
static int check_table(struct peer *p, const struct peer_text *text, const char *from, size_t max)
{
    struct str rest = {from, (size_t)(text->bytes.p + text->bytes.n - from)}, line, first, second;
    for (size_t n = 0; str_cut(&rest, '\n', &line) && str_starts(line, STR("|")); n++) {
        if (!row_fields(line, &first, &second) || n == max)
            return peer_unknown(p, text, line.p, "the row has not two fields, or is one too many");
    }
    return 0;
}

/* The targets of a name, as "gfx1100 gfx1101"; empty: the tables do not know it. */
static void name_targets(const struct gfx_tables *t, const char *name, struct buf *ret)
{
    struct gfx_query *query;
    struct gfxb_error err;
    if (gfx_query_new(t, name, &query, &err) < 0)
        return;
    for (size_t i = 0; i < query->n_targets; i++)
        buf_addf(ret, "%s%.*s", ret->n ? " " : "", STR_ARG(query->target[i]->gfx));
    gfx_query_free(query);
}

static bool name_is_shared(const struct gfx_tables *t, struct str name, struct str gfx)
{
    for (size_t i = 0; i < t->n_cards; i++) {
        if (str_eq(gfx_card_name(&t->card[i]), name) && !str_eq(gfx_card_gfx(&t->card[i]), gfx))
            return true;
    }
    return false;
}

/* The shortest name of a card of this target that no other target shares; empty: there is none. */
static struct str name_for(const struct gfx_tables *t, struct str gfx)
{
    struct str best = STR_NONE;
    for (size_t i = 0; i < t->n_cards; i++) {
        struct str name = gfx_card_name(&t->card[i]);
        struct buf CLEAN_BUF targets = BUF_INIT(4096);
        if (!str_eq(gfx_card_gfx(&t->card[i]), gfx) || (best.n && name.n >= best.n) ||
            !str_starts(name, STR("AMD ")) || str_has(name, STR("/")) ||
            name_is_shared(t, name, gfx))
            continue;
        char *CLEAN_FREE text = xstr_dup(name);
        name_targets(t, text, &targets);
        best = str_eq(buf_view(&targets), gfx) ? name : best;
    }
    return best;
}

/* An example of a target: a card of it. True: it is one of another. */
static bool judge_example(struct peer *p, const struct peer_claim *claim, struct str gfx,
                          struct str name)
{
    struct buf CLEAN_BUF targets = BUF_INIT(4096);
    struct str first = name;
    str_cut(&name, '/', &first);
    char *CLEAN_FREE text = xstr_dup(first);
    char *CLEAN_FREE says = xasprintf("%.*s", STR_ARG(gfx));
    name_targets(p->tables, text, &targets);
    p->result->claims++;
    if (targets.n == 0) {
        p->result->open++;
        return false;
    }
    if (str_list_has(buf_view(&targets), gfx)) {
        p->result->right++;
        return false;
    }
    peer_mistake(p, claim, first, says, buf_text(&targets), "cards.tsv");
    return true;
}

/* The table "| **LLVM Target** | **An Example GPU** |": a row for each target that is built. */
static int read_examples(struct peer *p, struct peer_text *text)
{
    struct str rest = buf_view(&text->bytes), line, gfx, name;
    struct buf CLEAN_BUF listed = BUF_INIT(4096);
    const char *head = rest.n ? memmem(rest.p, rest.n, "| **LLVM Target**", 17) : NULL;
    if (!head)
        return peer_unknown(p, text, rest.p, "it has no table of LLVM targets");
    if (check_table(p, text, head, SIZE_MAX) < 0)
        return -p->err->code;
    rest = str_skip(rest, (size_t)(head - rest.p));
    str_cut(&rest, '\n', &line);
    str_cut(&rest, '\n', &line);
    const char *end = rest.p;
    struct buf by = BUF_INIT(1 << 16);
    while (!peer_stopped(p) && str_cut(&rest, '\n', &line) && row_fields(line, &gfx, &name)) {
        const struct gfx_target *target = gfx_target_find(p->tables, gfx);
        if (!target)
            return buf_done(&by), peer_unknown(p, text, line.p, "the row names no target");
        struct peer_claim claim = claim_at(text, line.p, GFX_LINUX);
        bool other = judge_example(p, &claim, gfx, name);
        bool absent = peer_judge_package(p, &claim, target, true);
        buf_addf(&listed, " %.*s", STR_ARG(gfx));
        if (other)
            name = name_for(p->tables, gfx);
        struct buf one = BUF_INIT(4096);
        if (!absent)
            buf_addf(&one, "| %.*s | %.*s |", STR_ARG(gfx), STR_ARG(name));
        if (other || absent)
            peer_mend(text, line, &one);
        buf_done(&one);
        end = line.p + line.n + 1;
    }
    struct peer_claim claim = claim_at(text, head, GFX_LINUX);
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        if (!peer_is_chip(target) || str_list_has(buf_view(&listed), target->gfx) ||
            !peer_judge_package(p, &claim, target, false))
            continue;
        name = name_for(p->tables, target->gfx);
        buf_addf(&by, "| %.*s | %.*s |\n", STR_ARG(target->gfx), STR_ARG(name));
    }
    peer_mend(text, (struct str){end, 0}, &by);
    return 0;
}

/* A row "| AMD Radeon RX | `7900 XTX` `7900 XT` |" of a table of cards. */
struct card_row {
    struct str head, line; /* line empty: a new one */
    struct buf names;      /* without what no package serves, and with what was missing */
    bool changed;
};

/* Judges a row's names, and adds the targets that they have to *listed. */
static void judge_cards(struct peer *p, const struct peer_claim *claim, struct str names,
                        struct card_row *row, struct buf *listed)
{
    struct str name;
    while (!peer_stopped(p) && str_cut(&names, '`', &name) && str_cut(&names, '`', &name)) {
        struct buf CLEAN_BUF targets = BUF_INIT(4096);
        char *CLEAN_FREE whole = xasprintf("%.*s %.*s", STR_ARG(row->head), STR_ARG(name));
        char *CLEAN_FREE alone = xstr_dup(name);
        name_targets(p->tables, whole, &targets);
        if (targets.n == 0)
            name_targets(p->tables, alone, &targets);
        struct str rest = buf_view(&targets), word;
        bool served = targets.n == 0;
        while (str_word(&rest, &word))
            served |= holds(p, claim->os, gfx_target_find(p->tables, word));
        p->result->claims++;
        p->result->open += targets.n == 0;
        p->result->right += targets.n && served;
        row->changed |= !served;
        if (!served)
            peer_mistake(p, claim, str_from(whole), "supported", buf_text(&targets), "cards.tsv");
        else
            buf_addf(&row->names, " `%.*s`", STR_ARG(name));
        buf_addf(listed, " %s", served ? buf_text(&targets) : "");
    }
}

/* A card for a target that no row names: into the row whose head its name begins with. */
static void add_card(const struct gfx_tables *t, struct str gfx, struct card_row *row, size_t *n)
{
    struct str name = name_for(t, gfx), brand = STR_NONE;
    size_t i = 0;
    while (i < *n && !str_starts_nocase(name, row[i].head))
        i++;
    if (name.n == 0 || i == CARD_ROWS_MAX)
        return;
    if (i == *n) {
        struct str rest = str_skip(name, 4); /* "AMD " */
        str_word(&rest, &brand);
        row[(*n)++] = (struct card_row){
            .head = {name.p, (size_t)(brand.p + brand.n - name.p)},
            .names = BUF_INIT(1 << 16),
        };
    }
    row[i].changed = true;
    buf_addf(&row[i].names, " `%.*s`", STR_ARG(str_trim(str_skip(name, row[i].head.n))));
}

/* The table of cards of one system: every target that is built for it has a card in it. */
static int read_cards(struct peer *p, struct peer_text *text, const char *title, enum gfx_os os)
{
    struct str rest = buf_view(&text->bytes), line, head, names;
    struct buf CLEAN_BUF listed = BUF_INIT(1 << 16);
    struct card_row row[CARD_ROWS_MAX];
    const char *at = rest.n ? memmem(rest.p, rest.n, title, strlen(title)) : NULL;
    rest = at ? str_skip(rest, (size_t)(at - rest.p)) : STR_NONE;
    do
        line = STR_NONE;
    while (str_cut(&rest, '\n', &line) && !str_starts(line, STR("| Family")));
    if (!line.n)
        return peer_unknown(p, text, at ? at : text->bytes.p, "it has no table of cards");
    if (check_table(p, text, line.p, CARD_ROWS_MAX + 2) < 0)
        return -p->err->code;
    struct peer_claim claim = claim_at(text, line.p, os);
    str_cut(&rest, '\n', &line);
    const char *end = rest.p;
    struct buf by = BUF_INIT(1 << 16);
    size_t n = 0;
    while (n < CARD_ROWS_MAX && str_cut(&rest, '\n', &line) && row_fields(line, &head, &names)) {
        struct peer_claim here = claim_at(text, line.p, os);
        row[n] = (struct card_row){.head = head, .line = line, .names = BUF_INIT(1 << 16)};
        judge_cards(p, &here, names, &row[n++], &listed);
        end = line.p + line.n + 1;
    }
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        if (peer_is_chip(target) && !str_list_has(buf_view(&listed), target->gfx) &&
            peer_judge_package(p, &claim, target, false))
            add_card(p->tables, target->gfx, row, &n);
    }
    for (size_t i = 0; i < n; i++) {
        struct buf one = BUF_INIT(1 << 16);
        struct buf *new = row[i].line.n ? &one : &by;
        if (row[i].changed && row[i].names.n)
            buf_addf(new, "| %.*s |%s |%s", STR_ARG(row[i].head), buf_text(&row[i].names),
                     row[i].line.n ? "" : "\n");
        if (row[i].changed && row[i].line.n)
            peer_mend(text, row[i].line, &one);
        buf_done(&one);
        buf_done(&row[i].names);
    }
    peer_mend(text, (struct str){end, 0}, &by);
    return 0;
}

static int ollama_read(struct peer *p)
{
    int r = read_presets(p);
    if (r == 0)
        r = read_integrated(p);
    struct peer_text *page = r == 0 ? peer_open(p, "docs/gpu.mdx") : NULL;
    if (r == 0 && !page)
        return -p->err->code;
    if (r == 0)
        r = read_cards(p, page, "\n### Linux Support", GFX_LINUX);
    if (r == 0)
        r = read_cards(p, page, "\n### Windows Support", GFX_WINDOWS);
    if (r == 0)
        r = read_examples(p, page);
    peer_set_commit(p);
    return r;
}

const struct peer_driver peer_ollama = {"ollama", NULL, ollama_read};
