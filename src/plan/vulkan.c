/* vulkan.c - Vulkan choices: each GPU that a driver can drive with each package. */
#include "plan/access.h"
#include "plan/builder.h"
#include "plan/device.h"
#include "plan/quirk.h"

#include <stdio.h>

#define ICDS_MAX 4

/* Whose GPUs are offered, and the manifests that drive them; AMD's are told by machine/. */
static const struct vendor {
    uint16_t id;
    enum plan_thing driver;
    const char *name, *icds, *words;
} vendors[] = {
    {0x1002, PLAN_VULKAN_AMD, "AMD", "", "install your distribution's Mesa Vulkan drivers"},
    {0x8086, PLAN_VULKAN_INTEL, "Intel", "intel intel_hasvk",
     "install your distribution's Mesa Vulkan drivers"},
    {0x10de, PLAN_VULKAN_NVIDIA, "NVIDIA", "nvidia nouveau",
     "install the Vulkan part of NVIDIA's driver"},
};

static const struct vendor *vendor_of(const struct machine_gpu *gpu)
{
    if (gpu && plan_device_is_amd(gpu))
        return &vendors[0];
    for (size_t i = 0; gpu && i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        if (vendors[i].id == gpu->vendor)
            return &vendors[i];
    }
    return NULL;
}

/* How a GPU's driver is installed, or Mesa's where there is none. */
static void remedy_driver(const struct builder *d, const struct machine_gpu *gpu, struct buf *ret)
{
    const struct vendor *vendor = gpu ? vendor_of(gpu) : &vendors[0];
    if (!plan_way_to_install(d->m, vendor->driver, ret))
        buf_add_text(ret, vendor->words);
}

static bool icd_drives(const struct machine_vulkan_driver *icd, const struct machine_gpu *gpu)
{
    const struct vendor *vendor = vendor_of(gpu);
    return !icd->software && vendor &&
           (icd->amd ? vendor == &vendors[0]
                     : str_list_has(str_from(vendor->icds), str_from(icd->name)));
}

/* Names of the usable drivers of a GPU, RADV first. One driver may have a manifest a processor
 * architecture. */
static size_t icds_of(const struct machine *m, const struct machine_gpu *gpu,
                      const char *ret_name[static ICDS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < m->vulkan.n_drivers && n < ICDS_MAX; i++) {
        const struct machine_vulkan_driver *icd = &m->vulkan.driver[i];
        bool seen = false;
        if (!icd_drives(icd, gpu) || icd->library_found == TRI_NO)
            continue;
        for (size_t k = 0; k < n; k++)
            seen = seen || strcmp(ret_name[k], icd->name) == 0;
        if (seen)
            continue;
        ret_name[n++] = icd->name;
        if (n > 1 && strcmp(icd->name, "radeon") == 0) {
            memmove(&ret_name[1], &ret_name[0], (n - 1) * sizeof(ret_name[0]));
            ret_name[0] = icd->name;
        }
    }
    return n;
}

static const struct machine_vulkan_driver *software_icd(const struct machine *m)
{
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        if (m->vulkan.driver[i].software && m->vulkan.driver[i].library_found != TRI_NO)
            return &m->vulkan.driver[i];
    }
    return NULL;
}

/* VK_DRIVER_FILES: all manifests of one driver, so that no other driver is loaded. */
static void show_icd(struct builder *d, struct builder_choice *dc, const char *name)
{
    struct buf CLEAN_BUF paths = BUF_INIT(900);
    for (size_t i = 0; i < d->m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *icd = &d->m->vulkan.driver[i];
        if (icd->icd && strcmp(icd->name, name) == 0 && icd->library_found != TRI_NO)
            buf_addf(&paths, "%s%s", paths.n ? ":" : "", icd->icd);
    }
    if (paths.n > 0 && buf_ok(&paths))
        plan_builder_env(d, dc, "VK_DRIVER_FILES=%s", buf_text(&paths));
}

