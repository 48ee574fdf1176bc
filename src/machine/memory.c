/* memory.c - how much memory this computer has, how much a program of ours may use, and how much of
 * it the kernel lends to GPUs. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

#define CGROUP_DEPTH_MAX 32

/* Where a version of cgroups says what; the names of memory.stat count the groups below too. */
struct memory_cgroups {
    const char *base, *limit, *used, *inactive, *active;
};

static const struct memory_cgroups memory_versions[] = {
    {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "active_file"},
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file", "total_active_file"},
};

struct memory_bounds {
    uint64_t limit, free; /* 0 none or unknown */
};

static uint64_t memory_least(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

static void memory_read_info(const struct root *root, uint64_t *ret_total, uint64_t *ret_free)
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

/* What a group below its limit can still take: pages of files can be given back. 0 unknown, 1 byte
 * where there is none. */
static uint64_t memory_cgroup_free(const struct root *root, const struct memory_cgroups *v,
                                   struct str path, uint64_t limit)
{
    struct buf CLEAN_BUF text = BUF_INIT(16 << 10);
    char file[MACHINE_PATH_MAX];
    uint64_t used, bytes, files = 0;
    unsigned n = 0;
    snprintf(file, sizeof(file), "%s%.*s/memory.stat", v->base, STR_ARG(path));
    if (machine_read_number(root, &used, "%s%.*s/%s", v->base, STR_ARG(path), v->used) < 0 ||
        root_read(root, file, 16 << 10, &text) < 0)
        return 0;
    struct str rest = buf_view(&text), name, value;
    while (str_pair(&rest, ' ', &name, &value)) {
        if ((!str_is(name, v->inactive) && !str_is(name, v->active)) ||
            str_to_u64(value, 10, &bytes) < 0 || bytes > (uint64_t)1 << 60)
            continue;
        files += bytes;
        n++;
    }
    if (n != 2)
        return 0;
    uint64_t held = used > files ? used - files : 0;
    return held < limit ? limit - held : 1;
}

/* The smallest limit on the way from a cgroup up to its root, and the least that is free. */
static void memory_cgroup_bounds(const struct root *root, const struct memory_cgroups *v,
                                 struct str path, struct memory_bounds *bounds)
{
    for (int depth = 0; depth < CGROUP_DEPTH_MAX; depth++) {
        uint64_t limit;
        while (path.n && path.p[path.n - 1] == '/')
            path.n--;
        /* "max" and the huge number of version 1 are no limits. */
        if (path.n < 256 &&
            machine_read_number(root, &limit, "%s%.*s/%s", v->base, STR_ARG(path), v->limit) == 0 &&
            limit < (uint64_t)1 << 60) {
            bounds->limit = memory_least(bounds->limit, limit);
            bounds->free = memory_least(bounds->free, memory_cgroup_free(root, v, path, limit));
        }
        if (path.n == 0)
            break;
        while (path.n && path.p[path.n - 1] != '/')
            path.n--;
    }
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
static struct memory_bounds memory_read_cgroup(const struct root *root)
{
    struct buf CLEAN_BUF text = BUF_INIT(16 << 10);
    struct memory_bounds bounds = {0, 0};
    if (root_read(root, "/proc/self/cgroup", 16 << 10, &text) < 0)
        return bounds;
    struct str rest = buf_view(&text), line;
    while (str_cut(&rest, '\n', &line)) {
        struct str id, controllers;
        if (!str_cut(&line, ':', &id) || !str_cut(&line, ':', &controllers) || !line.n)
            continue;
        if (str_is(id, "0") && controllers.n == 0)
            memory_cgroup_bounds(root, &memory_versions[0], line, &bounds);
        else if (memory_list_has(controllers, "memory"))
            memory_cgroup_bounds(root, &memory_versions[1], line, &bounds);
    }
    return bounds;
}

void machine_memory(const struct root *root, uint64_t *ret_total, uint64_t *ret_free)
{
    memory_read_info(root, ret_total, ret_free);
    *ret_free = memory_least(*ret_free, memory_read_cgroup(root).free);
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
    struct memory_bounds bounds = memory_read_cgroup(root);
    memory_read_info(root, &m->host.memory_bytes, &m->host.memory_free_bytes);
    m->host.memory_free_bytes = memory_least(m->host.memory_free_bytes, bounds.free);
    if (m->host.memory_bytes == 0 || bounds.limit < m->host.memory_bytes)
        m->host.cgroup_limit_bytes = bounds.limit;
    memory_read_ttm(root, m);
}
