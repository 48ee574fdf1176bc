/* rocm.c - ROCm choices: each AMD GPU with each package that may hold code for it. */
#include "plan/access.h"
#include "plan/builder.h"
#include "plan/condition.h"
#include "plan/device.h"
#include "plan/quirk.h"

#include <stdio.h>

#define LIST_TEXT_MAX 260

/* A package's targets for a sentence, cut where it becomes too long to read. */
static const char *list_text(struct str list, char ret_text[static LIST_TEXT_MAX])
{
    size_t n = 0;
    struct str word;
    if (list.n == 0)
        return "no GPU code at all";
    ret_text[0] = '\0';
    while (str_word(&list, &word)) {
        bool full = n + word.n + 8 > LIST_TEXT_MAX;
        int more = snprintf(ret_text + n, LIST_TEXT_MAX - n, "%s%.*s", n ? " " : "",
                            full ? 3 : (int)word.n, full ? "..." : word.p);
        n += more > 0 ? (size_t)more : 0;
        if (full)
            break;
    }
    return ret_text;
}

/* "10.3.0" for HSA_OVERRIDE_GFX_VERSION: decimal numbers. */
static void version_text(const struct gfx_target *target, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%u.%u.%u", target->kfd / 10000, target->kfd / 100 % 100,
             target->kfd % 100);
}

/* Find out how the candidate's package serves its GPU. */
static void candidate_look(const struct builder *d, struct candidate *c)
{
    struct str list;
    c->via = GFX_VIA_NONE;
    if (plan_candidate_gfx(c, &list))
        c->via = gfx_covers(d->tables, c->gpu->target, list, &c->used);
    if (c->via == GFX_VIA_OVERRIDE &&
        (d->request->os != GFX_LINUX || !plan_quirk_override(d, c, c->used)))
        c->via = GFX_VIA_NONE;
}

static bool via_is_allowed(const struct builder *d, enum gfx_via via)
{
    return via != GFX_VIA_NONE && (via != GFX_VIA_OVERRIDE || d->request->allow_override);
}

/* May it be tried? A package that was not read yet may. */
static bool candidate_serves(const struct builder *d, const struct candidate *c)
{
    struct str list;
    return via_is_allowed(d, c->via) || !plan_candidate_gfx(c, &list);
}

static void tell_card(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char name[DEVICE_NAME_MAX], partitions[80] = "";
    struct buf CLEAN_BUF others = BUF_INIT(400);
    plan_device_name(gpu, name);
    if (gpu->partitions > 1)
        snprintf(partitions, sizeof(partitions),
                 "; it is split into %u partitions, the first is used", gpu->partitions);
    plan_gpu_set_words(dc->candidate.set, &others);
    plan_builder_tell(d, dc, PLAN_E0, TRI_YES, "%s is %.*s by its %s%s%s", name,
                      STR_ARG(gpu->target->gfx), gpu->kfd_version ? "KFD node" : "PCI id",
                      partitions, buf_text(&others));
}

static bool reject_unknown_card(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    const struct gfx_card *card = gpu->card;
    char name[DEVICE_NAME_MAX], gfx[16];
    plan_device_name(gpu, name);
    if (gpu->kfd_version && gfx_kfd_name(gpu->kfd_version, gfx, sizeof(gfx)) == 0)
        return plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_GFX_UNKNOWN,
            "%s reports %s, which this program's tables do not know yet: a newer "
            "gfxbridge may, or report it with gfxbridge contribute.",
            name, gfx);
    if (!card)
        return plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_GFX_UNKNOWN,
            "%s is not in this program's tables: a newer gfxbridge may know it, or report it with "
            "gfxbridge contribute.",
            name);
    if (gfx_card_is_old(card))
        return plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_GFX_UNKNOWN,
            "%s is older than GCN (%.*s): there is no gfx target and no ROCm for "
            "it.",
            name, STR_ARG(gfx_card_generation(card)));
    return plan_builder_reject(d, dc, PLAN_E0, GFXB_E_GFX_UNKNOWN,
                               "No source tells the gfx target of %s: nothing is tried on a guess.",
                               name);
}