static bool reject_driver(struct builder *d, struct builder_choice *dc)
{
    struct buf CLEAN_BUF remedy = BUF_INIT(400);
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char name[DEVICE_NAME_MAX];
    remedy_driver(d, gpu, &remedy);
    plan_builder_remedy(d, dc, "%s", buf_text(&remedy));
    plan_device_name(gpu, name);
    for (size_t i = 0; i < d->m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *icd = &d->m->vulkan.driver[i];
        if (icd_drives(icd, gpu))
            return plan_builder_reject(
                d, dc, PLAN_E2, GFXB_E_VULKAN_DRIVER_MISSING,
                "%s names the driver library %s, which is not there: reinstall it (%s).",
                icd->icd ? icd->icd : icd->name, icd->library ? icd->library : "of its own",
                buf_text(&remedy));
    }
    bool software = software_icd(d->m) != NULL;
    return plan_builder_reject(
        d, dc, PLAN_E2, software ? GFXB_E_VULKAN_SOFTWARE_ONLY : GFXB_E_VULKAN_DRIVER_MISSING,
        "There is no Vulkan driver for %s%s: %s.", name,
        software ? " (only one that computes on the CPU)" : "", buf_text(&remedy));
}

/* The newest Mesa among a driver's manifests; NULL: it is none of Mesa's, or not known. */
static const struct machine_vulkan_driver *mesa_of(const struct machine *m, const char *name)
{
    const struct machine_vulkan_driver *found = NULL;
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *icd = &m->vulkan.driver[i];
        if (strcmp(icd->name, name) == 0 && icd->mesa[0] &&
            (!found || plan_version_compare(str_from(found->mesa), str_from(icd->mesa)) < 0))
            found = icd;
    }
    return found;
}

/* A Mesa that is older than the chip lists no device for it. */
static bool check_mesa(struct builder *d, struct builder_choice *dc)
{
    const struct machine *m = d->m;
    const struct gfx_target *target = dc->candidate.gpu->target;
    const struct machine_vulkan_driver *icd = mesa_of(m, dc->candidate.icd);
    if (!icd || !target || !target->mesa_first.n ||
        plan_version_compare(str_from(icd->mesa), target->mesa_first) >= 0)
        return true;
    const char *inside = m->host.container[0] ? " in this container" : "";
    plan_builder_remedy(d, dc,
                        "install Mesa %.*s or later%s: a newer release of the distribution has it",
                        STR_ARG(target->mesa_first), inside);
    return plan_builder_reject(
        d, dc, PLAN_E2, GFXB_E_VULKAN_DRIVER_MISSING,
        "The Vulkan driver%s cannot find this GPU: it is Mesa %s%s%s, and %.*s needs Mesa %.*s or "
        "later.",
        inside, icd->mesa, icd->mesa_of_release ? " at most, the newest of " : "",
        icd->mesa_of_release ? m->host.distribution : "", STR_ARG(target->gfx),
        STR_ARG(target->mesa_first));
}

static bool check_icd(struct builder *d, struct builder_choice *dc)
{
    const struct candidate *c = &dc->candidate;
    const char *names[ICDS_MAX];
    size_t n = c->gpu ? icds_of(d->m, c->gpu, names) : 0;
    if (c->icd) {
        buf_addf(&dc->known, "%sVulkan driver %s", dc->known.n ? ", " : "", c->icd);
        if (n > 1) {
            buf_addf(&dc->known, " (of %zu for it)", n);
            show_icd(d, dc, c->icd);
        }
        return !c->gpu || check_mesa(d, dc);
    }
    if (d->m->vulkan.known == TRI_YES)
        return reject_driver(d, dc);
    buf_addf(&dc->unknown, "%sits Vulkan driver", dc->unknown.n ? ", " : "");
    return true;
}

/* Debian's package brings the loader along; every other one takes this computer's. */
static bool check_loader(struct builder *d, struct builder_choice *dc)
{
    if (str_is(plan_candidate_provider(&dc->candidate), "debian"))
        return true;
    if (d->m->vulkan.loader == TRI_NO) {
        struct buf CLEAN_BUF remedy = BUF_INIT(400);
        if (!plan_way_to_install(d->m, PLAN_VULKAN_LOADER, &remedy))
            buf_add_text(&remedy, "install your distribution's Vulkan loader");
        plan_builder_remedy(d, dc, "%s", buf_text(&remedy));
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_VULKAN_LOADER_MISSING,
            "%s needs the Vulkan loader libvulkan.so.1, which is not installed: %s.",
            dc->choice.package, buf_text(&remedy));
    }
    if (d->m->vulkan.loader == TRI_UNKNOWN)
        buf_addf(&dc->unknown, "%sthe Vulkan loader", dc->unknown.n ? ", " : "");
    return true;
}

