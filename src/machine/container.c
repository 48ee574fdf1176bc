/* container.c - are we in a container, a confined package or WSL, and what did the user set? */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

static void container_set(struct machine *m, const char *name)
{
    snprintf(m->host.container, sizeof(m->host.container), "%s", name);
}

/* A snap's confinement shows in its AppArmor label. A program started from a snapped terminal has
 * the environment of a snap but no confinement. */
static bool container_is_snap(const struct root *root)
{
    char label[128];
    if (!getenv("SNAP") || !getenv("SNAP_NAME"))
        return false;
    if (machine_read_line(root, label, sizeof(label), "/proc/self/attr/apparmor/current") < 0 &&
        machine_read_line(root, label, sizeof(label), "/proc/self/attr/current") < 0)
        return true;
    return str_starts(str_from(label), STR("snap."));
}

/* What container managers leave in the environment of the first process; seldom readable. */
static bool container_from_init(const struct root *root, struct machine *m)
{
    struct buf CLEAN_BUF text = BUF_INIT(16 << 10);
    if (root_read(root, "/proc/1/environ", 16 << 10, &text) < 0)
        return false;
    struct str rest = buf_view(&text), entry;
    while (str_cut(&rest, '\0', &entry)) {
        if (!str_starts(entry, STR("container=")) || entry.n == 10)
            continue;
        snprintf(m->host.container, sizeof(m->host.container), "%.*s", (int)(entry.n - 10),
                 entry.p + 10);
        return true;
    }
    return false;
}

static void container_from_cgroup(const struct root *root, struct machine *m)
{
    static const struct {
        const char *part, *name;
    } hints[] = {
        {"kubepods", "kubernetes"}, {"/docker", "docker"}, {"/libpod", "podman"}, {"/lxc", "lxc"},
        {"lxc.payload", "lxc"},
    };
    struct buf CLEAN_BUF text = BUF_INIT(16 << 10);
    if (root_read(root, "/proc/self/cgroup", 16 << 10, &text) < 0)
        return;
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (str_has(buf_view(&text), str_from(hints[i].part))) {
            container_set(m, hints[i].name);
            return;
        }
    }
}

/* A box of distrobox is a container of podman or docker that has its programs. */
static bool container_is_distrobox(const struct root *root, const struct machine *m)
{
    const char *name = m->host.container;
    return (strcmp(name, "podman") == 0 || strcmp(name, "docker") == 0) &&
           (machine_has_path(root, "/usr/bin/distrobox-host-exec") ||
            machine_has_path(root, "/etc/profile.d/distrobox_profile.sh"));
}

static void container_find(const struct root *root, struct machine *m)
{
    static const struct {
        const char *path, *name;
    } marks[] = {
        {"/.flatpak-info", "flatpak"},
        {"/run/secrets/kubernetes.io", "kubernetes"}, /* its containers have another's mark too */
        {"/run/.toolboxenv", "toolbox"},
        {"/run/.containerenv", "podman"},
        {"/.dockerenv", "docker"},
    };
    char text[sizeof(m->host.container)];
    if (m->live && container_is_snap(root)) {
        container_set(m, "snap");
        return;
    }
    if (m->live && getenv("KUBERNETES_SERVICE_HOST")) {
        container_set(m, "kubernetes");
        return;
    }
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (machine_has_path(root, marks[i].path)) {
            container_set(m, marks[i].name);
            if (container_is_distrobox(root, m))
                container_set(m, "distrobox");
            return;
        }
    }
    if (machine_read_line(root, text, sizeof(text), "/run/systemd/container") == 0 && text[0])
        container_set(m, text);
    else if (!container_from_init(root, m))
        container_from_cgroup(root, m);
}

void machine_read_container(const struct root *root, struct machine *m)
{
    if (m->live || machine_read_line(root, m->host.container, sizeof(m->host.container),
                                     MACHINE_FACTS "/container") < 0)
        container_find(root, m);
    m->host.wsl = str_has_nocase(str_from(m->host.kernel), STR("microsoft"));
    const char *override = m->live ? getenv("HSA_OVERRIDE_GFX_VERSION") : NULL;
    if (override)
        snprintf(m->host.override_gfx, sizeof(m->host.override_gfx), "%s", override);
    m->host.override_set =
        override ||
        (!m->live && machine_read_line(root, m->host.override_gfx, sizeof(m->host.override_gfx),
                                       MACHINE_FACTS "/override_gfx") == 0);
}
