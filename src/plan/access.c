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

static bool is_denied(int code)
{
    return code == EACCES || code == EPERM;
}

/* "" outside a container. */
static const char *access_container(const struct builder *d)
{
    return d->m->host.container;
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

bool plan_check_driver(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    const char *kernel = d->m->host.kernel;
    char name[DEVICE_NAME_MAX];
    plan_device_name(gpu, name);
    if (gpu->kfd_node >= 0 || strcmp(gpu->driver, "amdgpu") == 0) {
        plan_words_add(&dc->known, "amdgpu drives it");
        return true;
    }
    if (strcmp(gpu->driver, "?") == 0) {
        plan_words_add(&dc->unknown, "its kernel driver");
        return true;
    }
    if (gpu->driver[0])
        return check_foreign_driver(d, dc, name);
    if (!plan_device_is_amd(gpu))
        return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
                                   "No kernel driver is bound to %s: install or load its driver.",
                                   name);
    if (d->m->amdgpu_loaded == TRI_NO)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
            "No kernel driver is bound to %s because the amdgpu module is not "
            "loaded: run sudo modprobe amdgpu, and look for a blacklist entry in "
            "/etc/modprobe.d if that helps until the next boot only.",
            name);
    return plan_builder_reject(
        d, dc, PLAN_E2, GFXB_E_DRIVER_MISSING,
        "No kernel driver is bound to %s: this kernel%s%s may be too old for it or "
        "its firmware is missing; dmesg | grep amdgpu tells.",
        name, kernel[0] ? " " : "", kernel);
}

/* A device node that the container does not have. */
static bool reject_absent_node(struct builder *d, struct builder_choice *dc, int code,
                               const char *node)
{
    struct buf CLEAN_BUF words = BUF_INIT(600);
    plan_container_pass(d->m, node, &words);
    if (plan_container_leave(d->m).n)
        return plan_builder_reject(d, dc, PLAN_E2, code,
                                   "%s is hidden by the %s confinement this program runs in: %s.",
                                   node, access_container(d), buf_text(&words));
    return plan_builder_reject(d, dc, PLAN_E2, code, "%s is not in this container (%s): %s.", node,
                               access_container(d), buf_text(&words));
}

/* A device node that this user may not open, for its group's sake or the confinement's. */
static bool reject_closed_node(struct builder *d, struct builder_choice *dc, int code,
                               const char *node, unsigned gid, const char *group)
{
    struct buf CLEAN_BUF words = BUF_INIT(600);
    plan_container_join(d->m, node, gid, &words);
    if (plan_container_leave(d->m).n)
        return plan_builder_reject(d, dc, PLAN_E2, code,
                                   "%s may not be opened: the %s confinement this program runs in "
                                   "does not pass it; %s.",
                                   node, access_container(d), buf_text(&words));
    if (access_container(d)[0])
        return plan_builder_reject(
            d, dc, PLAN_E2, code,
            "%s may not be opened in this container (%s): it belongs to group %u%s%s%s there; %s.",
            node, access_container(d), gid, group[0] ? " (" : "", group, group[0] ? ")" : "",
            buf_text(&words));
    if (!group[0] || gid == 0)
        return plan_builder_reject(
            d, dc, PLAN_E2, code,
            "%s may not be opened: it belongs to group %u, %s; give it to group render (a udev "
            "rule) and join that group.",
            node, gid, group[0] ? "which is root's own" : "which has no name here");
    return plan_builder_reject(
        d, dc, PLAN_E2, code,
        "%s may not be opened: it belongs to group %s (%u) and this user is not in it; run sudo "
        "usermod -aG %s $USER, then log out and in again.",
        node, group, gid, group);
}

static bool reject_absent_kfd(struct builder *d, struct builder_choice *dc)
{
    const struct machine *m = d->m;
    if (m->host.wsl)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
            "WSL2 has no /dev/kfd, and ROCm over /dev/dxg is not supported by "
            "gfxbridge yet.");
    if (access_container(d)[0])
        return reject_absent_node(d, dc, GFXB_E_KFD_MISSING, "/dev/kfd");
    if (m->amdgpu_loaded == TRI_NO)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
            "/dev/kfd does not exist because the amdgpu module is not loaded: run "
            "sudo modprobe amdgpu.");
    return plan_builder_reject(
        d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
        "/dev/kfd does not exist: this kernel%s%s was built without CONFIG_HSA_AMD "
        "or is too old for this GPU; a newer distribution kernel has it.",
        m->host.kernel[0] ? " " : "", m->host.kernel);
}

