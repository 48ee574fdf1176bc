/* names.c - rules that tell a target by what a card is called: judged for every name of every
 * card, and narrowed until they fit no card of another target. */
#include "peer/private.h"

#include <ctype.h>

enum { NAME_WORDS_MAX = 24 };

/* A card's name as the rules see it. */
struct name {
    const struct gfx_card *card;
    char *text;  /* lower case; with rules of words, words between single blanks, one at each end */
    size_t rule; /* that fits first; SIZE_MAX none */
    bool taken;  /* a new rule fits it, before those that are still made */
};

struct names {
    struct name *item;
    size_t n, capacity;
};

/* Names of a row are separated by " / ". */
static void names_add(struct names *names, const struct gfx_card *card, struct str text, bool words)
{
    char *lower = xmalloc(text.n + 3), *out = lower;
    for (size_t i = 0; words && i <= text.n; i++) {
        char c = i < text.n && isalnum((unsigned char)text.p[i]) ? str_lower(text.p[i]) : ' ';
        if (i == 0)
            *out++ = ' ';
        if (c != ' ' || out[-1] != ' ')
            *out++ = c;
    }
    for (size_t i = 0; !words && i < text.n; i++)
        *out++ = str_lower(text.p[i]);
    *out = '\0';
    if (!array_grow(&names->item, names->n, &names->capacity, sizeof(*names->item)))
        xalloc_die();
    names->item[names->n++] = (struct name){card, lower, SIZE_MAX, false};
}

static bool name_fits(const char *name, struct str literal, bool words)
{
    const char *end = name + strlen(name);
    for (const char *at = name; at < end; at++) {
        at = memmem(at, (size_t)(end - at), literal.p, literal.n);
        if (!at)
            return false;
        if (!words || (at > name && at[-1] == ' ' && at[literal.n] == ' '))
            return true;
    }
    return false;
}

static bool name_has(const char *name, const struct peer_rule *rule, bool words)
{
    for (size_t i = 0; i < rule->n; i++) {
        if (name_fits(name, rule->literal[i], words))
            return true;
    }
    return false;
}

static size_t names_rule(const char *name, const struct peer_rules *rules)
{
    if (rules->guard.n && !name_has(name, &rules->guard, rules->words))
        return SIZE_MAX;
    for (size_t r = 0; r < rules->n; r++) {
        if (name_has(name, &rules->rule[r], rules->words))
            return r;
    }
    return SIZE_MAX;
}

static void names_read(const struct peer *p, const struct peer_rules *rules, struct names *ret)
{
    const struct gfx_tables *t = p->tables;
    for (size_t i = 0; i < t->n_cards; i++) {
        struct str name = gfx_card_name(&t->card[i]);
        while (name.n) {
            const char *end = memmem(name.p, name.n, " / ", 3);
            size_t n = end ? (size_t)(end - name.p) : name.n;
            names_add(ret, &t->card[i], (struct str){name.p, n}, rules->words);
            name = str_skip(name, end ? n + 3 : n);
        }
    }
    for (size_t i = 0; i < ret->n && !peer_stopped(p); i++)
        ret->item[i].rule = names_rule(ret->item[i].text, rules);
}

/* ---- narrowing ---- */

/* What a rule is narrowed for: the names that come to it, and those of one target among them. */
struct narrow {
    struct names *names;
    const struct peer_rules *rules;
    size_t index; /* of the rule */
    struct str gfx;
    bool behind; /* names that new rules before this one take do not count */
};

static bool narrow_is_of(const struct narrow *w, const struct name *name)
{
    return name->rule == w->index && str_eq(gfx_card_gfx(name->card), w->gfx);
}

/* Do these words also stand in the name of a card of another target that comes to this rule? */
static bool narrow_is_wrong(const struct narrow *w, struct str literal)
{
    for (size_t i = 0; i < w->names->n; i++) {
        const struct name *name = &w->names->item[i];
        if (name->rule >= w->index && !(w->behind && name->taken) &&
            !str_eq(gfx_card_gfx(name->card), w->gfx) &&
            name_fits(name->text, literal, w->rules->words))
            return true;
    }
    return false;
}

/* The fewest words of the name, one of the rule's literals among them, that no other target's card
 * has; empty: the name cannot tell. */
static struct str narrow_name(const struct narrow *w, const struct name *name)
{
    const struct peer_rule *old = &w->rules->rule[w->index];
    struct str word[NAME_WORDS_MAX], rest = str_from(name->text), piece;
    size_t n = 0;
    while (str_word(&rest, &piece)) {
        while (n < NAME_WORDS_MAX && str_cut(&piece, '/', &word[n]))
            n++;
    }
    for (size_t length = 1; length <= n; length++) {
        for (size_t i = 0; i + length <= n; i++) {
            const struct str *last = &word[i + length - 1];
            struct str part = {word[i].p, (size_t)(last->p + last->n - word[i].p)};
            bool has = false;
            for (size_t l = 0; l < old->n; l++)
                has |= str_has(part, old->literal[l]);
            if (has && !str_has(part, STR("/")) && !narrow_is_wrong(w, part))
                return part;
        }
    }
    return STR_NONE;
}

