/* card.c - data/cards.tsv: PCI device ids (vendor 1002) and their revisions. */
#include "gfx/rows.h"

enum { DEVICE, REVISION, NAME, ASIC, GFX, GENERATION, KIND, CONFIDENCE, SOURCE };

/* A run asks for a few rows of thousands, so the fields stay in the text. */
static const struct gfx_column card_columns[] = {
    {.title = "device"}, {.title = "revision"},
    {.title = "name"},   {.title = "asic"},
    {.title = "gfx"},    {.title = "generation"},
    {.title = "kind"},   {.title = "confidence"},
    {.title = "source"}, {0},
};

static const char *const confidence_words[] = {"verified", "single",     "inferred",
                                               "disputed", "unverified", NULL};

/* Exactly `digits` hexadecimal digits: sorting and people rely on the width. */
static int card_read_hex(const struct gfx_cursor *at, unsigned column, size_t digits,
                         unsigned *ret_value, struct gfxb_error *err)
{
    struct str text = at->row->field[column];
    uint64_t value;
    if (text.n != digits || text.p[1] == 'x' || text.p[1] == 'X' ||
        str_to_u64(text, 16, &value) < 0)
        return GFX_BAD(at, column, "'%.*s' is not %zu hexadecimal digits", STR_ARG(text), digits);
    *ret_value = (unsigned)value;
    return 0;
}

static int card_read_key(const struct gfx_cursor *at, struct gfx_card *card, struct gfxb_error *err)
{
    unsigned device = 0, revision = 0;
    bool any = str_is(at->row->field[REVISION], "*");
    int result = card_read_hex(at, DEVICE, 4, &device, err);
    if (result == 0 && !any)
        result = card_read_hex(at, REVISION, 2, &revision, err);
    if (result < 0)
        return result;
    card->device = (uint16_t)device;
    card->revision = any ? -1 : (int16_t)revision;
    const struct gfx_card *before = gfx_rows_previous(at->rows);
    bool same = before && before->device == card->device;
    if (!any && !same)
        return GFX_BAD(at, REVISION,
                       "the first row of a device must be the one for any revision: *");
    if (same && before->revision == card->revision)
        return GFX_BAD(at, REVISION, "this device and revision are listed twice");
    if (before && (before->device > card->device || (same && before->revision > card->revision)))
        return GFX_BAD(at, DEVICE, "rows must be sorted by device, then revision");
    return 0;
}

/* The fields that most rows share with the row before: checked only when they differ from it. */
static int card_check_words(const struct gfx_cursor *at, struct gfx_card *card,
                            struct gfxb_error *err)
{
    const struct str *field = at->row->field, *before = at->before ? at->before->field : NULL;
    const struct gfx_card *last = gfx_rows_previous(at->rows);
    unsigned kind = last ? last->kind : 0, confidence;
    int result = 0;
    if (!before || !str_eq(before[GFX], field[GFX]))
        result = gfx_field_targets(at, GFX, err);
    if (result == 0 && (!before || !str_eq(before[CONFIDENCE], field[CONFIDENCE])))
        result = gfx_field_word(at, CONFIDENCE, confidence_words, &confidence, err);
    if (result == 0 && (!last || !str_is(field[KIND], gfx_kind_words[kind])))
        result = gfx_field_word(at, KIND, gfx_kind_words, &kind, err);
    card->kind = (enum gfx_kind)kind;
    return result;
}

static int card_read(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_card *card = item;
    const struct str *field = at->row->field;
    card->text = field[NAME].p;
    card->text_bytes = (uint32_t)(field[SOURCE].p + field[SOURCE].n - card->text);
    card->line = at->row->line;
    return card_read_key(at, card, err) ?: card_check_words(at, card, err)
               ?: gfx_field_required(at, SOURCE, err);
}

static struct str card_field(const struct gfx_card *card, unsigned column)
{
    struct str rest = card ? (struct str){card->text, card->text_bytes} : STR_NONE, field = rest;
    for (unsigned i = NAME; i <= column; i++)
        str_cut(&rest, '\t', &field);
    return str_is(field, "-") ? (struct str){field.p, 0} : field;
}

struct str gfx_card_name(const struct gfx_card *card)
{
    return card_field(card, NAME);
}

struct str gfx_card_asic(const struct gfx_card *card)
{
    return card_field(card, ASIC);
}

struct str gfx_card_gfx(const struct gfx_card *card)
{
    return card_field(card, GFX);
}

struct str gfx_card_generation(const struct gfx_card *card)
{
    return card_field(card, GENERATION);
}

struct str gfx_card_confidence(const struct gfx_card *card)
{
    return card_field(card, CONFIDENCE);
}

struct str gfx_card_source(const struct gfx_card *card)
{
    return card_field(card, SOURCE);
}

bool gfx_card_is_old(const struct gfx_card *card)
{
    return gfx_card_generation(card).n && !gfx_card_gfx(card).n &&
           !str_is(gfx_card_confidence(card), "unverified");
}

const struct gfx_reader gfx_card_reader = {card_columns, sizeof(struct gfx_card), SIZE_MAX,
                                           card_read};

const struct gfx_card *gfx_card_find(const struct gfx_tables *t, uint16_t device, int revision)
{
    size_t low = 0, high = t->n_cards;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->card[middle].device < device)
            low = middle + 1;
        else
            high = middle;
    }
    const struct gfx_card *found = NULL;
    for (; low < t->n_cards && t->card[low].device == device; low++) {
        const struct gfx_card *card = &t->card[low];
        if (card->revision == -1 || card->revision == revision)
            found = card;
        if (card->revision >= revision)
            break;
    }
    return found;
}
