/* condition.c - the terms of quirk conditions: a table of evaluators. */
#include "plan/condition.h"

struct term {
    const char *head;                /* "backend=": a value follows; "wsl": the whole word */
    bool (*valid)(struct str value); /* NULL: takes no value */
    enum tri (*holds)(const struct condition_facts *f, struct str value);
};

static enum tri tri_of(bool yes)
{
    return yes ? TRI_YES : TRI_NO;
}

static bool value_is_one_of(struct str value, const char *words)
{
    return str_list_has(str_from(words), value);
}

static bool value_is_any(struct str value)
{
    return value.n > 0;
}

static bool value_is_number(struct str value)
{
    uint64_t number;
    if (str_starts(value, STR("0x")))
        return str_to_u64(value, 16, &number) == 0 && number <= UINT32_MAX;
    return str_to_u64(value, 10, &number) == 0 && number <= UINT32_MAX;
}

static uint64_t value_number(struct str value)
{
    uint64_t number = 0;
    (void)str_to_u64(value, str_starts(value, STR("0x")) ? 16 : 10, &number);
    return number;
}

static bool value_is_backend(struct str value)
{
    return value_is_one_of(value, "rocm vulkan cpu");
}

static bool value_is_os(struct str value)
{
    return value_is_one_of(value, "linux windows");
}

static bool value_is_kind(struct str value)
{
    return value_is_one_of(value, "discrete integrated accelerator");
}

static bool value_is_runtime(struct str value)
{
    return value_is_one_of(value, "bundled therock system");
}

static bool value_is_gfx(struct str value)
{
    return str_starts(value, STR("gfx")) && value.n > 3;
}

static bool value_is_kfd_feature(struct str value)
{
    return str_is(value, "cwsr");
}

/* The first three numbers of a kernel release: "6.12.107+deb13-amd64", "7.2". */
static bool kernel_parse(struct str text, unsigned ret_part[static 3])
{
    unsigned n = 0, part[3] = {0, 0, 0};
    size_t i = 0;
    while (n < 3 && i < text.n && text.p[i] >= '0' && text.p[i] <= '9') {
        for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
            if (part[n] > 100000)
                return false;
            part[n] = part[n] * 10 + (unsigned)(text.p[i] - '0');
        }
        n++;
        if (i == text.n || text.p[i] != '.')
            break;
        i++;
    }
    memcpy(ret_part, part, sizeof(part));
    return n >= 2;
}

static bool value_is_kernel(struct str value)
{
    unsigned part[3];
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] != '.' && (value.p[i] < '0' || value.p[i] > '9'))
            return false;
    }
    return kernel_parse(value, part);
}

static enum tri backend_is(const struct condition_facts *f, struct str value)
{
    return tri_of(str_is(value, plan_backend_name(f->backend)));
}

static enum tri os_is(const struct condition_facts *f, struct str value)
{
    return tri_of(str_is(value, f->os == GFX_WINDOWS ? "windows" : "linux"));
}

static enum tri kind_is(const struct condition_facts *f, struct str value)
{
    static const char *const names[] = {
        [GFX_DISCRETE] = "discrete",
        [GFX_INTEGRATED] = "integrated",
        [GFX_ACCELERATOR] = "accelerator",
    };
    if (!f->gpu || f->gpu->kind == GFX_KIND_UNKNOWN)
        return TRI_UNKNOWN;
    return tri_of(str_is(value, names[f->gpu->kind]));
}

static enum tri driver_is(const struct condition_facts *f, struct str value)
{
    if (!f->gpu || strcmp(f->gpu->driver, "?") == 0)
        return TRI_UNKNOWN;
    return tri_of(str_is(value, f->gpu->driver));
}

