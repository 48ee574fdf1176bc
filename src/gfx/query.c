/* query.c - what a person asked for: a PCI id, a target, a family or a name -> every candidate. */
#include "gfx/name.h"
#include "gfx/rows.h"

#include <errno.h>
#include <stdlib.h>

#define QUERY_BYTES_MAX 200
#define NEAR_NAMES      3 /* offered when nothing matches */

struct query_search {
    const struct gfx_tables *t;
    struct gfx_query *query;
};

void gfx_query_free(struct gfx_query *query)
{
    if (!query)
        return;
    free(query->card);
    free(query->target);
    free(query);
}

/* Room for all rows at once: a query is rare and both arrays together take a few KiB. */
static struct gfx_query *query_new(const struct gfx_tables *t)
{
    struct gfx_query *query = calloc(1, sizeof(*query));
    if (!query)
        return NULL;
    query->card = calloc(t->n_cards + 1, sizeof(const struct gfx_card *));
    query->target = calloc(t->n_targets + 1, sizeof(const struct gfx_target *));
    if (!query->card || !query->target) {
        gfx_query_free(query);
        return NULL;
    }
    return query;
}

static void query_add_target(struct gfx_query *query, const struct gfx_target *target)
{
    size_t i = 0;
    while (i < query->n_targets && query->target[i] < target)
        i++;
    if (i < query->n_targets && query->target[i] == target)
        return;
    memmove(&query->target[i + 1], &query->target[i],
            (query->n_targets - i) * sizeof(query->target[0]));
    query->target[i] = target;
    query->n_targets++;
}

/* The targets of the cards, and whether they leave a choice. */
static void query_conclude(const struct query_search *s)
{
    bool without = false;
    for (size_t i = 0; i < s->query->n_cards; i++) {
        const struct gfx_target *target = gfx_target_find(s->t, gfx_card_gfx(s->query->card[i]));
        if (target)
            query_add_target(s->query, target);
        else
            without = true;
    }
    s->query->ambiguous = s->query->n_targets + (without ? 1 : 0) > 1;
}

/* Every card of the targets that were found. */
static void query_add_cards(const struct query_search *s)
{
    for (size_t i = 0; i < s->t->n_cards; i++) {
        for (size_t k = 0; k < s->query->n_targets; k++) {
            if (str_eq(gfx_card_gfx(&s->t->card[i]), s->query->target[k]->gfx))
                s->query->card[s->query->n_cards++] = &s->t->card[i];
        }
    }
    s->query->ambiguous = s->query->n_targets > 1;
}

static bool text_is_hex(struct str text, size_t max, uint64_t *ret_value)
{
    size_t prefix = str_starts(text, STR("0x")) ? 2 : 0;
    return text.n > prefix && text.n - prefix <= max && str_to_u64(text, 16, ret_value) == 0;
}

/* VENDOR:DEVICE or VENDOR:DEVICE:REVISION in hexadecimal. Not of this form: false. */
static bool id_parse(struct str text, uint64_t ret_part[static 3], unsigned *ret_n)
{
    struct str piece;
    unsigned n = 0;
    while (str_cut(&text, ':', &piece)) {
        if (n == 3 || !text_is_hex(piece, n == 2 ? 2 : 4, &ret_part[n]))
            return false;
        n++;
    }
    *ret_n = n;
    return n >= 2;
}

static int query_by_id(const struct query_search *s, struct str text, const uint64_t part[],
                       unsigned n, struct gfxb_error *err)
{
    if (part[0] != 0x1002)
        return error_set(err, GFXB_E_NOT_AMD,
                         "%.*s is not an AMD device: AMD's PCI vendor id is 1002", STR_ARG(text));
    const struct gfx_card *card =
        gfx_card_find(s->t, (uint16_t)part[1], n == 3 ? (int)part[2] : -1);
    if (!card)
        return error_set(err, GFXB_E_GFX_UNKNOWN,
                         "the PCI device id %.*s is not in the table of cards: if it is a GPU, "
                         "please report it with `gfxbridge capture`",
                         STR_ARG(text));
    s->query->kind = GFX_QUERY_ID;
    s->query->card[s->query->n_cards++] = card;
    query_conclude(s);
    return 0;
}

/* Features as LLVM writes them: "sramecc+", "xnack-". */
static bool features_are_valid(struct str features)
{
    struct str piece;
    while (str_cut(&features, ':', &piece)) {
        if (piece.n < 2 || (piece.p[piece.n - 1] != '+' && piece.p[piece.n - 1] != '-'))
            return false;
        piece.n--;
        if (!str_is(piece, "sramecc") && !str_is(piece, "xnack"))
            return false;
    }
    return true;
}

