/* threads.c - how many processors an engine should use here. */
#include "engine/engine_private.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#define THREADS_CPUS_MAX 4096

/* The first processor of the physical core that this one belongs to; itself where unknown. */
static unsigned threads_core_of(unsigned cpu)
{
    static const char *const names[] = {"core_cpus_list", "thread_siblings_list"};
    for (size_t i = 0; i < 2; i++) {
        char path[96];
        struct buf CLEAN_BUF text = BUF_INIT(1u << 17);
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/%s", cpu, names[i]);
        if (fs_read(path, 4096, &text) < 0)
            continue;
        size_t digits = strspn(buf_text(&text), "0123456789");
        uint64_t first = 0;
        if (str_to_u64((struct str){text.p, digits}, 10, &first) == 0 && first <= cpu)
            return (unsigned)first;
    }
    return cpu;
}

/* Physical cores among the processors that we may run on. */
static unsigned threads_cores(void)
{
    cpu_set_t *set = CPU_ALLOC(THREADS_CPUS_MAX);
    cpu_set_t *seen = CPU_ALLOC(THREADS_CPUS_MAX);
    size_t size = CPU_ALLOC_SIZE(THREADS_CPUS_MAX);
    unsigned n = 0;
    if (set && seen && sched_getaffinity(0, size, set) == 0) {
        CPU_ZERO_S(size, seen);
        for (unsigned cpu = 0; cpu < THREADS_CPUS_MAX; cpu++) {
            unsigned core = CPU_ISSET_S(cpu, size, set) ? threads_core_of(cpu) : 0;
            if (!CPU_ISSET_S(cpu, size, set) || CPU_ISSET_S(core, size, seen))
                continue;
            CPU_SET_S(core, size, seen);
            n++;
        }
    }
    CPU_FREE(set);
    CPU_FREE(seen);
    return n;
}

/* Whole processors of "QUOTA PERIOD" in one cgroup's cpu.max; 0 when there is no limit. */
static unsigned threads_quota_of(const char *path)
{
    struct buf CLEAN_BUF text = BUF_INIT(1u << 17);
    if (fs_read(path, 4096, &text) < 0)
        return 0;
    struct str rest = buf_view(&text), quota, period;
    uint64_t us = 0, per = 0;
    if (!str_word(&rest, &quota) || !str_word(&rest, &period) || str_to_u64(quota, 10, &us) < 0 ||
        str_to_u64(period, 10, &per) < 0 || per == 0)
        return 0;
    uint64_t whole = us / per;
    return whole == 0 ? 1 : whole > THREADS_CPUS_MAX ? THREADS_CPUS_MAX : (unsigned)whole;
}

/* The tightest CPU quota of our cgroup (version 2) and its parents; 0 when there is none. */
static unsigned threads_quota(void)
{
    struct buf CLEAN_BUF text = BUF_INIT(1u << 20);
    if (fs_read("/proc/self/cgroup", 65536, &text) < 0)
        return 0;
    struct str rest = buf_view(&text), line = STR_NONE;
    while (str_cut(&rest, '\n', &line) && !str_starts(line, STR("0::/")))
        ;
    if (!str_starts(line, STR("0::/")))
        return 0;
    char *CLEAN_FREE group = xstr_dup((struct str){line.p + 3, line.n - 3});
    unsigned least = 0;
    for (;;) {
        char *CLEAN_FREE path = xasprintf("/sys/fs/cgroup%s/cpu.max", group);
        unsigned quota = threads_quota_of(path);
        if (quota && (!least || quota < least))
            least = quota;
        char *slash = strrchr(group, '/');
        if (!slash || !*group)
            break;
        *slash = '\0';
    }
    return least;
}

unsigned engine_default_threads(void)
{
    unsigned cores = threads_cores(), quota = threads_quota();
    if (quota && quota < cores)
        cores = quota;
    return cores ? cores : 1;
}
