/* access.c - can this computer run it: driver, device nodes, kernel. */
#include "plan/access.h"

#include "plan/device.h"
#include "plan/quirk.h"

#include <errno.h>
#include <stdio.h>

void plan_words_add(struct buf *words, const char *text)
{
    if (words->n > 0)
        buf_add_text(words, ", ");
    buf_add_text(words, text);
}

/* "" outside a container. */
static const char *access_container(const struct builder *d)
{
    return d->m->host.container;
}

/* The number in front; false when there is none left. */
static bool version_take(struct str *s, uint64_t *ret_number)
{
    size_t n = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    bool good = n && str_to_u64((struct str){s->p, n}, 10, ret_number) == 0;
    size_t dot = n < s->n && s->p[n] == '.';
    *s = good && dot ? (struct str){s->p + n + 1, s->n - n - 1} : STR_NONE;
    return good;
}

int plan_version_compare(struct str a, struct str b)
{
    for (;;) {
        uint64_t number_a = 0, number_b = 0;
        bool more_a = version_take(&a, &number_a), more_b = version_take(&b, &number_b);
        if (number_a != number_b)
            return number_a < number_b ? -1 : 1;
        if (!more_a && !more_b)
            return 0;
    }
}

bool plan_kernel_is_old(const struct machine *m, const struct gfx_target *target)
{
    struct str kernel = str_from(m->host.kernel);
    return target && target->linux_first.n && kernel.n && !m->host.amdgpu_version[0] &&
           !str_has(kernel, STR(".el")) && /* RHEL's kernels have newer drivers than their number */
           plan_version_compare(kernel, target->linux_first) < 0;
}

static bool check_foreign_driver(struct builder *d, struct builder_choice *dc, const char *name)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    if (strcmp(gpu->driver, "vfio-pci") == 0 || strcmp(gpu->driver, "pci-stub") == 0)
        return plan_builder_reject(
            d, dc, PLAN_E2,
            plan_device_is_amd(gpu) ? GFXB_E_DRIVER_NOT_AMDGPU : GFXB_E_DRIVER_MISSING,
            "%s is bound to %s, which reserves it for a virtual machine: give it "
            "back to its own driver to use it here.",
            name, gpu->driver);
    if (!plan_device_is_amd(gpu)) {
        plan_words_add(&dc->known, "a kernel driver is bound");
        return true;
    }
    if (strcmp(gpu->driver, "radeon") == 0)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_DRIVER_NOT_AMDGPU,
            "%s is driven by radeon, which neither ROCm nor Vulkan can use: boot "
            "with radeon.si_support=0 radeon.cik_support=0 amdgpu.si_support=1 "
            "amdgpu.cik_support=1.",
            name);
    return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_DRIVER_NOT_AMDGPU,
                               "%s is driven by %s instead of amdgpu: bind amdgpu to it.", name,
                               gpu->driver);
}

/* "sudo dmesg | grep ...", on the computer whose kernel it is. */
static void remedy_look(struct builder *d, struct builder_choice *dc, const char *word,
                        const char *hint)
{
    struct buf CLEAN_BUF where = BUF_INIT(200);
    plan_container_host(d->m, &where);
    plan_builder_remedy(d, dc, "%ssudo dmesg | grep -i %s | tail%s", buf_text(&where), word, hint);
}

/* The kernel is older than the chip. */
static bool reject_kernel(struct builder *d, struct builder_choice *dc, const char *what)
{
    const struct gfx_target *target = dc->candidate.gpu->target;
    struct buf CLEAN_BUF where = BUF_INIT(200);
    plan_container_host(d->m, &where);
    plan_builder_remedy(d, dc,
                        "%sinstall Linux %.*s or later (a newer release of the distribution, or "
                        "its newer kernel), and restart",
                        buf_text(&where), STR_ARG(target->linux_first));
    return plan_builder_reject(
        d, dc, PLAN_E2,
        dc->candidate.backend == PLAN_ROCM ? GFXB_E_KERNEL_QUIRK : GFXB_E_DRIVER_MISSING,
        "%s: this kernel %s is too old for %.*s, which needs Linux %.*s or later.", what,
        d->m->host.kernel, STR_ARG(target->gfx), STR_ARG(target->linux_first));
}