static void query_add_family(const struct query_search *s, struct str text)
{
    const struct gfx_tables *t = s->t;
    for (size_t i = 0; i < t->n_targets; i++) {
        const struct gfx_target *target = &t->target[i];
        bool hardware = target->covers.n == 0;
        if (hardware &&
            (str_eq_nocase(target->family, text) || str_eq_nocase(target->generation, text) ||
             str_eq_nocase(target->generic, text)))
            query_add_target(s->query, target);
    }
}

/* "gfx..." without a match: what the text's beginning could have meant. */
static int target_unknown(const struct gfx_tables *t, struct str text, struct gfxb_error *err)
{
    struct buf CLEAN_BUF near = BUF_INIT(256);
    for (size_t n = text.n; n > 4 && !near.n; n--) {
        struct str start = {text.p, n - 1};
        for (size_t i = 0; i < t->n_targets && near.n < 100; i++) {
            if (t->target[i].covers.n == 0 && str_starts(t->target[i].gfx, start))
                buf_addf(&near, "%s%.*s", near.n ? ", " : "", STR_ARG(t->target[i].gfx));
        }
    }
    return error_set(err, GFXB_E_GFX_UNKNOWN, "'%.*s' is no known gfx target%s%s", STR_ARG(text),
                     near.n ? "; there are: " : "", buf_text(&near));
}

static int query_by_gfx(const struct query_search *s, struct str text, struct gfxb_error *err)
{
    char lower[QUERY_BYTES_MAX + 1];
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    struct str all = {lower, text.n}, bare = gfx_name_bare(all);
    bool features = bare.n < all.n;
    if (features && !features_are_valid((struct str){lower + bare.n + 1, all.n - bare.n - 1}))
        return error_set(err, GFXB_E_USAGE,
                         "'%.*s': features are written :sramecc+ :sramecc- :xnack+ :xnack-",
                         STR_ARG(text));
    const struct gfx_target *target = gfx_target_find(s->t, bare);
    s->query->kind = GFX_QUERY_TARGET;
    if (target && target->covers.n == 0) {
        query_add_target(s->query, target);
    } else if (!features) {
        s->query->kind = GFX_QUERY_FAMILY;
        query_add_family(s, bare);
    }
    if (s->query->n_targets == 0)
        return target_unknown(s->t, bare, err);
    query_add_cards(s);
    return 0;
}

/* One of the names of a row ("A / B") has exactly these words. */
static bool card_is_called(const struct gfx_card *card, const struct gfx_name *wanted)
{
    struct gfx_name name;
    if (gfx_card_name(card).n == 0)
        return false;
    gfx_name_normalise(gfx_card_name(card), false, &name);
    if (gfx_name_equal(&name, wanted))
        return true;
    struct str rest = gfx_card_name(card);
    const char *cut;
    while (rest.n && (cut = memmem(rest.p, rest.n, " / ", 3))) {
        gfx_name_normalise((struct str){rest.p, (size_t)(cut - rest.p)}, false, &name);
        if (gfx_name_equal(&name, wanted))
            return true;
        rest.n -= (size_t)(cut - rest.p) + 3;
        rest.p = cut + 3;
    }
    gfx_name_normalise(rest, false, &name);
    return gfx_name_equal(&name, wanted);
}

static bool card_has_words(const struct gfx_card *card, const struct gfx_name *wanted)
{
    struct gfx_name name;
    gfx_name_normalise(gfx_card_name(card), false, &name);
    if (gfx_name_has_words(&name, wanted))
        return true;
    gfx_name_normalise(gfx_card_asic(card), false, &name);
    return gfx_name_has_words(&name, wanted);
}

static bool card_is_of_series(const struct gfx_card *card, const struct gfx_name *wanted)
{
    struct gfx_name name;
    gfx_name_normalise(gfx_card_name(card), false, &name);
    return gfx_name_is_of_series(&name, wanted);
}

static void query_match(const struct query_search *s, const struct gfx_name *wanted,
                        bool (*matches)(const struct gfx_card *, const struct gfx_name *))
{
    s->query->n_cards = 0;
    for (size_t i = 0; i < s->t->n_cards; i++) {
        if (matches(&s->t->card[i], wanted))
            s->query->card[s->query->n_cards++] = &s->t->card[i];
    }
}

/* Did the search find a row that somebody vouches for? Some rows only name a
 * chip that no product is known to have. */
static bool query_found(const struct gfx_query *query)
{
    for (size_t i = 0; i < query->n_cards; i++) {
        if (!str_is(gfx_card_confidence(query->card[i]), "unverified"))
            return true;
    }
    return false;
}

static bool query_by_words(const struct query_search *s, struct str text, bool split)
{
    struct gfx_name wanted;
    gfx_name_normalise(text, split, &wanted);
    if (wanted.n == 0 && !str_has_nocase(text, STR("radeon")))
        return false;
    query_match(s, &wanted, card_is_called);
    if (!query_found(s->query) && wanted.n)
        query_match(s, &wanted, card_has_words);
    if (s->query->n_cards == 0 && wanted.n)
        query_match(s, &wanted, card_is_of_series);
    return s->query->n_cards > 0;
}

