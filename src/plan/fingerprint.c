/* fingerprint.c - what a proof is stored under: everything that could change its outcome. */
#include "plan/builder.h"

#define FINGERPRINT_MAX 3000

/* One field: no separator, no control characters, "-" when empty. */
static void field_add(struct buf *b, struct str text)
{
    if (b->n > 0)
        buf_add_char(b, '|');
    size_t start = b->n;
    buf_add_str(b, text.n ? text : STR("-"));
    for (size_t i = start; i < b->n; i++) {
        unsigned char c = (unsigned char)b->p[i];
        if (c == '|' || c < 0x20 || c == 0x7f)
            b->p[i] = '_';
    }
}

static void add_device(struct buf *b, const struct builder *d, const struct candidate *c)
{
    const struct machine_gpu *gpu = c->gpu;
    struct buf CLEAN_BUF addresses = BUF_INIT(400), id = BUF_INIT(200);
    if (!gpu) {
        field_add(b, STR_NONE);
        field_add(b, str_from(d->m->host.cpu));
        return;
    }
    buf_add_text(&addresses, gpu->pci);
    for (size_t i = 1; c->set && i < c->set->n; i++)
        buf_addf(&addresses, "+%s", c->set->gpu[i]->pci);
    field_add(b, buf_view(&addresses));
    if (gpu->device >= 0)
        buf_addf(&id, "%04x:%04x", (unsigned)gpu->vendor, (unsigned)gpu->device);
    if (gpu->device >= 0 && gpu->revision >= 0)
        buf_addf(&id, ":%02x", (unsigned)gpu->revision);
    field_add(b, buf_view(&id));
}

static void add_driver(struct buf *b, const struct builder *d, const struct machine_gpu *gpu)
{
    struct buf CLEAN_BUF text = BUF_INIT(400);
    if (gpu) {
        buf_addf(&text, "%s %s", gpu->driver, d->m->host.amdgpu_version);
        if (gpu->mec_firmware)
            buf_addf(&text, " mec=%u", gpu->mec_firmware);
        if (gpu->mes_firmware)
            buf_addf(&text, " mes=%u", gpu->mes_firmware);
        if (gpu->sdma_firmware)
            buf_addf(&text, " sdma=%u", gpu->sdma_firmware);
    }
    field_add(b, str_trim(buf_view(&text)));
}

/* The driver's name, its library's and which build that is: what files tell of an ICD without
 * loading it. Mesa's driver is updated in place, under the same name. */
static void add_icd(struct buf *b, const struct builder *d, const struct candidate *c)
{
    struct buf CLEAN_BUF text = BUF_INIT(800);
    bool vulkan = c->backend == PLAN_VULKAN || c->backend == PLAN_VULKAN_SOFTWARE;
    for (size_t i = 0; vulkan && i < d->m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *icd = &d->m->vulkan.driver[i];
        if (c->icd ? strcmp(icd->name, c->icd) == 0 : !icd->software)
            buf_addf(&text, "%s%s=%s@%s", text.n ? " " : "", icd->name,
                     icd->library ? icd->library : "?", icd->build_id[0] ? icd->build_id : "-");
    }
    field_add(b, buf_view(&text));
}

static void add_package(struct buf *b, const struct candidate *c)
{
    struct buf CLEAN_BUF text = BUF_INIT(400);
    struct str id = plan_candidate_package(c);
    const char *digest = c->installed && c->installed->digest ? c->installed->digest : "-";
    if (id.n > 0)
        buf_addf(&text, "%.*s@%s", STR_ARG(id), digest);
    field_add(b, buf_view(&text));
    field_add(b, plan_candidate_runtime(c));
}

/* Environment and arguments change what the engine does. Which other GPUs are hidden does not: the
 * number that says it moves when a card is plugged in elsewhere. Nor does how many layers of a
 * model are on the GPU, which follows from the memory that is free: the canary's all are. */
static void add_settings(struct buf *b, const struct builder *d, const struct plan_choice *choice)
{
    struct str layers = d->engine.layers_arg;
    struct buf CLEAN_BUF text = BUF_INIT(1200);
    for (size_t i = 0; choice->env && choice->env[i]; i++) {
        if (!str_starts(str_from(choice->env[i]), STR("ROCR_VISIBLE_DEVICES=")))
            buf_addf(&text, "%s%s", text.n ? " " : "", choice->env[i]);
    }
    for (size_t i = 0; choice->args && choice->args[i]; i++) {
        if (str_is(layers, choice->args[i]) && choice->args[i + 1])
            i++;
        else
            buf_addf(&text, "%s%s", text.n ? " " : "", choice->args[i]);
    }
    field_add(b, buf_view(&text));
}

void plan_fingerprint_write(struct builder *d, struct builder_choice *dc)
{
    const struct candidate *c = &dc->candidate;
    struct buf b = BUF_INIT(FINGERPRINT_MAX);
    field_add(&b, str_from(plan_backend_name(c->backend)));
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
