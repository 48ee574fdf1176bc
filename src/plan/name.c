/* name.c - the stable names of plan/'s enumerations. */
#include "plan/plan.h"

#include <errno.h>

static const char *const backends[] = {
    [PLAN_ROCM] = "rocm",
    [PLAN_VULKAN] = "vulkan",
    [PLAN_CPU] = "cpu",
    [PLAN_VULKAN_SOFTWARE] = "vulkan-software",
};

static const char *const policies[] = {
    [PLAN_ROCM_FIRST] = "rocm-first",
    [PLAN_FASTEST] = "fastest",
    [PLAN_VULKAN_ONLY] = "vulkan",
    [PLAN_CPU_ONLY] = "cpu",
};

static const char *const states[] = {
    [PLAN_PROVEN] = "proven",
    [PLAN_USABLE] = "usable",
    [PLAN_REJECTED] = "rejected",
};

static const char *const rungs[] = {"E0", "E1", "E2", "E3", "E4", "E5"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *name_at(const char *const *names, size_t n, unsigned i)
{
    return i < n ? names[i] : "?";
}

static int name_find(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; name && i < n; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

const char *plan_backend_name(enum plan_backend backend)
{
    return name_at(backends, COUNT(backends), (unsigned)backend);
}

int plan_backend_from_name(const char *name)
{
    return name_find(backends, COUNT(backends), name);
}

int plan_backend_read(const char *text, struct str *ret_engine, enum plan_backend *ret_backend)
{
    struct str rest = str_from(text), kind;
    struct gfx_engine engine;
    if (!str_cut(&rest, ':', &kind) || !kind.n || !gfx_engine_find(kind, &engine))
        return -EINVAL;
    int backend = rest.n ? plan_backend_from_name(rest.p) : -1;
    if (backend < 0)
        return -EINVAL;
    *ret_engine = engine.name;
    *ret_backend = (enum plan_backend)backend;
    return 0;
}

void plan_backend_list(struct buf *ret)
{
    struct gfx_engine engine, next;
    for (size_t i = 0; gfx_engine_at(i / 3, &engine); i++) { /* rocm, vulkan, cpu */
        bool last = i % 3 == 2 && !gfx_engine_at(i / 3 + 1, &next);
        buf_addf(ret, "%s%.*s:%s",
                 i == 0 ? ""
                 : last ? " and "
                        : ", ",
                 STR_ARG(engine.name), backends[i % 3]);
    }
}

const char *plan_policy_name(enum plan_policy policy)
{
    return name_at(policies, COUNT(policies), (unsigned)policy);
}

int plan_policy_from_name(const char *name)
{
    return name_find(policies, COUNT(policies), name);
}

const char *plan_state_name(enum plan_state state)
{
    return name_at(states, COUNT(states), (unsigned)state);
}

const char *plan_rung_name(enum plan_rung rung)
{
    return name_at(rungs, COUNT(rungs), (unsigned)rung);
}