bool plan_tell_virtual(struct builder *d, struct builder_choice *dc)
{
    struct str words = STR_NONE;
    const char *container = d->m->host.container;
    if (!plan_virtual_gpu(d->m, &words))
        return false;
    plan_builder_remedy(d, dc, "%.*s", STR_ARG(words));
    (void)plan_builder_reject(
        d, dc, PLAN_E0, GFXB_E_NO_GPU, "There is no GPU in this %s (%s): %.*s.",
        container[0] ? "container, which runs in a virtual machine" : "virtual machine",
        d->m->host.vm, STR_ARG(words));
    return true;
}

/* The module is there and the card is not driven: what keeps it from starting. */
static bool reject_unstarted(struct builder *d, struct builder_choice *dc, const char *name)
{
    const struct machine *m = d->m;
    const struct machine_gpu *gpu = dc->candidate.gpu;
    struct buf CLEAN_BUF why = BUF_INIT(600);
    bool new = gpu->target && gpu->target->linux_first.n && m->host.kernel[0] &&
               !plan_kernel_is_old(m, gpu->target);
    if (new)
        buf_addf(&why, "this kernel %s is new enough for %.*s, so its firmware is missing",
                 m->host.kernel, STR_ARG(gpu->target->gfx));
    else
        buf_addf(&why, "this kernel%s%s may be too old for it or its firmware is missing",
                 m->host.kernel[0] ? " " : "", m->host.kernel);
    if (gpu->kind == GFX_INTEGRATED)
        buf_addf(&why, ", or %s has to be given the video BIOS of this GPU as a ROM file",
                 m->host.vm[0] ? "this virtual machine" : "a virtual machine, if this is one,");
    else if (m->host.vm[0])
        buf_addf(&why, ", or the host of this virtual machine did not reset the card");
    if (m->amdgpu_loaded == TRI_UNKNOWN && !access_container(d)[0])
        plan_builder_remedy(d, dc, "sudo modprobe amdgpu && sudo dmesg | grep -i amdgpu | tail");
    else
        remedy_look(d, dc, "amdgpu",
                    gpu->kind == GFX_INTEGRATED
                        ? "  # no VBIOS: give the virtual machine a ROM file (romfile=)"
                        : "  # the lines before the error name the firmware file");
    return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
                               "No kernel driver is bound to %s: %s; dmesg | grep amdgpu tells.",
                               name, buf_text(&why));
}

static bool reject_unbound(struct builder *d, struct builder_choice *dc, const char *name)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    struct buf CLEAN_BUF what = BUF_INIT(400), where = BUF_INIT(200);
    if (!plan_device_is_amd(gpu))
        return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
                                   "No kernel driver is bound to %s: install or load its driver.",
                                   name);
    buf_addf(&what, "No kernel driver is bound to %s", name);
    if (plan_kernel_is_old(d->m, gpu->target))
        return reject_kernel(d, dc, buf_text(&what));
    if (d->m->amdgpu_loaded != TRI_NO)
        return reject_unstarted(d, dc, name);
    plan_container_host(d->m, &where);
    plan_builder_remedy(d, dc, "%ssudo modprobe amdgpu && sudo dmesg | grep -i amdgpu | tail",
                        buf_text(&where));
    return plan_builder_reject(
        d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
        "%s because the amdgpu module is not loaded: run sudo modprobe amdgpu, and look for a "
        "blacklist entry in /etc/modprobe.d if that helps until the next boot only.",
        buf_text(&what));
}

/* The driver holds the card and made no node for programs. */
static bool reject_no_render(struct builder *d, struct builder_choice *dc, const char *name)
{
    struct buf CLEAN_BUF words = BUF_INIT(600);
    plan_container_pass(d->m, "/dev/dri", &words);
    if (access_container(d)[0]) {
        plan_builder_remedy(d, dc,
                            "%s; if the host has none either: sudo dmesg | grep -i amdgpu there",
                            buf_text(&words));
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_RENDER_PERMISSION,
            "%s has no render node in /dev/dri here, without which neither ROCm nor Vulkan can use "
            "it: %s; if the host has none either, its driver did not start the card.",
            name, buf_text(&words));
    }
    remedy_look(d, dc, "amdgpu", "  # why the driver made no nodes for the card");
    return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
                               "amdgpu is bound to %s and made no render node for it, without "
                               "which neither ROCm nor Vulkan can use it: dmesg | grep amdgpu "
                               "tells why.",
                               name);
}