static bool reject_closed_kfd(struct builder *d, struct builder_choice *dc)
{
    const struct machine_node *kfd = &d->m->kfd;
    if (!is_denied(kfd->open_errno))
        return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
                                   "/dev/kfd cannot be opened: %s.",
                                   error_errno_text(kfd->open_errno));
    return reject_closed_node(d, dc, GFXB_E_KFD_PERMISSION, "/dev/kfd", kfd->gid, kfd->group);
}

/* Is a missing node of one GPU a fact, or was the topology just not recorded? */
static bool kfd_topology_known(const struct machine *m)
{
    if (m->live && m->kfd.present == TRI_YES)
        return true;
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].kfd_node >= 0)
            return true;
    }
    return false;
}

static bool reject_no_kfd_node(struct builder *d, struct builder_choice *dc)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    char name[DEVICE_NAME_MAX], node[48];
    struct buf CLEAN_BUF words = BUF_INIT(600);
    plan_device_name(gpu, name);
    snprintf(node, sizeof(node), "/dev/dri/renderD%d", gpu->render_minor);
    plan_container_pass(d->m, node, &words);
    if (access_container(d)[0] && gpu->render_errno == ENOENT)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
            "This container (%s) does not have %s, without which ROCm cannot see %s either: %s.",
            access_container(d), node, name, buf_text(&words));
    return plan_builder_reject(
        d, dc, PLAN_E2, GFXB_E_KFD_MISSING,
        "The kernel's compute driver has no node for %s: this kernel%s%s is too "
        "old for %.*s, or the slot lacks PCIe atomics; dmesg | grep kfd tells.",
        name, d->m->host.kernel[0] ? " " : "", d->m->host.kernel, STR_ARG(gpu->target->gfx));
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
        return reject_closed_kfd(d, dc);
    plan_words_add(kfd->openable == TRI_YES ? &dc->known : &dc->unknown,
                   kfd->openable == TRI_YES ? "/dev/kfd opens" : "access to /dev/kfd");
    return true;
}

static bool reject_render(struct builder *d, struct builder_choice *dc, const char *node)
{
    const struct machine_gpu *gpu = dc->candidate.gpu;
    if (gpu->render_errno == ENOENT && access_container(d)[0])
        return reject_absent_node(d, dc, GFXB_E_RENDER_PERMISSION, node);
    if (is_denied(gpu->render_errno))
        return reject_closed_node(d, dc, GFXB_E_RENDER_PERMISSION, node, gpu->render_gid,
                                  gpu->render_group);
    return plan_builder_reject(d, dc, PLAN_E2, GFXB_E_RENDER_PERMISSION, "%s cannot be opened: %s.",
                               node, error_errno_text(gpu->render_errno));
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
        return reject_render(d, dc, node);
    plan_words_add(&dc->known, node);
    buf_add_text(&dc->known, " opens");
    return true;
}

/* Negative, 0, positive: dotted numbers; what is no number counts as 0. */
static int version_compare(struct str a, struct str b)
{
    for (;;) {
        struct str part_a = STR_NONE, part_b = STR_NONE;
        bool more_a = str_cut(&a, '.', &part_a), more_b = str_cut(&b, '.', &part_b);
        uint64_t number_a = 0, number_b = 0;
        if (!more_a && !more_b)
            return 0;
        (void)str_to_u64(part_a, 10, &number_a);
        (void)str_to_u64(part_b, 10, &number_b);
        if (number_a != number_b)
            return number_a < number_b ? -1 : 1;
    }
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
    if (version_compare(here, row->glibc) < 0)
        return plan_builder_reject(
            d, dc, PLAN_E2, GFXB_E_GLIBC_TOO_OLD,
            "%.*s needs glibc %.*s and this computer has %.*s: a newer "
            "distribution release, or a package with an older floor, is needed.",
            STR_ARG(row->id), STR_ARG(row->glibc), STR_ARG(here));
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
                      dc->known.n || dc->unknown.n ? known : "nothing speaks against it", between,
                      dc->unknown.n ? "not known here: " : "", unknown);
    return true;
}