static enum tri kernel_is_older(const struct condition_facts *f, struct str value)
{
    unsigned here[3], wanted[3];
    if (str_has(str_from(f->m->host.kernel), STR(".el"))) /* newer drivers than their number */
        return TRI_UNKNOWN;
    if (f->os != GFX_LINUX || !kernel_parse(str_from(f->m->host.kernel), here) ||
        !kernel_parse(value, wanted))
        return TRI_UNKNOWN;
    for (unsigned i = 0; i < 3; i++) {
        if (here[i] != wanted[i])
            return tri_of(here[i] < wanted[i]);
    }
    return TRI_NO;
}

static enum tri kfd_lacks(const struct condition_facts *f, struct str value)
{
    (void)value; /* cwsr is the only one */
    if (!f->gpu || f->gpu->kfd_cwsr == TRI_UNKNOWN)
        return TRI_UNKNOWN;
    return tri_of(f->gpu->kfd_cwsr == TRI_NO);
}

static enum tri mec_firmware_is_older(const struct condition_facts *f, struct str value)
{
    if (!f->gpu || f->gpu->mec_firmware == 0)
        return TRI_UNKNOWN;
    return tri_of(f->gpu->mec_firmware < value_number(value));
}

static enum tri mes_firmware_is(const struct condition_facts *f, struct str value)
{
    if (!f->gpu || f->gpu->mes_firmware == 0)
        return TRI_UNKNOWN;
    return tri_of(f->gpu->mes_firmware == value_number(value));
}

static enum tri is_dkms(const struct condition_facts *f, struct str value)
{
    (void)value;
    if (f->m->host.amdgpu_version[0])
        return TRI_YES;
    /* The in-tree driver has no version: that says something only where a module was seen. */
    return f->m->amdgpu_loaded == TRI_YES ? TRI_NO : TRI_UNKNOWN;
}

static enum tri is_wsl(const struct condition_facts *f, struct str value)
{
    (void)value;
    return tri_of(f->m->host.wsl);
}

static enum tri is_container(const struct condition_facts *f, struct str value)
{
    (void)value;
    return tri_of(f->m->host.container[0] != '\0');
}

static bool gpu_is_amd(const struct machine_gpu *gpu)
{
    return gpu->vendor == 0x1002 || gpu->target;
}

static enum tri has_more_gpus(const struct condition_facts *f, struct str value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->m->n_gpus; i++)
        n += gpu_is_amd(&f->m->gpu[i]);
    return tri_of(n > value_number(value));
}

static enum tri is_beside_discrete(const struct condition_facts *f, struct str value)
{
    (void)value;
    if (!f->gpu || f->gpu->kind == GFX_KIND_UNKNOWN)
        return TRI_UNKNOWN;
    if (f->gpu->kind != GFX_INTEGRATED)
        return TRI_NO;
    for (size_t i = 0; i < f->m->n_gpus; i++) {
        const struct machine_gpu *other = &f->m->gpu[i];
        if (other != f->gpu && gpu_is_amd(other) &&
            (other->kind == GFX_DISCRETE || other->kind == GFX_ACCELERATOR))
            return TRI_YES;
    }
    return TRI_NO;
}

static enum tri package_starts(const struct condition_facts *f, struct str value)
{
    return f->package.n == 0 ? TRI_UNKNOWN : tri_of(str_starts(f->package, value));
}

static enum tri runtime_is(const struct condition_facts *f, struct str value)
{
    return f->runtime.n == 0 ? TRI_UNKNOWN : tri_of(str_eq(f->runtime, value));
}

static bool override_is_set(const struct machine *m)
{
    return m->host.override_set || m->host.override_gfx[0];
}

/* As libhsakmt reads it: sscanf "%u.%u.%u%c" finds three numbers and nothing behind them, of at
 * most 6, 8 and 8 bits. The number that KFD would report; 0 malformed. */
static uint32_t override_version(const char *text)
{
    struct str rest = str_from(text), part;
    uint64_t number[3] = {0, 0, 0};
    for (unsigned i = 0; i < 3; i++) {
        if (!str_cut(&rest, i < 2 ? '.' : '\0', &part) || (i < 2 && !rest.p))
            return 0;
        while (part.n && strchr(" \t\n", part.p[0]) && part.p[0])
            part = (struct str){part.p + 1, part.n - 1};
        if (str_to_u64(part, 10, &number[i]) < 0 || number[i] > (i ? 255 : 63))
            return 0;
    }
    return (uint32_t)(number[0] * 10000 + number[1] * 100 + number[2]);
}

