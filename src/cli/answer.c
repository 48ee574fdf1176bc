#include "cli/answer.h"

#include "cli/text.h"

#include <errno.h>

static const char *const answer_via_names[] = {
    [GFX_VIA_NONE] = "none",
    [GFX_VIA_EXACT] = "exact",
    [GFX_VIA_GENERIC] = "generic",
    [GFX_VIA_OVERRIDE] = "override",
};

static void answer_vulkan(struct answer *a, enum gfx_os os)
{
    if (!a->target) {
        /* Radeon chips from before GCN have no Vulkan driver on any system. */
        a->vulkan_works = false;
        a->vulkan_reason = gfx_card_is_old(a->card) ? "no Vulkan driver exists for chips before GCN"
                                                    : "unknown: no source says what this chip is";
        return;
    }
    struct str vulkan = a->target->vulkan;
    a->vulkan_works = !str_is(vulkan, "no") && vulkan.n;
    if (!a->vulkan_works)
        a->vulkan_reason = "no Vulkan driver offers this compute accelerator";
    else if (os == GFX_WINDOWS)
        a->vulkan_reason = "through the graphics driver of the card's maker";
    else if (str_is(vulkan, "kernel"))
        a->vulkan_reason = "with Mesa's RADV once the amdgpu driver is bound (on older kernels by "
                           "the options amdgpu.si_support=1 or amdgpu.cik_support=1)";
    else
        a->vulkan_reason = "with Mesa's RADV (package mesa-vulkan-drivers)";
}

static const char *answer_no_gfx(const struct gfx_card *card)
{
    if (!card)
        return "the id is in no table";
    if (str_is(gfx_card_confidence(card), "unverified"))
        return "no source says which chip this id is";
    return "the chip is older than GCN and has no LLVM target: ROCm cannot drive it";
}

static int answer_add_packages(const struct gfx_tables *t, enum gfx_os os, bool installable,
                               struct answer *a)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *row = &t->package[i];
        struct answer_package found = {.row = row};
        if (!str_is(row->backend, "rocm") || row->os != os || row->installable != installable)
            continue;
        found.via = gfx_covers(t, a->target, row->gfx, &found.used);
        if (found.via == GFX_VIA_NONE)
            continue;
        struct answer_package *grown =
            reallocarray(a->package, a->n_packages + 1, sizeof(*a->package));
        if (!grown)
            return -ENOMEM;
        a->package = grown;
        a->package[a->n_packages++] = found;
    }
    return 0;
}

int answer_init(const struct gfx_tables *tables, enum gfx_os os, const struct gfx_target *target,
                const struct gfx_card *card, struct answer *ret_answer, struct gfxb_error *err)
{
    struct answer a = {.target = target, .card = card};
    answer_vulkan(&a, os);
    if (!target)
        a.no_gfx_reason = answer_no_gfx(card);
    int result = target ? answer_add_packages(tables, os, true, &a) : 0;
    if (result == 0 && target)
        result = answer_add_packages(tables, os, false, &a);
    if (result < 0) {
        answer_done(&a);
        return error_set(err, -result, "out of memory");
    }
    *ret_answer = a;
    return 0;
}

void answer_done(struct answer *answer)
{
    free(answer->package);
    answer->package = NULL;
    answer->n_packages = 0;
}

/* ---- JSON ---- */

static json_t *answer_family_json(const struct gfx_tables *t, const struct answer *a)
{
    json_t *family = json_object();
    const struct gfx_target *target = a->target;
    struct str generation = target ? target->generation : gfx_card_generation(a->card);
    json_t *members = json_array();
    for (size_t i = 0; target && i < t->n_targets; i++) {
        if (str_eq(t->target[i].family, target->family) && t->target[i].covers.n == 0)
            json_array_append_new(members, report_json_str(t->target[i].gfx));
    }
    json_object_set_new(family, "name", report_json_str(target ? target->family : STR_NONE));
    json_object_set_new(family, "generation", report_json_str(generation));
    json_object_set_new(family, "asics", report_json_str(target ? target->asics : STR_NONE));
    json_object_set_new(family, "members", members);
    return family;
}