/* The words that follow "it holds ...": what a reader would wonder about. */
static void rejection_hints(const struct builder_choice *dc, struct buf *hint)
{
    const struct candidate *c = &dc->candidate;
    const struct gfx_target *target = c->gpu->target;
    const struct gfx_package *row = c->row;
    if (row && target->family.n > 0 && str_has(row->id, target->family))
        buf_addf(hint, ", although its name says %.*s", STR_ARG(target->family));
    if (row && c->installed && c->installed->gfx && plan_list_has_gfx(row->gfx, target->gfx))
        buf_add_text(hint, ", although the table lists it: the files count");
    if (row && !(c->installed && c->installed->gfx) &&
        plan_list_has_gfx(row->unconfirmed, target->gfx))
        buf_add_text(hint,
                     "; some builds of it may hold it, which counts only once seen in the files");
    if (c->via == GFX_VIA_OVERRIDE)
        buf_addf(hint, "; its %.*s code can be tried with --allow-override", STR_ARG(c->used));
}

static bool reject_uncovered(struct builder *d, struct builder_choice *dc)
{
    struct buf CLEAN_BUF hint = BUF_INIT(600);
    char text[LIST_TEXT_MAX];
    struct str list = STR_NONE;
    (void)plan_candidate_gfx(&dc->candidate, &list);
    rejection_hints(dc, &hint);
    return plan_builder_reject(d, dc, PLAN_E1, GFXB_E_GFX_NOT_IN_PACKAGE,
                               "%s holds no code for %s: it holds %s%s.", dc->choice.package,
                               dc->choice.gfx, list_text(list, text), buf_text(&hint));
}

/* The target whose kernels run: the GPU's own, or the one that an override makes it pass for. */
static struct str target_in_use(const struct builder *d, const struct builder_choice *dc)
{
    const struct gfx_target *as = NULL;
    if (dc->choice.via == GFX_VIA_OVERRIDE)
        as = gfx_target_find(d->tables, dc->candidate.used);
    return as ? as->gfx : dc->candidate.gpu->target->gfx;
}

/* ROCm takes BLAS kernels by the exact target's name and ends the process where there are none. */
static bool check_blas(struct builder *d, struct builder_choice *dc)
{
    const struct plan_installed *installed = dc->candidate.installed;
    struct str gfx = target_in_use(d, dc), list;
    char text[LIST_TEXT_MAX];
    if (!installed || !installed->blas || !installed->blas[0])
        return true;
    list = str_from(installed->blas);
    if (plan_list_has_gfx(list, gfx))
        return true;
    return plan_builder_reject(
        d, dc, PLAN_E1, GFXB_E_BLAS_KERNELS_MISSING,
        "%s has no BLAS kernels for %.*s (it has them for %s): the engine would "
        "abort at the first large matrix product.",
        dc->choice.package, STR_ARG(gfx), list_text(list, text));
}

/* An engine without a runtime of its own is installed together with one that serves the GPU. */
static bool check_runtime(struct builder *d, struct builder_choice *dc)
{
    const struct candidate *c = &dc->candidate;
    struct str gfx = target_in_use(d, dc);
    if (c->installed || !str_is(plan_candidate_runtime(c), "therock"))
        return true;
    if (gfx_runtime_find(d->tables, c->row, gfx, d->request->os == GFX_LINUX))
        return true;
    return plan_builder_reject(d, dc, PLAN_E1, GFXB_E_NO_PACKAGE,
                               "%s needs a ROCm runtime beside it, and none that holds %.*s can be "
                               "installed here.",
                               dc->choice.package, STR_ARG(gfx));
}

static void tell_difference(const struct candidate *c, struct buf *words)
{
    if (!c->row || !c->installed || !c->installed->gfx)
        return;
    struct str measured = str_from(c->installed->gfx), typed = c->row->gfx, word;
    char text[LIST_TEXT_MAX];
    bool differ = false;
    for (struct str rest = measured; str_word(&rest, &word);)
        differ = differ || !str_list_has(typed, word);
    for (struct str rest = typed; str_word(&rest, &word);)
        differ = differ || !str_list_has(measured, word);
    if (differ)
        buf_addf(words, "; its files hold %s, which is not what the table says",
                 list_text(measured, text));
}

