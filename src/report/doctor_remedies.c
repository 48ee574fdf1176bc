/* doctor_remedies.c - reason code -> the command that helps on this computer. */
#include "report/report.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

/* Is this user in the group by the system's files, so that only the login is older than that? */
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

/* A member of the group whose login is older than that has only to log in again. */
static void remedy_permission(const struct doctor_case *c, const struct plan_choice *choice,
                              struct buf *out)
{
    const struct machine_gpu *gpu = choice->gpu;
    const char *group = choice->code == GFXB_E_KFD_PERMISSION ? c->machine->kfd.group
                        : gpu                                 ? gpu->render_group
                                                              : "";
    if (c->machine->live && !c->machine->host.container[0] && remedy_is_member(group))
        buf_addf(out, "log out and in again: you are in the group %s, but this login is older",
                 group);
    else if (choice->remedy)
        buf_add_text(out, choice->remedy);
}

static void remedy_driver_not_amdgpu(const struct doctor_case *c, const struct plan_choice *choice,
                                     struct buf *out)
{
    const struct machine_gpu *gpu = choice->gpu;
    if (gpu && strcmp(gpu->driver, "vfio-pci") == 0)
        buf_addf(out, "give it back from the virtual machine: sudo driverctl unset-override %s",
                 gpu->pci);
    else
        plan_way_to_boot(c->machine,
                         "amdgpu.si_support=1 radeon.si_support=0 amdgpu.cik_support=1 "
                         "radeon.cik_support=0",
                         false, out);
}

static void remedy_verify(const struct doctor_case *c, const struct plan_choice *choice,
                          struct buf *out)
{
    buf_addf(out, "gfxbridge backends verify %.*s:%s", STR_ARG(choice->engine),
             plan_backend_name(choice->backend));
}

static void remedy_report(const struct doctor_case *c, const struct plan_choice *choice,
                          struct buf *out)
{
    buf_add_text(out, "gfxbridge capture this.machine  # and send it, see docs/adding-a-card.md");
}

static void remedy_install_package(const struct doctor_case *c, const struct plan_choice *choice,
                                   struct buf *out)
{
    buf_addf(out, "gfxbridge backends install %.*s:%s", STR_ARG(choice->engine),
             plan_backend_name(choice->backend));
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
    {GFXB_E_KFD_PERMISSION, remedy_permission},
    {GFXB_E_RENDER_PERMISSION, remedy_permission},
    {GFXB_E_DRIVER_NOT_AMDGPU, remedy_driver_not_amdgpu},
    {GFXB_E_FAILED_BEFORE, remedy_verify},
    {GFXB_E_GFX_UNKNOWN, remedy_report},
    {GFXB_E_OFFLINE, remedy_install_package},
    {GFXB_E_KERNEL_QUIRK, remedy_kernel},
    {GFXB_E_FIRMWARE_QUIRK, remedy_firmware},
};

void doctor_remedy(const struct doctor_case *c, const struct plan_choice *choice, struct buf *ret)
{
    bool own = choice->remedy && choice->code != GFXB_E_KFD_PERMISSION &&
               choice->code != GFXB_E_RENDER_PERMISSION;
    for (size_t i = 0; !own && i < sizeof(remedy_rows) / sizeof(remedy_rows[0]); i++) {
        if (remedy_rows[i].code == choice->code) {
            remedy_rows[i].write(c, choice, ret);
            return;
        }
    }
    if (choice->remedy)
        buf_add_text(ret, choice->remedy);
}
