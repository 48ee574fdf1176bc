/* quirk.c - data/quirks.tsv: workarounds, hazards, minimums. */
#include "gfx/rows.h"

enum { ID, GFX, CONDITION, EFFECT, CODE, VALUE, TEXT, REMEDY, CONFIDENCE, SOURCE };

static const char *const quirk_columns[] = {
    "id",   "gfx",    "condition",  "effect", "code", "value",
    "text", "remedy", "confidence", "source", NULL,
};

static const char *const effect_words[] = {"block",    "warn", "env",    "arg",
                                           "override", "note", "memory", NULL};
static const char *const confidence_words[] = {"high", "medium", "low", "disputed", NULL};

static int quirk_read_code(const struct gfx_cursor *at, enum gfx_effect effect, int *ret_code,
                           struct gfxb_error *err)
{
    struct str name = at->row->field[CODE];
    if (effect != GFX_BLOCK) {
        if (name.n == 0)
            return 0;
        return table_error(at->table, at->row, CODE, err, "only a block has a reason code");
    }
    int code = error_code_number(name);
    if (code > 0) {
        *ret_code = code;
        return 0;
    }
    return table_error(at->table, at->row, CODE, err, "'%.*s' is not a reason code", STR_ARG(name));
}

/* NAME=text, where NAME is one that a shell would take. */
static bool value_is_assignment(struct str value)
{
    size_t n = 0;
    while (n < value.n && ((value.p[n] >= 'A' && value.p[n] <= 'Z') || value.p[n] == '_' ||
                           (n && value.p[n] >= '0' && value.p[n] <= '9')))
        n++;
    return n && n < value.n && value.p[n] == '=';
}

static int quirk_check_value(const struct gfx_cursor *at, enum gfx_effect effect,
                             struct gfxb_error *err)
{
    struct str value = at->row->field[VALUE];
    switch (effect) {
    case GFX_ENV:
        if (value_is_assignment(value))
            return 0;
        return table_error(at->table, at->row, VALUE, err, "'%.*s' is not NAME=text",
                           STR_ARG(value));
    case GFX_ARG:
        return gfx_field_required(at, VALUE, err);
    case GFX_OVERRIDE: {
        int result = gfx_field_targets(at, VALUE, err);
        if (result == 0)
            result = gfx_field_required(at, VALUE, err);
        return result == 0 ? gfx_field_required(at, GFX, err) : result;
    }
    case GFX_MEMORY: {
        static const char *const words[] = {"vram", "pool", "heaps", "two-thirds", "host", NULL};
        unsigned word;
        return gfx_field_word(at, VALUE, words, &word, err);
    }
    default:
        if (value.n == 0)
            return 0;
        return table_error(at->table, at->row, VALUE, err, "this effect takes no value");
    }
}

static int quirk_check_key(const struct gfx_cursor *at, struct gfxb_error *err)
{
    struct str id = at->row->field[ID];
    int result = gfx_field_required(at, ID, err);
    if (result < 0)
        return result;
    const struct gfx_quirk *before = gfx_rows_previous(at->rows);
    int order = before ? str_compare(before->id, id) : -1;
    if (order == 0)
        return table_error(at->table, at->row, ID, err, "'%.*s' is listed twice", STR_ARG(id));
    if (order > 0)
        return table_error(at->table, at->row, ID, err, "'%.*s' must stand before '%.*s'",
                           STR_ARG(id), STR_ARG(before->id));
    return 0;
}

static int quirk_read(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_quirk *quirk = item;
    const struct str *field = at->row->field;
    unsigned effect, confidence;
    int result = quirk_check_key(at, err);
    if (result == 0)
        result = gfx_field_targets(at, GFX, err);
    if (result == 0)
        result = gfx_field_word(at, EFFECT, effect_words, &effect, err);
    if (result == 0)
        result = quirk_read_code(at, (enum gfx_effect)effect, &quirk->code, err);
    if (result == 0)
        result = quirk_check_value(at, (enum gfx_effect)effect, err);
    if (result == 0)
        result = gfx_field_required(at, TEXT, err);
    if (result == 0)
        result = gfx_field_word(at, CONFIDENCE, confidence_words, &confidence, err);
    if (result == 0)
        result = gfx_field_required(at, SOURCE, err);
    if (result < 0)
        return result;
    quirk->id = field[ID];
    quirk->gfx = field[GFX];
    quirk->condition = field[CONDITION];
    quirk->effect = (enum gfx_effect)effect;
    quirk->value = field[VALUE];
    quirk->text = field[TEXT];
    quirk->remedy = field[REMEDY];
    quirk->confidence = field[CONFIDENCE];
    quirk->source = field[SOURCE];
    quirk->line = at->row->line;
    return 0;
}

const struct gfx_reader gfx_quirk_reader = {quirk_columns, sizeof(struct gfx_quirk), 4096,
                                            quirk_read};

bool gfx_quirk_names(const struct gfx_quirk *quirk, const struct gfx_target *target)
{
    if (quirk->gfx.n == 0)
        return true;
    return target && str_list_has(quirk->gfx, target->gfx);
}