bool plan_check_driver(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char name[DEVICE_NAME_MAX];
    plan_device_name(gpu, name);
    if (gpu->kfd_node >= 0 || strcmp(gpu->driver, "amdgpu") == 0) {
        if (gpu->no_render)
            return reject_no_render(d, dc, name);
        plan_words_add(&dc->known, "amdgpu drives it");
        return true;
    }
    if (strcmp(gpu->driver, "?") == 0) {
        plan_words_add(&dc->unknown, "its kernel driver");
        return true;
    }
    return gpu->driver[0] ? check_foreign_driver(d, dc, name) : reject_unbound(d, dc, name);
}

/* "run COMMAND, then ..." of a remedy that is a command with words behind #. */
static void words_of_remedy(const struct buf *remedy, struct buf *ret)
{
    struct str text = buf_view(remedy), mark = STR("  # ");
    const char *at = text.n ? memmem(text.p, text.n, mark.p, mark.n) : NULL;
    size_t before = at ? (size_t)(at - text.p) : text.n;
    if (str_starts(text, STR("echo "))) { /* a udev rule: too long for a sentence */
        buf_add_text(ret, "give it to group render (a udev rule) and join that group");
        return;
    }
    buf_addf(ret, "%s%.*s", str_starts(text, STR("sudo ")) ? "run " : "", (int)before, text.p);
    if (at)
        buf_addf(ret, ", %.*s", (int)(text.n - before - mark.n), at + mark.n);
}

/* What the table says of a node that does not open, with the reason code of its kind. */
static bool reject_node(struct builder *d, struct builder_choice *dc,
                        const struct plan_device_node *node)
{
    struct buf CLEAN_BUF cause = BUF_INIT(600), remedy = BUF_INIT(900), words = BUF_INIT(900);
    struct buf CLEAN_BUF here = BUF_INIT(100);
    bool kfd = strcmp(node->path, "/dev/kfd") == 0;
    enum plan_access access = plan_remedy_access(d->m, node, &cause, &remedy);
    bool denied = access == PLAN_ACCESS_DENIED;
    plan_builder_remedy(d, dc, "%s", buf_text(&remedy));
    words_of_remedy(&remedy, &words);
    int code = !kfd     ? GFXB_E_RENDER_PERMISSION
               : denied ? GFXB_E_KFD_PERMISSION
                        : GFXB_E_KFD_MISSING;
    if (access == PLAN_ACCESS_ABSENT)
        return plan_builder_reject(d, dc, PLAN_E2, code, "%s %s: %s.", node->path, buf_text(&cause),
                                   buf_text(&words));
    if (access_container(d)[0] && !plan_container_leave(d->m).n)
        buf_addf(&here, " in this container (%s)", access_container(d));
    return plan_builder_reject(d, dc, PLAN_E2, code, "%s %s be opened%s: %s; %s.", node->path,
                               denied ? "may not" : "cannot", buf_text(&here), buf_text(&cause),
                               buf_text(&words));
}

static bool reject_absent_kfd(struct builder *d, struct builder_choice *dc)
{
    const struct machine *m = d->m;
    if (m->host.wsl) {
        plan_builder_remedy(d, dc, "gfxbridge run --backend cpu  # or gfxbridge on Linux itself");
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
            "WSL2 has no /dev/kfd, and ROCm over /dev/dxg is not supported by "
            "gfxbridge yet.");
    }
    if (access_container(d)[0])
        return reject_node(d, dc, &(struct plan_device_node){"/dev/kfd", ENOENT, 0, 0, ""});
    if (m->amdgpu_loaded == TRI_NO) {
        plan_builder_remedy(d, dc,
                            "sudo modprobe amdgpu  # if that changes nothing, a newer kernel");
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
            "/dev/kfd does not exist because the amdgpu module is not loaded: run "
            "sudo modprobe amdgpu.");
    }
    if (dc->candidate.gpu->kfd_node >= 0)
        return reject_node(d, dc, &(struct plan_device_node){"/dev/kfd", ENOENT, 0, 0, ""});
    if (plan_kernel_is_old(m, dc->candidate.gpu->target))
        return reject_kernel(d, dc, "/dev/kfd does not exist");
    plan_builder_remedy(d, dc,
                        "grep HSA_AMD /boot/config-$(uname -r)  # unless it says y, install a "
                        "kernel built with CONFIG_HSA_AMD=y, as distributions' are");
    return plan_builder_reject(
        d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
        "/dev/kfd does not exist: this kernel%s%s was built without CONFIG_HSA_AMD "
        "or is too old for this GPU; a newer distribution kernel has it.",
        m->host.kernel[0] ? " " : "", m->host.kernel);
}

