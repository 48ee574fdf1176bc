/* fingerprint.c - what a proof is stored under: everything that could change its outcome. */
#include "plan/builder.h"

/* Between this and field_end the text of one field is added; the field's start is returned. */
static size_t field_begin(struct buf *b)
{
    if (b->n > 0)
        buf_add_char(b, '|');
    return b->n;
}

/* No separator, no control characters, "-" when empty. */
static void field_end(struct buf *b, size_t start)
{
    if (b->n == start)
        buf_add_char(b, '-');
    for (size_t i = start; i < b->n; i++) {
        unsigned char c = (unsigned char)b->p[i];
        if (c == '|' || c < 0x20 || c == 0x7f)
            b->p[i] = '_';
    }
}

static void field_add(struct buf *b, struct str text)
{
    size_t start = field_begin(b);
    buf_add_str(b, text);
    field_end(b, start);
}

static void word_add(struct buf *b, size_t start, const char *word)
{
    if (b->n > start && word[0])
        buf_add_char(b, ' ');
    buf_add_text(b, word);
}

static void firmware_add(struct buf *b, size_t start, const char *name, unsigned version)
{
    if (version)
        buf_addf(b, "%s%s=%u", b->n > start ? " " : "", name, version);
}

static void add_device(struct buf *b, const struct builder *d, const struct candidate *c)
{
    const struct machine_gpu *gpu = c->gpu;
    if (!gpu) {
        field_add(b, STR_NONE);
        field_add(b, str_from(d->m->host.cpu));
        return;
    }
    size_t start = field_begin(b);
    buf_add_text(b, gpu->pci);
    for (size_t i = 1; c->set && i < c->set->n; i++)
        buf_addf(b, "+%s", c->set->gpu[i]->pci);
    field_end(b, start);
    start = field_begin(b);
    if (gpu->device >= 0)
        buf_addf(b, "%04x:%04x", (unsigned)gpu->vendor, (unsigned)gpu->device);
    if (gpu->device >= 0 && gpu->revision >= 0)
        buf_addf(b, ":%02x", (unsigned)gpu->revision);
    field_end(b, start);
}

static void add_driver(struct buf *b, const struct builder *d, const struct machine_gpu *gpu)
{
    size_t start = field_begin(b);
    if (gpu) {
        word_add(b, start, gpu->driver);
        word_add(b, start, d->m->host.amdgpu_version);
        firmware_add(b, start, "mec", gpu->mec_firmware);
        firmware_add(b, start, "mes", gpu->mes_firmware);
        firmware_add(b, start, "sdma", gpu->sdma_firmware);
    }
    field_end(b, start);
}

/* The driver's name, its library's and which build that is: what files tell of an ICD without
 * loading it. Mesa's driver is updated in place, under the same name. */
static void add_icd(struct buf *b, const struct builder *d, const struct candidate *c)
{
    size_t start = field_begin(b);
    bool vulkan = c->backend == PLAN_VULKAN || c->backend == PLAN_VULKAN_SOFTWARE;
    for (size_t i = 0; vulkan && i < d->m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *icd = &d->m->vulkan.driver[i];
        if (c->icd ? strcmp(icd->name, c->icd) == 0 : !icd->software)
            buf_addf(b, "%s%s=%s@%s", b->n > start ? " " : "", icd->name,
                     icd->library ? icd->library : "?", icd->build_id[0] ? icd->build_id : "-");
    }
    field_end(b, start);
}

static void add_package(struct buf *b, const struct candidate *c)
{
    struct str id = plan_candidate_package(c);
    const char *digest = c->installed && c->installed->digest ? c->installed->digest : "-";
    size_t start = field_begin(b);
    if (id.n > 0)
        buf_addf(b, "%.*s@%s", STR_ARG(id), digest);
    field_end(b, start);
    field_add(b, plan_candidate_runtime(c));
}

/* Environment and arguments change what the engine does. Which other GPUs are hidden does not: the
 * number that says it moves when a card is plugged in elsewhere. Nor does how many layers of a
 * model are on the GPU, which follows from the memory that is free: the canary's all are. */
static void add_settings(struct buf *b, const struct builder *d, const struct plan_choice *choice)
{
    struct str layers = d->engine.layers_arg;
    size_t start = field_begin(b);
    for (size_t i = 0; choice->env && choice->env[i]; i++) {
        if (!str_starts(str_from(choice->env[i]), STR("ROCR_VISIBLE_DEVICES=")))
            word_add(b, start, choice->env[i]);
    }
    for (size_t i = 0; choice->args && choice->args[i]; i++) {
        if (str_is(layers, choice->args[i]) && choice->args[i + 1])
            i++;
        else
            word_add(b, start, choice->args[i]);
    }
    field_end(b, start);
}

bool plan_is_own_cpu(const struct machine *m, const char *fingerprint)
{
    const struct builder d = {.m = m};
    const struct candidate none = {.backend = PLAN_CPU};
    struct buf CLEAN_BUF begin = BUF_INIT(PLAN_FINGERPRINT_MAX);
    field_add(&begin, str_from(plan_backend_name(none.backend)));
    add_device(&begin, &d, &none);
    buf_add_char(&begin, '|');
    return buf_ok(&begin) && str_starts(str_from(fingerprint), buf_view(&begin));
}

void plan_fingerprint_write(struct builder *d, struct builder_choice *dc)
{
    const struct candidate *c = &dc->candidate;
    struct buf b = BUF_INIT(PLAN_FINGERPRINT_MAX - 1);
    size_t start = field_begin(&b);
    buf_add_text(&b, plan_backend_name(c->backend));
    plan_node_set_fingerprint(c->nodes, &b);
    field_end(&b, start);
    add_device(&b, d, c);
    field_add(&b, str_from(dc->choice.gfx));
    field_add(&b, str_from(d->m->host.kernel));
    add_driver(&b, d, c->gpu);
    add_icd(&b, d, c);
    add_package(&b, c);
    field_add(&b, str_from(d->request->canary_version));
    add_settings(&b, d, &dc->choice);
    free(dc->choice.fingerprint);
    dc->choice.fingerprint = buf_take(&b);
    buf_done(&b);
    if (!dc->choice.fingerprint)
        d->failed = true;
}
