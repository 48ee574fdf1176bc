/* health.c - is an engine that says nothing at work, or does it hang? */
#include "engine/http.h"
#include "engine/instance.h"

#include <errno.h>
#include <stdio.h>

#define HEALTH_SHARE                                                                               \
    0.2 /* of the weights in the CPU's memory: then a good part of the work is its */

static int64_t health_until(void *context)
{
    return *(const int64_t *)context;
}

/* Does the CPU do a good part of the work? Of a GPU's engine it may only wait, and busily. */
static bool health_by_cpu(const struct engine *engine)
{
    const struct engine_placement *p = &engine->placement;
    return engine->backend == PLAN_CPU || engine->backend == PLAN_VULKAN_SOFTWARE ||
           p->cpu_mib > HEALTH_SHARE * (p->cpu_mib + p->gpu_mib);
}

/* ms of all cores that it has used so far; 0 unknown. */
static int64_t health_cpu_ms(const struct engine *engine)
{
    char path[64];
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    struct str word = STR_NONE, rest;
    uint64_t ticks[2] = {0, 0};
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)engine_pid(engine));
    if (fs_read(path, 4096, &text) < 0)
        return 0;
    const char *name_end = strrchr(buf_text(&text), ')'); /* the name may hold anything */
    rest = str_from(name_end ? name_end + 1 : "");
    for (int field = 3; field <= 15 && str_word(&rest, &word); field++) {
        if (field >= 14)
            str_to_u64(word, 10, &ticks[field - 14]); /* utime, stime: proc(5) */
    }
    return (int64_t)((ticks[0] + ticks[1]) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

bool engine_is_healthy(const struct engine *engine, int ms, const atomic_int *cancel)
{
    int64_t until = clock_now_ms() + ms, cpu_ms = health_cpu_ms(engine);
    struct http_request request = {
        .socket = engine->rundir.socket,
        .path = "/slots",
        .key = engine->key,
        .pidfd = engine->child.pidfd,
        .cancel = cancel,
        .until = health_until,
        .context = &until,
    };
    long status;
    if (http_ask(&request, &status) != -ETIMEDOUT)
        return true;
    /* A batch of a long prompt can take a CPU so long: then it has worked all the time. */
    return health_by_cpu(engine) && health_cpu_ms(engine) - cpu_ms > ms / 2;
}