/* Is a missing node of one GPU a fact, or was the topology just not recorded? */
static bool kfd_topology_known(const struct machine *m)
{
    if (m->kfd_listed || (m->live && m->kfd.present == TRI_YES))
        return true;
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].kfd_node >= 0)
            return true;
    }
    return false;
}

/* What the kernel checks before it gives a GPU a node, as far as it can be seen. */
static void why_no_node(const struct machine_gpu *gpu, struct buf *ret)
{
    struct str gfx = gpu->target->gfx, atomics = gpu->target->atomics;
    uint64_t least = 0;
    if (gpu->kind == GFX_INTEGRATED) /* it is in no slot */
        atomics = STR_NONE;
    if (str_is(atomics, "always"))
        buf_addf(ret, "%.*s needs PCIe atomics, and its slot (or a bridge before it) has none",
                 STR_ARG(gfx));
    else if (gpu->mec_firmware && str_to_u64(atomics, 10, &least) == 0 && gpu->mec_firmware < least)
        buf_addf(ret,
                 "its MEC firmware is %u, and before %llu %.*s needs PCIe atomics, which its slot "
                 "does not have",
                 gpu->mec_firmware, (unsigned long long)least, STR_ARG(gfx));
    else
        buf_add_text(ret, "it left the card out, or is locked after a reset or an unplugged card");
}

static bool reject_no_kfd_node(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char name[DEVICE_NAME_MAX], node[48];
    struct buf CLEAN_BUF words = BUF_INIT(600), why = BUF_INIT(400), what = BUF_INIT(400);
    plan_device_name(gpu, name);
    snprintf(node, sizeof(node), "/dev/dri/renderD%d", gpu->render_minor);
    plan_container_pass(d->m, node, &words);
    if (access_container(d)[0] && gpu->render_errno == ENOENT) {
        plan_builder_remedy(d, dc, "%s", buf_text(&words));
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
            "This container (%s) does not have %s, without which ROCm cannot see %s either: %s.",
            access_container(d), node, name, buf_text(&words));
    }
    buf_addf(&what, "The kernel's compute driver has no node for %s", name);
    if (plan_kernel_is_old(d->m, gpu->target))
        return reject_kernel(d, dc, buf_text(&what));
    why_no_node(gpu, &why);
    remedy_look(d, dc, "kfd",
                gpu->target->atomics.n ? "  # then newer firmware, or a slot wired to the processor"
                                       : "");
    return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
                               "%s: %s; dmesg | grep kfd tells.", buf_text(&what), buf_text(&why));
}

/* A node is there although the kernel's number says there cannot be one. */
static void warn_kernel(struct builder *d, struct builder_choice *dc)
{
    const struct gfx_target *target = dc->candidate.gpu->target;
    if (plan_kernel_is_old(d->m, target))
        plan_builder_warn(
            d, dc,
            "This kernel is %s, and %.*s needs Linux %.*s or later: it drives the card "
            "already, but install a newer one if the card hangs.",
            d->m->host.kernel, STR_ARG(target->gfx), STR_ARG(target->linux_first));
}

