/* quirk.c - data/quirks.tsv: workarounds, hazards, minimums. */
#include "gfx/rows.h"

enum { ID, GFX, CODE = 4, VALUE }; /* columns with rules of their own */

static const char *const effect_words[] = {"block",    "warn", "env",    "arg",
                                           "override", "note", "memory", NULL};
static const char *const confidence_words[] = {"high", "medium", "low", "disputed", NULL};

#define COLUMN(title, field, member) GFX_COLUMN(title, field, struct gfx_quirk, member)

static const struct gfx_column quirk_columns[] = {
    {COLUMN("id", REQUIRED, id)},
    {COLUMN("gfx", TARGETS, gfx)},
    {COLUMN("condition", TEXT, condition)},
    {COLUMN("effect", WORD, effect), .words = effect_words},
    {COLUMN("code", OTHER, code)},
    {COLUMN("value", TEXT, value)},
    {COLUMN("text", REQUIRED, text)},
    {COLUMN("remedy", TEXT, remedy)},
    {COLUMN("confidence", ONE_OF, confidence), .words = confidence_words},
    {COLUMN("source", REQUIRED, source)},
    {.title = NULL},
};

static int quirk_read_code(const struct gfx_cursor *at, enum gfx_effect effect, int *ret_code,
                           struct gfxb_error *err)
{
    struct str name = at->row->field[CODE];
    if (effect != GFX_BLOCK) {
        if (name.n == 0)
            return 0;
        return GFX_BAD(at, CODE, "only a block has a reason code");
    }
    int code = error_code_number(name);
    if (code > 0) {
        *ret_code = code;
        return 0;
    }
    return GFX_BAD(at, CODE, "'%.*s' is not a reason code", STR_ARG(name));
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
        return GFX_BAD(at, VALUE, "'%.*s' is not NAME=text", STR_ARG(value));
    case GFX_ARG:
        return gfx_field_required(at, VALUE, err);
    case GFX_OVERRIDE:
        return gfx_field_targets(at, VALUE, err) ?: gfx_field_required(at, VALUE, err)
                   ?: gfx_field_required(at, GFX, err);
    case GFX_MEMORY: {
        static const char *const words[] = {"vram", "pool", "heaps", "two-thirds", "host", NULL};
        unsigned word;
        return gfx_field_word(at, VALUE, words, &word, err);
    }
    default:
        if (value.n == 0)
            return 0;
        return GFX_BAD(at, VALUE, "this effect takes no value");
    }
}

static int quirk_check_key(const struct gfx_cursor *at, struct gfxb_error *err)
{
    struct str id = at->row->field[ID];
    const struct gfx_quirk *before = gfx_rows_previous(at->rows);
    int order = before ? str_compare(before->id, id) : -1;
    if (order == 0)
        return GFX_BAD(at, ID, "'%.*s' is listed twice", STR_ARG(id));
    if (order > 0)
        return GFX_BAD(at, ID, "'%.*s' must stand before '%.*s'", STR_ARG(id), STR_ARG(before->id));
    return 0;
}

static int quirk_check(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_quirk *quirk = item;
    quirk->line = at->row->line;
    return quirk_check_key(at, err) ?: quirk_read_code(at, quirk->effect, &quirk->code, err)
               ?: quirk_check_value(at, quirk->effect, err);
}

const struct gfx_reader gfx_quirk_reader = {quirk_columns, sizeof(struct gfx_quirk), 4096,
                                            quirk_check};

bool gfx_quirk_names(const struct gfx_quirk *quirk, const struct gfx_target *target)
{
    if (quirk->gfx.n == 0)
        return true;
    return target && str_list_has(quirk->gfx, target->gfx);
}
