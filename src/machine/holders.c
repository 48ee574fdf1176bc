/* holders.c - which processes hold memory of a GPU, as far as this user may see it. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

enum { HOLDERS_TOLD = 3, HOLDERS_LEAST_MIB = 64, HOLDERS_FDINFO_MAX = 4096 };

struct holder {
    uint64_t pid, bytes;
};

/* Memory on the card that a file of a DRM driver tells (the kernel's drm-usage-stats.rst); 0 when
 * it is another card's or none. */
static uint64_t holders_of_file(struct str text, const char *pci)
{
    uint64_t kib = 0, most = 0;
    bool ours = false;
    struct str line, name, number;
    while (str_cut(&text, '\n', &line)) {
        if (!str_cut(&line, ':', &name))
            continue;
        if (str_is(name, "drm-pdev"))
            ours = str_is(str_trim(line), pci);
        else if ((str_is(name, "drm-memory-vram") || str_is(name, "drm-resident-vram")) &&
                 str_word(&line, &number) && str_to_u64(number, 10, &kib) == 0 && kib > most)
            most = kib;
    }
    return ours && most < UINT64_MAX >> 10 ? most << 10 : 0;
}

/* Files of one process mostly show the same client: the largest counts. */
static uint64_t holders_by_drm(const struct root *root, const char *pid, const char *pci)
{
    char path[320];
    struct root_names files;
    uint64_t most = 0;
    snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
    if (root_list(root, path, &files) < 0)
        return 0;
    for (size_t i = 0; i < files.n; i++) {
        struct buf CLEAN_BUF text = BUF_INIT(HOLDERS_FDINFO_MAX + 1);
        snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, files.name[i]);
        uint64_t bytes = root_read(root, path, HOLDERS_FDINFO_MAX, &text) < 0
                             ? 0
                             : holders_of_file(buf_view(&text), pci);
        most = bytes > most ? bytes : most;
    }
    root_names_done(&files);
    return most;
}

static void holders_add(struct holder *list, struct holder h)
{
    for (size_t i = 0; i < HOLDERS_TOLD && h.bytes >> 20 >= HOLDERS_LEAST_MIB; i++) {
        if (list[i].bytes >= h.bytes)
            continue;
        struct holder pushed = list[i];
        list[i] = h;
        h = pushed;
    }
}

void machine_gpu_holders(const struct root *root, const struct machine_gpu *gpu, struct buf *ret)
{
    struct holder list[HOLDERS_TOLD] = {{0, 0}};
    struct root_names processes;
    uint64_t kfd_id = 0, pid, kfd;
    if (gpu->kfd_node >= 0)
        machine_read_number(root, &kfd_id, "/sys/class/kfd/kfd/topology/nodes/%d/gpu_id",
                            gpu->kfd_node);
    if (root_list(root, "/proc", &processes) < 0)
        return;
    for (size_t i = 0; i < processes.n; i++) {
        const char *name = processes.name[i];
        if (str_to_u64(str_from(name), 10, &pid) < 0)
            continue;
        uint64_t bytes = holders_by_drm(root, name, gpu->pci);
        if (kfd_id &&
            machine_read_number(root, &kfd, "/sys/class/kfd/kfd/proc/%s/vram_%llu", name,
                                (unsigned long long)kfd_id) == 0 &&
            kfd > bytes)
            bytes = kfd;
        holders_add(list, (struct holder){pid, bytes});
    }
    root_names_done(&processes);
    for (size_t i = 0; i < HOLDERS_TOLD && list[i].bytes; i++) {
        char path[64], name[32] = "a process";
        snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)list[i].pid);
        root_read_line(root, path, name, sizeof(name));
        for (char *c = name; *c; c++) {
            if (*c < ' ' || *c > '~')
                *c = '?'; /* a process gives itself any name */
        }
        buf_addf(ret, "%s%s (%llu) holds %llu MiB", ret->n ? ", " : "", name,
                 (unsigned long long)list[i].pid, (unsigned long long)(list[i].bytes >> 20));
    }
}