bool plan_check_kfd(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    const struct machine_node *kfd = &d->m->kfd;
    if (kfd->present == TRI_NO)
        return reject_absent_kfd(d, dc);
    if (gpu->kfd_node < 0 && kfd_topology_known(d->m))
        return reject_no_kfd_node(d, dc);
    if (kfd->openable == TRI_NO)
        return reject_node(d, dc,
                           &(struct plan_device_node){"/dev/kfd", kfd->open_errno, kfd->mode,
                                                      kfd->gid, kfd->group});
    if (gpu->kfd_node >= 0)
        warn_kernel(d, dc);
    plan_words_add(kfd->openable == TRI_YES ? &dc->known : &dc->unknown,
                   kfd->openable == TRI_YES ? "/dev/kfd opens" : "access to /dev/kfd");
    return true;
}

bool plan_check_render(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char node[48];
    if (gpu->render_minor < 0 || gpu->render_openable == TRI_UNKNOWN) {
        plan_words_add(&dc->unknown, "access to its render node");
        return true;
    }
    snprintf(node, sizeof(node), "/dev/dri/renderD%d", gpu->render_minor);
    if (gpu->render_openable == TRI_NO)
        return reject_node(d, dc,
                           &(struct plan_device_node){node, gpu->render_errno, gpu->render_mode,
                                                      gpu->render_gid, gpu->render_group});
    plan_words_add(&dc->known, node);
    buf_add_text(&dc->known, " opens");
    return true;
}

bool plan_check_glibc(struct builder *d, struct builder_choice *dc)
{
    const struct gfx_package *row = dc->candidate.row;
    struct str here = str_from(d->m->host.glibc);
    if (!row || row->glibc.n == 0)
        return true;
    if (here.n == 0) {
        plan_words_add(&dc->unknown, "the C library");
        return true;
    }
    if (plan_version_compare(here, row->glibc) < 0) {
        plan_builder_remedy(d, dc,
                            "a newer release of the distribution, or a container of one that has "
                            "glibc %.*s",
                            STR_ARG(row->glibc));
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_GLIBC_TOO_OLD,
            "%.*s needs glibc %.*s and this computer has %.*s: a newer "
            "distribution release, or a package with an older floor, is needed.",
            STR_ARG(row->id), STR_ARG(row->glibc), STR_ARG(here));
    }
    plan_words_add(&dc->known, "glibc is new enough");
    return true;
}

/* What is true of several GPUs is said once. */
static void say_once(struct buf *words, size_t before)
{
    const size_t comma = 2;
    if (before == 0 || words->n <= before + comma)
        return;
    struct str said = {words->p, before};
    if (str_has(said, (struct str){words->p + before + comma, words->n - before - comma})) {
        words->p[before] = '\0';
        words->n = before;
    }
}

/* What each GPU of a set has of its own is looked at for each. */
static bool check_each(struct builder *d, struct builder_choice *dc, plan_check *check)
{
    const struct plan_gpu_set *set = dc->candidate.set;
    const struct machine_gpu *first = dc->candidate.gpu;
    bool own = check == plan_check_driver || check == plan_check_kfd || check == plan_check_render;
    bool good = check(d, dc);
    for (size_t i = 1; good && own && set && i < set->n; i++) {
        size_t known = dc->known.n, unknown = dc->unknown.n;
        dc->candidate.gpu = set->gpu[i];
        good = check(d, dc);
        say_once(&dc->known, known);
        say_once(&dc->unknown, unknown);
    }
    dc->candidate.gpu = first;
    return good;
}

bool plan_check_all(struct builder *d, struct builder_choice *dc, plan_check *const *checks,
                    size_t n)
{
    bool reads_host = d->request->os == GFX_LINUX;
    for (size_t i = 0; i < n; i++) {
        if ((reads_host || checks[i] == plan_quirk_check) && !check_each(d, dc, checks[i]))
            return false;
    }
    if (!reads_host) {
        plan_builder_tell(d, dc, PLAN_E2, TRI_UNKNOWN,
                          "not looked at: answers for Windows come from the tables alone");
        return true;
    }
    const char *known = buf_text(&dc->known), *unknown = buf_text(&dc->unknown);
    const char *between = dc->known.n && dc->unknown.n ? "; " : "";
    plan_builder_tell(d, dc, PLAN_E2, dc->unknown.n ? TRI_UNKNOWN : TRI_YES, "%s%s%s%s",
                      dc->known.n || dc->unknown.n ? known : "no problem found", between,
                      dc->unknown.n ? "not known here: " : "", unknown);
    return true;
}