/* E1: does the package hold code for this GPU, by which way, and all that goes with it? */
static bool check_code(struct builder *d, struct builder_choice *dc)
{
    const struct candidate *c = &dc->candidate;
    struct buf CLEAN_BUF words = BUF_INIT(800);
    struct str list;
    if (!plan_candidate_gfx(c, &list)) {
        plan_builder_tell(d, dc, PLAN_E1, TRI_UNKNOWN, "%s has not been inspected",
                          dc->choice.package);
        return true;
    }
    enum gfx_via via = c->via;
    if (!via_is_allowed(d, via))
        return reject_uncovered(d, dc);
    dc->choice.via = via;
    if (via == GFX_VIA_OVERRIDE && c->gpu->kfd_node < 0)
        return plan_builder_reject(
            d, dc, PLAN_E1, GFXB_E_GFX_NOT_IN_PACKAGE,
            "%s holds no code for %s, and its %.*s code cannot be used without "
            "knowing the GPU's KFD node.",
            dc->choice.package, dc->choice.gfx, STR_ARG(dc->candidate.used));
    if (!check_blas(d, dc) || !check_runtime(d, dc))
        return false;
    buf_addf(&words, "%s holds %.*s code", dc->choice.package, STR_ARG(dc->candidate.used));
    if (via == GFX_VIA_GENERIC)
        buf_addf(&words, ", which %s runs with a ROCm 6.4 runtime or later", dc->choice.gfx);
    if (via == GFX_VIA_OVERRIDE)
        buf_addf(&words, ", which %s runs under an override", dc->choice.gfx);
    buf_add_text(&words,
                 c->installed && c->installed->gfx ? ", seen in its files" : ", by its table row");
    tell_difference(c, &words);
    plan_builder_known(dc, &words);
    plan_builder_tell(d, dc, PLAN_E1, TRI_YES, "%s", buf_text(&words));
    return true;
}

/* "0,2": what the chosen GPUs are to ROCm. False: not known of one. */
static bool rocr_numbers(const struct builder *d, const struct builder_choice *dc, struct buf *ret,
                         bool *ret_guessed)
{
    const struct machine_gpu *const *gpu = &dc->candidate.gpu;
    size_t n = 1;
    if (dc->candidate.set) {
        gpu = dc->candidate.set->gpu;
        n = dc->candidate.set->n;
    }
    *ret_guessed = false;
    for (size_t i = 0; i < n; i++) {
        bool guessed;
        int number = plan_device_rocr_number(d->m, gpu[i], &guessed);
        if (number < 0)
            return false;
        buf_addf(ret, "%s%d", i ? "," : "", number);
        *ret_guessed = *ret_guessed || guessed;
    }
    return true;
}

/* Only the chosen GPUs may be visible to HIP: another one without code in the package ends the
 * process, and orders differ everywhere but here. */
static bool show_gpu(struct builder *d, struct builder_choice *dc)
{
    struct buf CLEAN_BUF numbers = BUF_INIT(200);
    size_t chosen = dc->candidate.set ? dc->candidate.set->n : 1;
    size_t others = plan_device_count_hip(d->m) - chosen;
    bool guessed;
    if (rocr_numbers(d, dc, &numbers, &guessed) && (!guessed || others > 0)) {
        plan_builder_env(d, dc, "ROCR_VISIBLE_DEVICES=%s", buf_text(&numbers));
        if (others > 0)
            buf_addf(&dc->known, "%shidden from ROCm: %zu other GPU%s", dc->known.n ? ", " : "",
                     others, others > 1 ? "s" : "");
        if (guessed)
            buf_addf(&dc->unknown,
                     "%sthe kernel's order of the GPUs (taken to be that of their "
                     "addresses)",
                     dc->unknown.n ? ", " : "");
    } else if (others > 0) {
        plan_builder_warn(
            d, dc,
            "The other GPUs cannot be hidden from ROCm, because the kernel's order of "
            "them is not known here.");
    }
    return true;
}

