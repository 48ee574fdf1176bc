/* doctor_checks.c - the checks, one function each, in one visible table. */
#include "cli/doctor.h"

static void doctor_tell(const struct doctor_case *c, const char *code,
                        enum doctor_severity severity, const char *what, const char *why,
                        const char *remedy)
{
    struct doctor_finding finding = {code, severity, what, why, remedy};
    c->sink(c->context, &finding);
}

static bool doctor_has_gpu(const struct machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].target)
            return true;
    }
    return false;
}

/* Each backend's best choice, when it is a rejected one: why not, and what would change that. On a
 * computer without an AMD GPU a missing GPU path is a fact, not a problem. */
static void doctor_check_backends(const struct doctor_case *c)
{
    bool seen[PLAN_BACKENDS] = {false};
    for (size_t i = 0; i < c->plan->n_choices; i++) {
        const struct plan_choice *choice = &c->plan->choice[i];
        if (seen[choice->backend])
            continue;
        seen[choice->backend] = true;
        if (choice->state != PLAN_REJECTED || choice->code == GFXB_E_POLICY)
            continue;
        struct buf CLEAN_BUF remedy = BUF_INIT(1000);
        char what[64];
        doctor_remedy(c, choice, &remedy);
        snprintf(what, sizeof(what), "%s cannot be used", plan_backend_name(choice->backend));
        enum doctor_severity severity = choice->backend == PLAN_CPU      ? DOCTOR_BLOCK
                                        : !doctor_has_gpu(c->machine)    ? DOCTOR_INFO
                                        : choice->backend == PLAN_VULKAN ? DOCTOR_WARN
                                                                         : DOCTOR_BLOCK;
        bool hopeless = choice->code == GFXB_E_NO_GPU || choice->code == GFXB_E_NOT_AMD;
        doctor_tell(c, gfxb_code_name(choice->code), hopeless ? DOCTOR_INFO : severity, what,
                    choice->reason, buf_text(&remedy));
    }
}

static void doctor_check_warnings(const struct doctor_case *c)
{
    if (c->plan->chosen < 0)
        return;
    const struct plan_choice *choice = &c->plan->choice[c->plan->chosen];
    for (char *const *w = choice->warning; *w; w++)
        doctor_tell(c, "quirk", DOCTOR_WARN, "the chosen path has a known weakness", *w, "");
}

static void doctor_check_override(const struct doctor_case *c)
{
    const char *value = c->machine->host.override_gfx;
    if (!value[0])
        return;
    char what[128];
    snprintf(what, sizeof(what), "HSA_OVERRIDE_GFX_VERSION is set to %s in your environment",
             value);
    doctor_tell(c, "override-set", DOCTOR_WARN, what,
                "it makes ROCm take the card for another one; programs that inherit it may hang or "
                "compute nonsense, and gfxbridge does not pass it on",
                "unset HSA_OVERRIDE_GFX_VERSION");
}

static void doctor_check_notes(const struct doctor_case *c)
{
    for (size_t i = 0; i < c->machine->n_gpus; i++) {
        const struct machine_gpu *gpu = &c->machine->gpu[i];
        for (unsigned k = 0; k < gpu->n_notes; k++)
            doctor_tell(c, "detect-note", DOCTOR_INFO, gpu->pci[0] ? gpu->pci : "a GPU",
                        gpu->note[k], "");
    }
}

/* An APU whose GPU may use half of the memory although the computer has much more. */
static void doctor_check_ttm(const struct doctor_case *c)
{
    const struct machine *m = c->machine;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        uint64_t wanted = m->host.memory_bytes / 4 * 3;
        if (!gpu->target || gpu->kind != GFX_INTEGRATED || !gpu->gtt_bytes ||
            m->host.memory_bytes < (uint64_t)24 << 30 || gpu->gtt_bytes >= wanted / 10 * 9)
            continue;
        char have[32], total[32], why[200], remedy[120];
        cli_bytes_text(gpu->gtt_bytes, have, sizeof(have));
        cli_bytes_text(m->host.memory_bytes, total, sizeof(total));
        snprintf(why, sizeof(why), "the integrated GPU may use %s of %s: larger models do not fit",
                 have, total);
        snprintf(remedy, sizeof(remedy),
                 "add ttm.pages_limit=%llu to the kernel command line (three quarters of memory)",
                 (unsigned long long)(wanted / 4096));
        doctor_tell(c, "ttm-limit", DOCTOR_INFO, "the GPU's share of memory can be raised", why,
                    remedy);
    }
}

static void doctor_check_disk(const struct doctor_case *c)
{
    enum { LEAST_MIB = 512 };
    uint64_t bytes = 0;
    if (c->cli->sysroot || fs_free_bytes(c->cli->data_dir, &bytes) < 0 ||
        bytes >= (uint64_t)LEAST_MIB << 20)
        return;
    char free_text[32], why[160];
    cli_bytes_text(bytes, free_text, sizeof(free_text));
    snprintf(why, sizeof(why), "%s are free where packages are kept; an engine needs %d MiB",
             bytes ? free_text : "0 B", LEAST_MIB);
    doctor_tell(c, gfxb_code_name(GFXB_E_DISK_FULL), DOCTOR_WARN, c->cli->data_dir, why,
                "gfxbridge storage prune");
}

static void (*const doctor_checks[])(const struct doctor_case *c) = {
    doctor_check_backends, doctor_check_warnings, doctor_check_override,
    doctor_check_ttm,      doctor_check_disk,     doctor_check_notes,
};

void doctor_examine(const struct doctor_case *c)
{
    for (size_t i = 0; i < sizeof(doctor_checks) / sizeof(doctor_checks[0]); i++)
        doctor_checks[i](c);
}