/* Does a literal that no card's name has ("rx7600") stand for this target, blanks left out? */
static bool narrow_is_squeezed(const struct narrow *w, struct str literal)
{
    bool of = false;
    for (size_t i = 0; i < w->names->n; i++) {
        const struct name *name = &w->names->item[i];
        struct buf CLEAN_BUF text = BUF_INIT(4096);
        struct str rest = str_from(name->text), word;
        if (name_fits(name->text, literal, w->rules->words))
            return false;
        while (str_word(&rest, &word))
            buf_add_str(&text, word);
        bool has = str_has(buf_view(&text), literal);
        if (has && !str_eq(gfx_card_gfx(name->card), w->gfx))
            return false;
        of |= has;
    }
    return of;
}

static void narrow_add(const struct narrow *w, struct peer_rule *rule, struct str literal)
{
    if (rule->n == sizeof(rule->literal) / sizeof(rule->literal[0]))
        return;
    rule->literal[rule->n++] = literal;
    for (size_t i = 0; i < w->names->n; i++) {
        struct name *name = &w->names->item[i];
        name->taken |= narrow_is_of(w, name) && name_fits(name->text, literal, w->rules->words);
    }
}

/* The rule for one target that a rule stood for; n 0: none. Literals that are right for all cards
 * stay as they are. */
static struct peer_rule narrow_target(const struct narrow *w)
{
    const struct peer_rule *old = &w->rules->rule[w->index];
    struct peer_rule new = {.gfx = w->gfx};
    for (size_t l = 0; l < old->n; l++) {
        bool fits = !w->behind && narrow_is_squeezed(w, old->literal[l]);
        for (size_t i = 0; i < w->names->n && !fits; i++)
            fits = narrow_is_of(w, &w->names->item[i]) && !w->names->item[i].taken &&
                   name_fits(w->names->item[i].text, old->literal[l], w->rules->words);
        if (fits && !narrow_is_wrong(w, old->literal[l]))
            narrow_add(w, &new, old->literal[l]);
    }
    for (size_t i = 0; i < w->names->n; i++) {
        const struct name *name = &w->names->item[i];
        struct str part = narrow_is_of(w, name) && !name->taken ? narrow_name(w, name) : STR_NONE;
        if (part.n)
            narrow_add(w, &new, part);
    }
    return new;
}

/* Rules that fit no card of another target; then those that do so only behind them: "rx 6700" is
 * also in "rx 6700s". */
static void narrow_rule(const struct peer *p, struct peer_text *text, struct names *names,
                        size_t index, const struct peer_rules *rules)
{
    const struct peer_rule *old = &rules->rule[index];
    struct narrow w = {.names = names, .rules = rules, .index = index};
    struct buf by = BUF_INIT(1 << 20);
    for (unsigned pass = 0; pass < 2; pass++) {
        w.behind = pass == 1;
        for (size_t i = 0; i < p->tables->n_targets && !peer_stopped(p); i++) {
            w.gfx = p->tables->target[i].gfx;
            struct peer_rule new = {.n = 0};
            if (peer_is_family_of(old->gfx, w.gfx))
                new = narrow_target(&w);
            if (new.n && by.n)
                buf_add_text(&by, rules->between);
            if (new.n)
                rules->write(&new, &by);
        }
    }
    peer_mend(text, old->bytes, &by);
}

void peer_judge_names(struct peer *p, struct peer_text *text, const struct peer_rules *rules)
{
    struct names names = {.n = 0};
    names_read(p, rules, &names);
    for (size_t r = 0; r < rules->n && !peer_stopped(p); r++) {
        const struct peer_rule *rule = &rules->rule[r];
        struct peer_claim claim = {
            .path = text->path,
            .line = rule->line,
            .table = STR("names of cards"),
        };
        bool family = rule->gfx.n && rule->gfx.p[rule->gfx.n - 1] == 'X', wrong = family;
        for (size_t i = 0; i < names.n; i++) {
            if (names.item[i].rule == r)
                wrong |= peer_judge_card(p, &claim, names.item[i].card, rule->gfx);
        }
        if (wrong)
            narrow_rule(p, text, &names, r, rules);
    }
    for (size_t i = 0; i < names.n; i++)
        free(names.item[i].text);
    free(names.item);
}
