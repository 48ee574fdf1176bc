/* condition.c - the terms of quirk conditions: a table of evaluators. */
#include "plan/condition.h"

#include "plan/access.h"
#include "plan/device.h"

/* What a value may be, beside words. */
#define ANY     ""
#define NUMBER  "#"
#define VERSION "."
#define TARGET  "gfx"

/* A term holds when its text is the value, or as its function says. */
struct term {
    const char *head;   /* "backend=": a value follows; "wsl": the whole word */
    const char *values; /* blank-separated, or one of the above; NULL: takes no value */
    struct str (*text)(const struct condition_facts *f); /* p NULL: not known */
    enum tri (*holds)(const struct condition_facts *f, struct str value);
};

static enum tri tri_of(bool yes)
{
    return yes ? TRI_YES : TRI_NO;
}

static bool value_read(struct str value, uint64_t *ret_number)
{
    return str_to_u64(value, str_starts(value, STR("0x")) ? 16 : 10, ret_number) == 0 &&
           *ret_number <= UINT32_MAX;
}

static uint64_t value_number(struct str value)
{
    uint64_t number = 0;
    (void)value_read(value, &number);
    return number;
}

/* "6.12...": two numbers at least. */
static bool is_release(struct str text)
{
    struct str first;
    uint64_t number;
    return str_cut(&text, '.', &first) && str_to_u64(first, 10, &number) == 0 && number < 100000 &&
           text.n && text.p[0] >= '0' && text.p[0] <= '9';
}

static bool value_is_valid(const char *values, struct str value)
{
    uint64_t number;
    size_t n = 0;
    if (strcmp(values, ANY) == 0)
        return value.n > 0;
    if (strcmp(values, NUMBER) == 0)
        return value_read(value, &number);
    if (strcmp(values, TARGET) == 0)
        return str_starts(value, STR(TARGET)) && value.n > 3;
    if (strcmp(values, VERSION) == 0) {
        while (n < value.n && value.p[n] && strchr(".0123456789", value.p[n]))
            n++;
        return n == value.n && is_release(value);
    }
    return str_list_has(str_from(values), value);
}

static struct str backend_text(const struct condition_facts *f)
{
    return str_from(plan_backend_name(f->backend));
}

static struct str os_text(const struct condition_facts *f)
{
    return f->os == GFX_WINDOWS ? STR("windows") : STR("linux");
}

static struct str kind_text(const struct condition_facts *f)
{
    return str_from(f->gpu ? machine_kind_name(f->gpu->kind) : NULL);
}

static struct str driver_text(const struct condition_facts *f)
{
    return str_from(f->gpu && strcmp(f->gpu->driver, "?") != 0 ? f->gpu->driver : NULL);
}

static struct str runtime_text(const struct condition_facts *f)
{
    return f->runtime.n ? f->runtime : STR_NONE;
}

static struct str icd_text(const struct condition_facts *f)
{
    return str_from(f->icd);
}

static enum tri kernel_is_older(const struct condition_facts *f, struct str value)
{
    struct str here = str_from(f->m->host.kernel);
    if (f->os != GFX_LINUX || !is_release(here) ||
        str_has(here, STR(".el"))) /* newer drivers than their number */
        return TRI_UNKNOWN;
    return tri_of(plan_version_compare(here, value) < 0);
}

static enum tri kfd_lacks(const struct condition_facts *f, struct str value)
{
    if (!f->gpu || f->gpu->kfd_cwsr == TRI_UNKNOWN) /* cwsr is the only one */
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
    if (f->m->host.amdgpu_version[0])
        return TRI_YES;
    /* The in-tree driver has no version: that says something only where a module was seen. */
    return f->m->amdgpu_loaded == TRI_YES ? TRI_NO : TRI_UNKNOWN;
}

static enum tri is_wsl(const struct condition_facts *f, struct str value)
{
    return tri_of(f->m->host.wsl);
}

static enum tri is_container(const struct condition_facts *f, struct str value)
{
    return tri_of(f->m->host.container[0] != '\0');
}

static enum tri has_more_gpus(const struct condition_facts *f, struct str value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->m->n_gpus; i++)
        n += plan_device_is_amd(&f->m->gpu[i]);
    return tri_of(n > value_number(value));
}

static enum tri is_beside_discrete(const struct condition_facts *f, struct str value)
{
    if (!f->gpu || f->gpu->kind == GFX_KIND_UNKNOWN)
        return TRI_UNKNOWN;
    bool found = false;
    for (size_t i = 0; f->gpu->kind == GFX_INTEGRATED && i < f->m->n_gpus; i++) {
        const struct machine_gpu *other = &f->m->gpu[i];
        found = found || (other != f->gpu && plan_device_is_amd(other) &&
                          (other->kind == GFX_DISCRETE || other->kind == GFX_ACCELERATOR));
    }
    return tri_of(found);
}