static void set_override(struct builder *d, struct builder_choice *dc)
{
    struct buf CLEAN_BUF words = BUF_INIT(600);
    if (plan_override_tell(d->m, d->tables, dc->candidate.gpu->target, &words))
        plan_builder_warn(d, dc, "%s It is not passed on to the engine.", buf_text(&words));
    const struct gfx_target *as =
        dc->choice.via == GFX_VIA_OVERRIDE ? gfx_target_find(d->tables, dc->candidate.used) : NULL;
    if (!as)
        return;
    char version[40];
    const struct gfx_quirk *row = plan_quirk_override(d, &dc->candidate, dc->candidate.used);
    version_text(as, version, sizeof(version));
    plan_builder_env(d, dc, "HSA_OVERRIDE_GFX_VERSION_%d=%s", dc->candidate.gpu->kfd_node, version);
    plan_builder_warn(d, dc, "%s runs %.*s code here, as --allow-override permits: %.*s",
                      dc->choice.gfx, STR_ARG(as->gfx), STR_ARG(row ? row->text : STR_NONE));
}

/* Nothing that this program reads tells which ROCm the computer has, if any. */
static bool check_system_runtime(struct builder *d, struct builder_choice *dc)
{
    (void)d;
    if (str_is(plan_candidate_runtime(&dc->candidate), "system"))
        buf_addf(&dc->unknown, "%swhether the ROCm that it needs is installed",
                 dc->unknown.n ? ", " : "");
    return true;
}

void plan_rocm_judge(struct builder *d, const struct candidate *c)
{
    static plan_check *const checks[] = {
        plan_check_driver,    plan_check_kfd,   plan_check_render, plan_quirk_check,
        check_system_runtime, plan_check_glibc, plan_check_memory, show_gpu,
    };
    struct builder_choice *dc = plan_builder_add(d, c);
    if (!dc)
        return;
    tell_card(d, dc);
    if (!check_code(d, dc) || !plan_check_all(d, dc, checks, sizeof(checks) / sizeof(checks[0])))
        return;
    set_override(d, dc);
    plan_resolve_choice(d, dc);
}

/* Names what could have helped: an override, or a package that only others can install. */
static void summary_hints(struct builder *d, const struct candidate *list, size_t n,
                          const struct machine_gpu *gpu, struct buf *hint)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].via != GFX_VIA_OVERRIDE)
            continue;
        buf_addf(hint, " The %.*s code of %.*s can be tried with --allow-override.",
                 STR_ARG(list[i].used), STR_ARG(plan_candidate_package(&list[i])));
        break;
    }
    for (size_t i = 0; i < n; i++) {
        if (!list[i].row || !plan_list_has_gfx(list[i].row->unconfirmed, gpu->target->gfx))
            continue;
        buf_addf(hint,
                 " Some builds of %.*s may hold it, which counts only once seen in the files.",
                 STR_ARG(list[i].row->id));
        break;
    }
    for (size_t i = 0; i < d->tables->n_packages; i++) {
        const struct gfx_package *row = &d->tables->package[i];
        if (row->installable || !str_is(row->backend, "rocm") || !plan_candidate_row_fits(d, row) ||
            !plan_list_has_gfx(row->gfx, gpu->target->gfx))
            continue;
        buf_addf(hint, " %.*s holds it, but cannot be installed by this program.",
                 STR_ARG(row->id));
        break;
    }
}

/* No package at all serves this GPU: one choice says so and lists what was looked at. */
static void builder_summary(struct builder *d, const struct candidate *list, size_t n,
                            const struct machine_gpu *gpu)
{
    struct buf CLEAN_BUF hint = BUF_INIT(600);
    char text[LIST_TEXT_MAX];
    struct builder_choice *dc =
        plan_builder_add(d, &(struct candidate){.backend = PLAN_ROCM, .gpu = gpu});
    if (!dc)
        return;
    tell_card(d, dc);
    for (size_t i = 0; i < n; i++) {
        struct str held = STR_NONE;
        (void)plan_candidate_gfx(&list[i], &held);
        plan_builder_tell(d, dc, PLAN_E1, TRI_NO, "%.*s holds %s",
                          STR_ARG(plan_candidate_package(&list[i])), list_text(held, text));
    }
    summary_hints(d, list, n, gpu, &hint);
    if (n == 0)
        (void)plan_builder_reject(
            d, dc, PLAN_E1, GFXB_E_NO_PACKAGE,
            "No ROCm package for this operating system and processor is known.%s", buf_text(&hint));
    else
        (void)plan_builder_reject(
            d, dc, PLAN_E1, GFXB_E_GFX_NOT_IN_PACKAGE,
            "None of the %zu ROCm packages for this computer holds code for %s.%s", n,
            dc->choice.gfx, buf_text(&hint));
}

