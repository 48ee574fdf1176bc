/* doctor_remedies.c - reason code -> the command that helps on this computer. */
#include "report/report.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

void doctor_kernel_argument(const struct doctor_case *c, const char *argument, bool away,
                            struct buf *ret)
{
    if (plan_way_to_boot(c->machine, argument, away, ret))
        buf_add_text(ret, "  # then restart");
    else
        buf_addf(ret, "%s %s %s the kernel command line and restart", away ? "take" : "add",
                 argument, away ? "off" : "to");
}

/* Is this user in the group by the system's files, so that only this login does not know it yet? */
static bool remedy_is_member(const char *group)
{
    const struct passwd *user = getpwuid(getuid());
    const struct group *entry = group[0] ? getgrnam(group) : NULL;
    for (char **member = entry ? entry->gr_mem : NULL; user && member && *member; member++) {
        if (strcmp(*member, user->pw_name) == 0)
            return true;
    }
    return false;
}

static void remedy_permission(const struct doctor_case *c, const char *node, unsigned gid,
                              const char *group, struct buf *out)
{
    if (c->machine->host.container[0])
        plan_container_join(c->machine, node, gid, out);
    else if (group[0] && gid && c->machine->live && remedy_is_member(group))
        buf_addf(out, "log out and in again: you are in the group %s, but this login is older",
                 group);
    else if (group[0] && gid)
        buf_addf(out, "sudo usermod -aG %s \"$USER\"  # then log in again", group);
    else
        buf_addf(out,
                 "echo 'KERNEL==\"%s\", GROUP=\"render\", MODE=\"0660\"' | sudo tee -a "
                 "/etc/udev/rules.d/70-gpu.rules && sudo udevadm trigger && sudo usermod -aG "
                 "render \"$USER\"  # then log in again",
                 strcmp(node, "/dev/kfd") == 0 ? "kfd" : "renderD*");
}

static void remedy_kfd_permission(const struct doctor_case *c, const struct plan_choice *choice,
                                  struct buf *out)
{
    const struct machine_node *kfd = &c->machine->kfd;
    remedy_permission(c, "/dev/kfd", kfd->gid, kfd->group, out);
}

static void remedy_render_permission(const struct doctor_case *c, const struct plan_choice *choice,
                                     struct buf *out)
{
    const struct machine_gpu *gpu = choice->gpu;
    char node[48];
    snprintf(node, sizeof(node), "/dev/dri/renderD%d", gpu->render_minor);
    if (gpu->render_errno == ENOENT)
        plan_container_pass(c->machine, node, out);
    else
        remedy_permission(c, node, gpu->render_gid, gpu->render_group, out);
}

static void remedy_kfd_missing(const struct doctor_case *c, const struct plan_choice *choice,
                               struct buf *out)
{
    const struct machine *m = c->machine;
    if (m->host.wsl)
        buf_add_text(out, "gfxbridge run --backend cpu  # or gfxbridge on Linux itself");
    else if (m->host.container[0])
        plan_container_pass(m, "/dev/kfd", out);
    else if (m->kfd.present == TRI_YES)
        buf_add_text(out, "sudo dmesg | grep -i kfd  # a newer kernel, or another slot");
    else if (m->amdgpu_loaded == TRI_YES)
        buf_add_text(out, "grep HSA_AMD /boot/config-$(uname -r)  # unless it says y, install a "
                          "kernel built with CONFIG_HSA_AMD=y, as distributions' are");
    else
        buf_add_text(out, "sudo modprobe amdgpu  # if that changes nothing, a newer kernel");
}

static void remedy_driver_missing(const struct doctor_case *c, const struct plan_choice *choice,
                                  struct buf *out)
{
    buf_add_text(out, "sudo modprobe amdgpu && sudo dmesg | grep -i amdgpu | tail");
}

static void remedy_driver_not_amdgpu(const struct doctor_case *c, const struct plan_choice *choice,
                                     struct buf *out)
{
    const struct machine_gpu *gpu = choice->gpu;
    if (gpu && strcmp(gpu->driver, "vfio-pci") == 0)
        buf_addf(out, "give it back from the virtual machine: sudo driverctl unset-override %s",
                 gpu->pci);
    else
        doctor_kernel_argument(c,
                               "amdgpu.si_support=1 radeon.si_support=0 amdgpu.cik_support=1 "
                               "radeon.cik_support=0",
                               false, out);
}

static void remedy_vulkan_driver(const struct doctor_case *c, const struct plan_choice *choice,
                                 struct buf *out)
{
    if (!plan_way_to_install(c->machine, PLAN_VULKAN_DRIVER, out))
        buf_add_text(out, "install Mesa's Vulkan drivers");
}

static void remedy_vulkan_loader(const struct doctor_case *c, const struct plan_choice *choice,
                                 struct buf *out)
{
    if (!plan_way_to_install(c->machine, PLAN_VULKAN_LOADER, out))
        buf_add_text(out, "install the Vulkan loader (libvulkan.so.1)");
}

static void remedy_verify(const struct doctor_case *c, const struct plan_choice *choice,
                          struct buf *out)
{
    buf_addf(out, "gfxbridge backends verify llamacpp:%s", plan_backend_name(choice->backend));
}

static void remedy_report(const struct doctor_case *c, const struct plan_choice *choice,
                          struct buf *out)
{
    buf_add_text(out, "gfxbridge capture this.machine  # and send it, see docs/adding-a-card.md");
}

static void remedy_install_package(const struct doctor_case *c, const struct plan_choice *choice,
                                   struct buf *out)
{
    buf_addf(out, "gfxbridge backends install llamacpp:%s", plan_backend_name(choice->backend));
}

static void remedy_kernel(const struct doctor_case *c, const struct plan_choice *choice,
                          struct buf *out)
{
    buf_add_text(out, "gfxbridge run --backend vulkan  # until the kernel is newer");
}

static void remedy_firmware(const struct doctor_case *c, const struct plan_choice *choice,
                            struct buf *out)
{
    buf_add_text(out, "gfxbridge run --backend vulkan  # until linux-firmware is another one");
}

static const struct remedy_row {
    int code;
    void (*write)(const struct doctor_case *c, const struct plan_choice *choice, struct buf *out);
} remedy_rows[] = {
    {GFXB_E_KFD_PERMISSION, remedy_kfd_permission},
    {GFXB_E_RENDER_PERMISSION, remedy_render_permission},
    {GFXB_E_KFD_MISSING, remedy_kfd_missing},
    {GFXB_E_DRIVER_MISSING, remedy_driver_missing},
    {GFXB_E_DRIVER_NOT_AMDGPU, remedy_driver_not_amdgpu},
    {GFXB_E_VULKAN_DRIVER_MISSING, remedy_vulkan_driver},
    {GFXB_E_VULKAN_LOADER_MISSING, remedy_vulkan_loader},
    {GFXB_E_VULKAN_SOFTWARE_ONLY, remedy_vulkan_driver},
    {GFXB_E_FAILED_BEFORE, remedy_verify},
    {GFXB_E_GFX_UNKNOWN, remedy_report},
    {GFXB_E_OFFLINE, remedy_install_package},
    {GFXB_E_KERNEL_QUIRK, remedy_kernel},
    {GFXB_E_FIRMWARE_QUIRK, remedy_firmware},
};

void doctor_remedy(const struct doctor_case *c, const struct plan_choice *choice, struct buf *ret)
{
    for (size_t i = 0; i < sizeof(remedy_rows) / sizeof(remedy_rows[0]); i++) {
        if (remedy_rows[i].code == choice->code) {
            remedy_rows[i].write(c, choice, ret);
            return;
        }
    }
}
