/* name.c - the stable names of plan/'s enumerations. */
#include "plan/plan.h"

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
