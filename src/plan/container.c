/* container.c - how the GPU's device nodes get into each kind of container, and may be opened
 * there.
 *
 * Proxmox VE: pct.conf(5) devN; LXC: lxc.container.conf(5); Podman: podman-run(1) --group-add;
 * Kubernetes: ROCm/k8s-device-plugin; flatpak/flatpak#5383 (/dev/kfd is in none of its permissions
 * but all devices).
 */
#include "plan/plan.h"

#define CONTAINER_NOBODY                                                                           \
    65534 /* what the kernel shows for a group outside of the user namespace                       \
           */

static const struct container_kind {
    const char *name;  /* the container's begins with it */
    const char *leave; /* a confinement that no flag opens; NULL: none */
    const char *pass;  /* before and after the node's path */
    const char *pass_end;
    const char *join; /* before and after the group's number */
    const char *join_end;
} container_kinds[] = {
    {"snap",
     "install gfxbridge outside of the snap, or connect the snap's interface for GPUs (snap "
     "connections lists them)",
     NULL, NULL, NULL, NULL},
    {"flatpak", "run gfxbridge outside of flatpak", NULL, NULL, NULL, NULL},
    {"lxc", NULL, "add to the container's configuration, in Proxmox, dev0: ",
     ",gid=N with the number of the group render in the container; elsewhere "
     "lxc.cgroup2.devices.allow and lxc.mount.entry for it",
     "join group ",
     " in the container, or in Proxmox give the node to a group of yours with gid=N at its dev0: "
     "entry"},
    {"kubernetes", NULL,
     "ask for the GPU with amd.com/gpu: 1 in the pod's resources.limits, so that AMD's device "
     "plugin passes ",
     "", "add ", " to the pod's securityContext.supplementalGroups"},
    {"podman", NULL, "start the container with --device /dev/kfd --device /dev/dri", NULL,
     "start the container with --group-add keep-groups where it is rootless, else with "
     "--group-add ",
     ""},
    {"", NULL, "start the container with --device /dev/kfd --device /dev/dri", NULL,
     "start the container with --group-add ", ""},
};

/* NULL outside of a container. */
static const struct container_kind *container_find(const struct machine *m)
{
    const struct container_kind *kind = container_kinds;
    if (!m->host.container[0])
        return NULL;
    while (!str_starts(str_from(m->host.container), str_from(kind->name)))
        kind++;
    return kind;
}

const char *plan_container_leave(const struct machine *m)
{
    const struct container_kind *kind = container_find(m);
    return kind ? kind->leave : NULL;
}

void plan_container_pass(const struct machine *m, const char *node, struct buf *ret)
{
    const struct container_kind *kind = container_find(m);
    if (kind && kind->leave)
        buf_add_text(ret, kind->leave);
    else if (kind)
        buf_addf(ret, "%s%s%s", kind->pass, kind->pass_end ? node : "",
                 kind->pass_end ? kind->pass_end : "");
}

void plan_container_join(const struct machine *m, const char *node, unsigned gid, struct buf *ret)
{
    const struct container_kind *kind = container_find(m);
    if (kind && kind->leave)
        buf_add_text(ret, kind->leave);
    else if (kind && gid && gid != CONTAINER_NOBODY)
        buf_addf(ret, "%s%u%s", kind->join, gid, kind->join_end);
    else if (kind)
        buf_addf(ret, "%sN (stat -c %%g %s prints it on the host)%s", kind->join, node,
                 kind->join_end);
}
