/* request.c - what the user asked for: choices that are not looked at, and why. */
#include "plan/builder.h"
#include "plan/device.h"

static bool policy_wants(enum plan_policy policy, enum plan_backend backend)
{
    switch (policy) {
    case PLAN_VULKAN_ONLY:
        return backend == PLAN_VULKAN;
    case PLAN_CPU_ONLY:
        return backend == PLAN_CPU;
    case PLAN_ROCM_FIRST:
    case PLAN_FASTEST:
        break;
    }
    return true;
}

bool plan_builder_wants(struct builder *d, enum plan_backend backend)
{
    const struct candidate none = {.backend = backend};
    int asked = d->request->backend;
    if (asked >= 0 && asked != (int)backend) {
        plan_builder_refuse(d, &none, GFXB_E_POLICY,
                            "Not looked at, because %s was asked for by name.",
                            plan_backend_name((enum plan_backend)asked));
        return false;
    }
    if (asked < 0 && !policy_wants(d->request->policy, backend)) {
        plan_builder_refuse(d, &none, GFXB_E_POLICY, "Not looked at, because the policy is %s.",
                            plan_policy_name(d->request->policy));
        return false;
    }
    return true;
}

bool plan_builder_wants_gpu(struct builder *d, enum plan_backend backend,
                            const struct machine_gpu *gpu)
{
    const struct candidate none = {.backend = backend, .gpu = gpu};
    char name[DEVICE_NAME_MAX];
    if (!d->request->gpu || plan_device_is_at(gpu, d->request->gpu))
        return true;
    plan_device_name(gpu, name);
    plan_builder_refuse(d, &none, GFXB_E_POLICY,
                        "%s is not used, because the GPU at %s was asked for.", name,
                        d->request->gpu);
    return false;
}

bool plan_builder_has_pinned(struct builder *d, enum plan_backend backend)
{
    const struct candidate none = {.backend = backend};
    struct buf CLEAN_BUF there = BUF_INIT(400);
    if (!d->request->gpu)
        return true;
    for (size_t i = 0; i < d->n_gpus; i++) {
        if (plan_device_is_at(d->gpu[i], d->request->gpu))
            return true;
        buf_addf(&there, "%s%s", there.n ? ", " : "", d->gpu[i]->pci);
    }
    struct builder_choice *dc = plan_builder_add(d, &none);
    if (dc)
        (void)plan_builder_reject(
            d, dc, PLAN_E0, GFXB_E_NO_GPU, "There is no GPU at %s, which was asked for%s%s.",
            d->request->gpu, there.n ? "; there is one at " : ", nor anywhere else",
            buf_text(&there));
    return false;
}