static bool override_is_marked(const struct gfx_tables *tables, const struct gfx_target *target,
                               const struct gfx_target *as)
{
    for (size_t i = 0; i < tables->n_quirks; i++) {
        const struct gfx_quirk *quirk = &tables->quirk[i];
        if (quirk->effect == GFX_OVERRIDE && str_eq(quirk->value, as->gfx) &&
            gfx_quirk_names(quirk, target))
            return true;
    }
    return false;
}

/* What the user's HSA_OVERRIDE_GFX_VERSION is to a GPU: the word of the term, and what ROCm does.
 */
static const struct override_kind {
    const char *word, *does;
} override_kinds[] = {
    {"empty", "ROCm reads it as a version, fails, and lists no GPU at all"},
    {"malformed", "ROCm wants three numbers such as 11.0.0 without quotation marks, fails to read "
                  "this, and lists no GPU at all"},
    {"unknown", "ROCm knows no GPU of this version and leaves the card out"},
    {"same", "it is this card's own version and changes nothing, but other GPUs are taken for this "
             "one too"},
    {"marked", "code for another GPU then runs on this card, which it can, but code for the card's "
               "own target no longer loads"},
    {"other", "it names another instruction set: its code crashes or hangs this card"},
    {"registers",
     "code for another GPU then runs on this card, which has fewer registers than that "
     "code may use: it can hang or compute wrongly"},
    {"unmarked", "code for another GPU then runs on this card: it can hang or compute wrongly"},
};

static const struct override_kind *override_kind(const char *word)
{
    const struct override_kind *kind = override_kinds;
    while (strcmp(kind->word, word) != 0)
        kind++;
    return kind;
}

/* NULL: it is not set. */
static const struct override_kind *override_of(const struct machine *m,
                                               const struct gfx_tables *tables,
                                               const struct gfx_target *target)
{
    const char *text = m->host.override_gfx;
    uint32_t version = override_version(text);
    const struct gfx_target *as = gfx_target_by_kfd(tables, version);
    if (!override_is_set(m))
        return NULL;
    if (!version)
        return override_kind(text[0] ? "malformed" : "empty");
    if (!as || !target)
        return override_kind("unknown");
    if (as == target)
        return override_kind("same");
    if (override_is_marked(tables, target, as))
        return override_kind("marked");
    if (as->kfd / 100 != target->kfd / 100)
        return override_kind("other");
    return override_kind(as->vgpr_kib > target->vgpr_kib ? "registers" : "unmarked");
}

bool plan_override_tell(const struct machine *m, const struct gfx_tables *tables,
                        const struct gfx_target *target, struct buf *ret)
{
    const struct override_kind *kind = override_of(m, tables, target);
    if (!kind)
        return false;
    buf_addf(ret,
             m->host.override_gfx[0]
                 ? "HSA_OVERRIDE_GFX_VERSION=%s is set in your environment: %s."
                 : "HSA_OVERRIDE_GFX_VERSION is defined in your environment, and empty%s: %s.",
             m->host.override_gfx, kind->does);
    return true;
}

static bool value_is_override(struct str value)
{
    for (size_t i = 0; i < sizeof(override_kinds) / sizeof(override_kinds[0]); i++) {
        if (str_is(value, override_kinds[i].word))
            return true;
    }
    return false;
}

static enum tri override_is(const struct condition_facts *f, struct str value)
{
    const struct override_kind *kind = override_of(f->m, f->tables, f->target);
    if (!kind)
        return f->m->live ? TRI_NO : TRI_UNKNOWN;
    return tri_of(str_is(value, kind->word));
}

static enum tri vulkan_driver_is(const struct condition_facts *f, struct str value)
{
    return f->icd ? tri_of(str_is(value, f->icd)) : TRI_UNKNOWN;
}