/* Vulkan numbers devices only once its drivers are loaded, which is not done here. */
static bool note_order(struct builder *d, struct builder_choice *dc)
{
    if (d->n_gpus > 1)
        buf_addf(&dc->known,
                 "%sto be found among %zu GPUs by its PCI address once the engine lists "
                 "them",
                 dc->known.n ? ", " : "", d->n_gpus);
    return true;
}

static void tell_card(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char name[DEVICE_NAME_MAX];
    struct buf CLEAN_BUF others = BUF_INIT(400);
    plan_device_name(gpu, name);
    plan_gpu_set_words(dc->candidate.set, &others);
    if (gpu->target)
        plan_builder_tell(d, dc, PLAN_E0, TRI_YES, "%s is %.*s%s", name, STR_ARG(gpu->target->gfx),
                          buf_text(&others));
    else
        plan_builder_tell(d, dc, PLAN_E0,
                          gpu->card || !plan_device_is_amd(gpu) ? TRI_YES : TRI_UNKNOWN, "%s%s",
                          name, plan_device_is_amd(gpu) ? "" : ", not AMD's");
    buf_clear(&others);
    plan_builder_known(dc, &others);
    plan_builder_tell(d, dc, PLAN_E1, TRI_YES,
                      "the driver compiles the package's Vulkan code for the card itself%s",
                      buf_text(&others));
}

void plan_vulkan_judge(struct builder *d, const struct candidate *c)
{
    static plan_check *const checks[] = {plan_check_driver, check_icd,        check_loader,
                                         plan_check_render, plan_quirk_check, plan_check_glibc,
                                         plan_check_memory, note_order};
    struct builder_choice *dc = plan_builder_add(d, c);
    if (!dc)
        return;
    tell_card(d, dc);
    if (plan_check_all(d, dc, checks, sizeof(checks) / sizeof(checks[0])))
        plan_resolve_choice(d, dc);
}

/* Is there any Vulkan driver in the world for this GPU? */
static bool gpu_is_possible(struct builder *d, const struct machine_gpu *gpu)
{
    const struct gfx_card *card = gpu->card;
    char name[DEVICE_NAME_MAX];
    bool old = !gpu->target && gfx_card_is_old(card);
    bool headless = gpu->target && str_is(gpu->target->vulkan, "no");
    if (!plan_device_is_amd(gpu))
        return true;
    if (!old && !headless)
        return true;
    struct builder_choice *dc =
        plan_builder_add(d, &(struct candidate){.backend = PLAN_VULKAN, .gpu = gpu});
    if (!dc)
        return false;
    plan_device_name(gpu, name);
    if (old)
        return plan_builder_reject(d, dc, PLAN_E0, GFXB_E_VULKAN_DRIVER_MISSING,
                                   "%s is older than GCN (%.*s): no Vulkan driver exists for it.",
                                   name, STR_ARG(gfx_card_generation(card)));
    return plan_builder_reject(d, dc, PLAN_E0, GFXB_E_VULKAN_DRIVER_MISSING,
                               "%s (%.*s) has no graphics pipeline and no released Vulkan driver.",
                               name, STR_ARG(gpu->target->gfx));
}

static void builder_gpu(struct builder *d, const struct candidate *list, size_t n,
                        const struct machine_gpu *gpu)
{
    const char *icd[ICDS_MAX] = {NULL};
    size_t n_icds = d->request->os == GFX_LINUX ? icds_of(d->m, gpu, icd) : 0;
    for (size_t k = 0; k < (n_icds ? n_icds : 1); k++) {
        for (size_t i = 0; i < n; i++) {
            struct candidate c = list[i];
            c.gpu = gpu;
            c.icd = icd[k];
            plan_vulkan_judge(d, &c);
            if (d->set.n && gpu == d->set.gpu[0]) {
                c.set = &d->set;
                plan_vulkan_judge(d, &c);
            }
        }
    }
}

