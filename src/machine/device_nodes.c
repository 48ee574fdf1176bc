/* device_nodes.c - access rights, by really opening: /dev/kfd, /dev/dxg, render nodes. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdio.h>

void machine_read_group(const struct root *root, unsigned wanted, char ret_name[static 32])
{
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
    if (root_read(root, "/etc/group", 1 << 20, &text) < 0)
        return;
    struct str rest = buf_view(&text), line;
    while (str_cut(&rest, '\n', &line)) {
        struct str name, password, gid;
        uint64_t number;
        if (!str_cut(&line, ':', &name) || !str_cut(&line, ':', &password) ||
            !str_cut(&line, ':', &gid) || str_to_u64(gid, 10, &number) < 0 || number != wanted ||
            name.n >= 32)
            continue;
        memcpy(ret_name, name.p, name.n);
        ret_name[name.n] = '\0';
        return;
    }
}

/* 0: open. What -ENODATA says (a capture did not record it) is unknown. */
static enum tri nodes_openable(int result, int *ret_errno)
{
    if (result == 0)
        return TRI_YES;
    if (result == -ENODATA)
        return TRI_UNKNOWN;
    *ret_errno = -result;
    return TRI_NO;
}

static void nodes_read(const struct root *root, const char *path, struct machine_node *node)
{
    *node = (struct machine_node){.present = TRI_UNKNOWN, .openable = TRI_UNKNOWN};
    struct root_stat st;
    int r = root_stat(root, path, &st);
    if (r == -ENOENT) {
        node->present = TRI_NO;
        node->openable = TRI_NO;
        node->open_errno = ENOENT;
        return;
    }
    if (r < 0)
        return;
    node->present = TRI_YES;
    node->mode = (unsigned)st.mode;
    node->uid = (unsigned)st.uid;
    node->gid = (unsigned)st.gid;
    node->openable = nodes_openable(root_try_open(root, path), &node->open_errno);
    machine_read_group(root, node->gid, node->group);
}

void machine_read_nodes(const struct root *root, struct machine *m)
{
    nodes_read(root, "/dev/kfd", &m->kfd);
    nodes_read(root, "/dev/dxg", &m->dxg);
    m->amdgpu_loaded = machine_path_state(root, "/sys/module/amdgpu");
}

/* Where DRM's directory was recorded whole, a GPU to which no render node in it leads has none; nor
 * has any where /dev/dri is known to have none. */
static bool nodes_lack_render(const struct root *root)
{
    struct root_names names = {NULL, 0};
    bool found = false;
    if (root_knows(root, "/sys/class/drm/renderD"))
        return true;
    int r = root_list(root, "/dev/dri", &names);
    for (size_t i = 0; r == 0 && i < names.n; i++)
        found = found || str_starts(str_from(names.name[i]), STR("renderD"));
    root_names_done(&names);
    return !found && (r == 0 || r == -ENOENT) && root_knows(root, "/dev/dri/renderD");
}

void machine_read_render_node(const struct root *root, struct machine_gpu *gpu)
{
    char path[64];
    struct root_stat st;
    /* Only ours: opening wakes a GPU that sleeps, which takes long and tells us nothing. */
    if (gpu->vendor != MACHINE_AMD)
        return;
    if (gpu->render_minor < 0) {
        gpu->no_render = nodes_lack_render(root);
        return;
    }
    snprintf(path, sizeof(path), "/dev/dri/renderD%d", gpu->render_minor);
    gpu->render_openable = nodes_openable(root_try_open(root, path), &gpu->render_errno);
    if (gpu->render_openable != TRI_NO || root_stat(root, path, &st) < 0)
        return;
    gpu->render_mode = (unsigned)st.mode;
    gpu->render_gid = (unsigned)st.gid;
    machine_read_group(root, gpu->render_gid, gpu->render_group);
}