static enum tri package_starts(const struct condition_facts *f, struct str value)
{
    return f->package.n == 0 ? TRI_UNKNOWN : tri_of(str_starts(f->package, value));
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
    if (!m->host.override_set && !text[0])
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

/* A capture holds no environment. */
static struct str override_text(const struct condition_facts *f)
{
    const struct override_kind *kind = override_of(f->m, f->tables, f->target);
    return kind ? str_from(kind->word) : f->m->live ? STR("") : STR_NONE;
}

static enum tri is_override_set(const struct condition_facts *f, struct str value)
{
    if (f->m->host.override_set || f->m->host.override_gfx[0])
        return TRI_YES;
    return f->m->live ? TRI_NO : TRI_UNKNOWN;
}

static enum tri is_memory_short(const struct condition_facts *f, struct str value)
{
    return tri_of(f->memory_short);
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
    if (!f->gfx_known || !f->target)
        return TRI_UNKNOWN;
    return tri_of(!plan_list_has_gfx(f->gfx, f->target->gfx));
}

static enum tri is_never(const struct condition_facts *f, struct str value)
{
    return TRI_NO;
}

static const struct term terms[] = {
    {"backend=", "rocm vulkan cpu", backend_text, NULL},
    {"os=", "linux windows", os_text, NULL},
    {"kind=", "discrete integrated accelerator", kind_text, NULL},
    {"driver=", ANY, driver_text, NULL},
    {"kernel<", VERSION, NULL, kernel_is_older},
    {"kfd-lacks=", "cwsr", NULL, kfd_lacks},
    {"mec-firmware<", NUMBER, NULL, mec_firmware_is_older},
    {"mes-firmware=", NUMBER, NULL, mes_firmware_is},
    {"dkms", NULL, NULL, is_dkms},
    {"wsl", NULL, NULL, is_wsl},
    {"container", NULL, NULL, is_container},
    {"gpus>", NUMBER, NULL, has_more_gpus},
    {"beside-discrete", NULL, NULL, is_beside_discrete},
    {"package=", ANY, NULL, package_starts},
    {"runtime=", "bundled therock system", runtime_text, NULL},
    {"override-set", NULL, NULL, is_override_set},
    {"override=", "empty malformed unknown same marked other registers unmarked", override_text,
     NULL},
    {"vulkan-driver=", ANY, icd_text, NULL},
    {"memory-short", NULL, NULL, is_memory_short},
    {"holds=", TARGET, NULL, package_holds},
    {"lacks-own", NULL, NULL, package_lacks_own},
    {"never", NULL, NULL, is_never},
};

/* The table row of a word without its '!', and the word's value. NULL: no such term. */
static const struct term *term_find(struct str word, struct str *ret_value)
{
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
        struct str head = str_from(terms[i].head);
        if (!str_starts(word, head))
            continue;
        struct str value = {word.p + head.n, word.n - head.n};
        if (terms[i].values ? !value_is_valid(terms[i].values, value) : value.n > 0)
            continue;
        *ret_value = value;
        return &terms[i];
    }
    return NULL;
}

static enum tri term_holds(const struct term *term, const struct condition_facts *facts,
                           struct str value)
{
    if (term->holds)
        return term->holds(facts, value);
    struct str text = term->text(facts);
    return text.p ? tri_of(str_eq(text, value)) : TRI_UNKNOWN;
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

enum tri plan_condition_is(struct str condition, const struct condition_facts *facts)
{
    struct str word;
    enum tri all = TRI_YES;
    while (str_word(&condition, &word)) {
        bool negated = word_is_negated(&word);
        struct str value = STR_NONE;
        const struct term *term = term_find(word, &value);
        enum tri one = term ? term_holds(term, facts, value) : TRI_NO;
        if (term && negated && one != TRI_UNKNOWN)
            one = one == TRI_NO ? TRI_YES : TRI_NO;
        if (one == TRI_NO)
            return TRI_NO;
        if (one == TRI_UNKNOWN)
            all = TRI_UNKNOWN;
    }
    return all;
}

bool plan_condition_holds(struct str condition, const struct condition_facts *facts)
{
    return plan_condition_is(condition, facts) == TRI_YES;
}

enum tri plan_quirk_could(const struct plan_quirk_case *c, const struct gfx_quirk *quirk)
{
    static const struct machine any = {.n_gpus = 0};
    struct condition_facts facts = {
        .m = c->machine ? c->machine : &any,
        .backend = c->backend,
        .os = c->os,
        .gpu = c->gpu,
        .target = c->target,
        .tables = c->tables,
        .gfx_known = c->package != NULL,
    };
    if (c->package) {
        facts.package = c->package->id;
        facts.runtime = c->package->runtime;
        facts.gfx = c->package->gfx;
    }
    if (!gfx_quirk_names(quirk, c->target))
        return TRI_NO;
    return plan_condition_is(quirk->condition, &facts);
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