static json_t *answer_packages_json(const struct answer *a)
{
    json_t *array = json_array();
    for (size_t i = 0; i < a->n_packages; i++) {
        const struct answer_package *p = &a->package[i];
        json_t *object = json_object();
        json_object_set_new(object, "id", report_json_str(p->row->id));
        json_object_set_new(object, "source", report_json_str(p->row->provider));
        json_object_set_new(object, "backend", json_string("rocm"));
        json_object_set_new(object, "os",
                            json_string(p->row->os == GFX_WINDOWS ? "windows" : "linux"));
        json_object_set_new(object, "holds_exactly", json_boolean(p->via == GFX_VIA_EXACT));
        json_object_set_new(object, "via", json_string(answer_via_names[p->via]));
        json_object_set_new(object, "runtime", report_json_str(p->row->runtime));
        json_object_set_new(object, "installable", json_boolean(p->row->installable));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *answer_quirk_json(const struct gfx_quirk *q)
{
    static const char *const effect[] = {
        [GFX_BLOCK] = "block",   [GFX_WARN] = "warn",         [GFX_ENV] = "env",
        [GFX_ARG] = "arg",       [GFX_OVERRIDE] = "override", [GFX_NOTE] = "note",
        [GFX_MEMORY] = "memory",
    };
    json_t *object = json_object();
    json_object_set_new(object, "id", report_json_str(q->id));
    json_object_set_new(object, "effect", report_json_str(q->text));
    json_object_set_new(object, "kind", json_string(effect[q->effect]));
    json_object_set_new(object, "remedy", report_json_str(q->remedy));
    json_object_set_new(object, "source", report_json_str(q->source));
    return object;
}

/* Can a package be installed that holds code for the target itself? */
static bool answer_has_own(const struct answer *a)
{
    for (size_t i = 0; i < a->n_packages; i++) {
        const struct answer_package *p = &a->package[i];
        if (p->row->installable && (p->via == GFX_VIA_EXACT || p->via == GFX_VIA_GENERIC))
            return true;
    }
    return false;
}

/* Rows about this target alone, and not about the other system; overrides where nothing else is
 * there. */
static bool answer_has_quirk(const struct gfx_quirk *q, const struct answer *a, enum gfx_os os)
{
    struct str other = os == GFX_WINDOWS ? STR("os=linux") : STR("os=windows");
    return a->target && q->gfx.n && gfx_quirk_names(q, a->target) &&
           !str_list_has(q->condition, other) && (q->effect != GFX_OVERRIDE || !answer_has_own(a));
}

json_t *answer_json(const struct gfx_tables *tables, enum gfx_os os, const struct answer *a)
{
    json_t *quirks = json_array();
    for (size_t i = 0; i < tables->n_quirks; i++) {
        if (answer_has_quirk(&tables->quirk[i], a, os))
            json_array_append_new(quirks, answer_quirk_json(&tables->quirk[i]));
    }
    json_t *object = json_object();
    json_object_set_new(object, "gfx", report_json_str(a->target ? a->target->gfx : STR_NONE));
    json_object_set_new(object, "reason", report_json_text(a->no_gfx_reason));
    json_object_set_new(object, "family", answer_family_json(tables, a));
    json_object_set_new(object, "packages", answer_packages_json(a));
    json_object_set_new(object, "if_unavailable",
                        a->vulkan_works ? json_pack("[s, s]", "vulkan", "cpu")
                                        : json_pack("[s]", "cpu"));
    json_object_set_new(
        object, "vulkan",
        json_pack("{s:b, s:s}", "works", a->vulkan_works, "reason", a->vulkan_reason));
    json_object_set_new(object, "quirks", quirks);
    return object;
}

/* ---- text ---- */

static void answer_packages_text(const struct answer *a)
{
    const char *label = "3 ROCm package?   ";
    for (size_t i = 0; i < a->n_packages; i++) {
        const struct answer_package *p = &a->package[i];
        if (!p->row->installable)
            continue;
        text_print(stdout, "%-18s" TEXT_HANG "%.*s (%s %.*s, runtime %.*s)", label,
                   STR_ARG(p->row->id),
                   p->via == GFX_VIA_EXACT ? "holds" : answer_via_names[p->via], STR_ARG(p->used),
                   STR_ARG(p->row->runtime));
        label = "";
    }
    if (label[0])
        text_print(stdout, "%s" TEXT_HANG "none that can be installed here holds code for it",
                   label);
}

static void answer_quirks_text(const struct gfx_tables *t, enum gfx_os os, const struct answer *a,
                               bool verbose)
{
    size_t hidden = 0;
    for (size_t i = 0; i < t->n_quirks; i++) {
        const struct gfx_quirk *q = &t->quirk[i];
        if (!answer_has_quirk(q, a, os))
            continue;
        if (q->effect == GFX_NOTE && !verbose) {
            hidden++;
            continue;
        }
        text_print(stdout, "  note: " TEXT_HANG "%.*s%s%.*s", STR_ARG(q->text),
                   q->remedy.n ? " Remedy: " : "", STR_ARG(q->remedy));
    }
    if (hidden)
        text_print(stdout, "  %zu note%s on this target with --verbose", hidden,
                   hidden == 1 ? "" : "s");
}

void answer_text(const struct gfx_tables *tables, enum gfx_os os, const struct answer *a,
                 bool verbose)
{
    struct str generation = a->target ? a->target->generation : gfx_card_generation(a->card);
    if (a->target)
        text_print(stdout,
                   "1 Which family?   " TEXT_HANG
                   "%.*s, %.*s (%.*s)\n2 Which gfx?      " TEXT_STRONG "%.*s" TEXT_END,
                   STR_ARG(generation), STR_ARG(a->target->family), STR_ARG(a->target->asics),
                   STR_ARG(a->target->gfx));
    else
        text_print(stdout, "1 Which family?   %.*s\n2 Which gfx?      " TEXT_HANG "none: %s",
                   STR_ARG(generation), a->no_gfx_reason);
    answer_packages_text(a);
    text_print(stdout, "4 If unavailable? %sthe CPU\n5 Vulkan works?   " TEXT_HANG "%s: %s",
               a->vulkan_works ? "Vulkan, then " : "", a->vulkan_works ? "yes" : "no",
               a->vulkan_reason);
    answer_quirks_text(tables, os, a, verbose);
}
