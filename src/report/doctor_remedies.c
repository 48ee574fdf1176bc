/* doctor_remedies.c - reason code -> what a person types on this computer. */
#include "report/doctor.h"

#include <grp.h>
#include <pwd.h>

extern const char report_data_distros[], report_data_distros_end[];

enum {
    DISTRO_ID,
    DISTRO_INSTALL,
    DISTRO_VULKAN,
    DISTRO_LOADER,
    DISTRO_ARGUMENT,
    DISTRO_AWAY,
    DISTRO_SOURCE
};

static bool remedy_find_distro(const struct machine *m, struct table_row *ret_row)
{
    static const char *const columns[] = {"id",       "install", "vulkan", "loader",
                                          "argument", "away",    "source", NULL};
    struct str bytes = {report_data_distros,
                        (size_t)(report_data_distros_end - report_data_distros)};
    struct table t;
    struct table_row row;
    bool found = false;
    table_init(&t, "distros.tsv", bytes, columns);
    while (table_next(&t, &row, NULL) == 1) {
        bool own = str_is(row.field[DISTRO_ID], m->host.distro_id);
        if (own || (!found && str_list_has(str_from(m->host.distro_like), row.field[DISTRO_ID]))) {
            *ret_row = row;
            found = true;
        }
        if (own)
            return true;
    }
    return found;
}

static void remedy_install(const struct doctor_case *c, int column, const char *otherwise,
                           struct buf *out)
{
    struct table_row row;
    if (remedy_find_distro(c->machine, &row))
        buf_addf(out, "%.*s %.*s", STR_ARG(row.field[DISTRO_INSTALL]), STR_ARG(row.field[column]));
    else
        buf_add_text(out, otherwise);
}

void doctor_kernel_argument(const struct doctor_case *c, const char *argument, bool away,
                            struct buf *ret)
{
    static const char mark[] = "ARG";
    struct table_row row;
    if (!remedy_find_distro(c->machine, &row)) {
        buf_addf(ret, "%s %s %s the kernel command line and restart", away ? "take" : "add",
                 argument, away ? "off" : "to");
        return;
    }
    struct str text = row.field[away ? DISTRO_AWAY : DISTRO_ARGUMENT];
    const char *at = text.n ? memmem(text.p, text.n, mark, sizeof(mark) - 1) : NULL;
    size_t before = at ? (size_t)(at - text.p) : text.n;
    buf_addf(ret, "%.*s%s", (int)before, text.p, at ? argument : "");
    if (at)
        buf_addf(ret, "%.*s", (int)(text.n - before - (sizeof(mark) - 1)), at + sizeof(mark) - 1);
    buf_add_text(ret, "  # then restart");
}

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

static void remedy_permission(const struct doctor_case *c, const struct machine_node *node,
                              struct buf *out)
{
    if (c->machine->host.container[0] && node->gid) {
        buf_addf(out, "start the container with --group-add %u (the node's group on this host)",
                 node->gid);
    } else if (node->group[0] && c->machine->live && remedy_is_member(node->group)) {
        buf_addf(out, "log out and in again: you are in the group %s, but this login is older",
                 node->group);
    } else if (node->group[0] && node->gid) {
        buf_addf(out, "sudo usermod -aG %s \"$USER\"  # then log in again", node->group);
    } else {
        buf_add_text(out, "sudo usermod -aG render,video \"$USER\"  # then log in again");
    }
}

static void remedy_kfd_permission(const struct doctor_case *c, const struct plan_choice *choice,
                                  struct buf *out)
{
    remedy_permission(c, &c->machine->kfd, out);
}

static void remedy_render_permission(const struct doctor_case *c, const struct plan_choice *choice,
                                     struct buf *out)
{
    struct machine_node node = {.gid = 0};
    char path[64];
    struct root_stat st;
    if (c->machine->kfd.present == TRI_YES)
        node = c->machine->kfd;
    snprintf(path, sizeof(path), "/dev/dri/renderD%d",
             choice->gpu ? choice->gpu->render_minor : -1);
    if (c->root && root_stat(c->root, path, &st) == 0 && (unsigned)st.gid != node.gid) {
        const struct group *entry = c->machine->live ? getgrgid(st.gid) : NULL;
        node.gid = (unsigned)st.gid;
        snprintf(node.group, sizeof(node.group), "%s", entry ? entry->gr_name : "");
    }
    remedy_permission(c, &node, out);
}

static void remedy_kfd_missing(const struct doctor_case *c, const struct plan_choice *choice,
                               struct buf *out)
{
    if (c->machine->host.wsl)
        buf_add_text(out, "export HSA_ENABLE_DXG_DETECTION=1  # needs a ROCm that knows WSL");
    else if (c->machine->host.container[0])
        buf_add_text(out, "start the container with --device /dev/kfd --device /dev/dri");
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
    remedy_install(c, DISTRO_VULKAN, "install Mesa's Vulkan drivers", out);
}

static void remedy_vulkan_loader(const struct doctor_case *c, const struct plan_choice *choice,
                                 struct buf *out)
{
    remedy_install(c, DISTRO_LOADER, "install the Vulkan loader (libvulkan.so.1)", out);
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
    {GFXB_E_FIRMWARE_QUIRK, remedy_kernel},
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