static void reject_no_gpu(struct builder *d)
{
    struct builder_choice *dc = plan_builder_add(d, &(struct candidate){.backend = PLAN_VULKAN});
    const struct machine_vulkan_driver *software = software_icd(d->m);
    if (!dc)
        return;
    if (d->m->host.wsl)
        (void)plan_builder_reject(
            d, dc, PLAN_E0, software ? GFXB_E_VULKAN_SOFTWARE_ONLY : GFXB_E_NO_GPU,
            "WSL2 shows no GPU to Vulkan's own drivers, and Mesa's dzn driver, which reaches it "
            "through /dev/dxg, is not supported by gfxbridge yet; the CPU backend works.");
    else if (plan_tell_virtual(d, dc))
        return;
    else if (software)
        (void)plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_VULKAN_SOFTWARE_ONLY,
            "There is no GPU for Vulkan here: the only driver that could compute, %s, does so on "
            "the CPU, more slowly than the CPU backend does, and is taken only when asked for with "
            "--backend vulkan-software.",
            software->name);
    else
        (void)plan_builder_reject(d, dc, PLAN_E0, GFXB_E_NO_GPU,
                                  "There is no GPU for Vulkan here.");
}

static void reject_no_package(struct builder *d, enum plan_backend backend)
{
    struct builder_choice *dc = plan_builder_add(d, &(struct candidate){.backend = backend});
    if (dc)
        (void)plan_builder_reject(
            d, dc, PLAN_E1, GFXB_E_NO_PACKAGE,
            "No Vulkan package for this operating system and processor is known.");
}

void plan_builder_vulkan(struct builder *d)
{
    struct candidate *CLEAN_FREE list = NULL;
    size_t n_gpus = 0;
    if (!plan_builder_wants(d, PLAN_VULKAN) || !plan_builder_has_pinned(d, PLAN_VULKAN))
        return;
    size_t n = plan_candidate_list(d, PLAN_VULKAN, &list);
    for (size_t i = 0; i < d->n_gpus; i++) {
        const struct machine_gpu *gpu = d->gpu[i];
        if (!vendor_of(gpu))
            continue;
        n_gpus++;
        if (n > 0 && plan_builder_wants_gpu(d, PLAN_VULKAN, gpu) && gpu_is_possible(d, gpu))
            builder_gpu(d, list, n, gpu);
    }
    if (n_gpus == 0)
        reject_no_gpu(d);
    else if (n == 0)
        reject_no_package(d, PLAN_VULKAN);
}

void plan_software_judge(struct builder *d, const struct candidate *c)
{
    struct buf CLEAN_BUF remedy = BUF_INIT(400);
    static plan_check *const checks[] = {check_icd, check_loader, plan_quirk_check,
                                         plan_check_glibc, plan_check_memory};
    const struct machine_vulkan_driver *icd = software_icd(d->m);
    struct candidate named = *c;
    named.icd = icd ? icd->name : NULL;
    struct builder_choice *dc = plan_builder_add(d, &named);
    remedy_driver(d, NULL, &remedy);
    if (!dc)
        return;
    if (!icd && d->m->vulkan.known == TRI_YES) {
        (void)plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_VULKAN_DRIVER_MISSING,
            "There is no Vulkan driver that computes on the CPU (lavapipe) here: %s.",
            buf_text(&remedy));
        return;
    }
    plan_builder_tell(d, dc, PLAN_E0, icd ? TRI_YES : TRI_UNKNOWN,
                      "Vulkan in software, on the CPU: no GPU "
                      "is used");
    plan_builder_tell(d, dc, PLAN_E1, TRI_YES,
                      "the driver compiles the package's Vulkan code itself");
    if (!plan_check_all(d, dc, checks, sizeof(checks) / sizeof(checks[0])))
        return;
    if (icd)
        show_icd(d, dc, icd->name);
    if (d->engine.software_env.n) /* it hides software devices otherwise */
        plan_builder_env(d, dc, "%.*s", STR_ARG(d->engine.software_env));
    plan_resolve_choice(d, dc);
}

void plan_builder_software(struct builder *d)
{
    struct candidate *CLEAN_FREE list = NULL;
    if (d->request->backend != PLAN_VULKAN_SOFTWARE)
        return;
    size_t n = plan_candidate_list(d, PLAN_VULKAN_SOFTWARE, &list);
    for (size_t i = 0; i < n; i++)
        plan_software_judge(d, &list[i]);
    if (n == 0)
        reject_no_package(d, PLAN_VULKAN_SOFTWARE);
}