/* "Ryzen 7 7840U w/ Radeon 780M Graphics" and "... with Radeon Graphics" name the GPU at the end.
 */
static struct str text_after_processor(struct str text)
{
    static const char *const joints[] = {" w/ ", " with ", NULL};
    for (size_t k = 0; joints[k]; k++) {
        struct str joint = str_from(joints[k]);
        for (size_t i = 0; i + joint.n < text.n; i++) {
            if (str_eq_nocase((struct str){text.p + i, joint.n}, joint))
                return (struct str){text.p + i + joint.n, text.n - i - joint.n};
        }
    }
    return STR_NONE;
}

struct near_name {
    struct str name;
    unsigned distance;
};

/* Keep the nearest few, each name once. */
static void near_add(struct near_name near[], size_t *n, struct str name, unsigned distance)
{
    for (size_t i = 0; i < *n; i++) {
        if (str_eq_nocase(near[i].name, name))
            return;
    }
    size_t at = *n;
    while (at > 0 && near[at - 1].distance > distance)
        at--;
    if (at == NEAR_NAMES)
        return;
    size_t last = *n < NEAR_NAMES ? *n : NEAR_NAMES - 1;
    memmove(&near[at + 1], &near[at], (last - at) * sizeof(near[0]));
    near[at] = (struct near_name){name, distance};
    *n += *n < NEAR_NAMES;
}

static int name_unknown(const struct gfx_tables *t, struct str text, struct gfxb_error *err)
{
    struct gfx_name wanted, name;
    struct near_name near[NEAR_NAMES];
    size_t n = 0;
    gfx_name_normalise(text, false, &wanted);
    unsigned limit = wanted.n < 8 ? 1 : wanted.n < 14 ? 2 : 3;
    for (size_t i = 0; i < t->n_cards; i++) {
        gfx_name_normalise(gfx_card_name(&t->card[i]), false, &name);
        unsigned distance = gfx_name_distance(&wanted, &name, limit);
        if (distance <= limit)
            near_add(near, &n, gfx_card_name(&t->card[i]), distance);
    }
    struct buf CLEAN_BUF list = BUF_INIT(512);
    for (size_t i = 0; i < n; i++)
        buf_addf(&list, "%s'%.*s'", i ? ", " : "", STR_ARG(near[i].name));
    return error_set(err, GFXB_E_GFX_UNKNOWN, "no AMD GPU is called '%.*s'%s%s", STR_ARG(text),
                     n ? "; near to it: "
                       : "; its PCI id (1002:xxxx, see `lspci -nn`) is surer "
                         "than a name",
                     buf_text(&list));
}

static int query_by_name(const struct query_search *s, struct str text, struct gfxb_error *err)
{
    s->query->kind = GFX_QUERY_FAMILY;
    query_add_family(s, text);
    if (s->query->n_targets) {
        query_add_cards(s);
        return 0;
    }
    s->query->kind = GFX_QUERY_NAME;
    struct str end = text_after_processor(text);
    if (!query_by_words(s, text, false) && !query_by_words(s, text, true) &&
        !(end.n && query_by_words(s, end, false)))
        return name_unknown(s->t, text, err);
    query_conclude(s);
    return 0;
}

static int query_run(const struct query_search *s, struct str text, struct gfxb_error *err)
{
    uint64_t part[3];
    unsigned n;
    if (id_parse(text, part, &n))
        return query_by_id(s, text, part, n, err);
    if (text.n > 3 && str_eq_nocase((struct str){text.p, 3}, STR("gfx")) &&
        !str_has(text, STR(" ")))
        return query_by_gfx(s, text, err);
    return query_by_name(s, text, err);
}

static bool text_is_printable(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
            return false;
    }
    return true;
}

int gfx_query_new(const struct gfx_tables *tables, const char *text, struct gfx_query **ret_query,
                  struct gfxb_error *err)
{
    struct str trimmed = str_trim(str_from(text));
    if (trimmed.n == 0 || trimmed.n > QUERY_BYTES_MAX || !text_is_printable(trimmed))
        return error_set(
            err, GFXB_E_USAGE,
            "ask for a PCI id (vendor:device, in hexadecimal), a gfx target, a family of "
            "them, or a name of at most %d bytes",
            QUERY_BYTES_MAX);
    struct query_search search = {tables, query_new(tables)};
    if (!search.query)
        return error_set(err, ENOMEM, "out of memory");
    int result = query_run(&search, trimmed, err);
    if (result < 0) {
        gfx_query_free(search.query);
        return result;
    }
    *ret_query = search.query;
    return 0;
}