static enum tri is_memory_short(const struct condition_facts *f, struct str value)
{
    (void)value;
    return tri_of(f->memory_short);
}

static enum tri is_override_set(const struct condition_facts *f, struct str value)
{
    (void)value;
    if (override_is_set(f->m))
        return TRI_YES;
    return f->m->live ? TRI_NO : TRI_UNKNOWN; /* a capture holds no environment */
}

bool plan_list_has_gfx(struct str list, struct str gfx)
{
    struct str word, bare;
    while (str_word(&list, &word)) {
        if (str_cut(&word, ':', &bare) && str_eq(bare, gfx))
            return true;
    }
    return false;
}

static enum tri package_holds(const struct condition_facts *f, struct str value)
{
    return f->gfx_known ? tri_of(plan_list_has_gfx(f->gfx, value)) : TRI_UNKNOWN;
}

static enum tri package_lacks_own(const struct condition_facts *f, struct str value)
{
    (void)value;
    if (!f->gfx_known || !f->target)
        return TRI_UNKNOWN;
    return tri_of(!plan_list_has_gfx(f->gfx, f->target->gfx));
}

static enum tri is_never(const struct condition_facts *f, struct str value)
{
    (void)f;
    (void)value;
    return TRI_NO;
}

static const struct term terms[] = {
    {"backend=", value_is_backend, backend_is},
    {"os=", value_is_os, os_is},
    {"kind=", value_is_kind, kind_is},
    {"driver=", value_is_any, driver_is},
    {"kernel<", value_is_kernel, kernel_is_older},
    {"kfd-lacks=", value_is_kfd_feature, kfd_lacks},
    {"mec-firmware<", value_is_number, mec_firmware_is_older},
    {"mes-firmware=", value_is_number, mes_firmware_is},
    {"dkms", NULL, is_dkms},
    {"wsl", NULL, is_wsl},
    {"container", NULL, is_container},
    {"gpus>", value_is_number, has_more_gpus},
    {"beside-discrete", NULL, is_beside_discrete},
    {"package=", value_is_any, package_starts},
    {"runtime=", value_is_runtime, runtime_is},
    {"override-set", NULL, is_override_set},
    {"override=", value_is_override, override_is},
    {"vulkan-driver=", value_is_any, vulkan_driver_is},
    {"memory-short", NULL, is_memory_short},
    {"holds=", value_is_gfx, package_holds},
    {"lacks-own", NULL, package_lacks_own},
    {"never", NULL, is_never},
};

/* The table row of a word without its '!', and the word's value. NULL: no such term. */
static const struct term *term_find(struct str word, struct str *ret_value)
{
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
        struct str head = str_from(terms[i].head);
        if (!terms[i].valid) {
            if (str_eq(word, head))
                return &terms[i];
            continue;
        }
        if (!str_starts(word, head))
            continue;
        struct str value = {word.p + head.n, word.n - head.n};
        if (!terms[i].valid(value))
            return NULL;
        *ret_value = value;
        return &terms[i];
    }
    return NULL;
}

/* Cut a leading '!' off. */
static bool word_is_negated(struct str *word)
{
    if (word->n == 0 || word->p[0] != '!')
        return false;
    word->p++;
    word->n--;
    return true;
}

bool plan_condition_holds(struct str condition, const struct condition_facts *facts)
{
    struct str word;
    while (str_word(&condition, &word)) {
        bool negated = word_is_negated(&word);
        struct str value = STR_NONE;
        const struct term *term = term_find(word, &value);
        if (!term)
            return false;
        if (term->holds(facts, value) != (negated ? TRI_NO : TRI_YES))
            return false;
    }
    return true;
}

bool plan_condition_known(struct str condition, struct str *ret_bad)
{
    struct str word;
    while (str_word(&condition, &word)) {
        struct str bare = word, value;
        (void)word_is_negated(&bare);
        if (!term_find(bare, &value)) {
            if (ret_bad)
                *ret_bad = word;
            return false;
        }
    }
    return true;
}
