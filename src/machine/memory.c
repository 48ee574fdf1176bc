/* memory.c - how much memory this computer has, how much a program of ours may use, and how much of
 * it the kernel lends to GPUs. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

#define CGROUP_DEPTH_MAX 32

void machine_memory(const struct root *root, uint64_t *ret_total, uint64_t *ret_free)
{
    struct buf CLEAN_BUF text = BUF_INIT(8 << 10);
    if (root_read(root, "/proc/meminfo", 8 << 10, &text) < 0)
        return;
    struct str rest = buf_view(&text), name, value, number;
    while (str_pair(&rest, ':', &name, &value)) {
        uint64_t kib;
        if (!str_word(&value, &number) || str_to_u64(number, 10, &kib) < 0 ||
            kib > (uint64_t)1 << 40)
            continue;
        if (str_is(name, "MemTotal"))
            *ret_total = kib * 1024;
        else if (str_is(name, "MemAvailable"))
            *ret_free = kib * 1024;
    }
}

/* The smallest limit on the way from a cgroup up to its root; 0 none. */
static uint64_t memory_cgroup_limit(const struct root *root, const char *base, struct str path,
                                    const char *file)
{
    uint64_t least = 0;
    for (int depth = 0; depth < CGROUP_DEPTH_MAX; depth++) {
        uint64_t limit;
        while (path.n && path.p[path.n - 1] == '/')
            path.n--;
        /* "max" and the huge number of version 1 are no limits. */
        if (path.n < 256 &&
            machine_read_number(root, &limit, "%s%.*s/%s", base, STR_ARG(path), file) == 0 &&
            limit < (uint64_t)1 << 60 && (least == 0 || limit < least))
            least = limit;
        if (path.n == 0)
            break;
        while (path.n && path.p[path.n - 1] != '/')
            path.n--;
    }
    return least;
}

static bool memory_list_has(struct str list, const char *word)
{
    struct str item;
    while (str_cut(&list, ',', &item)) {
        if (str_is(item, word))
            return true;
    }
    return false;
}

/* Lines "ID:CONTROLLERS:PATH"; version 2 has ID 0 and no controllers. See cgroups(7). */
static void memory_read_cgroup(const struct root *root, struct machine *m)
{
    struct buf CLEAN_BUF text = BUF_INIT(16 << 10);
    if (root_read(root, "/proc/self/cgroup", 16 << 10, &text) < 0)
        return;
    uint64_t least = 0;
    struct str rest = buf_view(&text), line;
    while (str_cut(&rest, '\n', &line)) {
        struct str id, controllers;
        if (!str_cut(&line, ':', &id) || !str_cut(&line, ':', &controllers) || !line.n)
            continue;
        uint64_t limit = 0;
        if (str_is(id, "0") && controllers.n == 0)
            limit = memory_cgroup_limit(root, "/sys/fs/cgroup", line, "memory.max");
        else if (memory_list_has(controllers, "memory"))
            limit =
                memory_cgroup_limit(root, "/sys/fs/cgroup/memory", line, "memory.limit_in_bytes");
        if (limit && (least == 0 || limit < least))
            least = limit;
    }
    if (m->host.memory_bytes == 0 || least < m->host.memory_bytes)
        m->host.cgroup_limit_bytes = least;
}

/* Pages that TTM may hand to GPUs; amdgpu's DKMS package brings a TTM of its own. */
static void memory_read_ttm(const struct root *root, struct machine *m)
{
    static const char *const modules[] = {"amdttm", "ttm"};
    uint64_t page = 4096, pages;
    if (m->live)
        page = (uint64_t)sysconf(_SC_PAGESIZE);
    else if (machine_read_number(root, &pages, MACHINE_FACTS "/page_size") == 0 && pages >= 4096 &&
             pages <= 1 << 20)
        page = pages;
    for (size_t i = 0; i < 2; i++) {
        if (machine_read_number(root, &pages, "/sys/module/%s/parameters/pages_limit",
                                modules[i]) == 0 &&
            pages < (uint64_t)1 << 40) {
            m->host.ttm_limit_bytes = pages * page;
            return;
        }
    }
}

void machine_read_memory(const struct root *root, struct machine *m)
{
    machine_memory(root, &m->host.memory_bytes, &m->host.memory_free_bytes);
    memory_read_cgroup(root, m);
    memory_read_ttm(root, m);
}