/* Packages without code for it are listed for the best GPU only: for the others they say nothing
 * new. */
static void builder_gpu(struct builder *d, struct candidate *list, size_t n,
                        const struct machine_gpu *gpu, bool best)
{
    size_t serving = 0;
    for (size_t i = 0; i < n; i++) {
        list[i].gpu = gpu;
        candidate_look(d, &list[i]);
        serving += candidate_serves(d, &list[i]);
    }
    if (serving == 0)
        builder_summary(d, list, n, gpu);
    for (size_t i = 0; i < n && serving > 0; i++) {
        if (best || candidate_serves(d, &list[i]))
            plan_rocm_judge(d, &list[i]);
        if (best && d->set.n && list[i].via != GFX_VIA_OVERRIDE && candidate_serves(d, &list[i])) {
            struct candidate c = list[i];
            c.set = &d->set;
            plan_rocm_judge(d, &c);
        }
    }
}

static void reject_no_amd(struct builder *d)
{
    struct builder_choice *dc = plan_builder_add(d, &(struct candidate){.backend = PLAN_ROCM});
    char name[DEVICE_NAME_MAX];
    if (!dc)
        return;
    if (d->n_gpus > 0) {
        plan_device_name(d->gpu[0], name);
        (void)plan_builder_reject(d, dc, PLAN_E0, GFXB_E_NOT_AMD,
                                  "ROCm needs an AMD GPU, and %s%s is not one.", name,
                                  d->n_gpus > 1 ? ", like the others here," : "");
    } else if (d->m->host.wsl) {
        (void)plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_NO_GPU,
            "No GPU can be seen: WSL2 offers it through /dev/dxg alone, and ROCm over that is not "
            "supported by gfxbridge yet; the CPU backend works, and ROCm does on Linux itself.");
    } else if (!plan_tell_virtual(d, dc)) {
        (void)plan_builder_reject(d, dc, PLAN_E0, GFXB_E_NO_GPU,
                                  "There is no GPU in this computer.");
    }
}

/* A GPU that ROCm cannot have, whatever the package. */
static bool gpu_is_possible(struct builder *d, const struct machine_gpu *gpu)
{
    const struct gfx_target *target = gpu->target;
    if (target && target->kfd != 0)
        return true;
    struct builder_choice *dc =
        plan_builder_add(d, &(struct candidate){.backend = PLAN_ROCM, .gpu = gpu});
    if (!dc)
        return false;
    if (!target)
        return reject_unknown_card(d, dc);
    tell_card(d, dc);
    return plan_builder_reject(
        d, dc, PLAN_E1, GFXB_E_GFX_NOT_IN_PACKAGE,
        "No kernel's compute driver knows %.*s and no ROCm package holds code for "
        "it: Vulkan is the way for this card.",
        STR_ARG(target->gfx));
}

void plan_builder_rocm(struct builder *d)
{
    struct candidate *CLEAN_FREE list = NULL;
    size_t n_amd = 0;
    bool best = true;
    if (!plan_builder_wants(d, PLAN_ROCM) || !plan_builder_has_pinned(d, PLAN_ROCM))
        return;
    size_t n = plan_candidate_list(d, PLAN_ROCM, &list);
    for (size_t i = 0; i < d->n_gpus; i++) {
        const struct machine_gpu *gpu = d->gpu[i];
        if (!plan_device_is_amd(gpu))
            continue;
        n_amd++;
        if (!plan_builder_wants_gpu(d, PLAN_ROCM, gpu) || !gpu_is_possible(d, gpu))
            continue;
        builder_gpu(d, list, n, gpu, best);
        best = false;
    }
    if (n_amd == 0)
        reject_no_amd(d);
}
