/* query.c - what a person asked for, or a program printed: ids, targets, families, names. */
#include "gfx/name.h"
#include "gfx/rows.h"
#include "gfx/scan.h"

#include <errno.h>
#include <stdlib.h>

#define QUERY_BYTES_MAX ((size_t)1 << 20)
#define NAME_BYTES_MAX  200 /* of a line that may be a name */
#define NAME_LINES_MAX  60
#define NEAR_NAMES      3 /* offered when nothing matches */

/* One way in which a card is called: its name, one of several names in it, or its chip's. */
struct calling {
    const struct gfx_card *card;
    enum { CALLED, CALLED_AMONG, CALLED_CHIP } kind; /* "A", "B" of "A / B"; "B" of "A/B" */
    struct gfx_name name;
};

struct query_search {
    const struct gfx_tables *t;
    struct gfx_query *query;
    struct calling *calling;
    size_t n_callings;
    bool computers; /* processors, computers and names that say nothing count, not only cards */
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

static void query_add_card(const struct query_search *s, const struct gfx_card *card)
{
    for (size_t i = 0; i < s->query->n_cards; i++) {
        if (s->query->card[i] == card)
            return;
    }
    if (s->query->n_cards < s->t->n_cards)
        s->query->card[s->query->n_cards++] = card;
}

/* What the text says by numbers: then its words do not count. */
static bool query_by_scan(const struct query_search *s, const struct gfx_scan *scan)
{
    s->query->kind = scan->n_cards ? GFX_QUERY_ID : GFX_QUERY_TARGET;
    for (size_t i = 0; i < scan->n_cards; i++)
        query_add_card(s, scan->card[i]);
    for (size_t i = 0; i < scan->n_targets; i++)
        query_add_target(s->query, scan->target[i]);
    if (scan->n_cards)
        query_conclude(s);
    else
        query_add_cards(s);
    s->query->ambiguous = false; /* each one was named */
    return scan->n_cards || scan->n_targets;
}

/* Only numbers that say nothing: of an unknown device, or of other vendors. */
static int query_not_ours(const struct gfx_scan *scan, struct str text, struct gfxb_error *err)
{
    if (scan->unknown >= 0)
        return error_set(err, GFXB_E_GFX_UNKNOWN,
                         "the PCI device id 1002:%04x is not in the table of cards: if it is a "
                         "GPU, please report it with `gfxbridge contribute`",
                         (unsigned)scan->unknown);
    struct str line = STR_NONE;
    str_cut(&text, '\n', &line);
    return error_set(err, GFXB_E_NOT_AMD, "%.*s is not an AMD device: AMD's PCI vendor id is 1002",
                     (int)(line.n < 120 ? line.n : 120), line.p);
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

/* "RDNA 3" is "RDNA3". */
static bool family_is(struct str family, const struct gfx_name *wanted)
{
    struct gfx_name name;
    gfx_name_normalise(family, false, &name);
    return name.n && gfx_name_equal(&name, wanted);
}

static void query_add_family(const struct query_search *s, struct str text)
{
    const struct gfx_tables *t = s->t;
    struct gfx_name wanted;
    gfx_name_normalise(text, false, &wanted);
    for (size_t i = 0; i < t->n_targets; i++) {
        const struct gfx_target *target = &t->target[i];
        bool hardware = target->covers.n == 0;
        if (hardware &&
            (family_is(target->family, &wanted) || family_is(target->generation, &wanted) ||
             family_is(target->generic, &wanted)))
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
    char lower[NAME_BYTES_MAX + 1];
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

/* The pieces of "A / B", "A/B", "A (B)", with the first word of the first before a bare number:
 * "Radeon RX 7900 XT/7900 XTX". Both the whole and the pieces are callings. */
static void callings_add(struct query_search *s, const struct gfx_card *card, struct str text,
                         bool chip)
{
    struct str rest = text, piece, brand = STR_NONE;
    for (unsigned n = 0;
         text.n && (n == 0 || memchr(text.p, '/', text.n)) && s->n_callings < 16 * s->t->n_cards;
         n++) {
        struct calling *c = &s->calling[s->n_callings];
        bool whole = n == 0;
        if (!whole && !str_cut(&rest, '/', &piece))
            break;
        gfx_name_normalise(whole ? text : piece, false, &c->name);
        struct str words = {c->name.text, c->name.n}, first;
        bool bare = c->name.n && c->name.text[0] >= '0' && c->name.text[0] <= '9';
        if (!whole && bare && brand.n && brand.n + 1 + c->name.n < sizeof(c->name.text)) {
            memmove(c->name.text + brand.n + 1, c->name.text, c->name.n);
            memcpy(c->name.text, brand.p, brand.n);
            c->name.text[brand.n] = ' ';
            c->name.n += brand.n + 1;
        } else if (n == 1 && str_word(&words, &first) && first.n < words.n) {
            brand = first; /* lent by the calling, which stays */
        }
        c->card = card;
        bool apart = !whole && (piece.p == text.p || piece.p[-2] == ' ' || piece.n == text.n) &&
                     (piece.p + piece.n == text.p + text.n || piece.p[piece.n - 1] == ' ');
        c->kind = chip ? CALLED_CHIP : whole || apart ? CALLED : CALLED_AMONG;
        s->n_callings += c->name.n > 0;
    }
}

static int callings_make(struct query_search *s, struct gfxb_error *err)
{
    s->calling = calloc(s->t->n_cards + 1, 16 * sizeof(*s->calling));
    if (!s->calling)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < s->t->n_cards; i++) {
        const struct gfx_card *card = &s->t->card[i];
        callings_add(s, card, gfx_card_name(card), false);
        callings_add(s, card, gfx_card_asic(card), true);
    }
    return 0;
}

/* Cards with a calling that matches, of the kinds up to this one. */
static void query_match(const struct query_search *s, const struct gfx_name *wanted, int kinds,
                        bool (*matches)(const struct gfx_name *, const struct gfx_name *))
{
    s->query->n_cards = 0;
    for (size_t i = 0; i < s->n_callings; i++) {
        const struct calling *c = &s->calling[i];
        if ((int)c->kind <= kinds && matches(&c->name, wanted) &&
            (s->query->n_cards == 0 || s->query->card[s->query->n_cards - 1] != c->card))
            s->query->card[s->query->n_cards++] = c->card;
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

/* The name without its brand: "7900 xtx" of "rx 7900 xtx". */
static struct gfx_name name_from_number(const struct gfx_name *name)
{
    struct gfx_name number = {.n = 0};
    const char *blank = memchr(name->text, ' ', name->n);
    if (!blank || blank + 1 == name->text + name->n || blank[1] < '0' || blank[1] > '9')
        return *name;
    number.n = name->n - (size_t)(blank + 1 - name->text);
    memcpy(number.text, blank + 1, number.n);
    return number;
}

static bool name_is_number(const struct gfx_name *name, const struct gfx_name *wanted)
{
    struct gfx_name number = name_from_number(name);
    return gfx_name_equal(&number, wanted);
}

/* Exactly these words: a card's names, then those among several, without the brand ("5700xt"), and
 * a chip's. */
static bool query_by_exact(const struct query_search *s, struct str text)
{
    struct gfx_name wanted;
    uint64_t number;
    gfx_name_normalise(text, false, &wanted);
    if (wanted.n == 0)
        return false;
    bool bare = str_to_u64((struct str){wanted.text, wanted.n}, 10, &number) == 0;
    for (int kind = CALLED; kind <= CALLED_CHIP; kind++) {
        query_match(s, &wanted, kind, gfx_name_equal);
        if (!query_found(s->query) && kind == CALLED_AMONG && !bare)
            query_match(s, &wanted, kind, name_is_number);
        if (query_found(s->query))
            return true;
    }
    return false;
}

/* "AMD Radeon(TM) Graphics": every card that is called no more than that. */
static bool query_by_nothing(const struct query_search *s, struct str text)
{
    struct gfx_name name;
    gfx_name_normalise(text, false, &name);
    s->query->n_cards = 0;
    for (size_t i = 0; name.n == 0 && str_has_nocase(text, STR("radeon")) && i < s->t->n_cards;
         i++) {
        struct gfx_name own;
        gfx_name_normalise(gfx_card_name(&s->t->card[i]), false, &own);
        if (gfx_card_name(&s->t->card[i]).n && own.n == 0)
            query_add_card(s, &s->t->card[i]);
    }
    return s->query->n_cards > 0;
}

/* Of the cards that were found those whose chip the line names too, if there are any. */
static void query_narrow(const struct query_search *s, struct str text)
{
    struct gfx_name words, asic;
    size_t n = 0;
    gfx_name_normalise(text, true, &words);
    for (size_t i = 0; i < s->query->n_cards; i++) {
        gfx_name_normalise(gfx_card_asic(s->query->card[i]), true, &asic);
        if (gfx_name_has_words(&words, &asic))
            s->query->card[n++] = s->query->card[i];
    }
    s->query->n_cards = n ? n : s->query->n_cards;
}

static bool query_by_loose(const struct query_search *s, struct str text, bool split)
{
    struct gfx_name wanted;
    gfx_name_normalise(text, split, &wanted);
    if (wanted.n == 0)
        return false;
    query_match(s, &wanted, CALLED_CHIP, gfx_name_has_words);
    if (s->query->n_cards == 0)
        query_match(s, &wanted, CALLED_AMONG, gfx_name_is_of_series);
    return s->query->n_cards > 0;
}

/* A code name of targets.tsv: "Gorgon Point", of which there are several. */
static bool query_by_chip(const struct query_search *s, struct str text)
{
    struct gfx_name wanted, name;
    gfx_name_normalise(text, false, &wanted);
    for (size_t i = 0; wanted.n && i < s->t->n_targets; i++) {
        struct str rest = s->t->target[i].asics, piece;
        while (s->t->target[i].covers.n == 0 && str_cut(&rest, ';', &piece)) {
            gfx_name_normalise(piece, false, &name);
            if (gfx_name_equal(&name, &wanted))
                query_add_target(s->query, &s->t->target[i]);
        }
    }
    if (s->query->n_targets)
        query_add_cards(s);
    return s->query->n_targets > 0;
}

/* Says this word of a question, which the card's name lacks, nothing about which GPU it is? */
static bool word_is_spare(const struct query_search *s, const struct gfx_card *card,
                          struct str word)
{
    struct gfx_name asic;
    gfx_name_normalise(gfx_card_asic(card), false, &asic);
    if (gfx_alias_is_word(word) || gfx_alias_is_unit(word) ||
        str_list_has((struct str){asic.text, asic.n}, word))
        return true;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] >= '0' && word.p[i] <= '9')
            return false;
    }
    for (size_t i = 0; word.n > 3 && i < s->n_callings; i++) {
        struct str words = {s->calling[i].name.text, s->calling[i].name.n}, own;
        while (str_word(&words, &own)) { /* "fireprow" is a FirePro */
            if (own.n > 3 && str_starts(word, own))
                return false;
        }
    }
    return word.n > 3;
}

static bool words_are_spare(const struct query_search *s, const struct calling *c,
                            const struct gfx_name *wanted)
{
    struct str rest = {wanted->text, wanted->n}, word;
    while (str_word(&rest, &word)) {
        struct str after = rest, unit;
        bool amount = word.p[0] >= '0' && word.p[0] <= '9' && str_word(&after, &unit) &&
                      gfx_alias_is_unit(unit); /* "8 gb" */
        if (!str_list_has((struct str){c->name.text, c->name.n}, word) && !amount &&
            !word_is_spare(s, c->card, word))
            return false;
    }
    return true;
}

/* "Memory: 7600 MiB": the number is an amount, not an RX 7600. */
static bool name_is_amount(const struct gfx_name *name, const struct gfx_name *wanted)
{
    struct str rest = {wanted->text, wanted->n}, word, before = STR_NONE;
    while (str_word(&rest, &word)) {
        if (str_eq(before, (struct str){name->text, name->n}) && gfx_alias_is_unit(word))
            return true;
        before = word;
    }
    return false;
}

/* "Sapphire Pulse RX 7900 XTX 24GB": the longest name whose words are all here, where what is left
 * says nothing. */
static bool query_by_board(const struct query_search *s, struct str text, bool split)
{
    struct gfx_name wanted;
    gfx_name_normalise(text, split, &wanted);
    size_t longest = 3;
    s->query->n_cards = 0;
    for (size_t i = 0; i < s->n_callings; i++) {
        const struct calling *c = &s->calling[i];
        struct gfx_name part = c->name;
        bool fits = gfx_name_has_words(&wanted, &part);
        if (!fits && c->kind != CALLED_CHIP) {
            part = name_from_number(&c->name);
            fits = gfx_name_has_words(&wanted, &part) && !name_is_amount(&part, &wanted);
        }
        if (!fits || part.n < longest || gfx_alias_is_word((struct str){part.text, part.n}) ||
            str_is(gfx_card_confidence(c->card), "unverified") || !words_are_spare(s, c, &wanted))
            continue;
        if (part.n > longest)
            s->query->n_cards = 0;
        longest = part.n;
        query_add_card(s, c->card);
    }
    return s->query->n_cards > 0;
}

/* Another name of a chip, a computer, a processor, before which a card in the same line counts:
 * "Ryzen 5 5600G RX 6700 XT". 1 found, 0 no, -1 a processor without a GPU. */
static int query_by_alias(const struct query_search *s, struct str text)
{
    struct gfx_alias_match match;
    s->query->n_cards = 0;
    if (!gfx_alias_find(text, &match))
        return 0;
    bool chip = str_is(match.alias.kind, "chip");
    if (!s->computers && !chip)
        return 0;
    struct str rest = {match.rest.text, match.rest.n}, list = match.alias.gfx, gfx;
    if (!chip && (query_by_exact(s, rest) || query_by_board(s, rest, false)))
        return 1;
    s->query->n_cards = 0;
    while (str_word(&list, &gfx)) {
        const struct gfx_target *target = gfx_target_find(s->t, gfx);
        if (target)
            query_add_target(s->query, target);
    }
    if (s->query->n_targets == 0)
        return match.maker || !query_by_board(s, text, true) ? -1 : 1;
    s->query->alias = match.alias;
    query_add_cards(s);
    return 1;
}

/* Whatever is said of one line by its words: 1 found, 0 nothing, -1 a processor without a GPU. */
static int query_by_words(const struct query_search *s, struct str text)
{
    struct str phrase;
    if (query_by_exact(s, text))
        return 1;
    if (query_by_exact(s, gfx_name_head(text))) {
        query_narrow(s, text);
        return 1;
    }
    for (unsigned i = 0; gfx_name_phrase(text, i, &phrase); i++) {
        if (phrase.p[-1] == '(' && query_by_chip(s, phrase)) /* RADV's name of the chip */
            return 1;
        if (query_by_exact(s, phrase)) {
            query_narrow(s, text);
            return 1;
        }
    }
    if (query_by_chip(s, text))
        return 1;
    s->query->n_cards = 0;
    int alias = query_by_alias(s, text);
    if (alias)
        return alias;
    if ((s->computers && query_by_nothing(s, text)) || query_by_loose(s, text, false) ||
        query_by_board(s, text, false) || query_by_loose(s, text, true) ||
        query_by_board(s, text, true))
        return 1;
    for (unsigned i = 0; gfx_name_phrase(text, i, &phrase); i++) {
        if (query_by_board(s, phrase, false) || query_by_loose(s, phrase, true))
            return 1;
    }
    return 0;
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

static int name_unknown(const struct query_search *s, struct str text, struct gfxb_error *err)
{
    struct gfx_name wanted;
    struct near_name near[NEAR_NAMES];
    size_t n = 0;
    gfx_name_normalise(text, false, &wanted);
    unsigned limit = wanted.n < 8 ? 1 : wanted.n < 14 ? 2 : 3;
    for (size_t i = 0; i < s->n_callings; i++) {
        const struct calling *c = &s->calling[i];
        unsigned distance = gfx_name_distance(&wanted, &c->name, limit);
        if (distance <= limit)
            near_add(near, &n,
                     c->kind == CALLED_CHIP ? gfx_card_asic(c->card) : gfx_card_name(c->card),
                     distance);
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

static int query_by_name(const struct query_search *s, struct str text, int revision,
                         struct gfxb_error *err)
{
    s->query->kind = GFX_QUERY_FAMILY;
    query_add_family(s, text);
    if (s->query->n_targets) {
        query_add_cards(s);
        return 0;
    }
    s->query->kind = GFX_QUERY_NAME;
    s->query->n_cards = 0; /* of a line before */
    int found = query_by_words(s, text);
    if (found < 0)
        return error_set(err, GFXB_E_GFX_UNKNOWN,
                         "'%.*s' is a processor without a GPU of its own: ask for the card's name "
                         "or id",
                         STR_ARG(text));
    if (!found)
        return name_unknown(s, text, err);
    if (revision >= 0 && s->query->n_cards) { /* "... [Radeon RX 7900 XT/...] (rev c8)" */
        uint16_t device = s->query->card[0]->device;
        bool same = true;
        for (size_t i = 0; i < s->query->n_cards; i++)
            same = same && s->query->card[i]->device == device;
        if (same) {
            s->query->card[0] = gfx_card_find(s->t, device, revision);
            s->query->n_cards = 1;
        }
    }
    if (s->query->n_targets == 0)
        query_conclude(s);
    s->query->ambiguous = s->query->ambiguous || s->query->n_targets > 1;
    return 0;
}

/* Lines without any number that tells: the first that is a card's name, else a processor's. */
static int query_by_lines(struct query_search *s, struct str text, struct gfxb_error *err)
{
    struct str first = STR_NONE;
    for (int pass = 0; pass < 2; pass++) {
        struct str rest = text, line;
        s->computers = pass == 1;
        for (size_t lines = 0; lines < NAME_LINES_MAX && str_cut(&rest, '\n', &line);) {
            struct gfxb_error spare;
            line = str_trim(line);
            first = first.n ? first : line;
            if (line.n < 3 || line.n > NAME_BYTES_MAX)
                continue;
            lines++;
            if (query_by_name(s, line, -1, &spare) == 0)
                return 0;
        }
    }
    return name_unknown(s, utf8_cut(first, NAME_BYTES_MAX), err);
}

/* A device id alone, "744c", or a number of KFD's, "110501". */
static bool query_by_number(const struct query_search *s, struct str text)
{
    struct str digits = text;
    uint64_t value = 0;
    const struct gfx_target *target = NULL;
    if (text.n == 4 && str_to_u64(digits, 16, &value) == 0 &&
        gfx_card_find(s->t, (uint16_t)value, -1)) {
        s->query->kind = GFX_QUERY_ID;
        query_add_card(s, gfx_card_find(s->t, (uint16_t)value, -1));
        query_conclude(s);
        return true;
    }
    if (text.n >= 5 && text.n <= 6 && str_to_u64(digits, 10, &value) == 0)
        target = gfx_target_by_kfd(s->t, (uint32_t)value);
    if (!target)
        return false;
    s->query->kind = GFX_QUERY_TARGET;
    query_add_target(s->query, target);
    query_add_cards(s);
    return true;
}

static int query_run(struct query_search *s, struct str text, struct gfxb_error *err)
{
    struct gfx_scan scan;
    bool word = !memchr(text.p, ' ', text.n) && !memchr(text.p, '\n', text.n);
    if (word && text.n > 3 && text.n <= NAME_BYTES_MAX &&
        str_eq_nocase((struct str){text.p, 3}, STR("gfx")) && !memchr(text.p, '_', text.n))
        return query_by_gfx(s, text, err);
    gfx_scan_text(s->t, text, &scan);
    if (query_by_scan(s, &scan))
        return 0;
    if (scan.unknown >= 0 || scan.foreign)
        return query_not_ours(&scan, text, err);
    uint64_t value;
    bool decimal = str_to_u64(text, 10, &value) == 0;
    if (!decimal && query_by_number(s, text))
        return 0;
    int result = callings_make(s, err);
    if (result < 0)
        return result;
    if (memchr(text.p, '\n', text.n))
        return query_by_lines(s, text, err);
    if (text.n > NAME_BYTES_MAX)
        return error_set(err, GFXB_E_GFX_UNKNOWN,
                         "a line of more than %d bytes without an id or a gfx target is no name",
                         NAME_BYTES_MAX);
    result = query_by_name(s, text, scan.revision, err);
    return result < 0 && decimal && query_by_number(s, text) ? 0 : result;
}

int gfx_query_new(const struct gfx_tables *tables, const char *asked, struct gfx_query **ret_query,
                  struct gfxb_error *err)
{
    struct str text = str_trim(str_from(asked));
    if (text.n == 0 || text.n > QUERY_BYTES_MAX)
        return error_set(err, GFXB_E_USAGE,
                         "ask for a PCI id (vendor:device, in hexadecimal), a gfx target, a family "
                         "of them, a name, or what another program printed of the GPU");
    struct query_search search = {.t = tables, .query = query_new(tables), .computers = true};
    if (!search.query)
        return error_set(err, ENOMEM, "out of memory");
    int result = query_run(&search, text, err);
    free(search.calling);
    if (result < 0) {
        gfx_query_free(search.query);
        return result;
    }
    *ret_query = search.query;
    return 0;
}
